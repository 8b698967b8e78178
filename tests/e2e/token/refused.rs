//! A definite no: sign in again, nothing is lost, and nobody asks a second time.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::place::{EXPIRED_S, FRESH_S, ME, Place, STALE_S, row_of, text};
use crate::support::idp::{Dialect, Fault, Grant, Idp, Times};
use crate::support::sandbox::oauth_account;

/// An account whose refresh token the issuer does not know.
fn doomed(place: &Place, ttl_s: i64) {
    place.signed_in_with(ttl_s, &json!({"refresh_token": "rt_of_another_life"}));
}

/// The account file without its note of a refusal.
fn without_note(place: &Place) -> Value {
    let mut stored = place.stored();
    stored.as_object_mut().expect("an object").remove("refused");
    stored
}

fn assert_kept(before: &Value, place: &Place) {
    let after = without_note(place);
    for (key, value) in before.as_object().expect("an object") {
        if key != "identity" {
            assert_eq!(&after[key], value, "{key}");
        }
    }
    assert_eq!(after["identity"]["subject"], before["identity"]["subject"]);
}

#[test]
fn invalid_grant_needs_a_sign_in_at_once_and_is_asked_once() {
    let place = Place::new();
    doomed(&place, EXPIRED_S);
    let before = place.stored();
    let begun = Instant::now();
    let output = place.token().run();
    let took = begun.elapsed();
    output.code(4).stdout_is("").stderr_has("invalid_grant");
    output.check(
        output.stderr.ends_with("\n  try: keyfob login my-idp/me@example.com\n"),
        "the command to run on a line of its own",
    );
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_eq!(place.refreshes(), 1);
    assert_kept(&before, &place);
    assert_eq!(place.stored()["refused"]["code"], "invalid_grant");
    assert_eq!(place.home.mode(&place.file()), 0o600);

    let noted = place.bytes();
    for arguments in
        [&["token", "my-idp"][..], &["refresh", "my-idp"], &["token", "my-idp/me@example.com"]]
    {
        let output = place.home.cmd(arguments).run();
        output.code(4).stdout_is("").stderr_has("invalid_grant");
        output.stderr_has("  try: keyfob login my-idp/me@example.com\n");
    }
    assert_eq!(place.refreshes(), 1, "nobody asks again");
    assert_eq!(place.bytes(), noted);
    let status = place.home.cmd(&["status", "--json"]).run();
    assert_eq!(status.code(4).json()["accounts"][0]["state"], "refused");
    place.idp.assert_content();
}

#[test]
fn a_new_login_clears_the_refusal() {
    let place = Place::new();
    doomed(&place, EXPIRED_S);
    place.token().run().code(4);
    place.sign_in(ME).ok();
    assert_eq!(place.stored()["refused"], Value::Null);
    let output = place.token().run();
    output.ok().stdout_is(&format!("{}\n", text(&place.stored(), "access_token")));
    let refreshed = place.home.cmd(&["refresh", "my-idp"]).run();
    refreshed.ok().stdout_is("");
    assert_eq!(place.refreshes(), 2, "the refused one and the one just asked for");
}

/// The first call hands the living token out; so must those that find the note.
#[test]
fn a_refused_account_hands_its_token_out_while_it_lives() {
    let place = Place::new();
    doomed(&place, STALE_S);
    let token = text(&place.stored(), "access_token").to_string();
    for call in ["first", "second"] {
        let output = place.token().run();
        output.check(output.status == Some(0), call);
        output.stdout_is(&format!("{token}\n")).stderr_has("keyfob: warning: ");
    }
    assert_eq!(place.refreshes(), 1, "nobody asks again");
}

#[test]
fn a_client_that_is_no_longer_known_needs_a_sign_in_but_is_not_noted() {
    let place = Place::new();
    place.signed_in(EXPIRED_S);
    let before = place.bytes();
    place.idp.forget_client("demo-client");
    for _ in 0..2 {
        let output = place.token().run();
        output.code(4).stdout_is("").stderr_has("invalid_client");
        output.stderr_has("  try: keyfob login my-idp/me@example.com\n");
    }
    assert_eq!(place.bytes(), before);
    assert_eq!(place.refreshes(), 2, "asked again, as it may have been repaired");
}

struct Class {
    row: &'static str,
    fault: Fault,
    code: i32,
    is_noted: bool,
}

fn class(row: &'static str, fault: Fault, code: i32, is_noted: bool) -> Class {
    Class { row, fault, code, is_noted }
}

fn openai_error(status: u16, code: &str) -> Fault {
    let error = json!({"code": code, "message": "no", "type": "invalid_request_error"});
    Fault::json(status, &json!({"error": error}))
}

fn claude_error(status: u16, kind: &str) -> Fault {
    Fault::json(status, &json!({"type": "error", "error": {"type": kind, "message": "no"}}))
}

/// Codes from the rows' own sources (`refusals`, `refresh_401_is_final` in providers.json).
#[test]
fn each_provider_s_way_of_saying_no_is_understood() {
    for class in [
        class("openai", openai_error(400, "refresh_token_reused"), 4, true),
        class("openai", openai_error(401, "refresh_token_expired"), 4, true),
        class("openai", openai_error(401, "refresh_token_invalidated"), 4, true),
        class("openai", openai_error(401, "something_new"), 4, true),
        class("openai", Fault::Html(401), 4, true),
        class("openai", Fault::body(401, "text/plain", ""), 4, true),
        class("openai", Fault::oauth_error("invalid_grant", 400), 4, true),
        class("openai", openai_error(400, "unknown_parameter"), 4, false),
        class("openai", Fault::Html(403), 1, false),
        class("claude", claude_error(404, "not_found_error"), 4, true),
        class("claude", claude_error(401, "authentication_error"), 4, true),
        class("claude", Fault::oauth_error("invalid_grant", 400), 4, true),
        class("claude", claude_error(400, "invalid_request_error"), 4, false),
        class("claude", claude_error(529, "overloaded_error"), 3, false),
        class("claude", claude_error(429, "rate_limit_error"), 3, false),
        class("google", Fault::oauth_error("invalid_grant", 400), 4, true),
        class("google", Fault::Html(401), 1, false),
    ] {
        let place = Place::of_row(class.row);
        let what = format!("{} {:?}", class.row, class.fault);
        // A person's own client, where the vendor has none for everyone.
        let client = json!({"client_id": place.idp.dialect().client_id,
                            "client_secret": place.idp.dialect().client_secret});
        place.signed_in_with(EXPIRED_S, &client);
        let before = place.stored();
        let bytes = place.bytes();
        place.idp.fault("token_refresh", class.fault, Times::Always);
        let output = place.token().run();
        output.check(output.status == Some(class.code), &format!("{what}: exit {}", class.code));
        output.stdout_is("");
        if class.is_noted {
            assert_kept(&before, &place);
            assert!(place.stored()["refused"]["code"].is_string(), "{what}");
        } else {
            assert_eq!(place.bytes(), bytes, "{what}");
        }
        place.token().run().code(class.code).stdout_is("");
        assert_eq!(place.refreshes(), if class.is_noted { 1 } else { 2 }, "{what}");
    }
}

#[test]
fn a_reused_refresh_token_of_openai_is_understood_without_a_fault() {
    let place = Place::of_row("openai");
    let grant = place.signed_in(EXPIRED_S);
    let before = place.bytes();
    place.token().run().ok();
    std::fs::write(place.file(), before).expect("the old file comes back");
    let output = place.token().run();
    output.code(4).stdout_is("").stderr_has("refresh_token_reused");
    assert_eq!(place.stored()["refused"]["code"], "refresh_token_reused");
    assert_eq!(place.stored()["refresh_token"], grant.refresh_token);
    place.idp.assert_content();
}

/// Somebody signed in again while the old refresh token was on its way to being refused.
#[test]
fn a_credential_that_changed_during_a_refused_refresh_wins() {
    let place = Place::new();
    doomed(&place, EXPIRED_S);
    place.idp.fault("token_refresh", Fault::Delay(1000), Times::Once);
    let running = place.token().spawn();
    place.idp.wait_for("token_refresh", 1);
    let newer = place.signed_in(FRESH_S);
    let written = place.bytes();
    let output = running.wait(Duration::from_secs(20));
    output.ok().stdout_is(&format!("{}\n", newer.access_token));
    assert_eq!(place.bytes(), written);
    assert_eq!(place.refreshes(), 1);
}

#[test]
fn an_account_that_went_away_during_a_refused_refresh_stays_away() {
    let place = Place::new();
    doomed(&place, EXPIRED_S);
    place.idp.fault("token_refresh", Fault::Delay(1000), Times::Once);
    let running = place.token().spawn();
    place.idp.wait_for("token_refresh", 1);
    std::fs::remove_file(place.file()).expect("the file is there");
    let output = running.wait(Duration::from_secs(20));
    output.code(4).stdout_is("").stderr_has("  try: keyfob login my-idp/me@example.com\n");
    assert!(!place.file().exists());
}

#[test]
fn a_refresh_token_never_travels_to_another_issuer() {
    let place = Place::new();
    let mut old: Grant = place.idp.grant();
    let elsewhere = Idp::start(Dialect::oidc());
    place.sign_in(ME).ok();
    assert_eq!(text(&place.stored(), "issued_by"), place.idp.origin());
    old.refresh_token = text(&place.stored(), "refresh_token").into();
    let mut account = oauth_account(place.provider, ME, &old, EXPIRED_S);
    account["issued_by"] = json!(place.idp.origin());
    place.home.write_account(place.provider, ME, &account);
    let before = place.bytes();

    place.home.write_config(&json!({"providers": {"my-idp": row_of(&elsewhere)}}));
    for arguments in [&["token", "my-idp"][..], &["refresh", "my-idp"]] {
        let output = place.home.cmd(arguments).run();
        output.code(4).stdout_is("").stderr_has("another server");
        output.stderr_has("  try: keyfob login my-idp/me@example.com\n");
    }
    assert_eq!(elsewhere.requests().len(), 0, "{:?}", elsewhere.counters());
    assert_eq!(place.bytes(), before);

    place.home.write_config(&json!({"providers": {"my-idp": row_of(&place.idp)}}));
    place.token().run().ok();
    assert_eq!(text(&place.stored(), "issued_by"), place.idp.origin());
}
