//! Who is signed in, and with what.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::credential::{Credential, Minted};
use crate::endpoint;
use crate::secret::Secret;
use crate::text;
use crate::time::Timestamp;

/// What was typed: `PROVIDER`, `PROVIDER/ACCOUNT`, or the URL of an MCP server.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct AccountRef {
    pub provider: String,
    pub account: Option<String>,
    /// The server's URL, in its one form (`endpoint::server`); `provider` is then its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
}

/// What it means once the default is looked up. Only this reaches flows, files and locks.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
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
        if typed.contains("code=") && typed.contains("state=") {
            return Err("a pasted address goes to --callback-url".to_owned());
        }
        if typed.contains("://") {
            let url = endpoint::server(typed).map_err(|error| error.to_string())?;
            return Ok(AccountRef::of_server(url));
        }
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
        let (provider, account) = (provider.to_owned(), account.map(str::to_owned));
        Ok(AccountRef { provider, account, server: None })
    }
}

/// The ids of MCP servers begin so.
pub const SERVER_PREFIX: &str = "mcp-";

impl AccountRef {
    pub fn new(provider: &str, account: Option<String>) -> AccountRef {
        AccountRef { provider: provider.to_owned(), account, server: None }
    }

    /// Whoever is signed in at an MCP server: each has a provider of its own, named after its host,
    /// and after all of its URL by a hash. `url` is in its one form.
    pub fn of_server(url: String) -> AccountRef {
        let host = url.split("://").nth(1).unwrap_or_default();
        let host = host.split(['/', ':', '?']).next().unwrap_or_default();
        let plain = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' };
        let host: String = host.chars().map(plain).take(40).collect();
        let host = host.trim_matches('-');
        // Long enough that nobody finds a URL of their own with the id of another's, and so its token.
        let hash = text::hex(&Sha256::digest(url.as_bytes())[..8]);
        let provider = format!("{SERVER_PREFIX}{host}-{hash}");
        AccountRef { provider, account: None, server: Some(url) }
    }

    /// The command that signs in to it, ready to paste.
    pub fn login_command(&self) -> String {
        format!("keyfob login {}", text::shell_word(&self.to_string()))
    }
}

impl fmt::Display for AccountRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.account, &self.server) {
            (Some(account), _) => write!(f, "{}/{account}", self.provider),
            (None, Some(url)) => f.write_str(url),
            (None, None) => f.write_str(&self.provider),
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
    /// What the credential buys for the API, where the row has a second token.
    pub api_token: Option<Minted>,
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
    /// An account of nobody yet, with nothing but its credential.
    pub fn new(id: AccountId, credential: Credential, now: Timestamp) -> Account {
        Account {
            id,
            credential,
            api_token: None,
            identity: Identity::default(),
            client: None,
            issued_by: None,
            login_ids: Vec::new(),
            created_at: now,
            refreshed_at: now,
            refused: None,
            attributes: Map::new(),
            extra: Map::new(),
            unknown: Map::new(),
        }
    }

    /// The secret that is handed out: the second token where there is one.
    pub fn secret(&self) -> &Secret {
        self.api_token.as_ref().map_or(self.credential.secret(), |minted| &minted.token)
    }

    /// When the handed-out secret ends: the first of both tokens to go.
    pub fn expires_at(&self) -> Option<Timestamp> {
        let second = self.api_token.as_ref().and_then(|minted| minted.expires_at);
        [self.credential.expires_at(), second].into_iter().flatten().min()
    }

    /// Whether a new secret can be had without the person.
    pub fn can_refresh(&self) -> bool {
        self.credential.can_refresh() || self.api_token.is_some()
    }

    /// The address of the installation it belongs to, where the provider has many.
    pub fn instance(&self) -> Option<&str> {
        self.extra.get("instance")?.as_str()
    }

    /// A text among the provider's facts.
    pub fn fact(&self, key: &str) -> Option<&str> {
        self.extra.get(key)?.as_str()
    }

    /// The account as if it had no second token.
    pub fn without_api_token(mut self) -> Account {
        self.api_token = None;
        self
    }

    /// Whether the secret may be handed out without asking the provider: more than 60 s,
    /// or a tenth of its lifetime if that is less, remains (CLI.md section 4).
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        if self.is_over() {
            return false;
        }
        let second = self.api_token.as_ref().and_then(|minted| minted.expires_at);
        self.is_good_until(self.credential.expires_at(), now) && self.is_good_until(second, now)
    }

    fn is_good_until(&self, expires_at: Option<Timestamp>, now: Timestamp) -> bool {
        let Some(expires_at) = expires_at else { return true };
        let lifetime_s = expires_at.since(self.refreshed_at).max(0);
        // Written in the future: the clock was put back since, so it proves nothing.
        let clock_is_sane = self.refreshed_at.since(now) < 300;
        clock_is_sane && expires_at.since(now) > (lifetime_s / 10).min(60)
    }

    /// Whether the secret has not expired by the clock, and nobody said that it is over.
    pub fn is_alive(&self, now: Timestamp) -> bool {
        !self.is_over() && self.expires_at().is_none_or(|at| at > now)
    }

    /// Whether the handed-out secret itself was refused, not one that would have renewed it.
    fn is_over(&self) -> bool {
        self.refused.is_some() && matches!(self.credential, Credential::Cookie(..))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credential::Tokens;

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
        let id = AccountId { provider: "p".to_owned(), account: "a".to_owned() };
        let account = Account::new(id, Credential::Oauth(tokens), made);
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
    fn a_server_is_named_by_its_url() {
        let read = |text: &str| text.parse::<AccountRef>().unwrap();
        let server = read("HTTPS://MCP.Example.com:443/mcp/");
        assert_eq!(server, AccountRef::of_server("https://mcp.example.com/mcp".to_owned()));
        assert_eq!(server.server.as_deref(), Some("https://mcp.example.com/mcp"));
        assert_eq!(server.account, None);
        assert_eq!(server.to_string(), "https://mcp.example.com/mcp");
        assert_eq!(server.login_command(), "keyfob login https://mcp.example.com/mcp");
        // All that may be typed for one server is one provider, on every machine.
        assert_eq!(server.provider, "mcp-mcp-example-com-7a930d27a3f5c464");
        for other in [
            "https://mcp.example.com",
            "https://mcp.example.com/MCP",
            "https://mcp.example.com/mcp2",
            "https://mcp.example.com/mcp?team=a",
            "https://mcp.example.com:8443/mcp",
        ] {
            assert_ne!(read(other).provider, server.provider, "{other}");
        }
        let long = format!("https://{}.example/mcp", "x".repeat(60));
        for url in [&long, "http://[::1]:8080/mcp", "http://127.0.0.1:9", "https://x_y.example/"] {
            let name = read(url).provider;
            assert!(is_provider_name(&name), "{name}");
            assert_eq!(read(&name), AccountRef::new(&name, None), "its id can be typed, too");
        }
        for bad in ["http://mcp.example.com/mcp", "ftp://x.example/", "https://", "x://y"] {
            assert!(bad.parse::<AccountRef>().is_err(), "{bad}");
        }
        // In a file, and back.
        let kept = serde_json::to_value(&server).unwrap();
        assert_eq!(serde_json::from_value::<AccountRef>(kept).unwrap(), server);
        let old = serde_json::json!({"provider": "claude", "account": null});
        assert_eq!(serde_json::from_value::<AccountRef>(old).unwrap(), read("claude"));
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
