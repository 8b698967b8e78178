//! `refresh`: now, whatever the clock says.

use std::time::Duration;

use serde_json::{Value, json};

use super::place::{EXPIRED_S, FRESH_S, ME, Place, text};
use crate::support::idp::{Fault, Times};

#[test]
fn a_fresh_token_is_really_renewed() {
    let place = Place::new();
    let old = place.signed_in(FRESH_S);
    let output = place.home.cmd(&["refresh", "my-idp"]).run();
    output.ok().stdout_is("").stderr_has("my-idp/me@example.com");
    let stored = place.stored();
    assert_ne!(text(&stored, "access_token"), old.access_token);
    assert!(place.idp.accepts_refresh(text(&stored, "refresh_token")));
    assert_eq!(place.refreshes(), 1);
    assert_eq!(place.home.mode(&place.file()), 0o600);
    place.token().run().ok().stdout_is(&format!("{}\n", text(&stored, "access_token")));
    place.idp.assert_content();
}

#[test]
fn one_that_fails_keeps_the_file_and_hands_nothing_over() {
    let place = Place::new();
    place.signed_in(FRESH_S);
    let before = place.bytes();
    place.idp.fault("token_refresh", Fault::Status(500), Times::Once);
    place.home.cmd(&["refresh", "my-idp"]).run().code(3).stdout_is("");
    assert_eq!(place.bytes(), before);
}

#[test]
fn the_json_object_lists_what_was_renewed() {
    let place = Place::new();
    place.signed_in(FRESH_S);
    let output = place.home.cmd(&["refresh", "my-idp", "--json"]).run();
    let expires_at = text(&place.stored(), "expires_at").to_string();
    output.ok().stdout_is(&format!(
        "{{\"version\":1,\"refreshed\":[{{\"account\":\"me@example.com\",\
         \"expires_at\":\"{expires_at}\",\"provider\":\"my-idp\"}}],\"failed\":[]}}\n"
    ));
}

/// The exit code is that of the first failure, and a failure does not stop the others.
#[test]
fn all_accounts_are_renewed_though_some_fail() {
    let place = Place::new();
    let names = ["a@example.com", "b@example.com", "c@example.com", "d@example.com"];
    let old: Vec<_> = names.iter().map(|name| place.signed_in_as(name, FRESH_S)).collect();
    let no_refresh_token = place.home.account_file(place.provider, names[2]);
    let mut third = place.home.read_json(&no_refresh_token);
    third["refresh_token"] = Value::Null;
    place.home.write_account(place.provider, names[2], &third);
    // In the order of names: a is renewed, b fails for now, c cannot, d is renewed.
    place.idp.fault("token_refresh", Fault::Delay(0), Times::Once);
    place.idp.fault("token_refresh", Fault::RetryAfter(429, "5".into()), Times::Once);

    let output = place.home.cmd(&["refresh", "--all", "--json"]).run();
    let object = output.code(3).json();
    let renewed: Vec<_> = object["refreshed"].as_array().expect("a list").iter().collect();
    assert_eq!(renewed.len(), 2, "{object}");
    assert_eq!(
        (&renewed[0]["account"], &renewed[1]["account"]),
        (&json!(names[0]), &json!(names[3]))
    );
    let failed = object["failed"].as_array().expect("a list");
    assert_eq!(failed.len(), 2, "{object}");
    let keys =
        |entry: &Value| entry.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&failed[0]), ["account", "code", "message", "provider", "try"]);
    assert_eq!(
        (&failed[0]["account"], &failed[0]["code"]),
        (&json!(names[1]), &json!("temporary"))
    );
    assert_eq!(
        (&failed[1]["account"], &failed[1]["code"]),
        (&json!(names[2]), &json!("sign_in_needed"))
    );
    assert_eq!(failed[1]["try"], "keyfob login my-idp/c@example.com");
    assert_eq!(output.error_json()["exit"], 3);
    for (name, old) in names.iter().zip(&old) {
        let stored = place.home.read_account(place.provider, name);
        let is_new = text(&stored, "access_token") != old.access_token;
        assert_eq!(is_new, *name == names[0] || *name == names[3], "{name}");
    }
    assert_eq!(place.refreshes(), 3);
}

#[test]
fn all_of_nobody_is_done_at_once() {
    let place = Place::new();
    let output = place.home.cmd(&["refresh", "--all", "--json"]).run();
    output.ok().stdout_is("{\"version\":1,\"refreshed\":[],\"failed\":[]}\n");
    let output = place.home.cmd(&["refresh", "my-idp"]).run();
    output.code(4).stdout_is("").stderr_has("  try: keyfob login my-idp\n");
    place.home.cmd(&["refresh"]).run().code(2).stdout_is("").stderr_has("--all");
}

/// Two who ask at once share one request: the second finds the work done.
#[test]
fn two_at_once_share_one_request() {
    let place = Place::new();
    place.signed_in_as(ME, EXPIRED_S);
    place.idp.fault("token_refresh", Fault::Delay(600), Times::Once);
    let first = place.home.cmd(&["refresh", "my-idp"]).spawn();
    place.idp.wait_for("token_refresh", 1);
    let second = place.home.cmd(&["refresh", "my-idp"]).spawn();
    let third = place.token().run();
    first.wait(Duration::from_secs(20)).ok();
    second.wait(Duration::from_secs(20)).ok();
    third.ok().stdout_is(&format!("{}\n", text(&place.stored(), "access_token")));
    assert!(place.refreshes() <= 2, "{}", place.idp.counters());
    assert_eq!(place.idp.count("refresh_reuse"), 0);
}
