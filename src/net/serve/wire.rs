//! The bytes of one connection: heads and bodies in, each with a limit and a deadline.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::net::serve::head::{self, HEAD_LIMIT_BYTES, Head, Length, Wrong};

/// A connection that says nothing is kept so long for its next request.
const IDLE: Duration = Duration::from_secs(60);
/// How often a quiet connection asks whether it is still wanted.
const IDLE_SLICE: Duration = Duration::from_secs(1);
/// A head that has begun is whole within this.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// A body may pause so long, and take so long in all.
const BODY_PAUSE: Duration = Duration::from_secs(30);
const BODY_TIME: Duration = Duration::from_secs(300);
/// A client that takes nothing for so long is gone.
const WRITE_TIME: Duration = Duration::from_secs(60);
/// What a refused client still sends is heard so long, or the refusal would be lost with the reset.
const LAST_WORDS: Duration = Duration::from_millis(500);

const CHUNK_LINE_LIMIT_BYTES: usize = 256;
const TRAILER_LIMIT_BYTES: usize = 8 * 1024;

pub struct Wire {
    /// Shared with whoever answers.
    pub socket: Arc<TcpStream>,
    /// Read and not used yet.
    rest: Vec<u8>,
}

/// The answer to a connection too many, which no thread waits for.
pub fn turn_away(socket: &TcpStream) {
    let _ = socket.set_nonblocking(true);
    let body = "too many connections\n";
    let _ = (&*socket).write_all(
        format!(
            "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n\
             Content-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .as_bytes(),
    );
}

impl Wire {
    pub fn new(socket: TcpStream) -> io::Result<Wire> {
        // Small answers would wait for each other's acknowledgement: 44 ms.
        socket.set_nodelay(true)?;
        socket.set_write_timeout(Some(WRITE_TIME))?;
        Ok(Wire { socket: Arc::new(socket), rest: Vec::new() })
    }

    /// The next request; None: the client went away, or `is_over` and it had not begun one.
    pub fn read_head(&mut self, is_over: impl Fn() -> bool) -> Result<Option<Head>, Wrong> {
        let quiet_until = Instant::now() + IDLE;
        let mut deadline = None;
        loop {
            if !self.rest.is_empty() {
                if let Some((head, length)) = head::parse(&self.rest)? {
                    // Memory that a long answer has no use for.
                    self.rest = self.rest.split_off(length);
                    return Ok(Some(head));
                }
                deadline.get_or_insert_with(|| Instant::now() + HEAD_TIME);
            }
            let wait = match deadline {
                Some(at) => at.saturating_duration_since(Instant::now()),
                None if Instant::now() >= quiet_until => return Ok(None),
                None => IDLE_SLICE,
            };
            if wait.is_zero() {
                return Err(Wrong::new(408, "the head took too long"));
            }
            match self.fill(wait, HEAD_LIMIT_BYTES + 1) {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(e) if is_timeout(&e) => {
                    if deadline.is_none() && is_over() {
                        return Ok(None);
                    }
                }
                Err(_) => return Ok(None),
            }
        }
    }

    /// What somebody else has read of the next request.
    pub fn put_back(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
    }

    /// Reads some more, so that at most `most` bytes are there.
    fn fill(&mut self, wait: Duration, most: usize) -> io::Result<usize> {
        // The system takes no time-out of zero.
        self.socket.set_read_timeout(Some(wait.max(Duration::from_millis(1))))?;
        let room = most.saturating_sub(self.rest.len()).clamp(1, 16 * 1024);
        let begin = self.rest.len();
        self.rest.resize(begin + room, 0);
        let outcome = loop {
            match (&*self.socket).read(&mut self.rest[begin..]) {
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                outcome => break outcome,
            }
        };
        self.rest.truncate(begin + *outcome.as_ref().unwrap_or(&0));
        outcome
    }

    /// The body of a request, which may be asked for first. One above the limit is 413.
    pub fn read_body(&mut self, head: &Head, limit_bytes: u64) -> Result<Vec<u8>, Wrong> {
        const TOO_LONG: Wrong = Wrong::new(413, "the body is too long");
        if matches!(head.length, Length::Known(length) if length > limit_bytes) {
            return Err(TOO_LONG);
        }
        if head.expects_continue && self.rest.is_empty() {
            let line = b"HTTP/1.1 100 Continue\r\n\r\n";
            (&*self.socket).write_all(line).map_err(|_| Wrong::new(408, "the client is gone"))?;
        }
        let deadline = Instant::now() + BODY_TIME;
        match head.length {
            Length::Known(length) => {
                let length = usize::try_from(length).map_err(|_| TOO_LONG)?;
                while self.rest.len() < length {
                    self.more(deadline, length)?;
                }
                let after = self.rest.split_off(length);
                Ok(std::mem::replace(&mut self.rest, after))
            }
            Length::Chunked => {
                let mut body = Vec::new();
                loop {
                    let line = self.line(deadline, CHUNK_LINE_LIMIT_BYTES)?;
                    let size = chunk_size(&line).ok_or(MALFORMED)?;
                    if size == 0 {
                        self.trailer(deadline)?;
                        return Ok(body);
                    }
                    let so_far = body.len() as u64;
                    if size > limit_bytes.saturating_sub(so_far) {
                        return Err(TOO_LONG);
                    }
                    let size = usize::try_from(size).map_err(|_| TOO_LONG)?;
                    while self.rest.len() < size + 2 {
                        self.more(deadline, size + 2)?;
                    }
                    if !self.rest[size..].starts_with(b"\r\n") {
                        return Err(MALFORMED);
                    }
                    body.extend_from_slice(&self.rest[..size]);
                    self.rest.drain(..size + 2);
                }
            }
        }
    }

    fn trailer(&mut self, deadline: Instant) -> Result<(), Wrong> {
        let mut left = TRAILER_LIMIT_BYTES;
        loop {
            let line = self.line(deadline, left)?;
            if line.is_empty() {
                return Ok(());
            }
            left = left.saturating_sub(line.len()).max(2);
        }
    }

    /// The next line without its end.
    fn line(&mut self, deadline: Instant, limit_bytes: usize) -> Result<Vec<u8>, Wrong> {
        loop {
            let end = self.rest.iter().position(|byte| *byte == b'\n');
            if end.unwrap_or(self.rest.len()) >= limit_bytes {
                return Err(MALFORMED);
            }
            if let Some(end) = end {
                let mut line: Vec<u8> = self.rest.drain(..=end).collect();
                line.pop();
                return match line.pop() {
                    Some(b'\r') if !line.contains(&b'\r') => Ok(line),
                    _ => Err(MALFORMED),
                };
            }
            let most = limit_bytes.max(self.rest.len() + 1);
            self.more(deadline, most)?;
        }
    }

    fn more(&mut self, deadline: Instant, most: usize) -> Result<(), Wrong> {
        let left = deadline.saturating_duration_since(Instant::now());
        match self.fill(left.min(BODY_PAUSE), most) {
            Ok(0) => Err(Wrong::new(400, "the body ended in the middle")),
            Ok(_) if !left.is_zero() => Ok(()),
            Ok(_) => Err(LATE),
            Err(e) if is_timeout(&e) => Err(LATE),
            Err(_) => Err(Wrong::new(400, "the body ended in the middle")),
        }
    }

    /// Answers what is no request, and ends the connection.
    pub fn refuse(self, wrong: &Wrong) {
        let (status, body) = (wrong.status, format!("{}\n", wrong.why));
        let text = format!(
            "HTTP/1.1 {status} {}\r\nConnection: close\r\nContent-Type: text/plain\r\n\
             Content-Length: {}\r\n\r\n{body}",
            reason(status),
            body.len()
        );
        let _ = (&*self.socket).write_all(text.as_bytes());
        self.hang_up();
    }

    /// Ends the connection so that what was said last arrives.
    pub fn hang_up(self) {
        let _ = self.socket.shutdown(Shutdown::Write);
        let _ = self.socket.set_read_timeout(Some(Duration::from_millis(50)));
        let deadline = Instant::now() + LAST_WORDS;
        let mut sink = [0; 4096];
        while Instant::now() < deadline {
            match (&*self.socket).read(&mut sink) {
                Ok(0) => return,
                Ok(_) => {}
                Err(e) if is_timeout(&e) => {}
                Err(_) => return,
            }
        }
    }
}

const LATE: Wrong = Wrong::new(408, "the body took too long");
const MALFORMED: Wrong = Wrong::new(400, "the chunks of the body are malformed");

/// Hexadecimal digits, and an extension that says nothing to us.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|byte| *byte == b';').next()?;
    let is_size = !digits.is_empty() && digits.len() <= 15;
    if !is_size || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// The words of a status line; clients look at the number alone.
pub fn reason(status: u16) -> &'static str {
    ureq::http::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("Unknown")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    /// What the server's end makes of bytes that a client sends and then waits.
    fn with<T: Send + 'static>(bytes: &[u8], read: fn(&mut Wire) -> T) -> T {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (socket, _) = listener.accept().unwrap();
        let server = thread::spawn(move || read(&mut Wire::new(socket).unwrap()));
        client.write_all(bytes).unwrap();
        let _ = client.shutdown(Shutdown::Write);
        server.join().unwrap()
    }

    fn body(wire: &mut Wire) -> Result<Vec<u8>, Wrong> {
        let head = wire.read_head(|| false).unwrap().unwrap();
        wire.read_body(&head, 10)
    }

    fn post(rest: &str) -> Result<String, u16> {
        let body = with(format!("POST / HTTP/1.1\r\nHost: h\r\n{rest}").as_bytes(), body);
        body.map(|bytes| String::from_utf8(bytes).unwrap()).map_err(|wrong| wrong.status)
    }

    #[test]
    fn a_body_is_read_as_its_head_says() {
        let chunked = "Transfer-Encoding: chunked\r\n\r\n";
        for (rest, wanted) in [
            ("Content-Length: 3\r\n\r\nabcd".to_owned(), Ok("abc")),
            ("Content-Length: 11\r\n\r\n".to_owned(), Err(413)),
            ("Content-Length: 4\r\n\r\nabc".to_owned(), Err(400)),
            (format!("{chunked}3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX: 1\r\n\r\n"), Ok("abcde")),
            (format!("{chunked}6\r\nabcdef\r\n5\r\nabcde\r\n0\r\n\r\n"), Err(413)),
            (format!("{chunked}FFFFFFFFFFFFFFF\r\n"), Err(413)),
            (format!("{chunked}3\r\nabcd\r\n0\r\n\r\n"), Err(400)),
            (format!("{chunked}3\nabc\r\n0\r\n\r\n"), Err(400)),
            (format!("{chunked}+3\r\nabc\r\n0\r\n\r\n"), Err(400)),
            (format!("{chunked}0x3\r\nabc\r\n0\r\n\r\n"), Err(400)),
            (format!("{chunked}{}\r\n", "0".repeat(300)), Err(400)),
        ] {
            assert_eq!(post(&rest).as_deref(), wanted.as_ref().map(|text| *text), "{rest:?}");
        }
    }

    #[test]
    fn what_comes_after_a_request_is_the_next_one() {
        let bytes =
            b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nabGET /2 HTTP/1.0\r\n\r\n";
        let second = with(bytes, |wire| {
            body(wire).unwrap();
            wire.read_head(|| false).unwrap().unwrap().path
        });
        assert_eq!(second, "/2");
        assert!(with(b"", |wire| wire.read_head(|| false).unwrap().is_none()));
        assert!(with(b"GET /", |wire| wire.read_head(|| false).unwrap().is_none()));
    }
}
