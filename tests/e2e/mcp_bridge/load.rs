use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::kit::{LATEST, Proxy};
use crate::support::mcp_server::{McpServer, Script};
use crate::support::running::Running;
use crate::support::sandbox::Sandbox;

#[test]
fn a_thousand_calls_at_once_are_answered_once_each() {
    let server = McpServer::serving(Script::of(LATEST).on("tools/call", |seen, out| {
        let message = json!({"jsonrpc": "2.0", "id": seen.id(), "result": seen.json()["params"]});
        // Half of them as streams.
        if seen.id().as_u64().unwrap() % 2 == 0 {
            out.events().event(&message);
        } else {
            out.json(&message.to_string());
        }
    }));
    let mut proxy = Proxy::in_session(&server);
    let line =
        |id| json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": id}});
    let all: String = (0..1000).map(|id: u64| format!("{}\n", line(id))).collect();
    proxy.running.write_stdin(all);
    let deadline = Instant::now() + Duration::from_secs(40);
    while proxy.running.stdout().lines().count() < 1001 && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(20));
    }
    let mut ids = BTreeSet::new();
    for said in proxy.said().iter().skip(1) {
        assert_eq!(said["result"]["name"], said["id"], "{said}");
        assert!(ids.insert(said["id"].as_u64().unwrap()), "{said} came twice");
    }
    assert_eq!(ids, (0..1000).collect());
    proxy.finish();
}

/// A system may give a process 256 files and no more; here it has 100.
#[test]
fn more_calls_than_connections_wait_for_their_turn() {
    let server = McpServer::serving(Script::of(LATEST).on("tools/call", |seen, out| {
        thread::sleep(Duration::from_millis(50));
        out.result(seen, json!({}));
    }));
    let sandbox = Sandbox::new();
    let running = Command::new("sh")
        .args(["-c", "ulimit -n 100; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_keyfob"), "mcp-proxy"])
        .arg(server.url())
        .env_clear()
        .env("HOME", sandbox.user_home())
        .env("KEYFOB_HOME", sandbox.home())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map(|child| Running::new("keyfob mcp-proxy".to_owned(), sandbox.home(), child))
        .unwrap();
    let mut proxy = Proxy { running, sandbox };
    proxy.shake_hands(&server);
    (0..200).for_each(|id| proxy.call(id, "x"));
    for id in 0..200 {
        assert!(proxy.answer(&json!(id)).get("result").is_some());
    }
    assert_eq!(server.most_at_once(), 36);
    assert_eq!(proxy.finish().stderr, "");
}

#[test]
fn one_slow_call_blocks_nobody() {
    let server = McpServer::serving(Script::of(LATEST).on("tools/call", |seen, out| {
        if seen.json()["params"]["name"] == "slow" {
            thread::sleep(Duration::from_secs(2));
        }
        out.result(seen, json!({}));
    }));
    let mut proxy = Proxy::in_session(&server);
    proxy.call(0, "slow");
    server.wait_for("tools/call", 1);
    let began = Instant::now();
    for id in 1..=20 {
        proxy.call(id, "quick");
        proxy.answer(&json!(id));
    }
    assert!(began.elapsed() < Duration::from_millis(1500), "{:?}", began.elapsed());
    proxy.answer(&json!(0));
    proxy.finish();
}

#[test]
fn connections_are_used_again() {
    let together = Arc::new(Barrier::new(10));
    let server = McpServer::serving(Script::of(LATEST).on("tools/call", move |seen, out| {
        together.wait();
        out.result(seen, json!({}));
    }));
    let mut proxy = Proxy::in_session(&server);
    for round in 0..5 {
        (0..10).for_each(|id| proxy.call(round * 10 + id, "x"));
        (0..10).for_each(|id| drop(proxy.answer(&json!(round * 10 + id))));
    }
    // Ten at once, and those of the handshake.
    assert!(server.connections() <= 13, "{} connections", server.connections());
    proxy.finish();
}

#[test]
fn a_lost_network_is_told_to_each_who_waits_and_the_next_call_works() {
    let waiting = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&waiting);
    let server = McpServer::serving(Script::of(LATEST).on("tools/call", move |seen, out| {
        if seen.id() == 0 {
            out.events();
        }
        count.fetch_add(1, Ordering::SeqCst);
        out.is_left_within(Duration::from_secs(20));
    }));
    let port = server.port;
    let mut proxy = Proxy::in_session(&server);
    (0..5).for_each(|id| proxy.call(id, "x"));
    server.wait_for("tools/call", 5);
    while waiting.load(Ordering::SeqCst) < 5 {
        thread::sleep(Duration::from_millis(2));
    }
    drop(server);
    for id in 0..5 {
        proxy.error(id, -31006);
    }
    proxy.call(5, "x");
    proxy.error(5, -31004);
    // It comes back without the session.
    let server = McpServer::start_at(
        port,
        Script::of(LATEST)
            .on("initialize", |seen, out| {
                out.header("Mcp-Session-Id", "session-next-secret");
                out.result(seen, crate::support::mcp_server::handshake(LATEST));
            })
            .on("tools/call", |seen, out| match seen.header("mcp-session-id") {
                Some("session-next-secret") => out.result(seen, Value::from(1)),
                _ => out.status(404),
            }),
    );
    proxy.call(6, "x");
    assert_eq!(proxy.answer(&json!(6))["result"], 1);
    proxy.finish();
    assert_eq!(server.seen_of("initialize").len(), 1);
}
