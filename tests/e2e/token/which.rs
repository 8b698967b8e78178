//! Which credential is meant: several accounts, variables, nobody at all.

use std::time::Duration;

use serde_json::json;

use super::place::{EXPIRED_S, FRESH_S, Place, text};
use crate::support::sandbox::{in_seconds, oauth_account};

const KEY: &str = "sk-ant-api03-abcdefghijkl";

/// Two fresh accounts; the first one in the alphabet signed in last.
fn two() -> (Place, String, String) {
    let place = Place::new();
    let mut tokens = Vec::new();
    for (name, age_s) in [("home@example.com", 1000), ("work@example.com", 5000)] {
        let grant = place.idp.grant();
        let mut account = oauth_account(place.provider, name, &grant, FRESH_S);
        account["created_at"] = json!(in_seconds(-age_s));
        place.home.write_account(place.provider, name, &account);
        tokens.push(format!("{}\n", grant.access_token));
    }
    let work = tokens.pop().expect("two");
    let home = tokens.pop().expect("two");
    (place, home, work)
}

#[test]
fn the_default_is_the_account_that_signed_in_first_until_one_is_chosen() {
    let (place, home, work) = two();
    place.token().run().ok().stdout_is(&work);
    place.home.cmd(&["use", "my-idp/home@example.com"]).run().ok();
    place.token().run().ok().stdout_is(&home);
    place.home.cmd(&["use", "my-idp/work@example.com"]).run().ok();
    place.token().run().ok().stdout_is(&work);
    assert_eq!(place.idp.requests().len(), 0);
}

#[test]
fn a_name_beats_the_variable_and_the_variable_beats_the_default() {
    let (place, home, work) = two();
    let variable = "KEYFOB_ACCOUNT_MY_IDP";
    place.token().env(variable, "home@example.com").run().ok().stdout_is(&home);
    place.token().env(variable, "").run().ok().stdout_is(&work);
    let named = place.token_of("work@example.com").env(variable, "home@example.com").run();
    named.ok().stdout_is(&work);
    place.home.cmd(&["use", "my-idp/work@example.com"]).run().ok();
    place.token().env(variable, "home@example.com").run().ok().stdout_is(&home);
}

#[test]
fn a_variable_that_names_nobody_never_falls_through() {
    let (place, ..) = two();
    let output = place.token().env("KEYFOB_ACCOUNT_MY_IDP", "nobody@example.com").run();
    output.code(4).stdout_is("").stderr_has("my-idp/nobody@example.com");
    output.stderr_has("  try: keyfob login my-idp/nobody@example.com\n");
}

#[test]
fn accounts_asked_for_at_once_each_give_their_own() {
    let place = Place::new();
    let names: Vec<String> = (0..6).map(|n| format!("user{n}@example.com")).collect();
    let old: Vec<_> = names.iter().map(|name| place.signed_in_as(name, EXPIRED_S)).collect();
    let running: Vec<_> = names.iter().map(|name| place.token_of(name).spawn()).collect();
    let mut seen = Vec::new();
    for ((name, running), old) in names.iter().zip(running).zip(old) {
        let output = running.wait(Duration::from_secs(30));
        let stored = place.home.read_account(place.provider, name);
        output.ok().stdout_is(&format!("{}\n", text(&stored, "access_token")));
        assert_ne!(text(&stored, "access_token"), old.access_token);
        seen.push(output.stdout.clone());
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), names.len(), "each its own");
    assert_eq!(place.refreshes(), names.len());
    place.idp.assert_content();
}

#[test]
fn nobody_signed_in_needs_a_sign_in() {
    let place = Place::new();
    let output = place.token().run();
    output.code(4).stdout_is("").stderr_has("\n  try: keyfob login my-idp\n");
    let output = place.token_of("me@example.com").run();
    output.code(4).stdout_is("").stderr_has("\n  try: keyfob login my-idp/me@example.com\n");
    let output = place.token().arg("--json").run();
    let error = output.code(4).stdout_is("").error_json();
    assert_eq!(error["code"], "sign_in_needed");
    assert_eq!(error["exit"], 4);
    assert_eq!(error["try"], "keyfob login my-idp");
    assert!(!place.home.home().join("accounts").exists(), "asking makes no folders");
}

#[test]
fn a_provider_nobody_knows_is_a_wrong_call() {
    let place = Place::new();
    for wrong in ["nobody-idp", "nobody-idp/me", "../accounts", "MY-IDP", "", "/", "my-idp/"] {
        let output = place.home.cmd(&["token", wrong]).run();
        output.code(2).stdout_is("").stderr_has("keyfob: ");
    }
    place.home.cmd(&["token"]).run().code(2).stdout_is("");
    place.home.cmd(&["token", "my-idp", "my-idp"]).run().code(2).stdout_is("");
}

#[test]
fn an_alias_means_its_provider() {
    let place = Place::of_row("claude");
    let grant = place.signed_in(FRESH_S);
    let output = place.home.cmd(&["token", "anthropic"]).run();
    output.ok().stdout_is(&format!("{}\n", grant.access_token));
}

#[test]
fn a_key_in_the_environment_serves_where_nobody_is_signed_in() {
    let place = Place::of_row("claude");
    let output = place.token().env("ANTHROPIC_API_KEY", KEY).run();
    output.ok().stdout_is(&format!("{KEY}\n"));
    let grant = place.signed_in(FRESH_S);
    let output = place.token().env("ANTHROPIC_API_KEY", KEY).run();
    output.ok().stdout_is(&format!("{}\n", grant.access_token));
    let output = place.token_of("nobody").env("ANTHROPIC_API_KEY", KEY).run();
    output.code(4).stdout_is("");
    assert_eq!(place.idp.requests().len(), 0);
}

#[test]
fn a_variable_that_holds_no_key_is_named_and_never_skipped() {
    let place = Place::of_row("claude");
    for garbage in ["two words", "short", "tab\tinside-it", "ключ-ключ-ключ"] {
        let output = place.token().env("ANTHROPIC_API_KEY", garbage).run();
        output.code(1).stdout_is("").stderr_has("ANTHROPIC_API_KEY");
        output.stderr_lacks(garbage);
    }
    place.token().env("ANTHROPIC_API_KEY", "").run().code(4).stdout_is("");
}

/// The shape of CLI.md section 4, whatever the token's source.
#[test]
fn a_key_from_the_environment_has_the_same_json_shape() {
    let place = Place::of_row("claude");
    let output = place.token().arg("--json").env("ANTHROPIC_API_KEY", KEY).run();
    let object = output.ok().json();
    let keys = [
        "version",
        "provider",
        "account",
        "kind",
        "token_type",
        "token",
        "expires_at",
        "api_base",
        "headers",
    ];
    for key in keys {
        assert!(object.get(key).is_some(), "{key} is missing in {object}");
    }
    assert_eq!(object["token"], KEY);
    assert_eq!(object["kind"], "api_key");
    assert_eq!(object["account"], json!(null));
}
