//! How a device login ends: approved, denied, run out.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Begun, LIMIT, Polling, ask, completing, demo, demo_with, device_only};
use crate::login::demo::{Demo, keys};
use crate::support::browser;
use crate::support::idp::{Dialect, Fault, Interval, Times};

fn approved(demo: &Demo, account: &str) {
    demo.idp.approve_device(&Begun::of(demo, account).user_code);
}

#[test]
fn the_account_is_that_of_any_login() {
    let demo = demo();
    let url = demo.login(&["demo/browser", "--print-auth-url"]).run().ok().line().to_string();
    demo.finish(&browser::approve(&url).location).ok();
    approved(&demo, "demo/device");
    let output = ask(&demo);
    output.ok().stdout_is("").stderr_has("signed in to demo as me@example.com");
    let file = demo.sandbox.account_file("demo", "device");
    output.stderr_has(&file.display().to_string());
    assert_eq!(demo.sandbox.mode(&file), 0o600);
    let (by_browser, by_device) =
        (demo.sandbox.read_account("demo", "browser"), demo.sandbox.read_account("demo", "device"));
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&by_browser), names(&by_device));
    for key in ["kind", "identity", "scopes", "token_type", "extra", "version"] {
        assert_eq!(by_browser[key], by_device[key], "{key}");
    }
    let token = demo.sandbox.cmd(&["token", "demo/device"]).run();
    assert!(demo.idp.accepts_access(token.ok().line()));
    demo.sandbox.cmd(&["refresh", "demo/device"]).run().ok();
    assert!(!demo.sandbox.read(&file).contains(&demo.idp.devices()[0].device_code));
    assert_eq!((demo.idp.count("userinfo"), demo.pending_files().len()), (2, 0));
    demo.idp.assert_content();
}

/// GitHub's: neither an expiry nor a refresh token, and errors with status 200.
#[test]
fn a_token_that_never_ends_is_kept_as_such() {
    let mut dialect = Dialect::oidc();
    dialect.refresh_tokens = false;
    dialect.scope = Some("read:user".into());
    let demo = demo_with(dialect, |_| json!({"ways": ["device"], "scopes": ["read:user"]}));
    demo.idp.shape_device(|shape| shape.status = 200);
    let begun = Begun::of(&demo, "demo");
    ask(&demo).code(6);
    demo.idp.approve_device(&begun.user_code);
    demo.idp.fault("device_poll", Fault::Patch(json!({"expires_in": null})), Times::Once);
    ask(&demo).ok().stderr_has("no expiry known");
    let account = demo.sandbox.read_account("demo", "me@example.com");
    assert_eq!((&account["expires_at"], &account["refresh_token"]), (&Value::Null, &Value::Null));
    let token = demo.sandbox.cmd(&["token", "demo"]).run();
    assert!(demo.idp.accepts_access(token.ok().line()));
    demo.idp.assert_content();
}

#[test]
fn success_as_json_has_the_keys_of_the_contract() {
    let demo = demo();
    approved(&demo, "demo");
    let asked = completing(&demo, &["--wait", "0", "--json"]).run();
    let polling = Polling::start(&demo, &["--json"]);
    for output in [asked, polling.approved(&demo)] {
        let object = output.ok().json();
        let wanted = "version status provider account kind email expires_at scopes path";
        assert_eq!(keys(&output.stdout).join(" "), wanted);
        assert_eq!(
            (&object["status"], &object["account"]),
            (&json!("ok"), &json!("me@example.com"))
        );
        assert_eq!((&object["kind"], &object["provider"]), (&json!("oauth"), &json!("demo")));
    }
}

#[test]
fn nobody_having_decided_yet_is_exit_6_and_costs_nothing() {
    let demo = demo();
    // GitHub says it with 200.
    for status in [400, 200] {
        demo.idp.shape_device(|shape| shape.status = status);
        let begun = Begun::of(&demo, &format!("demo/{status}"));
        let before = demo.sandbox.read(demo.pending_files().last().unwrap());
        let arguments = ["--login-id", &begun.login_id, "--wait", "0", "--json"];
        let output = completing(&demo, &arguments).run();
        let error = output.code(6).stdout_is("").error_json();
        assert_eq!((&error["code"], &error["exit"]), (&json!("pending"), &json!(6)));
        let next = error["try"].as_str().unwrap_or_default();
        output.check(next.starts_with("keyfob login demo") && next.contains("--complete"), "try");
        let keep = ["device_code", "expires_at", "user_code"];
        let after = demo.sandbox.read(demo.pending_files().last().unwrap());
        let (before, after): (Value, Value) =
            (serde_json::from_str(&before).unwrap(), serde_json::from_str(&after).unwrap());
        assert!(keep.iter().all(|key| before[key] == after[key]), "{before}\n{after}");
    }
    assert_eq!((demo.idp.count("device_poll"), demo.account_files().len()), (2, 0));
    demo.idp.assert_content();
}

#[test]
fn a_no_ends_the_login_and_names_the_other_way() {
    for (demo, status, has_browser) in [(demo(), 400, true), (device_only(), 200, false)] {
        demo.idp.shape_device(|shape| shape.status = status);
        demo.idp.deny_device(&Begun::of(&demo, "demo").user_code);
        let output = ask(&demo);
        output.code(1).stdout_is("").stderr_has("access_denied").stderr_has("the person said no");
        let next = if has_browser { "try: keyfob login demo --no-browser\n" } else { "" };
        output.stderr_has(next);
        output.check(output.stderr.contains("--no-browser") == has_browser, "a way that is there");
        assert_eq!(demo.pending_files().len(), 0);
        ask(&demo).code(6).stdout_is("");
        assert_eq!(demo.idp.count("device_poll"), 1);
        demo.idp.assert_content();
    }
}

#[test]
fn a_code_that_ran_out_ends_the_login() {
    let demo = demo();
    demo.idp.expire_device(&Begun::of(&demo, "demo").user_code);
    let output = ask(&demo);
    output.code(6).stdout_is("").stderr_has("try: keyfob login demo --device");
    assert_eq!(demo.pending_files().len(), 0);
    ask(&demo).code(6);
    demo.idp.assert_content();
}

#[test]
fn a_waiting_terminal_learns_how_it_ended() {
    let demo = demo();
    let (denied, expired) = (Polling::start(&demo, &[]), Polling::start(&demo, &[]));
    demo.idp.deny_device(&denied.user_code);
    demo.idp.expire_device(&expired.user_code);
    denied.process.wait(LIMIT).code(1).stdout_is("").stderr_has("access_denied");
    let output = expired.process.wait(LIMIT);
    output.code(6).stdout_is("").stderr_has("try: keyfob login demo --device");
    assert_eq!(demo.pending_files().len(), 0);
    demo.idp.assert_content();
}

#[test]
fn the_lifetime_is_honoured_whatever_the_server_says_later() {
    let demo = demo();
    let short = Fault::Patch(json!({"expires_in": 2}));
    demo.idp.fault("device_start", short.clone(), Times::Once);
    let left = Begun::of(&demo, "demo/left");
    demo.idp.fault("device_start", short.clone(), Times::Once);
    let quick = (Polling::start(&demo, &[]), Instant::now());
    // Nobody waits for the next poll to notice.
    demo.idp.fault("device_start", short, Times::Once);
    demo.idp.shape_device(|shape| shape.interval = Interval::Absent);
    let slow = (Polling::start(&demo, &[]), Instant::now());
    for (polling, start) in [quick, slow] {
        let output = polling.process.wait(LIMIT);
        output.code(6).stdout_is("").stderr_has("try: keyfob login demo --device");
        let took = start.elapsed();
        assert!(
            (Duration::from_millis(900)..Duration::from_millis(3500)).contains(&took),
            "{took:?}"
        );
    }
    let list = demo.sandbox.cmd(&["pending", "list"]).run();
    list.ok().stdout_is("");
    demo.idp.approve_device(&left.user_code);
    let polls = demo.idp.count("device_poll");
    completing(&demo, &["--login-id", &left.login_id]).run().code(6).stdout_is("");
    assert_eq!(demo.idp.count("device_poll"), polls, "an expired login is not asked for");
    assert_eq!(demo.pending_files().len(), 0);
    demo.idp.assert_content();
}

#[test]
fn the_person_is_checked_at_the_end() {
    let demo = demo();
    let arguments = ["demo", "--device", "--print-auth-url", "--expect", "you@example.com"];
    demo.login(&arguments).run().ok();
    demo.idp.approve_device(&super::last_code(&demo));
    ask(&demo).code(1).stdout_is("").stderr_has("you@example.com").stderr_has("me@example.com");
    approved(&demo, "demo");
    let output = completing(&demo, &["--wait", "0", "--expect", "you@example.com"]).run();
    output.check(output.status != Some(0), "a refusal: me@example.com signed in").stdout_is("");
    assert_eq!((demo.account_files().len(), demo.idp.count("userinfo")), (0, 2));
    demo.sandbox.cmd(&["pending", "cancel", "--all"]).run().ok();
    approved(&demo, "demo");
    completing(&demo, &["--wait", "0", "--expect", "me@example.com", "--no-verify"]).run().ok();
    assert_eq!((demo.account_files().len(), demo.idp.count("userinfo")), (1, 2));
}

#[test]
fn a_name_may_be_given_at_the_end_and_must_fit_the_beginning() {
    let demo = demo();
    approved(&demo, "demo");
    demo.login(&["demo/work", "--complete", "--wait", "0"]).run().ok();
    assert!(demo.sandbox.account_file("demo", "work").exists());
    let begun = Begun::of(&demo, "demo/work");
    demo.next_person("you@example.com", "user-2");
    demo.idp.approve_device(&begun.user_code);
    let wrong = ["demo/home", "--complete", "--wait", "0", "--login-id", &begun.login_id];
    demo.login(&wrong).run().code(2).stdout_is("");
    let wrong = ["openai", "--complete", "--wait", "0", "--login-id", &begun.login_id];
    demo.login(&wrong).run().code(2).stdout_is("");
    assert_eq!(demo.pending_files().len(), 1, "nothing was asked");
    ask(&demo).code(1).stdout_is("").stderr_has("--replace");
    approved(&demo, "demo/work");
    completing(&demo, &["--wait", "0", "--replace"]).run().ok();
    let account = demo.sandbox.read_account("demo", "work");
    assert_eq!(account["identity"]["email"], "you@example.com");
    assert_eq!(demo.account_files().len(), 1);
    demo.idp.assert_content();
}
