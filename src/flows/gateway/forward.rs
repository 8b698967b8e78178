//! A request for a model: read, understood, given to whoever can answer it.

use serde_json::Value;

use crate::error::{Error, Result};
use crate::flows::gateway::Gateway;
use crate::flows::gateway::hunt::{Hunt, Won};
use crate::flows::gateway::relay::Relay;
use crate::flows::gateway::roster::Nobody;
use crate::flows::gateway::settings::Settings;
use crate::flows::random;
use crate::log;
use crate::net::serve::{Exchange, Head};
use crate::protocol::gateway::body::{self, Body};
use crate::protocol::gateway::route::{self, Route, Shape};
use crate::protocol::gateway::{onward, refusal};
use crate::provider::Dialect;
use crate::store::ClientKey;
use crate::text;
use crate::time::Timestamp;

/// An answer of our own in place of a provider's.
pub struct Refusal {
    pub status: u16,
    pub message: String,
    pub retry_after_s: Option<u64>,
    /// The one method that the path takes.
    pub allow: Option<&'static str>,
}

impl Refusal {
    pub fn new(status: u16, message: impl Into<String>) -> Refusal {
        Refusal { status, message: message.into(), retry_after_s: None, allow: None }
    }
}

/// Sends a refusal in the shape that the route's clients read.
pub fn refuse(exchange: &Exchange, shape: Shape, refusal: &Refusal) {
    let body = refusal::body(shape, refusal.status, &refusal.message).to_string();
    let wait = refusal.retry_after_s.map(|seconds| seconds.to_string());
    let mut headers = vec![("Content-Type", "application/json")];
    headers.extend(wait.as_deref().map(|wait| ("Retry-After", wait)));
    // RFC 9110, section 15.5.6.
    headers.extend(refusal.allow.map(|method| ("Allow", method)));
    if refusal.status == 401 {
        // RFC 9110, section 11.6.1.
        headers.push(("WWW-Authenticate", "Bearer"));
    }
    exchange.answer(refusal.status, &headers, body.as_bytes());
}

/// A prompt as the caller sent it.
pub struct Prompt {
    pub route: Route,
    pub dialect: Dialect,
    /// As the caller names it.
    pub model: String,
    pub body: Body,
    pub query: Vec<(String, String)>,
    pub headers: Vec<(String, String)>,
    /// What its conversation is known by here.
    pub conversation: Option<String>,
    /// The client, if what it goes on from is named by the answer that it had before.
    pub client_of_answers: Option<String>,
    pub id: String,
}

impl Prompt {
    fn read(
        exchange: &mut Exchange,
        route: &Route,
        dialect: Dialect,
        key: &ClientKey,
        settings: &Settings,
    ) -> std::result::Result<Prompt, Refusal> {
        check_content(&exchange.head)?;
        let limit_bytes = settings.max_body_mb.saturating_mul(1024 * 1024);
        let bytes =
            exchange.body(limit_bytes).map_err(|wrong| Refusal::new(wrong.status, wrong.why))?;
        let text = String::from_utf8(bytes)
            .map_err(|_| Refusal::new(400, "the body is no UTF-8, which JSON has to be"))?;
        let body = Body::parse(text).ok_or_else(|| {
            Refusal::new(400, "the body has to be a JSON object that says nothing twice")
        })?;
        let model = match route {
            Route::Generate { model, .. } => Some(model.clone()),
            _ => body.model(),
        };
        let model = model.ok_or_else(|| Refusal::new(400, "the body names no model"))?;
        let head = &exchange.head;
        let conversation = body::conversation(route, &body, |name| head.header(name));
        let conversation = conversation.filter(|_| settings.session_affinity);
        let is_by_answers = settings.session_affinity
            && *route == Route::Responses
            && (conversation.is_none() || conversation == body.word("previous_response_id"));
        let conversation = conversation.map(|name| conversation_of(&key.name, &name));
        let id = random::bytes::<16>().map_err(|error| Refusal::new(500, error.to_string()))?;
        Ok(Prompt {
            route: route.clone(),
            dialect,
            model,
            query: onward::without_key(&head.query),
            headers: head.headers().to_vec(),
            conversation,
            client_of_answers: is_by_answers.then(|| key.name.clone()),
            id: text::hex(&id),
            body,
        })
    }
}

/// One client's names say nothing about another's.
pub fn conversation_of(client: &str, name: &str) -> String {
    format!("{client} {name}")
}

fn check_content(head: &Head) -> std::result::Result<(), Refusal> {
    if head.header("content-encoding").is_some_and(|coding| coding != "identity") {
        return Err(Refusal::new(415, "a compressed body is not taken here"));
    }
    Ok(())
}

impl Gateway {
    /// Answers a prompt, whatever comes of it. Gives what is still to come of an answer that may take
    /// its time.
    pub fn answer(
        &self,
        exchange: &mut Exchange,
        route: &Route,
        key: &ClientKey,
    ) -> Option<Box<Relay>> {
        let outcome = match route.dialect() {
            Some(dialect) => self.forward(exchange, route, dialect, key),
            None => Err(Refusal::new(404, "a list takes no prompts")),
        };
        let (status, rest) = match outcome {
            Ok(won) => won,
            Err(refusal) => {
                refuse(exchange, route.shape(), &refusal);
                (refusal.status, None)
            }
        };
        log::debug(&format!("{} for {} -> {status}", route.name(), key.name));
        self.ledger.count_request(route.name(), &key.name, status >= 400, Timestamp::now_ms());
        rest
    }

    fn forward(
        &self,
        exchange: &mut Exchange,
        route: &Route,
        dialect: Dialect,
        key: &ClientKey,
    ) -> std::result::Result<Won, Refusal> {
        let roster = self.roster();
        let prompt = Prompt::read(exchange, route, dialect, key, &roster.settings)?;
        let targets = roster
            .targets(&prompt.model, dialect, key)
            .map_err(|nobody| explain(&nobody, &prompt, key))?;
        Hunt::new(self, &roster, &prompt, exchange.caller(), targets).run()
    }
}

fn explain(nobody: &Nobody, prompt: &Prompt, key: &ClientKey) -> Refusal {
    let model = text::harmless(&prompt.model, 120);
    match nobody {
        Nobody::OtherDialects(dialects) => {
            let paths: Vec<_> =
                dialects.iter().map(|dialect| route::path_of(*dialect).to_owned()).collect();
            let where_to = text::list(&paths);
            Refusal::new(400, format!("{model} is not to be had here, but at {where_to}"))
        }
        Nobody::UnknownModel => {
            let what =
                format!("no account has a model {model}; GET /v1/models lists those there are");
            Refusal::new(404, what)
        }
        Nobody::NoAccount if key.providers.is_empty() => {
            let here = route::path_of(prompt.dialect);
            let what = format!("no account answers at {here}; try: keyfob login PROVIDER");
            Refusal::new(400, what)
        }
        Nobody::NoAccount => {
            let here = route::path_of(prompt.dialect);
            let these = text::list(&key.providers);
            Refusal::new(
                400,
                format!("this key is good for {these}, which do not answer at {here}"),
            )
        }
    }
}

/// What a provider said in place of an answer, without the secrets of the account that it was sent.
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

/// In a few words why an account did not answer.
pub fn in_short(why: &impl ToString) -> String {
    text::harmless(&why.to_string(), 200)
}

/// The status for callers when nothing came from a provider.
pub fn status_of(error: &Error) -> u16 {
    if crate::net::failure::is_out_of_time(error) { 504 } else { 502 }
}

/// The words of an error answer, for the state of an account.
pub fn words_of(body: &str) -> String {
    use crate::protocol::chat::fault::{self, Fault};
    match fault::of_body(body) {
        Fault::Told { words, .. } => words,
        Fault::Cut | Fault::Unreadable(_) => String::new(),
    }
}

/// A whole answer that a provider gave, as it is.
pub fn pass_back(caller: &crate::net::serve::Caller, answer: &Answer) -> Result<()> {
    let length = Some(answer.body.len() as u64);
    let sent = caller.begin(answer.status, &answer.headers, length).and_then(|()| {
        caller.piece(answer.body.as_bytes())?;
        caller.end()
    });
    sent.map_err(|_| Error::temporary("the caller went away"))
}

/// JSON of ours.
pub fn answer_json(exchange: &Exchange, status: u16, body: &Value) {
    exchange.answer(status, &[("Content-Type", "application/json")], body.to_string().as_bytes());
}
