use std::io::Read;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::kit::{LATEST, Proxy};
use crate::support::mcp_server::{McpServer, SESSION, Script};
use crate::support::sandbox::Sandbox;

#[test]
fn the_end_of_stdin_ends_the_session() {
    for status in [200, 204, 405, 404, 500] {
        let script = Script::of(LATEST).on("DELETE", move |_, out| out.status(status));
        let server = McpServer::serving(script);
        let proxy = Proxy::in_session(&server);
        let began = Instant::now();
        let output = proxy.finish();
        assert!(began.elapsed() < Duration::from_millis(800), "{:?}", began.elapsed());
        assert_eq!(output.stderr, "");
        let end = &server.seen_of("DELETE")[0];
        assert_eq!(end.header("mcp-session-id"), Some(SESSION));
        assert_eq!(end.header("mcp-protocol-version"), Some(LATEST));
    }
}

#[test]
fn who_is_told_to_end_tells_the_server() {
    let server = McpServer::serving(Script::of(LATEST));
    let proxy = Proxy::in_session(&server);
    proxy.running.kill("TERM");
    let output = proxy.running.wait(Duration::from_secs(5)).ok().stderr.clone();
    assert_eq!(output, "");
    assert_eq!(server.seen_of("DELETE")[0].header("mcp-session-id"), Some(SESSION));
}

#[test]
fn a_server_that_hangs_at_the_end_holds_up_nobody() {
    let server = McpServer::serving(
        Script::of(LATEST).on("DELETE", |_, out| out.hang()).on("tools/call", |_, out| out.hang()),
    );
    let mut proxy = Proxy::in_session(&server);
    proxy.call(1, "x");
    server.wait_for("tools/call", 1);
    // `finish` waits for 3 s.
    proxy.finish();
    assert_eq!(server.seen_of("DELETE").len(), 1);
}

#[test]
fn answers_under_way_still_come_when_stdin_has_ended() {
    let server = McpServer::serving(Script::of(LATEST).on("tools/call", |seen, out| {
        thread::sleep(Duration::from_millis(700));
        out.result(seen, json!({"late": true}));
    }));
    let mut proxy = Proxy::in_session(&server);
    proxy.call(1, "x");
    let output = proxy.finish();
    output.check(output.stdout.contains("\"late\":true"), "the answer");
    assert_eq!(server.seen().last().unwrap().verb, "DELETE", "after the answer");
}

#[test]
fn nothing_was_asked_and_nothing_is_said() {
    let server = McpServer::serving(Script::of(LATEST));
    let output = Proxy::start(&server).finish();
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("", ""));
    assert!(server.seen().is_empty());
}

#[test]
fn a_client_that_reads_no_more_is_gone() {
    let server = McpServer::serving(Script::of(LATEST));
    let sandbox = Sandbox::new();
    let mut child = Command::new(env!("CARGO_BIN_EXE_keyfob"))
        .args(["mcp-proxy", &server.url()])
        .env_clear()
        .env("HOME", sandbox.user_home())
        .env("KEYFOB_HOME", sandbox.home())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().unwrap();
    let line = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#;
    std::io::Write::write_all(&mut stdin, format!("{line}\n").as_bytes()).unwrap();
    server.wait_for("initialize", 1);
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if began.elapsed() > Duration::from_secs(1) {
            child.kill().unwrap();
            panic!("still there after a second");
        }
        thread::sleep(Duration::from_millis(5));
    };
    assert_eq!(status.code(), Some(0));
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!(stderr, "");
    assert_eq!(server.seen_of("DELETE").len(), 1);
}
