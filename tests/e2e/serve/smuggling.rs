//! Requests that two programs could read in two ways, and targets that lead elsewhere: each is refused,
//! nothing of it goes upstream, and what stands behind it is not taken for a request.

use std::time::Duration;

use super::kit::{Gateway, PROMPT};
use super::upstream::Upstream;

/// What a smuggler wants to be taken for a request of its own.
const SMUGGLED: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// The bytes are refused with this status, and nothing behind them is heard.
#[track_caller]
fn refused(gateway: &Gateway, bytes: &[u8], status: u16) {
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(300)]).into_owned();
    let mut client = gateway.connect();
    client.say([bytes, SMUGGLED].concat());
    let answer = client.try_answer().unwrap_or_else(|e| panic!("{e}: {shown:?}"));
    assert_eq!(answer.status(), status, "{shown:?}: {}", answer.text());
    assert!(answer.closes(), "{shown:?}: {:?}", answer.head);
    assert!(client.is_hung_up_within(Duration::from_secs(3)), "{shown:?}: still open");
}

#[test]
fn a_length_that_can_be_read_in_two_ways_is_refused() {
    let upstream = Upstream::good();
    let gateway = Gateway::before(&upstream);
    let length = PROMPT.len();
    let size = format!("{length:x}");
    let one = format!("Content-Length: {length}");
    let (chunked, many) = ("Transfer-Encoding: chunked".to_owned(), "9".repeat(30));
    for (lines, status) in [
        (format!("{one}\r\n{one}"), 400),
        (format!("{one}\r\ncontent-LENGTH: 0"), 400),
        (format!("Content-Length: {length}, {length}"), 400),
        (format!("Content-Length: +{length}"), 400),
        (format!("Content-Length: -{length}"), 400),
        (format!("Content-Length: 0x{size}"), 400),
        (format!("Content-Length: {length}.0"), 400),
        (format!("Content-Length: {length} {length}"), 400),
        ("Content-Length: ".to_owned(), 400),
        (format!("Content-Length: {many}"), 400),
        (format!("Content-Length : {length}"), 400),
        (format!("Content-Length\t: {length}"), 400),
        (format!("{one}\r\n{chunked}"), 400),
        (format!("{chunked}\r\n{one}"), 400),
        (format!("{chunked}\r\n{chunked}"), 400),
        (format!("{chunked}\r\nTransfer-Encoding: identity"), 400),
        ("Transfer-Encoding : chunked".to_owned(), 400),
        (" Transfer-Encoding: chunked".to_owned(), 400),
        ("Transfer-Encoding: xchunked".to_owned(), 501),
        ("Transfer-Encoding: chunked, chunked".to_owned(), 501),
        ("Transfer-Encoding: gzip, chunked".to_owned(), 501),
        ("Transfer-Encoding: identity".to_owned(), 501),
        ("Transfer-Encoding: chunked;q=1".to_owned(), 501),
        ("Transfer-Encoding:".to_owned(), 501),
        ("Transfer-Encoding: \u{b}chunked".to_owned(), 400),
        (format!("{one}\r\nTransfer-Encoding: identity"), 400),
    ] {
        let head = gateway.bare("POST", "/v1/chat/completions").head();
        let bearer = format!("Authorization: Bearer {}", gateway.key);
        let head = head.replace("\r\n\r\n", &format!("\r\n{bearer}\r\n{lines}\r\n\r\n"));
        refused(&gateway, format!("{head}{PROMPT}").as_bytes(), status);
    }
    upstream.was_not_asked();
    gateway.is_well();
}

#[test]
fn a_head_that_is_none_is_refused() {
    let upstream = Upstream::good();
    let gateway = Gateway::before(&upstream);
    let host = gateway.host();
    let bearer = format!("Bearer {}", gateway.key);
    let get = |line: &str, more: &str| {
        let own = format!("Host: {host}\r\nAuthorization: {bearer}\r\n");
        [line.as_bytes(), b"\r\n", own.as_bytes(), more.as_bytes(), b"\r\n"].concat()
    };
    let line = "GET /v1/models HTTP/1.1";
    for more in [
        "X: a\nY: b\r\n",
        "X: a\r\n b\r\n",
        "X: a\r\n\tb\r\n",
        "X: a\rb\r\n",
        "X: a\0b\r\n",
        "X: \u{e9}\r\n",
        "X: \u{7f}\r\n",
        "X\u{e9}: a\r\n",
        "X Y: a\r\n",
        ": a\r\n",
        "no colon\r\n",
        "X(: a\r\n",
        "X: a\n\r\n",
    ] {
        refused(&gateway, &get(line, more), 400);
    }
    for (line, status) in [
        ("GET /v1/models HTTP/2.0", 505),
        ("GET /v1/models HTTP/0.9", 505),
        ("GET /v1/models HTTP/1.2", 505),
        ("GET /v1/models", 400),
        ("GET /v1/models HTTP/1.1 x", 400),
        ("GET  /v1/models HTTP/1.1", 400),
        ("GET /v1/mo dels HTTP/1.1", 505),
        ("GET\t/v1/models HTTP/1.1", 400),
        (" GET /v1/models HTTP/1.1", 400),
        ("G\0T /v1/models HTTP/1.1", 400),
        ("GET /v1/models\0 HTTP/1.1", 400),
        ("GET /v1/models\u{e9} HTTP/1.1", 400),
        ("GET /v1/models#x HTTP/1.1", 400),
        ("GET v1/models HTTP/1.1", 400),
        ("GET ?key=x HTTP/1.1", 400),
        ("OPTIONS * HTTP/1.1", 400),
        ("CONNECT 127.0.0.1:22 HTTP/1.1", 400),
        ("CONNECT example.com:443 HTTP/1.1", 400),
    ] {
        refused(&gateway, &get(line, ""), status);
    }
    let absolute = format!("GET http://{host}/v1/models HTTP/1.1");
    refused(&gateway, &get(&absolute, ""), 400);
    refused(&gateway, &get("GET https://evil.example/v1/models HTTP/1.1", ""), 400);
    refused(&gateway, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505);
    refused(&gateway, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400);
    let line_feeds = String::from_utf8(get(line, "")).unwrap().replace("\r\n", "\n");
    refused(&gateway, line_feeds.as_bytes(), 400);
    upstream.was_not_asked();
    gateway.is_well();
}

#[test]
fn a_head_has_limits() {
    let upstream = Upstream::good();
    let gateway = Gateway::before(&upstream);
    let long = "x".repeat(33 * 1024);
    let with = |name: &str, value: &str| gateway.get("/v1/models").with(name, value).bytes();
    refused(&gateway, &with("X", &long), 431);
    refused(&gateway, &with(&long, "x"), 431);
    refused(&gateway, &gateway.get(&format!("/v1/models?x={long}")).bytes(), 431);
    // One that never ends is not waited for.
    refused(&gateway, format!("GET /v1/models HTTP/1.1\r\nX: {long}{long}").as_bytes(), 431);
    let several = |count: usize| {
        (0..count).fold(gateway.get("/v1/models"), |ask, at| ask.with(&format!("X-{at}"), "x"))
    };
    refused(&gateway, &several(200).bytes(), 431);
    // Two stand there already.
    refused(&gateway, &several(95).bytes(), 431);
    gateway.ask(&several(94)).is(200);
    gateway.ask(&gateway.get("/v1/models").with("X", &long[..30 * 1024])).is(200);
    upstream.was_not_asked();
}

#[test]
fn chunks_that_are_none_are_refused() {
    let upstream = Upstream::good();
    let gateway = Gateway::before(&upstream);
    let size = format!("{:x}", PROMPT.len());
    let head = gateway.post("/v1/chat/completions", "").with("Transfer-Encoding", "chunked").head();
    let (long, zeros) = ("x".repeat(5000), "0".repeat(300));
    for (chunks, status) in [
        (format!("+{size}\r\n{PROMPT}\r\n0\r\n\r\n"), 400),
        (format!("-{size}\r\n{PROMPT}\r\n0\r\n\r\n"), 400),
        (format!("0x{size}\r\n{PROMPT}\r\n0\r\n\r\n"), 400),
        (format!(" {size}\r\n{PROMPT}\r\n0\r\n\r\n"), 400),
        (format!("{size} \r\n{PROMPT}\r\n0\r\n\r\n"), 400),
        (format!("{size}\n{PROMPT}\r\n0\r\n\r\n"), 400),
        (format!("{size}\r{PROMPT}\r\n0\r\n\r\n"), 400),
        (format!("{size}\r\r\n{PROMPT}\r\n0\r\n\r\n"), 400),
        (format!("{size};a\rb\r\n{PROMPT}\r\n0\r\n\r\n"), 400),
        (format!("{size};{long}\r\n{PROMPT}\r\n0\r\n\r\n"), 400),
        (format!("{zeros}{size}\r\n{PROMPT}\r\n0\r\n\r\n"), 400),
        (format!("{size}\r\n{PROMPT}X\r\n0\r\n\r\n"), 400),
        (format!("{size}\r\n{PROMPT}\n0\r\n\r\n"), 400),
        (format!("{size}\r\n{PROMPT}0\r\n\r\n"), 400),
        (format!("{size}\r\n{PROMPT}\r\n\r\n"), 400),
        (format!("{size}\r\n{PROMPT}\r\n0\r\nX: {long}{long}\r\n\r\n"), 400),
        (format!("{size}\r\n{PROMPT}\r\n0\n\r\n"), 400),
        ("ffffffffffffffff\r\n".to_owned(), 400),
        ("fffffffffffffff\r\n".to_owned(), 413),
        ("8000000000000000\r\n".to_owned(), 400),
        ("\r\n".to_owned(), 400),
        (";\r\n".to_owned(), 400),
        ("g\r\n".to_owned(), 400),
    ] {
        refused(&gateway, format!("{head}{chunks}").as_bytes(), status);
    }
    upstream.was_not_asked();
    // An extension and a trailer are no fault, and say nothing.
    let good = format!("{head}{size};a=b\r\n{PROMPT}\r\n0\r\nAuthorization: x\r\n\r\n");
    gateway.raw(good.as_bytes()).is(200);
    let request = upstream.only();
    assert_eq!(request.body, PROMPT);
    assert_eq!(request.header("transfer-encoding"), None);
}

/// What comes behind a whole request is the next one, and if it is none it is refused.
#[test]
fn garbage_behind_a_request_is_a_request_of_its_own() {
    let upstream = Upstream::good();
    let gateway = Gateway::before(&upstream);
    for ask in [gateway.prompt(), gateway.prompt().in_chunks(7)] {
        let mut client = gateway.connect();
        client.say([&ask.bytes()[..], b"\x01garbage\r\n\r\n"].concat());
        client.answer().is(200);
        client.answer().is(400);
        assert!(client.is_hung_up_within(Duration::from_secs(3)));
    }
    assert_eq!(upstream.prompts().len(), 2);
}

#[test]
fn a_path_that_leads_elsewhere_leads_nowhere() {
    let upstream = Upstream::good();
    let gateway = Gateway::before(&upstream);
    for path in [
        "//v1/models",
        "/v1//models",
        "/v1/./models",
        "/v1/../v1/models",
        "/v1%2fmodels",
        "/%76%31/models",
        "/V1/Models",
        "/v1/models/..%2f..%2fx",
        "/v1/models/%2e%2e",
        "/v1/models/a%00",
        "/v1/models//a",
        "//v1/chat/completions",
        "/v1/chat//completions",
        "/v1/chat%2fcompletions",
        "/v1/chat/completions%00",
        "/v1/chat/completions%20",
        "/v1/chat/completions;x",
        "/v1/chat/completions/..",
        "/x/../v1/chat/completions",
        "/v1beta/models/..%2f..:generateContent",
        "/v1beta/models/..:generateContent",
        "/v1beta/models/%2e%2e:generateContent",
        "/v1beta/models/a%2f..%2fb:generateContent",
        "/v1beta/models/a/../b:generateContent",
        "/v1beta/models//:generateContent",
        "/v1beta/models/%2f:generateContent",
        "/v1beta/models/:generateContent",
        "/v1beta/models/a%0d%0aX-A:%20b:generateContent",
        "/v1beta/models/a%0aX:generateContent",
        "/v1beta/models/a%00:generateContent",
        "/v1beta/models/a%20b:generateContent",
        "/v1beta/models/a%3fkey=x:generateContent",
        "/v1beta/models/a%23b:generateContent",
        "/v1beta/models/a%252e:generateContent",
        "/v1beta/models/%zz:generateContent",
        "/v1beta/models/%e9:generateContent",
        "/v1beta/models/%c3%a9:generateContent",
        "/v1beta/models/a:",
        "/v1beta/models/a:generateContent/../b",
        "/v1beta/models/a:generate%43ontent",
        "/v1beta/models/a:generateContent%3fx",
        "/v1beta/../v1beta/models/a:generateContent",
    ] {
        for ask in [gateway.post(path, PROMPT), gateway.get(path)] {
            let answer = gateway.ask(&ask);
            answer.is(404).words(path);
            assert!(!format!("{:?}", answer.head).contains("X-A"), "{path}");
        }
    }
    // The model of a body is one word of JSON upstream, whatever it is.
    for model in ["../../x", "a\\r\\nX: b", "a?b#c", "%2e%2e"] {
        let body = format!(r#"{{"model":"{model}","messages":[]}}"#);
        gateway.ask(&gateway.post("/v1/chat/completions", &body)).is(200);
    }
    for request in upstream.prompts() {
        assert_eq!((request.path.as_str(), request.query.as_str()), ("/v1/chat/completions", ""));
    }
}
