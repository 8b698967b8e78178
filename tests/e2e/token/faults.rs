//! What an issuer can answer to a refresh other than a success: the exit code of each, a stored
//! credential that stays as it is, and an old token that is handed out while it lives.

use std::net::TcpListener;

use serde_json::json;

use super::place::{EXPIRED_S, Place, STALE_S, row_of};
use crate::support::idp::{Dialect, Fault, Idp, Times};

struct Case {
    what: &'static str,
    fault: Fault,
    code: i32,
    /// Must be on stderr of the call that fails.
    says: &'static str,
}

fn case(what: &'static str, fault: Fault, code: i32, says: &'static str) -> Case {
    Case { what, fault, code, says }
}

fn html(status: u16) -> Fault {
    Fault::Html(status)
}

fn json_body(status: u16, text: &str) -> Fault {
    Fault::body(status, "application/json", text)
}

/// One account is expired, the other stale but alive; both ask, and get the same answer.
fn try_out(cases: &[Case]) {
    for case in cases {
        let place = Place::new();
        place.signed_in_as("gone@example.com", EXPIRED_S);
        let alive = place.signed_in_as("alive@example.com", STALE_S);
        let files = ["gone@example.com", "alive@example.com"]
            .map(|account| place.home.account_file(place.provider, account));
        let before = files.each_ref().map(|file| place.home.read(file));
        place.idp.fault("token_refresh", case.fault.clone(), Times::Always);
        let gone = place.token_of("gone@example.com").arg("--timeout").arg("1").spawn();
        let alive_run = place.token_of("alive@example.com").arg("--timeout").arg("1").run();
        let gone = gone.wait(std::time::Duration::from_secs(20));

        gone.check(gone.status == Some(case.code), &format!("{}: exit {}", case.what, case.code));
        gone.stdout_is("").stderr_has("keyfob: ").stderr_has(case.says);
        gone.check(!gone.stderr.contains('\x1b'), "no control characters");
        let has_try = gone.stderr.contains("  try: keyfob login my-idp/gone@example.com\n");
        gone.check(has_try == (case.code == 4), &format!("{}: try only at 4", case.what));

        alive_run.check(alive_run.status == Some(0), &format!("{}: alive", case.what));
        alive_run.stdout_is(&format!("{}\n", alive.access_token));
        alive_run.stderr_has("keyfob: warning: ").stderr_has("still good");

        for (file, before) in files.iter().zip(&before) {
            assert_eq!(&place.home.read(file), before, "{}: {}", case.what, file.display());
        }
        assert!(place.temp_files().is_empty(), "{}\n{}", case.what, place.home.listing());
        assert_eq!(place.refreshes(), 2, "{}: one request each, no retry", case.what);
    }
}

#[test]
fn trouble_at_the_server_is_temporary() {
    try_out(&[
        case("500", Fault::Status(500), 3, "500"),
        case("503", Fault::RetryAfter(503, "7".into()), 3, "7 s"),
        case("429", Fault::RetryAfter(429, "120".into()), 3, "120 s"),
        case("429 alone", Fault::Status(429), 3, "429"),
        case("a page of a gateway", html(502), 3, "502"),
        case("later, in OAuth", Fault::oauth_error("temporarily_unavailable", 400), 3, ""),
        case("megabytes of trouble", json_body(500, &"x".repeat(3 << 20)), 3, "500"),
    ]);
}

#[test]
fn a_connection_that_breaks_is_temporary() {
    try_out(&[
        case("reset", Fault::Drop, 3, "cannot reach 127.0.0.1"),
        case("cut short", Fault::CutShort, 3, "cannot reach 127.0.0.1"),
        case("lost", Fault::DropAfterWork, 3, "cannot reach 127.0.0.1"),
    ]);
}

#[test]
fn a_server_too_slow_for_the_time_limit_is_temporary() {
    try_out(&[
        case("hangs", Fault::Hang, 3, "within 1 s"),
        case("trickles", Fault::Trickle(50), 3, "within 1 s"),
    ]);
}

#[test]
fn an_answer_that_makes_no_sense_fails() {
    let wrong_type = json!({"access_token": 7, "expires_in": 3600}).to_string();
    let broken = json!({"access_token": "two\nlines", "expires_in": 3600}).to_string();
    try_out(&[
        case("a page", html(200), 1, "web page"),
        case("a block page", html(403), 1, "web page"),
        case("nothing", Fault::Empty, 1, "nothing"),
        case("half", Fault::Truncated, 1, "breaks off"),
        case("a list", json_body(200, "[\"access_token\"]"), 1, ""),
        case("an object without tokens", json_body(200, "{}"), 1, ""),
        case("a token that is a number", json_body(200, &wrong_type), 1, ""),
        case("a token of two lines", json_body(200, &broken), 1, ""),
        case("megabytes", json_body(200, &"[".repeat(3 << 20)), 1, "1 MiB"),
        case("404", Fault::Status(404), 1, "404"),
    ]);
}

#[test]
fn a_refusal_that_is_not_about_the_grant_is_not_noted() {
    let with_colour = json!({
        "error": "invalid_request",
        "error_description": "\u{1b}[31mred\u{1b}[0m\r\n\u{7}keyfob: all is \u{202e}well",
    });
    let at_200 = json!({"error": "unauthorized_client", "error_description": "not you"});
    try_out(&[
        case("invalid_request", Fault::oauth_error("invalid_request", 400), 4, "invalid_request"),
        case("invalid_client", Fault::oauth_error("invalid_client", 401), 4, "invalid_client"),
        case("an error at 200", Fault::json(200, &at_200), 4, "not you (unauthorized_client)"),
        case("control characters", Fault::json(400, &with_colour), 4, "red [0m keyfob: all is"),
    ]);
}

#[test]
fn a_redirect_is_not_followed() {
    let target = Idp::start(Dialect::oidc());
    try_out(&[case("307", Fault::Redirect(target.url("/token")), 1, "307")]);
    assert_eq!(target.requests().len(), 0);
}

#[test]
fn an_issuer_that_nobody_reaches_is_temporary() {
    let place = Place::new();
    place.signed_in(EXPIRED_S);
    let before = place.bytes();
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let mut row = row_of(&place.idp);
    row["token_url"] = json!(format!("http://{closed}/token"));
    place.home.write_config(&json!({"providers": {"my-idp": row}}));
    let output = place.token().run();
    output.code(3).stdout_is("").stderr_has("connection refused");
    assert_eq!(place.bytes(), before);
}

#[test]
fn a_failure_with_json_ends_stderr_with_its_object() {
    let place = Place::new();
    place.signed_in(EXPIRED_S);
    place.idp.fault("token_refresh", Fault::RetryAfter(429, "9".into()), Times::Once);
    let output = place.token().arg("--json").run();
    let error = output.code(3).stdout_is("").error_json();
    assert_eq!((&error["exit"], &error["code"]), (&json!(3), &json!("temporary")), "{error}");
    assert_eq!(error["try"], json!(null), "{error}");
    assert!(error["message"].as_str().is_some_and(|text| text.contains("9 s")), "{error}");
}

/// The answer of a token that lives on: `--min-ttl` is never met by a failed refresh.
#[test]
fn a_failed_refresh_hands_out_nothing_that_is_too_short_for_min_ttl() {
    let place = Place::new();
    let old = place.signed_in(600);
    place.idp.fault("token_refresh", Fault::Status(500), Times::Always);
    let output = place.token().arg("--min-ttl").arg("1200").run();
    output.code(3).stdout_is("");
    let output = place.token().arg("--min-ttl").arg("300").run();
    output.ok().stdout_is(&format!("{}\n", old.access_token));
    assert_eq!(place.refreshes(), 1);
}
