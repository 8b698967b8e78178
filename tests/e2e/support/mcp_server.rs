//! An MCP server on real sockets, whose answers each test writes. What is not written is a plain
//! server of the revisions with a handshake: JSON answers, a session, no stream of its own.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::agent::{Agents, Verdict};

/// No thread outlives the tests for long.
const SILENCE_LIMIT: Duration = Duration::from_secs(60);
pub const SESSION: &str = "session-0123-secret";

/// A request, as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Of HTTP.
    pub verb: String,
    pub path: String,
    headers: Vec<(String, String)>,
    pub body: String,
    pub at: Instant,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// The method of the message, or the HTTP one of a request without: `tools/call`, `GET`; and
    /// `answer` for what answers the server.
    pub fn method(&self) -> String {
        match self.json() {
            Value::Object(message) => match message.get("method").and_then(Value::as_str) {
                Some(method) => method.to_owned(),
                None => "answer".to_owned(),
            },
            _ => self.verb.clone(),
        }
    }

    pub fn id(&self) -> Value {
        self.json()["id"].clone()
    }
}

/// The answer to a request.
pub struct Out {
    socket: TcpStream,
    more: Vec<(String, String)>,
    /// The connection serves no other request.
    is_last: bool,
}

impl Out {
    /// A header for what follows.
    pub fn header(&mut self, name: &str, value: &str) -> &mut Out {
        self.more.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A whole answer.
    pub fn reply(&mut self, status: u16, content_type: &str, body: &str) {
        let mut head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n", body.len());
        if !content_type.is_empty() {
            head += &format!("Content-Type: {content_type}\r\n");
        }
        self.more.drain(..).for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
        self.raw(format!("{head}\r\n{body}").as_bytes());
    }

    pub fn status(&mut self, status: u16) {
        self.reply(status, "", "");
    }

    /// 200 with this text as JSON.
    pub fn json(&mut self, body: &str) {
        self.reply(200, "application/json; charset=utf-8", body);
    }

    /// A result for the request.
    pub fn result(&mut self, seen: &Seen, result: Value) {
        self.json(&json!({"jsonrpc": "2.0", "id": seen.id(), "result": result}).to_string());
    }

    /// The head of a stream, which lasts until the handler ends.
    pub fn events(&mut self) -> &mut Out {
        let mut head = "HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream\r\n".to_owned();
        self.more.drain(..).for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
        self.is_last = true;
        self.raw(format!("{head}Connection: close\r\n\r\n").as_bytes());
        self
    }

    /// An event with this message.
    pub fn event(&mut self, message: &Value) -> &mut Out {
        self.raw(format!("data: {message}\n\n").as_bytes())
    }

    /// Bytes, as they are. A client that left is no fault of the server's.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Out {
        let _ = self.socket.write_all(bytes).and_then(|()| self.socket.flush());
        self
    }

    /// Says nothing until the client leaves, or the test has long ended.
    pub fn hang(&mut self) {
        self.is_left_within(Duration::from_secs(20));
    }

    /// Waits until the client hangs up; false: it did not.
    pub fn is_left_within(&mut self, limit: Duration) -> bool {
        self.is_last = true;
        let _ = self.socket.set_read_timeout(Some(limit));
        loop {
            match self.socket.read(&mut [0; 1024]) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() == io::ErrorKind::ConnectionReset,
            }
        }
    }

    /// The end of the connection in the middle of whatever it was.
    pub fn cut(&mut self) {
        self.is_last = true;
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

type Handler = Arc<dyn Fn(&Seen, &mut Out) + Send + Sync>;

/// What a server says, by `Seen::method`.
#[derive(Clone, Default)]
pub struct Script {
    handlers: BTreeMap<String, Handler>,
}

impl Script {
    /// A server of this revision, with a session.
    pub fn of(version: &'static str) -> Script {
        Script::default()
            .on("initialize", move |seen, out| {
                out.header("Mcp-Session-Id", SESSION);
                out.result(seen, handshake(version));
            })
            .on("GET", |_, out| out.status(405))
            .on("DELETE", |_, out| out.status(200))
    }

    /// `method` as `Seen::method` says it.
    pub fn on(
        mut self,
        method: &str,
        handler: impl Fn(&Seen, &mut Out) + Send + Sync + 'static,
    ) -> Script {
        self.handlers.insert(method.to_owned(), Arc::new(handler));
        self
    }

    fn answer(&self, seen: &Seen, out: &mut Out) {
        match self.handlers.get(&seen.method()) {
            Some(handler) => handler(seen, out),
            None if seen.verb != "POST" => out.status(405),
            None if seen.id().is_null() || seen.method() == "answer" => out.status(202),
            None => out.result(seen, json!({"echo": seen.json()["params"]})),
        }
    }
}

/// The result of `initialize`.
pub fn handshake(version: &str) -> Value {
    let info = json!({"name": "fake", "version": "1"});
    json!({"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info})
}

/// Stops listening, and ends its connections, when dropped.
pub struct McpServer {
    pub port: u16,
    record: Arc<(Mutex<Vec<Seen>>, Condvar)>,
    sockets: Arc<Mutex<Vec<TcpStream>>>,
    /// The most requests that were under way at once.
    most: Arc<AtomicUsize>,
    is_stopped: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
    _verdict: Verdict,
}

impl McpServer {
    pub fn serving(script: Script) -> McpServer {
        McpServer::start_at(0, script)
    }

    /// On the port of one that was dropped.
    pub fn start_at(port: u16, script: Script) -> McpServer {
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("a port of loopback is free");
        let port = listener.local_addr().expect("a bound listener has an address").port();
        let agents = Agents::default();
        let mut server = McpServer {
            port,
            record: Arc::default(),
            sockets: Arc::default(),
            most: Arc::default(),
            is_stopped: Arc::default(),
            acceptor: None,
            _verdict: agents.verdict(),
        };
        let (record, sockets) = (Arc::clone(&server.record), Arc::clone(&server.sockets));
        let (most, is_stopped) = (Arc::clone(&server.most), Arc::clone(&server.is_stopped));
        let now = Arc::new(AtomicUsize::new(0));
        server.acceptor = Some(thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                if is_stopped.load(Ordering::SeqCst) {
                    return;
                }
                let _ = socket.set_nodelay(true);
                sockets.lock().expect("no one panics").extend(socket.try_clone());
                let (script, agents) = (script.clone(), agents.clone());
                let (record, most, now) =
                    (Arc::clone(&record), Arc::clone(&most), Arc::clone(&now));
                let serve = move || {
                    serve(socket, &agents, |seen, out| {
                        record.0.lock().expect("no one panics").push(seen.clone());
                        record.1.notify_all();
                        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        script.answer(seen, out);
                        now.fetch_sub(1, Ordering::SeqCst);
                    })
                };
                let _ = thread::Builder::new().stack_size(256 * 1024).spawn(serve);
            }
        }));
        server
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/mcp", self.port)
    }

    /// All requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.record.0.lock().expect("no one panics").clone()
    }

    /// Those of this method, as `Seen::method` says it.
    pub fn seen_of(&self, method: &str) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| seen.method() == method).collect()
    }

    /// The requests of this method, once there are so many.
    #[track_caller]
    pub fn wait_for(&self, method: &str, count: usize) -> Vec<Seen> {
        let limit = Duration::from_secs(20);
        let of = |all: &[Seen]| all.iter().filter(|seen| seen.method() == method).count();
        let all = self.record.0.lock().expect("no one panics");
        drop(self.record.1.wait_timeout_while(all, limit, |all| of(all) < count));
        let found = self.seen_of(method);
        assert!(found.len() >= count, "{count} of {method}: {:#?}", self.seen());
        found
    }

    pub fn connections(&self) -> usize {
        self.sockets.lock().expect("no one panics").len()
    }

    pub fn most_at_once(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }
}

impl Drop for McpServer {
    fn drop(&mut self) {
        self.is_stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        let sockets = self.sockets.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        sockets.iter().for_each(|socket| drop(socket.shutdown(Shutdown::Both)));
    }
}

/// The requests of one connection, one after the other.
fn serve(socket: TcpStream, agents: &Agents, answer: impl Fn(&Seen, &mut Out)) -> io::Result<()> {
    let mut reader = BufReader::new(socket.try_clone()?);
    loop {
        socket.set_read_timeout(Some(SILENCE_LIMIT))?;
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        agents.check_head(&head);
        let mut lines = head.lines();
        let mut request = lines.next().unwrap_or_default().split(' ').map(str::to_owned);
        let headers: Vec<_> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let (verb, path) = (request.next().unwrap_or_default(), request.next().unwrap_or_default());
        let mut seen = Seen { verb, path, headers, body: String::new(), at: Instant::now() };
        let length = seen.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        seen.body = String::from_utf8_lossy(&body).into_owned();
        let mut out = Out { socket: socket.try_clone()?, more: Vec::new(), is_last: false };
        answer(&seen, &mut out);
        if out.is_last {
            return socket.shutdown(Shutdown::Both);
        }
    }
}
