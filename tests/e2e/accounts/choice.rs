//! Several accounts of one provider: which one is meant, and every command that takes one.

use serde_json::json;

use crate::provider::Desk;
use crate::support::browser;
use crate::support::idp::{Fault, Times};
use crate::support::sandbox::{in_seconds, oauth_account};

/// Two accounts, `you` signed in first.
fn two() -> Desk {
    let desk = Desk::ready();
    for (name, age_s) in [("me", -100), ("you", -200)] {
        let mut account = oauth_account("mine", name, &desk.idp.grant(), 3600);
        account["created_at"] = json!(in_seconds(age_s));
        desk.sandbox.write_account("mine", name, &account);
    }
    desk
}

fn token(desk: &Desk, account: &str) -> String {
    let account = desk.sandbox.read_account("mine", account);
    account["access_token"].as_str().expect("a token").to_owned()
}

fn default_of(desk: &Desk) -> Vec<String> {
    let status = desk.cmd("status mine --json").run();
    let all = status.ok().json()["accounts"].as_array().expect("a list").clone();
    let chosen = all.iter().filter(|row| row["default"] == true);
    chosen.map(|row| row["account"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn each_account_has_its_own_token() {
    let desk = two();
    let mut children = Vec::new();
    for name in ["me", "you", "me", "you"] {
        children.push((name, desk.cmd(&format!("token mine/{name}")).spawn()));
    }
    for (name, child) in children {
        let output = child.wait(std::time::Duration::from_secs(20));
        assert_eq!(output.ok().line(), token(&desk, name));
    }
}

#[test]
fn the_first_sign_in_is_the_default_until_another_is_chosen() {
    let desk = two();
    assert_eq!(default_of(&desk), ["you"]);
    assert_eq!(desk.cmd("token mine").run().ok().line(), token(&desk, "you"));
    let chosen = desk.cmd("use mine/me").run();
    chosen.ok().stdout_is("").stderr_has("mine/me");
    assert_eq!(default_of(&desk), ["me"]);
    assert_eq!(desk.cmd("token mine").run().ok().line(), token(&desk, "me"));
    let stars = desk.cmd("status").run();
    let stars: Vec<_> = stars.ok().stdout.lines().filter(|line| line.contains('*')).collect();
    assert!(stars.len() == 1 && stars[0].contains(" me "), "{stars:?}");
    // The default went away: the other one it is.
    desk.cmd("logout mine").run().ok();
    assert_eq!(default_of(&desk), ["you"]);
    assert_eq!(desk.cmd("token mine").run().ok().line(), token(&desk, "you"));
}

/// The name typed, then the variable, then the default.
#[test]
fn a_variable_chooses_for_one_shell() {
    let desk = two();
    let cmd = |words: &str| desk.cmd(words).env("KEYFOB_ACCOUNT_MINE", "me");
    assert_eq!(cmd("token mine").run().ok().line(), token(&desk, "me"));
    assert_eq!(cmd("token mine/you").run().ok().line(), token(&desk, "you"));
    assert_eq!(desk.cmd("token mine").run().ok().line(), token(&desk, "you"));
    let nobody = desk.cmd("token mine").env("KEYFOB_ACCOUNT_MINE", "nobody").run();
    nobody.code(4).stdout_is("").stderr_has("mine/nobody");
    let empty = desk.cmd("token mine").env("KEYFOB_ACCOUNT_MINE", "").run();
    assert_eq!(empty.ok().line(), token(&desk, "you"));
    cmd("logout mine").run().ok();
    assert!(!desk.sandbox.account_file("mine", "me").exists());
    assert!(desk.sandbox.account_file("mine", "you").exists());
}

#[test]
fn a_dash_in_a_provider_is_an_underscore_in_the_variable() {
    let desk = Desk::new();
    desk.sandbox.write_config(&json!({"providers": {"my-idp.2": desk.plain_row()}}));
    for name in ["me", "you"] {
        desk.sandbox.write_oauth("my-idp.2", name, &desk.idp.grant(), 3600);
        let chosen = desk.cmd("token my-idp.2").env("KEYFOB_ACCOUNT_MY_IDP_2", name).run();
        let account = desk.sandbox.read_account("my-idp.2", name);
        assert_eq!(account["access_token"], chosen.ok().line());
    }
}

#[test]
fn an_account_is_chosen_by_its_whole_name() {
    let desk = two();
    let nobody = desk.cmd("use mine/nobody").run();
    nobody.code(4).stdout_is("").stderr_has("keyfob login mine/nobody");
    desk.cmd("use mine").run().code(2).stderr_has("PROVIDER/ACCOUNT");
    desk.cmd("use nobody/me").run().code(2);
    desk.cmd("use openai/me").run().code(4);
    desk.cmd("use").run().code(2);
    assert!(desk.sandbox.read_config().get("defaults").is_none());
    assert_eq!(default_of(&desk), ["you"]);
}

#[test]
fn every_command_takes_a_provider_with_an_account() {
    let desk = two();
    let begun = desk.cmd("login mine/third --print-auth-url --json").run();
    let begun = begun.ok().json();
    assert_eq!(begun["account"], "third");
    let url = begun["auth_url"].as_str().expect("a URL");
    let done = desk.cmd("login --callback-url -").stdin(browser::approve(url).location).run();
    done.ok();
    assert_eq!(desk.sandbox.read_account("mine", "third")["identity"]["email"], "me@example.com");
    desk.cmd("status mine/third").run().ok();
    desk.cmd("use mine/third").run().ok();
    assert_eq!(desk.cmd("token mine").run().ok().line(), token(&desk, "third"));
    let before = token(&desk, "third");
    desk.cmd("refresh mine/third").run().ok().stdout_is("");
    assert_ne!(before, token(&desk, "third"));
    desk.cmd("logout mine/third").run().ok();
    for words in ["token", "refresh", "logout", "use", "status"] {
        desk.cmd(&format!("{words} mine/third")).run().code(4).stdout_is("");
    }
    for words in ["token", "refresh", "logout", "login --print-auth-url", "status", "use"] {
        desk.cmd(&format!("{words} nobody/me")).run().code(2).stdout_is("");
    }
    desk.idp.assert_content();
}

#[test]
fn an_account_may_have_any_name() {
    let desk = Desk::ready();
    for name in ["with space", "auth0|12%3", "имя", "a/b", ".hidden", "quote's", "-dash"] {
        let typed = format!("mine/{name}");
        desk.sit_down(name, 3600);
        let found = desk.sandbox.cmd(&["token", &typed]).run();
        assert_eq!(found.ok().line(), token(&desk, name), "{name}");
        desk.sandbox.cmd(&["use", &typed]).run().ok();
        assert_eq!(default_of(&desk), [name]);
        desk.sandbox.cmd(&["refresh", &typed]).run().ok();
        desk.sandbox.cmd(&["logout", &typed]).run().ok();
        assert!(!desk.sandbox.account_file("mine", name).exists());
    }
}

// ---- refresh, of one and of all

#[test]
fn all_are_renewed_whatever_the_clock_says() {
    let desk = two();
    desk.sandbox
        .write_config(&json!({"providers": {"mine": desk.plain_row(), "other": desk.plain_row()}}));
    desk.sandbox.write_oauth("other", "me", &desk.idp.grant(), 3600);
    let refreshed = desk.cmd("refresh --all --json").run();
    let shape = refreshed.ok().json();
    assert!(refreshed.stdout.starts_with("{\"version\":1,\"refreshed\":[{"), "{shape}");
    assert_eq!(shape["refreshed"].as_array().map(Vec::len), Some(3));
    assert_eq!(shape["failed"], json!([]));
    let keys: Vec<_> = shape["refreshed"][0].as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["account", "expires_at", "provider"]);
    desk.cmd("refresh mine --all").run().ok().stdout_is("").stderr_has("mine/you");
    assert_eq!(desk.idp.count("token_refresh"), 5);
    desk.idp.assert_content();
}

#[test]
fn one_that_fails_does_not_stop_the_others() {
    let desk = two();
    desk.idp.fault("token_refresh", Fault::Status(503), Times::Once);
    let refreshed = desk.cmd("refresh --all --json").run();
    let shape = refreshed.code(3).json();
    assert_eq!(shape["refreshed"][0]["account"], "you");
    let failed = &shape["failed"][0];
    let keys: Vec<_> = failed.as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["account", "code", "message", "provider", "try"]);
    assert_eq!((&failed["account"], &failed["code"]), (&json!("me"), &json!("temporary")));
    assert_eq!(refreshed.error_json()["exit"], 3);

    desk.idp.fault("token_refresh", Fault::oauth_error("invalid_grant", 400), Times::Once);
    desk.idp.fault("token_refresh", Fault::Status(503), Times::Once);
    let both = desk.cmd("refresh --all --json").run();
    let shape = both.code(4).json();
    assert_eq!(shape["failed"].as_array().map(Vec::len), Some(2), "the first one decides");
    assert_eq!(shape["failed"][0]["try"], "keyfob login mine/me");
    let both = desk.cmd("refresh --all").run();
    both.code(4).stdout_is("").stderr_has("mine/me").stderr_has("refreshed mine/you");
}

#[test]
fn refresh_wants_to_know_whose() {
    let desk = Desk::ready();
    desk.cmd("refresh").run().code(2).stderr_has("keyfob refresh --all");
    desk.cmd("refresh mine").run().code(4).stderr_has("keyfob login mine");
    let all = desk.cmd("refresh --all --json").run();
    assert_eq!(all.ok().json()["refreshed"], json!([]));
}
