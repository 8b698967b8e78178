//! `account set`: what people note on an account.

use serde_json::json;

use crate::support::sandbox::Sandbox;
use crate::token::place::{EXPIRED_S, ME, MY_IDP, Place};

#[test]
fn a_note_is_shown_by_status() {
    let place = Place::new();
    place.signed_in(3000);
    let words = ["account", "set", MY_IDP, "priority=10", "note=billed to research"];
    let output = place.home.cmd(&words).run();
    output
        .ok()
        .stdout_is("")
        .stderr_has("my-idp/me@example.com: note=billed to research, priority=10");
    assert_eq!(
        place.stored()["attributes"],
        json!({"priority": "10", "note": "billed to research"})
    );
    let status = place.home.cmd(&["status"]).run();
    status.ok().check(status.stdout.contains("billed to research"), "the note in the table");
    let shown = place.home.cmd(&["status", "--json"]).run().ok().json();
    assert_eq!(shown["accounts"][0]["note"], "billed to research");
    assert_eq!(place.home.mode(&place.file()), 0o600);
}

#[test]
fn json_tells_what_is_set_now() {
    let place = Place::new();
    place.signed_in(3000);
    place.home.cmd(&["account", "set", MY_IDP, "a=1", "b=2"]).run().ok();
    let name = format!("{MY_IDP}/{ME}");
    let output = place.home.cmd(&["account", "set", &name, "a=", "c=x=y z", "--json"]).run();
    let wanted = json!({"version": 1, "provider": MY_IDP, "account": ME,
        "attributes": {"b": "2", "c": "x=y z"}});
    assert_eq!(output.ok().json(), wanted);
    place
        .home
        .cmd(&["account", "set", MY_IDP, "b=", "c=", "gone="])
        .run()
        .ok()
        .stderr_has("no attributes");
    assert_eq!(place.stored()["attributes"], json!({}));
}

#[test]
fn attributes_outlive_refresh_and_login() {
    let place = Place::new();
    place.signed_in(EXPIRED_S);
    place.home.cmd(&["account", "set", MY_IDP, "note=kept", "priority=3"]).run().ok();
    assert_eq!(place.refreshes(), 0);
    place.token().run().ok();
    assert_eq!(place.stored()["attributes"]["note"], "kept");
    place.sign_in(ME).ok();
    assert_eq!(place.stored()["attributes"], json!({"note": "kept", "priority": "3"}));
}

#[test]
fn nothing_else_of_the_account_changes() {
    let place = Place::new();
    place.signed_in_with(3000, &json!({"of_tomorrow": [1], "extra": {"x": "y"}}));
    place.home.cmd(&["account", "set", MY_IDP, "note=m"]).run().ok();
    let mut before = place.stored();
    before["attributes"] = json!({"note": "n"});
    place.home.cmd(&["account", "set", MY_IDP, "note=n"]).run().ok();
    let after = place.stored();
    assert_eq!(after, before);
    assert_eq!((&after["of_tomorrow"], &after["extra"]["x"]), (&json!([1]), &json!("y")));
}

#[test]
fn a_wrong_call_changes_nothing() {
    let place = Place::new();
    place.signed_in(3000);
    let before = place.bytes();
    let long = format!("note={}", "x".repeat(1025));
    for words in [
        &["account", "set", MY_IDP][..],
        &["account", "set", MY_IDP, "note"],
        &["account", "set", MY_IDP, "=x"],
        &["account", "set", MY_IDP, "a b=x"],
        &["account", "set", MY_IDP, "good=1", "no/te=x"],
        &["account", "set", MY_IDP, &long],
        &["account", "set"],
        &["account"],
    ] {
        place.home.cmd(words).run().code(2).stdout_is("").stderr_has("try: ");
    }
    assert_eq!(place.bytes(), before);
    let nobody = place.home.cmd(&["account", "set", "claude", "note=x"]).run();
    nobody.code(4).stdout_is("").stderr_has("keyfob login claude");
    let nobody = place.home.cmd(&["account", "set", "my-idp/you", "note=x"]).run();
    nobody.code(4).stdout_is("");
}

#[test]
fn the_terminal_is_safe_from_a_note() {
    let sandbox = Sandbox::new();
    sandbox.cmd(&["login", "groq", "--api-key-stdin"]).stdin("gsk-0123456789").run().ok();
    let output = sandbox.cmd(&["account", "set", "groq", "note=\u{1b}[31mred\nline"]).run();
    let plain = |c: char| c == '\n' || !c.is_control();
    output.ok().check(output.stderr.chars().all(plain), "plain text");
    output.check(output.stderr.lines().count() == 1, "one line");
    let status = sandbox.cmd(&["status"]).run();
    status.ok().check(status.stdout.chars().all(plain), "plain text");
    status.check(status.stdout.lines().count() == 2, "head and one row");
}
