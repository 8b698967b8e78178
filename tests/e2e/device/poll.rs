//! Trouble while polling never ends a login.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{Begun, LIMIT, Polling, ask, assert_gaps, completing, demo};
use crate::login::demo::eventually;
use crate::support::idp::{Fault, Interval, Times};

#[test]
fn a_terminal_rides_out_every_trouble() {
    let troubles = [
        vec![Fault::Status(500), Fault::Html(502)],
        vec![Fault::RetryAfter(429, "1".into()), Fault::Drop],
        vec![Fault::Hang],
    ];
    let all = troubles.map(|faults| {
        let demo = demo();
        let count = faults.len();
        for fault in faults {
            demo.idp.fault("device_poll", fault, Times::Once);
        }
        let polling = Polling::start(&demo, &["--timeout", "1"]);
        demo.idp.approve_device(&polling.user_code);
        (demo, polling, count)
    });
    for (demo, polling, count) in all {
        polling.process.wait(LIMIT).ok().stdout_is("").stderr_has("me@example.com");
        assert_eq!(demo.idp.count("device_poll"), count + 1);
        assert_eq!(demo.pending_files().len(), 0);
        demo.idp.assert_content();
    }
}

#[test]
fn trouble_until_the_end_of_the_wait_keeps_the_login() {
    let demo = demo();
    let begun = Begun::of(&demo, "demo");
    demo.idp.fault("device_poll", Fault::Status(500), Times::Always);
    let output = completing(&demo, &["--wait", "1"]).run();
    output.check(matches!(output.status, Some(3 | 6)), "put off").stdout_is("");
    demo.idp.clear_faults();
    demo.idp.approve_device(&begun.user_code);
    ask(&demo).ok();
    demo.idp.assert_content();
}

#[test]
fn asked_once_a_temporary_trouble_is_exit_3_and_nothing_is_lost() {
    let trouble_once = |fault: Fault| {
        let name = format!("{fault:?}");
        let demo = demo();
        let begun = Begun::of(&demo, "demo");
        demo.idp.fault("device_poll", fault, Times::Once);
        let output = completing(&demo, &["--wait", "0", "--timeout", "1"]).run();
        output.check(output.status == Some(3), &format!("exit 3 ({name})")).stdout_is("");
        output.stderr_lacks("panicked");
        assert_eq!(demo.pending_files().len(), 1, "{name}");
        demo.idp.approve_device(&begun.user_code);
        let again = ask(&demo);
        again.check(again.status == Some(0), &format!("the login is good ({name})"));
        demo.idp.assert_content();
    };
    std::thread::scope(|scope| {
        let faults = [
            Fault::Status(500),
            Fault::Html(503),
            Fault::RetryAfter(429, "1".into()),
            Fault::Drop,
            Fault::oauth_error("temporarily_unavailable", 400),
            Fault::Hang,
        ];
        for fault in faults {
            scope.spawn(|| trouble_once(fault));
        }
    });
}

#[test]
fn an_answer_that_makes_no_sense_is_no_end() {
    let demo = demo();
    for fault in [
        Fault::Html(200),
        Fault::Html(403),
        Fault::Empty,
        Fault::Truncated,
        Fault::json(200, &json!([])),
        Fault::json(200, &json!({"access_token": ""})),
        Fault::Redirect("http://127.0.0.1:1/".into()),
    ] {
        let name = format!("{fault:?}");
        let begun = Begun::of(&demo, "demo");
        demo.idp.fault("device_poll", fault, Times::Once);
        let output = ask(&demo);
        output.check(matches!(output.status, Some(1 | 3)), &name).stdout_is("");
        assert_eq!((demo.pending_files().len(), demo.account_files().len()), (1, 0), "{name}");
        demo.sandbox.cmd(&["pending", "cancel", &begun.login_id]).run().ok();
    }
    demo.idp.assert_content();
}

#[test]
fn tokens_that_got_lost_are_not_had_by_asking_again() {
    let demo = demo();
    let begun = Begun::of(&demo, "demo");
    demo.idp.approve_device(&begun.user_code);
    demo.idp.fault("device_poll", Fault::DropAfterWork, Times::Once);
    ask(&demo).code(3).stdout_is("");
    ask(&demo).code(1).stdout_is("").stderr_has("invalid_grant").stderr_has("try: keyfob login");
    assert_eq!((demo.pending_files().len(), demo.account_files().len()), (0, 0));
}

#[test]
fn a_wait_is_as_long_as_it_was_asked_to_be() {
    let demo = demo();
    demo.idp.shape_device(|shape| shape.interval = Interval::Number(2));
    let begun = Begun::of(&demo, "demo");
    let start = Instant::now();
    let output = completing(&demo, &["--wait", "1"]).run();
    output.code(6).stdout_is("").stderr_has("--complete");
    let took = start.elapsed();
    assert!((Duration::from_millis(900)..Duration::from_millis(1800)).contains(&took), "{took:?}");
    demo.idp.approve_device(&begun.user_code);
    ask(&demo).ok();
    demo.idp.assert_content();
}

#[test]
fn a_slow_answer_is_waited_for_and_not_asked_for_twice() {
    let demo = demo();
    let polling = Polling::start(&demo, &[]);
    demo.idp.fault("device_poll", Fault::Delay(1200), Times::Once);
    demo.idp.fault("device_poll", Fault::Trickle(1), Times::Always);
    demo.idp.wait_for("device_poll", 1);
    demo.idp.approve_device(&polling.user_code);
    polling.process.wait(LIMIT).ok();
    assert_eq!(demo.idp.count("device_poll"), 1);
    demo.idp.assert_content();
}

#[test]
fn at_a_terminal_the_code_stays_in_sight_while_the_wait_counts_down() {
    let demo = demo();
    let process = demo.login(&["demo", "--device"]).pty().spawn();
    let url = process.stdout_line_containing(&demo.idp.url("/activate?"), LIMIT);
    assert!(url.starts_with("http://"), "alone on its line: {url}");
    eventually("the countdown", || process.stdout().contains("waiting "));
    let user_code = super::last_code(&demo);
    demo.idp.wait_for("device_pending", 1);
    demo.idp.approve_device(&user_code);
    let output = process.wait(LIMIT);
    output.ok().check(output.stdout.contains("me@example.com"), "who signed in");
    // The countdown goes up one line and clears it: that line must not be the code's.
    let before = output.stdout.split("waiting ").next().unwrap_or_default();
    output.check(before.contains(&format!("code: {user_code}\r\n")), "the code is a line");
    let below = before.rsplit(&user_code).next().unwrap_or_default();
    output.check(below.matches('\n').count() >= 2, "lines between the code and the countdown");
    assert_gaps(&demo, &[1.0]);
    demo.idp.assert_content();
}
