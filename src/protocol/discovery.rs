//! Server metadata (RFC 8414, OpenID Connect Discovery) and registration (RFC 7591).

use serde::Deserialize;
use serde_json::{Value, json};
use ureq::http::Request;

use crate::endpoint;
use crate::error::{Error, Result};
use crate::protocol::request;
use crate::provider::{ClientAuth, Provider};
use crate::secret::Secret;
use crate::text;

/// Where an issuer's metadata may lie, in the order to ask: OpenID's suffix, then RFC 8414's
/// well-known path, which goes before the issuer's own path.
pub fn metadata_urls(issuer: &str) -> Vec<String> {
    let issuer = issuer.trim_end_matches('/');
    let origin = endpoint::origin(issuer).unwrap_or_default();
    let path = issuer.get(origin.len()..).unwrap_or_default();
    vec![
        format!("{issuer}/.well-known/openid-configuration"),
        format!("{origin}/.well-known/oauth-authorization-server{path}"),
    ]
}

/// The metadata that keyfob uses; unknown members are ignored, as the RFC asks.
#[derive(Debug, Deserialize)]
pub struct Metadata {
    pub issuer: String,
    pub authorization_endpoint: Option<String>,
    pub token_endpoint: Option<String>,
    pub device_authorization_endpoint: Option<String>,
    pub revocation_endpoint: Option<String>,
    pub userinfo_endpoint: Option<String>,
    pub registration_endpoint: Option<String>,
    #[serde(default)]
    pub token_endpoint_auth_methods_supported: Vec<String>,
    #[serde(default)]
    pub authorization_response_iss_parameter_supported: bool,
}

/// Reads and checks metadata: the issuer must be the one asked for (RFC 8414 section 3.3), and
/// every endpoint must be one that keyfob may open or call. An issuer out in the world may not
/// point at this machine.
pub fn parse_metadata(issuer: &str, body: &Secret) -> Result<Metadata> {
    let metadata: Metadata = serde_json::from_str(body.expose())
        .map_err(|_| unreadable(issuer, "metadata that is not the JSON of RFC 8414"))?;
    if metadata.issuer.trim_end_matches('/') != issuer.trim_end_matches('/') {
        let claimed = text::harmless(&metadata.issuer, 120);
        return Err(unreadable(issuer, &format!("metadata of another issuer, {claimed}")));
    }
    let endpoints = [
        ("authorization_endpoint", &metadata.authorization_endpoint),
        ("token_endpoint", &metadata.token_endpoint),
        ("device_authorization_endpoint", &metadata.device_authorization_endpoint),
        ("revocation_endpoint", &metadata.revocation_endpoint),
        ("userinfo_endpoint", &metadata.userinfo_endpoint),
        ("registration_endpoint", &metadata.registration_endpoint),
    ];
    for (name, url) in endpoints {
        let Some(url) = url else { continue };
        endpoint::check(&format!("the {name} of {}", text::harmless(issuer, 120)), url)?;
        if endpoint::is_on_this_machine(url) && !endpoint::is_on_this_machine(issuer) {
            return Err(unreadable(issuer, &format!("a {name} on this machine")));
        }
    }
    Ok(metadata)
}

impl Metadata {
    /// Fills what the row leaves open.
    pub fn fill(self, row: &mut Provider) {
        let fill = |slot: &mut Option<String>, value| {
            if slot.is_none() {
                *slot = value;
            }
        };
        fill(&mut row.authorize_url, self.authorization_endpoint);
        fill(&mut row.token_url, self.token_endpoint);
        fill(&mut row.device_url, self.device_authorization_endpoint);
        fill(&mut row.revoke_url, self.revocation_endpoint);
        fill(&mut row.userinfo_url, self.userinfo_endpoint);
        row.issuer = Some(self.issuer);
        row.iss_in_callback = self.authorization_response_iss_parameter_supported;
    }

    /// How a client with a secret authenticates: Basic unless the server lists only POST
    /// (the default of RFC 8414 section 2 is Basic).
    pub fn client_auth(&self) -> ClientAuth {
        let methods = &self.token_endpoint_auth_methods_supported;
        let has = |name: &str| methods.iter().any(|method| method == name);
        if !has("client_secret_basic") && has("client_secret_post") {
            ClientAuth::Post
        } else {
            ClientAuth::Basic
        }
    }
}

/// The registration of a public native client, RFC 7591 section 3.1.
pub fn register(url: &str, redirect_uri: &str, scope: &str) -> Result<Request<Secret>> {
    endpoint::check("the registration endpoint", url)?;
    let mut body = json!({
        "client_name": "keyfob",
        "redirect_uris": [redirect_uri],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
        "application_type": "native",
    });
    if !scope.is_empty() {
        body["scope"] = Value::from(scope);
    }
    request::post_json(url, None, &body)
}

/// A registered client: id, secret if the server insists on one, and how to use it.
#[derive(Debug)]
pub struct Registered {
    pub client_id: String,
    pub client_secret: Option<Secret>,
    pub client_auth: ClientAuth,
}

/// Reads the registration answer, RFC 7591 section 3.2.1.
pub fn parse_registration(status: u16, body: &Secret, from: &str) -> Result<Registered> {
    #[derive(Deserialize)]
    struct Answer {
        client_id: String,
        client_secret: Option<Secret>,
        token_endpoint_auth_method: Option<String>,
    }
    let answer: Option<Answer> = serde_json::from_str(body.expose()).ok();
    match answer {
        Some(answer) if (200..300).contains(&status) => {
            let secret = answer.client_secret.filter(|secret| !secret.is_empty());
            let client_auth = match (answer.token_endpoint_auth_method.as_deref(), &secret) {
                (_, None) | (Some("none"), _) => ClientAuth::None,
                (Some("client_secret_post"), _) => ClientAuth::Post,
                _ => ClientAuth::Basic,
            };
            let client_id = text::harmless(&answer.client_id, 300);
            let client_secret = secret.filter(|_| client_auth != ClientAuth::None);
            Ok(Registered { client_id, client_secret, client_auth })
        }
        _ => Err(Error::Failed {
            what: format!(
                "{} registers no client for us (status {status})",
                text::harmless(from, 120)
            ),
            next: Some("keyfob provider add NAME --issuer URL --client-id ID".to_owned()),
        }),
    }
}

fn unreadable(issuer: &str, what: &str) -> Error {
    Error::unreadable(text::harmless(issuer, 120), what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(issuer: &str, metadata: Value) -> Result<Metadata> {
        parse_metadata(issuer, &Secret::new(metadata.to_string()))
    }

    #[test]
    fn well_known_paths_follow_both_documents() {
        let expected = [
            "https://x.example/t/1/.well-known/openid-configuration",
            "https://x.example/.well-known/oauth-authorization-server/t/1",
        ];
        assert_eq!(metadata_urls("https://x.example/t/1/"), expected);
    }

    #[test]
    fn hostile_metadata_is_refused() {
        let issuer = "https://x.example";
        assert!(
            parse(issuer, json!({"issuer": issuer, "token_endpoint": "https://y.example/t"}))
                .is_ok()
        );
        assert!(parse(issuer, json!({"issuer": "https://evil.example"})).is_err());
        assert!(parse(issuer, json!({"token_endpoint": "https://x.example/t"})).is_err());
        for bad in [
            "file:///etc/passwd",
            "javascript:alert(1)",
            "http://x.example/a",
            "http://127.0.0.1:80/a",
            "-flag",
            "a:b",
            "https://x.example/\nHost: y",
            "https://user@x.example/",
        ] {
            for name in ["authorization_endpoint", "token_endpoint", "registration_endpoint"] {
                let refused = parse(issuer, json!({"issuer": issuer, name: bad}));
                assert!(refused.is_err(), "{name}: {bad}");
            }
        }
    }

    #[test]
    fn a_registration_answer_says_how_to_authenticate() {
        let read = |body: &str| parse_registration(201, &Secret::new(body), "x");
        let public = read(r#"{"client_id":"c"}"#).unwrap();
        assert_eq!((public.client_auth, public.client_secret), (ClientAuth::None, None));
        let body = r#"{"client_id":"c","client_secret":"s","token_endpoint_auth_method":"client_secret_post"}"#;
        assert_eq!(read(body).unwrap().client_auth, ClientAuth::Post);
        assert!(read("<html>").is_err());
        assert!(parse_registration(403, &Secret::new(r#"{"client_id":"c"}"#), "x").is_err());
    }
}
