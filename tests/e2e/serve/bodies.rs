//! Bodies that are too long, too slow or no prompt; and several requests on one connection.

use std::time::{Duration, Instant};

use serde_json::json;

use super::kit::{Ask, Gateway, PROMPT, Setup};
use super::upstream::Upstream;
use super::{LISTS, PROMPTS};

const MIB: usize = 1024 * 1024;
/// Long before what is announced could have come.
const SOON: Duration = Duration::from_secs(3);

/// A prompt of so many bytes.
fn long(bytes: usize) -> String {
    let frame = r#"{"model":"m","input":""}"#;
    format!(r#"{{"model":"m","input":"{}"}}"#, "x".repeat(bytes - frame.len()))
}

#[test]
fn a_body_over_the_limit_is_refused_however_it_comes() {
    let upstream = Upstream::good();
    let gateway = Setup::with(&upstream).set("max_body_mb", 1).start();
    for (path, _) in PROMPTS {
        let too_long = gateway.post(path, long(MIB + 1));
        for ask in
            [too_long.clone(), too_long.clone().in_chunks(64 * 1024), too_long.in_chunks(999)]
        {
            let answer = gateway.ask(&ask);
            let words = answer.is(413).words(path);
            assert!(answer.closes() && words.contains("too long"), "{path}: {words}");
        }
    }
    upstream.was_not_asked();
    let whole = gateway.post("/v1/embeddings", long(MIB));
    gateway.ask(&whole).is(200);
    gateway.ask(&whole.in_chunks(100_000)).is(200);
    for request in upstream.prompts() {
        assert_eq!(request.body, long(MIB), "it arrived as it was");
    }
}

#[test]
fn a_body_that_is_only_announced_is_not_waited_for() {
    let upstream = Upstream::good();
    let gateway = Gateway::before(&upstream);
    let ask = gateway.post("/v1/messages", "");
    for length in ["100000000000", "999999999999999999"] {
        let begin = Instant::now();
        let ask = ask.clone().with("Content-Length", length);
        let answer = gateway.ask(&ask);
        answer.is(413).words("/v1/messages");
        assert!(answer.closes() && begin.elapsed() < SOON, "{:?}", begin.elapsed());
        // Nobody is told to go on with it.
        let mut client = gateway.connect();
        client.say(ask.with("Expect", "100-continue").bytes());
        client.answer().is(413);
    }
    // Who is not let in need not send anything.
    let ask = gateway.post("/v1/messages", "").without("Authorization");
    let begin = Instant::now();
    let answer = gateway.ask(&ask.with("Content-Length", "1000000"));
    assert!(answer.is(401).closes() && begin.elapsed() < SOON);
    upstream.was_not_asked();
    gateway.is_well();
}

#[test]
fn who_waits_to_be_asked_for_a_body_is_asked() {
    let upstream = Upstream::good();
    let gateway = Gateway::before(&upstream);
    let ask = gateway.prompt().with("Expect", "100-continue");
    let mut client = gateway.connect();
    client.say(ask.head());
    assert_eq!(client.head().expect("it is asked").status, 100);
    client.say(PROMPT);
    client.answer().is(200);
    assert_eq!(upstream.only().body, PROMPT);
    assert_eq!(upstream.only().header("expect"), None);
    gateway.ask(&gateway.prompt().with("Expect", "wonders")).is(417);
}

#[test]
fn a_body_that_is_no_single_object_is_refused_in_the_shape_of_its_route() {
    let upstream = Upstream::good();
    let gateway = Gateway::before(&upstream);
    let deep = format!("{{\"model\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let bodies: [&[u8]; 22] = [
        b"",
        b" ",
        b"x",
        b"null",
        b"7",
        b"\"m\"",
        b"[]",
        b"[{\"model\":\"m\"}]",
        b"{",
        b"{\"model\":\"m\"",
        b"{\"model\":\"m\",}",
        b"{\"model\":\"m\"}x",
        b"{\"model\":\"m\"}{\"model\":\"n\"}",
        b"{\"model\":\"m\",\"model\":\"n\"}",
        b"{\"model\":\"m\",\"mod\\u0065l\":\"n\"}",
        b"{\"stream\":true,\"stream\":false,\"model\":\"m\"}",
        b"{'model':'m'}",
        b"{\"model\":\"m\",\"x\":NaN}",
        b"{\"model\":\"m\",\"x\":01}",
        b"{\"model\":\"m\",\"x\":\"\xff\"}",
        b"{\"model\":\"m\",\"x\":\"\xed\xa0\x80\"}",
        b"\xef\xbb\xbf{\"model\":\"m\"}",
    ];
    for (path, _) in PROMPTS {
        for body in bodies {
            let shown = String::from_utf8_lossy(body);
            let answer = gateway.ask(&gateway.post(path, body));
            let words = answer.is(400).words(path);
            assert!(!words.is_empty(), "{path} {shown}");
            // The body was read, so the next request can come.
            assert!(!answer.closes() || body.is_empty(), "{path} {shown}: {:?}", answer.head);
        }
        let is_named_there = path.starts_with("/v1beta");
        for body in ["{}", r#"{"model":""}"#, r#"{"model":7}"#, r#"{"model":null}"#, &deep] {
            if !is_named_there {
                let words = gateway.ask(&gateway.post(path, body)).is(400).words(path);
                assert!(words.contains("model"), "{path} {words}");
            }
        }
        for coding in ["gzip", "br", "deflate, gzip"] {
            let ask = gateway.post(path, b"\x1f\x8b\x08").with("Content-Encoding", coding);
            let answer = gateway.ask(&ask);
            answer.is(415).words(path);
            assert!(answer.closes(), "{:?}", answer.head);
        }
    }
    upstream.was_not_asked();
    gateway.is_well();
}

/// What it says below its outermost level is between the caller and the provider.
#[test]
fn a_deep_body_passes_as_it_is_and_harms_nobody() {
    let upstream = Upstream::good();
    let gateway = Gateway::before(&upstream);
    for depth in [127, 10_000, 400_000] {
        let deep = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let body = format!(r#"{{"metadata":{deep},"model":"m","conversation":{deep}}}"#);
        gateway.ask(&gateway.post("/v1/chat/completions", &body)).is(200);
        let prompts = upstream.prompts();
        assert!(prompts.last().is_some_and(|last| last.body == body), "{depth}");
    }
    gateway.is_well();
}

#[test]
fn requests_in_one_breath_are_answered_in_their_order() {
    let upstream = Upstream::start(|request, out| {
        let model = request.param("model").unwrap_or_default();
        if model == "slow" {
            out.pause(Duration::from_millis(400))?;
        }
        if model == "stream" {
            out.events()?;
            out.event("1")?;
            out.pause(Duration::from_millis(100))?;
            out.event("2")?;
            return out.end();
        }
        out.json(200, &json!({"model": model}))
    });
    let gateway = Gateway::before(&upstream);
    let ask = |model: &str| {
        let body = PROMPT.replace("\"m\"", &format!("\"{model}\""));
        gateway.post("/v1/chat/completions", body)
    };
    let lists = gateway.get(LISTS[0]);
    let nowhere = gateway.get("/x");
    let all: Vec<Ask> = vec![
        ask("slow"),
        ask("a").in_chunks(5),
        ask("stream"),
        lists,
        ask("stream").in_chunks(7),
        ask("slow"),
        nowhere,
        ask("b"),
    ];
    let mut client = gateway.connect();
    client.say(all.iter().flat_map(Ask::bytes).collect::<Vec<_>>());
    assert_eq!(client.answer().is(200).json()["model"], "slow");
    assert_eq!(client.answer().is(200).json()["model"], "a");
    assert_eq!(client.answer().is(200).text(), "data: 1\n\ndata: 2\n\n");
    assert_eq!(client.answer().is(200).json()["object"], "list");
    assert_eq!(client.answer().is(200).text(), "data: 1\n\ndata: 2\n\n");
    assert_eq!(client.answer().is(200).json()["model"], "slow");
    client.answer().is(404);
    assert_eq!(client.answer().is(200).json()["model"], "b");
    assert_eq!(upstream.prompts().len(), 6);
    // And it goes on after all that.
    client.say(ask("again").bytes());
    assert_eq!(client.answer().is(200).json()["model"], "again");
    // Until one of them says that it was the last.
    client.say([ask("last").with("Connection", "close").bytes(), ask("c").bytes()].concat());
    assert!(client.answer().is(200).closes());
    assert!(client.is_hung_up_within(SOON));
    assert_eq!(upstream.prompts().len(), 8);
    let mut client = gateway.connect();
    client.say([ask("stream").with("Connection", "close").bytes(), ask("c").bytes()].concat());
    let last = client.answer();
    assert!(last.is(200).closes() && last.text() == "data: 1\n\ndata: 2\n\n", "{last:?}");
    assert!(client.is_hung_up_within(SOON));
    assert_eq!(upstream.prompts().len(), 9);
}

#[test]
fn a_kept_connection_takes_one_request_after_another() {
    let upstream = Upstream::start(|request, out| match request.body.contains("stream") {
        true => {
            out.events()?;
            out.event("1")?;
            out.end()
        }
        false => out.json(200, &json!({})),
    });
    let gateway = Gateway::before(&upstream);
    let mut client = gateway.connect();
    let streamed =
        PROMPT.replace('{', r#"{"stream":true,"#).replacen(r#"[{"stream":true,"#, "[{", 1);
    for _ in 0..20 {
        client.say(gateway.prompt().bytes());
        client.answer().is(200);
        client.say(gateway.post("/v1/chat/completions", &streamed).bytes());
        assert_eq!(client.answer().is(200).text(), "data: 1\n\n");
        client.say(gateway.post("/v1/chat/completions", "{}").bytes());
        client.answer().is(400);
        client.say(gateway.get("/v1/models").bytes());
        client.answer().is(200);
    }
    assert_eq!(upstream.prompts().len(), 40);
}
