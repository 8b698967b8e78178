//! How an answer passes: piece by piece as it comes, no faster than the caller takes it, and never
//! ended where the provider did not end it.

use std::time::{Duration, Instant};

use super::client::Client;
use super::kit::{Gateway, LIMIT};
use super::upstream::Upstream;

/// What a shared machine may add to a way of two hops.
const AT_ONCE: Duration = Duration::from_millis(50);
const PAUSE: Duration = Duration::from_millis(100);
/// A machine that is busy for a moment proves nothing, so the best of some counts.
const ROUNDS: usize = 5;

/// Asks, and reads the beginning of an answer that has to be a stream.
#[track_caller]
fn streaming(gateway: &Gateway) -> Client {
    let mut client = gateway.connect();
    client.say(gateway.prompt().bytes());
    let head = client.head().expect("a head");
    assert_eq!((head.status, head.header("transfer-encoding")), (200, Some("chunked")));
    assert_eq!(head.header("content-type"), Some("text/event-stream"));
    client
}

#[test]
fn each_event_arrives_when_it_was_sent() {
    let upstream = Upstream::start(|_, out| {
        out.events()?;
        for number in 0..6 {
            out.event(number)?;
            out.pause(PAUSE)?;
        }
        out.end()
    });
    let gateway = Gateway::before(&upstream);
    let wanted: Vec<_> = (0..6).map(|number| format!("data: {number}\n\n")).collect();
    let mut slowest = Vec::new();
    for round in 0..ROUNDS {
        let mut client = streaming(&gateway);
        let mut arrived = Vec::new();
        while let Some(chunk) = client.chunk().expect("it is whole") {
            arrived.push((Instant::now(), String::from_utf8(chunk).expect("text")));
        }
        let texts: Vec<_> = arrived.iter().map(|(_, text)| text.clone()).collect();
        assert_eq!(texts.concat(), wanted.concat());
        let sent = upstream.sent();
        let late = arrived.iter().zip(&sent[round * 6..]).map(|((at, _), sent)| *at - *sent);
        slowest.push((texts == wanted).then(|| late.max().expect("events")));
        if slowest.last().is_some_and(|late| late.is_some_and(|late| late < AT_ONCE)) {
            return;
        }
    }
    panic!("not one by one within {AT_ONCE:?}: {slowest:?}");
}

/// The head comes with the first event and not with the last; a silent beginning is told after a while.
#[test]
fn a_stream_that_is_silent_at_first_begins_for_the_caller_too() {
    let upstream = Upstream::start(|_, out| {
        out.events()?;
        out.pause(Duration::from_secs(5))?;
        out.event("late")?;
        out.end()
    });
    let gateway = Gateway::before(&upstream);
    let begin = Instant::now();
    let mut client = streaming(&gateway);
    let waited = begin.elapsed();
    assert!(waited < Duration::from_millis(4_500), "{waited:?}");
    assert_eq!(client.chunks_until("late"), "data: late\n\n");
    assert!(client.chunk().expect("it ends").is_none());
}

#[test]
fn pieces_pass_as_they_came_wherever_they_are_cut() {
    const PIECES: [&[u8]; 7] = [
        b"da",
        b"ta: {\"text\":\"h\xc3",
        b"\xb6\"}\n",
        b"\n",
        b": a comment\r\n\r\nevent: x\r\ndata: 1\r\nid: 7\r\nretry: 5\r\n\r\n",
        b"data",
        b": no end",
    ];
    let upstream = Upstream::start(|_, out| {
        out.events()?;
        for piece in PIECES {
            out.piece(piece)?;
            out.pause(Duration::from_millis(50))?;
        }
        out.end()
    });
    let gateway = Gateway::before(&upstream);
    let is_as_it_came = || {
        let mut client = streaming(&gateway);
        let mut chunks = Vec::new();
        while let Some(chunk) = client.chunk().expect("it is whole") {
            chunks.push(chunk);
        }
        assert_eq!(chunks.concat(), PIECES.concat());
        chunks == PIECES
    };
    assert!((0..ROUNDS).any(|_| is_as_it_came()), "never in the pieces that came");
}

#[test]
fn a_stream_of_many_events_is_whole() {
    let event = |number: usize| format!("{number} {}", "x".repeat(number * 37 % 9_000));
    let upstream = Upstream::start(move |_, out| {
        out.events()?;
        for number in 0..2_000 {
            out.event(event(number))?;
        }
        out.end()
    });
    let gateway = Gateway::before(&upstream);
    let wanted: String = (0..2_000).map(|n| format!("data: {}\n\n", event(n))).collect();
    for _ in 0..3 {
        let answer = gateway.ask(&gateway.prompt());
        assert!(answer.is(200).text() == wanted, "{} bytes", answer.body.len());
    }
}

/// Between the two ends the system holds some megabytes, and the gateway nearly nothing.
#[test]
fn a_caller_that_does_not_read_stops_the_provider_from_sending() {
    const PIECES: usize = 1_500;
    fn piece(number: usize) -> String {
        format!("data: {number} {}\n\n", "x".repeat(64 * 1024))
    }
    let upstream = Upstream::start(|_, out| {
        out.events()?;
        for number in 0..PIECES {
            out.piece(piece(number))?;
        }
        out.end()
    });
    let gateway = Gateway::before(&upstream);
    let mut client = streaming(&gateway);
    let total = (0..PIECES).map(|number| piece(number).len()).sum::<usize>();
    let begin = Instant::now();
    let (mut sent, mut since) = (0, Instant::now());
    while since.elapsed() < Duration::from_secs(1) {
        let now = upstream.sent_bytes();
        if now != sent {
            (sent, since) = (now, Instant::now());
        }
        assert!(begin.elapsed() < LIMIT, "it never stops sending");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(sent > 0 && sent < total / 2, "{sent} of {total} bytes were sent to nobody");
    let memory = memory_kb(gateway.running.pid());
    assert!(memory < 40 * 1024, "{memory} KB are held for nobody");
    let mut text = Vec::new();
    while let Some(chunk) = client.chunk().expect("it is whole") {
        text.extend(chunk);
    }
    assert_eq!(text.len(), total);
    assert!(text == (0..PIECES).map(piece).collect::<String>().into_bytes(), "all of it, in order");
}

/// What a process has in memory now.
fn memory_kb(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a size");
    line.split_whitespace().nth(1).and_then(|kb| kb.parse().ok()).expect("a number")
}

#[test]
fn a_provider_that_breaks_off_is_no_clean_end() {
    type Cut = fn(&mut super::upstream::Out) -> std::io::Result<()>;
    let in_chunks: Cut = |out| {
        out.events()?;
        out.event("1")?;
        out.pause(PAUSE)
    };
    let in_a_chunk: Cut = |out| {
        out.events()?;
        out.event("1")?;
        out.raw("50\r\ndata: 2")?;
        out.pause(PAUSE)
    };
    let in_a_length: Cut = |out| {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
        out.raw(format!("{head}Content-Length: 5000\r\n\r\n{{\"a\":1"))?;
        out.pause(PAUSE)
    };
    let in_a_stream_with_length: Cut = |out| {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n";
        out.raw(format!("{head}Content-Length: 5000\r\n\r\ndata: 1\n\n"))?;
        out.pause(PAUSE)
    };
    for cut in [in_chunks, in_a_chunk, in_a_length, in_a_stream_with_length] {
        let upstream = Upstream::start(move |_, out| cut(out));
        let gateway = Gateway::before(&upstream);
        let mut client = gateway.connect();
        client.say(gateway.prompt().bytes());
        let answer = client.try_answer();
        assert!(answer.is_err(), "a clean end: {answer:?}");
        upstream.only();
    }
}

/// Nothing went to the caller yet, so it hears in its own dialect what happened.
#[test]
fn a_provider_that_breaks_off_before_the_beginning_is_a_bad_gateway() {
    type Cut = fn(&mut super::upstream::Out) -> std::io::Result<()>;
    let at_once: Cut = |_| Ok(());
    let in_the_head: Cut = |out| out.raw("HTTP/1.1 200 OK\r\nContent-Type: text/ev");
    let after_the_head: Cut = |out| out.events();
    let no_http: Cut = |out| out.raw("SSH-2.0-OpenSSH_9.9\r\n\r\n");
    let two_lengths: Cut =
        |out| out.raw("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 5\r\n\r\nabcde");
    for cut in [at_once, in_the_head, after_the_head, no_http, two_lengths] {
        let upstream = Upstream::start(move |_, out| cut(out));
        let gateway = Gateway::before(&upstream);
        let answer = gateway.ask(&gateway.prompt());
        let words = answer.is(502).words("/v1/chat/completions");
        assert!(words.contains("fake/default"), "{words}");
    }
}
