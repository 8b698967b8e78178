//! Who asks: each request that keyfob sends says `User-Agent: keyfob/<version>`, and every server of
//! the tests looks.
//!
//! A server owner must be able to tell who calls, and keyfob passes for nobody else. One test of one
//! request would not notice the next request that is built without the client of `net`; so every
//! server checks all it gets, in every test. A server thread that panics fails no test: what is wrong is
//! kept, and the server's end in the test's own thread is what panics.

use std::io::{self, Read};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// The product's own name; nothing before or after it.
pub const KEYFOB: &str = concat!("keyfob/", env!("CARGO_PKG_VERSION"));
/// The tests' own browser and probes (`browser::request`), so that no name at all is a fault.
pub const VISITOR: &str = "e2e-visitor";

/// How often a peer is given a millisecond for the rest of its head.
const MOST_PEEKS: usize = 5_000;

/// What came under a wrong name. Clones share it: one for each thread of a server.
#[derive(Clone, Default)]
pub struct Agents(Arc<Mutex<Vec<String>>>);

/// A server's last word; a field of it, so that it is dropped with it.
pub struct Verdict(Agents);

impl Agents {
    pub fn verdict(&self) -> Verdict {
        Verdict(self.clone())
    }

    /// `what` is the request for the person who reads of it: `GET /v1/models`.
    pub fn check(&self, what: &str, agent: Option<&str>) {
        if agent != Some(KEYFOB) && agent != Some(VISITOR) {
            self.offences().push(format!("{what} with {agent:?}"));
        }
    }

    /// As `check`, for a server of `tiny_http`.
    pub fn check_request(&self, request: &tiny_http::Request) {
        let what = format!("{} {}", request.method(), request.url());
        let mut headers = request.headers().iter();
        let agent = headers.find(|header| header.field.equiv("User-Agent"));
        self.check(&what, agent.map(|header| header.value.as_str()));
    }

    /// The lines of a head, its request line first.
    pub fn check_head(&self, head: &str) {
        let mut lines = head.split("\r\n");
        let what = lines.next().unwrap_or_default();
        let mut headers = lines.filter_map(|line| line.split_once(':'));
        let agent = headers.find(|(name, _)| name.eq_ignore_ascii_case("user-agent"));
        self.check(what, agent.map(|(_, value)| value.trim()));
    }

    /// Reads a head and checks it, for servers to whom it is all the same what was asked. What begins
    /// as no HTTP does, TLS or SOCKS, is read once and is no request.
    pub fn read(&self, stream: &mut TcpStream) -> io::Result<()> {
        let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
        loop {
            let count = stream.read(&mut piece)?;
            bytes.extend_from_slice(&piece[..count]);
            if self.is_done_with(&bytes) || count == 0 {
                return Ok(());
            }
        }
    }

    /// As `read`, and leaves the bytes where they are.
    pub fn peek(&self, stream: &TcpStream) -> io::Result<()> {
        let mut bytes = [0; 16 * 1024];
        for _ in 0..MOST_PEEKS {
            let count = stream.peek(&mut bytes)?;
            if self.is_done_with(&bytes[..count]) || count == 0 {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Whether a whole head is there, which is checked, or none will come.
    fn is_done_with(&self, bytes: &[u8]) -> bool {
        if !bytes.first().is_some_and(u8::is_ascii_uppercase) {
            return true;
        }
        let text = String::from_utf8_lossy(bytes);
        let head = text.split_once("\r\n\r\n").map(|(head, _)| head);
        head.inspect(|head| self.check_head(head)).is_some()
    }

    fn offences(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Drop for Verdict {
    fn drop(&mut self) {
        let offences = self.0.offences().join("\n  ");
        // A second panic would end all tests at once.
        if !thread::panicking() {
            assert!(offences.is_empty(), "not as {KEYFOB} came\n  {offences}");
        }
    }
}
