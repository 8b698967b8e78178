//! A Google service account's key file, and the grant it is traded for a token with (RFC 7523
//! section 2.1; https://developers.google.com/identity/protocols/oauth2/service-account).

use ring::rand::SecureRandom;
use ring::signature::RsaKeyPair;
use serde_json::{Value, json};
use ureq::http::Request;

use crate::endpoint;
use crate::error::Result;
use crate::protocol::{request, sign};
use crate::secret::Secret;
use crate::time::Timestamp;

const TOKEN_URL: &str = "https://oauth2.googleapis.com/token";
const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// A clock that is a little ahead of Google's does no harm.
const BACKDATED_S: i64 = 10;
/// The longest that Google takes.
pub const LIFETIME_S: i64 = 3600;

/// A key file that was checked: what it says, and its key ready to sign.
pub struct KeyFile {
    /// `client_email`: the account.
    pub email: String,
    /// `client_id`: the same as a number that is never given again.
    pub subject: Option<String>,
    pub project: Option<String>,
    /// https, or http to this machine.
    pub token_url: String,
    key_id: Option<String>,
    key: RsaKeyPair,
}

impl KeyFile {
    /// Reads the JSON that the console gives. Err says in words what it is instead or what is wrong
    /// with it, as a sentence about `it`, and shows nothing of the key.
    pub fn parse(text: &Secret) -> std::result::Result<KeyFile, String> {
        let text = text.expose().trim();
        let file: Value = serde_json::from_str(text).map_err(|_| no_json(text))?;
        let word = |key: &str| {
            file.get(key).and_then(Value::as_str).map(str::trim).filter(|word| !word.is_empty())
        };
        if word("type") != Some("service_account") {
            return Err(another_kind(&file));
        }
        let email = word("client_email").ok_or("it has no client_email")?;
        if !is_email(email) {
            return Err("its client_email is no address".to_owned());
        }
        let project = word("project_id").map(str::to_owned);
        if project.as_deref().is_some_and(|project| !is_project(project)) {
            return Err("its project_id is no project id".to_owned());
        }
        let token_url = word("token_uri").unwrap_or(TOKEN_URL);
        endpoint::check("its token_uri", token_url).map_err(|error| error.to_string())?;
        let pem = Secret::new(word("private_key").ok_or("it has no private_key")?);
        let key = sign::rsa_key(&pem).map_err(|why| format!("its private_key {why}"))?;
        Ok(KeyFile {
            email: email.to_owned(),
            subject: word("client_id").filter(|id| is_plain(id)).map(str::to_owned),
            project,
            token_url: token_url.to_owned(),
            key_id: word("private_key_id").map(str::to_owned),
            key,
        })
    }

    /// The signed claims, good for an hour from a moment ago; `scopes` are those of the token.
    pub fn assertion(
        &self,
        scopes: &[String],
        now: Timestamp,
        random: &dyn SecureRandom,
    ) -> std::result::Result<Secret, String> {
        let header = match &self.key_id {
            Some(id) => json!({"kid": id}),
            None => json!({}),
        };
        let issued_at = now.plus(-BACKDATED_S);
        let claims = json!({
            "iss": self.email,
            "scope": scopes.join(" "),
            "aud": self.token_url,
            "iat": issued_at.0,
            "exp": issued_at.plus(LIFETIME_S).0,
        });
        sign::signed_jwt(&header, &claims, &self.key, random)
    }

    /// The request that trades the assertion for an access token.
    pub fn grant(&self, assertion: &Secret) -> Result<Request<Secret>> {
        let pairs = [("grant_type", GRANT_TYPE), ("assertion", assertion.expose())];
        request::post_form(&self.token_url, &pairs)
    }
}

/// Whether a refusal is about `iat` and `exp`, that is about this machine's clock and not the key:
/// "Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and
/// exp values in the JWT claim."
pub fn is_about_the_clock(description: &str) -> bool {
    let said = description.to_ascii_lowercase();
    said.contains("reasonable timeframe")
        || said
            .split(|c: char| !c.is_ascii_alphanumeric())
            .any(|word| ["iat", "exp"].contains(&word))
}

/// The id of a project, or its number; `example.com:name` for those of a domain.
pub fn is_project(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.:".contains(c);
    text.len() <= 128
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(plain)
}

/// A region as it stands in a host name.
pub fn is_location(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=40).contains(&text.len())
        && text.chars().all(plain)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn is_email(text: &str) -> bool {
    text.len() <= 128 && is_plain(text) && text.contains('@')
}

fn is_plain(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || "@+_-.:".contains(c))
}

fn no_json(text: &str) -> String {
    let what = if text.is_empty() {
        "it is empty"
    } else if text.starts_with("-----BEGIN ") {
        "it is a private key alone; the whole JSON file is wanted"
    } else if text.starts_with("AIza") {
        "it is an API key; a service account's JSON key file is wanted"
    } else {
        "it is no JSON; a service account's JSON key file is wanted"
    };
    what.to_owned()
}

fn another_kind(file: &Value) -> String {
    let is_client = ["installed", "web"].iter().any(|key| file.get(key).is_some());
    let what = match file.get("type").and_then(Value::as_str) {
        Some("authorized_user") => {
            "it is a person's sign-in (gcloud auth application-default login), not a service \
             account's key"
        }
        Some("external_account" | "external_account_authorized_user") => {
            "it is a workload identity configuration, which holds no key"
        }
        Some("impersonated_service_account") => {
            "it impersonates a service account and holds no key of it"
        }
        Some("gdch_service_account") => {
            "it is a key of Distributed Cloud, which Google does not take"
        }
        _ if is_client => "it is an OAuth client, not a service account's key",
        Some(_) => "its type is not service_account",
        None => "it has no type; a service account's key file says service_account there",
    };
    what.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(file: &Value) -> String {
        let error = KeyFile::parse(&Secret::new(file.to_string())).err().expect("no good file");
        assert!(!error.contains("hunter2"), "{error}");
        error
    }

    #[test]
    fn what_is_no_key_file_is_named() {
        for (text, word) in [
            ("", "empty"),
            ("{", "no JSON"),
            ("hunter2", "no JSON"),
            ("-----BEGIN PRIVATE KEY-----\nhunter2", "whole JSON"),
            ("AIzahunter2", "API key"),
        ] {
            let error = KeyFile::parse(&Secret::new(text)).err().expect("no good file");
            assert!(error.contains(word) && !error.contains("hunter2"), "{error}");
        }
        for (file, word) in [
            (json!([]), "no type"),
            (json!({}), "no type"),
            (json!({"type": 7}), "no type"),
            (json!({"type": "authorized_user", "refresh_token": "hunter2"}), "a person's"),
            (json!({"type": "external_account"}), "workload"),
            (json!({"type": "impersonated_service_account"}), "impersonates"),
            (json!({"installed": {"client_secret": "hunter2"}}), "OAuth client"),
            (json!({"web": {}}), "OAuth client"),
            (json!({"type": "hunter2"}), "its type is not"),
        ] {
            assert!(why(&file).contains(word), "{}", why(&file));
        }
    }

    #[test]
    fn each_part_of_a_key_file_is_checked() {
        let file = |key: &str, value: Value| {
            let mut file = json!({"type": "service_account", "client_email": "a@b.example",
                                  "private_key": "hunter2", "project_id": "p-1"});
            file[key] = value;
            file
        };
        for (key, value, word) in [
            ("client_email", json!(null), "no client_email"),
            ("client_email", json!(7), "no client_email"),
            ("client_email", json!(""), "no client_email"),
            ("client_email", json!("nobody"), "no address"),
            ("client_email", json!("a@b\u{1b}[2J"), "no address"),
            ("client_email", json!("a@b/../../c"), "no address"),
            ("project_id", json!("../p"), "no project id"),
            ("project_id", json!("P 1"), "no project id"),
            ("token_uri", json!("http://oauth2.example/token"), "plain http"),
            ("token_uri", json!("https://me:hunter2@x.example/"), "user name"),
            ("private_key", json!(null), "no private_key"),
            ("private_key", json!(" "), "no private_key"),
            ("private_key", json!("hunter2"), "no PEM"),
        ] {
            let error = why(&file(key, value));
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn a_wrong_clock_is_told_from_a_wrong_key() {
        for said in [
            "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable \
             timeframe. Check your iat and exp values in the JWT claim.",
            "token used too early: iat is in the future",
            "Invalid 'exp'",
        ] {
            assert!(is_about_the_clock(said), "{said}");
        }
        for said in ["Invalid JWT Signature.", "Token has expired or been revoked.", "expected iss"]
        {
            assert!(!is_about_the_clock(said), "{said}");
        }
    }

    #[test]
    fn places_are_checked() {
        for good in ["us-central1", "global", "eu", "me-central2"] {
            assert!(is_location(good), "{good}");
        }
        for bad in
            ["", "-", "US", "us central1", "evil.example/", "us-", "a.b", "x@y", &"x".repeat(41)]
        {
            assert!(!is_location(bad), "{bad}");
        }
        assert!(is_project("my-project-1") && is_project("example.com:p") && is_project("123"));
        assert!(!is_project("") && !is_project("a/b") && !is_project("A") && !is_project("a b"));
    }
}
