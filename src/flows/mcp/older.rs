//! HTTP+SSE, the transport of 2024-11-05: one stream for all answers, and an address for all messages.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use ureq::http::Uri;

use crate::endpoint;
use crate::flows::mcp::exchange::protocol;
use crate::flows::mcp::fault::Fault;
use crate::flows::mcp::{Bridge, Gate, lock};
use crate::net::stream::Stream;
use crate::protocol::jsonrpc::{self, Kind, Message, Parsed};
use crate::protocol::mcp;
use crate::protocol::sse::{Decoder, Event};

const ENDPOINT_LIMIT: Duration = Duration::from_secs(10);
const POST_LIMIT_S: u64 = 30;
const RECONNECTS: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);

/// The handshake repeated on a new stream has an id that no client uses.
const OWN_ID: &str = "keyfob-initialize";

/// A stream whose first event has named the address for messages.
struct Opened {
    stream: Stream,
    decoder: Decoder,
    /// What came with the first event.
    rest: Vec<Event>,
}

impl Bridge<'_> {
    pub(super) fn older_endpoint(&self) -> Option<String> {
        lock(&self.state).endpoint.clone()
    }

    /// Opens the stream, learns the address from its first event, sends the handshake there, and then
    /// relays what comes until the process ends. `status` is what the newer transport was answered,
    /// and is told if this one is not there either.
    pub(super) fn begin_older(
        &self,
        message: &Message,
        status: Option<u16>,
        own: Option<&Gate>,
    ) -> Result<(), Fault> {
        let none = || {
            let fault = protocol(&format!("{} is no MCP endpoint", self.options.url));
            status.map_or(fault.clone(), |status| fault.status(status))
        };
        let mut opened = self.open_older().ok_or_else(none)?;
        self.await_answer(message);
        self.post_older(&message.line)?;
        if let Some(gate) = own {
            gate.open();
        }
        self.note("the server speaks HTTP+SSE");
        loop {
            self.relay_older(opened);
            self.fail_awaited();
            opened = match self.reconnect() {
                Some(opened) => opened,
                None => {
                    lock(&self.state).endpoint = None;
                    return Ok(());
                }
            };
        }
    }

    /// A request whose answer will come on the stream.
    pub(super) fn await_answer(&self, message: &Message) {
        if let (Kind::Request, Some(id)) = (&message.kind, &message.id) {
            lock(&self.state).awaited.insert(id.to_string());
        }
    }

    fn open_older(&self) -> Option<Opened> {
        let token = self.account().map(|account| account.secret().clone());
        let more = &self.options.headers;
        let dress = mcp::Dress { token: token.as_ref(), more, ..mcp::Dress::default() };
        let request = mcp::get(&self.options.url, &dress).ok()?;
        let stream =
            self.tools.client.open_patient(request, ENDPOINT_LIMIT.as_secs(), None).ok()?;
        if stream.head.status != 200 || stream.head.content_type != "text/event-stream" {
            return None;
        }
        self.first_event(stream)
    }

    fn first_event(&self, mut stream: Stream) -> Option<Opened> {
        let mut decoder = Decoder::default();
        let began = Instant::now();
        while began.elapsed() < ENDPOINT_LIMIT {
            let piece = stream.next().ok()??;
            let mut rest = decoder.feed(&piece)?;
            if rest.is_empty() {
                continue;
            }
            let first = rest.remove(0);
            if first.name != "endpoint" {
                return None;
            }
            let endpoint = resolve(&self.options.url, &first.data)?;
            lock(&self.state).endpoint = Some(endpoint);
            return Some(Opened { stream, decoder, rest });
        }
        None
    }

    fn post_older(&self, line: &str) -> Result<(), Fault> {
        let endpoint = self.older_endpoint().ok_or_else(|| protocol("the stream is lost"))?;
        let token = self.account().map(|account| account.secret().clone());
        let more = &self.options.headers;
        let dress = mcp::Dress { token: token.as_ref(), more, ..mcp::Dress::default() };
        let request =
            mcp::post(&endpoint, line, &dress).map_err(|error| Fault::of_network(&error))?;
        let opened = self.tools.client.open_patient(request, POST_LIMIT_S, Some(POST_LIMIT_S));
        let status = opened.map_err(|error| Fault::of_network(&error))?.head.status;
        match status {
            200..300 => Ok(()),
            status => Err(protocol(&format!("the server answered {status}")).status(status)),
        }
    }

    /// Everything on the stream goes to the client, until it ends.
    fn relay_older(&self, opened: Opened) {
        let Opened { mut stream, mut decoder, rest } = opened;
        rest.iter().for_each(|event| self.take_older(event));
        while let Ok(Some(piece)) = stream.next()
            && let Some(events) = decoder.feed(&piece)
        {
            events.iter().for_each(|event| self.take_older(event));
        }
    }

    fn take_older(&self, event: &Event) {
        if event.name != "message" || event.data.is_empty() {
            return;
        }
        let Parsed::Message(message) = jsonrpc::parse(&event.data) else { return };
        if let (Kind::Response, Some(id)) = (&message.kind, &message.id) {
            if id == OWN_ID {
                return;
            }
            lock(&self.state).awaited.remove(&id.to_string());
            if message.value["result"]["protocolVersion"].is_string() {
                self.agree(&message.value);
            }
        }
        let line = jsonrpc::one_line(&event.data).unwrap_or_else(|| message.value.to_string());
        self.write(&line);
    }

    /// The server makes a new session for each stream: what was under way has no answer any more.
    fn fail_awaited(&self) {
        let awaited = std::mem::take(&mut lock(&self.state).awaited);
        let what = "the connection was lost before the answer; the request may have run";
        let fault = Fault::new(jsonrpc::CONNECTION_LOST, "lost", what);
        for id in awaited {
            self.refuse(&serde_json::from_str(&id).unwrap_or_default(), &fault);
        }
    }

    fn reconnect(&self) -> Option<Opened> {
        let line = lock(&self.state).initialize.clone()?;
        let mut initialize: Value = serde_json::from_str(&line).ok()?;
        initialize["id"] = json!(OWN_ID);
        let done = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        for _ in 0..RECONNECTS {
            thread::sleep(PAUSE);
            let Some(opened) = self.open_older() else { continue };
            let sent = self.post_older(&initialize.to_string());
            if sent.and_then(|()| self.post_older(&done.to_string())).is_ok() {
                return Some(opened);
            }
        }
        None
    }
}

/// The token goes there, so it must be of the same origin.
fn resolve(base: &str, place: &str) -> Option<String> {
    let origin = endpoint::origin(base)?;
    let place = place.trim();
    let url = if place.contains("://") {
        place.to_owned()
    } else if place.starts_with('/') {
        format!("{origin}{place}")
    } else {
        let path = base.parse::<Uri>().ok()?.path().to_owned();
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{origin}{folder}/{place}")
    };
    (endpoint::origin(&url)? == origin).then_some(url)
}
