//! The proof of a credential, step by step: what `auth-test` shows.

use serde_json::{Value, json};

use crate::account::Account;
use crate::error::{Error, Result};
use crate::flows::api;
use crate::flows::check::Proof;
use crate::flows::prompt::{Seat, Wish};
use crate::protocol::chat::{self, Answer, Tool};
use crate::text;
use crate::time::Timestamp;

/// How a step went. The order is that of CLI.md section 7.
pub struct Step {
    pub name: &'static str,
    pub outcome: Outcome,
}

pub enum Outcome {
    /// What was seen.
    Ok(String),
    Failed(Error),
    /// Why.
    Skipped(String),
}

impl Step {
    pub fn ok(name: &'static str, detail: impl Into<String>) -> Step {
        Step { name, outcome: Outcome::Ok(detail.into()) }
    }

    pub fn skipped(name: &'static str, why: impl Into<String>) -> Step {
        Step { name, outcome: Outcome::Skipped(why.into()) }
    }

    /// `again` is the next step of an error that names none.
    pub fn failed(name: &'static str, error: Error, again: &str) -> Step {
        let error = if error.next().is_some() { error } else { error.or_try(again) };
        Step { name, outcome: Outcome::Failed(error) }
    }

    /// Says more of why it failed.
    pub fn explain(&mut self, more: impl FnOnce(Error) -> Error) {
        let outcome = std::mem::replace(&mut self.outcome, Outcome::Skipped(String::new()));
        self.outcome = match outcome {
            Outcome::Failed(error) => Outcome::Failed(more(error)),
            other => other,
        };
    }

    pub fn has_failed(&self) -> bool {
        matches!(self.outcome, Outcome::Failed(_))
    }
}

pub const DISCOVERY: &str = "discovery";
pub const REFRESH: &str = "refresh";
pub const SMOKE: &str = "smoke";
pub const TOOL_SMOKE: &str = "tool_smoke";

/// What a model has to say.
const MARK: &str = "AUTH_TEST_OK";
const PROMPT: &str = "Reply with exactly AUTH_TEST_OK and nothing else.";
const TOOL_PROMPT: &str =
    "Call the tool report once, with the word AUTH_TEST_OK. Do not answer with text.";
const TOOL: &str = "report";

/// The second step, out of what a check found.
pub fn refresh_step(account: &Account, found: Result<Proof>, is_dead: bool, again: &str) -> Step {
    match found {
        Ok(Proof::Accepted(host)) => {
            Step::ok(REFRESH, format!("{host} lets it in{}", until(account)))
        }
        Ok(Proof::Renewed) => Step::ok(REFRESH, format!("renewed{}", until(account))),
        Ok(Proof::Unproven(why)) => Step::skipped(REFRESH, why),
        // The credential is there; whether its API can be reached, the prompt shows.
        Err(error @ Error::Temporary { .. })
            if !is_dead && account.is_alive(Timestamp::now()) && !account.secret().is_empty() =>
        {
            Step::skipped(REFRESH, error.to_string())
        }
        Err(error) => Step::failed(REFRESH, error, again),
    }
}

/// The last two steps: a prompt, and the same with a tool.
pub fn prompts(seat: &Seat, model: Option<&str>, with_tool: bool, again: &str) -> [Step; 2] {
    if let Err(error) = chat::api(seat.row) {
        let why = error.to_string();
        return [Step::skipped(SMOKE, why.clone()), Step::skipped(TOOL_SMOKE, why)];
    }
    let smoke = match ask(seat, model, PROMPT, None) {
        Ok(answer) if answer.text.contains(MARK) => Step::ok(SMOKE, by_whom(&answer)),
        Ok(answer) => {
            let said = shown(&answer.text, seat.account);
            let error = Error::failed(format!("it answered, but not {MARK}: {said}"));
            Step::failed(SMOKE, error, &format!("keyfob run {} \"{PROMPT}\"", seat.row.id))
        }
        Err(error) => Step::failed(SMOKE, error, again),
    };
    let tool_smoke = if smoke.has_failed() {
        Step::skipped(TOOL_SMOKE, "the prompt without a tool failed")
    } else if with_tool {
        tool_step(seat, model, again)
    } else {
        Step::skipped(TOOL_SMOKE, "not asked for")
    };
    [smoke, tool_smoke]
}

fn tool_step(seat: &Seat, model: Option<&str>, again: &str) -> Step {
    let tool = Tool {
        name: TOOL.to_owned(),
        description: "Reports that tools can be called.".to_owned(),
        parameters: json!({
            "type": "object",
            "properties": {"word": {"type": "string", "description": "the word to report"}},
        }),
    };
    match ask(seat, model, TOOL_PROMPT, Some(&tool)) {
        Ok(answer) => match judge_call(&answer, seat.account) {
            Ok(()) => Step::ok(TOOL_SMOKE, by_whom(&answer)),
            Err(why) => {
                let next = format!("keyfob models {}", seat.row.id);
                Step::failed(TOOL_SMOKE, Error::failed(why), &next)
            }
        },
        Err(error) => Step::failed(TOOL_SMOKE, error, again),
    }
}

/// The beginning of what a model wrote.
fn shown(written: &str, account: &Account) -> String {
    text::harmless(&api::scrubbed(account, written), 80)
}

fn judge_call(answer: &Answer, account: &Account) -> std::result::Result<(), String> {
    let Some(call) = answer.calls.first() else {
        let said = shown(&answer.text, account);
        return Err(format!("the model did not call the tool: {said}"));
    };
    if call.name != TOOL {
        let name = shown(&call.name, account);
        return Err(format!("the model called {name}, which it was not offered"));
    }
    // A call without arguments may come without their braces.
    let arguments = if call.arguments.is_empty() { "{}" } else { &call.arguments };
    let arguments: Value = serde_json::from_str(arguments).unwrap_or_default();
    let word = &arguments["word"];
    match arguments.is_object() && (word.is_null() || word == MARK) {
        true => Ok(()),
        false => Err("the tool was called, but its arguments did not arrive whole".to_owned()),
    }
}

fn by_whom(answer: &Answer) -> String {
    let model = answer.model.as_deref().unwrap_or("the model");
    format!("{} answered", text::harmless(model, 80))
}

fn ask(seat: &Seat, model: Option<&str>, prompt: &str, tool: Option<&Tool>) -> Result<Answer> {
    let (system, is_streamed, wants_usage) = (None, true, false);
    let wish = Wish { model, prompt, system, tool, is_streamed, wants_usage };
    seat.ask(&wish, &mut |_| Ok(true))
}

/// `, expires in 42 min`, or nothing.
pub fn until(account: &Account) -> String {
    // A key that was kept unseen has brought no token yet.
    let at = account.expires_at().filter(|_| !account.secret().is_empty());
    at.map_or(String::new(), |at| format!(", expires {}", at.in_words(Timestamp::now())))
}
