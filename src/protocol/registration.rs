//! Registering a client of our own at a server, RFC 7591.

use serde::Deserialize;
use serde_json::{Value, json};
use ureq::http::Request;

use crate::endpoint;
use crate::error::{Error, Result};
use crate::protocol::discovery::Metadata;
use crate::protocol::oauth_error::OauthError;
use crate::protocol::request;
use crate::provider::ClientAuth;
use crate::secret::Secret;
use crate::text;

/// The registration of a native client, RFC 7591 section 3.1. `client_name` is what people read on the
/// consent page; `scope` may be empty. Fails when the server offers no registration.
pub fn register(
    metadata: &Metadata,
    client_name: &str,
    redirect_uri: &str,
    scope: &str,
) -> Result<Request<Secret>> {
    let url = metadata.registration_endpoint.as_deref().ok_or_else(|| {
        let what = format!("{} offers no registration", text::harmless(&metadata.issuer, 120));
        Error::failed(what).or_try(WITH_A_CLIENT)
    })?;
    endpoint::check("the registration endpoint", url)?;
    let mut body = json!({
        "client_name": client_name,
        "redirect_uris": [redirect_uri],
        "grant_types": grant_types(metadata),
        "response_types": ["code"],
        "token_endpoint_auth_method": auth_method(metadata),
        // Left out it is `web` for OpenID's servers, which then refuse http to loopback.
        "application_type": "native",
    });
    if !scope.is_empty() {
        body["scope"] = Value::from(scope);
    }
    request::post_json(url, None, &body)
}

/// A server that has no refresh tokens may refuse whoever asks for them.
fn grant_types(metadata: &Metadata) -> &'static [&'static str] {
    match metadata.may_use("refresh_token") {
        true => &["authorization_code", "refresh_token"],
        false => &["authorization_code"],
    }
}

/// Always named: left out it is `client_secret_basic`, with which no public client can be.
fn auth_method(metadata: &Metadata) -> &'static str {
    if metadata.token_endpoint_auth_methods_supported.is_empty() || metadata.has_auth("none") {
        "none"
    } else if metadata.has_auth("client_secret_post") {
        "client_secret_post"
    } else {
        "client_secret_basic"
    }
}

const WITH_A_CLIENT: &str = "keyfob provider add NAME --issuer URL --client-id ID";

/// A registered client: id, secret if the server insists on one, and how to use it.
#[derive(Debug)]
pub struct Registered {
    /// Byte for byte.
    pub client_id: String,
    pub client_secret: Option<Secret>,
    pub client_auth: ClientAuth,
    /// Unix seconds after which the secret is no good; None: it stays.
    pub client_secret_expires_at: Option<i64>,
}

#[derive(Deserialize)]
struct Answer {
    client_id: String,
    client_secret: Option<Secret>,
    client_secret_expires_at: Option<Value>,
    token_endpoint_auth_method: Option<String>,
}

/// Reads the registration answer, RFC 7591 section 3.2. The method that the server returns counts, not
/// the one asked for; where it returns none, a secret is used as the metadata says. The error's command
/// is `provider add`'s; other callers name their own with `or_try`.
pub fn parse_registration(metadata: &Metadata, status: u16, body: &Secret) -> Result<Registered> {
    let from = metadata.registration_endpoint.as_deref().unwrap_or(&metadata.issuer);
    let from = text::harmless(from, 120);
    let failed = |what: String| Error::failed(what).or_try(WITH_A_CLIENT);
    if !(200..300).contains(&status) {
        return Err(failed(refusal(&from, status, body)));
    }
    let answer: Option<Answer> = serde_json::from_str(body.expose()).ok();
    let Some(answer) = answer.filter(|answer| is_client_id(&answer.client_id)) else {
        let what = "answered a registration without a client_id that can be used";
        return Err(failed(format!("{from} {what} (status {status})")));
    };
    let secret = answer.client_secret.filter(|secret| !secret.is_empty());
    let client_auth = match answer.token_endpoint_auth_method.as_deref() {
        None | Some("") if secret.is_none() => ClientAuth::None,
        None | Some("") => metadata.client_auth(),
        Some("none") => ClientAuth::None,
        Some("client_secret_basic") => ClientAuth::Basic,
        Some("client_secret_post") => ClientAuth::Post,
        Some(other) => {
            let other = text::harmless(other, 80);
            let what = format!("{from} registers clients for {other} only, which keyfob cannot do");
            return Err(failed(what));
        }
    };
    if client_auth != ClientAuth::None && secret.is_none() {
        let what = "registered a client that needs a secret, and sent none";
        return Err(failed(format!("{from} {what}")));
    }
    Ok(Registered {
        client_id: answer.client_id,
        client_secret: secret.filter(|_| client_auth != ClientAuth::None),
        client_auth,
        client_secret_expires_at: answer.client_secret_expires_at.and_then(|at| seconds(&at)),
    })
}

/// The server's own words, where they are words.
fn refusal(from: &str, status: u16, body: &Secret) -> String {
    let parsed = serde_json::from_str::<Value>(body.expose()).ok();
    let said = match parsed.as_ref().map(OauthError::from_json) {
        Some(Some(error)) if error.description.is_empty() => error.code,
        Some(Some(error)) => format!("{} ({})", error.description, error.code),
        None if !body.expose().trim_start().starts_with('<') => text::harmless(body.expose(), 200),
        Some(None) | None => String::new(),
    };
    let what = match status {
        401 | 403 => format!("{from} is closed to registrations of our own (status {status})"),
        _ => format!("{from} registers no client for us (status {status})"),
    };
    if said.is_empty() { what } else { format!("{what}: {said}") }
}

/// RFC 6749 appendix A.1: printable ASCII. Some servers pack the whole registration into it.
fn is_client_id(id: &str) -> bool {
    const LIMIT_BYTES: usize = 8 * 1024;
    !id.is_empty() && id.len() <= LIMIT_BYTES && id.bytes().all(|byte| (0x20..0x7f).contains(&byte))
}

/// A number, or one in quotes; 0 is never.
fn seconds(at: &Value) -> Option<i64> {
    let at = match at {
        Value::String(digits) => digits.parse().ok(),
        at => at.as_i64().or_else(|| at.as_f64().map(|at| at as i64)),
    };
    at.filter(|at| *at != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(methods: &[&str]) -> Metadata {
        Metadata {
            registration_endpoint: Some("https://x/register".to_owned()),
            token_endpoint_auth_methods_supported: methods.iter().map(|m| m.to_string()).collect(),
            ..Metadata::default()
        }
    }

    #[test]
    fn a_registration_names_all_that_a_default_would_get_wrong() {
        for (offered, expected) in [
            (&[][..], "none"),
            (&["client_secret_basic", "none"], "none"),
            (&["client_secret_basic", "client_secret_post"], "client_secret_post"),
            (&["client_secret_basic"], "client_secret_basic"),
            (&["private_key_jwt"], "client_secret_basic"),
        ] {
            let uri = "http://127.0.0.1:7/cb";
            let request = register(&metadata(offered), "Claude Code", uri, "a b").unwrap();
            assert_eq!(request.uri(), "https://x/register");
            let body: Value = serde_json::from_str(request.body().expose()).unwrap();
            let expected = json!({
                "client_name": "Claude Code", "redirect_uris": [uri], "scope": "a b",
                "grant_types": ["authorization_code", "refresh_token"],
                "response_types": ["code"], "application_type": "native",
                "token_endpoint_auth_method": expected,
            });
            assert_eq!(body, expected);
        }
        let grants = vec!["authorization_code".to_owned()];
        let short = Metadata { grant_types_supported: grants, ..metadata(&[]) };
        let request = register(&short, "keyfob", "http://127.0.0.1:7/cb", "").unwrap();
        assert!(!request.body().expose().contains("refresh_token"));
        let request = register(&metadata(&[]), "keyfob", "http://127.0.0.1:7/cb", "").unwrap();
        assert!(!request.body().expose().contains("scope"));
        let error = register(&Metadata::default(), "keyfob", "http://127.0.0.1:7/cb", "");
        assert!(error.unwrap_err().next().is_some_and(|next| next.contains("--client-id")));
    }

    #[test]
    fn a_registration_answer_says_how_to_authenticate() {
        let post = &["client_secret_post"][..];
        let (none, basic) = (ClientAuth::None, ClientAuth::Basic);
        for (offered, body, auth, has_secret) in [
            (&[][..], json!({"client_id": "c"}), none, false),
            (&[], json!({"client_id": "c", "client_secret": null}), none, false),
            (&[], json!({"client_id": "c", "client_secret": "s"}), basic, true),
            (post, json!({"client_id": "c", "client_secret": "s"}), ClientAuth::Post, true),
            (
                post,
                json!({"client_id": "c", "client_secret": "s",
                    "token_endpoint_auth_method": "client_secret_basic"}),
                basic,
                true,
            ),
            (
                &[],
                json!({"client_id": "c", "client_secret": "s",
                    "token_endpoint_auth_method": "client_secret_post"}),
                ClientAuth::Post,
                true,
            ),
            (
                &[],
                json!({"client_id": "c", "client_secret": "s",
                    "token_endpoint_auth_method": "none"}),
                none,
                false,
            ),
        ] {
            let secret = Secret::new(body.to_string());
            let found = parse_registration(&metadata(offered), 200, &secret).unwrap();
            assert_eq!((found.client_auth, found.client_secret.is_some()), (auth, has_secret));
            assert_eq!(found.client_id, "c");
        }
    }

    #[test]
    fn an_answer_that_cannot_be_used_is_a_failure() {
        for body in [
            "<html>",
            "",
            "{}",
            r#"{"client_id":7}"#,
            r#"{"client_id":""}"#,
            r#"{"client_id":"a\u001b[2J"}"#,
            r#"{"client_id":"c","token_endpoint_auth_method":"client_secret_basic"}"#,
            r#"{"client_id":"c","client_secret":"","token_endpoint_auth_method":"client_secret_post"}"#,
            r#"{"client_id":"c","client_secret":"s","token_endpoint_auth_method":"private_key_jwt"}"#,
        ] {
            let error = parse_registration(&metadata(&[]), 201, &Secret::new(body)).unwrap_err();
            assert!(error.next().is_some_and(|next| next.contains("--client-id")), "{body}");
        }
    }

    #[test]
    fn the_end_of_a_secret_is_kept() {
        for (at, expected) in [
            (json!(0), None),
            (json!(null), None),
            (json!("x"), None),
            (json!(1_900_000_000), Some(1_900_000_000)),
            (json!(1.9e9), Some(1_900_000_000)),
            (json!("1900000000"), Some(1_900_000_000)),
        ] {
            let body = json!({"client_id": "c", "client_secret_expires_at": at}).to_string();
            let found = parse_registration(&metadata(&[]), 201, &Secret::new(body)).unwrap();
            assert_eq!(found.client_secret_expires_at, expected, "{at}");
        }
    }

    #[test]
    fn a_refusal_is_told_in_the_servers_words() {
        for (status, body, told) in [
            (
                400,
                r#"{"error":"invalid_redirect_uri","error_description":"not\u001b[2J yours"}"#,
                "https://x/register registers no client for us (status 400): \
                 not [2J yours (invalid_redirect_uri)",
            ),
            (
                403,
                "ask\r\nthe admin",
                "https://x/register is closed to registrations of our own (status 403): ask the admin",
            ),
            (
                401,
                r#"{"x":1}"#,
                "https://x/register is closed to registrations of our own (status 401)",
            ),
            (404, "<html>no</html>", "https://x/register registers no client for us (status 404)"),
        ] {
            let error = parse_registration(&metadata(&[]), status, &Secret::new(body)).unwrap_err();
            assert_eq!(error.to_string(), told);
            assert!(error.next().is_some_and(|next| next.contains("--client-id")));
        }
    }
}
