//! One message out, and what its answer means.

use serde_json::Value;

use crate::endpoint;
use crate::flows::mcp::fault::Fault;
use crate::flows::mcp::{Bridge, Gate, Transport, lock};
use crate::net::client::Reply;
use crate::net::stream::Stream;
use crate::protocol::challenge;
use crate::protocol::jsonrpc::{self, Kind, Message};
use crate::protocol::{mcp, modern};
use crate::secret::Secret;
use crate::text;

/// How long a server may think before it begins to answer.
const HEAD_LIMIT_S: u64 = 300;
const INITIALIZE_LIMIT_S: u64 = 30;

/// What was tried for one message; nothing is tried twice.
#[derive(Default)]
pub struct Tries {
    pub has_read_again: bool,
    pub has_refreshed: bool,
    pub has_signed_in: bool,
    pub has_stepped_up: bool,
    has_restarted: bool,
    has_followed: bool,
}

impl Bridge<'_> {
    pub(super) fn exchange(&self, message: &Message, own: Option<&Gate>) -> Result<(), Fault> {
        if self.is_done_here(message) {
            return Ok(());
        }
        let is_first = message.method.as_deref() == Some("initialize");
        if is_first {
            self.begin_session(&message.line);
        }
        if self.options.transport == Transport::Sse && is_first {
            return self.begin_older(message, None, own);
        }
        let mut url = self.options.url.clone();
        let mut tries = Tries::default();
        loop {
            let token = self.token(&mut tries)?;
            let session = lock(&self.state).session.clone();
            if let Some(endpoint) = self.older_endpoint() {
                url = endpoint;
                self.await_answer(message);
            }
            let stream = self.post(&url, message, token.as_ref())?;
            self.keep_cookies(&stream.head);
            match stream.head.status {
                200..300 if self.older_endpoint().is_some() => return Ok(()),
                200..300 => return self.take(message, stream, own),
                401 => self.unauthorised(&stream.head, token.as_ref(), &mut tries)?,
                403 => self.forbidden(stream, &mut tries)?,
                307 | 308 if !tries.has_followed => {
                    tries.has_followed = true;
                    url = self.followed(&url, &stream.head)?;
                }
                status @ (400 | 404 | 405) => {
                    let reply = stream.whole().map_err(|error| Fault::of_network(&error))?;
                    let body = reply.body.expose();
                    let says_session = status == 404 || (status == 400 && mentions_session(body));
                    match session {
                        Some(session) if says_session && !is_first && !tries.has_restarted => {
                            tries.has_restarted = true;
                            self.restart(&session)?;
                        }
                        Some(_) if says_session && !is_first => {
                            return Err(Fault::new(
                                jsonrpc::SESSION_LOST,
                                "session",
                                "the server forgot the session again",
                            )
                            .status(status));
                        }
                        _ => return self.refused(message, &reply, own),
                    }
                }
                status => return Err(self.trouble(status, stream)),
            }
        }
    }

    /// A cancellation of the stateless revision is the end of the connection, and no message.
    fn is_done_here(&self, message: &Message) -> bool {
        if message.method.as_deref() != Some("notifications/cancelled") {
            return false;
        }
        let is_modern = jsonrpc::meta_version(&message.value).is_some();
        if is_modern {
            let id = message.value["params"]["requestId"].to_string();
            lock(&self.state).cancelled.insert(id);
        }
        is_modern
    }

    fn post(&self, url: &str, message: &Message, token: Option<&Secret>) -> Result<Stream, Fault> {
        let is_first = message.method.as_deref() == Some("initialize");
        let limit_s = if is_first { INITIALIZE_LIMIT_S } else { HEAD_LIMIT_S };
        let request = {
            let state = lock(&self.state);
            let modern = modern::headers(&message.value, &state.annotations);
            let modern = modern.into_iter().map(|(name, value)| (name, Secret::new(value)));
            let more: Vec<_> = self.options.headers.iter().cloned().chain(modern).collect();
            let is_modern = jsonrpc::meta_version(&message.value).is_some();
            let in_session = !is_first && !is_modern;
            let cookies = state.cookie_header();
            let dress = mcp::Dress {
                token,
                session: state.session.as_ref().filter(|_| in_session),
                version: state.version.as_deref().filter(|_| in_session),
                cookies: cookies.as_ref(),
                last_event_id: None,
                more: &more,
            };
            mcp::post(url, &message.line, &dress)
        };
        let request = request.map_err(|error| Fault::of_network(&error))?;
        let opened = self.tools.client.open_patient(request, limit_s, None);
        opened.map_err(|error| Fault::of_network(&error))
    }

    /// A good answer: nothing, one JSON value, or a stream.
    fn take(&self, message: &Message, stream: Stream, own: Option<&Gate>) -> Result<(), Fault> {
        let is_request = message.kind == Kind::Request;
        if message.method.as_deref() == Some("initialize") {
            let session = stream.head.header("mcp-session-id");
            let is_visible = |id: &&str| id.bytes().all(|byte| byte.is_ascii_graphic());
            let session = session.filter(is_visible).map(Secret::new);
            lock(&self.state).session = session;
        }
        // What follows needs no more than the beginning of this answer.
        let is_handshake_done = message.method.as_deref() == Some("notifications/initialized");
        if is_handshake_done {
            if let Some(gate) = own {
                gate.open();
            }
            self.want_events();
        }
        match (stream.head.status, stream.head.content_type.as_str()) {
            (_, "text/event-stream") => self.relay(message, stream),
            _ if !is_request => Ok(()),
            (202, _) => Err(protocol("the server took the request and will not answer it")),
            (_, "application/json") => {
                let body = stream.long_text(JSON_LIMIT_BYTES);
                self.pass_on(message, &body.map_err(|error| Fault::of_network(&error))?)
            }
            (_, other) => {
                let other = text::harmless(other, 80);
                Err(protocol(&format!("the server answered with {other}")))
            }
        }
    }

    /// A JSON answer: one message, or in the oldest revision several.
    fn pass_on(&self, message: &Message, body: &str) -> Result<(), Fault> {
        let value: Value = serde_json::from_str(body)
            .map_err(|_| protocol("the server answered with broken JSON"))?;
        let is_batch = message.value.is_array();
        match &value {
            Value::Array(all) if !is_batch => {
                for one in all {
                    self.hand_over(message, one, &one.to_string());
                }
            }
            _ => {
                let line = jsonrpc::one_line(body).unwrap_or_else(|| value.to_string());
                self.hand_over(message, &value, &line);
            }
        }
        Ok(())
    }

    /// One message of the server to the client; what the proxy has to know is read on the way.
    pub(super) fn hand_over(&self, asked: &Message, value: &Value, line: &str) {
        let is_answer = asked.id.as_ref().is_some_and(|id| jsonrpc::is_answer_to(value, id));
        if is_answer && let Some(id) = &asked.id {
            if self.is_cancelled(id) {
                return;
            }
            match asked.method.as_deref() {
                Some("initialize") => self.agree(value),
                Some("tools/list") if jsonrpc::meta_version(&asked.value).is_some() => {
                    return self.hand_over_tools(value, line);
                }
                _ => {}
            }
        }
        self.write(line);
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
        }
        if removed.is_empty() { self.write(line) } else { self.write(&value.to_string()) }
    }

    /// 400, 404 or 405 that is no lost session: the server's own JSON-RPC error, an older server, or no
    /// MCP endpoint at all.
    fn refused(&self, message: &Message, reply: &Reply, own: Option<&Gate>) -> Result<(), Fault> {
        let status = reply.status;
        let body = reply.body.expose();
        let value: Value = serde_json::from_str(body).unwrap_or_default();
        let code = value["error"]["code"].as_i64();
        if let (Some(id), Some(code)) = (&message.id, code)
            && message.kind == Kind::Request
        {
            let is_ours = jsonrpc::is_answer_to(&value, id) || value["id"].is_null();
            let is_modern = (-32022..=-32020).contains(&code) || code == jsonrpc::METHOD_NOT_FOUND;
            let is_first = message.method.as_deref() == Some("initialize");
            if is_ours && !(is_first && value["id"].is_null() && !is_modern) {
                let line = jsonrpc::with_id(body, id).unwrap_or_else(|| value.to_string());
                self.write(&line);
                return Ok(());
            }
        }
        let is_first = message.method.as_deref() == Some("initialize");
        if is_first && self.options.transport == Transport::Auto {
            return self.begin_older(message, Some(status), own);
        }
        if message.method.as_deref() == Some("server/discover") {
            return Err(Fault {
                code: jsonrpc::METHOD_NOT_FOUND,
                ..protocol("this server has no server/discover")
            });
        }
        let what = format!("{} is no MCP endpoint (status {status})", self.options.url);
        Err(protocol(&what).status(status))
    }

    /// Any other status.
    fn trouble(&self, status: u16, stream: Stream) -> Fault {
        let host = endpoint::origin(&self.options.url).unwrap_or_default();
        let retry_after_s = stream.head.retry_after_s;
        match status {
            429 | 500.. => {
                let what = format!("{host} cannot answer now (status {status})");
                let fault = Fault::new(jsonrpc::UNREACHABLE, "network", what).status(status);
                Fault { retry_after_s, ..fault }
            }
            _ => protocol(&format!("{host} answered {status}")).status(status),
        }
    }

    /// A redirect within the origin may be followed with the message and its token.
    fn followed(&self, url: &str, head: &Reply) -> Result<String, Fault> {
        let origin = endpoint::origin(url).unwrap_or_default();
        let place = head.header("location").unwrap_or_default();
        let target =
            if place.starts_with('/') { format!("{origin}{place}") } else { place.to_owned() };
        if endpoint::origin(&target).as_deref() == Some(&origin) {
            return Ok(target);
        }
        Err(protocol(&format!("{origin} sends us to another server")).status(head.status))
    }

    fn forbidden(&self, stream: Stream, tries: &mut Tries) -> Result<(), Fault> {
        let challenge = challenge::bearer(stream.head.header_values("www-authenticate"));
        let wants_scope = challenge
            .as_ref()
            .is_some_and(|challenge| challenge.error.as_deref() == Some("insufficient_scope"));
        if let Some(challenge) = challenge.filter(|_| wants_scope) {
            let is_again = std::mem::replace(&mut tries.has_stepped_up, true);
            return self.step_up(challenge, is_again);
        }
        let status = stream.head.status;
        let body = stream.whole().map(|reply| text::harmless(reply.body.expose(), 200));
        let said = body.ok().filter(|said| !said.is_empty() && !said.starts_with('<'));
        let said = said.map_or(String::new(), |said| format!(": {said}"));
        let what = format!("the server does not allow it{said}");
        Err(Fault::new(jsonrpc::NOT_ALLOWED, "forbidden", what).status(status))
    }
}

/// A JSON answer longer than this is none that a client reads.
const JSON_LIMIT_BYTES: u64 = 64 * 1024 * 1024;

pub fn protocol(what: &str) -> Fault {
    Fault::new(jsonrpc::NOT_MCP, "protocol", what)
}

fn mentions_session(body: &str) -> bool {
    let body = body.to_ascii_lowercase();
    body.contains("session id") || body.contains("sessionid") || body.contains("session not")
}
