//! A message of the client on its way, from its line to its answer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::flows::mcp::lock;
use crate::net::hangup::Hangup;
use crate::protocol::jsonrpc::{self, Kind, Message};
use crate::text;

/// A person may have to sign in first.
const LONGEST_WAIT: Duration = Duration::from_secs(15 * 60);
/// A server that takes its time over a notification holds up nobody for longer.
const NOTIFICATION_WAIT: Duration = Duration::from_secs(10);

pub struct Errand {
    pub message: Message,
    pub hangup: Hangup,
    /// What later messages wait at.
    pub gate: Option<Gate>,
    progress: Mutex<Progress>,
    /// The client said so in a revision in which the server hears of it.
    is_given_up: AtomicBool,
    /// On its way to the server, where the answer comes on another stream.
    is_posted: AtomicBool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Open,
    /// Cancelled: nothing more is said about it.
    Unwanted,
    Answered,
}

impl Errand {
    pub fn new(message: Message) -> Errand {
        let method = message.method.as_deref();
        let holds = matches!(method, Some("initialize" | "notifications/initialized"));
        Errand {
            message,
            hangup: Hangup::default(),
            gate: holds.then(Gate::default),
            progress: Mutex::new(Progress::Open),
            is_given_up: AtomicBool::new(false),
            is_posted: AtomicBool::new(false),
        }
    }

    pub fn method(&self) -> &str {
        self.message.method.as_deref().unwrap_or_default()
    }

    /// What it is called in a log.
    pub fn name(&self) -> String {
        match self.method() {
            "" => "an answer".to_owned(),
            method => text::harmless(method, 80),
        }
    }

    /// The id to be answered; None: this is no request.
    pub fn id(&self) -> Option<&Value> {
        self.message.id.as_ref().filter(|_| self.message.kind == Kind::Request)
    }

    pub fn is_first(&self) -> bool {
        self.method() == "initialize"
    }

    /// Of the stateless revision: it has no session.
    pub fn is_modern(&self) -> bool {
        jsonrpc::meta_version(&self.message.value).is_some()
    }

    /// Takes the right to answer, which there is once.
    pub fn settle(&self) -> bool {
        let mut progress = lock(&self.progress);
        let is_open = *progress == Progress::Open;
        if is_open {
            *progress = Progress::Answered;
        }
        is_open
    }

    /// Nothing more is to be said: the connection ends, which tells the server.
    pub fn cancel(&self) {
        if std::mem::replace(&mut *lock(&self.progress), Progress::Unwanted) == Progress::Open {
            self.hangup.cut();
        }
    }

    pub fn is_open(&self) -> bool {
        *lock(&self.progress) == Progress::Open
    }

    pub fn is_unwanted(&self) -> bool {
        *lock(&self.progress) == Progress::Unwanted
    }

    pub fn give_up(&self) {
        self.is_given_up.store(true, Ordering::SeqCst);
    }

    pub fn is_given_up(&self) -> bool {
        self.is_given_up.load(Ordering::SeqCst)
    }

    pub fn set_posted(&self) {
        self.is_posted.store(true, Ordering::SeqCst);
    }

    pub fn is_posted(&self) -> bool {
        self.is_posted.load(Ordering::SeqCst)
    }

    /// Those that wait for this message may go.
    pub fn let_others_go(&self) {
        if let Some(gate) = &self.gate {
            gate.open_at(Instant::now());
        }
    }

    /// Those that wait for this notification need not wait for a slow server.
    pub fn is_leaving(&self) {
        if let Some(gate) = self.gate.as_ref().filter(|_| !self.is_first()) {
            gate.open_at(Instant::now() + NOTIFICATION_WAIT);
        }
    }
}

/// Closed until a message is through; those after it wait. None: nobody knows when.
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<Option<Instant>>, Condvar)>);

impl Gate {
    fn open_at(&self, time: Instant) {
        let mut opens = lock(&self.0.0);
        *opens = Some(opens.map_or(time, |before| before.min(time)));
        self.0.1.notify_all();
    }

    pub fn pass(&self) {
        let began = Instant::now();
        let mut opens = lock(&self.0.0);
        loop {
            let time = opens.unwrap_or(began + LONGEST_WAIT);
            let wait = time.saturating_duration_since(Instant::now());
            if wait.is_zero() {
                return;
            }
            let woken = self.0.1.wait_timeout(opens, wait);
            opens = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// So many at a time.
pub struct Turns {
    left: Mutex<usize>,
    is_free: Condvar,
}

/// One of them, until it is dropped.
pub struct Turn<'a>(&'a Turns);

impl Turns {
    pub fn new(count: usize) -> Turns {
        Turns { left: Mutex::new(count), is_free: Condvar::new() }
    }

    pub fn take(&self) -> Turn<'_> {
        let left = lock(&self.left);
        let left = self.is_free.wait_while(left, |left| *left == 0);
        *left.unwrap_or_else(PoisonError::into_inner) -= 1;
        Turn(self)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *lock(&self.0.left) += 1;
        self.0.is_free.notify_one();
    }
}
