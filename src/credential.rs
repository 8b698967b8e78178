//! What an account can be used with, one variant for each kind.

use crate::secret::Secret;
use crate::time::Timestamp;

/// What can be used.
#[derive(Clone, Debug)]
pub enum Credential {
    ApiKey(Secret),
    /// A JWT that somebody else issued, with the expiry it claims.
    Bearer(Secret, Option<Timestamp>),
    /// The value of a Cookie header, with the expiry that the instance named.
    Cookie(Secret, Option<Timestamp>),
    /// The last token of Microsoft Entra ID; the next one comes from the machine's identity.
    Entra(Minted),
    Oauth(Tokens),
    /// A Google service account's key file as it is, and the last token it was traded for.
    ServiceAccount(Secret, Minted),
    /// The sign-in of another tool, read in place each time: the file, and what it held.
    Tool(String, Minted),
}

/// A short-lived token that can be had again. None yet: empty, and expired long ago.
#[derive(Clone, Debug)]
pub struct Minted {
    pub token: Secret,
    pub expires_at: Option<Timestamp>,
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

impl Minted {
    pub fn none() -> Minted {
        Minted { token: Secret::new(""), expires_at: Some(Timestamp(0)) }
    }
}

impl Credential {
    /// The `kind` of CLI.md section 4.
    pub fn kind(&self) -> &'static str {
        match self {
            Credential::ApiKey(_) => "api_key",
            Credential::Bearer(..) | Credential::Tool(..) => "bearer",
            Credential::Cookie(..) => "cookie",
            Credential::Entra(_) => "entra",
            Credential::Oauth(_) => "oauth",
            Credential::ServiceAccount(..) => "service_account",
        }
    }

    /// The secret that a request carries.
    pub fn secret(&self) -> &Secret {
        match self {
            Credential::ApiKey(key) => key,
            Credential::Bearer(token, _) | Credential::Cookie(token, _) => token,
            Credential::Oauth(tokens) => &tokens.access_token,
            Credential::Entra(minted)
            | Credential::ServiceAccount(_, minted)
            | Credential::Tool(_, minted) => &minted.token,
        }
    }

    /// The OAuth tokens, if that is what it is.
    pub fn oauth(&self) -> Option<&Tokens> {
        match self {
            Credential::Oauth(tokens) => Some(tokens),
            _ => None,
        }
    }

    pub fn token_type(&self) -> Option<&str> {
        match self {
            Credential::ApiKey(_) | Credential::Cookie(..) => None,
            Credential::Oauth(tokens) => Some(&tokens.token_type),
            Credential::Bearer(..)
            | Credential::Entra(_)
            | Credential::ServiceAccount(..)
            | Credential::Tool(..) => Some("Bearer"),
        }
    }

    pub fn expires_at(&self) -> Option<Timestamp> {
        match self {
            Credential::ApiKey(_) => None,
            Credential::Bearer(_, expires_at) | Credential::Cookie(_, expires_at) => *expires_at,
            Credential::Oauth(tokens) => tokens.expires_at,
            Credential::Entra(minted)
            | Credential::ServiceAccount(_, minted)
            | Credential::Tool(_, minted) => minted.expires_at,
        }
    }

    pub fn scopes(&self) -> &[String] {
        self.oauth().map_or(&[], |tokens| &tokens.scopes)
    }

    /// Whether a new secret can be had without the person.
    pub fn can_refresh(&self) -> bool {
        match self {
            Credential::ApiKey(_) | Credential::Bearer(..) => false,
            Credential::Oauth(tokens) => tokens.refresh_token.is_some(),
            Credential::Cookie(..)
            | Credential::Entra(_)
            | Credential::ServiceAccount(..)
            | Credential::Tool(..) => true,
        }
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
