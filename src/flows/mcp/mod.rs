//! One MCP server behind this process's stdin and stdout: each message goes out, its answer comes
//! back, and whatever stands between is done on the way (facts: mcp.md).

mod begin;
pub mod errand;
mod events;
mod exchange;
pub mod fault;
pub mod find_out;
mod headless;
mod older;
mod refusal;
pub mod register;
mod session;
pub mod sign_in;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::account::AccountRef;
use crate::flows::fresh::Tools;
use crate::flows::mcp::errand::{Errand, Gate, Turns};
use crate::flows::mcp::fault::Fault;
use crate::flows::mcp::older::Older;
use crate::flows::mcp::register::Given;
use crate::net::hangup::Hangup;
use crate::pending::PendingLogin;
use crate::protocol::jsonrpc::{self, Message};
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
    /// So many requests are under way together; more wait for their turn.
    pub most_at_once: usize,
}

/// What is shared by all messages under way.
pub struct Bridge<'a> {
    pub options: &'a Options,
    pub tools: Tools<'a>,
    pub log: Log,
    state: Mutex<State>,
    /// One person is asked at a time, and one handshake is repeated at a time.
    signing: Mutex<()>,
    /// How the last repetition failed, for those who waited for it.
    restarting: Mutex<Option<(Instant, Fault)>>,
    /// The sign-in that a person was told of, where no browser can be opened.
    told: Mutex<Told>,
    /// The server's own stream may be opened, or HTTP+SSE was lost or found again.
    news: Condvar,
    turns: Turns,
    /// What stderr was told last, as a client that tries again and again needs no second line.
    said: Mutex<String>,
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
    /// What the client asked of its session for as long as it lasts: the level of the log, and what it
    /// wants to hear of.
    wishes: BTreeMap<String, String>,
    /// How often it was begun: streams of an earlier one are over.
    epoch: u64,
    has_stream: bool,
    /// Ends the server's own stream.
    listening: Hangup,
    /// Where the server sent us, within its origin.
    moved: Option<String>,
    older: Older,
    /// The client's messages under way; the key tells nothing but the order.
    open: BTreeMap<u64, Arc<Errand>>,
    next_key: u64,
    cookies: BTreeMap<String, String>,
    annotations: Annotations,
}

/// A thread that panicked leaves nothing half done here: each change is one assignment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Requests of the proxy's own have ids that begin so, and nobody else's may.
const OWN_IDS: &str = "keyfob-proxy-";

/// Whether an id is one that only the proxy's own requests have.
pub fn is_own_id(id: &Value) -> bool {
    id.as_str().is_some_and(|id| id.starts_with(OWN_IDS))
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
            turns: Turns::new(options.most_at_once),
            said: Mutex::default(),
        }
    }

    /// A message that was read; `deliver` does the rest.
    pub fn take_in(&self, message: Message) -> (u64, Arc<Errand>) {
        let errand = Arc::new(Errand::new(message));
        let mut state = lock(&self.state);
        state.next_key += 1;
        let key = state.next_key;
        state.open.insert(key, Arc::clone(&errand));
        (key, errand)
    }

    /// One message of the client, from its line to its answer. `before` is the gate to wait at.
    pub fn deliver(&self, key: u64, errand: &Errand, before: Option<&Gate>) {
        if let Some(gate) = before {
            gate.pass();
        }
        // Notifications and answers never wait: requests may wait for them.
        let turn = errand.id().map(|_| self.turns.take());
        let outcome = errand.hangup.during(|| self.exchange(errand));
        drop(turn);
        errand.let_others_go();
        let is_awaited = errand.is_open() && errand.id().is_some();
        let outcome = match outcome {
            // The answer comes on the one stream.
            Ok(()) if is_awaited && errand.is_posted() => return,
            Ok(()) if is_awaited && !errand.is_given_up() => {
                Err(exchange::protocol("the server's answer is none to this request"))
            }
            outcome => outcome,
        };
        if let Err(fault) = outcome
            && !errand.is_unwanted()
        {
            self.fail(errand, &fault);
        }
        lock(&self.state).open.remove(&key);
    }

    /// A message that no thread can be started for.
    pub fn lose(&self, key: u64) {
        let errand = lock(&self.state).open.remove(&key);
        if let Some(errand) = errand {
            errand.let_others_go();
            let what = "no thread can be started for it";
            self.fail(&errand, &Fault::new(jsonrpc::UNREACHABLE, "busy", what));
        }
    }

    /// Whether no message of the client is still to be sent or answered.
    pub fn is_idle(&self) -> bool {
        let is_endless = |errand: &Errand| errand.method() == "subscriptions/listen";
        let state = lock(&self.state);
        let is_done = |errand: &Errand| !errand.is_open() || errand.is_given_up();
        state.open.values().all(|errand| is_done(errand) || is_endless(errand))
    }

    /// The one answer to a request that got none, and a word to the person.
    fn fail(&self, errand: &Errand, fault: &Fault) {
        let what = errand.name();
        // A sign-in has its own words, and an address that a log should not outlive.
        let is_sign_in = fault.code == jsonrpc::SIGN_IN_NEEDED;
        let said = if is_sign_in { fault.kind } else { fault.in_own_words() };
        self.note(&format!("{what}: {} {said}", fault.code));
        if !is_sign_in {
            self.warn(&format!("{what}: {}", fault.in_own_words()));
        }
        if let Some(id) = errand.id()
            && !errand.is_given_up()
            && errand.settle()
        {
            self.write(&jsonrpc::error(id, fault.code, &fault.message, fault.data()));
        }
        let is_late = fault.code == jsonrpc::NO_ANSWER && errand.id().is_some();
        if is_late && !errand.is_first() && !errand.is_modern() {
            self.tell_cancelled(errand);
        }
    }

    /// One line of the log.
    fn note(&self, line: &str) {
        self.log.line(Timestamp::now(), line);
    }

    /// One line of stderr, unless it stands there already.
    fn warn(&self, line: &str) {
        let mut said = lock(&self.said);
        if *said != line {
            term::warn(line);
            line.clone_into(&mut said);
        }
    }

    /// One line on stdout. Nobody reads it any more: the client is gone, and so are we.
    fn write(&self, line: &str) {
        if !matches!(term::print_piece(&format!("{line}\n")), Ok(true)) {
            self.leave(Duration::from_millis(300));
        }
    }

    /// The open request with this id.
    fn open_request(&self, id: &Value) -> Option<Arc<Errand>> {
        let state = lock(&self.state);
        let mut open = state.open.values();
        open.find(|errand| errand.is_open() && errand.id() == Some(id)).cloned()
    }

    /// Fails all that were sent and whose answers can no longer come.
    fn fail_posted(&self, fault: &Fault) {
        let mut lost = Vec::new();
        lock(&self.state).open.retain(|_, errand| {
            let is_lost = errand.id().is_some() && errand.is_posted();
            if is_lost && errand.is_open() {
                lost.push(Arc::clone(errand));
            }
            !is_lost
        });
        lost.iter().for_each(|errand| self.fail(errand, fault));
    }

    /// The end of the process; the server hears of it if it listens for so long.
    pub fn leave(&self, limit: Duration) -> ! {
        thread::scope(|scope| {
            let (done, end) = mpsc::channel::<()>();
            scope.spawn(move || {
                self.end_session();
                drop(done);
            });
            let _ = end.recv_timeout(limit);
            self.tools.store.discard();
            // Whoever is still at work is left behind: only the process ends them.
            std::process::exit(0)
        })
    }
}
