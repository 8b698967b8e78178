//! The error codes of RFC 6749 section 5.2, and what they mean for the caller.

use serde_json::Value;

use crate::protocol::form;
use crate::secret::Secret;
use crate::text;

/// What a token endpoint said no with; both texts are harmless and short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OauthError {
    pub code: String,
    pub description: String,
}

impl OauthError {
    pub fn new(code: &str, description: &str) -> OauthError {
        OauthError { code: text::harmless(code, 80), description: text::harmless(description, 300) }
    }

    /// The same words without the secrets of the request that was answered, raw or encoded.
    pub fn without(self, sent: &[&Secret]) -> OauthError {
        let encoded: Vec<_> = sent.iter().map(|secret| form::encode(secret.expose())).collect();
        let raw = sent.iter().map(|secret| secret.expose());
        let secrets: Vec<_> = raw.chain(encoded.iter().map(String::as_str)).collect();
        OauthError {
            code: text::scrub(&self.code, &secrets),
            description: text::scrub(&self.description, &secrets),
        }
    }

    /// Reads `{"error":"code","error_description":…}`, `{"error":{"code","type","message"}}` and
    /// `{"code","message"}`; None when the object tells of no error.
    pub fn from_json(answer: &Value) -> Option<OauthError> {
        let word = |value: &Value, key: &str| {
            value.get(key).and_then(Value::as_str).filter(|s| !s.is_empty()).map(str::to_owned)
        };
        match answer.get("error") {
            Some(Value::String(code)) if !code.is_empty() => {
                let described =
                    word(answer, "error_description").or_else(|| word(answer, "message"));
                Some(OauthError::new(code, &described.unwrap_or_default()))
            }
            Some(inner @ Value::Object(_)) => {
                let code = word(inner, "code").or_else(|| word(inner, "type"))?;
                Some(OauthError::new(&code, &word(inner, "message").unwrap_or_default()))
            }
            _ if answer.get("access_token").is_some() => None,
            _ => word(answer, "code")
                .map(|code| OauthError::new(&code, &word(answer, "message").unwrap_or_default())),
        }
    }

    /// The server has trouble of its own; the same request may succeed later.
    pub fn is_temporary(&self) -> bool {
        let temporary = ["temporarily_unavailable", "server_error", "slow_down"];
        let code = self.code.to_ascii_lowercase();
        temporary.contains(&code.as_str()) || code.contains("rate_limit")
    }

    /// The grant itself is dead: the code or refresh token will never work again.
    /// Errors about the client or the request are not in this class.
    pub fn kills_the_grant(&self, more: &[String]) -> bool {
        let code = self.code.to_ascii_lowercase();
        code == "invalid_grant"
            || code == "access_denied"
            || more.iter().any(|other| other.eq_ignore_ascii_case(&code))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_shape_of_error_is_read() {
        for (answer, code, description) in [
            (
                json!({"error": "invalid_grant", "error_description": "expired"}),
                "invalid_grant",
                "expired",
            ),
            (
                json!({"error": {"code": "refresh_token_reused", "message": "m"}}),
                "refresh_token_reused",
                "m",
            ),
            (
                json!({"type": "error", "error": {"type": "not_found_error", "message": "m"}}),
                "not_found_error",
                "m",
            ),
            (json!({"code": "refresh_token_expired"}), "refresh_token_expired", ""),
            (json!({"error": "a\u{1b}[2Jb"}), "a [2Jb", ""),
        ] {
            assert_eq!(OauthError::from_json(&answer), Some(OauthError::new(code, description)));
        }
        assert_eq!(OauthError::from_json(&json!({"access_token": "x", "code": "y"})), None);
        assert_eq!(OauthError::from_json(&json!({"error": null})), None);
        assert_eq!(OauthError::from_json(&json!([])), None);
    }

    #[test]
    fn classes_are_told_apart() {
        assert!(OauthError::new("server_error", "").is_temporary());
        assert!(OauthError::new("rate_limit_error", "").is_temporary());
        assert!(OauthError::new("invalid_grant", "").kills_the_grant(&[]));
        assert!(OauthError::new("X_Reused", "").kills_the_grant(&["x_reused".to_owned()]));
        assert!(!OauthError::new("invalid_client", "").kills_the_grant(&[]));
    }
}
