//! Addresses of the public internet: where a public server may send us. What it names could lie in a
//! private network, or become such an address between a look and a connection, so the addresses that
//! are judged are those that are connected to.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs};

use ureq::http::Uri;

use crate::endpoint::{ip, is_loopback};

/// Whether an address belongs to the public internet: not to this machine, a private or carrier's
/// network, one link, a group or no one, also when it stands within an IPv6 address.
pub fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, ..] = ip.octets();
    // 100.64/10 is between a carrier and its customers (RFC 6598); 240/4 holds broadcast too.
    let is_shared = a == 100 && b & 0xc0 == 64;
    !(a == 0 || ip.is_loopback() || ip.is_private() || ip.is_link_local() || is_shared || a >= 224)
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    // Mapped, or of the form ::1.2.3.4; :: and ::1 with them.
    if let Some(v4) = ip.to_ipv4() {
        return is_public_v4(v4);
    }
    let v4 = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match ip.segments() {
        // NAT64 (RFC 6052), and its form for a network's own use (RFC 8215).
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => is_public_v4(v4(high, low)),
        [0x64, 0xff9b, 1, ..] => false,
        // 6to4 (RFC 3056).
        [0x2002, high, low, ..] => is_public_v4(v4(high, low)),
        // fc00::/7, then fe80::/10 and fec0::/10, then ff00::/8.
        [first, ..] => first & 0xfe00 != 0xfc00 && first & 0xff80 != 0xfe80 && first < 0xff00,
    }
}

/// Whether all addresses of a host, as a URL writes it, are public. Looks a name up, which can take as
/// long as the system's resolver does; one that has no address counts as public.
pub fn is_public_host(host: &str, port: u16) -> bool {
    if let Some(ip) = ip(host) {
        return is_public(ip);
    }
    if is_loopback(host) {
        return false;
    }
    let addresses = (host, port).to_socket_addrs();
    addresses.map_or(true, |mut addresses| addresses.all(|address| is_public(address.ip())))
}

/// The same of a URL's host; no URL is not public.
pub fn is_public_url(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    let port = uri.port_u16().unwrap_or(443);
    uri.host().is_some_and(|host| is_public_host(host, port))
}

/// Whether a host that a proxy will look up is no public address to begin with: nobody here knows
/// where a name leads there. Short forms of an address (`127.1`, `0x7f000001`) are none, as a proxy
/// may read them like the C library does.
pub fn is_private_literal(host: &str) -> bool {
    if let Some(ip) = ip(host) {
        return !is_public(ip);
    }
    let name = host.trim_end_matches('.');
    let last = name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    is_loopback(name) || last.starts_with("0x") || last.bytes().all(|b| b.is_ascii_digit())
}

const OBJECTION: &str = "points to an address of a private network";

/// Whether an error is a refusal of `Names`.
pub fn is_objection(what: &str) -> bool {
    what.ends_with(OBJECTION)
}

/// The refusal, on its way through ureq.
#[derive(Debug)]
pub struct Private;

impl fmt::Display for Private {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(OBJECTION)
    }
}

impl std::error::Error for Private {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::client::Client;
    use crate::secret::Secret;
    use std::net::TcpListener;
    use ureq::http::Request;

    #[test]
    fn private_addresses_are_known_in_every_dress() {
        for (inside, outside) in [
            ("0.0.0.0 0.255.255.255", "1.0.0.0"),
            ("10.0.0.0 10.255.255.255", "9.255.255.255 11.0.0.0"),
            ("100.64.0.0 100.127.255.255", "100.63.255.255 100.128.0.0"),
            ("127.0.0.0 127.0.0.1 127.255.255.255", "126.255.255.255 128.0.0.0"),
            ("169.254.0.0 169.254.169.254 169.254.255.255", "169.253.255.255 169.255.0.0"),
            ("172.16.0.0 172.31.255.255", "172.15.255.255 172.32.0.0"),
            ("192.168.0.0 192.168.255.255", "192.167.255.255 192.169.0.0"),
            ("224.0.0.0 239.255.255.255 240.0.0.0 255.255.255.255", "223.255.255.255"),
            (":: ::1", "2606:4700::1111"),
            ("fc00:: fdff:ffff:: fd00:ec2::254", "fbff:: 2001:4860:4860::8888"),
            ("fe80:: febf:ffff:: fec0:: feff::", "fe00:: fe7f:ffff::"),
            ("ff00:: ff02::1 ffff::", "3fff:ffff::"),
            ("::ffff:127.0.0.1 ::ffff:10.1.2.3 ::ffff:169.254.169.254", "::ffff:8.8.8.8"),
            ("::127.0.0.1 ::10.1.2.3", "::8.8.8.8"),
            ("64:ff9b::127.0.0.1 64:ff9b::192.168.1.1 64:ff9b:1::808:808", "64:ff9b::8.8.8.8"),
            ("2002:7f00:1:: 2002:a00:1::5 2002:a9fe:a9fe::", "2002:808:808::"),
        ] {
            for (addresses, public) in [(inside, false), (outside, true)] {
                for address in addresses.split(' ') {
                    assert_eq!(is_public(address.parse().unwrap()), public, "{address}");
                    let host =
                        if address.contains(':') { format!("[{address}]") } else { address.into() };
                    assert_eq!(is_public_host(&host, 443), public, "{host}");
                    assert_eq!(is_private_literal(&host), !public, "{host}");
                }
            }
        }
    }

    #[test]
    fn names_are_judged_by_where_they_lead() {
        assert!(!is_public_host("localhost", 80));
        assert!(!is_public_host("127.1", 80), "the C library knows short forms");
        assert!(is_public_host("no-such-name.invalid", 80));
        for host in ["localhost", "LOCALHOST.", "127.1", "2130706433", "0x7f.1", "10.0.0.1."] {
            assert!(is_private_literal(host), "{host}");
        }
        for host in ["x.example", "10.0.0.1.example", "1x.0y", "8.8.8.8"] {
            assert!(!is_private_literal(host), "{host}");
        }
    }

    #[test]
    fn a_guarded_client_does_not_even_connect() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = Client::new_guarded(5);
        for host in ["127.0.0.1", "localhost"] {
            for scheme in ["http", "https"] {
                let url = format!("{scheme}://{host}:{port}/secret?code=hunter2");
                let request = || Request::get(&url).body(Secret::new("")).unwrap();
                let sent = client.send(request()).err().unwrap();
                let opened = client.open(request()).err().unwrap();
                let patient = client.open_patient(request(), 5, None).err().unwrap();
                for error in [sent, opened, patient] {
                    let wanted = format!("{host}:{port} points to an address of a private network");
                    assert!(is_objection(&error.to_string()));
                    assert_eq!((error.to_string(), error.exit_code()), (wanted, 1));
                }
            }
        }
        let nobody = listener.accept().unwrap_err();
        assert_eq!(nobody.kind(), std::io::ErrorKind::WouldBlock);
    }
}
