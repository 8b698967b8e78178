//! Whoever goes away ends both sides; and who is told to stop finishes what it began.

use std::time::{Duration, Instant};

use serde_json::json;

use super::kit::{Gateway, LIMIT, Setup};
use super::upstream::Upstream;

/// A second to notice, and room for a busy machine.
const SOON: Duration = Duration::from_secs(3);

#[test]
fn a_caller_that_goes_away_in_the_middle_is_not_answered_on() {
    let upstream = Upstream::start(|_, out| {
        out.events()?;
        out.event("1")?;
        // Silent, so that only a look at the caller can tell.
        out.pause(LIMIT)
    });
    let gateway = Gateway::before(&upstream);
    let mut client = gateway.connect();
    client.say(gateway.prompt().bytes());
    assert_eq!(client.head().expect("a head").status, 200);
    client.chunks_until("data: 1");
    let went = Instant::now();
    drop(client);
    let seen = upstream.saw_it_go(LIMIT);
    assert!(seen - went < SOON, "{:?}", seen - went);
    gateway.ask(&gateway.get("/v1/models")).is(200);
}

#[test]
fn a_caller_that_goes_away_from_a_busy_stream_is_not_answered_on() {
    let upstream = Upstream::start(|_, out| {
        out.events()?;
        loop {
            out.event("x".repeat(1_000))?;
            out.pause(Duration::from_millis(5))?;
        }
    });
    let gateway = Gateway::before(&upstream);
    let mut client = gateway.connect();
    client.say(gateway.prompt().bytes());
    assert_eq!(client.head().expect("a head").status, 200);
    let went = Instant::now();
    drop(client);
    let seen = upstream.saw_it_go(LIMIT);
    assert!(seen - went < SOON, "{:?}", seen - went);
}

/// The gateway waits for the caller to read then, and not for the provider.
#[test]
fn a_caller_that_goes_away_without_having_read_is_not_answered_on() {
    let upstream = Upstream::start(|_, out| {
        out.events()?;
        loop {
            out.event("x".repeat(64 * 1024))?;
        }
    });
    let gateway = Gateway::before(&upstream);
    let mut client = gateway.connect();
    client.say(gateway.prompt().bytes());
    client.head().expect("a head");
    let (mut sent, mut since) = (0, Instant::now());
    let begin = Instant::now();
    while since.elapsed() < Duration::from_millis(500) {
        let now = upstream.sent_bytes();
        if now != sent {
            (sent, since) = (now, Instant::now());
        }
        assert!(begin.elapsed() < LIMIT, "it never stops sending");
        std::thread::sleep(Duration::from_millis(5));
    }
    let went = Instant::now();
    drop(client);
    let seen = upstream.saw_it_go(LIMIT);
    assert!(seen - went < SOON, "{:?}", seen - went);
}

/// A second one's words behind the first hide its end from a look at the first byte alone.
#[test]
fn a_caller_that_said_more_and_went_away_is_not_answered_on() {
    let upstream = Upstream::start(|_, out| out.pause(LIMIT));
    let gateway = Gateway::before(&upstream);
    let mut client = gateway.connect();
    client.say(gateway.prompt().bytes());
    upstream.has_prompts(1, LIMIT);
    client.say(gateway.prompt().bytes());
    let went = Instant::now();
    drop(client);
    let seen = upstream.saw_it_go(LIMIT);
    assert!(seen - went < SOON, "{:?}", seen - went);
    upstream.only();
}

/// And who stays is answered, to what it said early, too.
#[test]
fn what_is_said_while_an_answer_is_awaited_is_answered_next() {
    let upstream = Upstream::start(|request, out| {
        out.pause(Duration::from_millis(2_300))?;
        out.json(200, &json!({"model": request.param("model")}))
    });
    let gateway = Gateway::before(&upstream);
    let mut client = gateway.connect();
    client.say(gateway.prompt().bytes());
    upstream.has_prompts(1, LIMIT);
    let early = gateway.post("/v1/chat/completions", r#"{"model":"n"}"#).bytes();
    let (first, second) = early.split_at(early.len() / 2);
    client.say(first);
    // Between two looks of the gateway.
    std::thread::sleep(Duration::from_millis(1_200));
    client.say(second);
    assert_eq!(client.answer().is(200).json()["model"], "m");
    assert_eq!(client.answer().is(200).json()["model"], "n");
}

#[test]
fn a_caller_that_goes_away_before_the_answer_began_ends_the_request() {
    let silent = Upstream::start(|_, out| out.pause(LIMIT));
    let begun = Upstream::start(|_, out| {
        out.events()?;
        out.pause(LIMIT)
    });
    let whole = Upstream::start(|_, out| {
        out.raw("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n")?;
        out.pause(LIMIT)
    });
    for upstream in [silent, begun, whole] {
        let gateway = Gateway::before(&upstream);
        let mut client = gateway.connect();
        client.say(gateway.prompt().bytes());
        upstream.has_prompts(1, LIMIT);
        let went = Instant::now();
        drop(client);
        let seen = upstream.saw_it_go(LIMIT);
        assert!(seen - went < SOON, "{:?}", seen - went);
        // It was nobody's fault: the account is asked the next time, and only then.
        upstream.only();
    }
}

#[test]
fn told_to_stop_it_lets_a_stream_end_and_nobody_in() {
    let upstream = Upstream::start(|_, out| {
        out.events()?;
        for number in 0..30 {
            out.event(number)?;
            out.pause(Duration::from_millis(100))?;
        }
        out.end()
    });
    let gateway = Gateway::before(&upstream);
    let mut idle = gateway.connect();
    idle.say(gateway.get("/v1/models").bytes());
    idle.answer().is(200);
    let mut client = gateway.connect();
    client.say(gateway.prompt().bytes());
    assert_eq!(client.head().expect("a head").status, 200);
    let mut text = client.chunks_until("data: 2\n");
    gateway.running.kill("TERM");
    let told = Instant::now();
    while gateway.is_listening() {
        assert!(told.elapsed() < SOON, "it still listens");
    }
    let begin = Instant::now();
    text.push_str(&client.chunks_until("data: 29\n\n"));
    assert!(begin.elapsed() > Duration::from_secs(1), "the stream was under way for a while");
    assert!(client.chunk().expect("it ends").is_none());
    let wanted: String = (0..30).map(|number| format!("data: {number}\n\n")).collect();
    assert_eq!(text, wanted);
    let output = gateway.running.wait(LIMIT);
    output.ok().stdout_is("").stderr_has("stopping once 1 answers are complete");
}

#[test]
fn told_to_stop_it_does_not_wait_for_idle_connections() {
    let gateway = Setup::empty().start();
    let mut idle: Vec<_> = (0..20).map(|_| gateway.connect()).collect();
    for client in idle.iter_mut().step_by(2) {
        client.say(gateway.bare("GET", "/healthz").bytes());
        client.answer().is(200);
    }
    let begin = Instant::now();
    gateway.stop().ok().stdout_is("").stderr_lacks("stopping once");
    assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
}

#[test]
fn a_second_interrupt_ends_it_at_once() {
    let upstream = Upstream::start(|_, out| {
        out.events()?;
        out.event("1")?;
        out.pause(LIMIT)
    });
    let gateway = Gateway::before(&upstream);
    let mut client = gateway.connect();
    client.say(gateway.prompt().bytes());
    client.head().expect("a head");
    client.chunks_until("data: 1");
    gateway.running.kill("INT");
    gateway.running.stderr_line_containing("stopping once 1 answers", LIMIT);
    let begin = Instant::now();
    gateway.running.kill("INT");
    gateway.running.wait(LIMIT).code(130);
    assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
    let end = client.chunk();
    assert!(end.is_err(), "no clean end: {end:?}");
}

/// A request on a connection that was open before is answered, and is its last.
#[test]
fn what_was_asked_while_it_stops_is_the_last_on_its_connection() {
    let upstream = Upstream::start(|request, out| {
        if request.body.contains("slow") {
            out.events()?;
            out.event("1")?;
            out.pause(Duration::from_secs(3))?;
            return out.end();
        }
        out.json(200, &json!({"answer": "good"}))
    });
    let gateway = Gateway::before(&upstream);
    let mut kept = gateway.connect();
    kept.say(gateway.prompt().bytes());
    kept.answer().is(200);
    let mut slow = gateway.connect();
    slow.say(gateway.post("/v1/chat/completions", r#"{"model":"slow"}"#).bytes());
    slow.head().expect("a head");
    gateway.running.kill("TERM");
    let told = Instant::now();
    while gateway.is_listening() {
        assert!(told.elapsed() < SOON, "it still listens");
    }
    kept.say(gateway.prompt().bytes());
    // It may have been closed by then, as it was idle; an answer is a whole one.
    if let Ok(answer) = kept.try_answer() {
        assert!(answer.is(200).closes(), "{:?}", answer.head);
    }
    slow.chunks_until("data: 1");
    assert!(slow.chunk().expect("it ends").is_none());
    gateway.running.wait(LIMIT).ok();
}
