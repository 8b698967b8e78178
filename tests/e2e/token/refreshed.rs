//! A stale credential is renewed once, and nothing of the account is lost by it.

use serde_json::{Value, json};

use super::place::{EXPIRED_S, Place, text};
use crate::support::idp::{Fault, Times};
use crate::support::sandbox::in_seconds;

#[test]
fn a_stale_token_is_renewed_once_and_the_new_credential_is_on_disk() {
    let place = Place::new();
    let old = place.signed_in(EXPIRED_S);
    let output = place.token().run();
    output.check(output.stderr.is_empty(), "nothing on stderr");
    let stored = place.stored();
    output.ok().stdout_is(&format!("{}\n", text(&stored, "access_token")));
    assert!(place.idp.accepts_access(text(&stored, "access_token")));
    assert!(place.idp.accepts_refresh(text(&stored, "refresh_token")));
    assert_ne!(text(&stored, "refresh_token"), old.refresh_token);
    assert_eq!(place.refreshes(), 1);
    assert_eq!(place.home.mode(&place.file()), 0o600);
    assert_eq!(place.home.mode(&place.lock_file()), 0o600);
    assert_eq!(place.home.read(&place.lock_file()), "", "the lock is never the data");
    assert!(place.temp_files().is_empty(), "{}", place.home.listing());

    place.token().run().ok().stdout_is(&output.stdout);
    assert_eq!(place.idp.requests().len(), 1, "fresh now");
    place.idp.assert_content();
}

#[test]
fn what_keyfob_does_not_know_survives_a_refresh() {
    let place = Place::new();
    let mine = json!({
        "attributes": {"priority": "10", "note": "the good one"},
        "extra": {"project_id": "p-1", "deep": {"a": [1, {"b": null}]}},
        "of_tomorrow": {"list": [1, 2.5, "three"], "none": null},
        "another": true,
    });
    place.signed_in_with(EXPIRED_S, &mine);
    let before = place.stored();
    place.token().run().ok();
    let after = place.stored();
    for key in ["attributes", "extra", "of_tomorrow", "another", "identity", "created_at"] {
        assert_eq!(after[key], strip_nulls_of_identity(key, &before[key]), "{key}");
    }
    assert_ne!(after["access_token"], before["access_token"]);
    assert_ne!(after["refreshed_at"], before["refreshed_at"]);
}

/// A field that is absent may come back as null.
fn strip_nulls_of_identity(key: &str, value: &Value) -> Value {
    let mut value = value.clone();
    if key == "identity" && value.get("organization").is_none() {
        value["organization"] = Value::Null;
    }
    value
}

#[test]
fn an_unknown_field_inside_the_identity_survives_a_refresh() {
    let place = Place::new();
    let identity = json!({"email": "me@example.com", "subject": "user-1", "picture": "cat.png"});
    place.signed_in_with(EXPIRED_S, &json!({"identity": identity}));
    place.token().run().ok();
    assert_eq!(place.stored()["identity"]["picture"], "cat.png");
}

#[test]
fn fields_absent_from_an_answer_keep_their_old_value() {
    let place = Place::new();
    let changes = json!({"id_token": "old.id.token", "scopes": ["openid", "email"]});
    let old = place.signed_in_with(EXPIRED_S, &changes);
    let absent = json!({"refresh_token": null, "id_token": null, "scope": null});
    place.idp.fault("token_refresh", Fault::Patch(absent), Times::Once);
    let output = place.token().run();
    let stored = place.stored();
    output.ok().stdout_is(&format!("{}\n", text(&stored, "access_token")));
    assert_eq!(text(&stored, "refresh_token"), old.refresh_token);
    assert_eq!(stored["id_token"], "old.id.token");
    assert_eq!(stored["scopes"], json!(["openid", "email"]));
}

#[test]
fn empty_fields_of_an_answer_are_absent_ones() {
    let place = Place::new();
    let changes = json!({"id_token": "old.id.token", "scopes": ["openid"]});
    let old = place.signed_in_with(EXPIRED_S, &changes);
    let empty = json!({"refresh_token": "", "id_token": "", "scope": ""});
    place.idp.fault("token_refresh", Fault::Patch(empty), Times::Once);
    place.token().run().ok();
    let stored = place.stored();
    assert_eq!(text(&stored, "refresh_token"), old.refresh_token);
    assert_eq!(stored["id_token"], "old.id.token");
    assert_eq!(stored["scopes"], json!(["openid"]));
}

#[test]
fn odd_lifetimes_of_an_answer_are_understood() {
    for (written, lifetime_s) in [
        (json!("1800"), Some(1800)),
        (json!(1800.7), Some(1800)),
        (json!(1), Some(1)),
        (json!(0), Some(0)),
        (Value::Null, None),
        (json!(-5), None),
        (json!("soon"), None),
        (json!([3600]), None),
        (json!(1e300), Some(10 * 365 * 86_400)),
        (json!(u64::MAX), Some(10 * 365 * 86_400)),
    ] {
        let place = Place::new();
        place.signed_in(EXPIRED_S);
        let earliest = in_seconds(lifetime_s.unwrap_or(0));
        let patch = json!({"expires_in": written});
        place.idp.fault("token_refresh", Fault::Patch(patch), Times::Once);
        let output = place.token().run();
        let stored = place.stored();
        output.ok().stdout_is(&format!("{}\n", text(&stored, "access_token")));
        let latest = in_seconds(lifetime_s.unwrap_or(0));
        match lifetime_s {
            Some(_) => {
                let expires_at = text(&stored, "expires_at");
                let claim = format!("{written}: {earliest} <= {expires_at} <= {latest}");
                assert!(
                    earliest.as_str() <= expires_at && expires_at <= latest.as_str(),
                    "{claim}"
                );
            }
            None => assert_eq!(stored["expires_at"], Value::Null, "{written}"),
        }
    }
}

#[test]
fn a_token_just_renewed_is_handed_out_however_short_its_life() {
    let place = Place::new();
    place.signed_in(EXPIRED_S);
    place.idp.set_access_lifetime(1);
    let output = place.token().run();
    output.ok().stdout_is(&format!("{}\n", text(&place.stored(), "access_token")));
    output.check(output.stderr.is_empty(), "no warning");
    assert_eq!(place.refreshes(), 1);
}

/// The family is revoked only when the old token comes back, so a lost answer shows one call later.
#[test]
fn an_answer_lost_on_the_way_is_temporary_and_then_needs_a_sign_in() {
    let place = Place::new();
    place.signed_in(EXPIRED_S);
    let before = place.bytes();
    place.idp.fault("token_refresh", Fault::DropAfterWork, Times::Once);
    place.token().run().code(3).stdout_is("");
    assert_eq!(place.bytes(), before);
    let output = place.token().run();
    output.code(4).stdout_is("").stderr_has("  try: keyfob login my-idp/me@example.com\n");
    assert_eq!(place.refreshes(), 2);
}
