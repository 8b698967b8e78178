//! Where it listens, and what its settings may be, from the start and while it runs.

use std::time::Instant;

use serde_json::json;

use super::client::Client;
use super::kit::{Gateway, LIMIT, Setup};
use super::upstream::Upstream;
use crate::support::running::Running;
use crate::support::sandbox::{Sandbox, write_private};

/// Where a gateway that was started by hand says that it listens.
fn address(running: &Running) -> String {
    let line = running.stderr_line_containing("listening on http://", LIMIT);
    line.split("http://").nth(1).unwrap_or_default().to_owned()
}

#[test]
fn an_address_that_others_can_reach_is_not_taken_by_accident() {
    let sandbox = Sandbox::new();
    for address in ["0.0.0.0:0", "[::]:0"] {
        let output = sandbox.cmd(&["serve", "--listen", address]).run();
        output.code(2).stdout_is("").stderr_has("--allow-remote").stderr_lacks("listening on");
        output.stderr_lacks("kf-");
    }
    for address in ["", "x", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:99999", "nowhere.invalid:1"] {
        let output = sandbox.cmd(&["serve", "--listen", address]).run();
        output.code(2).stdout_is("").stderr_lacks("listening on");
    }
    assert!(!sandbox.home().join("serve").exists(), "no key was made");
}

/// Addresses are as good as each other there, names have to be ours still.
#[test]
fn who_listens_for_others_is_still_asked_by_its_own_names_alone() {
    let sandbox = Sandbox::new();
    let words = ["serve", "--listen", "0.0.0.0:0", "--allow-remote"];
    let running = sandbox.cmd(&words).spawn();
    let port = address(&running).rsplit(':').next().unwrap_or_default().to_owned();
    let status = |host: &str| {
        let mut client = Client::to(&format!("127.0.0.1:{port}"));
        client.say(format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        client.answer().status()
    };
    assert_eq!(status(&format!("127.0.0.1:{port}")), 200);
    assert_eq!(status(&format!("192.0.2.7:{port}")), 200);
    assert_eq!(status("192.0.2.7:1"), 403);
    assert_eq!(status(&format!("evil.example:{port}")), 403);
    running.kill("TERM");
    running.wait(LIMIT).ok();
}

#[test]
fn the_other_loopback_is_as_good() {
    let sandbox = Sandbox::new();
    sandbox.cmd(&["serve", "key", "add", "a"]).run().ok();
    let running = sandbox.cmd(&["serve", "--listen", "[::1]:0"]).spawn();
    let address = address(&running);
    assert!(address.starts_with("[::1]:"), "{address}");
    let mut client = Client::to(&address);
    client.say(format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\n\r\n"));
    client.answer().is(200);
}

#[test]
fn a_port_that_is_taken_is_said_and_nothing_is_made() {
    let gateway = Setup::empty().start();
    let sandbox = Sandbox::new();
    let output = sandbox.cmd(&["serve", "--listen", &gateway.host()]).run();
    output.code(1).stdout_is("").stderr_has(&gateway.host()).stderr_lacks("kf-");
    output.stderr_has("\n  try: keyfob serve --listen 127.0.0.1:0");
}

#[test]
fn settings_say_where_and_the_flag_says_it_louder() {
    let sandbox = Sandbox::new();
    sandbox.write_config(&json!({"serve": {"listen": "127.0.0.2:0"}}));
    let running = sandbox.cmd(&["serve"]).spawn();
    assert!(address(&running).starts_with("127.0.0.2:"));
    let running = sandbox.cmd(&["serve", "--listen", ":0"]).spawn();
    assert!(address(&running).starts_with("127.0.0.1:"));
    sandbox.write_config(&json!({"serve": {"listen": "0.0.0.0:0"}}));
    sandbox.cmd(&["serve"]).run().code(2).stderr_has("--allow-remote");
}

#[test]
fn a_setting_that_means_nothing_is_named() {
    let sandbox = Sandbox::new();
    for (setting, name) in [
        (json!({"routing": "by-luck"}), "serve.routing"),
        (json!({"keepalive": "often"}), "serve.keepalive"),
        (json!({"max_body_mb": -1}), "serve.max_body_mb"),
        (json!({"aliases": {"a": 7}}), "serve.aliases"),
        (json!({"hosts": "x"}), "serve.hosts"),
        (json!([]), "serve"),
    ] {
        sandbox.write_config(&json!({"serve": setting}));
        let output = sandbox.cmd(&["serve", "--listen", "127.0.0.1:0"]).run();
        output.code(1).stdout_is("").stderr_has(name).stderr_lacks("listening on");
    }
    sandbox.write_config(&json!({"serve": {"kepalive": 1}}));
    let running = sandbox.cmd(&["serve", "--listen", "127.0.0.1:0"]).spawn();
    running.stderr_line_containing("kepalive", LIMIT);
    address(&running);
}

/// A file that is written by hand is wrong for a moment now and then.
#[test]
fn settings_and_accounts_that_cannot_be_read_stay_as_they_were() {
    let upstream = Upstream::good();
    let mut gateway = Gateway::before(&upstream);
    gateway.is_well();
    let file = gateway.sandbox.home().join("config.json");
    write_private(&file, "{\"serve\": ");
    gateway.running.stderr_line_containing("stay as they were", LIMIT);
    gateway.is_well();
    write_private(&file, &json!({"serve": {"routing": 7}, "providers": {}}).to_string());
    gateway.running.stderr_line_containing("serve.routing", LIMIT);
    // Mended, and with something new.
    gateway.set("hosts", json!(["gate.example"]));
    let ask = gateway.prompt().but("Host", "gate.example");
    let begin = Instant::now();
    while gateway.ask(&ask).status() != 200 {
        assert!(begin.elapsed() < LIMIT, "the settings are not read again");
    }
    // An account that is damaged is not asked; nobody else is disturbed.
    let account = gateway.sandbox.account_file("fake", "default");
    let whole = gateway.sandbox.read(&account);
    write_private(&account, &whole[..whole.len() / 2]);
    while gateway.ask(&gateway.prompt()).status() == 200 {
        assert!(begin.elapsed() < LIMIT, "a damaged account answers");
    }
    gateway.ask(&gateway.get("/v1/models")).is(200);
    write_private(&account, &whole);
    while gateway.ask(&gateway.prompt()).status() != 200 {
        assert!(begin.elapsed() < LIMIT, "it is mended and does not answer");
    }
}
