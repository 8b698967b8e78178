//! What the client on stdin is told when there is no answer of the server (facts: mcp.md section 5).

use serde_json::{Value, json};

use crate::endpoint;
use crate::error::Error;
use crate::net::{failure, guard};
use crate::protocol::jsonrpc::{
    self, CONNECTION_LOST, NO_ANSWER, NOT_MCP, SIGN_IN_FAILED, SIGN_IN_NEEDED, UNREACHABLE,
};
use crate::text;

/// Why a request has no answer; all texts are harmless.
#[derive(Clone, Debug)]
pub struct Fault {
    pub code: i64,
    pub kind: &'static str,
    pub message: String,
    /// What follows in the message are the server's words, which no log has.
    pub own_bytes: u32,
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
            own_bytes: u32::MAX,
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
                Fault::new(SIGN_IN_NEEDED, "sign_in", error.to_string())
            }
            Error::Temporary { retry_after_s, .. } => {
                let fault = Fault::new(UNREACHABLE, "network", error.to_string());
                Fault { retry_after_s: *retry_after_s, ..fault }
            }
            Error::Store { .. } => Fault::new(SIGN_IN_FAILED, "store", error.to_string()),
            Error::Failed { what, .. } if is_unsafe(what) => {
                Fault::new(SIGN_IN_FAILED, "unsafe_url", error.to_string())
            }
            _ => Fault::new(SIGN_IN_FAILED, "sign_in_failed", error.to_string()),
        };
        Fault { next, ..fault }
    }

    /// An error on the way to the server.
    pub fn of_network(error: &Error) -> Fault {
        let fault = match error {
            late if failure::is_out_of_time(late) => {
                Fault::new(NO_ANSWER, "time_out", error.to_string())
            }
            // The request was sent, and nobody knows what became of it.
            cut if failure::is_cut_off(cut) => Fault::lost(),
            Error::Unreadable { .. } => Fault::new(NOT_MCP, "protocol", error.to_string()),
            _ => Fault::new(UNREACHABLE, "network", error.to_string()),
        };
        Fault { next: error.next().map(str::to_owned), ..fault }
    }

    /// An answer that began and broke off.
    pub fn of_broken(error: &Error) -> Fault {
        match error {
            Error::Temporary { .. } => Fault::lost(),
            _ => Fault::of_network(error),
        }
    }

    pub fn lost() -> Fault {
        let what = "the connection was lost before the answer; the request may have run";
        Fault::new(CONNECTION_LOST, "lost", what)
    }

    /// The same with what the server said.
    pub fn quoting(mut self, words: &str) -> Fault {
        self.own_bytes = u32::try_from(self.message.len()).unwrap_or(u32::MAX);
        self.message = format!("{}: {words}", self.message);
        self
    }

    /// What is said of it in a log.
    pub fn in_own_words(&self) -> &str {
        self.message.get(..self.own_bytes as usize).unwrap_or(&self.message)
    }

    /// The `data` of the error.
    pub fn data(&self) -> Value {
        let next = self.next.as_deref();
        let mut data = jsonrpc::data(self.kind, self.status, next, self.retry_after_s);
        if !self.scopes.is_empty() {
            data["scopes"] = json!(self.scopes);
        }
        data
    }
}

/// Whether an address was refused that a server named.
fn is_unsafe(what: &str) -> bool {
    endpoint::is_objection(what) || guard::is_objection(what) || what.contains("on this machine")
}
