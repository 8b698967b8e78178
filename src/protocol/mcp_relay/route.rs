//! Taking apart the paths that the gateway has for MCP.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::endpoint;
use crate::protocol::form;
use crate::protocol::mcp_relay::{after_origin, web_origin};

pub const AUTH: &str = "/mcp_auth";
const RELAY: &str = "/mcp_relay/";
const WELL_KNOWN: &str = "/.well-known/";

/// Where a request leads.
#[derive(Debug, PartialEq)]
pub struct Route {
    pub way: Way,
    pub root: String,
    /// The origin that is asked: the root itself, or one that belongs to its sign-in.
    pub relay: String,
    /// What is asked there.
    pub url: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The MCP server itself.
    Auth {
        is_encoded: bool,
    },
    /// What the MCP server publishes of itself, where RFC 9728 has clients look for it.
    Metadata {
        is_encoded: bool,
    },
    Relay,
}

impl Route {
    /// Where a server may publish what it does not have at its own path's place (RFC 9728, 3.1).
    pub fn at_root(&self) -> Option<Route> {
        let Way::Metadata { .. } = self.way else { return None };
        let (kind, rest) =
            after_origin(&self.url).strip_prefix(WELL_KNOWN)?.split_once(['/', '?'])?;
        let url = format!("{}{WELL_KNOWN}{kind}", self.root);
        let (root, relay) = (self.root.clone(), self.relay.clone());
        (!rest.is_empty()).then_some(Route { way: self.way, root, relay, url })
    }
}

/// Why a path leads nowhere.
#[derive(Debug, PartialEq, Eq)]
pub enum Wrong {
    /// It is malformed, and this is what is wrong.
    Malformed(&'static str),
    /// There is nothing; a client that looks for metadata goes on to the next place.
    Nothing,
}

/// Whether a path is one of these.
pub fn is_for(path: &str) -> bool {
    path == AUTH || path.starts_with(RELAY) || well_known(path).is_some()
}

/// The document's type and the path behind it: `mcp_auth`, or `mcp_relay/…`.
fn well_known(path: &str) -> Option<(&str, &str)> {
    let (kind, rest) = path.strip_prefix(WELL_KNOWN)?.split_once('/')?;
    (rest == &AUTH[1..] || rest.starts_with(&RELAY[1..])).then_some((kind, rest))
}

/// Takes a path, for which `is_for` said yes, and its query apart.
pub fn parse(path: &str, query: &str) -> Result<Route, Wrong> {
    if path == AUTH {
        let (url, is_encoded) = original(query)
            .ok_or(Wrong::Malformed("`original` is wanted: /mcp_auth?original=https://…"))?;
        let (root, url) = server(&url)?;
        return Ok(Route { way: Way::Auth { is_encoded }, relay: root.clone(), root, url });
    }
    match well_known(path) {
        Some((kind, rest)) if rest == &AUTH[1..] => {
            let (url, is_encoded) = original(query).ok_or(Wrong::Nothing)?;
            let (root, url) = server(&url)?;
            let (path, query) = cut(after_origin(&url));
            let url = format!("{root}{WELL_KNOWN}{kind}{}{query}", path.trim_end_matches('/'));
            Ok(Route { way: Way::Metadata { is_encoded }, relay: root.clone(), root, url })
        }
        Some((kind, rest)) => {
            relay(&rest[RELAY.len() - 1..], query, &format!("{WELL_KNOWN}{kind}"))
        }
        None => relay(path.strip_prefix(RELAY).unwrap_or_default(), query, ""),
    }
}

/// `<root>/<relay>/<path>`; `before` goes before the path.
fn relay(rest: &str, query: &str, before: &str) -> Result<Route, Wrong> {
    let mut parts = rest.splitn(3, '/');
    let mut origin = || {
        let part = parts.next().unwrap_or_default().trim_end_matches('=');
        let text = URL_SAFE_NO_PAD.decode(part).ok().and_then(|b| String::from_utf8(b).ok());
        let found = text.filter(|text| web_origin(text).as_ref() == Some(text));
        found.ok_or(Wrong::Malformed("the path holds no two origins in base64url"))
    };
    let (root, relay) = (origin()?, origin()?);
    let path = match parts.next() {
        // Clients leave the slash at an issuer's end where it is.
        None | Some("") if !before.is_empty() => String::new(),
        None => String::new(),
        Some(path) => format!("/{path}"),
    };
    let query = without_key(query);
    let mark = if query.is_empty() { "" } else { "?" };
    let url = format!("{relay}{before}{path}{mark}{query}");
    endpoint::check("address", &with_tls(&url)).map_err(|_| NO_URL)?;
    Ok(Route { way: Way::Relay, root, relay, url })
}

const NO_URL: Wrong = Wrong::Malformed("`original` is no https URL");

/// The origin of an MCP server and its URL in one form.
fn server(url: &str) -> Result<(String, String), Wrong> {
    let origin = web_origin(url).ok_or(NO_URL)?;
    let (path, query) = cut(after_origin(url));
    let (path, query) = (without_ours(path), without_ours(query.trim_start_matches('?')));
    let mark = if query.is_empty() { "" } else { "?" };
    let url = format!("{origin}{path}{mark}{query}");
    // Whether plain http may go there is no question of form.
    endpoint::check("address", &with_tls(&url)).map_err(|_| NO_URL)?;
    Ok((origin, url))
}

/// Behind a raw URL a client key of the gateway looks like a part of it.
fn without_ours(text: &str) -> String {
    let is_theirs = |part: &&str| !part.starts_with("key=kf-");
    text.split('&').filter(is_theirs).collect::<Vec<_>>().join("&")
}

fn with_tls(url: &str) -> String {
    url.strip_prefix("http://").map_or(url.to_owned(), |rest| format!("https://{rest}"))
}

/// The value of `original`, and whether it was percent-encoded. One that was not goes on to the end of
/// the query, whatever it holds.
pub fn original(query: &str) -> Option<(String, bool)> {
    let value = match query.strip_prefix("original=") {
        Some(value) => value,
        None => query.split_once("&original=")?.1,
    };
    let begins = |with: &str| value.get(..with.len()).is_some_and(|b| b.eq_ignore_ascii_case(with));
    if begins("https://") || begins("http://") {
        return Some((value.to_owned(), false));
    }
    let value = value.split('&').next().unwrap_or_default();
    // A plus is a plus here: this is no form.
    Some((form::decode(&value.replace('+', "%2B")), true))
}

/// The query without a client key of the gateway.
fn without_key(query: &str) -> String {
    let stays = |pair: &&str| *pair != "key" && !pair.starts_with("key=");
    query.split('&').filter(stays).collect::<Vec<_>>().join("&")
}

fn cut(target: &str) -> (&str, &str) {
    target.split_at(target.find('?').unwrap_or(target.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const R: &str = "aHR0cHM6Ly9tY3AuZXhhbXBsZQ";
    const T: &str = "aHR0cHM6Ly9hcy5leGFtcGxl";

    #[track_caller]
    fn url(path: &str, query: &str) -> String {
        assert!(is_for(path), "{path}");
        let route = parse(path, query).unwrap();
        assert_eq!(route.root, "https://mcp.example");
        route.url
    }

    #[test]
    fn the_original_is_raw_and_last_or_encoded() {
        for (query, wanted) in [
            ("original=https://mcp.example/mcp", "/mcp"),
            ("key=kf-1&original=https://mcp.example/mcp?a=b&key=theirs", "/mcp?a=b&key=theirs"),
            ("original=https://mcp.example/mcp?a=b&key=kf-1", "/mcp?a=b"),
            ("original=https://mcp.example/mcp&key=kf-1", "/mcp"),
            ("original=https://mcp.example/mcp?key=kf-1", "/mcp"),
            ("original=HTTPS://MCP.example:443/a%20b+c", "/a%20b+c"),
            ("original=https%3A%2F%2Fmcp.example%2Fmcp%3Fa%3Db%26c&key=kf-1", "/mcp?a=b&c"),
            ("x=original&original=https%3a//mcp.example/a+b%2Bc", "/a+b+c"),
            ("original=https://mcp.example", ""),
        ] {
            assert_eq!(url(AUTH, query), format!("https://mcp.example{wanted}"), "{query}");
        }
        for query in [
            "",
            "key=kf-1",
            "original=",
            "original=mcp.example/mcp",
            "original=ftp%3A%2F%2Fmcp.example",
            "original=https://",
            "original=https://a@mcp.example/",
            "original=https%3A%2F%2Fmcp.example%2F%0d%0a",
            "original=https://mcp.example:99999/",
            "xoriginal=https://mcp.example/",
        ] {
            assert!(matches!(parse(AUTH, query), Err(Wrong::Malformed(_))), "{query}");
        }
    }

    #[test]
    fn a_relay_names_its_root_and_its_target() {
        let path = format!("/mcp_relay/{R}/{T}");
        for (path, query, wanted) in [
            (format!("{path}/t/token"), "a=b&key=kf-1&c", "https://as.example/t/token?a=b&c"),
            (format!("{path}/"), "key=kf-1", "https://as.example/"),
            (path.clone(), "", "https://as.example"),
            (format!("/mcp_relay/{R}==/{T}=/x"), "", "https://as.example/x"),
        ] {
            assert_eq!(url(&path, query), wanted, "{path}");
        }
        let plain = "aHR0cDovL21jcC5leGFtcGxlLw";
        for path in [
            "/mcp_relay/".to_owned(),
            format!("/mcp_relay/{R}"),
            format!("/mcp_relay/{R}/x/y"),
            format!("/mcp_relay/{R}/{plain}/y"),
            format!("/mcp_relay//{T}/y"),
        ] {
            assert!(matches!(parse(&path, ""), Err(Wrong::Malformed(_))), "{path}");
        }
    }

    #[test]
    fn well_known_paths_go_before_the_real_one() {
        let kind = "/.well-known/oauth-authorization-server";
        for (rest, wanted) in [("", ""), ("/", ""), ("/t", "/t"), ("/t/", "/t/")] {
            let found = url(&format!("{kind}/mcp_relay/{R}/{T}{rest}"), "");
            assert_eq!(found, format!("https://as.example{kind}{wanted}"), "{rest}");
        }
        let kind = "/.well-known/oauth-protected-resource";
        let path = format!("{kind}/mcp_auth");
        for (original, wanted) in [("/mcp", "/mcp"), ("/", ""), ("", ""), ("/a?b=c", "/a?b=c")] {
            let found = url(&path, &format!("original=https://mcp.example{original}"));
            assert_eq!(found, format!("https://mcp.example{kind}{wanted}"), "{original}");
            let query = format!("original=https://mcp.example{original}");
            let at_root = parse(&path, &query).unwrap().at_root().map(|route| route.url);
            let has_other = !wanted.is_empty();
            assert_eq!(at_root, has_other.then(|| format!("https://mcp.example{kind}")));
        }
        assert_eq!(parse(&path, ""), Err(Wrong::Nothing));
        for path in ["/mcp_auth/x", "/mcp_relay", "/v1/mcp_auth", "/.well-known/x", kind] {
            assert!(!is_for(path), "{path}");
        }
    }
}
