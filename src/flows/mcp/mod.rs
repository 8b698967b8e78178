//! One MCP server behind this process's stdin and stdout: each message goes out, its answer comes
//! back, and whatever stands between is done on the way (facts: mcp.md).

mod begin;
mod events;
mod exchange;
pub mod fault;
pub mod find_out;
mod headless;
mod older;
pub mod register;
mod session;
pub mod sign_in;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::account::AccountRef;
use crate::flows::fresh::Tools;
use crate::flows::mcp::fault::Fault;
use crate::flows::mcp::register::Given;
use crate::pending::PendingLogin;
use crate::protocol::jsonrpc::{self, Kind, Message};
use crate::protocol::modern::Annotations;
use crate::secret::Secret;
use crate::store::Log;
use crate::term;
use crate::time::Timestamp;

/// Which way of MCP over HTTP is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Streamable HTTP, and HTTP+SSE where the server has only that.
    Auto,
    Http,
    Sse,
}

/// What the person said of the server.
#[derive(Clone)]
pub struct Options {
    pub server: AccountRef,
    /// In its one form.
    pub url: String,
    pub headers: Vec<(String, Secret)>,
    pub given: Given,
    pub scope: Option<String>,
    pub resource: Option<String>,
    pub no_resource: bool,
    pub transport: Transport,
    pub callback_port: Option<u16>,
    pub auth_timeout: Duration,
}

/// What is shared by all messages under way.
pub struct Bridge<'a> {
    pub options: &'a Options,
    pub tools: Tools<'a>,
    pub log: Log,
    state: Mutex<State>,
    /// One person is asked at a time, and one handshake is repeated at a time.
    signing: Mutex<()>,
    restarting: Mutex<()>,
    /// The sign-in that a person was told of, where no browser can be opened.
    told: Mutex<Told>,
    /// An answer came on the stream of HTTP+SSE, or the stream was lost.
    news: Condvar,
}

/// What this process remembers of asking its person.
#[derive(Default)]
struct Told {
    has_been: bool,
    pending: Option<PendingLogin>,
    /// A sign-in that is being begun for somebody who has no browser.
    beginning: Option<headless::Beginning>,
    /// The token that the server turned away though it had just been issued.
    turned_away: Option<Secret>,
    /// Scopes that were asked for, each time all of them.
    scopes: BTreeSet<String>,
}

#[derive(Default)]
struct State {
    session: Option<Secret>,
    /// The revision agreed on in the handshake.
    version: Option<String>,
    /// The handshake as the client began it, to be repeated when the server forgets the session.
    initialize: Option<String>,
    /// How often it was begun: streams of an earlier one are over.
    epoch: u64,
    has_stream: bool,
    /// Where HTTP+SSE takes messages.
    endpoint: Option<String>,
    /// Ids of requests whose answer comes on the stream of HTTP+SSE.
    awaited: BTreeSet<String>,
    /// Requests that the client no longer wants, of the revision without notifications of that.
    cancelled: BTreeSet<String>,
    cookies: BTreeMap<String, String>,
    annotations: Annotations,
}

/// Closed until a message is through; those after it wait.
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn open(&self) {
        *lock(&self.0.0) = true;
        self.0.1.notify_all();
    }

    fn pass(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        let mut is_open = lock(&self.0.0);
        while !*is_open && Instant::now() < deadline {
            let wait = deadline.saturating_duration_since(Instant::now());
            let woken = self.0.1.wait_timeout(is_open, wait);
            is_open = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// A thread that panicked leaves nothing half done here: each change is one assignment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'a> Bridge<'a> {
    pub fn new(options: &'a Options, tools: Tools<'a>, log: Log) -> Bridge<'a> {
        Bridge {
            options,
            tools,
            log,
            state: Mutex::default(),
            signing: Mutex::default(),
            restarting: Mutex::default(),
            told: Mutex::default(),
            news: Condvar::new(),
        }
    }

    /// The gate for what comes after this message, if others have to wait for it.
    pub fn gate_of(message: &Message) -> Option<Gate> {
        let method = message.method.as_deref();
        let holds = matches!(method, Some("initialize" | "notifications/initialized"));
        holds.then(Gate::default)
    }

    /// One message of the client, from its line to its answer. `before` is the gate to wait at, `own`
    /// the one to open.
    pub fn deliver(&self, message: &Message, before: Option<&Gate>, own: Option<&Gate>) {
        if let Some(gate) = before {
            gate.pass(LONGEST_WAIT);
        }
        let outcome = self.exchange(message, own);
        if let Some(gate) = own {
            gate.open();
        }
        let Err(fault) = outcome else { return };
        let method = message.method.as_deref().unwrap_or("an answer");
        // The message may hold the server's own words, and the address of a sign-in.
        let status = fault.status.map_or(String::new(), |status| format!(" status {status}"));
        self.note(&format!("{method}: {} {}{status}", fault.code, fault.kind));
        match (&message.kind, &message.id) {
            (Kind::Request, Some(id)) if !self.is_cancelled(id) => self.refuse(id, &fault),
            _ => {}
        }
    }

    /// One line of the log.
    fn note(&self, line: &str) {
        self.log.line(Timestamp::now(), line);
    }

    fn refuse(&self, id: &Value, fault: &Fault) {
        self.write(&jsonrpc::error(id, fault.code, &fault.message, fault.data()));
    }

    /// One line on stdout. Nobody reads it any more: the client is gone, and so are we.
    fn write(&self, line: &str) {
        if !matches!(term::print_piece(&format!("{line}\n")), Ok(true)) {
            self.tools.store.discard();
            std::process::exit(0);
        }
    }

    fn is_cancelled(&self, id: &Value) -> bool {
        lock(&self.state).cancelled.contains(&id.to_string())
    }
}

/// A person may have to sign in first.
const LONGEST_WAIT: Duration = Duration::from_secs(15 * 60);

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    const LONG: Duration = Duration::from_secs(30);
    const SHORT: Duration = Duration::from_millis(50);

    fn message(line: &str) -> Message {
        match jsonrpc::parse(line) {
            jsonrpc::Parsed::Message(message) => *message,
            _ => Message::nobody(),
        }
    }

    #[test]
    fn only_the_handshake_holds_others_back() {
        let holds = |line: &str| Bridge::gate_of(&message(line)).is_some();
        assert!(holds(r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#));
        assert!(holds(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#));
        assert!(!holds(r#"{"jsonrpc":"2.0","id":2,"method":"tools/list"}"#));
        assert!(!holds(r#"{"jsonrpc":"2.0","id":3,"result":{}}"#));
    }

    #[test]
    fn all_who_wait_at_a_gate_pass_when_it_opens() {
        let gate = Gate::default();
        let (sender, passed) = mpsc::channel();
        for _ in 0..5 {
            let (gate, sender) = (gate.clone(), sender.clone());
            thread::spawn(move || {
                gate.pass(LONG);
                sender.send(()).unwrap();
            });
        }
        assert!(passed.recv_timeout(SHORT).is_err(), "it is closed");
        gate.open();
        for _ in 0..5 {
            passed.recv_timeout(LONG).unwrap();
        }
        // Whoever comes later finds it open, however often it is opened.
        gate.open();
        let begun = Instant::now();
        gate.pass(LONG);
        assert!(begun.elapsed() < LONG / 2);
    }

    #[test]
    fn a_gate_that_stays_closed_holds_nobody_for_ever() {
        let begun = Instant::now();
        Gate::default().pass(SHORT);
        assert!(begun.elapsed() >= SHORT && begun.elapsed() < LONG);
    }
}
