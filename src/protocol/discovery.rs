//! Server metadata (RFC 8414, OpenID Connect Discovery).

use serde::{Deserialize, Deserializer};
use ureq::http::Uri;

use crate::endpoint;
use crate::error::{Error, Result};
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

/// The same for the authorization server of an MCP server, in the order of MCP 2025-11-25, "Authorization
/// Server Metadata Discovery": RFC 8414 first, then OpenID's document in both of its places.
pub fn server_metadata_urls(issuer: &str) -> Vec<String> {
    let (Some(origin), Ok(uri)) = (endpoint::origin(issuer), issuer.parse::<Uri>()) else {
        return Vec::new();
    };
    let path = uri.path().strip_suffix('/').unwrap_or(uri.path());
    let mut urls = vec![
        format!("{origin}/.well-known/oauth-authorization-server{path}"),
        format!("{origin}/.well-known/openid-configuration{path}"),
    ];
    if !path.is_empty() {
        urls.push(format!("{origin}{path}/.well-known/openid-configuration"));
    }
    urls
}

/// The metadata that keyfob uses; unknown members are ignored, as the RFC asks, and null is as good as
/// none.
#[derive(Debug, Default, Deserialize)]
pub struct Metadata {
    /// As the document spells it: RFC 9207 compares byte for byte.
    pub issuer: String,
    pub authorization_endpoint: Option<String>,
    pub token_endpoint: Option<String>,
    pub device_authorization_endpoint: Option<String>,
    pub revocation_endpoint: Option<String>,
    pub userinfo_endpoint: Option<String>,
    pub registration_endpoint: Option<String>,
    /// None: the server does not say, which is not the same as none.
    pub code_challenge_methods_supported: Option<Vec<String>>,
    #[serde(default, deserialize_with = "or_default")]
    pub grant_types_supported: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub response_types_supported: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub scopes_supported: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub token_endpoint_auth_methods_supported: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub authorization_response_iss_parameter_supported: bool,
    #[serde(default, deserialize_with = "or_default")]
    pub client_id_metadata_document_supported: bool,
}

fn or_default<'de, D, T>(value: D) -> std::result::Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(value)?.unwrap_or_default())
}

/// Reads and checks metadata: the issuer must be the one asked for (RFC 8414 section 3.3), a slash at
/// its end aside.
pub fn parse_metadata(issuer: &str, body: &Secret) -> Result<Metadata> {
    read(issuer, body, |claimed| claimed.trim_end_matches('/') == issuer.trim_end_matches('/'))
}

/// The metadata of an MCP server that is its own authorization server, as revision 2025-03-26 has it:
/// whatever issuer it names, its origin stands in the issuer's place.
pub fn parse_legacy_metadata(origin: &str, body: &Secret) -> Result<Metadata> {
    let metadata = read(origin, body, |_| true)?;
    Ok(Metadata { issuer: origin.to_owned(), ..complete(origin, metadata)? })
}

/// The same for the authorization server of an MCP server: the issuer must be spelled as it was named,
/// save that `https://h` and `https://h/` are one (Google names the one and publishes the other), and
/// the authorization code flow must be there.
pub fn parse_server_metadata(issuer: &str, body: &Secret) -> Result<Metadata> {
    complete(
        issuer,
        read(issuer, body, |claimed| claimed == issuer || is_same_host(claimed, issuer))?,
    )
}

/// Metadata with which a person can be signed in.
fn complete(issuer: &str, metadata: Metadata) -> Result<Metadata> {
    if metadata.token_endpoint.is_none() {
        return Err(unreadable(issuer, "metadata without a token_endpoint"));
    }
    if metadata.authorization_endpoint.is_none() && metadata.device_authorization_endpoint.is_none()
    {
        return Err(unreadable(issuer, "metadata without an authorization_endpoint"));
    }
    let types = &metadata.response_types_supported;
    if !types.is_empty() && !types.iter().any(|kind| kind == "code") {
        return Err(unreadable(issuer, "metadata without the response type `code`"));
    }
    Ok(metadata)
}

/// Whether both are issuers without a path, and differ in the slash at the end only.
fn is_same_host(claimed: &str, issuer: &str) -> bool {
    let bare = |url: &str| url.strip_suffix('/').unwrap_or(url).to_owned();
    let has_no_path =
        |url: &str| url.split_once("://").is_some_and(|(_, host)| !host.contains(['/', '?', '#']));
    bare(claimed) == bare(issuer) && has_no_path(&bare(issuer))
}

/// Every endpoint must be one that keyfob may open or call, and an issuer out in the world may not
/// point at this machine.
fn read(issuer: &str, body: &Secret, is_issuer: impl Fn(&str) -> bool) -> Result<Metadata> {
    let metadata: Metadata = serde_json::from_str(body.expose())
        .map_err(|_| unreadable(issuer, "metadata that is not the JSON of RFC 8414"))?;
    if !is_issuer(&metadata.issuer) {
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

/// What an MCP server that publishes nothing is taken to have (MCP 2025-03-26, "Fallbacks for Servers
/// without Metadata Discovery"). That revision asks S256 of everybody, and of no metadata to say so.
/// No issuer is known: its place holds the origin, and no `iss` is to be compared with it.
pub fn legacy_metadata(origin: &str) -> Metadata {
    let origin = origin.trim_end_matches('/');
    Metadata {
        issuer: origin.to_owned(),
        authorization_endpoint: Some(format!("{origin}/authorize")),
        token_endpoint: Some(format!("{origin}/token")),
        registration_endpoint: Some(format!("{origin}/register")),
        code_challenge_methods_supported: Some(vec!["S256".to_owned()]),
        ..Metadata::default()
    }
}

/// What a server says of PKCE with S256 (RFC 7636): MCP 2025-11-25 has a client go no further unless
/// it is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pkce {
    /// Not a word; Entra and Cognito support it all the same.
    Absent,
    /// Other methods only.
    Refused,
    S256,
}

impl Metadata {
    /// Fills what the row leaves open.
    pub fn fill(&self, row: &mut Provider) {
        let fill = |slot: &mut Option<String>, value: &Option<String>| {
            if slot.is_none() {
                slot.clone_from(value);
            }
        };
        fill(&mut row.authorize_url, &self.authorization_endpoint);
        fill(&mut row.token_url, &self.token_endpoint);
        fill(&mut row.device_url, &self.device_authorization_endpoint);
        fill(&mut row.revoke_url, &self.revocation_endpoint);
        fill(&mut row.userinfo_url, &self.userinfo_endpoint);
        row.issuer = Some(self.issuer.clone());
        row.iss_in_callback = self.authorization_response_iss_parameter_supported;
    }

    /// How a client with a secret authenticates: Basic unless the server lists only POST
    /// (the default of RFC 8414 section 2 is Basic).
    pub fn client_auth(&self) -> ClientAuth {
        if !self.has_auth("client_secret_basic") && self.has_auth("client_secret_post") {
            ClientAuth::Post
        } else {
            ClientAuth::Basic
        }
    }

    /// Whether clients may use the grant; a server that lists none says nothing about it.
    pub fn may_use(&self, grant: &str) -> bool {
        let listed = &self.grant_types_supported;
        listed.is_empty() || listed.iter().any(|known| known == grant)
    }

    /// Whether the server offers the method, in the words of RFC 8414 section 2.
    pub fn has_auth(&self, method: &str) -> bool {
        self.token_endpoint_auth_methods_supported.iter().any(|offered| offered == method)
    }

    pub fn check_pkce(&self) -> Pkce {
        match &self.code_challenge_methods_supported {
            None => Pkce::Absent,
            Some(methods) if methods.iter().any(|method| method == "S256") => Pkce::S256,
            Some(_) => Pkce::Refused,
        }
    }
}

fn unreadable(issuer: &str, what: &str) -> Error {
    Error::unreadable(text::harmless(issuer, 120), what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

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
    fn an_authorization_server_is_asked_in_three_places() {
        let rfc = "https://as/.well-known/oauth-authorization-server";
        let oidc = "https://as/.well-known/openid-configuration";
        for issuer in ["https://as", "https://as/", "HTTPS://AS:443"] {
            assert_eq!(server_metadata_urls(issuer), [rfc, oidc], "{issuer}");
        }
        for issuer in ["https://as/t/1", "https://as/t/1/"] {
            let expected = [
                format!("{rfc}/t/1"),
                format!("{oidc}/t/1"),
                "https://as/t/1/.well-known/openid-configuration".to_owned(),
            ];
            assert_eq!(server_metadata_urls(issuer), expected, "{issuer}");
        }
        assert!(server_metadata_urls("rubbish").is_empty());
    }

    fn server(issuer: &str, changes: Value) -> Result<Metadata> {
        let mut document = json!({
            "issuer": issuer, "authorization_endpoint": "https://x.example/a",
            "token_endpoint": "https://x.example/t",
        });
        for (key, value) in changes.as_object().unwrap() {
            document[key] = value.clone();
        }
        parse_server_metadata(issuer, &Secret::new(document.to_string()))
    }

    #[test]
    fn the_issuer_of_a_server_is_compared_to_the_letter() {
        for (issuer, claimed, is_same) in [
            ("https://as", "https://as", true),
            ("https://as/", "https://as", true),
            ("https://as", "https://as/", true),
            ("https://as/t", "https://as/t", true),
            ("https://as/t/", "https://as/t", false),
            ("https://as/t", "https://as/t/", false),
            ("https://as", "https://as//", false),
            ("https://as", "https://AS", false),
            ("https://as", "https://as:443", false),
            ("https://as", "https://as/t", false),
            ("https://as/?a", "https://as?a/", false),
        ] {
            let found = server(issuer, json!({"issuer": claimed}));
            assert_eq!(found.is_ok(), is_same, "{issuer} {claimed}");
            assert!(found.is_err() || found.is_ok_and(|found| found.issuer == claimed));
        }
    }

    #[test]
    fn a_server_must_offer_the_code_flow() {
        let issuer = "https://as";
        for good in [
            json!({}),
            json!({"response_types_supported": ["token", "code"]}),
            json!({"response_types_supported": null, "scopes_supported": null,
                "client_id_metadata_document_supported": null}),
            json!({"authorization_endpoint": null,
                "device_authorization_endpoint": "https://as/device"}),
        ] {
            assert!(server(issuer, good.clone()).is_ok(), "{good}");
        }
        for bad in [
            json!({"response_types_supported": ["token", "code id_token"]}),
            json!({"token_endpoint": null}),
            json!({"registration_endpoint": ""}),
            json!({"authorization_endpoint": null}),
            json!({"authorization_endpoint": "javascript:alert(1)"}),
            json!({"token_endpoint": "http://as/t"}),
            json!({"token_endpoint": "http://127.0.0.1/t"}),
            json!({"registration_endpoint": "file:///x"}),
        ] {
            assert!(server(issuer, bad.clone()).is_err(), "{bad}");
        }
        let local = json!({"token_endpoint": "http://127.0.0.1:2/t"});
        assert!(server("http://localhost:1", local).is_ok());
    }

    #[test]
    fn pkce_is_offered_refused_or_not_spoken_of() {
        let pkce = |methods: Value| {
            let changes = json!({"code_challenge_methods_supported": methods});
            server("https://as", changes).unwrap().check_pkce()
        };
        assert_eq!(pkce(json!(["plain", "S256"])), Pkce::S256);
        assert_eq!(pkce(json!(["plain"])), Pkce::Refused);
        assert_eq!(pkce(json!([])), Pkce::Refused);
        assert_eq!(pkce(json!(null)), Pkce::Absent);
        assert_eq!(server("https://as", json!({})).unwrap().check_pkce(), Pkce::Absent);
    }

    #[test]
    fn a_server_without_metadata_has_the_paths_of_old() {
        let found = legacy_metadata("https://h:8443");
        assert_eq!(found.issuer, "https://h:8443");
        assert_eq!(found.authorization_endpoint.as_deref(), Some("https://h:8443/authorize"));
        assert_eq!(found.token_endpoint.as_deref(), Some("https://h:8443/token"));
        assert_eq!(found.registration_endpoint.as_deref(), Some("https://h:8443/register"));
        assert_eq!(found.check_pkce(), Pkce::S256);
    }

    #[test]
    fn an_origin_of_old_may_name_any_issuer() {
        let read = |document: Value| {
            parse_legacy_metadata("https://h", &Secret::new(document.to_string()))
        };
        let mut document = json!({"issuer": "https://as.example", "token_endpoint": "https://h/t",
            "authorization_endpoint": "https://as.example/a"});
        assert_eq!(read(document.clone()).unwrap().issuer, "https://h");
        document["authorization_endpoint"] = json!("javascript:alert(1)");
        assert!(read(document).is_err());
        assert!(read(json!({"issuer": "https://h"})).is_err());
    }
}
