//! A model API on 127.0.0.1, for one account, that behaves as its vendor documents: prompts answered
//! in streams or whole, a list of models, errors in the vendor's own shape. It is strict: what no
//! client of that API should send is a complaint. It misbehaves on request.

mod answer;
mod asked;
#[cfg(test)]
mod selftest;
mod serve;
mod trouble;

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::idp::{Request, http};
use super::tls::Server;

pub use asked::Said;
pub use trouble::{Fault, When};

/// How an API is spoken. The vendors' references: docs.claude.com/en/api/messages-streaming,
/// platform.openai.com/docs/api-reference/chat-streaming and /responses-streaming,
/// ai.google.dev/api/generate-content, google-gemini/gemini-cli
/// packages/core/src/code_assist/server.ts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech {
    Anthropic,
    Chat,
    CodeAssist,
    Gemini,
    Responses,
}

/// What the API of one account takes.
#[derive(Clone, Debug)]
pub struct Door {
    pub speech: Speech,
    /// The path that takes prompts; of Google's two the part before the method.
    pub prompts: String,
    /// Parameters of that path's query beside `alt=sse`.
    pub query: Vec<(String, String)>,
    /// Path and query of the list of models.
    pub models: Option<String>,
    /// Path and answer of other GETs.
    pub free: Vec<(String, Value)>,
    /// The header that carries the credential, in lower case.
    pub credential: String,
    /// What else every request has to carry, in lower case.
    pub headers: Vec<(String, String)>,
    pub model: String,
    /// The project that Code Assist is asked in.
    pub project: Option<String>,
    /// There are no whole answers (the ChatGPT backend).
    pub stream_only: bool,
}

/// What a request was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Free,
    Models,
    Prompt,
    /// A prompt with a tool attached.
    Tool,
}

/// A request that was understood.
#[derive(Clone, Debug)]
pub struct Seen {
    pub what: What,
    pub request: Request,
    /// Of a prompt.
    pub said: Option<Said>,
}

pub struct Api {
    server: Server,
    world: Arc<Mutex<World>>,
}

struct World {
    door: Door,
    /// Whether the credential header's value is good.
    accepts: Box<dyn Fn(&str) -> bool + Send>,
    /// The oldest that fits is used; None lasts.
    faults: Vec<(When, Fault, Option<usize>)>,
    complaints: Vec<String>,
    /// The pieces of text of an answer.
    pieces: Vec<String>,
    seen: Vec<Seen>,
    /// When each piece of text was sent.
    sent: Vec<Instant>,
    /// When each client was seen to have gone in the middle of an answer.
    gone: Vec<Instant>,
    models: Vec<String>,
}

impl Api {
    /// `accepts` judges the whole value of the credential's header.
    pub fn start(door: Door, accepts: impl Fn(&str) -> bool + Send + 'static) -> Self {
        let models = vec![door.model.clone(), "another-model".to_owned()];
        let world = World {
            door,
            accepts: Box::new(accepts),
            faults: Vec::new(),
            complaints: Vec::new(),
            pieces: ["Hello", ", wörld", " ☀!"].map(String::from).to_vec(),
            seen: Vec::new(),
            sent: Vec::new(),
            gone: Vec::new(),
            models,
        };
        let world = Arc::new(Mutex::new(world));
        let shared = Arc::clone(&world);
        let server = Server::start(move |mut stream, agents| {
            let request = http::read(&mut stream)?;
            let what = format!("{} {}", request.method, request.path);
            agents.check(&what, request.header("user-agent"));
            serve::exchange(&mut stream, &request, &shared)
        });
        Api { server, world }
    }

    /// `http://127.0.0.1:PORT`
    pub fn origin(&self) -> String {
        format!("http://{}", self.server.address())
    }

    fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }

    pub fn change_door(&self, change: impl FnOnce(&mut Door)) {
        change(&mut self.world().door);
    }

    /// From now on.
    pub fn fault(&self, when: When, fault: Fault) {
        self.world().faults.push((when, fault, None));
    }

    pub fn fault_once(&self, when: When, fault: Fault) {
        self.world().faults.push((when, fault, Some(1)));
    }

    pub fn clear_faults(&self) {
        self.world().faults.clear();
    }

    /// The answer's text, cut as it is sent.
    pub fn says(&self, pieces: &[&str]) {
        self.world().pieces = pieces.iter().map(|piece| (*piece).to_owned()).collect();
    }

    pub fn has_models(&self, ids: &[&str]) {
        self.world().models = ids.iter().map(|id| (*id).to_owned()).collect();
    }

    /// What an undisturbed answer says.
    pub fn text(&self) -> String {
        self.world().pieces.concat()
    }

    pub fn seen(&self, what: What) -> Vec<Seen> {
        let all = self.world().seen.clone();
        all.into_iter().filter(|seen| seen.what == what).collect()
    }

    /// Requests so far, whatever for and whatever came of them.
    pub fn connections(&self) -> usize {
        self.server.count()
    }

    /// The one prompt.
    #[track_caller]
    pub fn only(&self, what: What) -> Seen {
        let seen = self.seen(what);
        assert_eq!(seen.len(), 1, "{what:?}: {seen:#?}");
        seen[0].clone()
    }

    /// What the one prompt said.
    #[track_caller]
    pub fn said(&self) -> Said {
        self.only(What::Prompt).said.expect("a prompt says something")
    }

    pub fn forget(&self) {
        let mut world = self.world();
        world.seen.clear();
        world.sent.clear();
        world.gone.clear();
    }

    pub fn sent(&self) -> Vec<Instant> {
        self.world().sent.clone()
    }

    /// Waits until a client went away in the middle, and says when that was seen.
    #[track_caller]
    pub fn saw_it_go(&self, limit: Duration) -> Instant {
        self.wait("a client that goes", limit, |world| world.gone.first().copied())
    }

    /// Waits until so many pieces of text were sent.
    #[track_caller]
    pub fn has_sent(&self, pieces: usize, limit: Duration) {
        self.wait("pieces", limit, |world| (world.sent.len() >= pieces).then_some(()));
    }

    /// Waits for a request of this kind.
    #[track_caller]
    pub fn was_asked(&self, what: What, limit: Duration) {
        let is_one = |seen: &Seen| seen.what == what;
        self.wait("a request", limit, |world| world.seen.iter().any(is_one).then_some(()));
    }

    #[track_caller]
    fn wait<T>(&self, what: &str, limit: Duration, find: impl Fn(&World) -> Option<T>) -> T {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(found) = find(&self.world()) {
                return found;
            }
            assert!(Instant::now() < deadline, "no {what} after {limit:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Fails the test when there is a complaint.
    #[track_caller]
    pub fn assert_content(&self) {
        let complaints = self.world().complaints.clone();
        assert!(complaints.is_empty(), "the model API complains:\n  {}", complaints.join("\n  "));
    }

    pub fn complaints(&self) -> Vec<String> {
        self.world().complaints.clone()
    }
}

/// A thread that panicked has failed its test already.
fn lock(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(|broken| broken.into_inner())
}
