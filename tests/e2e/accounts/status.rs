//! `status`: the table, its JSON, what counts as usable, and asking the provider.

use serde_json::{Value, json};

use crate::provider::Desk;
use crate::support::command::Output;
use crate::support::idp::{Fault, Times};
use crate::support::sandbox::{in_seconds, oauth_account, set_mode, write_private};

const ME: &str = "me@example.com";

/// One account of `mine`, its file changed before it is written.
fn with(ttl_s: i64, change: impl FnOnce(&mut Value)) -> Desk {
    let desk = Desk::ready();
    let mut account = oauth_account("mine", ME, &desk.idp.grant(), ttl_s);
    change(&mut account);
    desk.sandbox.write_account("mine", ME, &account);
    desk
}

#[track_caller]
fn accounts(output: &Output) -> Vec<Value> {
    output.json()["accounts"].as_array().expect("a list").clone()
}

/// State and exit code of the one account there is.
#[track_caller]
fn state(desk: &Desk) -> (String, Option<i32>) {
    let output = desk.cmd("status --json").run();
    let all = accounts(&output);
    assert_eq!(all.len(), 1, "{}", output.report());
    (all[0]["state"].as_str().unwrap_or_default().to_owned(), output.status)
}

fn keys(object: &Value) -> Vec<&str> {
    object.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[test]
fn nobody_signed_in_is_exit_4() {
    let desk = Desk::ready();
    let status = desk.cmd("status").run();
    status.code(4).stdout_is("").stderr_has("nobody is signed in");
    let status = desk.cmd("status --json").run();
    assert_eq!(status.code(4).json(), json!({"version": 1, "accounts": [], "sources": []}));
    assert_eq!(status.error_json()["code"], "sign_in_needed");
    let status = desk.cmd("status mine --json").run();
    assert_eq!(status.code(4).error_json()["try"], "keyfob login mine");
}

#[test]
fn the_json_has_the_keys_of_the_contract() {
    let desk = with(3600, |account| account["attributes"] = json!({"note": "work"}));
    let status = desk.cmd("status --json").run();
    assert!(status.ok().stdout.starts_with("{\"version\":1,\"accounts\":[{"), "{}", status.stdout);
    let account = &accounts(&status)[0];
    // `path` is more than CLI.md section 10 promises.
    let wanted = [
        "account",
        "can_refresh",
        "default",
        "expires_at",
        "identity",
        "kind",
        "note",
        "path",
        "provider",
        "source",
        "state",
    ];
    assert_eq!(keys(account), wanted);
    assert_eq!(keys(&account["identity"]), ["email", "organization", "subject"]);
    let known = json!({"provider": "mine", "account": ME, "default": true, "kind": "oauth",
        "state": "valid", "can_refresh": true, "source": "keyfob", "note": "work"});
    for (key, value) in known.as_object().expect("an object") {
        assert_eq!(&account[key], value, "{key}");
    }
    let expires_at = account["expires_at"].as_str().expect("a time");
    assert!(expires_at.ends_with('Z') && expires_at.len() == 20, "{expires_at}");
}

#[test]
fn the_table_is_for_people() {
    let desk = with(3600, |account| account["attributes"] = json!({"note": "work"}));
    desk.sit_down("you@example.com", -10);
    let status = desk.cmd("status").run();
    let lines: Vec<_> = status.ok().stdout.lines().collect();
    let head: Vec<_> = lines[0].split_whitespace().collect();
    assert_eq!(head, ["PROVIDER", "ACCOUNT", "KIND", "STATE", "EXPIRES", "SOURCE"]);
    assert_eq!(lines.len(), 3, "{}", status.stdout);
    let mine: Vec<_> = lines[1].split_whitespace().collect();
    assert_eq!(mine[..4], ["mine*", ME, "oauth", "valid"], "{}", lines[1]);
    assert!(lines[1].contains(" in 60 min ") || lines[1].contains(" in 59 min "), "{}", lines[1]);
    let file = desk.sandbox.account_file("mine", ME);
    assert!(lines[1].contains(&file.display().to_string()), "where it is: {}", lines[1]);
    assert!(lines[1].ends_with("work"), "{}", lines[1]);
    let yours: Vec<_> = lines[2].split_whitespace().collect();
    assert_eq!(yours[..4], ["mine", "you@example.com", "oauth", "expired"], "{}", lines[2]);
    let secret = desk.sandbox.read_account("mine", ME)["access_token"].clone();
    assert!(!status.stdout.contains(secret.as_str().expect("a token")));
}

#[test]
fn states_and_what_is_usable() {
    let no_refresh = |account: &mut Value| account["refresh_token"] = Value::Null;
    let refused = |account: &mut Value| {
        account["refused"] = json!({"code": "invalid_grant", "at": in_seconds(-60)});
    };
    let is = |desk: &Desk, wanted: &str, code: i32| {
        assert_eq!(state(desk), (wanted.to_owned(), Some(code)), "{}", desk.sandbox.listing());
        desk.cmd("status mine").run().code(code);
        desk.cmd("status mine/me@example.com").run().code(code);
    };
    is(&with(3600, |_| ()), "valid", 0);
    is(&with(3600, no_refresh), "valid", 0);
    is(&with(0, |account| account["expires_at"] = Value::Null), "valid", 0);
    is(&with(30, |_| ()), "expiring", 0);
    is(&with(30, no_refresh), "expiring", 0);
    // `token` would refresh it.
    is(&with(-10, |_| ()), "expired", 0);
    is(&with(-10, no_refresh), "expired", 4);
    is(&with(-10, refused), "refused", 4);
    // The token still lives, and is handed out.
    is(&with(3600, refused), "refused", 0);
    let damaged = with(3600, |_| ());
    write_private(&damaged.sandbox.account_file("mine", ME), "{\"version\":1,");
    is(&damaged, "damaged", 4);
}

#[test]
fn a_refused_account_cannot_be_refreshed() {
    let desk = with(3600, |account| {
        account["refused"] = json!({"code": "invalid_grant", "at": in_seconds(-60)});
    });
    let all = accounts(&desk.cmd("status --json").run());
    assert_eq!(all[0]["can_refresh"], false);
}

/// Exit 0 when any listed account is usable.
#[test]
fn one_usable_account_is_enough() {
    let desk = with(-10, |account| account["refresh_token"] = Value::Null);
    desk.cmd("status").run().code(4);
    desk.sit_down("you@example.com", 3600);
    desk.cmd("status").run().ok();
    desk.cmd("status mine/me@example.com").run().code(4);
}

#[test]
fn what_is_damaged_or_unreadable_is_listed_and_left_alone() {
    let desk = Desk::ready();
    let names = ["a", "b", "c", "d", "e"];
    for name in names {
        desk.sit_down(name, 3600);
    }
    let file = |name: &str| desk.sandbox.account_file("mine", name);
    write_private(&file("a"), "");
    set_mode(&file("b"), 0o644);
    let target = desk.sandbox.work().join("target");
    std::fs::rename(file("c"), &target).expect("a rename");
    std::os::unix::fs::symlink(&target, file("c")).expect("a symlink");
    std::fs::remove_file(file("d")).expect("a removal");
    std::fs::create_dir(file("d")).expect("a folder");
    write_private(&desk.sandbox.home().join("accounts/mine/a.json.damaged-1"), "{}");
    write_private(&desk.sandbox.home().join("accounts/mine/%zz.json"), "{}");
    let before = desk.sandbox.listing();

    let status = desk.cmd("status --json").run();
    let all = accounts(status.ok());
    let listed: Vec<_> = all.iter().map(|row| row["account"].as_str().unwrap_or("")).collect();
    assert_eq!(listed, names);
    for (row, name) in all.iter().zip(names) {
        let wanted = if name == "e" { "valid" } else { "damaged" };
        assert_eq!(row["state"], wanted, "{row}");
        assert_eq!(row["note"].is_string(), name != "e", "says why: {row}");
    }
    let table = desk.cmd("status").run();
    assert_eq!(table.ok().stdout.lines().count(), 6);
    status.stderr_has("chmod 600");
    assert_eq!(desk.sandbox.listing(), before, "nothing was changed");
    for name in ["a", "b", "c", "d"] {
        let token = desk.cmd(&format!("token mine/{name}")).run();
        token.code(5).stdout_is("").stderr_has(&file(name).display().to_string());
    }
}

#[test]
fn one_provider_or_account_can_be_asked_for() {
    let desk = Desk::ready();
    desk.sit_down(ME, 3600);
    desk.sit_down("you@example.com", 3600);
    desk.sandbox.write_oauth("claude", ME, &desk.idp.grant(), 3600);
    let count = |words: &str| accounts(desk.cmd(words).run().ok()).len();
    assert_eq!(count("status --json"), 3);
    assert_eq!(count("status mine --json"), 2);
    assert_eq!(count("status mine/you@example.com --json"), 1);
    assert_eq!(count("status anthropic --json"), 1);
    desk.cmd("status openai").run().code(4).stdout_is("");
    desk.cmd("status mine/nobody").run().code(4).stdout_is("");
    desk.cmd("status nobody").run().code(2).stdout_is("");
    desk.cmd("status a/b/c").run().code(2).stdout_is("");
    desk.cmd("status ../x").run().code(2).stdout_is("");
}

/// The line to run is one a shell takes as it is.
#[test]
fn the_next_step_is_quoted_for_a_shell() {
    let desk = Desk::ready();
    let status = desk.sandbox.cmd(&["status", "mine/$(touch x) y", "--json"]).run();
    assert_eq!(status.code(4).error_json()["try"], "keyfob login 'mine/$(touch x) y'");
    let token = desk.sandbox.cmd(&["token", "mine/a b", "--json"]).run();
    assert_eq!(token.code(4).error_json()["try"], "keyfob login 'mine/a b'");
}

#[test]
fn a_provider_ready_through_the_environment_is_listed() {
    let desk = Desk::ready();
    let key = "sk-ant-marker-0123456789";
    let status = desk.cmd("status --json").env("ANTHROPIC_API_KEY", key).run();
    let all = accounts(status.ok());
    assert_eq!(all.len(), 1);
    let wanted = json!({"provider": "anthropic-api", "account": null, "default": false,
        "state": "valid", "kind": "api_key", "expires_at": null, "can_refresh": false,
        "source": "env:ANTHROPIC_API_KEY"});
    for (name, value) in wanted.as_object().expect("an object") {
        assert_eq!(&all[0][name], value, "{name}");
    }
    status.check(!status.stdout.contains("marker"), "no key").stderr_lacks("marker");
    desk.cmd("status openai").env("ANTHROPIC_API_KEY", key).run().code(4);
    desk.cmd("status").env("ANTHROPIC_API_KEY", "").run().code(4).stderr_lacks("ANTHROPIC");

    let token = desk.cmd("token claude").env("ANTHROPIC_API_KEY", key).run();
    assert_eq!(token.ok().line(), key);
}

/// A variable that several rows read stands once in the list, with the row that is there for keys.
/// Who asks for another of them by name is told of that one.
#[test]
fn a_variable_of_several_rows_is_listed_once() {
    let desk = Desk::ready();
    let key = "sk-marker-0123456789";
    let providers = |words: &str, variable: &str| {
        let status = desk.cmd(words).env(variable, key).run();
        let all = accounts(status.ok());
        let wanted = format!("env:{variable}");
        all.iter().for_each(|row| assert_eq!(row["source"], wanted.as_str(), "{row}"));
        all.iter().map(|row| row["provider"].as_str().unwrap_or("").to_owned()).collect::<Vec<_>>()
    };
    for (variable, key_row, other) in [
        ("ANTHROPIC_API_KEY", "anthropic-api", "claude"),
        ("GEMINI_API_KEY", "gemini-api", "gemini"),
        ("OPENAI_API_KEY", "openai-api", "openai"),
    ] {
        assert_eq!(providers("status --json", variable), [key_row]);
        for asked in [key_row, other] {
            assert_eq!(providers(&format!("status {asked} --json"), variable), [asked]);
            let table = desk.cmd(&format!("status {asked}")).env(variable, key).run();
            table.ok().check(table.stdout.contains(&format!("env:{variable}")), "the variable");
        }
    }
    // Only the sign-in row reads this one, whatever its other variables are.
    assert_eq!(providers("status --json", "GOOGLE_API_KEY"), ["gemini"]);
}

/// The first variable of the row that is set counts; garbage in it is named and not passed over.
#[test]
fn garbage_in_a_variable_is_an_error_that_names_it() {
    let desk = Desk::ready();
    let (first, second) = ("GEMINI_API_KEY", "GOOGLE_API_KEY");
    for garbage in ["x", "two words here", "a\u{7}bcdefghij", "schlüssel-marker"] {
        let cmd =
            |words: &str| desk.cmd(words).env(first, garbage).env(second, "AIza-good-0123456789");
        let token = cmd("token gemini").run();
        token.code(1).stdout_is("").stderr_has(first).stderr_lacks("schl");
        let status = cmd("status gemini --json").run();
        status.code(4).stderr_has(first).stderr_lacks("schl");
        assert_eq!(status.json()["accounts"], json!([]));
    }
    let good = desk.cmd("token gemini").env(second, "AIza-good-0123456789").run();
    assert_eq!(good.ok().line(), "AIza-good-0123456789");
    let both = desk.cmd("token gemini").env(first, "first-0123").env(second, "second-0123").run();
    assert_eq!(both.ok().line(), "first-0123");
}

/// The same shape whatever stands behind it, so that a script needs no cases.
#[test]
fn a_token_in_json_has_the_keys_of_the_contract() {
    let wanted = [
        "account",
        "api_base",
        "expires_at",
        "headers",
        "kind",
        "provider",
        "token",
        "token_type",
        "version",
    ];
    let desk = Desk::ready();
    desk.sit_down(ME, 3600);
    let stored = desk.cmd("token mine --json").run();
    assert_eq!(keys(&stored.ok().json()), wanted);
    let key = desk.cmd("token claude --json").env("ANTHROPIC_API_KEY", "sk-ant-0123456789").run();
    let found = key.ok().json();
    for name in wanted {
        assert!(found.get(name).is_some(), "{name} is missing: {found}");
    }
    assert_eq!(found["kind"], "api_key");
    assert_eq!(found["token"], "sk-ant-0123456789");
}

// ---- --check

#[test]
fn a_check_asks_the_provider() {
    let desk = with(3600, |_| ());
    desk.cmd("status").run().ok();
    assert_eq!(desk.idp.counters(), json!({}), "the clock is trusted");
    desk.cmd("status --check").run().ok().stderr_lacks("warning");
    assert_eq!((desk.idp.count("userinfo"), desk.idp.count("token_refresh")), (1, 0));
    desk.idp.assert_content();
}

#[test]
fn a_check_renews_what_the_provider_turns_away() {
    let desk = with(3600, |_| ());
    let before = desk.sandbox.read_account("mine", ME)["access_token"].clone();
    desk.idp.expire_access_tokens();
    let status = desk.cmd("status --check --json").run();
    assert_eq!(accounts(status.ok())[0]["state"], "valid");
    assert_eq!(desk.idp.count("token_refresh"), 1);
    let after = desk.sandbox.read_account("mine", ME)["access_token"].clone();
    assert_ne!(before, after);
    assert!(desk.idp.accepts_access(after.as_str().expect("a token")));
}

#[test]
fn a_check_renews_what_ran_out() {
    let desk = with(-10, |_| ());
    let status = desk.cmd("status --check --json").run();
    assert_eq!(accounts(status.ok())[0]["state"], "valid");
    assert_eq!((desk.idp.count("userinfo"), desk.idp.count("token_refresh")), (0, 1));
}

#[test]
fn a_check_finds_out_that_a_sign_in_is_over() {
    let desk = with(-10, |_| ());
    desk.idp.fault("token_refresh", Fault::oauth_error("invalid_grant", 400), Times::Always);
    let status = desk.cmd("status --check --json").run();
    assert_eq!(accounts(status.code(4))[0]["state"], "refused");
    status.stderr_has("warning").stderr_has("invalid_grant");
    // Turned away by the provider although the clock says otherwise, and not renewable: dead.
    let desk = with(3600, |_| ());
    desk.idp.fault("token_refresh", Fault::oauth_error("invalid_grant", 400), Times::Always);
    desk.idp.expire_access_tokens();
    let status = desk.cmd("status --check --json").run();
    assert_eq!(accounts(&status)[0]["state"], "refused");
    status.code(4);
}

/// Turned away, and nothing to renew it with: the clock proves nothing.
#[test]
fn a_check_of_what_cannot_be_renewed() {
    let desk = with(3600, |account| account["refresh_token"] = Value::Null);
    desk.cmd("status --check").run().ok();
    desk.idp.expire_access_tokens();
    let status = desk.cmd("status --check --json").run();
    status.code(4).stderr_has("warning");
    assert_ne!(accounts(&status)[0]["state"], "valid");
    assert_eq!(desk.idp.count("token_refresh"), 0);
}

#[test]
fn a_check_that_cannot_reach_the_provider_is_a_warning() {
    let desk = with(3600, |_| ());
    for fault in [Fault::Drop, Fault::Status(500)] {
        desk.idp.fault("userinfo", fault, Times::Once);
        let status = desk.cmd("status --check --json").run();
        assert_eq!(accounts(status.ok())[0]["state"], "valid");
    }
    let desk = with(-10, |_| ());
    desk.idp.fault("token_refresh", Fault::Drop, Times::Once);
    let status = desk.cmd("status --check --json").run();
    assert_eq!(accounts(&status)[0]["state"], "expired");
    status.stderr_has("warning");
    desk.idp.fault("userinfo", Fault::Hang, Times::Once);
    desk.sit_down(ME, 3600);
    desk.cmd("status --check --timeout 1").run().ok().stderr_has("warning");
}
