//! One request and its answer, whole or as it comes.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::net::serve::head::{Head, Length, Wrong};
use crate::net::serve::wire::{Wire, reason};

/// How long a look at the client may take: the system knows no shorter wait than this.
const GLANCE: Duration = Duration::from_millis(1);
/// What a client says before its answer is complete is kept for later; one that says more is not looked at.
const AHEAD_LIMIT_BYTES: usize = 64 * 1024;

/// A request, and the way back to whoever sent it.
pub struct Exchange {
    pub head: Head,
    pub peer: IpAddr,
    wire: Wire,
    caller: Caller,
    is_body_read: bool,
}

/// The way back. Clones are the same one.
#[derive(Clone)]
pub struct Caller(Arc<Mutex<Side>>);

struct Side {
    socket: Arc<TcpStream>,
    state: State,
    /// Nobody wants a body: HEAD.
    is_bare: bool,
    is_http11: bool,
    wants_close: bool,
    /// Read in a look whether the client is there: its next request.
    ahead: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Silent,
    /// In chunks, as nobody knows the length.
    Chunked,
    /// As it is: so many bytes are to come.
    Counted(u64),
    /// As it is, to the end of the connection.
    ToTheEnd,
    Done,
    /// The client is gone, or was left in the middle.
    Broken,
}

impl Exchange {
    pub(super) fn new(wire: Wire, head: Head, peer: IpAddr, is_last: bool) -> Exchange {
        let side = Side {
            socket: Arc::clone(&wire.socket),
            state: State::Silent,
            is_bare: head.method == "HEAD",
            is_http11: head.is_http11,
            wants_close: head.wants_close || is_last,
            ahead: Vec::new(),
        };
        Exchange {
            head,
            peer,
            wire,
            caller: Caller(Arc::new(Mutex::new(side))),
            is_body_read: false,
        }
    }

    /// The body; one above the limit, slow or malformed is wrong, and the connection ends after the
    /// answer.
    pub fn body(&mut self, limit_bytes: u64) -> Result<Vec<u8>, Wrong> {
        let mut body = self.wire.read_body(&self.head, limit_bytes)?;
        self.is_body_read = true;
        // It may be held for as long as an answer takes.
        body.shrink_to_fit();
        Ok(body)
    }

    /// Where the answer goes.
    pub fn caller(&self) -> Caller {
        self.caller.clone()
    }

    /// A whole answer.
    pub fn answer(&self, status: u16, headers: &[(&str, &str)], body: &[u8]) {
        self.prepare();
        let caller = &self.caller;
        let headers: Vec<_> =
            headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        // A client that is gone wants no answer.
        let _ = caller.begin(status, &headers, Some(body.len() as u64)).and_then(|()| {
            caller.piece(body)?;
            caller.end()
        });
    }

    /// A body that nobody read would be taken for the next request.
    fn prepare(&self) {
        if !self.is_body_read && self.head.length != Length::Known(0) {
            self.caller.side().wants_close = true;
        }
    }

    /// The connection, if it can carry another request.
    pub(super) fn finish(mut self) -> Option<Wire> {
        let (state, wants_close, ahead) = {
            let mut side = self.caller.side();
            (side.state, side.wants_close, std::mem::take(&mut side.ahead))
        };
        self.wire.put_back(&ahead);
        match state {
            State::Done if !wants_close => Some(self.wire),
            State::Done => {
                self.wire.hang_up();
                None
            }
            State::Silent => {
                self.wire.refuse(&Wrong::new(500, "nobody answered"));
                None
            }
            // Without the end that the client waits for, it knows that something is missing.
            _ => None,
        }
    }
}

impl Caller {
    fn side(&self) -> MutexGuard<'_, Side> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends the beginning of an answer. `length`: None where nobody knows it.
    pub fn begin(
        &self,
        status: u16,
        headers: &[(String, String)],
        length: Option<u64>,
    ) -> io::Result<()> {
        let mut side = self.side();
        let has_no_body = side.is_bare || status == 204 || status == 304;
        let mut text = format!("HTTP/1.1 {status} {}\r\n", reason(status));
        for (name, value) in headers {
            // One header cannot become two.
            if !value.contains(['\r', '\n']) && !name.contains(['\r', '\n', ':']) {
                text.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        let state = match length {
            Some(length) => {
                if status != 204 {
                    text.push_str(&format!("Content-Length: {length}\r\n"));
                }
                State::Counted(length)
            }
            // RFC 9112, section 6.1.
            None if status == 204 || status == 304 => State::Done,
            None if side.is_http11 => {
                text.push_str("Transfer-Encoding: chunked\r\n");
                State::Chunked
            }
            None => {
                side.wants_close = true;
                State::ToTheEnd
            }
        };
        if side.wants_close {
            text.push_str("Connection: close\r\n");
        } else if !side.is_http11 {
            // Or it would take the end of the connection for the end of the answer.
            text.push_str("Connection: keep-alive\r\n");
        }
        text.push_str("\r\n");
        let outcome = (&*side.socket).write_all(text.as_bytes());
        side.state = match outcome {
            Ok(()) if has_no_body => State::Done,
            Ok(()) => state,
            Err(_) => State::Broken,
        };
        outcome
    }

    pub fn has_begun(&self) -> bool {
        self.side().state != State::Silent
    }

    /// Sends a piece of the body at once.
    pub fn piece(&self, bytes: &[u8]) -> io::Result<()> {
        let mut side = self.side();
        if bytes.is_empty() {
            return Ok(());
        }
        let outcome = match side.state {
            State::Chunked => {
                // One write, and so one packet for what is small.
                let mut wire = Vec::with_capacity(bytes.len() + 12);
                wire.extend_from_slice(format!("{:x}\r\n", bytes.len()).as_bytes());
                wire.extend_from_slice(bytes);
                wire.extend_from_slice(b"\r\n");
                (&*side.socket).write_all(&wire)
            }
            State::Counted(left) => match left.checked_sub(bytes.len() as u64) {
                Some(left) => {
                    side.state = State::Counted(left);
                    (&*side.socket).write_all(bytes)
                }
                None => Err(io::Error::other("more than was announced")),
            },
            State::ToTheEnd => (&*side.socket).write_all(bytes),
            State::Done => return Ok(()),
            State::Silent | State::Broken => Err(ErrorKind::BrokenPipe.into()),
        };
        if outcome.is_err() {
            side.state = State::Broken;
        }
        outcome
    }

    /// Says that this was all. An answer that never ends so is broken, and the client sees it.
    pub fn end(&self) -> io::Result<()> {
        let mut side = self.side();
        let outcome = match side.state {
            State::Chunked => (&*side.socket).write_all(b"0\r\n\r\n"),
            State::Counted(0) | State::ToTheEnd | State::Done => Ok(()),
            State::Counted(_) | State::Silent | State::Broken => Err(ErrorKind::BrokenPipe.into()),
        };
        side.state = if outcome.is_ok() { State::Done } else { State::Broken };
        outcome
    }

    /// Whether the client has hung up.
    pub fn is_gone(&self) -> bool {
        let mut side = self.side();
        if side.state == State::Broken || side.socket.set_read_timeout(Some(GLANCE)).is_err() {
            return true;
        }
        // Small: each waiting stream looks, and what a stack once held stays in memory.
        let mut piece = [0; 128];
        // The end stands behind whatever was said before it.
        while side.ahead.len() < AHEAD_LIMIT_BYTES {
            match (&*side.socket).read(&mut piece) {
                Ok(0) => return true,
                Ok(read) => side.ahead.extend_from_slice(&piece[..read]),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return !matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
            }
        }
        false
    }
}
