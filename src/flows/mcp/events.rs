//! Streams of events: the answer to a message, resumed where it broke off, and the one that the
//! server opens of itself.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::flows::mcp::fault::Fault;
use crate::flows::mcp::{Bridge, lock};
use crate::net::stream::Stream;
use crate::protocol::jsonrpc::{self, Kind, Message};
use crate::protocol::mcp;
use crate::protocol::sse::{Decoder, Event};
use crate::secret::Secret;

const EVENT_LIMIT_BYTES: usize = 64 * 1024 * 1024;
const RESUMES: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
const HEAD_LIMIT_S: u64 = 30;
/// A stream that ends sooner than this, so many times, is none that the server means to keep.
const SHORT_LIFE: Duration = Duration::from_secs(30);
const SHORT_LIVES: u32 = 5;

/// Where a stream is, and how it should be taken up again.
#[derive(Default)]
struct Cursor {
    last_id: Option<String>,
    retry: Option<Duration>,
    has_answer: bool,
}

impl Bridge<'_> {
    /// The events of an answer, until the answer itself has come and the stream has ended.
    pub(super) fn relay(&self, message: &Message, mut stream: Stream) -> Result<(), Fault> {
        let mut cursor = Cursor::default();
        let is_request = message.kind == Kind::Request;
        let is_modern = jsonrpc::meta_version(&message.value).is_some();
        let mut pause = FIRST_PAUSE;
        for attempt in 0..=RESUMES {
            self.follow(message, &mut stream, &mut cursor)?;
            if cursor.has_answer
                || !is_request
                || message.id.as_ref().is_some_and(|id| self.is_cancelled(id))
            {
                return Ok(());
            }
            let Some(last_id) = cursor.last_id.clone().filter(|_| !is_modern) else { break };
            if attempt == RESUMES {
                break;
            }
            std::thread::sleep(cursor.retry.unwrap_or(pause));
            pause = (pause * 3 / 2).min(LONGEST_PAUSE);
            match self.open_events(Some(&last_id)) {
                Ok(next) if is_stream(&next) => stream = next,
                Ok(_) | Err(_) => break,
            }
        }
        let what = "the connection was lost before the answer; the request may have run";
        Err(Fault::new(jsonrpc::CONNECTION_LOST, "lost", what))
    }

    /// Relays until the stream ends, however it ends.
    fn follow(
        &self,
        message: &Message,
        stream: &mut Stream,
        cursor: &mut Cursor,
    ) -> Result<(), Fault> {
        let mut decoder = Decoder::with_limit(EVENT_LIMIT_BYTES);
        while let Ok(Some(piece)) = stream.next() {
            let Some(events) = decoder.feed(&piece) else {
                return Err(Fault::new(
                    jsonrpc::NOT_MCP,
                    "protocol",
                    "the server sent an endless event",
                ));
            };
            for event in events {
                self.take_event(message, &event, cursor);
            }
            if message.id.as_ref().is_some_and(|id| self.is_cancelled(id)) {
                return Ok(());
            }
        }
        Ok(())
    }

    fn take_event(&self, message: &Message, event: &Event, cursor: &mut Cursor) {
        if event.id.is_some() {
            cursor.last_id.clone_from(&event.id);
        }
        cursor.retry = event.retry_ms.map(Duration::from_millis).or(cursor.retry);
        if event.data.is_empty() || event.name != "message" {
            return;
        }
        let Ok(value) = serde_json::from_str::<Value>(&event.data) else {
            return self.note("an event that is no JSON was left out");
        };
        let line = jsonrpc::one_line(&event.data).unwrap_or_else(|| value.to_string());
        let is_answer = message.id.as_ref().is_some_and(|id| jsonrpc::is_answer_to(&value, id));
        cursor.has_answer |= is_answer;
        self.hand_over(message, &value, &line);
    }

    // ---- the server's own stream

    /// The handshake is done: from now on the server may speak of itself.
    pub(super) fn want_events(&self) {
        lock(&self.state).has_stream = true;
        self.news.notify_all();
    }

    /// Keeps the server's own stream open, as long as the process lives. Runs in a thread of its own.
    pub fn listen(&self) {
        let mut seen = 0;
        loop {
            let epoch = {
                let mut state = lock(&self.state);
                while !(state.has_stream && state.epoch > seen && state.endpoint.is_none()) {
                    let woken = self.news.wait(state);
                    state = woken.unwrap_or_else(std::sync::PoisonError::into_inner);
                }
                state.epoch
            };
            self.listen_in(epoch);
            seen = epoch;
        }
    }

    /// One session's stream. Whatever is no stream means that there is none, which is no fault.
    fn listen_in(&self, epoch: u64) {
        let nobody = Message::nobody();
        let mut cursor = Cursor::default();
        let mut pause = FIRST_PAUSE;
        let mut short_lives = 0;
        while short_lives < SHORT_LIVES && lock(&self.state).epoch == epoch {
            let began = Instant::now();
            match self.open_events(cursor.last_id.as_deref()) {
                Ok(mut stream) if is_stream(&stream) => {
                    // A fault ends this stream and nothing else.
                    let _ = self.follow(&nobody, &mut stream, &mut cursor);
                }
                Ok(stream) if stream.head.status >= 500 => {}
                Ok(_) => return,
                Err(_) if cursor.last_id.is_none() && short_lives > 0 => return,
                Err(_) => {}
            }
            if began.elapsed() < SHORT_LIFE {
                short_lives += 1;
            } else {
                (short_lives, pause) = (0, FIRST_PAUSE);
            }
            std::thread::sleep(cursor.retry.unwrap_or(pause));
            pause = (pause * 3 / 2).min(LONGEST_PAUSE);
        }
    }

    fn open_events(&self, last_event_id: Option<&str>) -> crate::error::Result<Stream> {
        let token = self.token_at_hand();
        let request = {
            let state = lock(&self.state);
            let cookies = state.cookie_header();
            let dress = mcp::Dress {
                token: token.as_ref(),
                session: state.session.as_ref(),
                version: state.version.as_deref(),
                cookies: cookies.as_ref(),
                last_event_id,
                more: &self.options.headers,
            };
            mcp::get(&self.options.url, &dress)?
        };
        self.tools.client.open_patient(request, HEAD_LIMIT_S, None)
    }

    /// The token as it is on disk, for what must not begin a sign-in.
    fn token_at_hand(&self) -> Option<Secret> {
        self.account().map(|account| account.secret().clone()).filter(|token| !token.is_empty())
    }
}

fn is_stream(stream: &Stream) -> bool {
    stream.head.status == 200 && stream.head.content_type == "text/event-stream"
}
