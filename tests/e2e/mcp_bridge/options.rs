use std::fs;

use serde_json::json;

use super::kit::{LATEST, Proxy};
use crate::support::mcp_server::{McpServer, SESSION, Script};
use crate::support::sandbox::Sandbox;

#[test]
fn headers_of_the_person_go_with_every_request() {
    let server = McpServer::serving(Script::of(LATEST));
    let mut proxy = Proxy::with(&server.url(), |cmd| {
        cmd.arg("--header")
            .arg("Authorization: Bearer ${MY_TOKEN}")
            .arg("--header")
            .arg("X-Two:${A}-${B} $A")
            .env("MY_TOKEN", "hunter2-token")
            .env("A", "a")
            .env("B", "b")
    });
    proxy.shake_hands(&server);
    server.wait_for("GET", 1);
    proxy.call(1, "x");
    proxy.answer(&json!(1));
    proxy.finish().stderr_lacks("hunter2");
    let seen = server.seen();
    assert_eq!(seen.len(), 5);
    for request in seen {
        assert_eq!(request.header("authorization"), Some("Bearer hunter2-token"), "{request:?}");
        assert_eq!(request.header("x-two"), Some("a-b $A"));
    }
}

#[test]
fn a_header_that_the_server_refuses_begins_no_sign_in() {
    let server = McpServer::serving(Script::default().on("initialize", |_, out| out.status(401)));
    let mut proxy = Proxy::with(&server.url(), |cmd| {
        cmd.arg("--header").arg("authorization: Bearer hunter2-token")
    });
    proxy.initialize();
    let error = proxy.error("init", -31002);
    assert!(error["message"].as_str().unwrap().contains("Authorization"), "{error}");
    proxy.finish().stderr_lacks("hunter2");
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn what_cannot_be_meant_is_said_before_anything_is_read() {
    let url = "https://mcp.example.com/mcp";
    for (arguments, wanted) in [
        (vec!["mcp-proxy"], "url"),
        (vec!["mcp-proxy", "http://mcp.example.com/mcp"], "http"),
        (vec!["mcp-proxy", "ftp://mcp.example.com/"], ""),
        (vec!["mcp-proxy", "codemie"], "address"),
        (vec!["mcp-proxy", url, "--transport", "stdio"], "auto, http, sse"),
        (vec!["mcp-proxy", url, "--no-such-flag"], "--no-such-flag"),
        (vec!["mcp-proxy", url, "--header", "no colon"], "NAME: VALUE"),
        (vec!["mcp-proxy", url, "--header", "a b: c"], "a b"),
        (vec!["mcp-proxy", url, "--header", ": c"], "--header"),
        (vec!["mcp-proxy", url, "--header", "A: b\nC: d"], ""),
        (vec!["mcp-proxy", url, "--header", "A: ${NOT_SET}"], "NOT_SET is not set"),
        (vec!["mcp-proxy", url, "--header", "A: ${NOT"], "${"),
        (vec!["mcp-proxy", url, "--resource", url, "--no-resource"], "--no-resource"),
        (vec!["mcp-proxy", url, "--client-secret-env", "HOME"], "--client-id"),
        (vec!["mcp-proxy", url, "--callback-port", "99999"], "callback-port"),
    ] {
        // stdin stays open: who reads it first hangs.
        let sandbox = Sandbox::new();
        let output = sandbox.cmd(&arguments).spawn().wait(std::time::Duration::from_secs(5));
        output.code(2).stdout_is("").stderr_has(wanted);
    }
    for name in [
        "Accept",
        "content-type",
        "Host",
        "Last-Event-ID",
        "mcp-session-id",
        "MCP-Protocol-Version",
        "Mcp-Method",
        "mcp-name",
        "User-Agent",
        "Content-Length",
        "Transfer-Encoding",
        "Connection",
    ] {
        let sandbox = Sandbox::new();
        let header = format!("{name}: x");
        let output = sandbox.cmd(&["mcp-proxy", url, "--header", &header]).run();
        output.code(2).stdout_is("").stderr_has(name);
    }
}

#[test]
fn a_log_says_what_went_on_and_no_secret() {
    let server = McpServer::serving(
        Script::of(LATEST)
            .on("tools/call", |_, out| out.reply(403, "text/plain", "hunter2-body"))
            .on("ping", |_, out| out.reply(503, "text/plain", "hunter2-body")),
    );
    for is_own_file in [false, true] {
        let sandbox = Sandbox::new();
        let own = sandbox.work().join("own.log");
        let cmd = sandbox.cmd(&["mcp-proxy", &server.url(), "--header", "X-Key: hunter2-key"]);
        let (cmd, path) = match is_own_file {
            true => (cmd.arg("--log-file").arg(&own.display().to_string()), own),
            false => {
                let path = sandbox.home().join("logs").join("mcp-proxy.log");
                (cmd.env("MCP_PROXY_DEBUG", "true"), path)
            }
        };
        let mut proxy = Proxy { running: cmd.spawn(), sandbox };
        proxy.shake_hands(&server);
        proxy.call(1, "hunter2-argument");
        proxy.error(1, -31003);
        proxy.ask(2, "ping", json!({}));
        proxy.error(2, -31004);
        let (log, mode) = (proxy.sandbox.read(&path), proxy.sandbox.mode(&path));
        assert_eq!(mode, 0o600);
        assert!(log.contains("tools/call") && log.contains("403") && log.contains("503"), "{log}");
        assert!(log.contains("initialize") && log.contains("200"), "{log}");
        assert!(!log.contains("hunter2") && !log.contains(SESSION), "{log}");
        proxy.finish().stderr_lacks("hunter2");
    }
}

#[test]
fn without_a_wish_there_is_no_log() {
    let server = McpServer::serving(Script::of(LATEST));
    for value in ["", "0", "false"] {
        let mut proxy = Proxy::with(&server.url(), |cmd| cmd.env("MCP_PROXY_DEBUG", value));
        proxy.shake_hands(&server);
        assert!(!proxy.sandbox.home().join("logs").exists(), "{}", proxy.sandbox.listing());
        proxy.finish();
    }
}

#[test]
fn a_log_that_has_grown_is_put_aside() {
    let server = McpServer::serving(Script::of(LATEST));
    let sandbox = Sandbox::new();
    let path = sandbox.work().join("own.log");
    fs::write(&path, "old\n".repeat(256 * 1024)).unwrap();
    let cmd = sandbox.cmd(&["mcp-proxy", &server.url(), "--log-file", path.to_str().unwrap()]);
    let mut proxy = Proxy { running: cmd.spawn(), sandbox };
    proxy.shake_hands(&server);
    proxy.call(1, "x");
    proxy.answer(&json!(1));
    let old = proxy.sandbox.work().join("own.log.1");
    assert!(proxy.sandbox.read(&old).starts_with("old\n"));
    let log = proxy.sandbox.read(&path);
    assert!(log.len() < 10_000 && proxy.sandbox.mode(&path) == 0o600);
    proxy.finish();
}

#[test]
fn a_log_that_cannot_be_written_is_said_at_once() {
    let sandbox = Sandbox::new();
    let folder = sandbox.work().display().to_string();
    let url = "http://127.0.0.1:9/mcp";
    let output = sandbox.cmd(&["mcp-proxy", url, "--log-file", &folder]).run();
    output.stdout_is("").stderr_has(&folder);
    output.check(output.status != Some(0), "a failure");
}
