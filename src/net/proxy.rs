//! Which proxy a request goes through: curl's rules over the usual variables. No I/O.
//!
//! ureq's own reading of them differs in ways that matter (it proxies loopback, one
//! variable serves both schemes, a value it cannot read is ignored), so it is not used.

use std::net::IpAddr;

use ureq::Proxy;
use ureq::http::Uri;
use ureq::http::uri::Scheme;

use crate::endpoint::{ip, is_host_and_port, is_loopback};
use crate::error::{Error, Result};

/// A proxy, and the variable that asked for it: its value may hold a password.
pub struct Choice {
    pub variable: &'static str,
    pub proxy: Proxy,
}

/// The order is curl's, https://everything.curl.dev/usingcurl/proxies/env.html (2026-11):
/// lower case first, then the variable for all schemes.
const FOR_HTTPS: [&str; 4] = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
/// curl leaves out HTTP_PROXY, which a web server sets for a CGI program from a header;
/// keyfob is none.
const FOR_HTTP: [&str; 4] = ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"];
const EXCEPTIONS: [&str; 2] = ["no_proxy", "NO_PROXY"];

/// The proxy for an absolute `uri`, or None to go straight there. `lookup` reads a variable.
/// A value that is no proxy address is an error, never a reason to go without one.
pub fn choose(uri: &Uri, lookup: impl Fn(&str) -> Option<String>) -> Result<Option<Choice>> {
    let host = uri.host().unwrap_or_default();
    if is_loopback(host) {
        return Ok(None);
    }
    let is_https = uri.scheme() == Some(&Scheme::HTTPS);
    let variables = if is_https { FOR_HTTPS } else { FOR_HTTP };
    let Some((variable, value)) = first_set(variables, &lookup) else { return Ok(None) };
    let port = uri.port_u16().unwrap_or(if is_https { 443 } else { 80 });
    let exceptions = first_set(EXCEPTIONS, &lookup).map_or_else(String::new, |(_, list)| list);
    if exceptions.split([',', ' ', '\t']).any(|entry| covers(entry, host, port)) {
        return Ok(None);
    }
    match parse(&value) {
        Some(proxy) => Ok(Some(Choice { variable, proxy })),
        None => Err(Error::Usage {
            what: format!("{variable} holds no proxy address that keyfob understands"),
            next: Some(format!("export {variable}=http://HOST:PORT")),
        }),
    }
}

/// An empty variable counts as unset, as in curl.
fn first_set<const N: usize>(
    names: [&'static str; N],
    lookup: impl Fn(&str) -> Option<String>,
) -> Option<(&'static str, String)> {
    names.into_iter().find_map(|name| {
        let value = lookup(name)?.trim().to_owned();
        (!value.is_empty()).then_some((name, value))
    })
}

/// `[scheme://][user[:password]@]host[:port]`; without a scheme it is an http proxy.
fn parse(value: &str) -> Option<Proxy> {
    let url = if value.contains("://") { value.to_owned() } else { format!("http://{value}") };
    let uri: Uri = url.parse().ok()?;
    let authority = uri.authority()?.as_str();
    let address = authority.rsplit_once('@').map_or(authority, |(_, address)| address);
    if !is_host_and_port(address) {
        return None;
    }
    Proxy::new(&url).ok()
}

/// Whether one entry of NO_PROXY covers the host: `*`, a name and all below it (leading
/// dot or not), an address, a network `10.0.0.0/8`; a name or address may carry a port.
fn covers(entry: &str, host: &str, port: u16) -> bool {
    if entry == "*" {
        return true;
    }
    if let Some((network, bits)) = entry.split_once('/') {
        return match (ip(network), bits.parse(), ip(host)) {
            (Some(network), Ok(bits), Some(address)) => is_inside(address, network, bits),
            _ => false,
        };
    }
    let (name, only_port) = split_port(entry);
    if only_port.is_some_and(|only| only.parse() != Ok(port)) {
        return false;
    }
    if let Some(address) = ip(host) {
        return ip(name) == Some(address);
    }
    let name = name.trim_start_matches('*').trim_matches('.').to_ascii_lowercase();
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    !name.is_empty() && host.strip_suffix(&name).is_some_and(|h| h.is_empty() || h.ends_with('.'))
}

/// A bare IPv6 address has several colons and so no port.
fn split_port(entry: &str) -> (&str, Option<&str>) {
    match entry.rsplit_once(':') {
        Some((name, port)) if name.ends_with(']') || !name.contains(':') => (name, Some(port)),
        _ => (entry, None),
    }
}

fn is_inside(address: IpAddr, network: IpAddr, bits: u32) -> bool {
    match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(n)) if bits <= 32 => {
            (a.to_bits() ^ n.to_bits()).checked_shr(32 - bits).unwrap_or(0) == 0
        }
        (IpAddr::V6(a), IpAddr::V6(n)) if bits <= 128 => {
            (a.to_bits() ^ n.to_bits()).checked_shr(128 - bits).unwrap_or(0) == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(url: &str, variables: &[(&str, &str)]) -> Result<Option<Choice>> {
        let uri: Uri = url.parse().unwrap();
        choose(&uri, |name| {
            variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned())
        })
    }

    fn host(url: &str, variables: &[(&str, &str)]) -> Option<String> {
        chosen(url, variables).unwrap().map(|choice| choice.proxy.host().to_owned())
    }

    #[test]
    fn the_scheme_and_then_the_case_pick_the_variable() {
        let all = [
            ("https_proxy", "a"),
            ("HTTPS_PROXY", "b"),
            ("http_proxy", "c"),
            ("HTTP_PROXY", "d"),
            ("all_proxy", "e"),
            ("ALL_PROXY", "f"),
        ];
        for (skip, https, http) in [
            (&[][..], Some("a"), Some("c")),
            (&["a", "c"], Some("b"), Some("d")),
            (&["a", "b", "c", "d"], Some("e"), Some("e")),
            (&["a", "b", "c", "d", "e"], Some("f"), Some("f")),
            (&["a", "b", "e", "f"], None, Some("c")),
        ] {
            let left: Vec<_> = all.into_iter().filter(|(_, v)| !skip.contains(v)).collect();
            assert_eq!(host("https://x.test/", &left).as_deref(), https, "{skip:?}");
            assert_eq!(host("http://x.test/", &left).as_deref(), http, "{skip:?}");
        }
        assert_eq!(
            host("https://x.test/", &[("https_proxy", ""), ("ALL_PROXY", "f")]).unwrap(),
            "f"
        );
    }

    #[test]
    fn loopback_is_never_proxied() {
        let all = [("HTTPS_PROXY", "p:1"), ("http_proxy", "p:1"), ("ALL_PROXY", "p:1")];
        for url in
            ["http://127.0.0.1:9/", "https://127.3.2.1/", "http://LOCALHOST/", "http://[::1]:9/"]
        {
            assert_eq!(host(url, &all), None, "{url}");
        }
        assert!(host("https://127.0.0.1.evil.test/", &all).is_some());
    }

    #[test]
    fn each_kind_of_proxy_is_read() {
        use ureq::ProxyProtocol::{Http, Https, Socks4, Socks4A, Socks5, Socks5h};
        for (value, protocol, port) in [
            ("proxy", Http, 80),
            ("proxy:3128", Http, 3128),
            ("http://proxy:3128/", Http, 3128),
            ("HTTP://proxy:3128", Http, 3128),
            ("https://proxy", Https, 443),
            ("socks4://proxy", Socks4, 1080),
            ("socks4a://proxy", Socks4A, 1080),
            ("socks5://proxy:9050", Socks5, 9050),
            ("socks5h://proxy:9050", Socks5h, 9050),
        ] {
            let choice = chosen("https://x.test/", &[("ALL_PROXY", value)]).unwrap().unwrap();
            let proxy = choice.proxy;
            assert_eq!((proxy.host(), proxy.port()), ("proxy", port), "{value}");
            assert_eq!(proxy.protocol(), protocol, "{value}");
        }
        for value in ["me:p%40ss%3A@proxy:1", "http://me:p%40ss%3A@proxy:1"] {
            let choice = chosen("https://x.test/", &[("HTTPS_PROXY", value)]).unwrap().unwrap();
            assert_eq!(choice.variable, "HTTPS_PROXY");
            assert_eq!(
                (choice.proxy.username(), choice.proxy.password()),
                (Some("me"), Some("p@ss:"))
            );
        }
    }

    #[test]
    fn what_cannot_be_read_names_the_variable_and_hides_the_value() {
        for value in [
            "ftp://hunter2",
            "http://",
            "http://hunter2:port",
            "http://hunter2:99999",
            "http://me:hunter2@",
            "http://me:hunter2@proxy:x",
            "http://hun ter2",
            "me:hunter2/#@proxy:1",
            "hunter2\u{fffd}",
            "://hunter2",
        ] {
            let error = chosen("https://x.test/", &[("HTTPS_PROXY", value)]).err();
            let error = error.unwrap_or_else(|| panic!("{value} was accepted"));
            let shown = format!("{error} {error:?}");
            assert!(shown.contains("HTTPS_PROXY") && !shown.contains("ter2"), "{shown}");
            assert_eq!(error.exit_code(), 2);
        }
    }

    #[test]
    fn no_proxy_entries_cover_what_they_say() {
        for (entries, url, is_covered) in [
            ("*", "https://any.test/", true),
            ("a.test", "https://a.test/", true),
            ("A.Test", "https://a.tEST./", true),
            ("a.test", "https://sub.a.test/", true),
            (".a.test", "https://a.test/", true),
            (".a.test", "https://sub.a.test/", true),
            ("*.a.test", "https://sub.a.test/", true),
            ("a.test", "https://nota.test/", false),
            ("a.test", "https://a.test.evil.test/", false),
            ("a, b.test", "https://b.test/", true),
            ("a b.test", "https://b.test/", true),
            (" , ,", "https://b.test/", false),
            (".", "https://b.test/", false),
            ("a.test:443", "https://a.test/", true),
            ("a.test:443", "https://a.test:8443/", false),
            ("a.test:8443", "https://a.test:8443/", true),
            ("a.test:x", "https://a.test/", false),
            ("10.1.2.3", "https://10.1.2.3/", true),
            ("10.1.2.3:443", "https://10.1.2.3/", true),
            ("1.2.3", "https://10.1.2.3/", false),
            ("0.2.3", "https://10.0.2.3/", false),
            ("10.0.0.0/8", "https://10.1.2.3/", true),
            ("10.0.0.0/8", "https://11.1.2.3/", false),
            ("10.0.0.0/33", "https://10.1.2.3/", false),
            ("0.0.0.0/0", "https://10.1.2.3/", true),
            ("10.1.2.3/32", "https://10.1.2.3/", true),
            ("10.0.0.0/8", "https://a.test/", false),
            ("2001:db8::1", "https://[2001:db8::1]/", true),
            ("2001:DB8:0::1", "https://[2001:db8::1]/", true),
            ("[2001:db8::1]", "https://[2001:db8::1]/", true),
            ("[2001:db8::1]:443", "https://[2001:db8::1]/", true),
            ("[2001:db8::1]:1", "https://[2001:db8::1]/", false),
            ("2001:db8::/32", "https://[2001:db8::1]/", true),
            ("[2001:db8::]/32", "https://[2001:db8::1]/", true),
            ("2001:db8::/32", "https://[2001:db9::1]/", false),
            ("::/0", "https://[2001:db9::1]/", true),
        ] {
            for variable in ["no_proxy", "NO_PROXY"] {
                let proxied = host(url, &[("ALL_PROXY", "p"), (variable, entries)]);
                assert_eq!(proxied.is_none(), is_covered, "{variable}={entries} {url}");
            }
        }
    }
}
