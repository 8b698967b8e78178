//! A prompt as it came: of which account, for which model, in which project.

use std::time::Instant;

use serde_json::Value;

use crate::support::idp::Request;

/// How a path is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech {
    Chat,
    CodeAssist,
    Gemini,
    Messages,
    Responses,
}

#[derive(Clone, Debug)]
pub struct Asked {
    /// `?` where nobody knows the credential.
    pub account: String,
    pub credential: String,
    pub model: String,
    pub project: Option<String>,
    pub is_streamed: bool,
    pub speech: Speech,
    pub body: Value,
    pub at: Instant,
}

impl Asked {
    /// None: this path takes no prompts.
    pub fn read(request: &Request, account: &str, credential: &str) -> Option<Asked> {
        let placed = request.path.strip_prefix("/projects/").and_then(|rest| rest.split_once('/'));
        let (place, path) = match placed {
            Some((project, rest)) => (Some(project.to_owned()), format!("/{rest}")),
            None => (None, request.path.clone()),
        };
        let body: Value = serde_json::from_str(&request.body).ok()?;
        let named = path.strip_prefix("/v1beta/models/").and_then(|rest| rest.split_once(':'));
        let (speech, method) = match path.as_str() {
            "/v1/chat/completions" => (Speech::Chat, ""),
            "/v1/messages" => (Speech::Messages, ""),
            "/v1/responses" => (Speech::Responses, ""),
            path if path.starts_with("/v1internal:") => (Speech::CodeAssist, &path[12..]),
            _ => (Speech::Gemini, named?.1),
        };
        let in_body = body["model"].as_str().unwrap_or_default();
        let model = named.map_or(in_body, |(model, _)| model).to_owned();
        Some(Asked {
            account: account.to_owned(),
            credential: credential.to_owned(),
            model,
            project: place.or_else(|| body["project"].as_str().map(str::to_owned)),
            is_streamed: body["stream"] == true || method == "streamGenerateContent",
            speech,
            body,
            at: request.at,
        })
    }
}

/// What a request shows to be let in with.
pub fn credential(request: &Request) -> String {
    let keys = ["x-api-key", "x-goog-api-key"];
    let key = keys.iter().find_map(|name| request.header(name));
    request.bearer().or(key).unwrap_or_default().to_owned()
}
