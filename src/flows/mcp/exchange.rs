//! One message out, and what its answer means.

use std::time::Duration;

use serde_json::Value;

use crate::flows::mcp::errand::Errand;
use crate::flows::mcp::fault::Fault;
use crate::flows::mcp::{Bridge, Transport, is_own_id, lock};
use crate::net::stream::Stream;
use crate::protocol::jsonrpc::{self, Kind, Message, Parsed};
use crate::protocol::{mcp, modern};
use crate::secret::Secret;
use crate::text;

/// How long a server may think before it begins to answer.
const HEAD_LIMIT_S: u64 = 300;
/// The handshake has its whole answer by then.
pub(super) const INITIALIZE_LIMIT: Duration = Duration::from_secs(30);
/// A JSON answer longer than this is none that a client reads.
const JSON_LIMIT_BYTES: u64 = 64 * 1024 * 1024;

/// What was tried for one message; nothing is tried twice.
#[derive(Default)]
pub struct Tries {
    pub has_read_again: bool,
    pub has_refreshed: bool,
    pub has_signed_in: bool,
    pub has_stepped_up: bool,
    pub(super) has_restarted: bool,
    has_followed: bool,
}

impl Bridge<'_> {
    pub(super) fn exchange(&self, errand: &Errand) -> Result<(), Fault> {
        if self.is_done_here(errand) {
            return Ok(());
        }
        if errand.is_first() {
            self.begin_session(&errand.message.line);
            if self.options.transport == Transport::Sse && !self.is_older() {
                return self.begin_older(errand, None);
            }
        }
        self.remember_wish(errand);
        let mut tries = Tries::default();
        loop {
            let token = self.token(&mut tries)?;
            let session = self.session_of(errand);
            let older = self.older_address()?;
            let url = older.clone().unwrap_or_else(|| self.url());
            if older.is_some() {
                errand.set_posted();
            }
            let stream = self.post(&url, errand, token.as_ref(), session.as_ref())?;
            self.keep_cookies(&stream.head);
            self.note(&format!("{} -> {}", errand.name(), stream.head.status));
            match stream.head.status {
                200..300 if older.is_some() => return Ok(()),
                200..300 => return self.take(errand, stream),
                401 => self.unauthorised(&stream.head, token.as_ref(), &mut tries)?,
                403 => self.forbidden(stream, &mut tries)?,
                307 | 308 if !tries.has_followed => {
                    tries.has_followed = true;
                    self.move_on(&url, &stream.head)?;
                }
                400 | 404 | 405 => {
                    if !self.is_worth_another_try(errand, stream, session, &mut tries)? {
                        return Ok(());
                    }
                }
                status => return Err(self.trouble(status, &stream)),
            }
        }
    }

    /// A cancellation of the stateless revision is the end of the connection, and no message.
    fn is_done_here(&self, errand: &Errand) -> bool {
        if errand.method() != "notifications/cancelled" {
            return false;
        }
        let request = self.open_request(&errand.message.value["params"]["requestId"]);
        let is_modern = match &request {
            Some(request) => request.is_modern(),
            None => errand.is_modern() || lock(&self.state).initialize.is_none(),
        };
        match request {
            Some(request) if is_modern => request.cancel(),
            Some(request) => request.give_up(),
            None => {}
        }
        is_modern
    }

    /// The session that a message belongs to.
    fn session_of(&self, errand: &Errand) -> Option<Secret> {
        let is_in = !errand.is_first() && !errand.is_modern();
        lock(&self.state).session.clone().filter(|_| is_in)
    }

    fn post(
        &self,
        url: &str,
        errand: &Errand,
        token: Option<&Secret>,
        session: Option<&Secret>,
    ) -> Result<Stream, Fault> {
        let message = &errand.message;
        let limit_s = if errand.is_first() { INITIALIZE_LIMIT.as_secs() } else { HEAD_LIMIT_S };
        let request = {
            let state = lock(&self.state);
            let modern = modern::headers(&message.value, &state.annotations);
            let modern = modern.into_iter().map(|(name, value)| (name, Secret::new(value)));
            let more: Vec<_> = self.options.headers.iter().cloned().chain(modern).collect();
            let has_version = !errand.is_first() && !errand.is_modern();
            let cookies = state.cookie_header();
            let dress = mcp::Dress {
                token,
                session,
                version: state.version.as_deref().filter(|_| has_version),
                cookies: cookies.as_ref(),
                last_event_id: None,
                more: &more,
            };
            mcp::post(url, &message.line, &dress)
        };
        let request = request.map_err(|error| Fault::of_network(&error))?;
        errand.is_leaving();
        let opened = self.tools.client.open_patient(request, limit_s, None);
        opened.map_err(|error| Fault::of_network(&error))
    }

    /// A good answer: nothing, one JSON value, or a stream.
    fn take(&self, errand: &Errand, stream: Stream) -> Result<(), Fault> {
        if errand.is_first() {
            let session = stream.head.header("mcp-session-id");
            let is_visible = |id: &&str| id.bytes().all(|byte| byte.is_ascii_graphic());
            let session = session.filter(is_visible).map(Secret::new);
            lock(&self.state).session = session;
            let is_awaited = || errand.is_open();
            let work = || self.read_answer(errand, stream);
            return errand.hangup.within(INITIALIZE_LIMIT, is_awaited, work);
        }
        // What follows needs no more than the beginning of this answer.
        if errand.method() == "notifications/initialized" {
            errand.let_others_go();
            self.want_events();
        }
        self.read_answer(errand, stream)
    }

    fn read_answer(&self, errand: &Errand, stream: Stream) -> Result<(), Fault> {
        let is_request = errand.id().is_some();
        match (stream.head.status, stream.head.content_type.as_str()) {
            (_, "text/event-stream") => self.relay(errand, stream),
            _ if !is_request => {
                // Read to its end, the connection serves the next message.
                let _ = stream.whole();
                Ok(())
            }
            (202, _) => Err(protocol("the server took the request and will not answer it")),
            (_, "application/json") => {
                let body = stream.long_text(JSON_LIMIT_BYTES);
                let body = body.map_err(|error| match errand.hangup.is_cut() {
                    true => late(),
                    false => Fault::of_broken(&error),
                })?;
                self.pass_on(errand, &body)
            }
            (_, "") => Err(protocol("the server answered with nothing")),
            (_, other) => {
                let other = text::harmless(other, 80);
                Err(protocol(&format!("the server answered with {other}")))
            }
        }
    }

    /// A JSON answer: one message, or in the oldest revision several.
    fn pass_on(&self, errand: &Errand, body: &str) -> Result<(), Fault> {
        match jsonrpc::parse(body) {
            Parsed::Message(said) if said.id.is_none() && said.kind == Kind::Response => {
                let answer = errand.id().and_then(|id| jsonrpc::with_id(body, id));
                if let Some(line) = answer {
                    self.answer(errand, &said.value, &line);
                }
                Ok(())
            }
            Parsed::Message(said) => {
                self.hand_over(errand, &said);
                Ok(())
            }
            Parsed::Batch(all) => {
                all.iter().for_each(|said| self.hand_over(errand, said));
                Ok(())
            }
            Parsed::Invalid { .. } => Err(protocol("the server answered with no JSON-RPC message")),
            Parsed::NoJson => Err(protocol("the server answered with broken JSON")),
        }
    }

    /// One message of the server to the client; what the proxy has to know is read on the way.
    pub(super) fn hand_over(&self, errand: &Errand, said: &Message) {
        if errand.is_unwanted() {
            return;
        }
        match (&said.kind, &said.id) {
            (Kind::Request, Some(id)) if is_own_id(id) => self.refuse_server(id),
            (Kind::Notification | Kind::Request, _) => self.write(&said.line),
            (Kind::Response, Some(id)) if errand.id() == Some(id) => {
                self.answer(errand, &said.value, &said.line);
            }
            // Servers may answer on another of their streams.
            (Kind::Response, Some(id)) => match self.open_request(id) {
                Some(other) => self.answer(&other, &said.value, &said.line),
                None => self.note("an answer to no request was left out"),
            },
            (Kind::Response, None) => self.note("an error about no request was left out"),
        }
    }

    /// The answer to a request, unless it has one.
    pub(super) fn answer(&self, errand: &Errand, value: &Value, line: &str) {
        if !errand.settle() {
            return self.note("a second answer to a request was left out");
        }
        match errand.method() {
            "initialize" => self.agree(value),
            "tools/list" if errand.is_modern() => return self.hand_over_tools(value, line),
            _ => {}
        }
        self.write(line);
        errand.let_others_go();
    }

    /// The stateless revision: a tool whose headers cannot be sent must not be offered.
    fn hand_over_tools(&self, value: &Value, line: &str) {
        let mut value = value.clone();
        let removed = match value.get_mut("result") {
            Some(result) => lock(&self.state).annotations.learn(result),
            None => Vec::new(),
        };
        for why in &removed {
            self.note(why);
            self.warn(&format!("{why}; it is not offered"));
        }
        if removed.is_empty() { self.write(line) } else { self.write(&value.to_string()) }
    }

    /// The server asks under an id that would be mistaken for the proxy's own.
    fn refuse_server(&self, id: &Value) {
        self.warn("the server used an id that is keyfob's own; it was refused");
        let data = jsonrpc::data("invalid", None, None, None);
        let why = "ids that begin so are the proxy's own";
        let line = jsonrpc::error(id, jsonrpc::INVALID_REQUEST, why, data);
        if self.send_own(&line, true).is_err() {
            self.note("the server could not be told of it");
        }
    }
}

pub fn protocol(what: &str) -> Fault {
    Fault::new(jsonrpc::NOT_MCP, "protocol", what)
}

/// The handshake took too long.
pub(super) fn late() -> Fault {
    let limit_s = INITIALIZE_LIMIT.as_secs();
    let what = format!("the server did not answer within {limit_s} s");
    Fault::new(jsonrpc::NO_ANSWER, "time_out", what)
}
