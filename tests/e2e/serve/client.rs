//! A client of the gateway that is a socket: bytes go out as they are given, answers come back taken
//! apart, and an answer that is not whole is an error.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(20);

pub struct Client {
    stream: TcpStream,
    /// Read and not looked at yet.
    rest: Vec<u8>,
}

/// The beginning of an answer.
#[derive(Clone, Debug)]
pub struct Head {
    pub status: u16,
    pub headers: Vec<(String, String)>,
}

#[derive(Clone, Debug)]
pub struct Answer {
    pub head: Head,
    pub body: Vec<u8>,
}

impl Head {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut named = self.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        let found = named.next().map(|(_, value)| value.as_str());
        assert!(named.next().is_none(), "{name} twice: {self:?}");
        found
    }

    fn is_chunked(&self) -> bool {
        self.header("transfer-encoding") == Some("chunked")
    }
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    pub fn status(&self) -> u16 {
        self.head.status
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// Whether the connection ends with it.
    pub fn closes(&self) -> bool {
        self.header("connection") == Some("close")
    }

    /// The words of a refusal, which has to be in the shape that the clients of this path read.
    #[track_caller]
    pub fn words(&self, path: &str) -> String {
        assert_eq!(self.header("content-type"), Some("application/json"), "{}", self.text());
        let body = self.json();
        let error = &body["error"];
        if path.starts_with("/v1beta") {
            assert!(error["code"] == self.status() && error["status"].is_string(), "{body}");
        } else if path.starts_with("/v1/messages") {
            assert!(body["type"] == "error" && error["type"].is_string(), "{body}");
        } else {
            assert!(error["type"].is_string() && error["code"].is_string(), "{body}");
            assert!(error["param"].is_null(), "{body}");
        }
        error["message"].as_str().expect("a refusal has words").to_owned()
    }

    #[track_caller]
    pub fn is(&self, status: u16) -> &Answer {
        assert_eq!(self.status(), status, "{:?}\n{}", self.head, self.text());
        self
    }
}

impl Client {
    pub fn to(host: &str) -> Client {
        let stream = TcpStream::connect(host).expect("the gateway listens");
        stream.set_nodelay(true).expect("it is a socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("it is a socket");
        stream.set_write_timeout(Some(PATIENCE)).expect("it is a socket");
        Client { stream, rest: Vec::new() }
    }

    /// A gateway that has heard enough may hang up in the middle.
    pub fn say(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
    }

    /// A whole answer, its body as it was meant.
    #[track_caller]
    pub fn answer(&mut self) -> Answer {
        self.try_answer().unwrap_or_else(|e| panic!("no whole answer: {e}; {:?}", self.shown()))
    }

    pub fn try_answer(&mut self) -> io::Result<Answer> {
        let head = self.head()?;
        let mut body = Vec::new();
        if head.is_chunked() {
            while let Some(chunk) = self.chunk()? {
                body.extend(chunk);
            }
        } else if let Some(length) = head.header("content-length") {
            let length = length.parse().map_err(|_| bad("the length is no number"))?;
            while self.rest.len() < length {
                self.more()?;
            }
            body = self.rest.drain(..length).collect();
        } else if head.status != 204 && head.status != 304 {
            while self.fill()? > 0 {}
            body = std::mem::take(&mut self.rest);
        }
        Ok(Answer { head, body })
    }

    /// The next head; what follows is the caller's to read.
    pub fn head(&mut self) -> io::Result<Head> {
        let text = loop {
            if let Some(at) = find(&self.rest, b"\r\n\r\n") {
                let head: Vec<u8> = self.rest.drain(..at + 4).collect();
                break String::from_utf8(head).map_err(|_| bad("the head is no text"))?;
            }
            self.more()?;
        };
        let mut lines = text.trim_end().split("\r\n");
        let line = lines.next().unwrap_or_default();
        let status = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let status = status.ok_or_else(|| bad(&format!("no status in {line:?}")))?;
        let headers = lines.map(|line| match line.split_once(": ") {
            Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
            None => Err(bad(&format!("no header: {line:?}"))),
        });
        Ok(Head { status, headers: headers.collect::<io::Result<_>>()? })
    }

    /// The next chunk of a body; None: the body is over.
    pub fn chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        let line = loop {
            if let Some(at) = find(&self.rest, b"\r\n") {
                break self.rest.drain(..at + 2).collect::<Vec<u8>>();
            }
            self.more()?;
        };
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        let size = usize::from_str_radix(&line, 16);
        let size = size.map_err(|_| bad(&format!("no size of a chunk: {line:?}")))?;
        while self.rest.len() < size + 2 {
            self.more()?;
        }
        let chunk: Vec<u8> = self.rest.drain(..size).collect();
        match self.rest.drain(..2).collect::<Vec<u8>>() == b"\r\n" {
            true => Ok((size > 0).then_some(chunk)),
            false => Err(bad("a chunk ends in the middle")),
        }
    }

    /// Reads chunks until their text contains this; gives all of it.
    #[track_caller]
    pub fn chunks_until(&mut self, wanted: &str) -> String {
        let mut text = String::new();
        while !text.contains(wanted) {
            match self.chunk() {
                Ok(Some(chunk)) => text.push_str(&String::from_utf8_lossy(&chunk)),
                end => panic!("no {wanted:?} but {end:?} after {text:?}"),
            }
        }
        text
    }

    /// Whether the other side hangs up within this, and says nothing more.
    pub fn is_hung_up_within(&mut self, limit: Duration) -> bool {
        self.stream.set_read_timeout(Some(limit)).expect("it is a socket");
        let outcome = self.fill();
        self.stream.set_read_timeout(Some(PATIENCE)).expect("it is a socket");
        let is_end = match outcome {
            Ok(read) => read == 0,
            Err(e) => e.kind() == ErrorKind::ConnectionReset,
        };
        is_end && self.rest.is_empty()
    }

    /// What comes within this time, as it came.
    pub fn hears_for(&mut self, time: Duration) -> String {
        let deadline = Instant::now() + time;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            self.stream.set_read_timeout(Some(left)).expect("it is a socket");
            if self.fill().is_ok_and(|read| read == 0) {
                break;
            }
        }
        self.stream.set_read_timeout(Some(PATIENCE)).expect("it is a socket");
        String::from_utf8_lossy(&std::mem::take(&mut self.rest)).into_owned()
    }

    /// Says that nothing more will be said.
    pub fn finish(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    fn more(&mut self) -> io::Result<()> {
        match self.fill()? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut piece = [0; 16 * 1024];
        let read = loop {
            match self.stream.read(&mut piece) {
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                outcome => break outcome?,
            }
        };
        self.rest.extend_from_slice(&piece[..read]);
        Ok(read)
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.rest[..self.rest.len().min(500)]).into_owned()
    }
}

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}

fn bad(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}
