//! Comments on a silent stream: they keep proxies and clients from giving up, and disturb nothing.

use std::time::Duration;

use serde_json::json;

use super::kit::{Gateway, SECRET, Setup};
use super::upstream::{Out, Upstream, halting};
use crate::support::tls::{Ca, Server};

const COMMENT: &str = ": keep-alive\n\n";
/// Longer than two comments are apart.
const SILENCE: Duration = Duration::from_millis(2_400);

fn quick(upstream: &Upstream) -> Gateway {
    Setup::with(upstream).set("keepalive", 1).start()
}

/// How many comments there are, and what is left without them.
fn without_comments(text: &str) -> (usize, String) {
    (text.matches(COMMENT).count(), text.replace(COMMENT, ""))
}

#[track_caller]
fn asked(gateway: &Gateway) -> String {
    gateway.ask(&gateway.prompt()).is(200).text()
}

#[test]
fn a_silent_stream_is_kept_alive_between_events_and_not_within_one() {
    let upstream = Upstream::start(|_, out| {
        out.events()?;
        out.event("1")?;
        out.pause(SILENCE)?;
        out.piece("data: ha")?;
        out.pause(SILENCE)?;
        out.piece("lf\n")?;
        out.pause(SILENCE)?;
        out.piece("\nda")?;
        out.pause(SILENCE)?;
        out.piece("ta: 3\n\n")?;
        out.end()
    });
    let gateway = quick(&upstream);
    let text = asked(&gateway);
    let (comments, left) = without_comments(&text);
    assert_eq!(left, "data: 1\n\ndata: half\n\ndata: 3\n\n");
    assert!((1..=2).contains(&comments), "{text:?}");
    assert!(text.contains("data: half\n\ndata: 3\n\n"), "{text:?}");
}

/// The end of an event may come in two pieces, in either kind of line end.
#[test]
fn the_end_of_an_event_is_seen_wherever_it_is_cut() {
    let all = [["data: 1\n", "\n"], ["data: 1\r\n\r", "\n"], ["data: 1", "\r\n\r\n"]];
    let upstream = Upstream::start(move |request, out| {
        out.events()?;
        let which: usize = request.param("model").and_then(|m| m.parse().ok()).unwrap_or(0);
        for piece in all[which] {
            out.piece(piece)?;
            out.pause(Duration::from_millis(100))?;
        }
        out.pause(SILENCE)?;
        out.event("2")?;
        out.end()
    });
    let gateway = quick(&upstream);
    let gateway = &gateway;
    std::thread::scope(|scope| {
        for (at, pieces) in all.into_iter().enumerate() {
            scope.spawn(move || {
                let body = format!(r#"{{"model":"{at}"}}"#);
                let text = gateway.ask(&gateway.post("/v1/chat/completions", body)).is(200).text();
                let (comments, left) = without_comments(&text);
                assert_eq!(left, format!("{}data: 2\n\n", pieces.concat()));
                assert!(comments >= 1, "{text:?}");
            });
        }
    });
}

#[test]
fn comments_begin_before_the_first_event_does() {
    let upstream = Upstream::start(|_, out| {
        out.events()?;
        out.pause(Duration::from_millis(4_500))?;
        out.event("1")?;
        out.end()
    });
    let text = asked(&quick(&upstream));
    let (comments, left) = without_comments(&text);
    assert_eq!(left, "data: 1\n\n");
    assert!(comments >= 2 && text.starts_with(COMMENT), "{text:?}");
}

#[test]
fn a_setting_of_zero_is_no_comments() {
    let upstream = Upstream::start(|_, out| {
        out.events()?;
        out.event("1")?;
        out.pause(SILENCE)?;
        out.end()
    });
    let gateway = Setup::with(&upstream).set("keepalive", 0).start();
    assert_eq!(asked(&gateway), "data: 1\n\n");
}

/// A comment in a JSON text would be no comment, and one in a counted body one byte too many.
#[test]
fn what_is_no_open_stream_gets_no_comments() {
    type Slow = fn(&mut Out) -> std::io::Result<()>;
    let json: Slow = |out| {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
        out.raw(format!("{head}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"))?;
        out.piece("{\"a\":\n\n")?;
        out.pause(SILENCE)?;
        out.piece("1}\n\n")?;
        out.end()
    };
    let counted: Slow = |out| {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n";
        out.raw(format!("{head}Content-Length: 11\r\n\r\n{{\"a\":\n\n"))?;
        out.pause(SILENCE)?;
        out.raw("1}\n\n")
    };
    for slow in [json, counted] {
        let upstream = Upstream::start(move |_, out| slow(out));
        assert_eq!(asked(&quick(&upstream)), "{\"a\":\n\n1}\n\n");
    }
}

/// What is compressed is not ours to write into; and no setting has it come so.
#[test]
fn a_compressed_stream_gets_no_comments() {
    let bytes: &[u8] = b"\x1f\x8b\x08 no text at all\n\n";
    let upstream = Upstream::start(move |_, out| {
        out.raw(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: gzip\r\n\
             Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
        )?;
        out.piece(bytes)?;
        out.pause(SILENCE)?;
        out.piece(bytes)?;
        out.end()
    });
    let setup = Setup::with(&upstream).set("keepalive", 1);
    let gateway = setup.set("pass_headers", json!(["Accept-Encoding"])).start();
    let answer = gateway.ask(&gateway.prompt().with("Accept-Encoding", "gzip"));
    assert_eq!(answer.is(200).header("content-encoding"), Some("gzip"));
    assert_eq!(answer.body, [bytes, bytes].concat());
    assert_ne!(upstream.only().header("accept-encoding"), Some("gzip"));
}

/// Some servers know the length of their streams; a comment must not break the count.
#[test]
fn a_stream_of_known_length_arrives_whole() {
    let upstream = Upstream::start(|_, out| {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n";
        out.raw(format!("{head}Content-Length: 18\r\n\r\ndata: 1\n\n"))?;
        out.pause(SILENCE)?;
        out.raw("data: 2\n\n")
    });
    let text = asked(&quick(&upstream));
    let (comments, left) = without_comments(&text);
    assert_eq!(left, "data: 1\n\ndata: 2\n\n");
    assert!(comments >= 1, "{text:?}");
}

#[test]
fn behind_tls_a_stream_is_kept_alive_too() {
    let upstream = Upstream::start(|request, out| {
        if !request.body.contains("stream") {
            return out.json(200, &json!({"answer": "good"}));
        }
        out.events()?;
        out.event("1")?;
        out.pause(SILENCE)?;
        out.event("2")?;
        out.pause(SILENCE)?;
        out.end()
    });
    let ca = Ca::new("keyfob tests");
    let tls = Server::tls(ca.certify("127.0.0.1", (2020, 2090)), upstream.port());
    let row = json!({"base": format!("https://{}/v1", tls.address()), "dialect": "openai_chat"});
    let setup = || {
        let setup = Setup::empty().provider("fake", row.clone()).account("fake/default", SECRET);
        setup.set("keepalive", 1)
    };
    // Nobody vouches for it yet.
    let gateway = setup().start();
    gateway.ask(&gateway.prompt()).is(502).words("/v1/chat/completions");
    upstream.was_not_asked();
    let setup = setup();
    let file = ca.write(&setup.sandbox.work().join("ca.pem"));
    let gateway = setup.env("SSL_CERT_FILE", &file).start();
    gateway.is_well();
    let ask = gateway.post("/v1/chat/completions", r#"{"model":"m","stream":true}"#);
    let text = gateway.ask(&ask).is(200).text();
    let (comments, left) = without_comments(&text);
    assert_eq!(left, "data: 1\n\ndata: 2\n\n");
    assert!(comments >= 2, "{text:?}");
    assert!(text.starts_with(&format!("data: 1\n\n{COMMENT}")), "{text:?}");
}

/// A record of TLS that comes in halves is no silence to despair of, nor is what is in it lost.
#[test]
fn behind_tls_what_comes_in_halves_is_put_together() {
    let event = "x".repeat(9_000);
    let wanted = format!("data: {event}\n\ndata: 2\n\n");
    let upstream = Upstream::start(move |_, out| {
        out.events()?;
        out.event(&event)?;
        out.event("2")?;
        out.end()
    });
    let ca = Ca::new("keyfob tests");
    let tls = Server::tls(ca.certify("127.0.0.1", (2020, 2090)), upstream.port());
    let way = halting(tls.port, SILENCE);
    let row = json!({"base": format!("https://{}/v1", way.address()), "dialect": "openai_chat"});
    let setup = Setup::empty().provider("fake", row).account("fake/default", SECRET);
    let file = ca.write(&setup.sandbox.work().join("ca.pem"));
    let gateway = setup.set("keepalive", 1).env("SSL_CERT_FILE", &file).start();
    let begin = std::time::Instant::now();
    let (_, left) = without_comments(&asked(&gateway));
    assert!(left == wanted, "{} bytes of {}", left.len(), wanted.len());
    assert!(begin.elapsed() >= SILENCE, "it did come in halves");
}

/// A caller behind TLS that goes away is noticed as any other.
#[test]
fn behind_tls_a_caller_that_goes_away_ends_the_request() {
    let upstream = Upstream::start(|_, out| {
        out.events()?;
        out.event("1")?;
        out.pause(super::kit::LIMIT)
    });
    let ca = Ca::new("keyfob tests");
    let tls = Server::tls(ca.certify("127.0.0.1", (2020, 2090)), upstream.port());
    let row = json!({"base": format!("https://{}/v1", tls.address()), "dialect": "openai_chat"});
    let setup = Setup::empty().provider("fake", row).account("fake/default", SECRET);
    let file = ca.write(&setup.sandbox.work().join("ca.pem"));
    let gateway = setup.env("SSL_CERT_FILE", &file).start();
    let mut client = gateway.connect();
    client.say(gateway.prompt().bytes());
    client.head().expect("a head");
    client.chunks_until("data: 1");
    let went = std::time::Instant::now();
    drop(client);
    let seen = upstream.saw_it_go(super::kit::LIMIT);
    assert!(seen - went < Duration::from_secs(3), "{:?}", seen - went);
}
