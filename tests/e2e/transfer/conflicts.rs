//! What is there already stays, unless `--replace` says otherwise.

use serde_json::{Value, json};

use super::{account, import};
use crate::support::sandbox::{Sandbox, in_seconds};

const ME: &str = "me@example.com";

fn login(change: &Value) -> Value {
    let mut whole = json!({"refresh_token": "rt-1", "identity": {"email": ME, "subject": "s-1"}});
    for (key, value) in change.as_object().unwrap() {
        whole[key] = value.clone();
    }
    account("claude", ME, "oauth", &whole)
}

#[track_caller]
fn needs_replace(old: &Value, new: &Value) {
    let home = Sandbox::new();
    let (provider, name) = (old["provider"].as_str().unwrap(), old["account"].as_str().unwrap());
    let path = home.write_account(provider, name, old);
    let before = home.read(&path);
    let output = import(&home, &[], &new.to_string()).run();
    output.code(1).stdout_is("").stderr_has("is here already").stderr_has("--replace");
    assert_eq!(home.read(&path), before);
    import(&home, &["--replace"], &new.to_string()).run().ok();
    assert_eq!(home.read_account(provider, name)["access_token"], new["access_token"]);
}

#[track_caller]
fn takes_its_place(old: &Value, new: &Value) {
    let home = Sandbox::new();
    let (provider, name) = (old["provider"].as_str().unwrap(), old["account"].as_str().unwrap());
    home.write_account(provider, name, old);
    import(&home, &[], &new.to_string()).run().ok();
    assert_eq!(home.read_account(provider, name)["access_token"], new["access_token"]);
}

#[test]
fn another_person_stays() {
    let other =
        json!({"identity": {"email": "you@example.com", "subject": "s-2"}, "access_token": "t"});
    needs_replace(&login(&json!({})), &login(&other));
}

#[test]
fn a_whole_login_stays_where_a_copy_comes() {
    let copy = json!({"refresh_token": null, "access_token": "t"});
    needs_replace(&login(&json!({})), &login(&copy));
}

/// Its refresh token was spent meanwhile: the old copy would sign the machine out.
#[test]
fn what_was_renewed_since_stays() {
    let old = login(&json!({"refreshed_at": in_seconds(-10), "refresh_token": "rt-2"}));
    needs_replace(&old, &login(&json!({"access_token": "t", "refreshed_at": in_seconds(-900)})));
    let newer = login(&json!({"access_token": "t", "refreshed_at": in_seconds(-5)}));
    takes_its_place(&old, &newer);
}

/// Nobody knows whose they are.
#[test]
fn another_key_stays() {
    let key = |secret: &str| {
        let change = json!({"access_token": secret, "expires_at": null});
        account("groq", "default", "api_key", &change)
    };
    needs_replace(&key("gsk-first-0123456"), &key("gsk-second-012345"));
    takes_its_place(&key("gsk-first-0123456"), &key("gsk-first-0123456"));
}

#[test]
fn the_same_account_may_come_again() {
    takes_its_place(&login(&json!({})), &login(&json!({})));
    let expired = login(&json!({"refresh_token": null, "access_token": "old",
        "expires_at": in_seconds(-900), "refreshed_at": in_seconds(-4500)}));
    takes_its_place(&expired, &login(&json!({"access_token": "t"})));
}
