use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::kit::{LATEST, Proxy, quiet};
use crate::support::mcp_server::{McpServer, SESSION, Script};

#[test]
fn only_messages_come_out_of_a_stream() {
    let server = McpServer::serving(Script::of(LATEST).on("tools/call", |_, out| {
        out.events();
        out.raw("\u{feff}: a comment\r\n\r\nid: 1\r\ndata:\r\n\r\n".as_bytes());
        out.raw(b"event: ping\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"wrong\"}\n\n");
        out.raw(b"data: no JSON\n\ndata: {\"hello\":1}\n\n: comment\n\n");
        out.raw(b"data: {\"jsonrpc\":\"2.0\",\rdata: \"method\":\"notifications/a\"}\r\r");
        let snow = "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/☃\"}\n\n";
        for byte in snow.as_bytes() {
            out.raw(&[*byte]);
            thread::sleep(Duration::from_millis(1));
        }
        out.raw(b"event: message\ndata: {\"jsonrpc\":\"2.0\",\n");
        out.raw(b"data: \"id\":1,\"result\":{}}\n\n");
    }));
    let mut proxy = Proxy::in_session(&server);
    proxy.call(1, "x");
    proxy.answer(&json!(1));
    let lines = proxy.finish().stdout;
    let lines: Vec<_> = lines.lines().skip(1).collect();
    let wanted = [
        "{\"jsonrpc\":\"2.0\", \"method\":\"notifications/a\"}",
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/☃\"}",
        "{\"jsonrpc\":\"2.0\", \"id\":1,\"result\":{}}",
    ];
    assert_eq!(lines, wanted);
}

#[test]
fn the_server_may_ask_on_either_stream() {
    let server = McpServer::serving(
        Script::of(LATEST)
            .on("tools/call", |seen, out| {
                out.events().event(&json!({"jsonrpc": "2.0", "id": 1, "method": "roots/list"}));
                thread::sleep(Duration::from_millis(300));
                let progress = json!({"progressToken": "t", "progress": 1});
                let method = "notifications/progress";
                out.event(&json!({"jsonrpc": "2.0", "method": method, "params": progress}));
                out.event(&json!({"jsonrpc": "2.0", "id": seen.id(), "result": {}}));
            })
            .on("GET", |_, out| {
                out.events().event(&json!({"jsonrpc": "2.0", "id": "g", "method": "ping"}));
                let method = "notifications/tools/list_changed";
                out.event(&json!({"jsonrpc": "2.0", "method": method}));
                out.is_left_within(Duration::from_secs(20));
            }),
    );
    let mut proxy = Proxy::in_session(&server);
    assert_eq!(proxy.message("ping")["id"], "g");
    proxy.message("notifications/tools/list_changed");
    // The two sides number by themselves.
    proxy.call(1, "x");
    proxy.message("roots/list");
    proxy.send(&json!({"jsonrpc": "2.0", "id": 1, "result": {"roots": []}}));
    proxy.send(&json!({"jsonrpc": "2.0", "id": "g", "result": {}}));
    assert_eq!(proxy.answer(&json!(1))["result"], json!({}));
    let mut answers: Vec<_> =
        server.wait_for("answer", 2).iter().map(|seen| seen.json().to_string()).collect();
    answers.sort();
    assert!(answers[0].contains("\"g\"") && answers[1].contains("roots"), "{answers:?}");
    proxy.message("notifications/progress");
    assert_eq!(server.seen_of("GET")[0].header("accept"), Some("text/event-stream"));
    proxy.finish();
}

#[test]
fn no_stream_of_its_own_is_no_fault_whatever_the_server_says() {
    for status in [405, 404, 406, 400, 501, 503, 200] {
        let server = McpServer::serving(
            Script::of(LATEST).on("GET", move |_, out| out.reply(status, "text/html", "<p>no</p>")),
        );
        let mut proxy = Proxy::in_session(&server);
        thread::sleep(Duration::from_millis(1200));
        proxy.call(1, "x");
        assert!(proxy.answer(&json!(1))["result"].is_object(), "{status}");
        let output = proxy.finish();
        assert_eq!(server.seen_of("GET").len(), 1, "{status}");
        assert_eq!(output.stderr, "", "{status}");
    }
}

#[test]
fn the_servers_own_stream_is_taken_up_where_it_ended() {
    let times = AtomicUsize::new(0);
    let server = McpServer::serving(Script::of(LATEST).on("GET", move |_, out| {
        out.events();
        if times.fetch_add(1, Ordering::SeqCst) == 0 {
            out.raw(b"id: e-7\nretry: 500\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"one\"}\n\n");
        } else {
            out.event(&json!({"jsonrpc": "2.0", "method": "two"}));
            out.is_left_within(Duration::from_secs(20));
        }
    }));
    let proxy = Proxy::in_session(&server);
    proxy.message("two");
    let gets = server.seen_of("GET");
    assert_eq!((gets.len(), gets[0].header("last-event-id")), (2, None));
    assert_eq!(gets[1].header("last-event-id"), Some("e-7"));
    assert_eq!(gets[1].header("mcp-session-id"), Some(SESSION));
    let wait = gets[1].at - gets[0].at;
    assert!(wait >= Duration::from_millis(500) && wait < Duration::from_millis(950), "{wait:?}");
    proxy.finish();
}

#[test]
fn an_answer_is_fetched_where_its_stream_broke_off() {
    let server = McpServer::serving(
        Script::of(LATEST)
            .on("tools/call", |_, out| {
                out.events().raw(b"retry: 100\nid: p-1\ndata:\n\n");
            })
            .on("GET", |seen, out| match seen.header("last-event-id") {
                Some("p-1") => drop(out.events().raw(b"id: p-2\ndata:\n\n")),
                Some("p-2") => {
                    out.events().event(&json!({"jsonrpc": "2.0", "id": 7, "result": {"late": 1}}));
                }
                _ => out.status(405),
            }),
    );
    let mut proxy = Proxy::in_session(&server);
    proxy.call(7, "x");
    assert_eq!(proxy.answer(&json!(7))["result"]["late"], 1);
    quiet();
    proxy.finish();
    assert_eq!((server.seen_of("tools/call").len(), server.seen_of("GET").len()), (1, 3));
}

#[test]
fn an_answer_that_cannot_be_fetched_is_an_error_and_the_request_is_not_repeated() {
    let server = McpServer::serving(Script::of(LATEST).on("tools/call", |seen, out| {
        match seen.id().as_u64() {
            // A stream without ids, a JSON body in half, an end before the head.
            Some(1) => drop(out.events().event(&json!({"jsonrpc": "2.0", "method": "some"}))),
            Some(2) => {
                out.raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n");
                out.raw(b"Content-Length: 99\r\n\r\n{\"json").cut();
            }
            Some(3) => out.cut(),
            // It could be resumed, but the server has forgotten it.
            _ => drop(out.events().raw(b"retry: 1\nid: x\ndata:\n\n")),
        }
    }));
    let mut proxy = Proxy::in_session(&server);
    for id in 1..=4 {
        proxy.call(id, "x");
        let error = proxy.error(id, -31006);
        assert_eq!(error["data"]["kind"], "lost");
        assert!(error["message"].as_str().unwrap().contains("may have run"));
    }
    proxy.message("some");
    let output = proxy.finish();
    output.stderr_has("tools/call: the connection was lost");
    assert_eq!(server.seen_of("tools/call").len(), 4);
}

#[test]
fn a_cancellation_is_told_and_its_stream_stays_open() {
    let server = McpServer::serving(Script::of(LATEST).on("tools/call", |seen, out| {
        out.events().event(&json!({"jsonrpc": "2.0", "method": "begun"}));
        assert!(!out.is_left_within(Duration::from_millis(700)), "the client left");
        out.event(&json!({"jsonrpc": "2.0", "id": seen.id(), "result": {"though": true}}));
    }));
    let mut proxy = Proxy::in_session(&server);
    proxy.call(1, "x");
    proxy.message("begun");
    proxy.notify("notifications/cancelled", json!({"requestId": 1, "reason": "bored"}));
    let told = server.wait_for("notifications/cancelled", 1);
    assert_eq!(told[0].json()["params"]["requestId"], 1);
    // Servers may answer though, and the client may want it.
    assert_eq!(proxy.answer(&json!(1))["result"]["though"], true);
    proxy.finish();
}

#[test]
fn what_was_cancelled_gets_no_error_of_ours() {
    let server = McpServer::serving(Script::of(LATEST).on("tools/call", |_, out| {
        out.events().event(&json!({"jsonrpc": "2.0", "method": "begun"}));
        out.is_left_within(Duration::from_millis(500));
    }));
    let mut proxy = Proxy::in_session(&server);
    proxy.call(1, "x");
    proxy.message("begun");
    proxy.notify("notifications/cancelled", json!({"requestId": 1}));
    thread::sleep(Duration::from_millis(800));
    assert_eq!(proxy.lines().len(), 2, "{:?}", proxy.lines());
    proxy.finish();
}

/// A stream whose end is not seen would keep an old session's events coming.
#[test]
fn an_answer_on_the_servers_own_stream_counts() {
    let server = McpServer::serving(
        Script::of(LATEST)
            .on("tools/call", |_, out| {
                out.events();
                out.is_left_within(Duration::from_secs(2));
            })
            .on("GET", |_, out| {
                out.events();
                thread::sleep(Duration::from_millis(600));
                out.event(&json!({"jsonrpc": "2.0", "id": 1, "result": {"elsewhere": 1}}));
                out.event(&json!({"jsonrpc": "2.0", "id": 99, "result": {"nobody": 1}}));
                out.is_left_within(Duration::from_secs(20));
            }),
    );
    let mut proxy = Proxy::in_session(&server);
    proxy.call(1, "x");
    assert_eq!(proxy.answer(&json!(1))["result"]["elsewhere"], 1);
    quiet();
    let output = proxy.finish();
    output.check(!output.stdout.contains("nobody"), "no answer to what was not asked");
}
