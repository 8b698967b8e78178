//! An answer on its way from a provider to the caller, piece by piece: no more is read than the caller
//! takes, each piece goes out as it came, and whoever goes away ends both sides.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::account::Account;
use crate::error::{Error, Result};
use crate::flows::api;
use crate::flows::gateway::forward::words_of;
use crate::net::heartbeat;
use crate::net::reply::Reply;
use crate::net::serve::Caller;
use crate::net::stream::Stream;
use crate::protocol::chat::fault;
use crate::protocol::gateway::envelope::{self, Envelope};
use crate::protocol::passed_back::is_passed_back;
use crate::protocol::sse;

/// What is read at once: little while little comes, as thousands of streams wait at a time.
const SMALL_PIECE_BYTES: usize = 1024;
const LARGE_PIECE_BYTES: usize = 16 * 1024;
/// Until its first bytes are there another account could still answer; so long that is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
const COMMENT: &[u8] = b": keep-alive\n\n";
/// An empty line, and the end of the line before it.
const TAIL_BYTES: usize = 4;

/// How it went.
pub enum Relayed {
    Done,
    /// It has begun, and the rest may take its time.
    Begun(Box<Relay>),
    /// The caller went away, or the provider in the middle.
    Broken,
    /// Nothing has gone to the caller yet.
    NotBegun(Option<Error>),
}

/// An answer that comes bit by bit.
pub struct Relay {
    stream: Stream,
    outlet: Shared,
    /// Takes events out of their envelopes.
    decoder: Option<sse::Decoder>,
    piece: Vec<u8>,
}

/// Also for whoever beats.
type Shared = Arc<Mutex<Outlet>>;

/// The caller's side of an answer.
struct Outlet {
    caller: Caller,
    status: u16,
    headers: Vec<(String, String)>,
    length: Option<u64>,
    is_stream: bool,
    keepalive: Duration,
    /// The last bytes of the body.
    tail: Vec<u8>,
    last: Instant,
}

impl Outlet {
    fn begin(&mut self) -> bool {
        self.last = Instant::now();
        self.caller.has_begun()
            || self.caller.begin(self.status, &self.headers, self.length).is_ok()
    }

    fn piece(&mut self, bytes: &[u8]) -> bool {
        self.tail.extend_from_slice(&bytes[bytes.len().saturating_sub(TAIL_BYTES)..]);
        self.tail.drain(..self.tail.len().saturating_sub(TAIL_BYTES));
        let is_sent = self.begin() && self.caller.piece(bytes).is_ok();
        self.last = Instant::now();
        is_sent
    }

    /// Each second of silence: whether the caller still waits, and a sign of life now and then.
    fn beat(&mut self) -> bool {
        if self.caller.is_gone() {
            return false;
        }
        if !self.is_stream {
            return true;
        }
        if !self.caller.has_begun() && self.last.elapsed() >= PATIENCE {
            return self.begin();
        }
        let is_quiet = !self.keepalive.is_zero() && self.last.elapsed() >= self.keepalive;
        !(self.caller.has_begun() && is_quiet && self.is_between()) || self.piece(COMMENT)
    }

    /// Between two events, where a comment disturbs nothing. The end of one may come in two pieces.
    fn is_between(&self) -> bool {
        let ends = |end: &[u8]| self.tail.ends_with(end);
        self.tail.is_empty() || ends(b"\n\n") || ends(b"\n\r\n")
    }
}

fn lock(outlet: &Shared) -> MutexGuard<'_, Outlet> {
    outlet.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The headers of an answer that are for the caller; none repeats the account's secret.
pub fn passed_back(head: &Reply, account: &Account) -> Vec<(String, String)> {
    let connection = head.header_values("connection").join(",");
    let passed = head.headers().filter(|(name, value)| {
        let is_clean = || api::scrubbed(account, value) == *value;
        is_passed_back(name, &connection) && is_clean()
    });
    passed.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Begins to send on a good answer, given by this account. `hear` is told its first bytes as they came,
/// before the caller is.
pub fn relay(
    stream: Stream,
    account: &Account,
    caller: &Caller,
    how: Envelope,
    keepalive_s: u64,
    hear: &mut dyn FnMut(&[u8]),
) -> Relayed {
    let head = &stream.head;
    let is_events = head.content_type == "text/event-stream";
    // Of a stream that is read to its end here the caller sees nothing before.
    // What is compressed nobody may write into.
    let is_plain = head.header("content-encoding").is_none_or(|coding| coding == "identity");
    let is_stream = is_events && is_plain && how != Envelope::LastOfStream;
    let length = head.header("content-length").and_then(|length| length.parse().ok());
    let outlet = Outlet {
        caller: caller.clone(),
        status: head.status,
        headers: passed_back(head, account),
        // A comment would make a stream longer than was announced.
        length: length.filter(|_| how == Envelope::None && !is_stream),
        is_stream,
        keepalive: Duration::from_secs(keepalive_s),
        tail: Vec::new(),
        last: Instant::now(),
    };
    let outlet = Arc::new(Mutex::new(outlet));
    let decoder = (how == Envelope::CodeAssist).then(sse::Decoder::default);
    match (how, is_events) {
        (Envelope::CodeAssist, false) => beating(&outlet.clone(), || whole(stream, &outlet)),
        (Envelope::LastOfStream, _) => beating(&outlet.clone(), || last(stream, &outlet)),
        (Envelope::CodeAssist | Envelope::None, _) => {
            Relay { stream, outlet, decoder, piece: vec![0; SMALL_PIECE_BYTES] }
                .begin(is_stream, hear)
        }
    }
}

/// Does this with a look at the caller each second of a wait.
fn beating<T>(outlet: &Shared, work: impl FnOnce() -> T) -> T {
    let outlet = Arc::clone(outlet);
    heartbeat::during(move || lock(&outlet).beat(), work)
}

/// What became of a piece.
enum Step {
    Broken,
    End,
    Error(Error),
    Sent,
}

impl Relay {
    /// The first bytes of a stream; all of another answer.
    fn begin(mut self, is_stream: bool, hear: &mut dyn FnMut(&[u8])) -> Relayed {
        let outlet = Arc::clone(&self.outlet);
        let step = beating(&outlet, || {
            loop {
                match self.step(hear) {
                    // Some events are all envelope.
                    Step::Sent if !is_stream || !lock(&self.outlet).caller.has_begun() => {}
                    step => return step,
                }
            }
        });
        match step {
            Step::Sent => {
                lock(&self.outlet).headers = Vec::new();
                self.stream.forget_head();
                Relayed::Begun(Box::new(self))
            }
            Step::End => self.end(),
            Step::Broken => Relayed::Broken,
            Step::Error(_) if lock(&self.outlet).caller.has_begun() => Relayed::Broken,
            Step::Error(error) => Relayed::NotBegun(Some(error)),
        }
    }

    /// Everything that is still to come. One that breaks leaves an answer without its end, and the
    /// caller sees that something is missing.
    pub fn rest(mut self: Box<Self>) {
        let outlet = Arc::clone(&self.outlet);
        let step = beating(&outlet, || {
            loop {
                match self.step(&mut |_| ()) {
                    Step::Sent => {}
                    step => return step,
                }
            }
        });
        if matches!(step, Step::End) {
            self.end();
        }
    }

    fn end(self) -> Relayed {
        let mut outlet = lock(&self.outlet);
        let has_begun = outlet.begin();
        if has_begun && outlet.caller.end().is_ok() { Relayed::Done } else { Relayed::Broken }
    }

    fn step(&mut self, hear: &mut dyn FnMut(&[u8])) -> Step {
        let read = match self.stream.read(&mut self.piece) {
            Ok(0) => return Step::End,
            Ok(read) => read,
            Err(error) => return Step::Error(error),
        };
        let bytes = &self.piece[..read];
        let mut outlet = lock(&self.outlet);
        // An error in place of a beginning: another account may do better.
        if !outlet.caller.has_begun()
            && let Some(error) = error_in(bytes)
        {
            return Step::Error(error);
        }
        hear(bytes);
        let is_sent = match &mut self.decoder {
            None => outlet.piece(bytes),
            Some(decoder) => match envelope::out_of_events(decoder, bytes) {
                Some(out) => out.is_empty() || outlet.piece(&out),
                None => false,
            },
        };
        drop(outlet);
        if !is_sent {
            return Step::Broken;
        }
        let size = if read == self.piece.len() { LARGE_PIECE_BYTES } else { SMALL_PIECE_BYTES };
        if size != self.piece.len() {
            self.piece = vec![0; size];
        }
        Step::Sent
    }
}

/// The error of a first event that is one: by its name, or by what is in it.
fn error_in(bytes: &[u8]) -> Option<Error> {
    let event = sse::Decoder::default().feed(bytes)?.into_iter().next()?;
    let told = fault::told(&serde_json::from_str(&event.data).unwrap_or_default());
    if event.name != "error" && told.is_none() {
        return None;
    }
    let words = words_of(&event.data);
    let words = if words.is_empty() { words } else { format!(": {words}") };
    Some(Error::temporary(format!("the answer began with an error{words}")))
}

/// A whole answer without its envelope.
fn whole(stream: Stream, outlet: &Shared) -> Relayed {
    match stream.long_text(ANSWER_LIMIT_BYTES) {
        Ok(text) => answer(outlet, envelope::inside(&text)),
        Err(error) => Relayed::NotBegun(Some(error)),
    }
}

/// No answer of a model is longer.
const ANSWER_LIMIT_BYTES: u64 = 64 * 1024 * 1024;

/// The answer at the end of a stream.
fn last(mut stream: Stream, outlet: &Shared) -> Relayed {
    let mut decoder = sse::Decoder::with_limit(16 * 1024 * 1024);
    let mut next = || -> Result<Option<(u16, String)>> {
        while let Some(bytes) = stream.next()? {
            let Some(events) = decoder.feed(&bytes) else { break };
            if let Some(found) = envelope::last_of_stream(&events) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    };
    match next() {
        Ok(Some((status, text))) => {
            {
                let mut outlet = lock(outlet);
                outlet.status = status;
                outlet.headers.retain(|(name, _)| name != "content-type");
                outlet.headers.push(("content-type".to_owned(), "application/json".to_owned()));
            }
            answer(outlet, &text)
        }
        Ok(None) => Relayed::NotBegun(None),
        Err(error) => Relayed::NotBegun(Some(error)),
    }
}

fn answer(outlet: &Shared, text: &str) -> Relayed {
    let mut outlet = lock(outlet);
    outlet.length = Some(text.len() as u64);
    let is_sent = if text.is_empty() { outlet.begin() } else { outlet.piece(text.as_bytes()) };
    if is_sent && outlet.caller.end().is_ok() { Relayed::Done } else { Relayed::Broken }
}
