//! Which addresses a secret may be sent to: https, and http to this machine. No I/O.

use std::net::{IpAddr, Ipv6Addr};

use ureq::http::Uri;
use ureq::http::uri::Scheme;

use crate::error::{Error, Result};
use crate::text::harmless;

const LIMIT_BYTES: usize = 8 * 1024;

/// Accepts https, or http to loopback. `what` names the address in the error
/// ("token endpoint"), which shows neither its query nor a password in it.
pub fn check(what: &str, url: &str) -> Result<()> {
    refuse(what, url, objection(url, is_loopback))
}

/// The same for addresses at which a machine of a cloud asks for its own identity: plain http may
/// also go to link-local addresses, which no router passes on.
pub fn check_link_local(what: &str, url: &str) -> Result<()> {
    refuse(what, url, objection(url, |host| is_loopback(host) || is_link_local(host)))
}

fn refuse(what: &str, url: &str, objection: Option<&'static str>) -> Result<()> {
    match objection {
        None => Ok(()),
        Some(reason) => {
            let shown = harmless(&without_secrets(url), 200);
            Err(Error::failed(format!("{what} {shown}: {reason}")))
        }
    }
}

/// Scheme, host and port of an https or http URL, in lower case and without a default port: two
/// URLs with one origin belong to one server. None: not such a URL.
pub fn origin(url: &str) -> Option<String> {
    let uri: Uri = url.parse().ok()?;
    let scheme = uri.scheme_str()?.to_ascii_lowercase();
    let host = uri.host()?.to_ascii_lowercase();
    let default_port = if scheme == "https" { 443 } else { 80 };
    match uri.port_u16() {
        Some(port) if port != default_port => Some(format!("{scheme}://{host}:{port}")),
        _ => Some(format!("{scheme}://{host}")),
    }
}

/// The one form of an MCP server's URL: checked, lower-case scheme and host, no default port, no
/// fragment, no slash at its end.
pub fn server(typed: &str) -> Result<String> {
    let bare = typed.trim().split('#').next().unwrap_or_default();
    check("the MCP server", bare)?;
    let origin = origin(bare).ok_or_else(|| Error::usage("this is no URL of a server"))?;
    let rest = bare.split_once("://").map_or("", |(_, rest)| rest);
    let path = rest.find(['/', '?']).map_or("", |at| &rest[at..]);
    Ok(format!("{origin}{}", path.trim_end_matches('/')))
}

/// Whether the URL's host is loopback.
pub fn is_on_this_machine(url: &str) -> bool {
    url.parse::<Uri>().is_ok_and(|uri| uri.host().is_some_and(is_loopback))
}

/// Loopback as a URL or a proxy variable writes it, brackets or not.
pub fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || ip(host).is_some_and(|ip| ip.to_canonical().is_loopback())
}

/// 169.254.0.0/16 (RFC 3927) and fe80::/10 (RFC 4291), as an address: a name could lead anywhere.
fn is_link_local(host: &str) -> bool {
    match ip(host).map(|ip| ip.to_canonical()) {
        Some(IpAddr::V4(ip)) => ip.is_link_local(),
        Some(IpAddr::V6(ip)) => ip.is_unicast_link_local(),
        None => false,
    }
}

/// `1.2.3.4`, `::1` or `[::1]`. Short forms such as `127.1` are names, not addresses.
pub fn ip(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    bare.parse().ok()
}

/// True for `host`, `host:port`, `[v6]` and `[v6]:port`. `http::Uri` takes a
/// port that is no number or too large for no port at all, so it is read here.
pub fn is_host_and_port(authority: &str) -> bool {
    let host_ends = authority.find(']').map_or_else(|| authority.find(':'), |at| Some(at + 1));
    let (host, port) = authority.split_at(host_ends.unwrap_or(authority.len()));
    let port_is_fine = port.is_empty()
        || port.strip_prefix(':').is_some_and(|digits| digits.parse::<u16>().is_ok_and(|n| n > 0));
    port_is_fine && is_host(host)
}

fn is_host(host: &str) -> bool {
    match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').is_some_and(|v6| v6.parse::<Ipv6Addr>().is_ok()),
        None => {
            host.starts_with(|c: char| c.is_ascii_alphanumeric())
                && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
        }
    }
}

const TOO_LONG: &str = "longer than 8 KB";
const BAD_CHARACTER: &str = "holds a character that no URL may hold";
const NO_URL: &str = "not a URL";
const NO_HTTPS: &str = "not an https URL";
const USER_NAME: &str = "holds a user name";
const NO_HOST: &str = "names no valid host and port";
const PLAIN: &str = "plain http is only for this machine, use https";

/// Whether an error says that an address is none a secret may be sent to.
pub fn is_objection(what: &str) -> bool {
    let all = [TOO_LONG, BAD_CHARACTER, NO_URL, NO_HTTPS, USER_NAME, NO_HOST, PLAIN];
    all.iter().any(|reason| what.ends_with(&format!(": {reason}")))
}

fn objection(url: &str, may_be_plain: impl Fn(&str) -> bool) -> Option<&'static str> {
    if url.len() > LIMIT_BYTES {
        return Some(TOO_LONG);
    }
    // Browsers read `\` as `/`, this parser does not: the two must not disagree on the host.
    if !url.bytes().all(|b| b.is_ascii_graphic() && !b"\\\"<>`".contains(&b)) {
        return Some(BAD_CHARACTER);
    }
    let Ok(uri) = url.parse::<Uri>() else { return Some(NO_URL) };
    let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else {
        return Some(NO_HTTPS);
    };
    if *scheme != Scheme::HTTPS && *scheme != Scheme::HTTP {
        return Some(NO_HTTPS);
    }
    if authority.as_str().contains('@') {
        return Some(USER_NAME);
    }
    if !is_host_and_port(authority.as_str()) {
        return Some(NO_HOST);
    }
    if *scheme == Scheme::HTTP && !may_be_plain(authority.host()) {
        return Some(PLAIN);
    }
    None
}

/// Scheme, host and path: a query may hold a code, the authority a password.
fn without_secrets(url: &str) -> String {
    let plain = url.split(['?', '#']).next().unwrap_or_default();
    match (plain.split_once("://"), plain.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://…@{rest}"),
        (None, Some((_, rest))) => format!("…@{rest}"),
        (_, None) => plain.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn https_and_loopback_are_accepted() {
        for url in [
            "https://auth.example.com/token?x=1",
            "https://auth.example.com:8443",
            "HTTPS://X",
            "https://[2001:db8::1]/token",
            "http://127.0.0.1:8080/token",
            "http://127.9.9.9/",
            "http://localhost:80/",
            "HTTP://LOCALHOST/",
            "http://[::1]:9/x",
        ] {
            assert!(check("endpoint", url).is_ok(), "{url}");
        }
    }

    #[test]
    fn all_else_is_refused() {
        let long = format!("https://example.com/{}", "x".repeat(1_000_000));
        for url in [
            "",
            "-flag",
            "a:b",
            "/token",
            "example.com",
            "example.com:443",
            "javascript:alert(1)",
            "javascript://example.com/%0aalert(1)",
            "file:///etc/passwd",
            "ftp://example.com/",
            "data:text/html,x",
            "http://example.com",
            "http://host/$(touch x)",
            "http://127.0.0.1.evil.com",
            "http://127.1/",
            "http://2130706433/",
            "http://0.0.0.0/",
            "http://localhost.evil.com/",
            "http://localhost:80@evil.com/",
            "http://[::2]/",
            "https://",
            "https:///path",
            "https://:443/",
            "https://-x.example.com/",
            "https://user@example.com/",
            "https://user:password@example.com/",
            "https://evil.com\\@example.com/",
            "https://example.com:99999/",
            "https://example.com:0/",
            "https://example.com:/",
            "https://example.com:http/",
            "https://[::1/",
            "https://[nonsense]/",
            "https://[::1]x/",
            "https://a b",
            "https://a\nb",
            "https://a\tb",
            "https://a\0b",
            "https://ex\u{e4}mple.com/",
            " https://example.com/",
            &long,
        ] {
            assert!(check("endpoint", url).is_err(), "{url:.80}");
        }
    }

    #[test]
    fn link_local_is_for_those_who_ask_for_it() {
        for url in [
            "http://169.254.169.254/metadata",
            "http://169.254.0.1:8081/msi/token",
            "http://[fe80::1]/x",
            "http://[febf::1]/x",
            "http://[::ffff:169.254.1.1]/x",
        ] {
            assert!(check_link_local("endpoint", url).is_ok(), "{url}");
            assert!(check("endpoint", url).is_err(), "{url}");
        }
        for url in ["http://127.0.0.1:1/x", "http://localhost/x", "https://x.example/x"] {
            assert!(check_link_local("endpoint", url).is_ok(), "{url}");
        }
        for url in [
            "http://x.example/",
            "http://169.255.169.254/",
            "http://169.254.169.254.evil.example/",
            "http://169.254.169.254@evil.example/",
            "http://2852039166/",
            "http://10.0.0.1/",
            "http://[fec0::1]/",
            "http://[fe7f::1]/",
            "http://[fd00:ec2::254]/",
            "ftp://169.254.169.254/",
        ] {
            assert!(check_link_local("endpoint", url).is_err(), "{url}");
        }
    }

    #[test]
    fn origins_are_compared_without_case_and_default_port() {
        let expected = Some("https://x.example".to_owned());
        assert_eq!(origin("HTTPS://X.example:443/a?b"), expected);
        assert_eq!(origin("http://[::1]:81/a").as_deref(), Some("http://[::1]:81"));
        assert_eq!(origin("/a"), None);
    }

    #[test]
    fn the_error_shows_no_secret_and_stays_short() {
        let shown = |url: &str| check("token endpoint", url).unwrap_err().to_string();
        assert_eq!(
            shown("http://example.com/token?code=hunter2#hunter2"),
            "token endpoint http://example.com/token: plain http is only for this machine, use https"
        );
        assert!(!shown("https://me:hunter2@example.com/").contains("hunter2"));
        assert!(!shown("https://me:hunt@er2@example.com/").contains("hunt"));
        assert!(!shown("https://a\x1b[31m\n").contains(char::is_control));
        assert!(shown(&format!("https://{}", "x".repeat(1_000_000))).chars().count() < 300);
    }

    #[test]
    fn a_server_has_one_form() {
        for (typed, form) in [
            ("https://mcp.example.com/mcp", "https://mcp.example.com/mcp"),
            ("  HTTPS://MCP.Example.com:443/Mcp/  ", "https://mcp.example.com/Mcp"),
            ("https://mcp.example.com", "https://mcp.example.com"),
            ("https://mcp.example.com//", "https://mcp.example.com"),
            ("https://mcp.example.com/mcp#part", "https://mcp.example.com/mcp"),
            ("https://mcp.example.com?team=A", "https://mcp.example.com?team=A"),
            ("https://mcp.example.com/mcp?team=A", "https://mcp.example.com/mcp?team=A"),
            ("https://mcp.example.com:8443/mcp", "https://mcp.example.com:8443/mcp"),
            ("http://LOCALHOST:80/mcp", "http://localhost/mcp"),
            ("http://[::1]:8080/mcp/", "http://[::1]:8080/mcp"),
        ] {
            let found = server(typed).unwrap();
            assert_eq!(found, form, "{typed}");
            assert_eq!(server(&found).unwrap(), form, "the form of a form is itself");
        }
        for typed in ["", "mcp.example.com", "http://mcp.example.com/mcp", "ftp://x.example/mcp"] {
            assert!(server(typed).is_err(), "{typed:?}");
        }
    }
}
