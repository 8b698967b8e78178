//! What can go wrong on purpose, in each vendor's own words.

use serde_json::{Value, json};

use super::{Door, Speech, What};

/// Which requests a fault meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Any,
    /// Every prompt, with and without a tool.
    Asked,
    Models,
    /// Prompts with a tool.
    Tool,
}

impl When {
    pub fn meets(self, what: What) -> bool {
        match self {
            When::Any => true,
            When::Asked => matches!(what, What::Prompt | What::Tool),
            When::Models => what == What::Models,
            When::Tool => what == What::Tool,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// The tool's arguments are half a JSON object.
    BrokenArguments,
    /// The socket closes in the middle of the answer.
    Cut,
    /// Answered after so many milliseconds.
    Delay(u64),
    /// The stream ends well formed, and in the middle.
    Ended,
    /// An event that never ends.
    Endless,
    /// An error with this status whose code and words repeat the credential.
    Echo(u16),
    /// 401, in the vendor's words.
    Expired,
    /// A page.
    Html(u16),
    /// Nothing is answered.
    Mute,
    /// The model says what `Api::says` has, whatever it was asked to say.
    NoMark,
    /// The model answers with text and calls no tool.
    NoTool,
    /// 429 for want of quota, with this Retry-After.
    NoQuota(Option<u64>),
    /// An error inside a stream that began with 200.
    Overloaded,
    /// 403: the account may not.
    Refused,
    /// Each event so many milliseconds after the one before.
    Slow(u64),
    /// After the first piece of text nothing more comes.
    Stalled,
    /// A bare status.
    Status(u16),
    /// In the middle of a stream the credential is no longer good.
    ThrownOut,
    /// 402.
    Unpaid,
    /// The vendor knows no such model.
    WrongModel,
    /// A tool that was not offered is called.
    WrongTool,
}

/// Status, body, and Retry-After of a fault that is an answer of its own.
pub fn answer(door: &Door, fault: &Fault, credential: &str) -> Option<(u16, Value, Option<u64>)> {
    let (status, code, words) = match fault {
        Fault::Expired => match (door.speech, door.credential.as_str()) {
            (Speech::Gemini, "x-goog-api-key") => {
                return Some((
                    400,
                    google_key("API key not valid. Please pass a valid API key."),
                    None,
                ));
            }
            _ => (
                401,
                ["authentication_error", "invalid_api_key", "UNAUTHENTICATED"],
                "Invalid authentication credentials".to_owned(),
            ),
        },
        Fault::Refused => (
            403,
            ["permission_error", "insufficient_permissions", "PERMISSION_DENIED"],
            "Your account does not have permission to use this resource".to_owned(),
        ),
        Fault::NoQuota(wait) => {
            let code = ["rate_limit_error", "insufficient_quota", "RESOURCE_EXHAUSTED"];
            let words =
                "You exceeded your current quota, please check your plan and billing details";
            return Some((429, body(door, 429, code, words), *wait));
        }
        Fault::Unpaid => (
            402,
            ["billing_error", "insufficient_balance", "FAILED_PRECONDITION"],
            "Insufficient Balance".to_owned(),
        ),
        Fault::WrongModel => {
            let status = if door.speech == Speech::Responses { 400 } else { 404 };
            let words =
                format!("The model `{}` does not exist or you do not have access", door.model);
            (status, ["not_found_error", "model_not_found", "NOT_FOUND"], words)
        }
        Fault::Echo(status) => (
            *status,
            [credential; 3],
            format!("cannot use {credential}\u{1b}[31m, which is {} for this", bare(credential)),
        ),
        Fault::Status(status) => {
            (*status, ["api_error", "server_error", "INTERNAL"], "Internal server error".to_owned())
        }
        _ => return None,
    };
    Some((status, body(door, status, code, &words), None))
}

/// The credential as a server may know it: without its scheme, or its cookie's name.
fn bare(credential: &str) -> &str {
    match credential.strip_prefix("Bearer ") {
        Some(token) => token,
        None => credential.split_once('=').map_or(credential, |(_, value)| value),
    }
}

/// `codes` are Anthropic's, OpenAI's and Google's.
fn body(door: &Door, status: u16, codes: [&str; 3], words: &str) -> Value {
    let [anthropic, openai, google] = codes;
    match door.speech {
        Speech::Anthropic => json!({"type": "error", "request_id": "req_1",
            "error": {"type": anthropic, "message": words}}),
        Speech::Chat | Speech::Responses => json!({"error": {"message": words,
            "type": "invalid_request_error", "param": null, "code": openai}}),
        Speech::CodeAssist | Speech::Gemini => {
            json!({"error": {"code": status, "message": words, "status": google}})
        }
    }
}

fn google_key(words: &str) -> Value {
    let detail = json!({"@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "API_KEY_INVALID", "domain": "googleapis.com"});
    json!({"error": {"code": 400, "message": words, "status": "INVALID_ARGUMENT",
        "details": [detail]}})
}

/// The event that says in the middle of a stream that the credential has ended.
pub fn thrown_out(door: &Door) -> String {
    let codes = ["authentication_error", "invalid_api_key", "UNAUTHENTICATED"];
    let error = body(door, 401, codes, "Invalid authentication credentials");
    match door.speech {
        Speech::Anthropic => format!("event: error\ndata: {error}\n\n"),
        _ => format!("data: {error}\n\n"),
    }
}

/// The event that says so in the middle of a stream.
pub fn overloaded(door: &Door) -> String {
    match door.speech {
        Speech::Anthropic => {
            let error = json!({"type": "error",
                "error": {"type": "overloaded_error", "message": "Overloaded"}});
            format!("event: error\ndata: {error}\n\n")
        }
        Speech::Responses => {
            let error = json!({"code": "server_error", "message": "The server is overloaded"});
            let data = json!({"type": "response.failed", "response": {"id": "resp_1",
                "object": "response", "status": "failed", "error": error, "output": []}});
            format!("event: response.failed\ndata: {data}\n\n")
        }
        _ => {
            let codes = ["overloaded_error", "server_error", "UNAVAILABLE"];
            format!("data: {}\n\n", body(door, 503, codes, "The model is overloaded"))
        }
    }
}
