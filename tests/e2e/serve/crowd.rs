//! Slow clients, idle ones, and more than there may be.

use std::thread;
use std::time::{Duration, Instant};

use super::kit::{Gateway, LIMIT, Setup};
use super::upstream::Upstream;

/// Half a head is waited for ten seconds, from its first byte: one that trickles gains nothing.
#[test]
fn a_head_that_does_not_end_is_given_up_after_ten_seconds() {
    let gateway = Setup::empty().start();
    let gateway = &gateway;
    let bounds = Duration::from_millis(9_500)..Duration::from_secs(15);
    thread::scope(|scope| {
        for begin in ["GET /heal", "G", "GET /healthz HTTP/1.1\r\nHost: localhost\r\n"] {
            let bounds = bounds.clone();
            scope.spawn(move || {
                let mut client = gateway.connect();
                let since = Instant::now();
                client.say(begin);
                let answer = client.answer();
                assert!(answer.is(408).closes() && bounds.contains(&since.elapsed()), "{since:?}");
                assert!(client.is_hung_up_within(Duration::from_secs(3)));
            });
        }
        scope.spawn(|| {
            let mut client = gateway.connect();
            let since = Instant::now();
            client.say("GET /healthz HTTP/1.1\r\nX: ");
            while !client.is_hung_up_within(Duration::from_millis(500)) {
                client.say("x");
                let heard = client.hears_for(Duration::from_millis(100));
                if heard.starts_with("HTTP/1.1 408") {
                    break;
                }
                assert!(since.elapsed() < LIMIT, "it trickles for ever");
            }
            assert!(bounds.contains(&since.elapsed()), "{:?}", since.elapsed());
        });
        // Nobody else waits for them.
        for _ in 0..20 {
            let begin = Instant::now();
            gateway.ask(&gateway.bare("GET", "/healthz")).is(200);
            assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
        }
    });
}

#[test]
fn three_hundred_idle_connections_keep_nobody_waiting() {
    let upstream = Upstream::good();
    let gateway = Gateway::before(&upstream);
    let mut idle: Vec<_> = (0..300).map(|_| gateway.connect()).collect();
    // A third of them have said something.
    for client in idle.iter_mut().step_by(3) {
        client.say("POST /v1/messages HTTP/1.1\r\n");
    }
    let mut slowest = Duration::ZERO;
    for _ in 0..10 {
        let begin = Instant::now();
        gateway.is_well();
        slowest = slowest.max(begin.elapsed());
    }
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    // They were not dropped for it.
    let mut last = idle.pop().expect("300");
    last.say(gateway.prompt().bytes());
    last.answer().is(200);
}

#[test]
fn a_connection_too_many_is_told_so_and_there_is_room_again_later() {
    let upstream = Upstream::start(|_, out| {
        out.events()?;
        out.event("1")?;
        out.pause(LIMIT)
    });
    let gateway = Setup::with(&upstream).set("max_connections", 8).start();
    // Streams that are under way keep their places.
    let busy: Vec<_> = (0..8)
        .map(|_| {
            let mut client = gateway.connect();
            client.say(gateway.prompt().bytes());
            assert_eq!(client.head().expect("a head").status, 200);
            client.chunks_until("data: 1");
            client
        })
        .collect();
    for _ in 0..20 {
        let begin = Instant::now();
        let answer = gateway.ask(&gateway.bare("GET", "/healthz"));
        assert!(answer.is(503).closes() && begin.elapsed() < Duration::from_secs(2));
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    assert_eq!(upstream.prompts().len(), 8);
    drop(busy);
    let begin = Instant::now();
    while gateway.ask(&gateway.bare("GET", "/healthz")).status() != 200 {
        assert!(begin.elapsed() < Duration::from_secs(5), "no room again");
    }
}

/// Clients that keep connections for later do not keep others out.
#[test]
fn idle_connections_make_room_where_there_is_little() {
    let gateway = Setup::empty().set("max_connections", 6).start();
    let idle: Vec<_> = (0..6).map(|_| gateway.connect()).collect();
    let begin = Instant::now();
    while gateway.ask(&gateway.bare("GET", "/healthz")).status() != 200 {
        assert!(begin.elapsed() < Duration::from_secs(5), "no room");
    }
    drop(idle);
}

/// A client that goes away in the middle of what it says leaves nothing behind.
#[test]
fn half_a_request_asks_nobody() {
    let upstream = Upstream::good();
    let gateway = Setup::with(&upstream).set("max_connections", 4).start();
    let whole = gateway.prompt().bytes();
    let in_chunks = gateway.prompt().in_chunks(9).bytes();
    for bytes in [&whole[..20], &whole[..whole.len() - 1], &in_chunks[..in_chunks.len() - 2]] {
        for _ in 0..8 {
            let mut client = gateway.connect();
            client.say(bytes);
        }
        let mut client = gateway.connect();
        client.say(bytes);
        client.finish();
        client.hears_for(Duration::from_millis(100));
    }
    upstream.was_not_asked();
    let begin = Instant::now();
    while gateway.ask(&gateway.prompt()).status() != 200 {
        assert!(begin.elapsed() < Duration::from_secs(5), "no room again");
    }
}

/// The system's own limit may be the lower one. Whoever only holds a connection makes room then, too.
#[test]
fn without_descriptors_left_idle_connections_make_room() {
    let upstream = Upstream::good();
    let gateway = Setup::with(&upstream).start_as(|cmd| cmd.open_files(64));
    let mut idle: Vec<_> = (0..80).map(|_| gateway.connect()).collect();
    let begin = Instant::now();
    // It may be told to come again, but not be left to wait.
    while gateway.ask(&gateway.prompt()).status() != 200 {
        assert!(begin.elapsed() < Duration::from_secs(5), "no room");
    }
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    idle.clear();
    gateway.is_well();
}

#[test]
fn a_prompt_that_trickles_in_is_whole() {
    let upstream = Upstream::good();
    let gateway = Gateway::before(&upstream);
    for ask in [gateway.prompt(), gateway.prompt().in_chunks(11)] {
        let mut client = gateway.connect();
        for byte in ask.bytes() {
            client.say([byte]);
        }
        client.answer().is(200);
    }
    for request in upstream.prompts() {
        assert_eq!(request.body, super::kit::PROMPT);
    }
}

/// Who still talks when it is refused hears why all the same.
#[test]
fn a_refusal_reaches_a_client_that_is_still_sending() {
    let gateway = Setup::empty().set("max_body_mb", 1).start();
    let long = vec![b'x'; 3 * 1024 * 1024];
    for _ in 0..5 {
        let ask = gateway.post("/v1/messages", &long);
        gateway.ask(&ask).is(413);
        gateway.ask(&ask.but("Authorization", "Bearer kf-wrong")).is(401);
    }
}
