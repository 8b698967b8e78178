//! A client of the gateway or of the API, and what it holds every answer to.

use std::{
    io::{self, Write},
    thread,
    time::{Duration, Instant},
};

use crate::{
    MODEL,
    common::{number, value_of},
    http::{Body, Head, Wire, ended},
};

pub enum Bad {
    /// An answer, but not a good one.
    Error(String),
    /// No answer, or not the whole of it.
    Lost(String),
}

impl Bad {
    pub fn at(self, since: Duration) -> Bad {
        let tell = |what: String| format!("at {:.3} s: {what}", since.as_secs_f64());
        match self {
            Bad::Error(what) => Bad::Error(tell(what)),
            Bad::Lost(what) => Bad::Lost(tell(what)),
        }
    }
}

/// One kept connection, opened when it is needed.
pub struct Client {
    address: String,
    key: String,
    wire: Option<Wire>,
    /// How often the other side had closed it while it was idle.
    pub reconnects: usize,
}

impl Client {
    pub fn new(origin: &str, key: &str) -> Client {
        let address = origin.trim_start_matches("http://").trim_end_matches('/').to_owned();
        Client { address, key: key.to_owned(), wire: None, reconnects: 0 }
    }

    /// One answer that is not streamed, and whose it says it is.
    pub fn plain(&mut self, tag: u64) -> Result<(), Bad> {
        self.exchange(tag, "events=1", false, |wire, head| {
            let mut body = Body::of(head);
            let mut text = Vec::new();
            while let Some(piece) = wire.piece(&mut body)? {
                text.extend(piece);
            }
            Ok(check_plain(&String::from_utf8_lossy(&text), tag))
        })
    }

    /// One stream: `on_event` gets the time at which each event was written, in us, as soon as it is here.
    pub fn events(
        &mut self,
        tag: u64,
        prompt: &str,
        mut on_event: impl FnMut(u64),
    ) -> Result<u64, Bad> {
        self.exchange(tag, prompt, true, |wire, head| {
            let (mut body, mut text, mut events) =
                (Body::of(head), String::new(), Events { tag, ..Events::default() });
            while let Some(piece) = wire.piece(&mut body)? {
                text.push_str(&String::from_utf8_lossy(&piece));
                while let Some((event, rest)) = text.split_once("\n\n") {
                    if let Err(what) = events.take(event, &mut on_event) {
                        return Ok(Err(what));
                    }
                    text = rest.to_owned();
                }
            }
            Ok(events.finish(&text))
        })
    }

    fn exchange<T>(
        &mut self,
        tag: u64,
        prompt: &str,
        is_stream: bool,
        read: impl FnOnce(&mut Wire, &Head) -> io::Result<Result<T, String>>,
    ) -> Result<T, Bad> {
        // A failed connection is not used again; a good one comes back below.
        let kept = self.wire.take();
        let was_kept = kept.is_some();
        let kept = kept.filter(Wire::is_open);
        let is_kept = kept.is_some();
        self.reconnects += usize::from(was_kept && !is_kept);
        let how = if is_kept { "on a kept connection" } else { "on a new connection" };
        let what = |what: String| {
            format!(
                "request {tag} ({}, {how}): {what}",
                if is_stream { "streamed" } else { "plain" }
            )
        };
        let lost = |e: io::Error| Bad::Lost(what(e.to_string()));
        let mut wire = match kept {
            Some(wire) => wire,
            None => Wire::connect(&self.address)
                .map_err(|e| Bad::Lost(what(format!("no connection: {e}"))))?,
        };
        let (address, key) = (&self.address, &self.key);
        let content = format!("tag={tag} {prompt} Say something of about a kilobyte.");
        let body = format!(
            r#"{{"model":"{MODEL}","stream":{is_stream},"messages":[{{"role":"user","content":"{content}"}}]}}"#
        );
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {key}\r\nUser-Agent: load/1\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        wire.stream.write_all((head + &body).as_bytes()).map_err(lost)?;
        let head = wire
            .head()
            .and_then(|head| head.ok_or_else(|| ended("before any byte")))
            .map_err(lost)?;
        if head.status() != 200 {
            let mut body = Body::of(&head);
            let mut text = Vec::new();
            while let Ok(Some(piece)) = wire.piece(&mut body) {
                text.extend(piece);
            }
            return Err(Bad::Error(what(format!(
                "{} {:?} {}",
                head.start,
                head.fields,
                String::from_utf8_lossy(&text)
            ))));
        }
        let read =
            read(&mut wire, &head).map_err(lost)?.map_err(|wrong| Bad::Error(what(wrong)))?;
        if !head.says_close() {
            self.wire = Some(wire);
        }
        Ok(read)
    }
}

fn check_plain(text: &str, tag: u64) -> Result<(), String> {
    let is_own =
        value_of(text, "tag").is_some_and(|own| own == tag.to_string()) && text.ends_with('}');
    if is_own { Ok(()) } else { Err(format!("another's answer, or none: {text}")) }
}

/// What a stream must be: events of its own tag, numbered from 0, an end that counts them, `[DONE]`.
#[derive(Default)]
struct Events {
    tag: u64,
    seen: u64,
    has_end: bool,
    is_done: bool,
}

impl Events {
    fn take(&mut self, event: &str, on_event: &mut impl FnMut(u64)) -> Result<(), String> {
        let data: Vec<_> = event.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
        let data = data.join("\n");
        let is_own = value_of(&data, "tag").is_some_and(|own| own == self.tag.to_string());
        let own = |name| value_of(&data, name).filter(|_| is_own && !self.is_done).map(number);
        match (own("event"), own("end")) {
            // A comment, which keeps a silent connection open.
            _ if data.is_empty() => {}
            _ if data == "[DONE]" && self.has_end && !self.is_done => self.is_done = true,
            (Some(at), None) if at == self.seen && !self.has_end => {
                self.seen += 1;
                on_event(own("at").unwrap_or_default());
            }
            (None, Some(count)) if count == self.seen && !self.has_end => self.has_end = true,
            _ => return Err(format!("after {} events: {data}", self.seen)),
        }
        Ok(())
    }

    fn finish(self, rest: &str) -> Result<u64, String> {
        if self.is_done && rest.is_empty() {
            Ok(self.seen)
        } else {
            Err(format!("ends after {} events: {rest:?}", self.seen))
        }
    }
}

/// Runs `each` for `count` requests, `rate` a second, each when it is due. A client that is still busy then is late, and its
/// latency shows that.
pub fn paced(
    clients: &mut [Client],
    rate: usize,
    count: usize,
    each: impl Fn(&mut Client, usize, Instant) + Sync,
) {
    let (start, step, each) = (Instant::now() + Duration::from_millis(50), clients.len(), &each);
    thread::scope(|scope| {
        for (first, client) in clients.iter_mut().enumerate() {
            scope.spawn(move || {
                for index in (first..count).step_by(step) {
                    let due = start + Duration::from_secs_f64(index as f64 / rate as f64);
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                    each(client, index, due);
                }
            });
        }
    });
}

/// A GET of the API's own control paths.
pub fn control(origin: &str, target: &str) -> String {
    let ask = || {
        let address = origin.trim_start_matches("http://");
        let mut wire = Wire::connect(address)?;
        write!(wire.stream, "GET {target} HTTP/1.1\r\nHost: {address}\r\n\r\n")?;
        let head = wire.head()?.ok_or_else(|| ended("before any byte"))?;
        let (mut body, mut text) = (Body::of(&head), Vec::new());
        while let Some(piece) = wire.piece(&mut body)? {
            text.extend(piece);
        }
        io::Result::Ok(String::from_utf8_lossy(&text).into_owned())
    };
    ask().unwrap_or_else(|e| panic!("the API's {target}: {e}"))
}
