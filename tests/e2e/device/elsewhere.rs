//! Begun in one process, approved anywhere, finished in another.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{Begun, LIMIT, Polling, ask, completing, demo};
use crate::login::demo::{Demo, eventually};
use crate::support::browser;
use crate::support::idp::{Dialect, Fault, Idp, Times};

/// One login was granted, and nobody asked for it again.
#[track_caller]
fn assert_one_answer(demo: &Demo, logins: usize) {
    let spent = demo.idp.devices().iter().filter(|device| device.is_spent).count();
    assert_eq!((spent, demo.idp.count("device_reuse")), (logins, 0));
    assert_eq!(demo.pending_files().len(), 0);
    demo.idp.assert_content();
}

#[test]
fn one_process_begins_it_is_approved_and_a_third_finishes() {
    let demo = demo();
    let begun = Begun::of(&demo, "demo");
    browser::get(&begun.url);
    let url = demo.idp.url(&format!("/_device?user_code={}&do=approve", begun.user_code));
    browser::request("POST", &url, &[], "").unwrap();
    completing(&demo, &[]).run().ok().stdout_is("").stderr_has("me@example.com");
    assert_one_answer(&demo, 1);
    let again = completing(&demo, &["--login-id", &begun.login_id]).run();
    again.code(6).stdout_is("").stderr_has("already used").stderr_has("demo/me@example.com");
    assert_one_answer(&demo, 1);
}

#[test]
fn of_many_processes_one_finishes_and_the_others_say_so() {
    let demo = demo();
    let begun = Begun::of(&demo, "demo");
    let all: Vec<_> = (0..4).map(|_| completing(&demo, &[]).spawn()).collect();
    demo.idp.wait_for("device_poll", 1);
    demo.idp.approve_device(&begun.user_code);
    let outputs: Vec<_> = all.into_iter().map(|process| process.wait(LIMIT)).collect();
    let reports: Vec<_> = outputs.iter().map(|output| output.report()).collect();
    let good = outputs.iter().filter(|output| output.status == Some(0)).count();
    assert!(good >= 1, "{}", reports.join("\n"));
    for output in outputs.iter().filter(|output| output.status != Some(0)) {
        output.code(6).stdout_is("");
    }
    assert_eq!(demo.account_files().len(), 1);
    assert_one_answer(&demo, 1);
}

#[test]
fn asking_once_while_another_finishes_is_told_so_at_once() {
    let demo = demo();
    demo.idp.approve_device(&Begun::of(&demo, "demo").user_code);
    demo.idp.fault("device_poll", Fault::Delay(700), Times::Once);
    let first = completing(&demo, &["--wait", "0"]).spawn();
    demo.idp.wait_for("device_poll", 1);
    let start = Instant::now();
    let second = ask(&demo);
    second.check(matches!(second.status, Some(0 | 6)), "done, or not yet").stdout_is("");
    assert!(start.elapsed() < Duration::from_secs(3));
    first.wait(LIMIT).ok();
    assert_one_answer(&demo, 1);
}

#[test]
fn a_waiting_terminal_and_a_second_process_both_end_well() {
    let demo = demo();
    let polling = Polling::start(&demo, &[]);
    let other = completing(&demo, &[]).spawn();
    demo.idp.wait_for("device_poll", 2);
    demo.idp.approve_device(&polling.user_code);
    let other = other.wait(LIMIT);
    other.ok().stdout_is("").stderr_has("me@example.com");
    let first = polling.process.wait(LIMIT);
    first.ok().stdout_is("").stderr_has("me@example.com");
    let elsewhere = |text: &str| text.contains("from another terminal");
    assert!(elsewhere(&first.stderr) != elsewhere(&other.stderr), "{}", other.report());
    assert_one_answer(&demo, 1);
}

#[test]
fn an_interrupted_wait_is_finished_later() {
    let demo = demo();
    let interrupted = ["INT", "TERM", "KILL"].map(|signal| {
        let polling = Polling::start(&demo, &["--json"]);
        polling.process.kill(signal);
        let start = Instant::now();
        let output = polling.process.wait(LIMIT);
        assert!(start.elapsed() < Duration::from_secs(1));
        let status = output.status.or(output.signal.map(|number| 128 + number));
        let wanted = [("INT", 130), ("TERM", 143), ("KILL", 137)];
        let wanted = wanted.iter().find(|(name, _)| *name == signal).map(|(_, code)| *code);
        output.check(status == wanted, signal).stdout_is("");
        polling.user_code
    });
    let list = demo.sandbox.cmd(&["pending", "list", "--json"]).run().ok().json();
    for user_code in interrupted {
        let all = list["pending"].as_array().unwrap();
        let login = all.iter().find(|login| login["user_code"] == *user_code).unwrap();
        let login_id = login["login_id"].as_str().unwrap();
        demo.idp.approve_device(&user_code);
        completing(&demo, &["--wait", "0", "--login-id", login_id]).run().ok();
    }
    assert_one_answer(&demo, 3);
}

#[test]
fn an_interrupt_in_the_middle_of_a_poll_loses_nothing() {
    let demo = demo();
    demo.idp.fault("device_poll", Fault::Hang, Times::Once);
    let polling = Polling::start(&demo, &[]);
    demo.idp.wait_for("device_poll", 1);
    polling.process.kill("INT");
    let output = polling.process.wait(Duration::from_secs(1));
    output.check(output.status == Some(130) || output.signal == Some(2), "interrupted");
    demo.idp.approve_device(&polling.user_code);
    ask(&demo).ok();
    assert_one_answer(&demo, 1);
}

#[test]
fn a_process_takes_over_from_one_that_was_killed() {
    let demo = demo();
    let polling = Polling::start(&demo, &[]);
    let other = completing(&demo, &[]).spawn();
    demo.idp.wait_for("device_pending", 1);
    polling.process.kill("KILL");
    demo.idp.approve_device(&polling.user_code);
    other.wait(LIMIT).ok().stdout_is("");
    assert_one_answer(&demo, 1);
}

#[test]
fn one_of_several_is_named_by_its_id_or_its_account() {
    let demo = demo();
    let all = ["demo/a", "demo/b", "demo/b"].map(|account| Begun::of(&demo, account));
    all.iter().for_each(|begun| demo.idp.approve_device(&begun.user_code));
    for account in ["demo", "demo/b"] {
        let output = demo.login(&[account, "--complete", "--wait", "0"]).run();
        output.code(2).stdout_is("").stderr_has("--login-id");
        output.stderr_has(&all[1].login_id).stderr_has(&all[2].login_id);
    }
    assert_eq!(demo.idp.count("device_poll"), 0);
    demo.login(&["demo/a", "--complete", "--wait", "0"]).run().ok();
    demo.login(&["--complete", "--wait", "0", "--login-id", &all[1].login_id]).run().ok();
    ask(&demo).ok();
    assert_eq!(demo.account_files().len(), 2);
    assert_one_answer(&demo, 3);
}

#[test]
fn without_a_login_under_way_there_is_nothing_to_complete() {
    let demo = demo();
    ask(&demo).code(6).stdout_is("").stderr_has("try: keyfob login demo");
    for id in ["../config", "0123456789abcdef", "*", ""] {
        let output = completing(&demo, &["--login-id", id]).run();
        output.check(output.status == Some(6), id).stdout_is("");
    }
    demo.login(&["nobody", "--complete"]).run().code(2).stdout_is("");
}

#[test]
fn each_way_of_finishing_knows_its_own_logins() {
    let demo = demo();
    let object = demo.login(&["demo", "--print-auth-url", "--json"]).run().ok().json();
    let url = object["auth_url"].as_str().unwrap();
    let by_browser = object["login_id"].as_str().unwrap();
    ask(&demo).code(6);
    let begun = Begun::of(&demo, "demo");
    let output = completing(&demo, &["--wait", "0", "--login-id", by_browser]).run();
    output.code(2).stdout_is("").stderr_has("--callback-url");
    let callback = browser::approve(url);
    let wrong = ["--callback-url", &callback.location, "--login-id", &begun.login_id];
    let output = demo.login(&wrong).run();
    output.check(matches!(output.status, Some(2 | 6)), "not that one").stdout_is("");
    let wrong = ["demo", "--auth-code", &callback.code(), "--login-id", &begun.login_id];
    let output = demo.login(&wrong).run();
    output.check(matches!(output.status, Some(2 | 6)), "not that one").stdout_is("");
    assert_eq!(demo.idp.count("token_exchange"), 0);
    // A code alone can only be the browser's.
    demo.login(&["demo", "--auth-code", &callback.code()]).run().ok();
    demo.idp.approve_device(&begun.user_code);
    ask(&demo).ok();
    assert_one_answer(&demo, 1);
}

#[test]
fn a_later_edit_of_the_settings_does_not_change_who_is_asked() {
    let demo = demo();
    let begun = Begun::of(&demo, "demo");
    let elsewhere = Idp::start(Dialect::oidc());
    let mut config = demo.sandbox.read_config();
    for (key, path) in [("token_url", "/token"), ("device_url", "/device"), ("userinfo_url", "/u")]
    {
        config["providers"]["demo"][key] = json!(elsewhere.url(path));
    }
    demo.sandbox.write_config(&config);
    demo.idp.approve_device(&begun.user_code);
    ask(&demo).ok();
    assert!(elsewhere.requests().is_empty(), "{}", elsewhere.counters());
    let begun = demo.login(&["demo/later", "--device", "--print-auth-url"]).run();
    assert!(begun.ok().line().starts_with(elsewhere.origin()));
    demo.sandbox.write_config(&json!({}));
    elsewhere.approve_device(&elsewhere.devices()[0].user_code);
    let list = demo.sandbox.cmd(&["pending", "list", "--json"]).run().ok().json();
    let login_id = list["pending"][0]["login_id"].as_str().unwrap();
    demo.login(&["--complete", "--wait", "0", "--login-id", login_id]).run().ok();
    assert_one_answer(&demo, 1);
}

#[test]
fn the_device_code_is_not_heard_of() {
    let demo = demo();
    let log = |command: crate::support::command::Cmd| command.env("KEYFOB_LOG", "trace");
    let begin = demo.login(&["demo", "--device", "--print-auth-url"]);
    let mut outputs = vec![log(begin).run()];
    let device = demo.idp.devices()[0].clone();
    let said = |status: u16, code: &str| {
        let text = format!("no device_code={} here", device.device_code);
        Fault::json(status, &json!({"error": code, "error_description": text}))
    };
    for (fault, status) in [(said(500, "server_error"), 3), (said(400, "authorization_pending"), 6)]
    {
        demo.idp.fault("device_poll", fault, Times::Once);
        outputs.push(log(completing(&demo, &["--wait", "0"])).run());
        outputs.last().unwrap().code(status);
    }
    outputs.push(log(demo.sandbox.cmd(&["pending", "list", "--json"])).run());
    demo.idp.fault("device_poll", said(400, "access_denied"), Times::Once);
    outputs.push(log(completing(&demo, &["--wait", "0", "--json"])).run());
    outputs.last().unwrap().code(1);
    let polling = Polling::of(&demo, log(demo.login(&["demo", "--device"])));
    let second = demo.idp.devices()[1].clone();
    outputs.push(polling.approved(&demo));
    for output in outputs {
        for device in [&device, &second] {
            // Cut short it is as good a clue.
            let secret = &device.device_code[..12];
            output.stderr_lacks(secret).check(!output.stdout.contains(secret), "no device code");
        }
    }
    let mut left = demo.sandbox.files(&demo.sandbox.user_home());
    left.retain(|file| demo.sandbox.read(file).contains(&second.device_code));
    assert!(left.is_empty(), "{left:?}");
    eventually("the end", || demo.pending_files().is_empty());
}
