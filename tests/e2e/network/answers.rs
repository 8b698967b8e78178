//! How long to wait for an answer, and what an answer may be.

use std::time::{Duration, Instant};

use super::{ME, Variables, World};
use crate::support::command::Output;
use crate::support::idp::{Dialect, Fault, Idp, Times};
use crate::support::tls::{DeadPort, Server};

/// `--timeout 1` and what a busy machine adds.
const SOON: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(50);

/// Exit code 3 and nothing on stdout, in time.
#[track_caller]
fn is_given_up_soon(world: &World, words: &[&str], variables: Variables) -> Output {
    let words = [words, &["--timeout", "1"]].concat();
    let started = Instant::now();
    let out = world.cmd(&words, variables).spawn().wait(2 * SOON);
    out.code(3).stdout_is("").check(started.elapsed() < SOON, "an end in time");
    out
}

#[test]
fn a_server_that_never_answers_is_given_up_in_time() {
    let (world, mute) = (World::plain(), Server::mute());
    for scheme in ["http", "https"] {
        let issuer = format!("{scheme}://{}", mute.address());
        let out = is_given_up_soon(&world, &["provider", "add", "x", "--issuer", &issuer], &[]);
        out.stderr_has(&mute.address());
    }
    for scheme in ["http", "https", "socks5h"] {
        let value = format!("{scheme}://me:hunter2@{}", mute.address());
        let words = ["provider", "add", "x", "--issuer", "https://issuer.test"];
        let out = is_given_up_soon(&world, &words, &[("ALL_PROXY", &value)]);
        out.stderr_has("issuer.test").stderr_has("ALL_PROXY").stderr_lacks("hunter2");
    }
}

#[test]
fn a_server_that_trickles_is_given_up_in_time() {
    let world = World::plain();
    // The last: a TLS handshake record of 16 KB.
    let starts: [(&str, &[u8]); 4] = [
        ("http", b"HTTP/1.1 200 OK\r\nX-Long: "),
        ("http", b"HTTP/1.1 200 OK\r\n\r\n"),
        ("http", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;"),
        ("https", &[22, 3, 3, 0x40, 0]),
    ];
    for (scheme, start) in starts {
        let server = Server::endless(start, b"x", PAUSE);
        let issuer = format!("{scheme}://{}", server.address());
        let out = is_given_up_soon(&world, &["provider", "add", "x", "--issuer", &issuer], &[]);
        out.stderr_has(&server.address());
    }
}

#[test]
fn a_trickling_proxy_is_given_up_in_time() {
    let world = World::plain();
    let starts: [(&str, &[u8]); 2] =
        [("socks5h", &[5, 0, 5, 0, 0, 3, 255]), ("http", b"HTTP/1.1 200 OK\r\nX-Long: ")];
    for (scheme, start) in starts {
        let server = Server::endless(start, b"x", PAUSE);
        let value = format!("{scheme}://{}", server.address());
        let words = ["provider", "add", "x", "--issuer", "https://issuer.test"];
        is_given_up_soon(&world, &words, &[("ALL_PROXY", &value)]).stderr_has("ALL_PROXY");
    }
}

#[test]
fn a_token_request_that_takes_too_long_changes_nothing() {
    let world = World::plain();
    for fault in [Fault::Hang, Fault::Trickle(20)] {
        world.idp.fault("token_refresh", fault.clone(), Times::Once);
        let (_, file) = world.expired();
        let before = world.sandbox.read(&file);
        is_given_up_soon(&world, &["token", "my-idp"], &[]).stderr_has("within 1 s");
        assert_eq!(world.sandbox.read(&file), before);

        let callback = world.approved();
        let is_unspent = matches!(fault, Fault::Hang);
        world.idp.fault("token_exchange", fault, Times::Once);
        is_given_up_soon(&world, &["login", "--callback-url", &callback], &[]);
        if is_unspent {
            world.finish(&callback, &[]).ok();
        }
    }
    assert_eq!(world.idp.count("token_refresh"), 2);
}

#[test]
fn an_endless_answer_is_cut_off() {
    let world = World::plain();
    let starts: [(&[u8], &[u8]); 4] = [
        (b"HTTP/1.1 200 OK\r\n", b"X: 0123456789012345678901234567890123456789\r\n"),
        (b"HTTP/1.1 200 OK\r\n\r\n", &[b'x'; 4096]),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"4\r\nxxxx\r\n"),
        (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    ];
    for (start, piece) in starts {
        let server = Server::endless(start, piece, Duration::ZERO);
        let issuer = format!("http://{}", server.address());
        let out = world.run(&["provider", "add", "x", "--issuer", &issuer], &[]);
        out.code(1).stdout_is("").stderr_has(&format!("{} sent ", server.address()));
    }
}

#[test]
fn a_server_that_cannot_be_reached_is_temporary() {
    let world = World::plain();
    let resetting = Server::resetting();
    let nobody = DeadPort::new();
    let nowhere = format!("https://{}", nobody.address());
    // The second name is too long for DNS, so that one at least fails without a resolver.
    let too_long = format!("https://{}.test", "x".repeat(70));
    for issuer in [
        "https://nowhere.invalid",
        &too_long,
        &nowhere,
        &format!("http://{}", resetting.address()),
        &format!("https://{}", resetting.address()),
    ] {
        let out = world.run(&["provider", "add", "x", "--issuer", issuer, "--timeout", "10"], &[]);
        let host = issuer.split_once("://").map_or("", |(_, host)| host);
        out.code(3).stdout_is("").stderr_has(&format!("cannot reach {host}: "));
    }
    for fault in [Fault::Drop, Fault::CutShort] {
        world.idp.fault("token_refresh", fault, Times::Once);
        world.fails(3, &[]).stderr_has("cannot reach 127.0.0.1");
    }
    // A refresh token may be good only once, so it is not sent again unasked.
    assert_eq!(world.idp.count("token_refresh"), 2);
}

#[test]
fn a_redirected_token_request_is_not_followed() {
    let (world, elsewhere) = (World::plain(), Idp::start(Dialect::oidc()));
    let location = elsewhere.url("/token");
    for (status, head) in [
        ("301", &b"HTTP/1.1 301 Moved\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n"[..]),
        ("302", b"HTTP/1.1 302 Found\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n"),
        ("303", b"HTTP/1.1 303 See Other\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n"),
        ("307", b"HTTP/1.1 307 Temporary\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n"),
        ("308", b"HTTP/1.1 308 Permanent\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n"),
    ] {
        let moved = Server::endless(head, b"", PAUSE);
        world.add_provider("moved", &format!("http://{}", moved.address()));
        world.sandbox.write_oauth("moved", ME, &world.idp.grant(), -60);
        world.run(&["token", "moved"], &[]).code(1).stdout_is("").stderr_has(status);
        world.idp.reset_records();
        assert_eq!(moved.count(), 1, "{status}");
    }
    world.idp.fault("token_refresh", Fault::Redirect(location.clone()), Times::Once);
    world.fails(1, &[]);
    let callback = world.approved();
    world.idp.fault("token_exchange", Fault::Redirect(location), Times::Once);
    world.finish(&callback, &[]).code(1).stdout_is("");
    assert!(elsewhere.requests().is_empty());
    world.finish(&callback, &[]).ok();
}

#[test]
fn a_body_of_megabytes_is_not_read_to_its_end() {
    for world in [World::plain(), World::secured("127.0.0.1")] {
        let trust = [world.trust()];
        let variables = if world.tls.is_some() { &trust[..] } else { &[] };
        let large = format!("{{\"x\":\"{}\"}}", "x".repeat(5_000_000));
        for (status, code) in [(200, 1), (400, 1), (500, 3)] {
            let fault = Fault::body(status, "application/json", large.clone());
            world.idp.fault("token_refresh", fault, Times::Once);
            let out = world.fails(code, variables);
            out.check(out.stderr.len() < 1000, "a short message");
        }
        let fault = Fault::body(200, "application/json", large.clone());
        world.idp.fault("userinfo", fault, Times::Once);
        let out = world.finish(&world.approved(), variables);
        out.ok().stderr_has("warning: could not ask who signed in").stderr_has("1 MiB");
    }
}
