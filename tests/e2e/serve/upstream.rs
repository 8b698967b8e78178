//! A model API that does as it is told, byte by byte. What comes is kept; lists of models are counted
//! apart from prompts, as the gateway asks for them by itself.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::idp::{Request, http};
use crate::support::tls::Server;

pub struct Upstream {
    server: Server,
    world: Arc<Mutex<World>>,
}

#[derive(Default)]
struct World {
    /// The answer to every GET; None: 404.
    list: Option<Value>,
    prompts: Vec<Request>,
    lists: Vec<Request>,
    /// When each piece was sent.
    sent: Vec<Instant>,
    sent_bytes: usize,
    /// How many connections of prompts were closed from this side.
    ended: usize,
    /// When each caller was seen to have gone.
    gone: Vec<Instant>,
}

impl Upstream {
    /// `answer` hears of prompts alone. An error of it ends the connection where it is.
    pub fn start(
        answer: impl Fn(&Request, &mut Out) -> io::Result<()> + Send + Sync + 'static,
    ) -> Upstream {
        let world = Arc::new(Mutex::new(World::default()));
        let shared = Arc::clone(&world);
        let server = Server::start(move |mut stream, agents| {
            let request = http::read(&mut stream)?;
            let what = format!("{} {}", request.method, request.path);
            agents.check(&what, request.header("user-agent"));
            let mut out = Out { stream, world: &shared };
            if request.method == "GET" {
                let list = {
                    let mut world = lock(&shared);
                    world.lists.push(request.clone());
                    world.list.clone()
                };
                return match list {
                    Some(list) => out.json(200, &list),
                    None => out.json(404, &json!({"error": {"message": "no such path"}})),
                };
            }
            lock(&shared).prompts.push(request.clone());
            let outcome = answer(&request, &mut out);
            drop(out);
            lock(&shared).ended += 1;
            outcome
        });
        Upstream { server, world }
    }

    /// Answers each prompt with one word.
    pub fn good() -> Upstream {
        Upstream::start(|_, out| out.json(200, &json!({"answer": "good"})))
    }

    /// Answers each prompt with the name it is given here.
    pub fn named(name: &str) -> Upstream {
        let name = name.to_owned();
        Upstream::start(move |_, out| out.json(200, &json!({"answer": name})))
    }

    /// These models, in the way of OpenAI.
    pub fn lists(self, ids: &[&str]) -> Upstream {
        let data: Vec<_> = ids.iter().map(|id| json!({"id": id, "object": "model"})).collect();
        lock(&self.world).list = Some(json!({"object": "list", "data": data}));
        self
    }

    /// `http://127.0.0.1:PORT`
    pub fn origin(&self) -> String {
        format!("http://{}", self.server.address())
    }

    pub fn port(&self) -> u16 {
        self.server.port
    }

    pub fn prompts(&self) -> Vec<Request> {
        lock(&self.world).prompts.clone()
    }

    /// The one prompt.
    #[track_caller]
    pub fn only(&self) -> Request {
        let prompts = self.prompts();
        assert_eq!(prompts.len(), 1, "{prompts:?}");
        prompts[0].clone()
    }

    /// How often it was asked for its models.
    pub fn list_count(&self) -> usize {
        lock(&self.world).lists.len()
    }

    /// Everything that came, lists too, as text.
    pub fn all_text(&self) -> String {
        let world = lock(&self.world);
        format!("{:?} {:?}", world.prompts, world.lists)
    }

    #[track_caller]
    pub fn was_not_asked(&self) {
        let prompts = self.prompts();
        assert!(prompts.is_empty(), "it came upstream: {prompts:?}");
    }

    pub fn sent(&self) -> Vec<Instant> {
        lock(&self.world).sent.clone()
    }

    pub fn sent_bytes(&self) -> usize {
        lock(&self.world).sent_bytes
    }

    /// Waits for so many prompts.
    #[track_caller]
    pub fn has_prompts(&self, count: usize, limit: Duration) {
        self.wait("prompt", limit, |world| (world.prompts.len() >= count).then_some(()));
    }

    /// Waits until so many connections of prompts are closed.
    #[track_caller]
    pub fn has_ended(&self, count: usize, limit: Duration) {
        self.wait("end", limit, |world| (world.ended >= count).then_some(()));
    }

    /// Waits until a caller was seen to go, and says when.
    #[track_caller]
    pub fn saw_it_go(&self, limit: Duration) -> Instant {
        self.wait("caller that goes", limit, |world| world.gone.first().copied())
    }

    #[track_caller]
    fn wait<T>(&self, what: &str, limit: Duration, find: impl Fn(&World) -> Option<T>) -> T {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(found) = find(&lock(&self.world)) {
                return found;
            }
            assert!(Instant::now() < deadline, "no {what} after {limit:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// A way to a port that hands on what comes back in halves, with a pause in the middle of each long piece:
/// as networks do with what belongs together.
pub fn halting(to: u16, pause: Duration) -> Server {
    const LONG_BYTES: usize = 4_000;
    Server::start(move |mut near, _| {
        let mut far = TcpStream::connect(("127.0.0.1", to))?;
        let (mut from, mut back) = (far.try_clone()?, near.try_clone()?);
        std::thread::spawn(move || {
            let mut piece = [0; 16 * 1024];
            while let Ok(read @ 1..) = from.read(&mut piece) {
                let middle = if read > LONG_BYTES { read / 2 } else { read };
                let first = back.write_all(&piece[..middle]);
                if middle < read {
                    std::thread::sleep(pause);
                }
                if first.and_then(|()| back.write_all(&piece[middle..read])).is_err() {
                    return;
                }
            }
            let _ = back.shutdown(Shutdown::Write);
        });
        io::copy(&mut near, &mut far)?;
        far.shutdown(Shutdown::Write)
    })
}

/// The way back to the gateway.
pub struct Out<'a> {
    stream: TcpStream,
    world: &'a Mutex<World>,
}

impl Out<'_> {
    pub fn json(&mut self, status: u16, body: &Value) -> io::Result<()> {
        self.whole(status, "Content-Type: application/json\r\n", body.to_string().as_bytes())
    }

    /// `headers` are whole lines.
    pub fn whole(&mut self, status: u16, headers: &str, body: &[u8]) -> io::Result<()> {
        let length = body.len();
        let close = "Connection: close\r\n\r\n";
        let head = format!("HTTP/1.1 {status} Status\r\n{headers}Content-Length: {length}\r\n");
        self.raw(head + close)?;
        self.raw(body)
    }

    /// Begins a stream of events in chunks.
    pub fn events(&mut self) -> io::Result<()> {
        self.raw(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n\
             Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
        )
    }

    /// One chunk.
    pub fn piece(&mut self, text: impl AsRef<[u8]>) -> io::Result<()> {
        let text = text.as_ref();
        let mut wire = format!("{:x}\r\n", text.len()).into_bytes();
        wire.extend_from_slice(text);
        wire.extend_from_slice(b"\r\n");
        lock(self.world).sent.push(Instant::now());
        self.raw(wire)?;
        lock(self.world).sent_bytes += text.len();
        Ok(())
    }

    /// One event in a chunk of its own.
    pub fn event(&mut self, data: impl std::fmt::Display) -> io::Result<()> {
        self.piece(format!("data: {data}\n\n"))
    }

    /// The last chunk.
    pub fn end(&mut self) -> io::Result<()> {
        self.raw("0\r\n\r\n")
    }

    pub fn raw(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let outcome = self.stream.write_all(bytes.as_ref()).and_then(|()| self.stream.flush());
        if outcome.is_err() {
            lock(self.world).gone.push(Instant::now());
        }
        outcome
    }

    /// Nothing is said for so long. An error: the other side went away meanwhile.
    pub fn pause(&mut self, time: Duration) -> io::Result<()> {
        self.stream.set_read_timeout(Some(time))?;
        match self.stream.read(&mut [0]) {
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(()),
            _ => {
                lock(self.world).gone.push(Instant::now());
                Err(ErrorKind::BrokenPipe.into())
            }
        }
    }
}

/// A thread that panicked has failed its test already.
fn lock(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(|broken| broken.into_inner())
}
