//! Ctrl-C while a refresh hangs.

use std::time::{Duration, Instant};

use super::place::{EXPIRED_S, Place};
use crate::support::idp::{Fault, Times};

const SIGINT: i32 = 2;
const AT_ONCE: Duration = Duration::from_secs(3);

/// A shell starts what it puts in the background with SIGINT ignored, and children inherit that:
/// then nobody can interrupt them, and it is nobody's fault.
fn is_interruptible() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    let is_ignored = mask & (1 << (SIGINT - 1)) != 0;
    if is_ignored {
        println!("skipped: SIGINT is ignored here");
    }
    !is_ignored
}

#[test]
fn an_interrupt_ends_a_hanging_refresh_at_once_and_frees_the_lock() {
    for signal in [("INT", SIGINT), ("TERM", 15)] {
        if signal.1 == SIGINT && !is_interruptible() {
            continue;
        }
        let place = Place::new();
        place.signed_in(EXPIRED_S);
        let before = place.bytes();
        place.idp.fault("token_refresh", Fault::Hang, Times::Once);
        let running = place.token().spawn();
        place.idp.wait_for("token_refresh", 1);
        running.kill(signal.0);
        let output = running.wait(AT_ONCE);
        output.check(output.signal == Some(signal.1), "ended by the signal");
        output.stdout_is("").stderr_lacks("panicked");
        assert_eq!(place.bytes(), before);

        let begun = Instant::now();
        place.token().run().ok();
        assert!(begun.elapsed() < AT_ONCE, "the lock is free");
        assert_eq!(place.refreshes(), 2);
    }
}

/// As a person does it; the shell sees 130.
#[test]
fn ctrl_c_at_a_terminal_is_130() {
    if !is_interruptible() {
        return;
    }
    let place = Place::new();
    place.signed_in(EXPIRED_S);
    place.idp.fault("token_refresh", Fault::Hang, Times::Once);
    let mut running = place.token().pty().spawn();
    place.idp.wait_for("token_refresh", 1);
    running.write_stdin("\x03");
    let output = running.wait(AT_ONCE);
    output.code(130);
    place.token().run().ok();
}

#[test]
fn one_who_waits_for_the_lock_is_interrupted_at_once() {
    if !is_interruptible() {
        return;
    }
    let place = Place::new();
    place.signed_in(EXPIRED_S);
    place.idp.fault("token_refresh", Fault::Delay(2500), Times::Once);
    let first = place.token().spawn();
    place.idp.wait_for("token_refresh", 1);
    let second = place.token().arg("--json").spawn();
    second.kill("INT");
    let output = second.wait(Duration::from_secs(2));
    output.check(output.signal == Some(SIGINT), "ended by the signal");
    output.stdout_is("");
    first.wait(Duration::from_secs(20)).ok();
    assert_eq!(place.refreshes(), 1);
}
