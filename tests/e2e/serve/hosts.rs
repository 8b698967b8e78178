//! What a request is for: the host that was meant, the path, the method.

use serde_json::json;

use super::kit::{Gateway, PROMPT, Setup};
use super::upstream::Upstream;
use super::{LISTS, PROMPTS};

/// A page whose name was made to lead here would be let in by its browser, key and all.
#[test]
fn a_foreign_host_is_refused_before_the_key_is_looked_at() {
    let upstream = Upstream::good();
    let gateway = Gateway::before(&upstream);
    let port = gateway.port;
    let foreign = [
        format!("evil.example:{port}"),
        "evil.example".to_owned(),
        format!("127.0.0.1.evil.example:{port}"),
        format!("localhost.evil.example:{port}"),
        format!("evil@127.0.0.1:{port}"),
        format!("127.0.0.1:{}", port ^ 1),
        "127.0.0.1".to_owned(),
        "localhost".to_owned(),
        "localhost:80".to_owned(),
        format!("127.0.0.1:{port}:{port}"),
        format!("127.0.0.1:{port} "),
        format!("0.0.0.0:{port}"),
        format!("10.0.0.1:{port}"),
        format!("[::2]:{port}"),
        format!("[::1]:{}", port ^ 1),
        "[::1]".to_owned(),
        format!("127.0.0.1:{port}/x"),
        format!("127.0.0.1:{port}, evil.example"),
        ":".to_owned(),
        String::new(),
    ];
    for host in foreign.iter().filter(|host| host.trim() != gateway.host()) {
        for (path, body) in PROMPTS {
            let answer = gateway.ask(&gateway.post(path, body).but("Host", host));
            let words = answer.is(403).words(path);
            assert!(words.contains("host name"), "{host}: {words}");
        }
        gateway.ask(&gateway.bare("GET", "/healthz").but("Host", host)).is(403);
        gateway.ask(&gateway.bare("GET", "/v1/models").but("Host", host)).is(403);
    }
    upstream.was_not_asked();
}

#[test]
fn names_of_this_machine_and_of_the_settings_are_ours() {
    let upstream = Upstream::good();
    let setup = Setup::with(&upstream);
    let mut gateway = setup.set("hosts", json!(["gate.example", "10.1.2.3"])).start();
    let port = gateway.port;
    let good = [
        format!("127.0.0.1:{port}"),
        format!("localhost:{port}"),
        format!("LocalHost:{port}"),
        format!("[::1]:{port}"),
        format!("127.9.9.9:{port}"),
        "gate.example".to_owned(),
        "GATE.example:443".to_owned(),
        format!("gate.example:{port}"),
        "10.1.2.3".to_owned(),
    ];
    for host in &good {
        gateway.ask(&gateway.prompt().but("Host", host)).is(200);
    }
    for host in ["sub.gate.example", "gate.example.evil", "example"] {
        gateway.ask(&gateway.prompt().but("Host", host)).is(403);
    }
    assert_eq!(upstream.prompts().len(), good.len());
    // A running gateway learns of it.
    gateway.set("hosts", json!([]));
    let ask = gateway.prompt().but("Host", "gate.example");
    let begin = std::time::Instant::now();
    while gateway.ask(&ask).status() != 403 {
        assert!(begin.elapsed() < super::kit::LIMIT, "the name is still ours");
    }
}

#[test]
fn a_request_names_one_host() {
    let upstream = Upstream::good();
    let gateway = Gateway::before(&upstream);
    let host = gateway.host();
    for ask in [
        gateway.prompt().without("Host"),
        gateway.prompt().with("Host", &host),
        gateway.prompt().with("Host", "evil.example"),
        gateway.prompt().without("Host").with("Host", "evil.example").with("hOST", &host),
        gateway.bare("GET", "/healthz").without("Host"),
        gateway.bare("GET", "/healthz").with("Host", &host),
    ] {
        let answer = gateway.ask(&ask);
        assert!(answer.is(400).closes(), "{answer:?}");
    }
    // HTTP/1.0 need not name one, and is then nobody's.
    gateway.ask(&gateway.prompt().without("Host").version("HTTP/1.0")).is(403);
    upstream.was_not_asked();
}

#[test]
fn health_needs_no_key_and_tells_nothing() {
    let gateway = Setup::empty().start();
    let answer = gateway.ask(&gateway.bare("GET", "/healthz"));
    assert_eq!(answer.is(200).json(), json!({"status": "ok"}));
    let mut client = gateway.connect();
    client.say(gateway.bare("HEAD", "/healthz").bytes());
    let head = client.head().expect("a head");
    assert_eq!((head.status, head.header("content-length")), (200, Some("15")));
    // No body came: the next answer begins right after.
    client.say(gateway.bare("GET", "/healthz").bytes());
    client.answer().is(200);
    gateway.ask(&gateway.bare("GET", "/healthz?key=wrong").with("x-api-key", "wrong")).is(200);
}

#[test]
fn a_path_that_leads_nowhere_is_told_where_there_is_something() {
    let upstream = Upstream::good();
    let gateway = Gateway::before(&upstream);
    for path in [
        "/",
        "/v1",
        "/v2/messages",
        "/v1/completions",
        "/v1/messages/batches",
        "/v1/messages/count_tokens/x",
        "/v1beta/openai/chat/completions",
        "/v1beta/cachedContents",
        "/chat/completions",
        "/healthz/x",
        "/metrics",
        "/favicon.ico",
    ] {
        for ask in [gateway.get(path), gateway.post(path, PROMPT)] {
            let words = gateway.ask(&ask).is(404).words(path);
            for route in ["/v1/messages", "/v1/responses", "/v1/chat/completions", "/v1beta"] {
                assert!(words.contains(route), "{path}: {words}");
            }
            gateway.ask(&ask.without("Authorization")).is(401);
        }
    }
    upstream.was_not_asked();
}

#[test]
fn a_wrong_method_is_told_the_right_one() {
    let upstream = Upstream::good();
    let gateway = Gateway::before(&upstream);
    let bearer = format!("Bearer {}", gateway.key);
    let prompts = PROMPTS.iter().map(|(path, _)| (*path, "POST"));
    for (path, right) in prompts.chain(LISTS.map(|path| (path, "GET"))) {
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "get", "BREW"] {
            if method == right {
                continue;
            }
            let ask = gateway.bare(method, path).with("Authorization", &bearer);
            let answer = gateway.ask(&ask);
            let words = answer.is(405).words(path);
            assert!(words.contains(right), "{method} {path}: {words}");
            // RFC 9110, section 15.5.6.
            let allow = answer.header("allow").unwrap_or_default();
            assert!(allow.contains(right), "{method} {path}: {allow:?}");
        }
    }
    upstream.was_not_asked();
}

/// A page of a foreign origin that asks first hears of no origin that may.
#[test]
fn no_page_of_another_origin_is_invited() {
    let upstream = Upstream::start(|_, out| {
        let headers = "Content-Type: application/json\r\nAccess-Control-Allow-Origin: *\r\n\
                       Access-Control-Allow-Credentials: true\r\n";
        out.whole(200, headers, b"{}")
    });
    let gateway = Gateway::before(&upstream);
    let ask =
        gateway.bare("OPTIONS", "/v1/chat/completions").with("Origin", "https://evil.example");
    let asked = gateway.ask(&ask.with("Access-Control-Request-Method", "POST"));
    asked.is(401);
    let answered = gateway.ask(&gateway.prompt().with("Origin", "https://evil.example"));
    answered.is(200);
    for answer in [asked, answered] {
        let headers = format!("{:?}", answer.head).to_lowercase();
        assert!(!headers.contains("access-control"), "{headers}");
    }
}
