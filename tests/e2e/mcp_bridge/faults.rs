use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::kit::{LATEST, Proxy, quiet};
use crate::support::mcp_server::{McpServer, Out, SESSION, Script, Seen, handshake};
use crate::support::tls::DeadPort;

#[test]
fn lines_that_are_no_messages_are_answered_where_they_can_be() {
    let server = McpServer::serving(Script::of(LATEST));
    let mut proxy = Proxy::in_session(&server);
    for line in ["hello \u{1b}[31m", "{", "[]", "7", "", "   ", r#"{"id":null,"method":"x"}"#] {
        proxy.line(line);
    }
    for (id, line) in [
        (1, r#"{"id":1,"method":"no version"}"#),
        (2, r#"{"jsonrpc":"2.0","id":2}"#),
        (3, r#"{"jsonrpc":"2.0","id":3,"method":7}"#),
    ] {
        proxy.line(line);
        proxy.error(id, -32600);
    }
    proxy.line(r#"{"jsonrpc":"2.0","id":"keyfob-proxy-initialize","method":"x"}"#);
    proxy.error("keyfob-proxy-initialize", -32600);
    proxy.call(9, "x");
    proxy.answer(&json!(9));
    let output = proxy.finish();
    output.stderr_has("it is no JSON: hello [31m").stderr_lacks("\u{1b}");
    output.stderr_has("no version");
    assert_eq!(output.stdout.lines().count(), 6);
    assert_eq!(server.seen_of("x").len(), 0);
}

#[test]
fn a_line_that_is_too_long_is_refused_and_the_next_one_read() {
    let server = McpServer::serving(Script::of(LATEST));
    let mut proxy = Proxy::in_session(&server);
    let long = "x".repeat(65 * 1024 * 1024);
    let head = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"x":""#;
    proxy.line(&format!("{head}{long}\"}}}}"));
    proxy.error(1, -32600);
    proxy.call(2, "x");
    proxy.answer(&json!(2));
    let output = proxy.finish();
    output.stderr_has("more than 64 MiB");
    assert!(output.stderr.len() < 1000);
    assert_eq!(server.seen_of("tools/call").len(), 1);
}

#[test]
fn an_unreachable_server_is_told_and_looked_for_again() {
    let dead = DeadPort::new();
    let mut proxy = Proxy::with(&format!("http://{}/mcp", dead.address()), |cmd| cmd);
    for id in [1, 2] {
        proxy.ask(id, "initialize", json!({}));
        let error = proxy.error(id, -31004);
        assert!(error["message"].as_str().unwrap().contains(&dead.address()), "{error}");
        assert_eq!(error["data"]["kind"], "network");
    }
    let output = proxy.finish();
    assert_eq!(output.stderr.lines().count(), 1, "one line, not one for each: {}", output.stderr);
    output.stderr_has("connection refused");
}

#[test]
fn a_busy_server_is_told_with_its_wait() {
    for (status, wait) in [(503, Some("7")), (429, Some("2")), (500, None), (504, None)] {
        let server = McpServer::serving(Script::of(LATEST).on("tools/call", move |_, out| {
            if let Some(wait) = wait {
                out.header("Retry-After", wait);
            }
            out.reply(status, "text/plain", "hunter2");
        }));
        let mut proxy = Proxy::in_session(&server);
        proxy.call(1, "x");
        let error = proxy.error(1, -31004);
        assert_eq!(error["data"]["status"], status);
        let wanted = wait.map_or(Value::Null, |wait| json!(wait.parse::<u64>().unwrap()));
        assert_eq!(error["data"]["retry_after"], wanted);
        proxy.finish().stderr_has(&format!("status {status}")).stderr_lacks("hunter2");
        assert_eq!(server.seen_of("tools/call").len(), 1, "nothing is repeated");
    }
}

#[test]
fn answers_that_are_none_are_errors() {
    let nothing = |seen: &Seen, out: &mut Out| match seen.json()["params"]["name"].as_str() {
        Some("202") => out.status(202),
        Some("200") => out.status(200),
        Some("html") => out.reply(200, "text/html", "<p>hello</p>"),
        Some("broken") => out.json("{\"jsonrpc\":"),
        Some("foreign") => out.json("{\"hello\":1}"),
        Some("another's") => out.json(r#"{"jsonrpc":"2.0","id":77,"result":{}}"#),
        Some("notification") => out.json(r#"{"jsonrpc":"2.0","method":"notifications/x"}"#),
        Some("302") => out.header("Location", "https://evil.example/").status(302),
        Some("307") => out.header("Location", "https://evil.example/").status(307),
        Some("gateway") => out.reply(404, "application/json", r#"{"error":{"code":404}}"#),
        _ => out.status(418),
    };
    let script = Script::of(LATEST)
        .on("initialize", |seen, out| out.result(seen, handshake(LATEST)))
        .on("tools/call", nothing);
    let server = McpServer::serving(script);
    let mut proxy = Proxy::in_session(&server);
    let names = [
        "202",
        "200",
        "html",
        "broken",
        "foreign",
        "another's",
        "notification",
        "302",
        "307",
        "gateway",
        "418",
    ];
    for name in names {
        proxy.call(name, name);
        proxy.error(name, -31008);
    }
    let output = proxy.finish();
    output.stderr_has("text/html");
    output.check(!output.stdout.contains("hello"), "nothing but messages");
    assert_eq!(server.seen_of("tools/call").len(), names.len());
}

#[test]
fn an_error_without_an_id_gets_that_of_the_request() {
    let server = McpServer::serving(Script::of(LATEST).on("tools/call", |seen, out| {
        let id = if seen.id() == 1 { Value::Null } else { seen.id() };
        let error = json!({"code": -32002, "message": "own", "data": {"uri": "x"}});
        let status = if seen.id() == 2 { 400 } else { 200 };
        let body = json!({"jsonrpc": "2.0", "id": id, "error": error}).to_string();
        out.reply(status, "application/json", &body);
    }));
    let mut proxy = Proxy::in_session(&server);
    for id in [1, 2] {
        proxy.call(id, "x");
        assert_eq!(proxy.answer(&json!(id))["error"]["data"]["uri"], "x");
    }
    proxy.finish();
}

#[test]
fn what_is_forbidden_is_told_with_the_servers_words_to_the_client_alone() {
    let server = McpServer::serving(Script::of(LATEST).on("tools/call", |_, out| {
        out.reply(403, "text/plain", &format!("not \u{1b}[1m for you {}", "x".repeat(500)));
    }));
    let mut proxy = Proxy::in_session(&server);
    proxy.call(1, "x");
    let error = proxy.error(1, -31003);
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("not [1m for you") && message.len() < 300, "{message}");
    assert_eq!(error["data"]["status"], 403);
    proxy.finish().stderr_has("status 403").stderr_lacks("for you");
}

#[test]
fn a_server_that_uses_ids_of_ours_is_refused() {
    let server = McpServer::serving(Script::of(LATEST).on("tools/call", |seen, out| {
        let id = "keyfob-proxy-initialize";
        out.events().event(&json!({"jsonrpc": "2.0", "id": id, "method": "ping"}));
        out.event(&json!({"jsonrpc": "2.0", "id": seen.id(), "result": {}}));
    }));
    let mut proxy = Proxy::in_session(&server);
    proxy.call(1, "x");
    proxy.answer(&json!(1));
    let refusal = &server.wait_for("answer", 1)[0];
    assert_eq!(refusal.json()["error"]["code"], -32600);
    assert_eq!(refusal.json()["id"], "keyfob-proxy-initialize");
    assert_eq!(refusal.header("mcp-session-id"), Some(SESSION));
    let output = proxy.finish();
    output.check(!output.stdout.contains("ping"), "no ping");
}

/// A server that is modern only says so in its own words, which are all that a person has.
#[test]
fn a_server_without_handshakes_explains_itself() {
    let server = McpServer::serving(Script::default().on("initialize", |_, out| {
        let error = json!({"code": -32022, "message": "m", "data": {"supported": ["2026-07-28"]}});
        let body = json!({"jsonrpc": "2.0", "id": null, "error": error}).to_string();
        out.reply(400, "application/json", &body);
    }));
    let mut proxy = Proxy::start(&server);
    proxy.initialize();
    let error = proxy.answer(&json!("init"))["error"].clone();
    assert_eq!(
        (&error["code"], &error["data"]["supported"][0]),
        (&json!(-32022), &json!("2026-07-28"))
    );
    quiet();
    proxy.finish();
    assert_eq!(server.seen().len(), 1, "no other transport is tried");
}

/// 30 s, the limit for a handshake: before the head, and on a stream that stays silent.
#[test]
fn a_handshake_that_is_not_answered_ends_in_time() {
    thread::scope(|scope| {
        for has_head in [false, true] {
            scope.spawn(move || {
                let server =
                    McpServer::serving(Script::of(LATEST).on("initialize", move |_, out| {
                        if has_head {
                            out.events().raw(b": hello\n\n");
                        }
                        out.is_left_within(Duration::from_secs(40));
                    }));
                let mut proxy = Proxy::start(&server);
                let began = Instant::now();
                proxy.initialize();
                thread::sleep(Duration::from_secs(29));
                assert!(proxy.lines().is_empty());
                let error = proxy.error("init", -31005);
                assert!(error["message"].as_str().unwrap().contains("30 s"), "{error}");
                assert!(began.elapsed() < Duration::from_secs(33));
                proxy.finish();
                assert!(server.seen_of("notifications/cancelled").is_empty());
            });
        }
    });
}
