//! Answers of our own, in the shape that the clients of a route read.

use serde_json::{Value, json};

use crate::protocol::gateway::route::Shape;

/// The body of an error answer.
pub fn body(shape: Shape, status: u16, message: &str) -> Value {
    match shape {
        Shape::Anthropic => {
            let kind = anthropic_kind(status);
            json!({"type": "error", "error": {"type": kind, "message": message}})
        }
        Shape::Google => {
            let word = google_word(status);
            json!({"error": {"code": status, "message": message, "status": word}})
        }
        Shape::Openai => {
            let (kind, code) = openai_kind(status);
            json!({"error": {"message": message, "type": kind, "param": null, "code": code}})
        }
    }
}

/// docs.claude.com/en/api/errors
fn anthropic_kind(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 => "overloaded_error",
        504 => "timeout_error",
        400..500 => "invalid_request_error",
        _ => "api_error",
    }
}

/// google.rpc.Code
fn google_word(status: u16) -> &'static str {
    match status {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        429 => "RESOURCE_EXHAUSTED",
        503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        400..500 => "INVALID_ARGUMENT",
        _ => "INTERNAL",
    }
}

/// platform.openai.com/docs/guides/error-codes
fn openai_kind(status: u16) -> (&'static str, &'static str) {
    match status {
        401 => ("authentication_error", "invalid_api_key"),
        403 => ("permission_error", "forbidden"),
        404 => ("invalid_request_error", "not_found"),
        429 => ("rate_limit_error", "rate_limit_exceeded"),
        400..500 => ("invalid_request_error", "invalid_request"),
        503 => ("server_error", "unavailable"),
        _ => ("server_error", "internal_server_error"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shape_says_the_same() {
        let anthropic = body(Shape::Anthropic, 429, "m");
        assert_eq!(anthropic["error"]["type"], "rate_limit_error");
        let google = body(Shape::Google, 429, "m");
        assert_eq!(
            (&google["error"]["code"], &google["error"]["status"]),
            (&json!(429), &json!("RESOURCE_EXHAUSTED"))
        );
        let openai = body(Shape::Openai, 401, "m");
        assert_eq!(openai["error"]["code"], "invalid_api_key");
        for body in [anthropic, google, openai] {
            assert_eq!(body["error"]["message"], "m");
        }
    }
}
