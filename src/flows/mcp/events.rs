//! Streams of events: the answer to a message, resumed where it broke off, and the one that the
//! server opens of itself.

use std::time::{Duration, Instant};

use crate::flows::mcp::errand::Errand;
use crate::flows::mcp::exchange::{Tries, late, protocol};
use crate::flows::mcp::fault::Fault;
use crate::flows::mcp::{Bridge, lock};
use crate::net::stream::Stream;
use crate::protocol::jsonrpc::{self, Message, Parsed};
use crate::protocol::mcp;
use crate::protocol::sse::{Decoder, Event};

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
    /// Something came since this was last looked at.
    is_moving: bool,
}

impl Bridge<'_> {
    /// The events of an answer, until the answer itself has come and the stream has ended.
    pub(super) fn relay(&self, errand: &Errand, mut stream: Stream) -> Result<(), Fault> {
        let mut cursor = Cursor::default();
        let is_over = || errand.id().is_none() || !errand.is_open() || errand.is_given_up();
        let (mut pause, mut resumes) = (FIRST_PAUSE, 0);
        self.follow(errand, &mut stream, &mut cursor)?;
        while !is_over() && !errand.hangup.is_cut() {
            if std::mem::take(&mut cursor.is_moving) {
                (pause, resumes) = (FIRST_PAUSE, 0);
            }
            let last_id = cursor.last_id.clone().filter(|_| !errand.is_modern());
            let Some(last_id) = last_id.filter(|_| resumes < RESUMES) else {
                return Err(Fault::lost());
            };
            std::thread::sleep(cursor.retry.unwrap_or(pause).min(LONGEST_PAUSE));
            (pause, resumes) = ((pause * 3 / 2).min(LONGEST_PAUSE), resumes + 1);
            match self.open_events(Some(&last_id)) {
                Ok(next) if is_stream(&next) => {
                    stream = next;
                    self.follow(errand, &mut stream, &mut cursor)?;
                }
                Ok(next) if next.head.status < 500 => return Err(Fault::lost()),
                Ok(_) | Err(_) => {}
            }
        }
        if is_over() { Ok(()) } else { Err(late()) }
    }

    /// Relays until the stream ends, however it ends.
    fn follow(
        &self,
        errand: &Errand,
        stream: &mut Stream,
        cursor: &mut Cursor,
    ) -> Result<(), Fault> {
        let mut decoder = Decoder::with_limit(EVENT_LIMIT_BYTES);
        while let Ok(Some(piece)) = stream.next() {
            let events = decoder.feed(&piece);
            let events = events.ok_or_else(|| protocol("the server sent an endless event"))?;
            for event in events {
                self.take_event(errand, &event, cursor);
            }
        }
        Ok(())
    }

    fn take_event(&self, errand: &Errand, event: &Event, cursor: &mut Cursor) {
        if event.id.is_some() {
            cursor.is_moving |= cursor.last_id != event.id;
            cursor.last_id.clone_from(&event.id);
        }
        cursor.retry = event.retry_ms.map(Duration::from_millis).or(cursor.retry);
        self.pass_event(errand, event);
    }

    /// The message in an event, if there is one.
    pub(super) fn pass_event(&self, errand: &Errand, event: &Event) {
        if event.data.is_empty() || event.name != "message" {
            return;
        }
        match jsonrpc::parse(&event.data) {
            Parsed::Message(said) => self.hand_over(errand, &said),
            Parsed::Batch(all) => all.iter().for_each(|said| self.hand_over(errand, said)),
            Parsed::Invalid { .. } | Parsed::NoJson => {
                self.note("an event that is no message was left out");
            }
        }
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
                while !(state.has_stream && state.epoch > seen) {
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
        let nobody = Errand::new(Message::nobody());
        let is_current = || {
            let mut state = lock(&self.state);
            state.listening = nobody.hangup.clone();
            state.epoch == epoch
        };
        let mut cursor = Cursor::default();
        let (mut pause, mut short_lives, mut has_been) = (FIRST_PAUSE, 0, false);
        while short_lives < SHORT_LIVES && is_current() {
            let began = Instant::now();
            let opened = nobody.hangup.during(|| self.open_events(cursor.last_id.as_deref()));
            match opened {
                Ok(mut stream) if is_stream(&stream) => {
                    has_been = true;
                    // A fault ends this stream and nothing else.
                    let _ = nobody.hangup.during(|| self.follow(&nobody, &mut stream, &mut cursor));
                    short_lives += 1;
                    if began.elapsed() >= SHORT_LIFE {
                        (short_lives, pause) = (0, FIRST_PAUSE);
                    }
                }
                Ok(stream)
                    if has_been && (stream.head.status == 429 || stream.head.status >= 500) => {}
                Ok(_) => return,
                // The network may come back.
                Err(_) => {}
            }
            if nobody.hangup.is_cut() {
                return;
            }
            std::thread::sleep(cursor.retry.unwrap_or(pause).min(LONGEST_PAUSE));
            pause = (pause * 3 / 2).min(LONGEST_PAUSE);
        }
    }

    fn open_events(&self, last_event_id: Option<&str>) -> Result<Stream, Fault> {
        // Renewed if need be; a sign-in is begun by messages alone.
        let token = self.token(&mut Tries::default())?;
        let request = self.dressed(token.as_ref(), last_event_id, mcp::get);
        let request = request.map_err(|error| Fault::of_network(&error))?;
        let opened = self.tools.client.open_patient(request, HEAD_LIMIT_S, None);
        opened.map_err(|error| Fault::of_network(&error))
    }
}

fn is_stream(stream: &Stream) -> bool {
    stream.head.status == 200 && stream.head.content_type == "text/event-stream"
}
