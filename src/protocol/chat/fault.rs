//! What an API says when it gives no answer, and what that means for the person.

use serde_json::Value;

use crate::text;

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Fault {
    /// The stream ended in the middle.
    Cut,
    /// The API's own words, harmless and short.
    Told { code: String, words: String },
    /// It answered, but not so.
    Unreadable(&'static str),
}

/// What the person can do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cure {
    /// Name another model.
    Model,
    /// Nothing that keyfob knows.
    None,
    /// Get more of it: nothing is left, or nothing is paid.
    Quota,
    /// Sign in, or give another key.
    SignIn,
    /// Try again later.
    Wait,
}

/// What an error object of whatever shape tells; None: it is no error.
pub fn told(answer: &Value) -> Option<Fault> {
    // Google sends a list of one where a stream was asked for.
    let answer = answer.get(0).unwrap_or(answer);
    let inner = match answer.get("error") {
        Some(error) if !error.is_null() => error,
        // Responses' and CodeMie's way.
        _ if answer["type"] == "error" => answer,
        _ => return None,
    };
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    };
    let first = |keys: &[&str]| {
        let mut texts = keys.iter().map(|key| text(&inner[*key]));
        texts.find(|text| !text.is_empty()).unwrap_or_default()
    };
    let reason = inner["details"].as_array().into_iter().flatten();
    let reason = reason.map(|detail| text(&detail["reason"])).find(|reason| !reason.is_empty());
    let code = match (inner, reason) {
        (Value::String(code), _) => code.clone(),
        (_, Some(reason)) => reason,
        _ => first(&["type", "status", "code"]),
    };
    // The finer word of two, where `type` is a mere class.
    let code = match text(&inner["code"]) {
        finer if !finer.is_empty() && !finer.bytes().all(|b| b.is_ascii_digit()) => finer,
        _ => code,
    };
    let words = match first(&["message", "error_description"]) {
        words if words.is_empty() => text(&answer["message"]),
        words => words,
    };
    Some(Fault::Told { code: text::harmless(&code, 80), words: text::harmless(&words, 300) })
}

/// The words of an error answer, whatever its shape; empty ones where it has none.
pub fn of_body(body: &str) -> Fault {
    let answer: Value = serde_json::from_str(body).unwrap_or_default();
    told(&answer).unwrap_or_else(|| {
        // FastAPI's way, and a bare text.
        let detail = ["detail", "message", "msg"].iter().find_map(|key| answer[*key].as_str());
        let bare = answer.is_null().then_some(body.trim()).filter(|text| text.len() < 300);
        let words = text::harmless(detail.or(bare).unwrap_or_default(), 300);
        Fault::Told { code: String::new(), words }
    })
}

const UNKNOWN_CREDENTIAL: [&str; 9] = [
    "api key not valid",
    "api_key_invalid",
    "authentication_error",
    "incorrect api key",
    "invalid api key",
    "invalid_api_key",
    "invalid_token",
    "token_expired",
    "unauthenticated",
];

const NOTHING_LEFT: [&str; 9] = [
    "billing",
    "credit balance",
    "current quota",
    "insufficient balance",
    "insufficient_quota",
    "payment required",
    "quota_exceeded",
    "quota_exhausted",
    "usage_limit_reached",
];

const NOT_NOW: [&str; 6] =
    ["api_error", "overloaded", "rate_limit", "server_error", "timeout_error", "unavailable"];

/// What is to be done about an error with this status; None for one inside a stream.
pub fn cure(status: Option<u16>, code: &str, words: &str) -> Cure {
    let said = format!("{code} {words}").to_lowercase();
    let says = |any: &[&str]| any.iter().any(|word| said.contains(word));
    let is_about_model = said.contains("model")
        && says(&["not found", "not_found", "not exist", "unknown", "invalid", "not supported"]);
    match status {
        Some(401) => Cure::SignIn,
        None | Some(400 | 403) if says(&UNKNOWN_CREDENTIAL) => Cure::SignIn,
        Some(402) => Cure::Quota,
        None | Some(400 | 403 | 429) if says(&NOTHING_LEFT) => Cure::Quota,
        Some(408 | 429 | 500..) => Cure::Wait,
        None if says(&NOT_NOW) => Cure::Wait,
        Some(404) => Cure::Model,
        _ if is_about_model => Cure::Model,
        _ => Cure::None,
    }
}
