//! Where no browser can be opened: the client hears of it at once, and of the command that helps.

use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::flows::mcp::begin::Asking;
use crate::flows::mcp::fault::Fault;
use crate::flows::mcp::{Bridge, lock};
use crate::pending::PendingLogin;
use crate::protocol::challenge::Challenge;
use crate::protocol::jsonrpc;
use crate::term;
use crate::time::Timestamp;

/// A client that cannot sign in has to hear of it soon.
const LIMIT: Duration = Duration::from_millis(1_600);

/// A sign-in that is being begun by a thread; if it takes long, nobody waits for it any more.
pub struct Beginning {
    outcome: Receiver<Result<PendingLogin>>,
    deadline: Instant,
}

impl Bridge<'_> {
    /// What a client is told where no browser can be opened: the address, and the command that ends
    /// the sign-in. The next message finds the account, however it came there.
    pub(super) fn headless(&self, challenge: Challenge, before: Vec<String>, why: &str) -> Fault {
        let next = format!("keyfob login {}", self.options.url);
        let pending = self.begun_in_time(challenge, before);
        let what = match &pending {
            Ok(pending) => format!(
                "sign-in needed, and no browser can be opened here ({why}). Run: {next} - or open \
                 {} and then run: keyfob login --callback-url -",
                pending.auth_url
            ),
            Err(error) => format!(
                "sign-in needed, and no browser can be opened here ({why}). Run: {next} ({error})"
            ),
        };
        if !std::mem::replace(&mut lock(&self.told).has_been, true) {
            term::say(&format!("sign-in needed for {}; run: {next}", self.options.url));
        }
        match pending {
            // The command would fail in the same way.
            Err(
                error @ (Error::Failed { .. } | Error::Store { .. } | Error::Unreadable { .. }),
            ) => Fault::of_sign_in(&error),
            _ => Fault::new(jsonrpc::SIGN_IN_NEEDED, "sign_in", what).or_try(next),
        }
    }

    fn begun_in_time(&self, challenge: Challenge, before: Vec<String>) -> Result<PendingLogin> {
        let mut told = lock(&self.told);
        let is_plain = before.is_empty();
        if let Some(pending) = told.pending.as_ref().filter(|_| is_plain)
            && pending.expires_at > Timestamp::now()
            && self.tools.store.is_under_way(&pending.login_id)
        {
            return Ok(pending.clone());
        }
        let beginning = match told.beginning.take() {
            Some(beginning) => beginning,
            None => {
                let (sender, outcome) = mpsc::channel();
                let asking = Asking::of(self);
                // Nobody may wait for it any more.
                thread::spawn(move || {
                    let _ = sender.send(asking.begin_elsewhere(challenge, before));
                });
                Beginning { outcome, deadline: Instant::now() + LIMIT }
            }
        };
        let left = beginning.deadline.saturating_duration_since(Instant::now());
        let outcome = match beginning.outcome.recv_timeout(left) {
            Ok(outcome) => outcome,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                told.beginning = Some(beginning);
                return Err(Error::temporary("its authorization server takes long to answer"));
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                return Err(Error::temporary("the sign-in could not be begun"));
            }
        };
        told.pending = outcome.as_ref().ok().filter(|_| is_plain).cloned();
        outcome
    }
}
