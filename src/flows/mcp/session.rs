//! The session of a server that keeps one: begun by the client's handshake, repeated when the server
//! forgets it, ended with the process.

use std::time::Instant;

use serde_json::{Value, json};
use ureq::http::Request;

use crate::flows::mcp::errand::Errand;
use crate::flows::mcp::fault::Fault;
use crate::flows::mcp::{Bridge, OWN_IDS, State, lock};
use crate::net::reply::Reply;
use crate::net::stream::Stream;
use crate::protocol::jsonrpc::{self, Parsed};
use crate::protocol::mcp;
use crate::protocol::sse::Decoder;
use crate::secret::Secret;

const OWN_LIMIT_S: u64 = 30;
const END_LIMIT_S: u64 = 2;

impl State {
    pub(super) fn cookie_header(&self) -> Option<Secret> {
        let pairs: Vec<_> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        (!pairs.is_empty()).then(|| Secret::new(pairs.join("; ")))
    }
}

impl Bridge<'_> {
    pub(super) fn begin_session(&self, line: &str) {
        let mut state = lock(&self.state);
        state.initialize = Some(line.to_owned());
        state.session = None;
        state.version = None;
        state.wishes.clear();
        state.has_stream = false;
        state.epoch += 1;
        state.listening.cut();
    }

    /// Where messages go.
    pub(super) fn url(&self) -> String {
        lock(&self.state).moved.clone().unwrap_or_else(|| self.options.url.clone())
    }

    /// The handshake's answer: from the next message on its revision is named.
    pub(super) fn agree(&self, answer: &Value) {
        if let Some(version) = answer["result"]["protocolVersion"].as_str() {
            lock(&self.state).version = Some(version.to_owned());
        }
    }

    /// Cookies of a balancer in front of the server: for this server only, and never on disk.
    pub(super) fn keep_cookies(&self, head: &Reply) {
        for cookie in &head.set_cookies {
            let pair = cookie.expose().split(';').next().unwrap_or_default();
            let Some((name, value)) = pair.split_once('=') else { continue };
            let mut state = lock(&self.state);
            // More are no balancer's.
            if state.cookies.len() < 20 {
                state.cookies.insert(name.trim().to_owned(), value.trim().to_owned());
            }
        }
    }

    /// A new session in the place of one that the server forgot; all who meet that wait for one.
    pub(super) fn restart(&self, lost: &Secret) -> Result<(), Fault> {
        let met = Instant::now();
        let mut last_failure = lock(&self.restarting);
        if let Some((_, fault)) = last_failure.as_ref().filter(|(time, _)| *time > met) {
            return Err(fault.clone());
        }
        if lock(&self.state).session.as_ref() != Some(lost) {
            return Ok(());
        }
        let outcome = self.begin_again();
        if let Err(fault) = &outcome {
            *last_failure = Some((Instant::now(), fault.clone()));
        }
        outcome
    }

    fn begin_again(&self) -> Result<(), Fault> {
        let failed = |what: &str| {
            let what = format!("the server forgot the session, and a new one failed: {what}");
            Fault::new(jsonrpc::SESSION_LOST, "session", what)
        };
        let (line, version) = {
            let state = lock(&self.state);
            (state.initialize.clone(), state.version.clone())
        };
        let line = line.ok_or_else(|| failed("the client began none"))?;
        let (session, agreed) = self.handshake(&line, &failed)?;
        if agreed.is_some() && agreed != version {
            return Err(failed("it now speaks another revision"));
        }
        {
            let mut state = lock(&self.state);
            state.session = session;
            state.epoch += 1;
            // The stream of the old session.
            state.listening.cut();
        }
        let done = json!({"jsonrpc": "2.0", "method": "notifications/initialized"}).to_string();
        self.send_own(&done, true).map_err(|error| failed(&error.to_string()))?;
        self.repeat_wishes();
        self.want_events();
        self.note("the server forgot the session; a new one was begun");
        Ok(())
    }

    /// What a new session has to be asked again, as the client does not know that there is one.
    pub(super) fn remember_wish(&self, errand: &Errand) {
        let message = &errand.message;
        let uri = message.value["params"]["uri"].as_str().unwrap_or_default();
        let wishes = &mut lock(&self.state).wishes;
        match errand.method() {
            "logging/setLevel" => drop(wishes.insert(String::new(), message.line.clone())),
            "resources/subscribe" => drop(wishes.insert(uri.to_owned(), message.line.clone())),
            "resources/unsubscribe" => drop(wishes.remove(uri)),
            _ => {}
        }
    }

    fn repeat_wishes(&self) {
        let wishes: Vec<_> = lock(&self.state).wishes.values().cloned().collect();
        for (number, line) in wishes.iter().enumerate() {
            let mut message: Value = serde_json::from_str(line).unwrap_or_default();
            message["id"] = Value::from(format!("{OWN_IDS}{number}"));
            if self.send_own(&message.to_string(), true).is_err() {
                self.note("the new session could not be asked what the old one was");
            }
        }
    }

    /// The client's handshake once more, under an id that it cannot use.
    fn handshake(
        &self,
        line: &str,
        failed: &dyn Fn(&str) -> Fault,
    ) -> Result<(Option<Secret>, Option<String>), Fault> {
        let mut message: Value = serde_json::from_str(line).map_err(|_| failed("it is no JSON"))?;
        let id = Value::from(format!("{OWN_IDS}initialize"));
        message["id"] = id.clone();
        let mut stream = self
            .send_own(&message.to_string(), false)
            .map_err(|error| failed(&error.to_string()))?;
        if !(200..300).contains(&stream.head.status) {
            return Err(failed(&format!("status {}", stream.head.status)));
        }
        let session = stream.head.header("mcp-session-id").map(Secret::new);
        let version = |text: &str| match jsonrpc::parse(text) {
            Parsed::Message(answer) if jsonrpc::is_answer_to(&answer.value, &id) => {
                Some(answer.value["result"]["protocolVersion"].as_str().map(str::to_owned))
            }
            _ => None,
        };
        if stream.head.content_type != "text/event-stream" {
            let reply = stream.whole().map_err(|error| failed(&error.to_string()))?;
            let agreed =
                version(reply.body.expose()).ok_or_else(|| failed("there was no answer"))?;
            return Ok((session, agreed));
        }
        let mut decoder = Decoder::default();
        while let Some(piece) = stream.next().map_err(|error| failed(&error.to_string()))? {
            let events = decoder.feed(&piece).ok_or_else(|| failed("an endless event"))?;
            if let Some(agreed) = events.iter().find_map(|event| version(&event.data)) {
                return Ok((session, agreed));
            }
        }
        Err(failed("there was no answer"))
    }

    /// A message of the proxy's own.
    pub(super) fn send_own(&self, line: &str, in_session: bool) -> crate::error::Result<Stream> {
        let token = self.token_at_hand();
        let request = match in_session {
            true => self.dressed(token.as_ref(), None, |url, dress| mcp::post(url, line, dress)),
            false => {
                let cookies = lock(&self.state).cookie_header();
                let (token, cookies) = (token.as_ref(), cookies.as_ref());
                let more = &self.options.headers;
                let dress = mcp::Dress { token, cookies, more, ..mcp::Dress::default() };
                mcp::post(&self.url(), line, &dress)
            }
        };
        self.tools.client.open_patient(request?, OWN_LIMIT_S, Some(OWN_LIMIT_S))
    }

    /// A request of this session.
    pub(super) fn dressed(
        &self,
        token: Option<&Secret>,
        last_event_id: Option<&str>,
        make: impl FnOnce(&str, &mcp::Dress) -> crate::error::Result<Request<Secret>>,
    ) -> crate::error::Result<Request<Secret>> {
        let url = self.url();
        let state = lock(&self.state);
        let cookies = state.cookie_header();
        let dress = mcp::Dress {
            token,
            session: state.session.as_ref(),
            version: state.version.as_deref(),
            cookies: cookies.as_ref(),
            last_event_id,
            more: &self.options.headers,
        };
        make(&url, &dress)
    }

    /// The token as it is on disk, for what must begin nothing; the person's own header comes first.
    pub(super) fn token_at_hand(&self) -> Option<Secret> {
        if self.brings_own_token() {
            return None;
        }
        self.account().map(|account| account.secret().clone()).filter(|token| !token.is_empty())
    }

    /// The client was told that there is no answer; the server should stop looking for one.
    pub(super) fn tell_cancelled(&self, errand: &Errand) {
        let params = json!({"requestId": errand.message.id, "reason": "no answer in time"});
        let method = "notifications/cancelled";
        let line = json!({"jsonrpc": "2.0", "method": method, "params": params}).to_string();
        if self.send_own(&line, true).is_err() {
            self.note("the server could not be told of a cancellation");
        }
    }

    /// Tells the server that nobody comes back; what it says to that is of no interest.
    pub(super) fn end_session(&self) {
        if lock(&self.state).session.is_none() {
            return;
        }
        let token = self.token_at_hand();
        if let Ok(request) = self.dressed(token.as_ref(), None, mcp::delete) {
            let _ = self.tools.client.open_patient(request, END_LIMIT_S, Some(END_LIMIT_S));
        }
    }
}
