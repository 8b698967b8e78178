//! The one error type. A variant is a class of what to do next, not of where it happened.

use std::fmt;
use std::path::{Path, PathBuf};

/// No variant holds a secret or a response body: text from outside has passed
/// `text::harmless` before it gets here.
#[derive(Debug)]
pub enum Error {
    /// A command that could not be run, the shell's 126 or 127; or one that ended with this status.
    Child { what: String, status: u8 },
    /// Done wrong or not possible, and trying again will not help (1).
    Failed { what: String, next: Option<String> },
    /// Another process owns the matter, or the person has not acted yet; or the login is gone (6).
    Pending { what: String, next: Option<String> },
    /// A question would have been needed (2).
    PromptNeeded { what: String, next: String },
    /// The provider said no, in OAuth's words (1).
    Refused { provider: String, code: String, description: String, next: Option<String> },
    /// Only the person can help, by signing in (4).
    SignIn { account: String, why: String, next: String },
    /// Something under the keyfob home is in the way (5).
    Store { path: PathBuf, doing: &'static str, cause: String, next: Option<String> },
    /// Worth another try later (3).
    Temporary { what: String, retry_after_s: Option<u64>, next: Option<String> },
    /// An answer that makes no sense (1).
    Unreadable { from: String, what: String, next: Option<String> },
    /// The call itself is wrong (2).
    Usage { what: String, next: Option<String> },
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub fn failed(what: impl Into<String>) -> Error {
        Error::Failed { what: what.into(), next: None }
    }

    pub fn usage(what: impl Into<String>) -> Error {
        Error::Usage { what: what.into(), next: None }
    }

    /// `from` is a host or address, `what` is what it sent.
    pub fn unreadable(from: impl Into<String>, what: impl Into<String>) -> Error {
        Error::Unreadable { from: from.into(), what: what.into(), next: None }
    }

    pub fn temporary(what: impl Into<String>) -> Error {
        Error::Temporary { what: what.into(), retry_after_s: None, next: None }
    }

    /// `doing` is an infinitive: "write", "read", "lock".
    pub fn store(path: &Path, doing: &'static str, cause: impl fmt::Display) -> Error {
        Error::Store { path: path.to_owned(), doing, cause: cause.to_string(), next: None }
    }

    /// CLI.md section 1, the table of exit codes.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Child { status, .. } => *status,
            Error::Failed { .. } | Error::Refused { .. } | Error::Unreadable { .. } => 1,
            Error::PromptNeeded { .. } | Error::Usage { .. } => 2,
            Error::Temporary { .. } => 3,
            Error::SignIn { .. } => 4,
            Error::Store { .. } => 5,
            Error::Pending { .. } => 6,
        }
    }

    /// The `code` of the JSON error object.
    pub fn code(&self) -> &'static str {
        match self {
            Error::Child { .. } => "child",
            Error::Failed { .. } => "failed",
            Error::Pending { .. } => "pending",
            Error::PromptNeeded { .. } => "prompt_needed",
            Error::Refused { .. } => "refused",
            Error::SignIn { .. } => "sign_in_needed",
            Error::Store { .. } => "store",
            Error::Temporary { .. } => "temporary",
            Error::Unreadable { .. } => "unreadable",
            Error::Usage { .. } => "usage",
        }
    }

    /// The exact command to run next, where there is one.
    pub fn next(&self) -> Option<&str> {
        match self {
            Error::Child { .. } => None,
            Error::Failed { next, .. }
            | Error::Pending { next, .. }
            | Error::Refused { next, .. }
            | Error::Store { next, .. }
            | Error::Temporary { next, .. }
            | Error::Unreadable { next, .. }
            | Error::Usage { next, .. } => next.as_deref(),
            Error::PromptNeeded { next, .. } | Error::SignIn { next, .. } => Some(next),
        }
    }

    /// The same error with another next step.
    pub fn or_try(mut self, command: impl Into<String>) -> Error {
        match &mut self {
            Error::Child { .. } => {}
            Error::Failed { next, .. }
            | Error::Pending { next, .. }
            | Error::Refused { next, .. }
            | Error::Store { next, .. }
            | Error::Temporary { next, .. }
            | Error::Unreadable { next, .. }
            | Error::Usage { next, .. } => *next = Some(command.into()),
            Error::PromptNeeded { next, .. } | Error::SignIn { next, .. } => *next = command.into(),
        }
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Child { what, .. }
            | Error::Failed { what, .. }
            | Error::Pending { what, .. }
            | Error::PromptNeeded { what, .. }
            | Error::Usage { what, .. } => f.write_str(what),
            Error::Refused { provider, code, description, .. } if description.is_empty() => {
                write!(f, "{provider} refused: {code}")
            }
            Error::Refused { provider, code, description, .. } => {
                write!(f, "{provider} refused: {description} ({code})")
            }
            Error::SignIn { account, why, .. } => write!(f, "{account}: {why}"),
            Error::Store { path, doing, cause, .. } => {
                write!(f, "cannot {doing} {}: {cause}", path.display())
            }
            Error::Temporary { what, retry_after_s: Some(s), .. } => {
                write!(f, "{what}; asked to wait {s} s")
            }
            Error::Temporary { what, retry_after_s: None, .. } => f.write_str(what),
            Error::Unreadable { from, what, .. } => write!(f, "{from} sent {what}"),
        }
    }
}

impl std::error::Error for Error {}
