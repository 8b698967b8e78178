//! A login under way, as a value: all that is needed to finish it in another process.

use crate::account::{AccountRef, OauthClient};
use crate::provider::Provider;
use crate::secret::Secret;
use crate::text;
use crate::time::Timestamp;

/// Because the row travels inside, a later edit of config.json cannot send a code elsewhere.
#[derive(Clone, Debug)]
pub struct PendingLogin {
    /// Derived from the state or the device code, so that a callback finds its login without a
    /// search.
    pub login_id: String,
    pub account: AccountRef,
    /// The row as used, with the scopes and the client id of this login.
    pub provider: Provider,
    pub client_secret: Option<Secret>,
    /// The address a person opens.
    pub auth_url: String,
    pub begun: Begun,
    /// Store nothing unless this identity signed in.
    pub expect: Option<String>,
    /// The account name may become another identity.
    pub replace: bool,
    /// Ask the provider who signed in.
    pub verify: bool,
    /// A browser was sent to `auth_url`: whoever takes the wait over need not open another.
    pub is_open: bool,
    pub started_at: Timestamp,
    pub expires_at: Timestamp,
}

/// What each way in keeps until its end.
#[derive(Clone, Debug)]
pub enum Begun {
    Browser {
        state: Secret,
        verifier: Secret,
        redirect_uri: String,
    },
    /// An instance sends its session to the redirect, and nothing that says which login it ends.
    Cookie {
        redirect_uri: String,
        /// The project to work in, if one was named.
        project: Option<String>,
    },
    Device {
        device_code: Secret,
        user_code: String,
        verifier: Option<Secret>,
        /// The pace of the polls, which all processes keep together.
        interval_s: u64,
        /// When the next poll may be made, in Unix milliseconds.
        due_ms: i64,
        /// What OpenAI's server gave for the approval: a code to exchange, and its verifier.
        approved: Option<(Secret, Secret)>,
    },
}

impl PendingLogin {
    /// The command that begins it anew. The address goes with it: no account may know it yet.
    pub fn login_command(&self) -> String {
        login_command(&self.account, &self.provider)
    }

    /// The client of this login.
    pub fn client(&self) -> OauthClient {
        let id = self.provider.client_id.clone().unwrap_or_default();
        OauthClient { id, secret: self.client_secret.clone() }
    }

    /// How it is finished, in the words of CLI.md section 10.
    pub fn kind(&self) -> &'static str {
        match self.begun {
            Begun::Browser { .. } | Begun::Cookie { .. } => "browser",
            Begun::Device { .. } => "device",
        }
    }

    /// What a person types on the page of a device login.
    pub fn user_code(&self) -> Option<&str> {
        match &self.begun {
            Begun::Browser { .. } | Begun::Cookie { .. } => None,
            Begun::Device { user_code, .. } => Some(user_code),
        }
    }

    /// Where the browser of a browser login ends.
    pub fn redirect_uri(&self) -> Option<&str> {
        match &self.begun {
            Begun::Browser { redirect_uri, .. } | Begun::Cookie { redirect_uri, .. } => {
                Some(redirect_uri)
            }
            Begun::Device { .. } => None,
        }
    }

    /// The state a callback has to carry.
    pub fn state(&self) -> Option<&Secret> {
        match &self.begun {
            Begun::Browser { state, .. } => Some(state),
            Begun::Cookie { .. } | Begun::Device { .. } => None,
        }
    }
}

/// The command that signs in by this row, which may be at an address of its own.
pub fn login_command(account: &AccountRef, row: &Provider) -> String {
    let command = account.login_command();
    match row.address() {
        Some(address) => format!("{command} --url {}", text::shell_word(address)),
        None => command,
    }
}
