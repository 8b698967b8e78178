//! Who is signed in, and with what.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::secret::Secret;
use crate::text;
use crate::time::Timestamp;

/// What was typed: `PROVIDER` or `PROVIDER/ACCOUNT`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct AccountRef {
    pub provider: String,
    pub account: Option<String>,
}

/// What it means once the default is looked up. Only this reaches flows, files and locks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AccountId {
    pub provider: String,
    pub account: String,
}

/// Provider ids become folder and variable names, so they are kept plain.
pub fn is_provider_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.len() <= 64
        && name.chars().all(plain)
}

impl FromStr for AccountRef {
    type Err = String;

    fn from_str(typed: &str) -> Result<AccountRef, String> {
        let (provider, account) = match typed.split_once('/') {
            Some((provider, account)) => (provider, Some(account)),
            None => (typed, None),
        };
        if !is_provider_name(provider) {
            return Err("a provider is named with a-z, 0-9, `-`, `_` and `.`".to_owned());
        }
        let is_name = |name: &str| {
            !name.is_empty() && text::harmless(name, 128) == name && text::short_name(name) == name
        };
        if account.is_some_and(|name| !is_name(name)) {
            return Err("an account is named with visible characters, 128 at most".to_owned());
        }
        Ok(AccountRef { provider: provider.to_owned(), account: account.map(str::to_owned) })
    }
}

impl AccountRef {
    /// The command that signs in to it, ready to paste.
    pub fn login_command(&self) -> String {
        format!("keyfob login {}", text::shell_word(&self.to_string()))
    }
}

impl fmt::Display for AccountRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.account {
            Some(account) => write!(f, "{}/{account}", self.provider),
            None => f.write_str(&self.provider),
        }
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.provider, self.account)
    }
}

impl AccountId {
    /// The command that signs this account in again, ready to paste.
    pub fn login_command(&self) -> String {
        format!("keyfob login {}", text::shell_word(&self.to_string()))
    }
}

/// What can be used.
#[derive(Clone, Debug)]
pub enum Credential {
    ApiKey(Secret),
    /// A JWT that somebody else issued, with the expiry it claims.
    Bearer(Secret, Option<Timestamp>),
    Oauth(Tokens),
}

/// The OAuth credential; a field that the answer left out is None.
#[derive(Clone, Debug)]
pub struct Tokens {
    pub access_token: Secret,
    pub refresh_token: Option<Secret>,
    pub id_token: Option<Secret>,
    pub token_type: String,
    pub expires_at: Option<Timestamp>,
    pub scopes: Vec<String>,
}

impl Credential {
    /// The `kind` of CLI.md section 4.
    pub fn kind(&self) -> &'static str {
        match self {
            Credential::ApiKey(_) => "api_key",
            Credential::Bearer(..) => "bearer",
            Credential::Oauth(_) => "oauth",
        }
    }

    /// The secret that `token` prints.
    pub fn secret(&self) -> &Secret {
        match self {
            Credential::ApiKey(key) => key,
            Credential::Bearer(token, _) => token,
            Credential::Oauth(tokens) => &tokens.access_token,
        }
    }

    /// The OAuth tokens, if that is what it is.
    pub fn oauth(&self) -> Option<&Tokens> {
        match self {
            Credential::ApiKey(_) | Credential::Bearer(..) => None,
            Credential::Oauth(tokens) => Some(tokens),
        }
    }

    pub fn token_type(&self) -> Option<&str> {
        match self {
            Credential::ApiKey(_) => None,
            Credential::Bearer(..) => Some("Bearer"),
            Credential::Oauth(tokens) => Some(&tokens.token_type),
        }
    }

    pub fn expires_at(&self) -> Option<Timestamp> {
        match self {
            Credential::ApiKey(_) => None,
            Credential::Bearer(_, expires_at) => *expires_at,
            Credential::Oauth(tokens) => tokens.expires_at,
        }
    }

    pub fn scopes(&self) -> &[String] {
        self.oauth().map_or(&[], |tokens| &tokens.scopes)
    }

    pub fn can_refresh(&self) -> bool {
        self.oauth().is_some_and(|tokens| tokens.refresh_token.is_some())
    }
}

impl Tokens {
    /// Takes over from the old tokens what a refresh answer left out (RFC 6749 section 6).
    pub fn keep_missing(&mut self, old: &Tokens) {
        if self.refresh_token.is_none() {
            self.refresh_token.clone_from(&old.refresh_token);
        }
        if self.id_token.is_none() {
            self.id_token.clone_from(&old.id_token);
        }
        if self.scopes.is_empty() {
            self.scopes.clone_from(&old.scopes);
        }
    }
}

/// Who signed in, as far as the provider told. Text from outside, already harmless.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Identity {
    pub email: Option<String>,
    pub subject: Option<String>,
    pub organization: Option<String>,
    /// Fields of the file that this version does not know; they survive a rewrite.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

impl Identity {
    /// The name a person knows: the email, else the subject.
    pub fn name(&self) -> Option<&str> {
        self.email.as_deref().or(self.subject.as_deref())
    }

    /// Two people for certain: both subjects, or else both emails, are known and differ.
    pub fn is_someone_else_than(&self, other: &Identity) -> bool {
        match (&self.subject, &other.subject) {
            (Some(mine), Some(theirs)) => mine != theirs,
            _ => match (&self.email, &other.email) {
                (Some(mine), Some(theirs)) => !mine.eq_ignore_ascii_case(theirs),
                _ => false,
            },
        }
    }
}

/// The OAuth client a login was made with: its refresh token works with no other
/// (RFC 6749 section 6).
#[derive(Clone, Debug)]
pub struct OauthClient {
    pub id: String,
    pub secret: Option<Secret>,
}

/// A definite no to a refresh, kept so that nobody asks again before the next login.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Refusal {
    pub code: String,
    pub at: Timestamp,
}

/// Who, plus what. Not serialisable: the shape on disk is private to `store`.
#[derive(Clone, Debug)]
pub struct Account {
    pub id: AccountId,
    pub credential: Credential,
    pub identity: Identity,
    pub client: Option<OauthClient>,
    /// Origin of the token endpoint: a refresh token never travels to another one.
    pub issued_by: Option<String>,
    /// The logins this came from, newest first, so that a waiting terminal recognises its own.
    pub login_ids: Vec<String>,
    pub created_at: Timestamp,
    pub refreshed_at: Timestamp,
    pub refused: Option<Refusal>,
    pub attributes: Map<String, Value>,
    pub extra: Map<String, Value>,
    /// Fields of the file that this version does not know; they survive a rewrite.
    pub unknown: Map<String, Value>,
}

impl Account {
    /// Whether the secret may be handed out without asking the provider: more than 60 s,
    /// or a tenth of its lifetime if that is less, remains (CLI.md section 4).
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        let Some(expires_at) = self.credential.expires_at() else { return true };
        let lifetime_s = expires_at.since(self.refreshed_at).max(0);
        // Written in the future: the clock was put back since, so it proves nothing.
        let clock_is_sane = self.refreshed_at.since(now) < 300;
        clock_is_sane && expires_at.since(now) > (lifetime_s / 10).min(60)
    }

    /// Whether the secret has not expired by the clock.
    pub fn is_alive(&self, now: Timestamp) -> bool {
        self.credential.expires_at().is_none_or(|at| at > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(lifetime_s: i64, age_s: i64) -> (Account, Timestamp) {
        let made = Timestamp(1_000_000);
        let tokens = Tokens {
            access_token: Secret::new("a"),
            refresh_token: None,
            id_token: None,
            token_type: "Bearer".to_owned(),
            expires_at: Some(made.plus(lifetime_s)),
            scopes: Vec::new(),
        };
        let account = Account {
            id: AccountId { provider: "p".to_owned(), account: "a".to_owned() },
            credential: Credential::Oauth(tokens),
            identity: Identity::default(),
            client: None,
            issued_by: None,
            login_ids: Vec::new(),
            created_at: made,
            refreshed_at: made,
            refused: None,
            attributes: Map::new(),
            extra: Map::new(),
            unknown: Map::new(),
        };
        (account, made.plus(age_s))
    }

    #[test]
    fn freshness_is_sixty_seconds_or_a_tenth() {
        for (lifetime_s, age_s, fresh) in [
            (3600, 0, true),
            (3600, 3539, true),
            (3600, 3540, false),
            (100, 89, true),
            (100, 90, false),
            (5, 4, true),
            (5, 5, false),
            (0, 0, false),
            (3600, -400, false), // the clock was put back
        ] {
            let (account, now) = account(lifetime_s, age_s);
            assert_eq!(account.is_fresh(now), fresh, "{lifetime_s} s, {age_s} s old");
        }
    }

    #[test]
    fn names_are_read_and_refused() {
        let read = |text: &str| text.parse::<AccountRef>();
        assert_eq!(read("claude").unwrap().to_string(), "claude");
        assert_eq!(read("claude/me@example.com").unwrap().to_string(), "claude/me@example.com");
        assert_eq!(read("x/a/b").unwrap().account.as_deref(), Some("a/b"));
        for bad in ["", "/", "claude/", "../x", "Claude", "a b", "x/\x1b[0m", ".."] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn different_people_are_told_apart() {
        let person = |email: Option<&str>, subject: Option<&str>| Identity {
            email: email.map(str::to_owned),
            subject: subject.map(str::to_owned),
            ..Identity::default()
        };
        let me = person(Some("me@x"), Some("1"));
        assert!(me.is_someone_else_than(&person(Some("me@x"), Some("2"))));
        assert!(!me.is_someone_else_than(&person(Some("new@x"), Some("1"))), "renamed");
        assert!(me.is_someone_else_than(&person(Some("you@x"), None)));
        assert!(!me.is_someone_else_than(&person(Some("ME@x"), None)));
        assert!(!me.is_someone_else_than(&Identity::default()));
    }
}
