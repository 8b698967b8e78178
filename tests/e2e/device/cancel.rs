//! The end of a login before its end, and how others see one that is being asked for.

use std::fs::rename;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{Begun, LIMIT, Polling, ask, completing, demo};
use crate::support::idp::{Fault, Times};

/// How long a login keeps one of its names; much longer than one look at a file takes.
const DWELL: Duration = Duration::from_micros(200);
const ROUNDS: usize = 150;

#[test]
fn a_cancelled_login_is_over_for_everybody() {
    let demo = demo();
    let cancel = |login_id: &str| demo.sandbox.cmd(&["pending", "cancel", login_id]).run();
    let begun = Begun::of(&demo, "demo");
    cancel(&begun.login_id).ok().stdout_is("");
    ask(&demo).code(6).stdout_is("");
    completing(&demo, &["--login-id", &begun.login_id]).run().code(6).stdout_is("");
    assert_eq!(demo.idp.count("device_poll"), 0);

    let polling = Polling::start(&demo, &[]);
    demo.idp.wait_for("device_pending", 1);
    let list = demo.sandbox.cmd(&["pending", "list", "--json"]).run().ok().json();
    cancel(list["pending"][0]["login_id"].as_str().unwrap()).ok();
    let start = Instant::now();
    let output = polling.process.wait(LIMIT);
    output.code(1).stdout_is("").stderr_has("cancelled").stderr_has("try: keyfob login demo");
    assert!(start.elapsed() < Duration::from_secs(3));
    let polling = Polling::start(&demo, &[]);
    demo.sandbox.cmd(&["pending", "cancel", "--all"]).run().ok();
    polling.process.wait(LIMIT).code(1).stdout_is("");
    assert_eq!((demo.pending_files().len(), demo.account_files().len()), (0, 0));
    demo.idp.assert_content();
}

#[test]
fn a_cancel_in_the_middle_of_a_poll_is_no_less_a_cancel() {
    let cancel_in_the_middle = |by_id: bool| {
        let demo = demo();
        demo.idp.fault("device_poll", Fault::Delay(800), Times::Always);
        let polling = Polling::start(&demo, &[]);
        demo.idp.wait_for("device_poll", 1);
        let list = demo.sandbox.cmd(&["pending", "list", "--json"]).run().ok().json();
        let which = if by_id { list["pending"][0]["login_id"].as_str().unwrap() } else { "--all" };
        demo.sandbox.cmd(&["pending", "cancel", which]).run().ok().stdout_is("");
        assert_eq!(demo.pending_files().len(), 0);
        polling.process.wait(LIMIT).code(1).stdout_is("").stderr_has("cancelled");
        demo.idp.assert_content();
    };
    std::thread::scope(|scope| {
        scope.spawn(|| cancel_in_the_middle(true));
        scope.spawn(|| cancel_in_the_middle(false));
    });
}

/// A poll is a claim and a release of the login, which other processes must not take for its end.
#[test]
fn a_login_that_is_being_claimed_is_never_out_of_sight() {
    let demo = demo();
    let begun = Begun::of(&demo, "demo");
    let file = demo.pending_files().remove(0);
    let claimed = file.with_extension("claimed");
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::SeqCst) {
                for (from, to) in [(&file, &claimed), (&claimed, &file)] {
                    rename(from, to).unwrap();
                    std::thread::sleep(DWELL);
                }
            }
        });
        let seen = catch_unwind(AssertUnwindSafe(|| {
            for _ in 0..ROUNDS {
                let list = demo.sandbox.cmd(&["pending", "list", "--json"]).run();
                list.ok().check(list.stdout.contains(&begun.login_id), "the login");
            }
        }));
        is_over.store(true, Ordering::SeqCst);
        seen.unwrap_or_else(|panic| resume_unwind(panic));
    });
}
