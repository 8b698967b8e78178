use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::kit::{LATEST, Proxy};
use crate::support::mcp_server::{McpServer, Out, SESSION, Script, Seen, handshake};

const NEXT: &str = "session-next-secret";

/// A server that forgets its first session once the handshake is through.
fn forgetful(again: impl Fn(&Seen, &mut Out) + Send + Sync + 'static) -> Script {
    let times = AtomicUsize::new(0);
    Script::of(LATEST).on("initialize", move |seen, out| {
        if times.fetch_add(1, Ordering::SeqCst) > 0 {
            return again(seen, out);
        }
        out.header("Mcp-Session-Id", SESSION);
        out.result(seen, handshake(LATEST));
    })
}

fn next_session(seen: &Seen, out: &mut Out) {
    out.header("Mcp-Session-Id", NEXT);
    out.result(seen, handshake(LATEST));
}

fn if_next(seen: &Seen, out: &mut Out, status: u16, body: &str) {
    match seen.header("mcp-session-id") {
        Some(NEXT) => out.result(seen, json!({"in": "the next"})),
        _ => out.reply(status, "application/json", body),
    }
}

#[test]
fn a_forgotten_session_is_begun_again_once_for_all_who_meet_that() {
    let together = Arc::new(Barrier::new(5));
    let script = forgetful(next_session).on("tools/call", move |seen, out| {
        if seen.header("mcp-session-id") == Some(SESSION) {
            together.wait();
        }
        let body = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32001,"message":"x"}}"#;
        if_next(seen, out, 404, body);
    });
    let server = McpServer::serving(script.on("GET", |_, out| {
        out.events();
        out.is_left_within(Duration::from_secs(20));
    }));
    let mut proxy = Proxy::in_session(&server);
    (0..5).for_each(|id| proxy.call(id, "x"));
    for id in 0..5 {
        assert_eq!(proxy.answer(&json!(id))["result"]["in"], "the next");
    }
    // The stream of the old session ended, though the server kept it.
    let gets = server.wait_for("GET", 2);
    assert_eq!(gets[1].header("mcp-session-id"), Some(NEXT));
    proxy.finish();
    let first = server.seen_of("initialize");
    assert_eq!(first.len(), 2);
    assert_eq!(first[1].header("mcp-session-id"), None);
    assert_eq!(first[1].header("mcp-protocol-version"), None);
    assert_eq!(first[1].json()["params"], first[0].json()["params"]);
    assert_ne!(first[1].id(), first[0].id());
    let told = server.seen_of("notifications/initialized");
    assert_eq!((told.len(), told[1].header("mcp-session-id")), (2, Some(NEXT)));
    assert_eq!(server.seen_of("tools/call").len(), 10);
    assert_eq!(server.seen_of("DELETE")[0].header("mcp-session-id"), Some(NEXT));
}

#[test]
fn what_the_old_session_was_asked_for_its_time_is_asked_of_the_new_one() {
    let script = forgetful(next_session).on("tools/call", |seen, out| if_next(seen, out, 404, ""));
    let server = McpServer::serving(script);
    let mut proxy = Proxy::in_session(&server);
    proxy.ask(1, "logging/setLevel", json!({"level": "info"}));
    proxy.ask(2, "resources/subscribe", json!({"uri": "file:///kept"}));
    proxy.ask(3, "resources/subscribe", json!({"uri": "file:///gone"}));
    (1..=3).for_each(|id| drop(proxy.answer(&json!(id))));
    proxy.ask(4, "resources/unsubscribe", json!({"uri": "file:///gone"}));
    proxy.answer(&json!(4));
    proxy.call(5, "x");
    proxy.answer(&json!(5));
    let seen = server.seen();
    let again = seen.iter().filter(|seen| seen.header("mcp-session-id") == Some(NEXT));
    let again: Vec<_> = again.filter(|seen| seen.verb == "POST").collect();
    let methods: Vec<_> = again.iter().map(|seen| seen.method()).collect();
    let wanted =
        ["notifications/initialized", "logging/setLevel", "resources/subscribe", "tools/call"];
    assert_eq!(methods, wanted);
    assert_eq!(again[1].json()["params"]["level"], "info");
    assert_eq!(again[2].json()["params"]["uri"], "file:///kept");
    // Their answers are nobody's.
    assert_eq!(proxy.lines().len(), 6);
    proxy.finish();
}

#[test]
fn servers_that_say_400_to_a_lost_session_are_understood() {
    for body in [
        r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"No valid session ID"}}"#,
        "Missing sessionId",
        r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"Server not initialized"}}"#,
    ] {
        let script = forgetful(next_session);
        let script = script.on("tools/call", move |seen, out| if_next(seen, out, 400, body));
        let server = McpServer::serving(script);
        let mut proxy = Proxy::in_session(&server);
        proxy.call(1, "x");
        assert_eq!(proxy.answer(&json!(1))["result"]["in"], "the next", "{body}");
        proxy.finish();
    }
}

#[test]
fn a_session_forgotten_twice_is_an_error_and_no_loop() {
    let script = forgetful(next_session).on("tools/call", |_, out| out.status(404));
    let server = McpServer::serving(script);
    let mut proxy = Proxy::in_session(&server);
    proxy.call(1, "x");
    proxy.error(1, -31007);
    assert_eq!((server.seen_of("initialize").len(), server.seen_of("tools/call").len()), (2, 2));
    proxy.finish();
}

#[test]
fn a_session_that_cannot_be_begun_again_is_an_error_for_all_and_the_next_call_tries_again() {
    let times = AtomicUsize::new(0);
    let together = Arc::new(Barrier::new(3));
    let again = move |seen: &Seen, out: &mut Out| {
        if times.fetch_add(1, Ordering::SeqCst) == 0 {
            thread::sleep(Duration::from_millis(300));
            return out.status(503);
        }
        next_session(seen, out);
    };
    let server = McpServer::serving(forgetful(again).on("tools/call", move |seen, out| {
        if seen.id().as_u64() < Some(3) {
            together.wait();
        }
        if_next(seen, out, 404, "");
    }));
    let mut proxy = Proxy::in_session(&server);
    (0..3).for_each(|id| proxy.call(id, "x"));
    for id in 0..3 {
        let error = proxy.error(id, -31007);
        assert!(error["message"].as_str().unwrap().contains("status 503"), "{error}");
    }
    assert_eq!(server.seen_of("initialize").len(), 2, "one try for the three");
    proxy.call(3, "x");
    assert_eq!(proxy.answer(&json!(3))["result"]["in"], "the next");
    proxy.finish();
}

#[test]
fn a_server_that_comes_back_with_another_revision_is_an_error() {
    let other = |seen: &Seen, out: &mut Out| {
        out.header("Mcp-Session-Id", NEXT);
        out.result(seen, handshake("2025-03-26"));
    };
    let script = forgetful(other).on("tools/call", |seen, out| if_next(seen, out, 404, ""));
    let server = McpServer::serving(script);
    let mut proxy = Proxy::in_session(&server);
    proxy.call(1, "x");
    let error = proxy.error(1, -31007);
    assert!(error["message"].as_str().unwrap().contains("another revision"), "{error}");
    proxy.finish();
}

#[test]
fn without_a_session_there_is_none_to_lose() {
    let server = McpServer::serving(
        Script::of(LATEST)
            .on("initialize", |seen, out| out.result(seen, handshake(LATEST)))
            .on("tools/call", |_, out| out.status(404)),
    );
    let mut proxy = Proxy::in_session(&server);
    proxy.call(1, "x");
    let error = proxy.error(1, -31008);
    assert_eq!(error["data"]["status"], 404);
    proxy.finish();
    assert_eq!(server.seen_of("initialize").len(), 1);
    assert!(server.seen_of("DELETE").is_empty());
    assert!(server.seen().iter().all(|seen| seen.header("mcp-session-id").is_none()));
}

#[test]
fn cookies_of_a_balancer_come_back_to_it() {
    let server = McpServer::serving(Script::of(LATEST).on("initialize", |seen, out| {
        out.header("Mcp-Session-Id", SESSION);
        out.header("Set-Cookie", "lb=node-3; Path=/; HttpOnly").header("Set-Cookie", "b=2");
        out.result(seen, handshake(LATEST));
    }));
    let proxy = Proxy::in_session(&server);
    proxy.finish();
    for seen in server.seen().iter().skip(1) {
        assert_eq!(seen.header("cookie"), Some("b=2; lb=node-3"), "{seen:?}");
    }
}
