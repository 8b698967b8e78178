//! HTTP+SSE, the transport of 2024-11-05: one stream for all answers, and an address for all messages.

use std::sync::PoisonError;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use ureq::http::Uri;

use crate::endpoint;
use crate::flows::mcp::errand::Errand;
use crate::flows::mcp::exchange::{INITIALIZE_LIMIT, Tries, late, protocol};
use crate::flows::mcp::fault::Fault;
use crate::flows::mcp::{Bridge, OWN_IDS, lock};
use crate::net::hangup::Hangup;
use crate::net::stream::Stream;
use crate::protocol::jsonrpc::{self, Message};
use crate::protocol::mcp;
use crate::protocol::sse::{Decoder, Event};

const ENDPOINT_LIMIT: Duration = Duration::from_secs(10);
const POST_LIMIT_S: u64 = 30;
/// So often a lost stream is looked for by itself; after that, whenever a message needs it.
const RECONNECTS: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);
/// A message waits so long for a stream that was lost.
const LONGEST_WAIT: Duration = Duration::from_secs(12);

/// How far HTTP+SSE has come.
#[derive(Default)]
pub(super) enum Older {
    #[default]
    NotSpoken,
    /// Where messages go.
    At(String),
    /// How many looks for it were in vain, and whether a message waits for the next.
    Lost { looks: u32, is_wanted: bool },
}

/// A stream whose first event has named the address for messages.
struct Opened {
    stream: Stream,
    decoder: Decoder,
    /// What came with the first event.
    rest: Vec<Event>,
    endpoint: String,
}

impl Bridge<'_> {
    pub(super) fn is_older(&self) -> bool {
        !matches!(lock(&self.state).older, Older::NotSpoken)
    }

    /// Where HTTP+SSE takes messages; None: it is not spoken. A lost stream is waited for.
    pub(super) fn older_address(&self) -> Result<Option<String>, Fault> {
        let deadline = Instant::now() + LONGEST_WAIT;
        let mut state = lock(&self.state);
        let mut looks_before = None;
        loop {
            match &mut state.older {
                Older::NotSpoken => return Ok(None),
                Older::At(endpoint) => return Ok(Some(endpoint.clone())),
                Older::Lost { looks, is_wanted } => {
                    *is_wanted = true;
                    if *looks_before.get_or_insert(*looks) < *looks || Instant::now() > deadline {
                        let what = format!("the stream of {} is lost", self.options.url);
                        return Err(Fault::new(jsonrpc::UNREACHABLE, "network", what));
                    }
                }
            }
            self.news.notify_all();
            let woken = self.news.wait_timeout(state, Duration::from_millis(200));
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Opens the stream, learns the address from its first event, sends the handshake there, and then
    /// relays what comes until the process ends. `status` is what the newer transport was answered,
    /// and is told if this one is not there either.
    pub(super) fn begin_older(&self, errand: &Errand, status: Option<u16>) -> Result<(), Fault> {
        let mut opened = self.open_older().map_err(|fault| match (status, fault.code) {
            (Some(status), jsonrpc::NOT_MCP) => {
                let why = format!("{} (POST: status {status})", fault.message);
                Fault { message: why, ..fault }
            }
            _ => fault,
        })?;
        self.note("the server speaks HTTP+SSE");
        lock(&self.state).older = Older::At(opened.endpoint.clone());
        errand.set_posted();
        let hangup = Hangup::default();
        let relay = |opened: &mut Opened| hangup.during(|| self.relay_older(opened));
        let posted = self.post_older(&opened.endpoint, &errand.message.line);
        let outcome = posted.and_then(|()| {
            hangup.within(INITIALIZE_LIMIT, || errand.is_open(), || relay(&mut opened));
            if hangup.is_cut() { Err(late()) } else { Ok(()) }
        });
        if let Err(fault) = outcome {
            lock(&self.state).older = Older::NotSpoken;
            return Err(fault);
        }
        loop {
            lock(&self.state).older = Older::Lost { looks: 0, is_wanted: false };
            self.note("the stream of HTTP+SSE was lost");
            // The server makes a new session for each stream.
            self.fail_posted(&Fault::lost());
            relay(&mut self.find_again());
        }
    }

    fn open_older(&self) -> Result<Opened, Fault> {
        let hangup = Hangup::default();
        let mut tries = Tries::default();
        loop {
            let token = self.token(&mut tries)?;
            let more = &self.options.headers;
            let dress = mcp::Dress { token: token.as_ref(), more, ..mcp::Dress::default() };
            let request = mcp::get(&self.options.url, &dress);
            let request = request.map_err(|error| Fault::of_network(&error))?;
            let limit_s = ENDPOINT_LIMIT.as_secs();
            let open = || self.tools.client.open_patient(request, limit_s, None);
            let stream = hangup.during(open).map_err(|error| Fault::of_network(&error))?;
            match (stream.head.status, stream.head.content_type.as_str()) {
                (200, "text/event-stream") => {
                    let first = || hangup.during(|| self.first_event(stream));
                    return hangup.within(ENDPOINT_LIMIT, || true, first);
                }
                (401, _) => self.unauthorised(&stream.head, token.as_ref(), &mut tries)?,
                (status, _) => {
                    let url = &self.options.url;
                    let what = format!("{url} is no MCP endpoint (GET: status {status})");
                    return Err(protocol(&what).status(status));
                }
            }
        }
    }

    fn first_event(&self, stream: Stream) -> Result<Opened, Fault> {
        let (decoder, rest) = (Decoder::default(), Vec::new());
        let mut opened = Opened { stream, decoder, rest, endpoint: String::new() };
        let none = || protocol(&format!("{} is no MCP endpoint", self.options.url));
        while opened.rest.is_empty() {
            opened.rest = next_events(&mut opened).ok_or_else(none)?;
        }
        let first = opened.rest.remove(0);
        if first.name != "endpoint" {
            return Err(none());
        }
        let endpoint = resolve(&self.options.url, &first.data);
        let foreign = || protocol("the server names another server's address for messages");
        Ok(Opened { endpoint: endpoint.ok_or_else(foreign)?, ..opened })
    }

    fn post_older(&self, endpoint: &str, line: &str) -> Result<(), Fault> {
        let token = self.token_at_hand();
        let more = &self.options.headers;
        let dress = mcp::Dress { token: token.as_ref(), more, ..mcp::Dress::default() };
        let request =
            mcp::post(endpoint, line, &dress).map_err(|error| Fault::of_network(&error))?;
        let opened = self.tools.client.open_patient(request, POST_LIMIT_S, Some(POST_LIMIT_S));
        let status = opened.map_err(|error| Fault::of_network(&error))?.head.status;
        match status {
            200..300 => Ok(()),
            status => Err(protocol(&format!("the server answered {status}")).status(status)),
        }
    }

    /// Everything on the stream goes to the client, until it ends.
    fn relay_older(&self, opened: &mut Opened) {
        let nobody = Errand::new(Message::nobody());
        let mut events = std::mem::take(&mut opened.rest);
        loop {
            events.iter().for_each(|event| self.pass_event(&nobody, event));
            let Some(next) = next_events(opened) else { return };
            events = next;
        }
    }

    /// The stream once more, with the handshake as the client began it.
    fn find_again(&self) -> Opened {
        let mut look = 0;
        loop {
            look += 1;
            if look <= RECONNECTS {
                thread::sleep(PAUSE);
            } else {
                self.wait_until_wanted();
            }
            let again = self.open_older().and_then(|opened| self.shake_hands(opened));
            let mut state = lock(&self.state);
            if let Ok(opened) = again {
                state.older = Older::At(opened.endpoint.clone());
                self.news.notify_all();
                return opened;
            }
            state.older = Older::Lost { looks: look, is_wanted: false };
            self.news.notify_all();
        }
    }

    fn wait_until_wanted(&self) {
        let mut state = lock(&self.state);
        while matches!(state.older, Older::Lost { is_wanted: false, .. }) {
            state = self.news.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn shake_hands(&self, mut opened: Opened) -> Result<Opened, Fault> {
        let line = lock(&self.state).initialize.clone().unwrap_or_default();
        let mut initialize: Value =
            serde_json::from_str(&line).map_err(|_| protocol("the client began none"))?;
        let id = Value::from(format!("{OWN_IDS}initialize"));
        initialize["id"] = id.clone();
        self.post_older(&opened.endpoint, &initialize.to_string())?;
        let hangup = Hangup::default();
        let is_answer = |event: &Event| {
            let value: Value = serde_json::from_str(&event.data).unwrap_or_default();
            jsonrpc::is_answer_to(&value, &id)
        };
        let answered = || loop {
            if let Some(at) = opened.rest.iter().position(is_answer) {
                opened.rest.remove(at);
                return Ok(opened);
            }
            let next = hangup.during(|| next_events(&mut opened)).ok_or_else(Fault::lost)?;
            opened.rest.extend(next);
        };
        let opened = hangup.within(INITIALIZE_LIMIT, || true, answered)?;
        let done = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        self.post_older(&opened.endpoint, &done.to_string())?;
        Ok(opened)
    }
}

/// What comes next on the stream; None: it ended, or is none.
fn next_events(opened: &mut Opened) -> Option<Vec<Event>> {
    let piece = opened.stream.next().ok()??;
    opened.decoder.feed(&piece)
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
