//! OpenAI's own device sign-in: JSON both ways, and a code to exchange at the end.
//! Facts: github.com/openai/codex codex-rs/login/src/device_code_auth.rs (2026-11-21).

use serde_json::{Value, json};

use super::{LIMIT, Polling, assert_gaps, last_code};
use crate::login::demo::Demo;
use crate::support::command::Output;
use crate::support::idp::{Fault, Interval, Times};
use crate::support::sandbox::in_seconds;

fn demo() -> Demo {
    Demo::built_in("openai")
}

/// A login that is begun and left; its user code.
#[track_caller]
fn begun(demo: &Demo) -> String {
    let output = demo.login(&["openai", "--device", "--print-auth-url"]).run();
    output.ok().stdout_is(&format!("{}\n", demo.idp.url("/codex/device")));
    last_code(demo)
}

#[track_caller]
fn ask(demo: &Demo) -> Output {
    demo.login(&["openai", "--complete", "--wait", "0"]).run()
}

/// From the first word to the tokens; `pending` is the status of "not yet".
fn whole_login(pending: u16) {
    let demo = demo();
    demo.idp.shape_device(|shape| shape.openai_pending = pending);
    let polling = Polling::of(&demo, demo.login(&["openai", "--device"]));
    assert_eq!(polling.url, demo.idp.url("/codex/device"));
    demo.idp.wait_for("device_pending", 2);
    let user_code = polling.user_code.clone();
    let output = polling.approved(&demo);
    output.ok().stdout_is("").stderr_has(&user_code).stderr_has("me@example.com");
    output.stderr_has("approve only if you started this");
    assert_gaps(&demo, &[1.0, 1.0]);
    let account = demo.sandbox.read_account("openai", "me@example.com");
    assert_eq!(account["extra"]["account_id"], "acct-user-1");
    assert!(demo.idp.accepts_access(account["access_token"].as_str().unwrap()));
    assert_eq!((demo.idp.count("token_exchange"), demo.pending_files().len()), (1, 0));
    let exchange = &demo.idp.requests_to("token_exchange")[0];
    let callback = demo.idp.url("/deviceauth/callback");
    assert_eq!(exchange.param("redirect_uri"), Some(callback));
    for secret in ["code", "code_verifier"] {
        output.stderr_lacks(&exchange.param(secret).unwrap());
    }
    output.stderr_lacks(&demo.idp.devices()[0].device_code);
    demo.idp.assert_content();
}

#[test]
fn the_whole_login_whichever_way_pending_is_said() {
    std::thread::scope(|scope| {
        scope.spawn(|| whole_login(403));
        scope.spawn(|| whole_login(404));
    });
}

#[test]
fn it_is_begun_in_one_process_and_finished_in_another() {
    let demo = demo();
    for is_old_spelling in [false, true] {
        demo.idp.shape_device(|shape| shape.is_old_spelling = is_old_spelling);
        let arguments = ["openai", "--device", "--print-auth-url", "--json"];
        let object = demo.login(&arguments).run().ok().json();
        let user_code = last_code(&demo);
        assert_eq!(object["user_code"], user_code);
        assert_eq!(object["redirect_uri"], Value::Null);
        assert_eq!(object["complete_with"], "keyfob login openai --complete");
        if is_old_spelling {
            ask(&demo).code(6).stdout_is("");
        }
        demo.idp.approve_device(&user_code);
        ask(&demo).ok();
    }
    assert_eq!(demo.pending_files().len(), 0);
    demo.idp.assert_content();
}

#[test]
fn an_interval_left_out_is_five_seconds_and_the_code_lives_fifteen_minutes() {
    let demo = demo();
    demo.idp.shape_device(|shape| shape.interval = Interval::Absent);
    let arguments = ["openai", "--device", "--print-auth-url", "--json"];
    let object = demo.login(&arguments).run().ok().json();
    let range = in_seconds(890)..=in_seconds(900);
    assert!(range.contains(&object["expires_at"].as_str().unwrap().into()), "{object}");
    assert_eq!(demo.sandbox.read_json(&demo.pending_files()[0])["interval_s"], 5);
}

#[test]
fn an_account_without_it_is_told_where_to_switch_it_on() {
    let demo = demo();
    demo.idp.shape_device(|shape| shape.is_enabled = false);
    for more in [&[][..], &["--print-auth-url"]] {
        let output = demo.login(&[&["openai", "--device"], more].concat()).run();
        output.code(1).stdout_is("").stderr_has("security settings").stderr_has("ChatGPT");
        output.stderr_has("enable").stderr_has("try: keyfob login openai --no-browser");
    }
    assert_eq!(demo.pending_files().len(), 0);
    demo.idp.assert_content();
}

#[test]
fn a_no_and_a_code_that_ran_out_end_it() {
    let demo = demo();
    demo.idp.deny_device(&begun(&demo));
    let output = ask(&demo);
    output.code(1).stdout_is("").stderr_has("access_denied").stderr_has("--no-browser");
    assert_eq!(demo.pending_files().len(), 0);
    demo.idp.expire_device(&begun(&demo));
    let output = ask(&demo);
    output.check(matches!(output.status, Some(1 | 6)), "over").stdout_is("");
    assert_eq!(demo.pending_files().len(), 0);
    demo.idp.assert_content();
}

#[test]
fn trouble_at_the_poll_is_ridden_out() {
    let demo = demo();
    for fault in [Fault::Status(500), Fault::Drop] {
        demo.idp.fault("device_poll", fault, Times::Once);
    }
    let polling = Polling::of(&demo, demo.login(&["openai", "--device"]));
    polling.approved(&demo).ok();
    assert_eq!(demo.idp.count("device_poll"), 3);
    demo.idp.assert_content();
}

#[test]
fn trouble_at_the_exchange_does_not_cost_the_approval() {
    let trouble_once = |fault: Fault| {
        let name = format!("{fault:?}");
        let demo = demo();
        demo.idp.approve_device(&begun(&demo));
        demo.idp.fault("token_exchange", fault, Times::Once);
        let first = ask(&demo);
        if first.status != Some(0) {
            first.code(3).stdout_is("");
            assert_eq!(demo.pending_files().len(), 1, "{name}");
            let again = ask(&demo);
            again.check(again.status == Some(0), &format!("finished ({name})"));
        }
        assert_eq!((demo.account_files().len(), demo.pending_files().len()), (1, 0), "{name}");
        let polls = demo.idp.count("device_poll");
        assert_eq!((polls, demo.idp.count("device_reuse")), (1, 0), "{name}");
        demo.idp.assert_content();
    };
    std::thread::scope(|scope| {
        let faults = [Fault::Status(503), Fault::Drop, Fault::RetryAfter(429, "1".into())];
        for fault in faults {
            scope.spawn(|| trouble_once(fault));
        }
    });
}

#[test]
fn a_refused_code_ends_it() {
    let demo = demo();
    demo.idp.approve_device(&begun(&demo));
    demo.idp.fault("token_exchange", Fault::oauth_error("invalid_grant", 400), Times::Once);
    ask(&demo).code(1).stdout_is("").stderr_has("invalid_grant").stderr_has("try: keyfob login");
    assert_eq!((demo.account_files().len(), demo.pending_files().len()), (0, 0));
    demo.idp.assert_content();
}

#[test]
fn half_an_answer_is_no_approval() {
    let demo = demo();
    for answer in [
        json!({}),
        json!({"authorization_code": "x"}),
        json!({"code_verifier": "x"}),
        json!({"authorization_code": "", "code_verifier": ""}),
        json!({"authorization_code": 7, "code_verifier": 7}),
    ] {
        println!("{answer}");
        begun(&demo);
        demo.idp.fault("device_poll", Fault::json(200, &answer), Times::Once);
        let output = ask(&demo);
        output.check(output.status == Some(1), "makes no sense").stdout_is("");
        assert_eq!(demo.pending_files().len(), 1);
        demo.sandbox.cmd(&["pending", "cancel", "--all"]).run().ok();
    }
    assert_eq!(demo.idp.count("token_exchange"), 0);
    let polling = Polling::of(&demo, demo.login(&["openai", "--device"]));
    demo.sandbox.cmd(&["pending", "list"]).run().ok();
    polling.process.kill("INT");
    polling.process.wait(LIMIT);
    demo.idp.assert_content();
}
