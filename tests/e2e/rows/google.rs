//! The row without a client for everyone: each person brings an OAuth client of their own.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{EMAIL, Seat, row_named};
use crate::support::agent::KEYFOB;
use crate::support::browser;
use crate::support::command::Cmd;
use crate::support::idp::encoding::params;
use crate::support::idp::{Dialect, Idp};
use crate::support::sandbox::write_private;

/// As at first use: config.json knows the server and no client.
fn newcomer() -> Seat {
    at(Idp::start(Dialect::from_row(&row_named("google"), None)))
}

fn at(idp: Idp) -> Seat {
    let seat = Seat::at(row_named("google"), idp);
    seat.sandbox.write_config(&seat.idp.overlay(&json!([seat.row])));
    seat
}

fn download(kind: &str) -> Value {
    json!({kind: {
        "client_id": "own-client",
        "project_id": "p",
        "auth_uri": "https://accounts.google.com/o/oauth2/auth",
        "token_uri": "https://oauth2.googleapis.com/token",
        "client_secret": "own-secret",
        "redirect_uris": ["http://localhost"],
    }})
}

fn file(seat: &Seat, text: &str) -> PathBuf {
    let path = seat.sandbox.work().join("client.json");
    write_private(&path, text);
    path
}

/// Begins with this command, finishes, and proves that the client is remembered: for the next login
/// and for a refresh.
#[track_caller]
fn signs_in_and_remembers(seat: &Seat, begin: Cmd) {
    let url = begin.run();
    seat.finishing(url.ok().line()).run().ok();
    assert_eq!(seat.account()["identity"]["email"], EMAIL);
    seat.sign_in();
    seat.expire();
    seat.cmd("token {}").run().ok();
    assert_eq!(seat.idp.requests_to("token_refresh").len(), 1);
    seat.cmd("logout {}").run().ok();
    seat.idp.assert_content();
    for words in ["provider show {} --json", "provider list --json", "provider show {}"] {
        let shown = seat.cmd(words).run();
        shown.ok().check(!shown.stdout.contains("own-secret"), "no secret in a row");
        assert!(shown.stdout.contains("own-client"));
    }
}

#[test]
fn without_a_client_the_flag_is_named() {
    let seat = newcomer();
    for words in ["login {}", "login {} --print-auth-url", "login {} --no-browser"] {
        let output = seat.cmd(words).run();
        output.code(2).stdout_is("").stderr_has("--client-json");
        let output = seat.cmd(&format!("{words} --json")).run();
        assert_eq!(output.code(2).error_json()["try"], "keyfob login google --client-json FILE");
    }
    assert!(!seat.sandbox.home().join("pending").exists());
    assert_eq!(seat.idp.counters(), json!({}));
}

#[test]
fn a_client_as_google_hands_it_out() {
    for kind in ["installed", "web"] {
        let seat = newcomer();
        let path = file(&seat, &download(kind).to_string());
        let begin = seat.cmd("login {} --print-auth-url --client-json");
        signs_in_and_remembers(&seat, begin.arg(path.to_str().expect("a plain path")));
    }
}

#[test]
fn a_client_on_stdin() {
    let seat = newcomer();
    let begin = seat.cmd("login {} --print-auth-url --client-json -");
    signs_in_and_remembers(&seat, begin.stdin(download("installed").to_string()));
}

#[test]
fn a_client_id_and_its_secret_on_stdin() {
    let seat = newcomer();
    let words = "login {} --print-auth-url --client-id own-client --client-secret-stdin";
    signs_in_and_remembers(&seat, seat.cmd(words).stdin("own-secret\n"));
}

#[test]
fn a_login_that_waits_brings_its_client_too() {
    let seat = newcomer();
    let path = file(&seat, &download("installed").to_string());
    let login = seat.cmd("login {} --no-browser --client-json");
    let login = login.arg(path.to_str().expect("a plain path")).spawn();
    let page = browser::approve(&login.auth_url()).follow();
    assert_eq!(page.status, 200, "{page:#?}");
    login.wait(super::LIMIT).ok();
    assert_eq!(seat.account()["client_id"], "own-client");
    seat.idp.assert_content();
}

#[test]
fn a_file_that_holds_no_client_is_named() {
    let seat = newcomer();
    let huge = format!("{{\"installed\":\"{}\"}}", "x".repeat(100_000));
    let odd = [
        "",
        "{}",
        "[]",
        "not json",
        "{\"installed\":{}}",
        "{\"installed\":{\"client_id\":7}}",
        &huge,
    ];
    for text in odd {
        let path = file(&seat, text);
        let path = path.to_str().expect("a plain path");
        let output = seat.cmd("login {} --print-auth-url --client-json").arg(path).run();
        output.code(2).stdout_is("").stderr_has(path);
    }
    let missing = seat.cmd("login {} --print-auth-url --client-json /no/such/file").run();
    missing.code(2).stderr_has("/no/such/file");
    seat.cmd("login {} --print-auth-url --client-json -").stdin("").run().code(2);
    let before = seat.sandbox.read_config();
    assert!(before.get("client_secrets").is_none(), "{before}");
}

#[test]
fn flags_that_contradict_each_other() {
    let seat = newcomer();
    for words in [
        "--client-json x.json --client-id y",
        "--client-json - --client-secret-stdin",
        "--client-json x.json --client-secret-stdin",
        "--client-secret-stdin",
        "--access-tier full --scope x",
    ] {
        let words = format!("login {{}} --print-auth-url {words}");
        seat.cmd(&words).stdin("secret").run().code(2).stdout_is("").stderr_lacks("panicked");
    }
}

/// Scope of the address that a login with these flags shows.
fn scopes(seat: &Seat, flags: &str) -> Vec<String> {
    let url = seat.cmd(&format!("login {{}} --print-auth-url {flags}")).run();
    let url = url.ok().line().to_owned();
    let query = params(url.split_once('?').expect("a query").1).expect("well escaped");
    query.text("scope").split(' ').map(str::to_owned).collect()
}

#[test]
fn access_tiers_are_sets_of_scopes() {
    let seat = Seat::named("google");
    let gmail = |name: &str| format!("https://www.googleapis.com/auth/gmail.{name}");
    let full = ["readonly", "compose", "send", "modify"].map(gmail);
    assert_eq!(scopes(&seat, "--access-tier full"), full);
    assert_eq!(scopes(&seat, "--access-tier=readonly"), ["readonly", "compose"].map(gmail));
    assert_eq!(scopes(&seat, ""), full);
    assert_eq!(scopes(&seat, "--scope openid"), ["openid"]);
    let wrong = seat.cmd("login {} --print-auth-url --access-tier nonsense").run();
    wrong.code(2).stdout_is("").stderr_has("full").stderr_has("readonly");
    let seat = Seat::named("openai");
    seat.cmd("login {} --print-auth-url --access-tier full").run().code(2).stdout_is("");
}

/// A tier is what the account file says was granted.
#[test]
fn a_readonly_login_is_granted_only_that() {
    let mut dialect = Dialect::from_row(&row_named("google"), None);
    dialect.scope = None;
    let seat = Seat::at(row_named("google"), Idp::start(dialect));
    let url = seat.cmd("login {} --print-auth-url --access-tier readonly").run();
    seat.finishing(url.ok().line()).run().ok();
    let scopes = seat.account()["scopes"].as_array().expect("a list").len();
    assert_eq!(scopes, 2);
    seat.idp.assert_content();
}

/// RFC 6749 section 6: a refresh token works only with the client it was issued to.
#[test]
fn an_account_keeps_the_client_it_was_made_with() {
    let mut dialect = Dialect::from_row(&row_named("google"), None);
    dialect.register_path = Some("/register".into());
    let seat = at(Idp::start(dialect));
    let asked = json!({"redirect_uris": ["http://127.0.0.1"],
        "token_endpoint_auth_method": "client_secret_post"});
    let headers = [("Content-Type", "application/json"), ("User-Agent", KEYFOB)];
    let other = browser::request("POST", &seat.idp.url("/register"), &headers, &asked.to_string());
    let other = other.expect("an answer").json();
    let other = json!({"client_id": other["client_id"], "client_secret": other["client_secret"]});

    let first = seat.cmd("login {} --print-auth-url --client-json -");
    let first = first.stdin(download("installed").to_string()).run();
    seat.finishing(first.ok().line()).run().ok();
    seat.idp.set_identity("you@example.com", "user-2");
    let second = seat.cmd("login {} --print-auth-url --client-json -");
    let second = second.stdin(other.to_string()).run();
    seat.finishing(second.ok().line()).run().ok();

    seat.expire();
    seat.cmd("token {}/me@example.com").run().ok();
    seat.cmd("refresh {}/you@example.com").run().ok();
    let clients: Vec<_> =
        seat.idp.requests_to("token_refresh").iter().map(|r| r.param("client_id")).collect();
    assert_eq!(
        clients,
        [Some("own-client".to_owned()), other["client_id"].as_str().map(str::to_owned)]
    );
    seat.cmd("logout {} --all").run().ok();
    seat.idp.assert_content();
}
