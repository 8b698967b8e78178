//! An answer on its way from a provider to the caller, piece by piece: no more is read than the caller
//! takes, each piece goes out as it came, and whoever goes away ends both sides.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::net::heartbeat;
use crate::net::serve::Caller;
use crate::net::stream::Stream;
use crate::protocol::gateway::envelope::{self, Envelope};
use crate::protocol::gateway::onward;
use crate::protocol::sse;

/// What is read at once: little while little comes, as thousands of streams wait at a time.
const SMALL_PIECE_BYTES: usize = 2 * 1024;
const LARGE_PIECE_BYTES: usize = 16 * 1024;
/// Until its first bytes are there another account could still answer; so long that is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
const COMMENT: &[u8] = b": keep-alive\n\n";

/// How it went.
pub enum Relayed {
    Done,
    /// The caller went away, or the provider in the middle.
    Broken,
    /// Nothing has gone to the caller yet.
    NotBegun(Option<Error>),
}

/// The caller's side of an answer.
struct Outlet {
    caller: Caller,
    status: u16,
    headers: Vec<(String, String)>,
    length: Option<u64>,
    is_stream: bool,
    keepalive: Duration,
    /// Between two events, where a comment disturbs nothing.
    is_between: bool,
    last: Instant,
}

impl Outlet {
    fn begin(&mut self) -> bool {
        self.last = Instant::now();
        self.caller.has_begun()
            || self.caller.begin(self.status, &self.headers, self.length).is_ok()
    }

    fn piece(&mut self, bytes: &[u8]) -> bool {
        self.is_between = bytes.ends_with(b"\n\n") || bytes.ends_with(b"\r\n\r\n");
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
        !(self.caller.has_begun() && is_quiet && self.is_between) || self.piece(COMMENT)
    }
}

/// Sends on a good answer.
pub fn relay(mut stream: Stream, caller: &Caller, how: Envelope, keepalive_s: u64) -> Relayed {
    let head = &stream.head;
    let is_stream = head.content_type == "text/event-stream";
    let length = head.header("content-length").and_then(|length| length.parse().ok());
    let passed = head.headers().filter(|(name, _)| onward::is_passed_back(name));
    let outlet = Outlet {
        caller: caller.clone(),
        status: head.status,
        headers: passed.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        length: length.filter(|_| how == Envelope::None),
        is_stream,
        keepalive: Duration::from_secs(keepalive_s),
        is_between: true,
        last: Instant::now(),
    };
    let outlet = Rc::new(RefCell::new(outlet));
    let beating = Rc::clone(&outlet);
    let beat = move || beating.borrow_mut().beat();
    heartbeat::during(beat, || match (how, is_stream) {
        (Envelope::None, _) => pieces(&mut stream, &outlet, |bytes| Some(bytes.to_vec())),
        (Envelope::CodeAssist, true) => {
            let mut decoder = sse::Decoder::default();
            pieces(&mut stream, &outlet, |bytes| envelope::unwrap_events(&mut decoder, bytes))
        }
        (Envelope::CodeAssist, false) => whole(stream, &outlet),
        (Envelope::LastOfStream, _) => last(stream, &outlet),
    })
}

fn pieces(
    stream: &mut Stream,
    outlet: &RefCell<Outlet>,
    mut dress: impl FnMut(&[u8]) -> Option<Vec<u8>>,
) -> Relayed {
    let caller = outlet.borrow().caller.clone();
    let mut piece = vec![0; SMALL_PIECE_BYTES];
    loop {
        let read = match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => read,
            Err(_) if caller.has_begun() => return Relayed::Broken,
            Err(error) => return Relayed::NotBegun(Some(error)),
        };
        // An error in place of a beginning: another account may do better.
        if !caller.has_begun() && piece[..read].starts_with(b"event: error") {
            return Relayed::NotBegun(None);
        }
        let Some(out) = dress(&piece[..read]) else { return Relayed::Broken };
        if !out.is_empty() && !outlet.borrow_mut().piece(&out) {
            return Relayed::Broken;
        }
        let size = if read == piece.len() { LARGE_PIECE_BYTES } else { SMALL_PIECE_BYTES };
        if size != piece.len() {
            piece = vec![0; size];
        }
    }
    let has_begun = outlet.borrow_mut().begin();
    if has_begun && caller.end().is_ok() { Relayed::Done } else { Relayed::Broken }
}

/// A whole answer without its envelope.
fn whole(stream: Stream, outlet: &RefCell<Outlet>) -> Relayed {
    match stream.long_text(ANSWER_LIMIT_BYTES) {
        Ok(text) => answer(outlet, envelope::unwrap(&text)),
        Err(error) => Relayed::NotBegun(Some(error)),
    }
}

/// No answer of a model is longer.
const ANSWER_LIMIT_BYTES: u64 = 64 * 1024 * 1024;

/// The answer at the end of a stream.
fn last(mut stream: Stream, outlet: &RefCell<Outlet>) -> Relayed {
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
                let mut outlet = outlet.borrow_mut();
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

fn answer(outlet: &RefCell<Outlet>, text: &str) -> Relayed {
    let mut outlet = outlet.borrow_mut();
    outlet.length = Some(text.len() as u64);
    // What waits for its end shows no signs of life before.
    outlet.is_stream = false;
    let is_sent = if text.is_empty() { outlet.begin() } else { outlet.piece(text.as_bytes()) };
    if is_sent && outlet.caller.end().is_ok() { Relayed::Done } else { Relayed::Broken }
}
