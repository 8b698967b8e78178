//! HTTP+SSE, the transport of 2024-11-05.

use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::kit::{Proxy, quiet};
use crate::support::mcp_server::{McpServer, Out, Script, Seen, handshake};

const VERSION: &str = "2024-11-05";

/// Takes messages at `/messages`, and answers on the newest stream; POST to the stream's own address
/// gets `status`.
fn older(status: u16, endpoint: &'static str) -> Script {
    let stream: Arc<Mutex<Option<Sender<Value>>>> = Arc::default();
    let newest = Arc::clone(&stream);
    let answer = move |seen: &Seen, out: &mut Out| {
        if seen.path == "/mcp" {
            return out.status(status);
        }
        let result = match seen.method().as_str() {
            "initialize" => handshake(VERSION),
            _ => json!({"echo": seen.json()["params"]}),
        };
        out.reply(202, "text/plain", "Accepted");
        if seen.json()["params"]["name"] == "cut" {
            newest.lock().unwrap().take();
        } else if seen.json()["params"]["name"] != "never" && !seen.id().is_null() {
            let message = json!({"jsonrpc": "2.0", "id": seen.id(), "result": result});
            let _ = newest.lock().unwrap().as_ref().map(|stream| stream.send(message));
        }
    };
    Script::default()
        .on("initialize", answer.clone())
        .on("tools/call", answer.clone())
        .on("notifications/initialized", answer)
        .on("GET", move |_, out| {
            let (sender, messages) = mpsc::channel();
            *stream.lock().unwrap() = Some(sender);
            out.events().raw(format!("event: endpoint\r\ndata: {endpoint}\r\n\r\n").as_bytes());
            for message in messages {
                out.event(&message);
            }
        })
}

#[test]
fn the_older_transport_is_found_behind_each_refusal() {
    for (status, endpoint) in
        [(404, "/messages?s=1"), (405, "messages?s=1"), (400, "/messages?s=1")]
    {
        let server = McpServer::serving(older(status, endpoint));
        let mut proxy = Proxy::start(&server);
        proxy.shake_hands(&server);
        (1..=3).for_each(|id| proxy.call(id, "x"));
        for id in 1..=3 {
            assert_eq!(proxy.answer(&json!(id))["result"]["echo"]["name"], "x");
        }
        proxy.finish();
        let paths: Vec<_> = server.seen().into_iter().map(|seen| (seen.verb, seen.path)).collect();
        assert_eq!(paths[..2], [("POST".into(), "/mcp".into()), ("GET".into(), "/mcp".into())]);
        assert!(paths[2..].iter().all(|(verb, path)| verb == "POST" && path == "/messages?s=1"));
        assert_eq!(server.seen_of("GET").len(), 1);
        let call = &server.seen_of("tools/call")[0];
        assert_eq!(call.header("mcp-protocol-version"), Some(VERSION));
        assert_eq!(call.header("mcp-session-id"), None);
    }
}

#[test]
fn each_transport_can_be_forced() {
    let server = McpServer::serving(older(405, "/messages"));
    let mut proxy = Proxy::with(&server.url(), |cmd| cmd.arg("--transport").arg("sse"));
    proxy.shake_hands(&server);
    proxy.finish();
    assert!(server.seen().iter().all(|seen| seen.verb == "GET" || seen.path == "/messages"));

    let mut proxy = Proxy::with(&server.url(), |cmd| cmd.arg("--transport").arg("http"));
    proxy.initialize();
    assert_eq!(proxy.error("init", -31008)["data"]["status"], 405);
    proxy.finish();
    assert_eq!(server.seen_of("GET").len(), 1);
}

#[test]
fn an_address_of_another_server_is_refused_and_nothing_goes_there() {
    let other = McpServer::serving(Script::default());
    let endpoint = format!("http://127.0.0.1:{}/messages", other.port);
    let server = McpServer::serving(older(405, endpoint.leak()));
    let mut proxy =
        Proxy::with(&server.url(), |cmd| cmd.arg("--header").arg("Authorization: Bearer hunter2"));
    proxy.initialize();
    let error = proxy.error("init", -31008);
    assert!(error["message"].as_str().unwrap().contains("another server"), "{error}");
    proxy.finish().stderr_lacks("hunter2");
    assert!(other.seen().is_empty());
}

#[test]
fn where_there_is_neither_both_refusals_are_told() {
    for get in [404, 200] {
        let server = McpServer::serving(
            Script::default()
                .on("initialize", |_, out| out.reply(405, "text/html", "<p>"))
                .on("GET", move |_, out| out.reply(get, "text/html", "<p>")),
        );
        let mut proxy = Proxy::start(&server);
        proxy.initialize();
        let error = proxy.error("init", -31008);
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("/mcp is no MCP endpoint"), "{message}");
        assert!(message.contains("405") && message.contains(&get.to_string()), "{message}");
        proxy.finish().stderr_has("no MCP endpoint");
    }
}

#[test]
fn what_the_newer_transport_said_counts_when_the_older_is_not_there() {
    let own = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"own words"}}"#;
    let server = McpServer::serving(
        Script::default().on("initialize", move |_, out| out.reply(400, "application/json", own)),
    );
    let mut proxy = Proxy::start(&server);
    proxy.initialize();
    assert_eq!(proxy.answer(&json!("init"))["error"]["message"], "own words");
    proxy.finish();
}

#[test]
fn a_stream_without_an_address_is_given_up() {
    let server = McpServer::serving(
        Script::default().on("initialize", |_, out| out.status(405)).on("GET", |_, out| {
            out.events().event(&json!({"jsonrpc": "2.0", "method": "early"}));
            out.is_left_within(Duration::from_secs(20));
        }),
    );
    let mut proxy = Proxy::start(&server);
    proxy.initialize();
    proxy.error("init", -31008);
    quiet();
    assert_eq!(proxy.lines().len(), 1);
    proxy.finish();
}

#[test]
fn a_lost_stream_fails_what_waits_and_is_opened_again_with_the_handshake() {
    let server = McpServer::serving(older(405, "/messages"));
    let mut proxy = Proxy::start(&server);
    proxy.shake_hands(&server);
    proxy.call(1, "never");
    server.wait_for("tools/call", 1);
    proxy.call(2, "cut");
    proxy.error(1, -31006);
    proxy.error(2, -31006);
    // It waits until there is a stream again.
    proxy.call(3, "x");
    assert_eq!(proxy.answer(&json!(3))["result"]["echo"]["name"], "x");
    let first = server.seen_of("initialize");
    assert_eq!(first.len(), 3, "the refused one, the first, and the repeated one");
    assert_ne!(first[2].id(), first[1].id());
    assert_eq!(server.seen_of("notifications/initialized").len(), 2);
    proxy.finish();
}

#[test]
fn a_server_that_went_away_is_told_to_each_request_and_found_again_by_the_next() {
    let server = McpServer::serving(older(405, "/messages"));
    let port = server.port;
    let mut proxy = Proxy::start(&server);
    proxy.shake_hands(&server);
    drop(server);
    proxy.call(1, "x");
    let code = proxy.answer(&json!(1))["error"]["code"].as_i64().unwrap();
    assert!(code == -31004 || code == -31006, "{code}");
    thread::sleep(Duration::from_millis(500));
    let server = McpServer::start_at(port, older(405, "/messages"));
    proxy.call(2, "x");
    let answer = (2..12).find_map(|id| {
        let answer = proxy.answer(&json!(id));
        proxy.call(id + 1, "x");
        answer.get("result").cloned()
    });
    assert_eq!(answer.expect("it comes back")["echo"]["name"], "x");
    assert_eq!(server.seen_of("initialize").len(), 1);
    proxy.finish();
}
