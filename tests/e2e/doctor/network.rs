//! Faults on the way to the servers: proxy, name, connection, certificate, clock, discovery.

use std::io::Write;

use serde_json::{Value, json};

use super::{doctor, fault, findings, only, text};
use crate::network::fake_proxy::Proxy;
use crate::support::command::Cmd;
use crate::support::idp::encoding::{http_date_at, now_s};
use crate::support::idp::{Dialect, Grant, Idp};
use crate::support::tls::{Ca, DeadPort, Server};
use crate::token::place::{FRESH_S, ME, Place};

/// A server that answers everything with its own idea of the time.
fn clock(ahead_s: i64, age_s: Option<i64>) -> Server {
    Server::start(move |mut stream, agents| {
        agents.read(&mut stream)?;
        let date = http_date_at(now_s().saturating_add_signed(ahead_s));
        let age = age_s.map_or(String::new(), |age_s| format!("Age: {age_s}\r\n"));
        let head = format!("HTTP/1.1 404 Not Found\r\nDate: {date}\r\n{age}Content-Length: 0\r\n");
        stream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes())
    })
}

/// A home with a provider `p0`, `p1`… at each of the origins, and one account of each.
fn with_origins(origins: &[&str]) -> Place {
    let place = Place::new();
    let mut providers = json!({});
    for (at, origin) in origins.iter().enumerate() {
        providers[format!("p{at}")] = json!({
            "client_id": "demo-client",
            "authorize_url": format!("{origin}/authorize"),
            "token_url": format!("{origin}/token"),
        });
    }
    place.home.write_config(&json!({"providers": providers}));
    let grant = Grant {
        access_token: "access-marker".to_owned(),
        refresh_token: "refresh-marker".to_owned(),
    };
    for at in 0..origins.len() {
        place.home.write_oauth(&format!("p{at}"), ME, &grant, FRESH_S);
    }
    place
}

/// A resolver that does not answer must not hold the tests up for long.
fn hasty(place: &Place) -> Cmd {
    doctor(place).env("RES_OPTIONS", "timeout:1 attempts:1").arg("--timeout").arg("3")
}

fn origin(server: &Server) -> String {
    format!("http://{}", server.address())
}

#[test]
fn a_skewed_clock_is_told_by_the_servers_date() {
    for (ahead_s, wanted, side) in [
        (0, &[][..], ""),
        (40, &[], ""),
        (-120, &[("clock_skew", "warning")], "2 min ahead of"),
        (120, &[("clock_skew", "warning")], "behind"),
        (-2_645, &[("clock_skew", "error")], "44 min ahead of"),
        (86_410, &[("clock_skew", "error")], "24 h behind"),
    ] {
        let server = clock(ahead_s, None);
        let output = doctor(&with_origins(&[&origin(&server)])).run();
        only(&output, wanted);
        if !wanted.is_empty() {
            let found = fault(&output, "clock_skew");
            assert!(text(&found, "what").contains(side), "{found}");
            assert!(text(&found, "what").contains(&server.address()), "{found}");
        }
        assert_eq!(server.count(), 1);
    }
}

/// RFC 9111, 5.1: `Age` is how long the answer lay in a cache.
#[test]
fn an_answer_out_of_a_cache_does_not_accuse_the_clock() {
    let server = clock(-4_000, Some(4_000));
    only(&doctor(&with_origins(&[&origin(&server)])).run(), &[]);
}

#[test]
fn one_server_that_differs_from_the_others_is_a_warning() {
    let (right, wrong) = (clock(0, None), clock(9_000, None));
    let output = doctor(&with_origins(&[&origin(&right), &origin(&wrong)])).run();
    only(&output, &[("clock_skew", "warning")]);
    let found = fault(&output, "clock_skew");
    assert!(text(&found, "what").contains(&wrong.address()), "{found}");
    assert!(text(&found, "cause").contains(&right.address()), "{found}");
}

#[test]
fn a_name_that_cannot_be_found_is_told() {
    let server = clock(0, None);
    let place = with_origins(&[&origin(&server), "https://nowhere.invalid"]);
    let output = hasty(&place).run();
    only(&output, &[("dns_failed", "error")]);
    let found = fault(&output, "dns_failed");
    assert!(text(&found, "what").contains("nowhere.invalid"), "{found}");
}

#[test]
fn a_machine_without_network_is_one_warning() {
    let place = with_origins(&["https://one.invalid", "https://two.invalid"]);
    let output = hasty(&place).run();
    only(&output, &[("offline", "warning")]);
    let found = fault(&output, "offline");
    assert!(text(&found, "what").contains("one.invalid and two.invalid"), "{found}");
}

#[test]
fn a_server_that_does_not_answer_is_told() {
    let (down, mute, resetting) = (DeadPort::new(), Server::mute(), Server::resetting());
    let origins = [&down.address(), &mute.address(), &resetting.address()];
    for (address, cause) in origins.into_iter().zip(["refused", "within 1 s", "reset"]) {
        let place = with_origins(&[&format!("http://{address}")]);
        let output = doctor(&place).arg("--timeout").arg("1").run();
        only(&output, &[("host_unreachable", "error")]);
        let found = fault(&output, "host_unreachable");
        assert!(text(&found, "what").contains(address.as_str()), "{found}");
        assert!(text(&found, "cause").contains(cause), "{found}");
    }
    // 0.0.0.0 leads to loopback and yet is not loopback by name.
    let place = with_origins(&[&format!("https://0.0.0.0:{}", down.port)]);
    let output = doctor(&place).run();
    only(&output, &[("host_unreachable", "error")]);
    assert_eq!(text(&fault(&output, "host_unreachable"), "cause"), "connection refused");
}

/// Four servers that say nothing take as long as one.
#[test]
fn servers_are_asked_side_by_side() {
    let mute: Vec<_> = (0..4).map(|_| Server::mute()).collect();
    let origins: Vec<_> = mute.iter().map(origin).collect();
    let place = with_origins(&origins.iter().map(String::as_str).collect::<Vec<_>>());
    let begun = std::time::Instant::now();
    let output = doctor(&place).arg("--timeout").arg("2").run();
    assert_eq!(super::faults(&output).len(), 4);
    assert!(begun.elapsed() < std::time::Duration::from_secs(7), "{:?}", begun.elapsed());
}

/// A server behind TLS, and where it is.
fn secured(host: &str) -> (Idp, Server, Ca, String) {
    let (idp, ca) = (Idp::start(Dialect::oidc()), Ca::new("ours"));
    let to = idp.origin().rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    let tls = Server::tls(ca.certify(host, (2020, 4000)), to);
    let origin = format!("https://{host}:{}", tls.port);
    (idp, tls, ca, origin)
}

#[test]
fn a_certificate_of_an_unknown_issuer_is_told_with_its_cure() {
    for host in ["127.0.0.1", "0.0.0.0"] {
        let (idp, _tls, ca, origin) = secured(host);
        let place = with_origins(&[&origin]);
        let output = doctor(&place).run();
        only(&output, &[("host_untrusted", "error")]);
        let found = fault(&output, "host_untrusted");
        assert!(text(&found, "fix").contains("KEYFOB_CA_FILE"), "{found}");
        assert!(idp.requests().is_empty());
        let ca_file = ca.write(&place.home.work().join("ca.pem"));
        only(&doctor(&place).env("KEYFOB_CA_FILE", &ca_file).run(), &[]);
        assert_eq!(idp.requests().len(), 1);
    }
}

#[test]
fn a_bad_ca_variable_is_told_once_and_not_again_for_each_server() {
    let (_idp, tls, _ca, origin) = secured("127.0.0.1");
    let output = doctor(&with_origins(&[&origin])).env("SSL_CERT_FILE", "/nowhere").run();
    only(&output, &[("ca_file_unreadable", "error")]);
    assert_eq!(tls.count(), 0);
}

#[test]
fn a_dead_proxy_is_told_by_its_variable_and_never_by_its_password() {
    let down = DeadPort::new();
    for (variable, scheme) in [("HTTPS_PROXY", "http"), ("all_proxy", "socks5h")] {
        let value = format!("{scheme}://me:hunter2@{}", down.address());
        // Two servers, one finding; neither name is looked up here.
        let place = with_origins(&["https://one.invalid", "https://two.invalid"]);
        let output = doctor(&place).env(variable, &value).run();
        only(&output, &[("proxy_unreachable", "error")]);
        let found = fault(&output, "proxy_unreachable");
        assert!(text(&found, "what").contains(&down.address()), "{found}");
        assert!(text(&found, "cause").contains("connection refused"), "{found}");
        assert_eq!(text(&found, "fix"), format!("unset {variable}"));
        assert!(!output.stdout.contains("hunter2") && !output.stderr.contains("hunter2"));
    }
    let place = with_origins(&["https://one.invalid"]);
    let output = hasty(&place).env("HTTPS_PROXY", "http://proxy.invalid:3128").run();
    only(&output, &[("proxy_unreachable", "error")]);
}

#[test]
fn a_proxy_that_refuses_is_told() {
    let refusing = Proxy::refusing(503);
    let place = with_origins(&["https://one.invalid"]);
    let output = doctor(&place).env("HTTPS_PROXY", &refusing.server.address()).run();
    only(&output, &[("host_unreachable", "error")]);
    assert!(text(&fault(&output, "host_unreachable"), "cause").contains("503"));
}

#[test]
fn a_proxy_variable_that_cannot_be_read_is_told_and_loopback_is_asked_all_the_same() {
    let server = clock(9_000, None);
    let place = with_origins(&[&origin(&server), "https://one.invalid"]);
    let output = doctor(&place).env("HTTPS_PROXY", "ftp://hunter2").run();
    only(&output, &[("proxy_malformed", "error"), ("clock_skew", "error")]);
    assert!(!output.stdout.contains("hunter2"), "{}", output.report());
    assert_eq!(server.count(), 1);
    // Without accounts too.
    let place = Place::new();
    let output = super::offline(&place).env("ALL_PROXY", "http://x:99999").run();
    only(&output, &[("proxy_malformed", "error")]);
}

#[test]
fn an_issuer_without_metadata_is_told() {
    let place = Place::new();
    let row = json!({"issuer": place.idp.issuer(), "client_id": "demo-client"});
    place.home.write_config(&json!({"providers": {"my-idp": row}}));
    place.signed_in(FRESH_S);
    only(&doctor(&place).run(), &[]);
    assert_eq!(place.idp.count("discovery"), 1);
    place.idp.serve_metadata(false, false);
    let output = doctor(&place).run();
    only(&output, &[("discovery_failed", "error")]);
    assert_eq!(place.idp.count("token_refresh"), 0);
    let hosts = findings(&output);
    let is_host = |finding: &Value| finding["code"] == "host" && finding["severity"] == "ok";
    assert!(hosts.iter().any(is_host), "the server itself answers");
}
