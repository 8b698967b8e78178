use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::kit::{LATEST, Proxy, quiet};
use crate::support::mcp_server::{McpServer, SESSION, Script, handshake};

#[test]
fn a_pretty_printed_answer_is_one_line_and_otherwise_as_it_came() {
    let pretty = "{\r\n  \"result\": {\"z\": 1.0, \"big\": 1152921504606846976,\n\t\"a\": 1e2, \
                  \"text\": \"a\\nb\"},\n  \"id\": 1,\n  \"jsonrpc\": \"2.0\"\n}\n";
    let server =
        McpServer::serving(Script::of(LATEST).on("tools/call", move |_, out| out.json(pretty)));
    let mut proxy = Proxy::in_session(&server);
    proxy.call(1, "x");
    let wanted = "{    \"result\": {\"z\": 1.0, \"big\": 1152921504606846976, \t\"a\": 1e2, \
                  \"text\": \"a\\nb\"},   \"id\": 1,   \"jsonrpc\": \"2.0\" }";
    let line = proxy.answer_line(&json!(1));
    assert_eq!(
        line.split_whitespace().collect::<Vec<_>>(),
        wanted.split_whitespace().collect::<Vec<_>>()
    );
    assert!(line.contains("\"z\": 1.0") && line.contains("\t\"a\": 1e2"));
    proxy.finish();
}

#[test]
fn ids_come_back_as_they_went() {
    let server = McpServer::serving(Script::of(LATEST).on("tools/call", |seen, out| {
        // The text of the id, untouched.
        let id = seen.body.split("\"id\":").nth(1).and_then(|rest| rest.split(",\"").next());
        out.json(&format!("{{\"jsonrpc\":\"2.0\",\"id\":{},\"result\":{{}}}}", id.unwrap()));
    }));
    let mut proxy = Proxy::in_session(&server);
    let ids = ["1", "\"1\"", "\"a\\u0000\"", "9007199254740993", "-7", "\"ä\"", "\"\""];
    for id in ids {
        let call = r#""jsonrpc":"2.0","method":"tools/call","params":{}"#;
        proxy.line(&format!("{{\"id\":{id},{call}}}"));
        let value: Value = serde_json::from_str(id).unwrap();
        let wanted = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{}}}}");
        assert_eq!(proxy.answer_line(&value), wanted);
    }
    let bodies: Vec<_> = server.seen_of("tools/call").into_iter().map(|seen| seen.body).collect();
    assert!(ids.iter().zip(&bodies).all(|(id, body)| body.contains(&format!("\"id\":{id},"))));
    proxy.finish();
}

#[test]
fn every_request_has_the_headers_of_its_revision() {
    let server = McpServer::serving(Script::of(LATEST));
    let mut proxy = Proxy::in_session(&server);
    proxy.call(1, "x");
    proxy.answer(&json!(1));
    proxy.finish();
    let seen = server.seen();
    let methods: Vec<_> = seen.iter().map(|seen| seen.method()).collect();
    assert_eq!(methods[..2], ["initialize", "notifications/initialized"]);
    assert!(methods.contains(&"DELETE".to_owned()) && methods.len() == 5, "{methods:?}");
    for request in &seen {
        let is_first = request.method() == "initialize";
        let session = (!is_first).then_some(SESSION);
        assert_eq!(request.header("mcp-session-id"), session, "{request:?}");
        assert_eq!(request.header("mcp-protocol-version"), (!is_first).then_some(LATEST));
        assert_eq!(request.header("origin"), None);
        assert_eq!(request.header("authorization"), None);
        let accept = request.header("accept").unwrap();
        assert!(accept.contains("text/event-stream"), "{accept}");
        if request.verb == "POST" {
            assert!(accept.contains("application/json"), "{accept}");
            assert_eq!(request.header("content-type"), Some("application/json"));
        }
    }
}

#[test]
fn the_revision_is_the_one_that_the_server_chose() {
    for version in ["2025-06-18", "2025-03-26"] {
        let server = McpServer::serving(Script::of(version));
        let mut proxy = Proxy::in_session(&server);
        proxy.call(1, "x");
        proxy.answer(&json!(1));
        proxy.finish();
        for seen in server.seen().iter().filter(|seen| seen.method() != "initialize") {
            assert_eq!(seen.header("mcp-protocol-version"), Some(version));
        }
    }
}

#[test]
fn the_handshake_reaches_the_server_before_what_was_sent_behind_it() {
    let server = McpServer::serving(
        Script::of(LATEST)
            .on("initialize", |seen, out| {
                thread::sleep(Duration::from_millis(300));
                out.header("Mcp-Session-Id", SESSION);
                // The stream stays open, and nobody may wait for its end.
                let result = handshake(LATEST);
                out.events().event(&json!({"jsonrpc": "2.0", "id": seen.id(), "result": result}));
                out.is_left_within(Duration::from_secs(10));
            })
            .on("notifications/initialized", |_, out| {
                thread::sleep(Duration::from_secs(1));
                out.status(202);
            }),
    );
    let mut proxy = Proxy::start(&server);
    proxy.initialize();
    proxy.notify("notifications/initialized", json!({}));
    proxy.ask(1, "tools/list", json!({}));
    proxy.answer(&json!(1));
    let seen = server.seen();
    let mut posts = seen.iter().filter(|seen| seen.verb == "POST");
    let order: Vec<_> = posts.by_ref().map(|seen| (seen.method(), seen.at)).collect();
    let names: Vec<_> = order.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["initialize", "notifications/initialized", "tools/list"]);
    assert!(order[2].1 - order[1].1 >= Duration::from_millis(950), "it waits for the answer");
    proxy.finish();
}

#[test]
fn slow_requests_run_side_by_side_and_answer_in_their_own_order() {
    let together = Arc::new(Barrier::new(20));
    let server = McpServer::serving(Script::of(LATEST).on("tools/call", move |seen, out| {
        together.wait();
        // The last one asked is the first to be answered.
        let id = seen.id().as_u64().unwrap();
        thread::sleep(Duration::from_millis(40 * (20 - id)));
        out.result(seen, json!({"long": "x".repeat(20_000)}));
    }));
    let mut proxy = Proxy::in_session(&server);
    (0..20).for_each(|id| proxy.call(id, "slow"));
    (0..20).for_each(|id| drop(proxy.answer(&json!(id))));
    let ids: Vec<_> = proxy.said().iter().skip(1).map(|said| said["id"].as_u64()).collect();
    let wanted: Vec<_> = (0..20).rev().map(Some).collect();
    assert_eq!((ids, server.most_at_once()), (wanted, 20));
    proxy.finish();
}

#[test]
fn what_the_server_says_to_a_notification_reaches_nobody() {
    let error = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"no"}}"#;
    let server = McpServer::serving(
        Script::of(LATEST)
            .on("notifications/a", move |_, out| out.reply(400, "application/json", error))
            .on("notifications/b", move |_, out| out.json(error))
            .on("notifications/c", |_, out| out.reply(200, "text/html", "<p>"))
            .on("notifications/d", |_, out| out.reply(500, "", "")),
    );
    let mut proxy = Proxy::in_session(&server);
    for name in ["a", "b", "c", "d"] {
        proxy.notify(&format!("notifications/{name}"), json!({}));
        server.wait_for(&format!("notifications/{name}"), 1);
    }
    quiet();
    assert_eq!(proxy.lines().len(), 1, "the answer to initialize alone");
    proxy.finish();
}

#[test]
fn a_batch_goes_out_as_single_messages_and_comes_in_as_lines() {
    let server = McpServer::serving(Script::of("2025-03-26").on("tools/call", |seen, out| {
        let (id, log) = (seen.id(), json!({"jsonrpc": "2.0", "method": "notifications/log"}));
        out.json(&json!([log, {"jsonrpc": "2.0", "id": id, "result": {}}]).to_string());
    }));
    let mut proxy = Proxy::in_session(&server);
    let call = |id| json!({"jsonrpc": "2.0", "id": id, "method": "tools/call"});
    proxy.send(&json!([call(1), {"jsonrpc": "2.0", "method": "notifications/x"}, call(2)]));
    proxy.answer(&json!(1));
    proxy.answer(&json!(2));
    server.wait_for("notifications/x", 1);
    assert_eq!(server.seen_of("tools/call").len(), 2);
    let logs = proxy.said().iter().filter(|said| said["method"] == "notifications/log").count();
    assert_eq!(logs, 2);
    proxy.finish();
}

#[test]
fn a_redirect_is_followed_within_the_origin_and_remembered() {
    let server = McpServer::serving(Script::of(LATEST).on("initialize", |seen, out| {
        if seen.path == "/mcp" {
            return out.header("Location", "/v2/mcp").status(307);
        }
        out.header("Mcp-Session-Id", SESSION);
        out.result(seen, handshake(LATEST));
    }));
    let mut proxy = Proxy::in_session(&server);
    proxy.call(1, "x");
    proxy.answer(&json!(1));
    proxy.finish();
    let paths: Vec<_> = server.seen().into_iter().map(|seen| seen.path).collect();
    assert_eq!(paths[0], "/mcp");
    assert!(paths[1..].iter().all(|path| path == "/v2/mcp"), "{paths:?}");
}
