//! What is no part of a sign-in passes as it comes.

use std::io::Read;
use std::time::Duration;

use serde_json::json;

use super::{Gateway, send};
use crate::support::browser;
use crate::support::mcp_server::{McpServer, SESSION, Script};

#[test]
fn a_session_with_its_events_goes_through() {
    let (sender, left) = std::sync::mpsc::channel();
    let sender = std::sync::Mutex::new(sender);
    let script = Script::of("2025-11-25").on("GET", move |_, out| {
        out.events().event(&json!({"n": 1}));
        let is_left = out.is_left_within(Duration::from_secs(20));
        let _ = sender.lock().expect("no one panics").send(is_left);
    });
    let server = McpServer::serving(script);
    let origin = format!("http://127.0.0.1:{}", server.port);
    let gateway = Gateway::start(&json!({"mcp_private_origins": [origin]}));
    let url = gateway.url(&server.url());
    let page = gateway.say(&url, "initialize", Some("their-token"));
    assert_eq!(page.header("mcp-session-id"), Some(SESSION));
    let headers = [
        ("X-Api-Key", gateway.key.as_str()),
        ("Mcp-Session-Id", SESSION),
        ("Last-Event-ID", "7"),
        ("Cookie", "a=b"),
    ];
    assert_eq!(send("DELETE", &url, &headers, "").status, 200);

    let (authority, target) = browser::split(&url);
    let mut socket = browser::connect(authority).expect("the gateway is there");
    let head = headers.map(|(name, value)| format!("{name}: {value}\r\n")).concat();
    let text = format!(
        "GET {target} HTTP/1.1\r\nHost: {authority}\r\nAccept: text/event-stream\r\n{head}\r\n"
    );
    std::io::Write::write_all(&mut socket, text.as_bytes()).expect("it listens");
    let mut heard = String::new();
    while !heard.contains("data: {\"n\":1}\n\n") {
        let mut piece = [0; 1024];
        let read = socket.read(&mut piece).expect("an event while the stream is open");
        assert!(read > 0, "{heard}");
        heard.push_str(&String::from_utf8_lossy(&piece[..read]));
    }
    let asked = server.wait_for("GET", 1).remove(0);
    assert_eq!(asked.header("accept"), Some("text/event-stream"));
    assert_eq!(asked.header("last-event-id"), Some("7"));
    assert_eq!(asked.header("mcp-session-id"), Some(SESSION));
    assert_eq!((asked.header("cookie"), asked.header("accept-encoding")), (None, None));
    drop(socket);
    assert!(left.recv_timeout(Duration::from_secs(20)).expect("the stream ends"));
}

#[test]
fn an_answer_cut_short_is_seen_to_be() {
    let script = Script::of("2025-11-25").on("tools/list", |_, out| {
        out.events().raw(b"data: 1\n\n").raw(b"data: 2");
        out.cut();
    });
    let script = script.on("tools/call", |_, out| {
        out.raw(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{",
        );
        out.cut();
    });
    let server = McpServer::serving(script);
    let origin = format!("http://127.0.0.1:{}", server.port);
    let gateway = Gateway::start(&json!({"mcp_private_origins": [origin]}));
    let url = gateway.url(&server.url());
    let headers = [super::JSON, ("X-Api-Key", gateway.key.as_str())];
    let body = |method: &str| json!({"jsonrpc": "2.0", "id": 1, "method": method}).to_string();
    // Its end is the connection's, and so is that of a whole one.
    assert!(send("POST", &url, &headers, &body("tools/list")).body.ends_with("data: 2"));
    assert!(browser::request("POST", &url, &headers, &body("tools/call")).is_err());
    assert_eq!(gateway.say(&url, "ping", None).json()["result"]["echo"], json!({}));
}

#[test]
fn a_document_of_any_shape_ends_nothing_but_itself() {
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let object = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    let documents =
        [deep(120), object(120), deep(1000), object(200_000), "{".to_string(), "\u{feff}[]".into()];
    let offered = documents.clone();
    let next = std::sync::atomic::AtomicUsize::new(0);
    let script = Script::of("2025-11-25").on("x", move |_, out| {
        let at = next.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        out.reply(401, "application/json", &offered[at]);
    });
    let server = McpServer::serving(script);
    let origin = format!("http://127.0.0.1:{}", server.port);
    let gateway = Gateway::start(&json!({"mcp_private_origins": [origin]}));
    let url = gateway.url(&server.url());
    for document in &documents {
        let page = gateway.say(&url, "x", None);
        let is_long = document.len() > 1024 * 1024;
        assert_eq!(page.status, if is_long { 502 } else { 401 });
        assert!(is_long || page.body == *document, "{}", document.len());
    }
    assert_eq!(gateway.say(&url, "ping", None).status, 200);
}
