//! Which proxy a request goes through, and what is said when it does not serve.

use super::World;
use super::fake_proxy::Proxy;
use super::sent::user_agent;
use crate::support::tls::{Ca, DeadPort, Server};

#[test]
fn https_goes_through_the_proxy_that_a_variable_names() {
    let world = World::secured("issuer.test");
    let connect = Proxy::connect(world.tls_port(), "me:p@ss:word");
    let socks = Proxy::socks5(world.tls_port(), "me", "p@ss:word");
    for (variable, scheme, proxy) in [
        ("HTTPS_PROXY", "http://", &connect),
        ("https_proxy", "", &connect),
        ("ALL_PROXY", "http://", &connect),
        ("all_proxy", "socks5h://", &socks),
        ("ALL_PROXY", "socks5h://", &socks),
        ("HTTPS_PROXY", "socks5h://", &socks),
    ] {
        let before = proxy.passed(world.target());
        let value = format!("{scheme}me:p%40ss%3Aword@{}", proxy.server.address());
        world.whole_life(&[world.trust(), (variable, &value), ("NO_PROXY", "other.test")]);
        assert!(proxy.passed(world.target()) >= before + 3, "{variable}: {:#?}", proxy.asked());
        assert!(proxy.asked().iter().all(|asked| asked.is_passed));
    }
    for asked in connect.asked() {
        assert!(asked.head.contains(&user_agent()), "{}", asked.head);
    }
    // A private CA behind a proxy is refused as it is without one.
    let value = format!("http://me:p%40ss%3Aword@{}", connect.server.address());
    world.fails(1, &[("HTTPS_PROXY", &value)]).stderr_has("try: set KEYFOB_CA_FILE");
}

#[test]
fn a_proxy_may_itself_be_behind_tls() {
    let world = World::secured("issuer.test");
    let proxy = Proxy::connect(world.tls_port(), "me:word");
    let ca = Ca::new("the proxy's");
    let certificate = ca.certify("127.0.0.1", super::GOOD_YEARS);
    let front = Server::tls(certificate, proxy.server.port);
    let value = format!("https://me:word@{}", front.address());
    let both = world.sandbox.work().join("both.pem");
    let issuers = std::fs::read_to_string(&world.ca_file).unwrap();
    std::fs::write(&both, issuers + &ca.pem()).unwrap();
    let both = both.display().to_string();
    world.whole_life(&[("SSL_CERT_FILE", &both), ("HTTPS_PROXY", &value)]);
    assert!(proxy.passed(world.target()) >= 3);

    let out = world.fails(1, &[world.trust(), ("HTTPS_PROXY", &value)]);
    out.stderr_has("issuer unknown here").stderr_lacks("word@");
}

#[test]
fn a_proxy_that_does_not_serve_is_named_by_its_variable() {
    let world = World::secured("issuer.test");
    let (wants_another, overloaded) = (Proxy::connect(1, "you:else"), Proxy::refusing(503));
    let socks = Proxy::socks5(1, "you", "else");
    let (down, resetting) = (DeadPort::new(), Server::resetting());
    for (code, scheme, address, cause) in [
        (1, "http", wants_another.server.address(), "user name or password"),
        (3, "http", overloaded.server.address(), "503"),
        (3, "http", down.address(), "connection refused"),
        (3, "socks5h", down.address(), "connection refused"),
        (3, "http", resetting.address(), "reset"),
        (3, "socks5h", resetting.address(), "reset"),
        (3, "socks5h", socks.server.address(), "password"),
    ] {
        for variable in ["HTTPS_PROXY", "all_proxy"] {
            let value = format!("{scheme}://me:hunter2@{address}");
            let out = world.fails(code, &[world.trust(), (variable, &value)]);
            out.stderr_has(&format!("cannot reach {} through the proxy", world.target()));
            out.stderr_has(variable).stderr_has(cause).stderr_lacks("hunter2");
        }
    }
    assert_eq!(world.tls_count(), 0);
}

#[test]
fn a_proxy_problem_spends_no_login() {
    let world = World::secured("issuer.test");
    let good = Proxy::connect(world.tls_port(), "me:hunter2");
    let mended = format!("http://me:hunter2@{}", good.server.address());
    let mended = [world.trust(), ("HTTPS_PROXY", mended.as_str())];
    let nobody = DeadPort::new();
    let down = format!("http://{}", nobody.address());
    let wrong_password = format!("http://me:wrong@{}", good.server.address());
    for broken in [down.as_str(), "ftp://127.0.0.1", &wrong_password] {
        world.fails_and_can_be_finished(&[world.trust(), ("HTTPS_PROXY", broken)], &mended);
    }
}

/// 0.0.0.0 leads to loopback and yet is not loopback by name: it needs no resolver.
#[test]
fn no_proxy_names_the_hosts_to_reach_directly() {
    let world = World::secured("0.0.0.0");
    let proxy = Proxy::connect(world.tls_port(), "");
    let address = proxy.server.address();
    let with_port = format!("0.0.0.0:{}", world.tls_port());
    for (variable, entries) in [
        ("NO_PROXY", "0.0.0.0"),
        ("no_proxy", "other.test, 0.0.0.0/8"),
        ("NO_PROXY", "*"),
        ("no_proxy", &with_port),
    ] {
        world.whole_life(&[world.trust(), ("ALL_PROXY", &address), (variable, entries)]);
    }
    assert_eq!(proxy.server.count(), 0);
    for entries in ["", "0.0.0.1", "0.0.0.0:1", "127.0.0.0/8", "0.0"] {
        world.whole_life(&[world.trust(), ("ALL_PROXY", &address), ("NO_PROXY", entries)]);
        assert!(proxy.passed(world.target()) > 0, "NO_PROXY={entries}");
    }
}

#[test]
fn a_proxy_variable_that_cannot_be_read_is_a_usage_error() {
    let world = World::secured("issuer.test");
    for value in ["ftp://hunter2", "http://me:hunter2@", "http://hunter2:99999", "http://hun ter2"]
    {
        for variable in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
            let out = world.fails(2, &[world.trust(), (variable, value)]);
            out.stderr_has(variable).stderr_lacks("ter2").stderr_has("\n  try: ");
        }
    }
}

#[test]
fn loopback_is_never_proxied() {
    let proxy = Proxy::connect(1, "");
    let nobody = DeadPort::new();
    let dead = format!("http://{}", nobody.address());
    let counting = format!("http://{}", proxy.server.address());
    for world in [World::plain(), World::secured("127.0.0.1"), World::secured("localhost")] {
        for value in [dead.as_str(), &counting, "ftp://nonsense"] {
            let names = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY"];
            let mut variables: Vec<_> = names.iter().map(|name| (*name, value)).collect();
            if world.tls.is_some() {
                variables.push(world.trust());
            }
            world.whole_life(&variables);
        }
    }
    assert_eq!(proxy.server.count(), 0);
}
