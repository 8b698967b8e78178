//! A token that ends: renewed once for all, and what a renewal that fails leaves.

use std::time::{Duration, Instant};

use serde_json::json;

use super::Desk;
use crate::support::idp::{Fault, Times};

#[test]
fn ten_calls_with_an_expired_token_make_one_refresh() {
    let desk = Desk::new();
    desk.sign_in(&[]);
    desk.expire();
    let mut proxy = desk.headless(&[]);
    for at in 0..10 {
        proxy.send(&format!("r{at}"), "tools/list");
    }
    for at in 0..10 {
        assert!(proxy.answer(&format!("r{at}"))["result"].is_object());
    }
    assert_eq!(desk.idp.count("token_refresh"), 1);
    assert_eq!(desk.idp.count("refresh_reuse"), 0);
    proxy.end();
}

#[test]
fn a_sign_in_of_this_very_process_is_renewed_too() {
    let desk = Desk::new();
    let mut proxy = desk.proxy(&[]);
    proxy.sign_in();
    desk.idp.expire_access_tokens();
    assert!(proxy.ask("b", "tools/list")["result"].is_object());
    assert_eq!(desk.idp.count("token_refresh"), 1);
    assert_eq!(desk.opened().len(), 1);
    proxy.end();
}

#[test]
fn a_token_of_three_seconds_is_used_and_not_refreshed_on_every_call() {
    let desk = Desk::new();
    desk.idp.set_access_lifetime(3);
    let mut proxy = desk.proxy(&[]);
    proxy.sign_in();
    for at in 0..5 {
        proxy.result(&format!("r{at}"), "tools/list");
    }
    assert_eq!(desk.idp.count("token_refresh"), 0);
    std::thread::sleep(Duration::from_millis(3_100));
    for at in 5..10 {
        proxy.result(&format!("r{at}"), "tools/list");
    }
    assert_eq!(desk.idp.count("token_refresh"), 1);
    proxy.end();
}

#[test]
fn one_503_of_the_token_endpoint_is_asked_again() {
    let desk = Desk::new();
    desk.idp.fault("token_exchange", Fault::Status(503), Times::Once);
    let mut proxy = desk.proxy(&[]);
    let page = proxy.sign_in();
    assert_eq!((page.status, desk.idp.count("token_exchange")), (200, 2));
    desk.expire();
    desk.idp.fault("token_refresh", Fault::Status(503), Times::Once);
    proxy.result("b", "tools/list");
    assert_eq!(desk.idp.count("token_refresh"), 2);
    desk.idp.assert_content();
    proxy.end();
}

#[test]
fn trouble_at_the_token_endpoint_changes_nothing_and_asks_nobody() {
    let desk = Desk::new();
    desk.sign_in(&[]);
    desk.expire();
    let before = desk.account();
    desk.idp.fault("token_refresh", Fault::RetryAfter(503, "7".into()), Times::Always);
    let mut proxy = desk.proxy(&[]);
    let (code, error) = proxy.error("a", "initialize");
    assert_eq!((code, &error["data"]["retry_after"]), (-31004, &json!(7)), "{error}");
    assert_eq!(desk.account(), before);
    assert!(desk.opened().is_empty());
    desk.idp.clear_faults();
    proxy.result("b", "initialize");
    proxy.end();
}

#[test]
fn a_token_that_still_lives_is_used_when_its_renewal_fails() {
    let desk = Desk::new();
    desk.sign_in(&[]);
    let mut account = desk.account();
    account["expires_at"] = json!(crate::support::sandbox::in_seconds(20));
    account["refreshed_at"] = json!(crate::support::sandbox::in_seconds(-3_580));
    desk.sandbox.write_account(&desk.id(), "default", &account);
    desk.idp.fault("token_refresh", Fault::Status(503), Times::Always);
    let log = desk.sandbox.work().join("log").display().to_string();
    let mut proxy = desk.headless(&["--log-file", &log]);
    proxy.result("a", "initialize");
    proxy.end();
    assert!(desk.sandbox.read(log.as_ref()).contains("the old token is still good"));
}

#[test]
fn a_refused_refresh_is_a_sign_in_and_the_tokens_stay() {
    let desk = Desk::new();
    desk.sign_in(&[]);
    desk.expire();
    let refresh_token = desk.account()["refresh_token"].clone();
    desk.idp.fault("token_refresh", Fault::oauth_error("invalid_grant", 400), Times::Always);
    let mut proxy = desk.headless(&[]);
    let (code, error) = proxy.error("a", "initialize");
    assert_eq!(code, -31001, "{error}");
    assert_eq!(desk.account()["refresh_token"], refresh_token);
    proxy.error("b", "initialize");
    assert_eq!(desk.idp.count("token_refresh"), 1);
    proxy.end();
}

#[test]
fn a_server_that_refuses_every_token_starts_no_storm() {
    let desk = Desk::new();
    desk.sign_in(&[]);
    desk.resource.refuse_all();
    let mut proxy = desk.proxy(&[]);
    proxy.send("a", "initialize");
    crate::support::browser::follow(&proxy.0.auth_url());
    let answer = proxy.answer("a");
    assert_eq!(answer["error"]["code"], -31002, "{answer}");
    assert_eq!((desk.idp.count("token_refresh"), desk.opened().len()), (1, 1));
    for id in ["b", "c"] {
        assert_eq!(proxy.error(id, "tools/list").0, -31002);
    }
    assert_eq!((desk.idp.count("token_refresh"), desk.opened().len()), (1, 1));
    proxy.end();
}

#[test]
fn a_damaged_account_is_told_with_its_path() {
    let desk = Desk::new();
    desk.sign_in(&[]);
    let file = desk.sandbox.account_file(&desk.id(), "default");
    crate::support::sandbox::write_private(&file, "{");
    let (code, error) = desk.proxy(&[]).error("a", "initialize");
    assert_eq!((code, &error["data"]["kind"]), (-31002, &json!("store")));
    assert!(error["message"].as_str().unwrap().contains(&*file.to_string_lossy()), "{error}");
}

#[test]
fn a_dead_token_is_told_within_two_seconds() {
    let desk = Desk::new();
    desk.sign_in(&[]);
    desk.expire();
    desk.idp.fault("token_refresh", Fault::oauth_error("invalid_grant", 400), Times::Always);
    let begun = Instant::now();
    let output = desk.cmd(&["token", &desk.resource.url()]).run();
    output.code(4).stderr_has("try: keyfob login");
    assert!(begun.elapsed() < Duration::from_secs(2));
}
