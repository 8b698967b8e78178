//! Who signed in, what is said about it, and what is kept.

use serde_json::json;

use super::demo::{Demo, LIMIT, Waiting, keys};
use crate::support::idp::{Dialect, Fault, Times};
use crate::support::sandbox::{oauth_account, set_mode, write_private};

#[test]
fn one_line_names_the_person_the_provider_the_expiry_and_the_file() {
    let demo = Demo::new();
    let output = demo.wait(&[]).sign_in();
    output.ok().stdout_is("");
    let lines: Vec<_> = output.stderr.lines().filter(|l| l.contains("me@example.com")).collect();
    let file = demo.sandbox.account_file("demo", "me@example.com");
    let [line] = lines[..] else { panic!("one line names the person: {lines:?}") };
    for part in ["signed in", "demo", "expires in", &file.display().to_string()] {
        output.check(line.contains(part), part);
    }
    assert_eq!(demo.sandbox.mode(&file), 0o600);
    assert_eq!(demo.sandbox.mode(file.parent().unwrap()), 0o700);
}

#[test]
fn success_as_json_has_the_keys_of_the_contract() {
    let demo = Demo::new();
    let output = demo.wait(&["--json"]).sign_in();
    let object = output.ok().json();
    let wanted = [
        "version",
        "status",
        "provider",
        "account",
        "kind",
        "email",
        "expires_at",
        "scopes",
        "path",
    ];
    assert_eq!(keys(&output.stdout), wanted);
    assert_eq!(object["version"], 1);
    assert_eq!(object["status"], "ok");
    assert_eq!(object["provider"], "demo");
    assert_eq!(object["account"], "me@example.com");
    assert_eq!(object["kind"], "oauth");
    assert_eq!(object["email"], "me@example.com");
    assert!(object["expires_at"].as_str().is_some_and(|at| at.ends_with('Z')), "{object}");
    assert_eq!(object["scopes"], json!(["openid", "email", "offline_access"]));
    let file = demo.sandbox.account_file("demo", "me@example.com");
    assert_eq!(object["path"], json!(file));
    let account = demo.sandbox.read_account("demo", "me@example.com");
    assert_eq!(account["expires_at"], object["expires_at"]);
    for secret in ["access_token", "refresh_token", "id_token"] {
        let secret = account[secret].as_str().unwrap();
        output.check(!output.stdout.contains(secret), "no secret on stdout").stderr_lacks(secret);
    }
}

#[test]
fn failure_as_json_ends_stderr_and_leaves_stdout_empty() {
    let demo = Demo::new();
    demo.idp.fault("token_exchange", Fault::oauth_error("invalid_grant", 400), Times::Once);
    let waiting = demo.wait(&["--json"]);
    let _page = waiting.approve().follow();
    let output = waiting.process.wait(LIMIT);
    let error = output.code(1).stdout_is("").error_json();
    assert_eq!(error["exit"], 1);
    assert_eq!(error["try"], "keyfob login demo");
    assert!(error["message"].as_str().unwrap().contains("invalid_grant"), "{error}");
}

#[test]
fn another_person_than_expected_is_refused_and_nothing_is_stored() {
    let demo = Demo::new();
    let waiting = demo.wait(&["--expect", "you@example.com"]);
    let page = waiting.approve().follow();
    assert_eq!(page.status, 400);
    let output = waiting.process.wait(LIMIT);
    output.code(1).stdout_is("").stderr_has("me@example.com").stderr_has("you@example.com");
    output.stderr_has("--prompt select_account");
    let left = demo.sandbox.files(&demo.sandbox.home().join("accounts"));
    output.check(left.is_empty(), "no account, no temporary file");
}

#[test]
fn the_expected_person_is_known_by_email_or_subject() {
    let demo = Demo::new();
    demo.wait(&["--expect", "Me@Example.com"]).sign_in().ok();
    demo.wait(&["--expect", "user-1"]).sign_in().ok();
}

#[test]
fn a_named_account_becomes_another_person_only_with_replace() {
    let demo = Demo::new();
    let work = |arguments: &[&str]| {
        let command = demo.login(&[&["demo/work", "--no-browser"], arguments].concat());
        Waiting::start(command)
    };
    work(&[]).sign_in().ok();
    let before = demo.sandbox.read(&demo.sandbox.account_file("demo", "work"));
    demo.next_person("you@example.com", "user-2");
    let waiting = work(&[]);
    assert_eq!(waiting.approve().follow().status, 400);
    let output = waiting.process.wait(LIMIT);
    output.code(1).stdout_is("").stderr_has("--replace").stderr_has("you@example.com");
    assert_eq!(demo.sandbox.read(&demo.sandbox.account_file("demo", "work")), before);
    work(&["--replace"]).sign_in().ok();
    let account = demo.sandbox.read_account("demo", "work");
    assert_eq!(account["identity"]["email"], "you@example.com");
    assert_eq!(demo.account_files().len(), 1);
}

#[test]
fn the_same_person_signs_in_again_without_a_question() {
    let demo = Demo::new();
    let grant = demo.idp.grant();
    let mut old = oauth_account("demo", "me@example.com", &grant, -60);
    old["attributes"] = json!({"note": "mine"});
    old["of_a_later_version"] = json!([1]);
    demo.sandbox.write_account("demo", "me@example.com", &old);
    demo.wait(&[]).sign_in().ok();
    let new = demo.sandbox.read_account("demo", "me@example.com");
    assert_ne!(new["access_token"], old["access_token"]);
    assert_eq!(new["attributes"], old["attributes"], "what people noted on it stays");
    assert_eq!(new["of_a_later_version"], old["of_a_later_version"]);
    assert_eq!(new["created_at"], old["created_at"]);
}

#[test]
fn no_verify_asks_nobody_who_signed_in() {
    let demo = Demo::new();
    demo.wait(&["--no-verify"]).sign_in().ok().stderr_has("me@example.com");
    assert_eq!(demo.idp.count("userinfo"), 0);
    demo.wait(&[]).sign_in().ok();
    assert_eq!(demo.idp.count("userinfo"), 1);
    demo.idp.assert_content();
}

#[test]
fn an_identity_call_that_fails_does_not_fail_the_login() {
    let faults = [
        Fault::Status(500),
        Fault::Status(403),
        Fault::Html(200),
        Fault::Drop,
        Fault::Empty,
        Fault::Hang,
        Fault::body(200, "application/json", "[1]"),
    ];
    let demo = Demo::new();
    for fault in faults {
        let name = format!("{fault:?}");
        demo.idp.fault("userinfo", fault, Times::Once);
        let output = demo.wait(&["--timeout", "1"]).sign_in();
        output.check(output.status == Some(0), &name).stdout_is("").stderr_has("me@example.com");
    }
    assert_eq!(demo.idp.count("token_exchange"), 7);
    assert_eq!(demo.account_files().len(), 1);
    demo.idp.assert_content();
}

#[test]
fn somebody_nobody_can_name_is_stored_all_the_same() {
    let demo = Demo::with(Dialect::oidc(), |_| json!({"userinfo_url": null, "scopes": ["api"]}));
    let object = demo.wait(&["--json"]).sign_in().ok().json();
    assert_eq!(object["email"], json!(null));
    let name = object["account"].as_str().unwrap();
    assert!(demo.sandbox.account_file("demo", name).exists());
    demo.sandbox.cmd(&["token", "demo"]).run().ok();
}

#[test]
fn a_damaged_account_file_is_set_aside_before_the_new_login_is_written() {
    let demo = Demo::new();
    let file = demo.sandbox.write_account("demo", "me@example.com", &json!({}));
    write_private(&file, "{\"versio");
    let output = demo.wait(&[]).sign_in();
    output.ok().stdout_is("").stderr_has("damaged");
    assert!(demo.sandbox.read_account("demo", "me@example.com")["access_token"].is_string());
    let folder = file.parent().unwrap();
    let mut aside = demo.sandbox.files(folder);
    aside.retain(|path| demo.sandbox.read(path) == "{\"versio");
    let [aside] = &aside[..] else { panic!("one file set aside: {aside:?}") };
    assert_eq!(demo.sandbox.mode(aside), 0o600);
    output.stderr_has(&aside.display().to_string());
    demo.sandbox.cmd(&["token", "demo"]).run().ok();
}

#[test]
fn a_file_that_cannot_be_replaced_is_found_before_the_person_goes_to_the_browser() {
    let demo = Demo::new();
    let file = demo.sandbox.write_oauth("demo", "me@example.com", &demo.idp.grant(), 3600);
    set_mode(&file, 0o644);
    let output = demo.login(&["demo", "--no-browser"]).run();
    output.code(5).stdout_is("").stderr_has(&file.display().to_string()).stderr_has("chmod 600");
    output.stderr_lacks("/authorize?");
    assert_eq!(demo.pending_files().len(), 0);
}

#[test]
fn nothing_is_readable_by_others_under_the_widest_umask() {
    let demo = Demo::new();
    Waiting::start(demo.login(&["demo", "--no-browser"]).umask("000")).sign_in().ok();
    let home = demo.sandbox.home();
    assert_eq!(demo.sandbox.mode(&home.join("accounts")), 0o700);
    for file in demo.sandbox.files(&home) {
        assert_eq!(demo.sandbox.mode(&file), 0o600, "{}", file.display());
        assert_eq!(demo.sandbox.mode(file.parent().unwrap()), 0o700, "{}", file.display());
    }
}
