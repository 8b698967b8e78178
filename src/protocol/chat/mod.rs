//! One prompt and its answer, in whatever an API speaks: the request, and the answer whole or as it
//! streams. Sources: the APIs' own references, and facts on what each provider takes.

mod anthropic;
mod completions;
pub mod fault;
mod gemini;
mod responses;

use serde_json::Value;
use ureq::http::Request;
use ureq::http::header::{ACCEPT, HeaderValue};

use crate::account::Account;
use crate::error::{Error, Result};
use crate::protocol::chat::fault::Fault;
use crate::protocol::{attach, form, request, sse};
use crate::provider::{Api, Dialect, Provider};
use crate::secret::Secret;

/// One prompt.
pub struct Ask<'a> {
    pub model: &'a str,
    pub prompt: &'a str,
    pub system: Option<&'a str>,
    pub tool: Option<&'a Tool>,
    pub is_streamed: bool,
    /// Ask for the count of tokens where a stream does not bring it unasked.
    pub wants_usage: bool,
    /// A name for the request, where the API wants one.
    pub id: &'a str,
}

/// A tool that the model may call; `parameters` is a JSON schema.
pub struct Tool {
    pub name: String,
    pub description: String,
    pub parameters: Value,
}

/// What came back. `text` is as the model wrote it.
#[derive(Debug, Default)]
pub struct Answer {
    pub text: String,
    pub calls: Vec<Call>,
    /// The model that answered, which may be another than was asked for.
    pub model: Option<String>,
    /// Why it ended, in the API's own word.
    pub stop_reason: Option<String>,
    pub input_tokens: Option<u64>,
    pub output_tokens: Option<u64>,
    /// The API said that this is all.
    is_complete: bool,
}

/// The model wants a tool run; `arguments` is a JSON text.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Call {
    pub name: String,
    pub arguments: String,
}

/// A longer answer is none that a prompt gets.
const ANSWER_LIMIT_BYTES: usize = 16 * 1024 * 1024;

/// The row's API and what it speaks. Err: it takes no prompts.
pub fn api(row: &Provider) -> Result<(&Api, Dialect)> {
    let api = row.api.as_ref();
    api.and_then(|api| Some((api, api.dialect?))).ok_or_else(|| {
        let what = format!("{} has no model API that keyfob can speak", row.id);
        Error::failed(what).or_try(format!("keyfob provider show {}", row.id))
    })
}

/// The request, with the account's credential and all that the row adds on it.
pub fn request(ask: &Ask, account: &Account, row: &Provider) -> Result<Request<Secret>> {
    let (api, dialect) = api(row)?;
    let base = attach::need_base(account, row)?;
    let names = |name: &str| api.tool_names.get(name).map_or(name, String::as_str).to_owned();
    let tool = ask.tool.map(|tool| Tool {
        name: names(&tool.name),
        description: tool.description.clone(),
        parameters: tool.parameters.clone(),
    });
    let system: Vec<_> = api.system.as_deref().into_iter().chain(ask.system).collect();
    let (usual, mut query, body) = match dialect {
        Dialect::AnthropicMessages => anthropic::ask(ask, &base, &system, tool.as_ref()),
        Dialect::CodeAssist => {
            gemini::ask_code_assist(ask, account.fact("project_id"), &system, tool.as_ref())
        }
        Dialect::GeminiGenerateContent => {
            gemini::ask(ask, api.path.as_deref(), &system, tool.as_ref())
        }
        Dialect::OpenaiChat => completions::ask(ask, &system, tool.as_ref()),
        Dialect::OpenaiResponses => responses::ask(ask, &system, tool.as_ref()),
    };
    let path = match (&api.path, dialect) {
        (Some(path), d) if d != Dialect::GeminiGenerateContent => {
            path.replace("{model}", &form::encode(ask.model))
        }
        _ => usual,
    };
    query.extend(api.query.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let mut url = format!("{base}{path}");
    if !query.is_empty() {
        url = format!("{url}?{}", form::encode_pairs(&query));
    }
    let mut request = request::post_json(&url, None, &body)?;
    if ask.is_streamed {
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
    }
    attach::attach(&mut request, account, row)?;
    Ok(request)
}

/// Puts an answer together as it comes.
pub struct Reader<'a> {
    api: &'a Api,
    dialect: Dialect,
    events: sse::Decoder,
    answer: Answer,
    /// So much of the text was given.
    given: usize,
}

impl<'a> Reader<'a> {
    pub fn new(api: &'a Api, dialect: Dialect) -> Reader<'a> {
        let (events, answer) = Default::default();
        Reader { api, dialect, events, answer, given: 0 }
    }

    /// The text that has come since this was last asked.
    pub fn news(&mut self) -> &str {
        let from = std::mem::replace(&mut self.given, self.answer.text.len());
        &self.answer.text[from..]
    }

    /// The next bytes of a stream. What came before a fault in them is among the news.
    pub fn feed(&mut self, bytes: &[u8]) -> std::result::Result<(), Fault> {
        let events = self.events.feed(bytes).ok_or(Fault::Unreadable("an event too long"))?;
        for event in events {
            // A sign of life of some server in between.
            if event.data.trim().is_empty() {
                continue;
            }
            // OpenAI ends its streams so.
            if event.data.trim() == "[DONE]" {
                self.answer.is_complete = true;
                continue;
            }
            let data: Value = serde_json::from_str(&event.data)
                .map_err(|_| Fault::Unreadable("an event that is no JSON"))?;
            self.take(&data)?;
        }
        Ok(())
    }

    fn take(&mut self, data: &Value) -> std::result::Result<(), Fault> {
        if let Some(told) = fault::told(data) {
            return Err(told);
        }
        let answer = &mut self.answer;
        match self.dialect {
            Dialect::AnthropicMessages => anthropic::take(answer, data),
            Dialect::CodeAssist => gemini::take(answer, &data["response"]),
            Dialect::GeminiGenerateContent => gemini::take(answer, data),
            Dialect::OpenaiChat => completions::take(answer, data),
            Dialect::OpenaiResponses => responses::take(answer, data)?,
        }
        let too_long = answer.text.len() > ANSWER_LIMIT_BYTES;
        if too_long { Err(Fault::Unreadable("an answer too long")) } else { Ok(()) }
    }

    /// An answer that came whole; gives its text.
    pub fn whole(&mut self, body: &Secret) -> std::result::Result<&str, Fault> {
        let data: Value = serde_json::from_str(body.expose())
            .map_err(|_| Fault::Unreadable("an answer that is no JSON"))?;
        if let Some(told) = fault::told(&data) {
            return Err(told);
        }
        let answer = &mut self.answer;
        answer.is_complete = match self.dialect {
            Dialect::AnthropicMessages => anthropic::whole(answer, &data),
            Dialect::CodeAssist => gemini::whole(answer, &data["response"]),
            Dialect::GeminiGenerateContent => gemini::whole(answer, &data),
            Dialect::OpenaiChat => completions::whole(answer, &data),
            Dialect::OpenaiResponses => responses::whole(answer, &data)?,
        };
        if !self.answer.is_complete {
            return Err(Fault::Unreadable("no answer that this API gives"));
        }
        Ok(&self.answer.text)
    }

    /// The answer, when no more comes.
    pub fn finish(mut self) -> std::result::Result<Answer, Fault> {
        if !self.answer.is_complete {
            return Err(Fault::Cut);
        }
        for call in &mut self.answer.calls {
            let mut names = self.api.tool_names.iter();
            if let Some((ours, _)) = names.find(|(_, wire)| **wire == call.name) {
                call.name.clone_from(ours);
            }
        }
        Ok(self.answer)
    }
}

/// A string of an answer, if it is one.
fn word(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

/// What is there replaces what was.
fn keep<T>(slot: &mut Option<T>, found: Option<T>) {
    if found.is_some() {
        *slot = found;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A prompt, for the tests of each dialect.
    pub fn prompt(is_streamed: bool) -> Ask<'static> {
        Ask {
            model: "m/1",
            prompt: "hi",
            system: None,
            tool: None,
            is_streamed,
            wants_usage: false,
            id: "id-1",
        }
    }

    pub fn tool() -> Tool {
        Tool {
            name: "report".to_owned(),
            description: "Reports.".to_owned(),
            parameters: json!({"type": "object"}),
        }
    }

    pub fn call(name: &str, arguments: &str) -> Call {
        Call { name: name.to_owned(), arguments: arguments.to_owned() }
    }

    /// The answer of a stream of these events, the same wherever it is cut.
    pub fn streamed(dialect: Dialect, events: &[Value]) -> std::result::Result<Answer, Fault> {
        let stream: String = events.iter().map(|event| format!("data: {event}\n\n")).collect();
        let at_once = fed(dialect, &stream, stream.len().max(1));
        for size in [1, 2, 3, 7, 64] {
            let pieces = fed(dialect, &stream, size);
            assert_eq!(format!("{pieces:?}"), format!("{at_once:?}"), "{size} bytes at a time");
        }
        at_once
    }

    fn fed(dialect: Dialect, stream: &str, size: usize) -> std::result::Result<Answer, Fault> {
        let api = Api::default();
        let mut reader = Reader::new(&api, dialect);
        let mut seen = String::new();
        for piece in stream.as_bytes().chunks(size) {
            reader.feed(piece)?;
            seen.push_str(reader.news());
        }
        let answer = reader.finish()?;
        assert_eq!(seen, answer.text, "each text is told once");
        Ok(answer)
    }

    pub fn whole(dialect: Dialect, body: &Value) -> std::result::Result<Answer, Fault> {
        let api = Api::default();
        let mut reader = Reader::new(&api, dialect);
        reader.whole(&Secret::new(body.to_string()))?;
        reader.finish()
    }

    pub fn told(code: &str, words: &str) -> Fault {
        Fault::Told { code: code.to_owned(), words: words.to_owned() }
    }

    const ALL: [Dialect; 5] = [
        Dialect::AnthropicMessages,
        Dialect::CodeAssist,
        Dialect::GeminiGenerateContent,
        Dialect::OpenaiChat,
        Dialect::OpenaiResponses,
    ];

    #[test]
    fn what_is_no_answer_is_never_taken_for_one() {
        for dialect in ALL {
            assert_eq!(streamed(dialect, &[]).unwrap_err(), Fault::Cut, "{dialect:?}");
            assert_eq!(streamed(dialect, &[json!({"ok": true})]).unwrap_err(), Fault::Cut);
            let stream = "data: <html>\n\n";
            let page = Fault::Unreadable("an event that is no JSON");
            assert_eq!(fed(dialect, stream, 64).unwrap_err(), page);
            for body in [json!({"ok": true}), json!([]), json!("x"), Value::Null] {
                let fault = whole(dialect, &body).unwrap_err();
                assert_eq!(fault, Fault::Unreadable("no answer that this API gives"), "{body}");
            }
        }
    }

    #[test]
    fn an_empty_event_is_a_sign_of_life() {
        let end = r#"data: {"choices":[{"delta":{"content":"hi"},"finish_reason":"stop"}]}"#;
        let stream = format!(": ping\n\ndata:\n\n{end}\n\ndata: [DONE]\n\n");
        assert_eq!(fed(Dialect::OpenaiChat, &stream, 64).unwrap().text, "hi");
    }

    #[test]
    fn a_tool_comes_back_under_the_name_it_left_with() {
        let names = [("report".to_owned(), "acme_report".to_owned())];
        let api = Api { tool_names: names.into(), ..Api::default() };
        let mut reader = Reader::new(&api, Dialect::OpenaiChat);
        let calls = ["acme_report", "other"].map(|name| json!({"function": {"name": name}}));
        let body = json!({"choices": [{"message": {"tool_calls": calls}}]});
        reader.whole(&Secret::new(body.to_string())).unwrap();
        assert_eq!(reader.finish().unwrap().calls, [call("report", ""), call("other", "")]);
    }
}
