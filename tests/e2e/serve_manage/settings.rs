//! The management key on its way through `config`, and that it is shown nowhere.

use std::fs;

use serde_json::json;

use super::{KEY, bearer, get, post, with_issuer};
use crate::login::demo::eventually;
use crate::serve::kit::Gateway;
use crate::serve::upstream::Upstream;
use crate::support::sandbox::Sandbox;

#[test]
fn the_key_comes_from_stdin_and_counts_at_once() {
    let upstream = Upstream::good();
    let gateway = Gateway::before(&upstream);
    let set = gateway.cmd("config set serve.management_key -").stdin(format!("{KEY}\n")).run();
    set.ok().stdout_is("").stderr_lacks(KEY);
    assert_eq!(gateway.sandbox.read_config()["serve"]["management_key"], KEY);
    assert_eq!(gateway.sandbox.mode(&gateway.sandbox.home().join("config.json")), 0o600);
    let page = || gateway.ask(&gateway.bare("GET", "/manage")).status();
    eventually("the page", || page() == 200);
    get(&gateway, "accounts");
    gateway.cmd("config unset serve.management_key").run().ok();
    eventually("no page", || page() == 404);
}

#[test]
fn digits_are_a_key_too() {
    let upstream = Upstream::good();
    let gateway = Gateway::before(&upstream);
    for key in ["1234567890123456", "true", "[1]", "\"quoted\""] {
        gateway.cmd("config set serve.management_key -").stdin(key).run().ok();
        let ask = gateway.bare("GET", "/manage/api/accounts").with("Authorization", &bearer(key));
        eventually(key, || gateway.ask(&ask).status() == 200);
    }
}

#[test]
fn a_key_on_the_command_line_is_refused_and_not_repeated() {
    let sandbox = Sandbox::new();
    let set = sandbox.cmd(&["config", "set", "serve.management_key", KEY]).run();
    set.code(2).stdout_is("").stderr_has("stdin").stderr_lacks(KEY);
    set.stderr_has("keyfob config set serve.management_key -");
    assert!(!sandbox.home().join("config.json").exists());
    let whole = json!({"management_key": KEY}).to_string();
    let set = sandbox.cmd(&["config", "set", "serve", &whole]).run();
    set.code(2).stderr_lacks(KEY);
    for empty in ["", " \n"] {
        let set = sandbox.cmd(&["config", "set", "serve.management_key", "-"]).stdin(empty).run();
        set.code(2).stderr_has("stdin holds no management key");
    }
    // No header could bring these.
    for key in ["schlüssel-0123456789", "two\nlines-0123456789", "a\u{7f}b"] {
        let set = sandbox.cmd(&["config", "set", "serve.management_key", "-"]).stdin(key).run();
        set.code(2).stderr_has("visible ASCII").stderr_lacks(key);
    }
    assert!(!sandbox.home().join("config.json").exists());
}

#[test]
fn the_key_is_masked_wherever_settings_are_shown() {
    let sandbox = Sandbox::new();
    let other = json!({"serve": {"management_key": KEY, "routing": "fill-first"}});
    sandbox.write_config(&other);
    for words in [
        &["config", "list"][..],
        &["config", "list", "--json"],
        &["config", "get", "serve.management_key"],
        &["config", "get", "serve.management_key", "--json"],
        &["config", "get", "serve"],
        &["config", "get", "serve", "--json"],
        &["doctor"],
        &["doctor", "--json"],
        &["status"],
        &["status", "--json"],
        &["provider", "list", "--json"],
    ] {
        let output = sandbox.cmd(words).run();
        output.check(!output.stdout.contains(KEY), "the key is not shown").stderr_lacks(KEY);
    }
    let listed = sandbox.cmd(&["config", "list"]).run();
    listed.ok().check(listed.stdout.contains("serve.management_key"), "that there is one");
    listed.check(listed.stdout.contains("fill-first"), "the others as they are");
}

#[test]
fn a_wrong_type_in_the_settings_is_told_without_the_key() {
    let sandbox = Sandbox::new();
    sandbox.write_config(&json!({"serve": {"management_key": [KEY]}}));
    let serve = sandbox.cmd(&["serve", "--listen", "127.0.0.1:0"]).run();
    serve.code(1).stderr_has("serve.management_key").stderr_lacks(KEY);
    sandbox.write_config(&json!({"serve": {"management_key": KEY, "hosts": 1}}));
    let serve = sandbox.cmd(&["serve", "--listen", "127.0.0.1:0"]).run();
    serve.code(1).stderr_has("serve.hosts").stderr_lacks(KEY);
}

/// After a day of everything: sign-ins, wrong keys, wrong settings, at the most talkative level.
#[test]
fn the_key_is_in_no_log_no_error_and_no_file_but_its_own() {
    let upstream = Upstream::good();
    let (idp, gateway) = with_issuer(&upstream);
    let begun = post(&gateway, "logins", &json!({"provider": "demo"}), 201);
    let back = crate::support::browser::approve(begun["auth_url"].as_str().expect("a URL"));
    let path = format!("logins/{}", begun["login_id"].as_str().expect("an id"));
    post(&gateway, &path, &json!({"callback": format!("?code=c&state={KEY}")}), 400);
    post(&gateway, &path, &json!({"callback": back.location}), 200);
    post(&gateway, "keys", &json!({"name": "a key", "providers": 1}), 400);
    gateway.ask(&gateway.bare("GET", &format!("/manage/{KEY}"))).is(401);
    gateway.ask(&gateway.prompt().but("Authorization", &bearer(KEY))).is(401);
    let config = gateway.sandbox.read_config();
    gateway.sandbox.write_config(&json!({"serve": {"management_key": KEY, "routing": 1}}));
    gateway.running.stderr_line_containing("stay as they were", crate::serve::kit::LIMIT);
    gateway.sandbox.write_config(&config);
    let Gateway { sandbox, running, .. } = gateway;
    running.kill("TERM");
    let output = running.wait(crate::serve::kit::LIMIT);
    output.ok().check(output.stderr.contains("/token"), "a log").stderr_lacks(KEY);
    assert!(!format!("{:?}", idp.requests()).contains(KEY), "the issuer got it");
    for file in sandbox.files(&sandbox.user_home()) {
        let is_own = file.ends_with("config.json");
        let text = String::from_utf8_lossy(&fs::read(&file).unwrap()).into_owned();
        assert!(is_own || !text.contains(KEY), "{}", file.display());
    }
}
