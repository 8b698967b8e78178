//! The health of accounts, by the clock and the notes in their files.

use serde_json::{Value, json};

use super::{doctor, fault, offline, only, text};
use crate::support::idp::encoding::{jwt, now_s};
use crate::support::idp::{Fault, Times};
use crate::support::sandbox::in_seconds;
use crate::token::place::{EXPIRED_S, FRESH_S, ME, MY_IDP, Place, row_of};

/// The issuer refuses a refresh for good; doctor finds the note and asks nobody again.
#[test]
fn a_refused_refresh_is_told() {
    let place = Place::new();
    place.signed_in(EXPIRED_S);
    place.idp.fault("token_refresh", Fault::oauth_error("invalid_grant", 400), Times::Always);
    place.token().run().code(4);
    let before = place.bytes();
    place.idp.reset_records();
    let output = doctor(&place).run();
    only(&output, &[("account_refused", "error")]);
    let found = fault(&output, "account_refused");
    assert!(text(&found, "cause").contains("invalid_grant"), "{found}");
    assert_eq!(text(&found, "fix"), "keyfob login my-idp/me@example.com");
    assert_eq!((place.bytes(), place.refreshes()), (before, 0));
}

#[test]
fn an_account_without_refresh_token_is_told_when_it_ends() {
    for (ttl_s, wanted) in [
        (FRESH_S, &[][..]),
        (40, &[("account_expiring", "warning")]),
        (-60, &[("account_expired", "error")]),
    ] {
        let place = Place::new();
        place.signed_in_with(ttl_s, &json!({"refresh_token": null}));
        only(&offline(&place).run(), wanted);
    }
}

#[test]
fn a_stored_jwt_is_told_a_week_before_it_ends() {
    let day = 86_400;
    for (ttl_s, wanted) in [
        (8 * day, &[][..]),
        (6 * day, &[("account_expiring", "warning")]),
        (-day, &[("account_expired", "error")]),
    ] {
        let place = Place::new();
        let token = jwt(&json!({"exp": now_s().saturating_add_signed(ttl_s)}));
        place.home.write_account(MY_IDP, ME, &bearer(&token, ttl_s));
        let output = offline(&place).run();
        only(&output, wanted);
        if let [(code, _)] = wanted {
            let fix = fault(&output, code)["fix"].clone();
            assert_eq!(fix, "keyfob login my-idp/me@example.com --jwt-token -");
        }
    }
}

fn bearer(token: &str, ttl_s: i64) -> Value {
    json!({
        "version": 1, "provider": MY_IDP, "account": ME, "kind": "bearer", "access_token": token,
        "expires_at": in_seconds(ttl_s), "created_at": in_seconds(-60),
    })
}

#[test]
fn a_damaged_account_is_told_and_the_others_are_well() {
    let place = Place::new();
    place.signed_in_as("well@example.com", FRESH_S);
    for damage in ["", "{", "[]", "{\"version\":1}"] {
        crate::support::sandbox::write_private(&place.file(), damage);
        let output = offline(&place).run();
        only(&output, &[("account_damaged", "error")]);
        let found = fault(&output, "account_damaged");
        assert_eq!(text(&found, "fix"), "keyfob login my-idp/me@example.com");
        assert_eq!(place.bytes(), damage.as_bytes());
    }
}

#[test]
fn an_account_of_another_server_than_the_row_names_now_is_told() {
    let place = Place::new();
    let origin = place.idp.origin().to_owned();
    place.signed_in_with(FRESH_S, &json!({"issued_by": origin}));
    only(&offline(&place).run(), &[]);
    place.signed_in_with(FRESH_S, &json!({"issued_by": "https://old.example"}));
    only(&offline(&place).run(), &[("account_foreign", "error")]);
}

#[test]
fn an_account_of_a_provider_that_is_gone_is_told() {
    let place = Place::new();
    place.signed_in(FRESH_S);
    place.home.write_config(&json!({}));
    let output = doctor(&place).run();
    only(&output, &[("provider_unknown", "error")]);
    assert_eq!(place.idp.requests().len(), 0);
}

#[test]
fn a_provider_that_its_owner_has_ended_is_a_warning() {
    let place = Place::new();
    let mut row = row_of(&place.idp);
    row["closed"] = json!({"since": "2026-01-01", "note": "Take a key instead."});
    place.home.write_config(&json!({"providers": {MY_IDP: row}}));
    place.signed_in(FRESH_S);
    let output = offline(&place).run();
    only(&output, &[("provider_closed", "warning")]);
    assert_eq!(text(&fault(&output, "provider_closed"), "fix"), "Take a key instead.");
}

/// The clock can be told to be wrong without any server.
#[test]
fn an_account_of_the_future_shows_that_the_clock_was_put_back() {
    let place = Place::new();
    place.signed_in_with(FRESH_S, &json!({"refreshed_at": in_seconds(7_200)}));
    only(&offline(&place).run(), &[("clock_put_back", "warning")]);
}

#[test]
fn a_tool_that_is_signed_out_is_told_with_its_own_command() {
    let place = Place::new();
    let mut row = row_of(&place.idp);
    row["ways"] = json!(["tool"]);
    row["tool"] = json!({
        "program": "their-agent", "status": ["status"], "login": ["login"],
        "files": ["~/their.json"], "token": "/token",
    });
    row["api"] = json!({"base": place.idp.url("/v1")});
    place.home.write_config(&json!({"providers": {MY_IDP: row}}));
    let file = place.home.user_home().join("their.json");
    place.home.write_account(
        MY_IDP,
        ME,
        &json!({
            "version": 1, "provider": MY_IDP, "account": ME, "kind": "bearer",
            "borrowed_from": file, "created_at": in_seconds(-60),
        }),
    );
    let output = doctor(&place).run();
    only(&output, &[("tool_signed_out", "error")]);
    assert_eq!(text(&fault(&output, "tool_signed_out"), "fix"), "their-agent login");
    let token = jwt(&json!({"exp": now_s() + 86_400 * 30}));
    std::fs::write(&file, json!({"token": token}).to_string()).expect("ours");
    only(&doctor(&place).run(), &[]);
}

#[test]
fn keys_do_not_expire_and_their_api_is_asked_without_them() {
    let place = Place::new();
    let row = json!({"ways": ["api_key"], "api": {"base": place.idp.url("/v1")}});
    place.home.write_config(&json!({"providers": {MY_IDP: row}}));
    place.home.write_account(
        MY_IDP,
        ME,
        &json!({
            "version": 1, "provider": MY_IDP, "account": ME, "kind": "api_key",
            "access_token": "sk-marker-0123456789", "created_at": in_seconds(-60),
        }),
    );
    let output = doctor(&place).run();
    only(&output, &[]);
    let requests = place.idp.requests();
    assert_eq!(requests.len(), 1);
    assert!(!format!("{requests:?}").contains("marker"), "{requests:?}");
}
