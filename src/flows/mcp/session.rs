//! The session of a server that keeps one: begun by the client's handshake, repeated when the server
//! forgets it, ended with the process.

use serde_json::{Value, json};

use crate::flows::mcp::fault::Fault;
use crate::flows::mcp::{Bridge, State, lock};
use crate::net::client::Reply;
use crate::protocol::jsonrpc::{self, Parsed};
use crate::protocol::mcp;
use crate::protocol::sse::Decoder;
use crate::secret::Secret;

const INITIALIZE_LIMIT_S: u64 = 30;
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
        state.has_stream = false;
        state.epoch += 1;
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
        let _only = lock(&self.restarting);
        let (is_over, line, version) = {
            let mut state = lock(&self.state);
            let is_over = state.session.as_ref() != Some(lost);
            if !is_over {
                state.session = None;
            }
            (is_over, state.initialize.clone(), state.version.clone())
        };
        if is_over {
            return Ok(());
        }
        let failed = |what: &str| {
            let what = format!("the server forgot the session, and a new one failed: {what}");
            Fault::new(jsonrpc::SESSION_LOST, "session", what)
        };
        let line = line.ok_or_else(|| failed("the client began none"))?;
        let (session, agreed) = self.handshake(&line, &failed)?;
        if agreed.is_some() && agreed != version {
            return Err(failed("it now speaks another revision"));
        }
        let done = json!({"jsonrpc": "2.0", "method": "notifications/initialized"}).to_string();
        {
            let mut state = lock(&self.state);
            state.session = session;
            state.epoch += 1;
        }
        self.send_own(&done, true).map_err(|error| failed(&error.to_string()))?;
        self.want_events();
        self.note("the server forgot the session; a new one was begun");
        Ok(())
    }

    /// The client's handshake once more, under an id that it cannot use.
    fn handshake(
        &self,
        line: &str,
        failed: &dyn Fn(&str) -> Fault,
    ) -> Result<(Option<Secret>, Option<String>), Fault> {
        let mut message: Value = serde_json::from_str(line).map_err(|_| failed("it is no JSON"))?;
        let id = Value::from("keyfob-initialize");
        message["id"] = id.clone();
        let mut stream = self
            .send_own(&message.to_string(), false)
            .map_err(|error| failed(&error.to_string()))?;
        if !(200..300).contains(&stream.head.status) {
            return Err(failed(&format!("status {}", stream.head.status)));
        }
        let session = stream.head.header("mcp-session-id").map(Secret::new);
        let is_stream = stream.head.content_type == "text/event-stream";
        let mut decoder = Decoder::default();
        let mut body = Vec::new();
        while let Some(piece) = stream.next().map_err(|error| failed(&error.to_string()))? {
            body.extend(&piece);
            let texts: Vec<_> = match is_stream {
                true => {
                    let events = decoder.feed(&piece).unwrap_or_default();
                    events.into_iter().map(|event| event.data).collect()
                }
                false => vec![String::from_utf8_lossy(&body).into_owned()],
            };
            for text in texts {
                let Parsed::Message(answer) = jsonrpc::parse(&text) else { continue };
                if jsonrpc::is_answer_to(&answer.value, &id) {
                    let version = answer.value["result"]["protocolVersion"].as_str();
                    return Ok((session, version.map(str::to_owned)));
                }
            }
        }
        Err(failed("there was no answer"))
    }

    /// A message of the proxy's own.
    fn send_own(
        &self,
        line: &str,
        in_session: bool,
    ) -> crate::error::Result<crate::net::stream::Stream> {
        let token = self.account().map(|account| account.secret().clone());
        let request = {
            let state = lock(&self.state);
            let cookies = state.cookie_header();
            let dress = mcp::Dress {
                token: token.as_ref(),
                session: state.session.as_ref().filter(|_| in_session),
                version: state.version.as_deref().filter(|_| in_session),
                cookies: cookies.as_ref(),
                last_event_id: None,
                more: &self.options.headers,
            };
            mcp::post(&self.options.url, line, &dress)?
        };
        self.tools.client.open_patient(request, INITIALIZE_LIMIT_S, Some(INITIALIZE_LIMIT_S))
    }

    /// Tells the server that nobody comes back; what it says to that is of no interest.
    pub fn end(&self) {
        let token = self.account().map(|account| account.secret().clone());
        let request = {
            let state = lock(&self.state);
            let Some(session) = &state.session else { return };
            let cookies = state.cookie_header();
            let dress = mcp::Dress {
                token: token.as_ref(),
                session: Some(session),
                version: state.version.as_deref(),
                cookies: cookies.as_ref(),
                last_event_id: None,
                more: &self.options.headers,
            };
            mcp::delete(&self.options.url, &dress)
        };
        if let Ok(request) = request {
            let _ = self.tools.client.open_patient(request, END_LIMIT_S, Some(END_LIMIT_S));
        }
    }
}
