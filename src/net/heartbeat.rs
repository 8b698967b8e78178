//! Something to be done now and then while a thread waits for a server: whoever waits on behalf of
//! somebody else looks whether that one is still there, and gives a sign of life.

use std::cell::RefCell;
use std::time::Duration;

use ureq::unversioned::transport::{NextTimeout, Transport};

/// How often.
pub const EVERY: Duration = Duration::from_secs(1);

/// Says whether it is worth while to wait on.
type Beat = Box<dyn FnMut() -> bool>;

thread_local! {
    static BEAT: RefCell<Option<Beat>> = const { RefCell::new(None) };
}

/// Runs this; `beat` is called each second of a wait for bytes of a server that this thread makes
/// within. When it says no the wait fails as if the server had hung up.
pub fn during<T>(beat: impl FnMut() -> bool + 'static, work: impl FnOnce() -> T) -> T {
    let before = BEAT.replace(Some(Box::new(beat)));
    let outcome = work();
    BEAT.set(before);
    outcome
}

/// Waits for bytes as ureq would, in slices where somebody wants a beat.
pub(super) fn await_input(
    transport: &mut dyn Transport,
    timeout: NextTimeout,
) -> Result<bool, ureq::Error> {
    if BEAT.with_borrow(Option::is_none) {
        return transport.await_input(timeout);
    }
    let mut left: Duration = *timeout.for_read().after;
    loop {
        let slice = left.min(EVERY);
        // A time-out leaves a connection as it was: nothing had come.
        let outcome =
            transport.await_input(NextTimeout { after: slice.into(), per_read: None, ..timeout });
        match outcome {
            Err(ureq::Error::Timeout(_)) if slice < left => left -= slice,
            Err(ureq::Error::Timeout(_)) => {
                return Err(ureq::Error::Timeout(timeout.for_read().reason));
            }
            outcome => return outcome,
        }
        let goes_on = BEAT.with_borrow_mut(|beat| beat.as_mut().is_none_or(|beat| beat()));
        if !goes_on {
            return Err(std::io::Error::from(std::io::ErrorKind::ConnectionAborted).into());
        }
    }
}
