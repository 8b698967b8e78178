//! An MCP server behind the gateway, and its authorization server with it: which URL of ours stands for
//! which of theirs, and what has to be changed in requests and answers so that a client which knows
//! the gateway alone can sign in. A root is the origin of an MCP server; all of a sign-in belongs to one.

pub mod ask;
pub mod headers;
pub mod names;
pub mod route;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use crate::endpoint;
use crate::protocol::form;

/// In the place of a URL that leads into a private network.
pub const BLOCKED: &str = "urn:keyfob:blocked:private-network";

/// How an authorization server is spoken of to the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignIn {
    /// `issuer` and `authorization_endpoint` stay as they are. A client that compares the issuer with
    /// where it found the metadata (RFC 8414, 3.3) refuses that, and the server hears of a resource
    /// (RFC 8707) that it does not know.
    Direct,
    /// Both name the gateway, which sends the browser on with the resource's real name. Of an issuer
    /// that announces itself in its callbacks (RFC 9207) only the endpoint does: the callback, which
    /// does not come by here, holds the real one, and it has to be the metadata's.
    #[default]
    Through,
}

/// The gateway as the client of one sign-in sees it.
#[derive(Clone, Copy, Debug)]
pub struct Gateway<'a> {
    /// `http://127.0.0.1:8317`, as the client spells it.
    pub base: &'a str,
    pub root: &'a str,
    /// Whether the client writes `original` percent-encoded: some compare whole URLs.
    pub is_encoded: bool,
    pub sign_in: SignIn,
}

impl Gateway<'_> {
    /// The URL of ours behind which this one lies; None: no https or http URL.
    pub fn relay_url(&self, url: &str) -> Option<String> {
        let origin = web_origin(url)?;
        let part = |origin: &str| URL_SAFE_NO_PAD.encode(origin);
        let Gateway { base, root, .. } = self;
        Some(format!("{base}/mcp_relay/{}/{}{}", part(root), part(&origin), after_origin(url)))
    }

    /// What the client calls a resource of the root.
    pub fn resource_url(&self, resource: &str) -> String {
        let resource = resource.split('#').next().unwrap_or_default();
        let value = if self.is_encoded { form::encode(resource) } else { resource.to_owned() };
        format!("{}{}?original={value}", self.base, route::AUTH)
    }

    /// Where a client finds the metadata of a resource of the root (RFC 9728, 3.1).
    pub fn metadata_url(&self, resource: &str) -> String {
        let ours = self.resource_url(resource);
        let path = ours.strip_prefix(self.base).unwrap_or_default();
        format!("{}/.well-known/oauth-protected-resource{path}", self.base)
    }

    /// The real name of what the client calls so; None: no resource of the root.
    pub fn real_resource(&self, told: &str) -> Option<String> {
        if endpoint::origin(told) != endpoint::origin(self.base) {
            return None;
        }
        let query = after_origin(told).strip_prefix(route::AUTH)?.strip_prefix('?')?;
        let (url, _) = route::original(query)?;
        (web_origin(&url).as_deref() == Some(self.root)).then_some(url)
    }
}

/// The origin of an https or http URL without a user name.
pub fn web_origin(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let is_web = scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http");
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    let is_plain = endpoint::is_host_and_port(authority);
    endpoint::origin(url).filter(|_| is_web && is_plain)
}

/// Path and query of a URL as it spells them; its fragment is dropped.
pub fn after_origin(url: &str) -> &str {
    let bare = url.split('#').next().unwrap_or_default();
    let rest = bare.split_once("://").map_or("", |(_, rest)| rest);
    rest.find(['/', '?']).map_or("", |at| &rest[at..])
}

/// The URL without its query: two requests to one endpoint differ in that.
pub fn endpoint_of(url: &str) -> String {
    let path = after_origin(url).split('?').next().unwrap_or_default();
    format!("{}{path}", web_origin(url).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GATEWAY: Gateway = Gateway {
        base: "http://127.0.0.1:8317",
        root: "https://mcp.example",
        is_encoded: false,
        sign_in: SignIn::Through,
    };

    #[test]
    fn a_url_of_ours_stands_for_one_of_theirs() {
        let base = "http://127.0.0.1:8317/mcp_relay/aHR0cHM6Ly9tY3AuZXhhbXBsZQ";
        for (url, ours) in [
            ("https://as.example/t/token?a=b#c", "/aHR0cHM6Ly9hcy5leGFtcGxl/t/token?a=b"),
            ("HTTPS://AS.example:443", "/aHR0cHM6Ly9hcy5leGFtcGxl"),
            ("https://as.example/", "/aHR0cHM6Ly9hcy5leGFtcGxl/"),
            ("https://as.example?x", "/aHR0cHM6Ly9hcy5leGFtcGxl?x"),
        ] {
            assert_eq!(GATEWAY.relay_url(url), Some(format!("{base}{ours}")), "{url}");
        }
        for url in ["ftp://as.example/", "/token", "https://a@as.example/", "https://:1/", "x"] {
            assert_eq!(GATEWAY.relay_url(url), None, "{url}");
        }
    }

    #[test]
    fn a_resource_has_two_names() {
        let encoded = Gateway { is_encoded: true, ..GATEWAY };
        for (gateway, resource, told) in [
            (GATEWAY, "https://mcp.example/mcp?a=b&c", "https://mcp.example/mcp?a=b&c"),
            (encoded, "https://mcp.example/", "https%3A%2F%2Fmcp.example%2F"),
        ] {
            let told = format!("http://127.0.0.1:8317/mcp_auth?original={told}");
            assert_eq!(gateway.resource_url(resource), told);
            assert_eq!(GATEWAY.real_resource(&told).as_deref(), Some(resource));
            let place = gateway.metadata_url(resource);
            let kind = "8317/.well-known/oauth-protected-resource/";
            assert_eq!(place, told.replace("8317/", kind));
        }
        for told in [
            "http://127.0.0.1:8317/mcp_auth?original=https://other.example/mcp",
            "http://127.0.0.1:8318/mcp_auth?original=https://mcp.example/mcp",
            "http://127.0.0.1:8317/mcp_auth",
            "https://mcp.example/mcp",
            "",
        ] {
            assert_eq!(GATEWAY.real_resource(told), None, "{told}");
        }
    }

    #[test]
    fn an_endpoint_has_no_query() {
        assert_eq!(endpoint_of("https://AS.example/a?b=c"), "https://as.example/a");
    }
}
