//! A request that is not granted: the client's fault, or just bad luck.

use serde_json::json;

use super::http::Answer;

/// `code` and `description` are OAuth's `error` and `error_description`.
#[derive(Debug)]
pub struct Refusal {
    pub status: u16,
    pub code: &'static str,
    pub description: String,
    /// Beside a `slow_down`: the interval from now on.
    pub interval_s: Option<u64>,
    /// The client broke the protocol, as opposed to presenting a grant that is no longer good.
    pub is_violation: bool,
}

impl Refusal {
    pub fn violation(code: &'static str, description: impl Into<String>) -> Self {
        let status = if code == "invalid_client" { 401 } else { 400 };
        Refusal { is_violation: true, ..Refusal::denied(status, code, description) }
    }

    pub fn denied(status: u16, code: &'static str, description: impl Into<String>) -> Self {
        let description = description.into();
        Refusal { status, code, description, interval_s: None, is_violation: false }
    }

    pub fn answer(&self) -> Answer {
        let mut body = json!({"error": self.code, "error_description": self.description});
        if let Some(seconds) = self.interval_s {
            body["interval"] = json!(seconds);
        }
        let answer = Answer::json(self.status, &body);
        match self.code {
            "invalid_client" => answer.with("WWW-Authenticate", "Basic realm=\"issuer\""),
            "invalid_token" => answer.with("WWW-Authenticate", "Bearer error=\"invalid_token\""),
            _ => answer,
        }
    }
}

/// Refuses with `invalid_request` unless the claim holds.
pub fn require(holds: bool, description: impl FnOnce() -> String) -> Result<(), Refusal> {
    if holds { Ok(()) } else { Err(Refusal::violation("invalid_request", description())) }
}
