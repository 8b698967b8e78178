//! The stateless revision, 2026-07-28.

use std::sync::mpsc;
use std::time::Duration;

use serde_json::{Value, json};

use super::kit::{Proxy, quiet};
use crate::support::mcp_server::{McpServer, Script};

const VERSION: &str = "2026-07-28";

fn meta() -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": VERSION,
        "io.modelcontextprotocol/clientCapabilities": {},
    })
}

fn ask(proxy: &mut Proxy, id: impl Into<Value>, method: &str, mut params: Value) {
    params["_meta"] = meta();
    proxy.ask(id, method, params);
}

#[test]
fn headers_repeat_the_message_and_there_is_no_session() {
    let server = McpServer::serving(Script::default());
    let mut proxy = Proxy::start(&server);
    ask(&mut proxy, 1, "server/discover", json!({}));
    proxy.answer(&json!(1));
    ask(&mut proxy, 2, "tools/call", json!({"name": "add", "arguments": {}}));
    ask(&mut proxy, 3, "resources/read", json!({"uri": "file:///a b"}));
    proxy.answer(&json!(2));
    proxy.answer(&json!(3));
    quiet();
    proxy.finish();
    let seen = server.seen();
    assert!(seen.len() == 3 && seen.iter().all(|seen| seen.verb == "POST"), "{seen:?}");
    for request in &seen {
        assert_eq!(request.header("mcp-protocol-version"), Some(VERSION));
        assert_eq!(request.header("mcp-method"), Some(&*request.method()));
        assert_eq!(request.header("mcp-session-id"), None);
    }
    let name = |method: &str| server.seen_of(method)[0].header("mcp-name").map(str::to_owned);
    assert_eq!(name("server/discover"), None);
    assert_eq!(name("tools/call").as_deref(), Some("add"));
    assert_eq!(name("resources/read").as_deref(), Some("file:///a b"));
}

#[test]
fn names_that_no_header_holds_are_encoded() {
    let server = McpServer::serving(Script::default());
    let mut proxy = Proxy::start(&server);
    for (id, name, wanted) in [
        (1, "äö", "=?base64?w6TDtg==?="),
        (2, " x ", "=?base64?IHgg?="),
        (3, "=?base64?a?=", "=?base64?PT9iYXNlNjQ/YT89?="),
        (4, "a\nb", "=?base64?YQpi?="),
        (5, "a b", "a b"),
    ] {
        ask(&mut proxy, id, "tools/call", json!({"name": name}));
        assert_eq!(proxy.answer(&json!(id))["result"]["echo"]["name"], name);
        assert_eq!(server.seen().last().unwrap().header("mcp-name"), Some(wanted));
    }
    proxy.finish();
}

#[test]
fn annotated_arguments_are_headers_and_tools_that_break_the_rules_are_gone() {
    let server = McpServer::serving(Script::default().on("tools/list", |seen, out| {
        let property = |name: &str| json!({"type": "string", "x-mcp-header": name});
        let tool = |name: &str, header: &str| {
            json!({"name": name, "inputSchema":
                {"type": "object", "properties": {"region": property(header)}}})
        };
        out.result(seen, json!({"tools": [tool("good", "Region"), tool("bad", "a b")]}));
    }));
    let mut proxy = Proxy::start(&server);
    ask(&mut proxy, 1, "tools/list", json!({}));
    let tools = proxy.answer(&json!(1))["result"]["tools"].clone();
    assert_eq!((tools.as_array().unwrap().len(), &tools[0]["name"]), (1, &json!("good")));
    ask(&mut proxy, 2, "tools/call", json!({"name": "good", "arguments": {"region": "eu ö"}}));
    proxy.answer(&json!(2));
    let call = &server.seen_of("tools/call")[0];
    assert_eq!(call.header("mcp-param-region"), Some("=?base64?ZXUgw7Y=?="));
    proxy.finish().stderr_has("tool bad: ");
}

#[test]
fn a_cancellation_closes_the_connection_and_nothing_more_is_said() {
    let (left, was_left) = mpsc::channel();
    let left = std::sync::Mutex::new(left);
    let server = McpServer::serving(Script::default().on("tools/call", move |seen, out| {
        if seen.json()["params"]["name"] == "stream" {
            out.events().event(&json!({"jsonrpc": "2.0", "method": "begun"}));
        }
        if seen.json()["params"]["name"] == "quick" {
            return out.result(seen, json!({}));
        }
        let is_left = out.is_left_within(Duration::from_secs(10));
        out.event(&json!({"jsonrpc": "2.0", "method": "late"}));
        left.lock().unwrap().send(is_left).unwrap();
    }));
    let mut proxy = Proxy::start(&server);
    for (id, name) in [(1, "stream"), (2, "silent before its head")] {
        ask(&mut proxy, id, "tools/call", json!({"name": name}));
        server.wait_for("tools/call", id);
        if id == 1 {
            proxy.message("begun");
        }
        // With and without the revision: the request had it.
        let meta = if id == 1 { meta() } else { json!({}) };
        proxy.notify("notifications/cancelled", json!({"requestId": id, "_meta": meta}));
        assert_eq!(was_left.recv_timeout(Duration::from_secs(3)), Ok(true), "{name}");
    }
    ask(&mut proxy, 3, "tools/call", json!({"name": "quick"}));
    proxy.answer(&json!(3));
    quiet();
    assert_eq!(proxy.lines().len(), 2, "{:?}", proxy.lines());
    let output = proxy.finish();
    assert_eq!(output.stderr, "");
    assert!(server.seen_of("notifications/cancelled").is_empty());
}

#[test]
fn a_lost_stream_is_an_error_and_nothing_is_repeated() {
    let server = McpServer::serving(Script::default().on("tools/call", |_, out| {
        out.events().raw(b"id: 1\nretry: 1\ndata:\n\n");
    }));
    let mut proxy = Proxy::start(&server);
    ask(&mut proxy, 1, "tools/call", json!({"name": "x"}));
    proxy.error(1, -31006);
    proxy.finish();
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn a_subscription_stays_open_and_does_not_hold_up_the_end() {
    let method = "notifications/subscriptions/acknowledged";
    let server = McpServer::serving(Script::default().on("subscriptions/listen", move |_, out| {
        out.events().event(&json!({"jsonrpc": "2.0", "method": method}));
        out.is_left_within(Duration::from_secs(20));
    }));
    let mut proxy = Proxy::start(&server);
    ask(&mut proxy, 1, "subscriptions/listen", json!({}));
    proxy.message(method);
    let began = std::time::Instant::now();
    proxy.finish();
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}

#[test]
fn errors_of_the_revision_pass_with_their_status() {
    let server = McpServer::serving(Script::default().on("tools/call", |seen, out| {
        let (status, code) = match seen.id().as_u64() {
            Some(1) => (400, -32020),
            Some(2) => (400, -32022),
            Some(3) => (404, -32601),
            _ => (400, -32602),
        };
        let error = json!({"code": code, "message": "m", "data": {"supported": [VERSION]}});
        let body = json!({"jsonrpc": "2.0", "id": seen.id(), "error": error});
        out.reply(status, "application/json", &body.to_string());
    }));
    let mut proxy = Proxy::start(&server);
    for (id, code) in [(1, -32020), (2, -32022), (3, -32601), (4, -32602)] {
        ask(&mut proxy, id, "tools/call", json!({"name": "x"}));
        let error = proxy.answer(&json!(id))["error"].clone();
        assert_eq!(
            (&error["code"], &error["data"]["supported"][0]),
            (&json!(code), &json!(VERSION))
        );
    }
    let output = proxy.finish();
    assert_eq!(output.stderr, "", "the client hears of it, nobody else");
}

#[test]
fn a_probe_at_an_older_server_is_an_error_that_the_client_understands() {
    let own = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"not initialized"}}"#;
    for (status, body, code) in [(400, own, -32000), (404, "Not Found", -32601), (405, "", -32601)]
    {
        let server = McpServer::serving(
            Script::of("2025-11-25")
                .on("server/discover", move |_, out| out.reply(status, "application/json", body)),
        );
        let mut proxy = Proxy::start(&server);
        ask(&mut proxy, 1, "server/discover", json!({}));
        assert_eq!(proxy.answer(&json!(1))["error"]["code"], code, "{status}");
        // The same process speaks the older one then.
        proxy.shake_hands(&server);
        proxy.call(2, "x");
        assert!(proxy.answer(&json!(2))["result"].is_object());
        proxy.finish();
    }
}
