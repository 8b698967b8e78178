//! What of an answer passes as it is, and what stays with the provider's connection.

use serde_json::json;

use super::kit::{Gateway, PROMPT, SECRET, Setup};
use super::upstream::Upstream;

/// Bytes without a pattern that a mistake would keep.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 7_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

#[test]
fn a_long_answer_passes_unchanged_with_its_length() {
    let length = 5 * 1024 * 1024;
    let upstream = Upstream::start(move |_, out| {
        let type_line = "Content-Type: application/octet-stream\r\n";
        out.whole(200, type_line, &noise(length))
    });
    let gateway = Gateway::before(&upstream);
    let answer = gateway.ask(&gateway.prompt());
    assert_eq!(answer.is(200).header("content-length"), Some(&*length.to_string()));
    assert_eq!(answer.header("transfer-encoding"), None);
    assert!(answer.body == noise(length), "not as it was sent");
}

#[test]
fn an_answer_of_unknown_length_passes_whole() {
    let length = 3 * 1024 * 1024 + 17;
    let chunked = Upstream::start(move |_, out| {
        out.raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n")?;
        for piece in noise(length).chunks(100_000) {
            out.piece(piece)?;
        }
        out.end()
    });
    let to_the_end = Upstream::start(move |_, out| {
        out.raw("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")?;
        out.raw(noise(length))
    });
    let old = Upstream::start(move |_, out| {
        out.raw("HTTP/1.0 200 OK\r\n\r\n")?;
        out.raw(noise(length))
    });
    for upstream in [chunked, to_the_end, old] {
        let gateway = Gateway::before(&upstream);
        let answer = gateway.ask(&gateway.prompt());
        assert_eq!(answer.is(200).header("transfer-encoding"), Some("chunked"));
        assert!(answer.body == noise(length), "{} bytes", answer.body.len());
    }
}

#[test]
fn an_empty_answer_is_an_answer() {
    for (head, length) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Some("0")),
        ("HTTP/1.1 204 No Content\r\n\r\n", None),
        ("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n", None),
    ] {
        let upstream = Upstream::start(move |_, out| out.raw(head));
        let gateway = Gateway::before(&upstream);
        let mut client = gateway.connect();
        client.say(gateway.prompt().bytes());
        let answer = client.answer();
        assert!(answer.status() < 300 && answer.body.is_empty(), "{answer:?}");
        assert_eq!(answer.header("content-length"), length, "{head}");
        // The next one begins where it has to.
        client.say(gateway.bare("GET", "/healthz").bytes());
        client.answer().is(200);
    }
}

const HARMLESS: [(&str, &str); 8] = [
    ("x-request-id", "req_1"),
    ("request-id", "req_2"),
    ("openai-processing-ms", "17"),
    ("anthropic-ratelimit-requests-remaining", "9"),
    ("x-ratelimit-reset-tokens", "6m0s"),
    ("cache-control", "no-store"),
    ("server-timing", "gfet4t7; dur=1"),
    ("x-should-retry", "false"),
];
/// They would act on whatever shares our address, or are about another connection.
const KEPT_BACK: [(&str, &str); 14] = [
    ("Set-Cookie", "__cf_bm=x; path=/"),
    ("Set-Cookie2", "y"),
    ("Alt-Svc", "h3=\":443\""),
    ("Strict-Transport-Security", "max-age=31536000"),
    ("Clear-Site-Data", "\"*\""),
    ("Access-Control-Allow-Origin", "*"),
    ("Access-Control-Allow-Credentials", "true"),
    ("WWW-Authenticate", "Bearer realm=\"api\""),
    ("Proxy-Authenticate", "Basic"),
    ("Keep-Alive", "timeout=5"),
    ("Trailer", "X-T"),
    ("Upgrade", "h2c"),
    ("Connection", "close, X-Hop"),
    ("X-Hop", "1"),
];

#[test]
fn harmless_headers_pass_and_those_of_the_connection_stay() {
    for status in [200, 400] {
        let upstream = Upstream::start(move |_, out| {
            let all = HARMLESS.iter().chain(&KEPT_BACK);
            let lines: String = all.map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            let lines = format!("{lines}Content-Type: application/json; charset=utf-8\r\n");
            out.whole(status, &lines, b"{\"a\": 1}")
        });
        let gateway = Gateway::before(&upstream);
        let answer = gateway.ask(&gateway.prompt());
        answer.is(status);
        for (name, value) in HARMLESS {
            assert_eq!(answer.header(name), Some(value), "{status}");
        }
        for (name, _) in KEPT_BACK {
            assert_eq!(answer.header(name), None, "{status}");
        }
        assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
        assert_eq!(answer.text(), "{\"a\": 1}");
    }
}

#[test]
fn what_is_the_callers_fault_is_told_in_the_providers_own_words() {
    for status in [400, 404, 405, 409, 413, 422] {
        let body = "{ \"error\" : {\"message\":\"max_tokens is tóo large\",\"n\":1.0} }\n";
        let upstream = Upstream::start(move |_, out| {
            let lines = "Content-Type: application/json\r\nX-Should-Retry: false\r\n";
            out.whole(status, lines, body.as_bytes())
        });
        let gateway = Gateway::before(&upstream);
        for _ in 0..2 {
            let answer = gateway.ask(&gateway.prompt());
            assert_eq!(answer.is(status).text(), body);
            assert_eq!(answer.header("x-should-retry"), Some("false"));
            assert_eq!(answer.header("content-length"), Some(&*body.len().to_string()));
        }
        // Asked once for each, and not cooling down.
        assert_eq!(upstream.prompts().len(), 2);
    }
}

/// Some providers repeat what they were sent, which is nothing for the caller.
#[test]
fn an_answer_that_repeats_the_accounts_key_has_it_taken_out() {
    for status in [400, 403, 404, 500, 503] {
        let upstream = Upstream::start(move |request, out| {
            let shown = request.header("authorization").unwrap_or_default().to_owned();
            let key = request.bearer().unwrap_or_default();
            let body = json!({"error": {"message": format!("cannot use {key} for this"),
                "code": key, "headers": {"authorization": shown}}});
            let lines = format!("Content-Type: application/json\r\nX-Echo: {shown}\r\n");
            out.whole(status, &lines, body.to_string().as_bytes())
        });
        let gateway = Gateway::before(&upstream);
        let answer = gateway.ask(&gateway.prompt());
        let all = format!("{:?} {}", answer.head, answer.text());
        assert!(!all.contains(SECRET), "{status}: {all}");
        assert!(all.contains("cannot use"), "{status}: {all}");
        let output = gateway.stop();
        output.ok().stderr_lacks(SECRET);
    }
}

/// In a good answer the headers alone can be looked through.
#[test]
fn a_header_that_repeats_the_accounts_key_does_not_pass() {
    let upstream = Upstream::start(|request, out| {
        let shown = request.header("authorization").unwrap_or_default();
        let lines = format!("Content-Type: application/json\r\nX-Echo: {shown}\r\nX-More: 1\r\n");
        out.whole(200, &lines, b"{}")
    });
    let gateway = Gateway::before(&upstream);
    let answer = gateway.ask(&gateway.prompt());
    assert!(!format!("{:?}", answer.head).contains(SECRET), "{:?}", answer.head);
    assert_eq!(answer.is(200).header("x-more"), Some("1"));
}

/// A client that follows it would hand its key to whoever the provider, or a portal on the way, names.
#[test]
fn a_redirect_and_a_page_are_no_answers() {
    for (status, lines, body) in [
        (302, "Location: https://evil.example/\r\nContent-Type: text/html\r\n", "moved"),
        (307, "Location: https://evil.example/\r\n", ""),
        (308, "Location: /elsewhere\r\nContent-Type: application/json\r\n", "{}"),
        (200, "Content-Type: text/html; charset=utf-8\r\n", "<html>sign in</html>"),
    ] {
        let upstream = Upstream::start(move |_, out| out.whole(status, lines, body.as_bytes()));
        let gateway = Gateway::before(&upstream);
        let answer = gateway.ask(&gateway.prompt());
        let words = answer.is(502).words("/v1/chat/completions");
        assert!(words.contains("fake/default") && words.contains(&status.to_string()), "{words}");
        assert_eq!(answer.header("location"), None);
        upstream.only();
    }
}

#[test]
fn a_client_of_http_1_0_is_answered_as_it_understands() {
    let upstream = Upstream::start(|request, out| match request.body.contains("stream") {
        true => {
            out.events()?;
            out.event("1")?;
            out.event("2")?;
            out.end()
        }
        false => out.json(200, &json!({"answer": "good"})),
    });
    let gateway = Gateway::before(&upstream);
    let answer = gateway.ask(&gateway.prompt().version("HTTP/1.0"));
    assert!(answer.is(200).closes());
    assert_eq!(answer.json()["answer"], "good");
    let streamed = gateway.post("/v1/chat/completions", r#"{"model":"m","stream":true}"#);
    let answer = gateway.ask(&streamed.version("HTTP/1.0"));
    assert_eq!(answer.is(200).header("transfer-encoding"), None);
    assert!(answer.closes() && answer.header("content-length").is_none());
    assert_eq!(answer.text(), "data: 1\n\ndata: 2\n\n");
    // One that would keep the connection is told that it may, or it would wait for the end of it.
    let mut client = gateway.connect();
    for _ in 0..2 {
        let kept = gateway.prompt().version("HTTP/1.0").with("Connection", "keep-alive");
        client.say(kept.bytes());
        assert_eq!(client.answer().is(200).header("connection"), Some("keep-alive"));
    }
    let chunked = gateway.prompt().in_chunks(10).version("HTTP/1.0");
    gateway.ask(&chunked).is(501);
    assert_eq!(upstream.prompts().len(), 4);
}

/// Spaces, escapes, spellings of numbers, unknown fields: nothing is written anew.
#[test]
fn a_body_arrives_byte_for_byte() {
    let upstream = Upstream::good();
    let gateway = Gateway::before(&upstream);
    let body = "\n {\"n\" : 1.0 ,\"t\":1e3, \"big\":123456789012345678901234567890,\"z\":-0.0,\n\t\
                \"of_tomorrow\":{\"b\":1,\"a\":[ ]},\"model\":\"m\",\"e\":\"\\u00e9\\/é☀\",\
                \"small\":1E-7,\"messages\":[{\"role\":\"user\",\"content\":\"\\ud83d\\ude00\"}]} \r\n";
    gateway.ask(&gateway.post("/v1/chat/completions", body)).is(200);
    gateway.ask(&gateway.post("/v1/chat/completions", body).in_chunks(3)).is(200);
    for request in upstream.prompts() {
        assert_eq!(request.body, body);
        assert_eq!(request.header("content-length"), Some(&*body.len().to_string()));
    }
    // Another name for the model changes the name and nothing else.
    let named = body.replace("\"m\"", "\"fake/m\"");
    gateway.ask(&gateway.post("/v1/chat/completions", named)).is(200);
    assert_eq!(upstream.prompts()[2].body, body);
}

#[test]
fn the_request_is_keyfobs_own() {
    let upstream = Upstream::good();
    let row = json!({"base": format!("{}/v1", upstream.origin()), "dialect": "openai_chat",
        "headers": {"x-row": "r", "openai-beta": "row=1", "accept": "text/x-row"},
        "query": {"api-version": "7", "both": "row"}});
    let setup = Setup::empty().provider("fake", row).account("fake/default", SECRET);
    let gateway = setup.set("pass_headers", json!(["X-Wanted"])).start();
    let ask = gateway
        .post("/v1/chat/completions?both=caller&b%20b=%26%3D%C3%A9&api-version=1&empty=", PROMPT)
        .with("User-Agent", "tool/1")
        .with("Accept", "text/event-stream")
        .with("Accept-Encoding", "gzip")
        .with("OpenAI-Beta", "assistants=v2,row=1")
        .with("X-Wanted", "w")
        .with("X-Unwanted", "u")
        .with("X-Row", "caller")
        .with("X-Forwarded-For", "10.0.0.1")
        .with("Traceparent", "00-1")
        .with("X-Client-Request-Id", "c-1");
    gateway.ask(&ask).is(200);
    let request = upstream.only();
    let header = |name: &str| request.header(name);
    assert!(header("user-agent").is_some_and(|agent| agent.starts_with("keyfob/")));
    assert_eq!(header("openai-beta"), Some("row=1,assistants=v2"));
    assert_eq!((header("x-row"), header("x-wanted")), (Some("r"), Some("w")));
    assert_eq!(header("x-client-request-id"), Some("c-1"));
    for name in ["x-unwanted", "x-forwarded-for", "traceparent", "accept-encoding"] {
        assert_eq!(header(name), None, "{name}");
    }
    let param = |name: &str| request.query_param(name);
    assert_eq!(param("both").as_deref(), Some("row"));
    assert_eq!(param("api-version").as_deref(), Some("7"));
    assert_eq!(param("b b").as_deref(), Some("&=é"));
    assert_eq!(param("empty").as_deref(), Some(""));
}

#[test]
fn a_stream_that_begins_with_an_error_is_told_in_its_words() {
    let upstream = Upstream::start(|_, out| {
        out.events()?;
        let error = json!({"type": "error", "error": {"type": "overloaded_error",
            "message": format!("Overloaded, {SECRET}")}});
        out.piece(format!("event: error\ndata: {error}\n\n"))?;
        out.end()
    });
    let gateway = Gateway::before(&upstream);
    let words = gateway.ask(&gateway.prompt()).is(502).words("/v1/chat/completions");
    assert!(words.contains("Overloaded, "), "{words}");
    assert!(!words.contains(SECRET), "{words}");
}

#[test]
fn an_error_that_is_too_long_is_not_passed_in_part() {
    let upstream = Upstream::start(|_, out| {
        out.whole(400, "Content-Type: application/json\r\n", &vec![b'x'; 1_500_000])
    });
    let gateway = Gateway::before(&upstream);
    let words = gateway.ask(&gateway.prompt()).is(502).words("/v1/chat/completions");
    assert!(words.contains("more than 1 MiB"), "{words}");
}
