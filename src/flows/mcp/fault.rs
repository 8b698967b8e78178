//! What the client on stdin is told when there is no answer of the server (facts: mcp.md section 5).

use serde_json::{Value, json};

use crate::error::Error;
use crate::text;

pub const SIGN_IN: i64 = -31001;
pub const REFUSED: i64 = -31002;
pub const FORBIDDEN: i64 = -31003;
pub const UNREACHABLE: i64 = -31004;
pub const SILENT: i64 = -31005;
pub const LOST: i64 = -31006;
pub const SESSION: i64 = -31007;
pub const PROTOCOL: i64 = -31008;

/// Why a request has no answer; all texts are harmless.
#[derive(Clone, Debug)]
pub struct Fault {
    pub code: i64,
    pub kind: &'static str,
    pub message: String,
    pub status: Option<u16>,
    pub next: Option<String>,
    pub retry_after_s: Option<u64>,
    pub scopes: Vec<String>,
}

impl Fault {
    pub fn new(code: i64, kind: &'static str, message: impl Into<String>) -> Fault {
        let message = text::harmless(&message.into(), 2_000);
        Fault {
            code,
            kind,
            message,
            status: None,
            next: None,
            retry_after_s: None,
            scopes: Vec::new(),
        }
    }

    pub fn status(self, status: u16) -> Fault {
        Fault { status: Some(status), ..self }
    }

    pub fn or_try(self, next: impl Into<String>) -> Fault {
        Fault { next: Some(next.into()), ..self }
    }

    /// An error on the way to a credential.
    pub fn of_sign_in(error: &Error) -> Fault {
        let next = error.next().map(str::to_owned);
        let fault = match error {
            Error::SignIn { .. } | Error::Pending { .. } => {
                Fault::new(SIGN_IN, "sign_in", error.to_string())
            }
            Error::Temporary { retry_after_s, .. } => {
                let fault = Fault::new(UNREACHABLE, "network", error.to_string());
                Fault { retry_after_s: *retry_after_s, ..fault }
            }
            Error::Store { .. } => Fault::new(REFUSED, "store", error.to_string()),
            _ => Fault::new(REFUSED, "sign_in_failed", error.to_string()),
        };
        Fault { next, ..fault }
    }

    /// An error on the way to the server.
    pub fn of_network(error: &Error) -> Fault {
        let fault = match error {
            Error::Temporary { what, .. } if what.contains("did not answer in full") => {
                Fault::new(SILENT, "time_out", error.to_string())
            }
            Error::Unreadable { .. } => Fault::new(PROTOCOL, "protocol", error.to_string()),
            _ => Fault::new(UNREACHABLE, "network", error.to_string()),
        };
        Fault { next: error.next().map(str::to_owned), ..fault }
    }

    /// The `data` of the error.
    pub fn data(&self) -> Value {
        let mut data = json!({
            "source": "keyfob", "kind": self.kind, "status": self.status,
            "try": self.next, "retry_after": self.retry_after_s,
        });
        if !self.scopes.is_empty() {
            data["scopes"] = json!(self.scopes);
        }
        data
    }
}
