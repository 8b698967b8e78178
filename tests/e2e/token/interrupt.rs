//! Ctrl-C while a refresh hangs.

use std::time::{Duration, Instant};

use super::place::{EXPIRED_S, Place};
use crate::support::idp::{Fault, Times};

const AT_ONCE: Duration = Duration::from_secs(3);

#[test]
fn an_interrupt_ends_a_hanging_refresh_at_once_and_frees_the_lock() {
    for signal in [("INT", 2), ("TERM", 15)] {
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
