//! Many proxies of one server, as hosts start them: one registration, one address, one browser.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{Desk, LIMIT, Proxy};
use crate::support::browser;

/// Lines that are a sign-in address, of all proxies together.
fn addresses(proxies: &[Proxy]) -> Vec<String> {
    let all: String = proxies.iter().map(|proxy| proxy.0.stderr()).collect();
    all.lines().filter(|line| line.contains("/authorize?")).map(str::to_string).collect()
}

/// The one that has shown an address.
#[track_caller]
fn leader(proxies: &[Proxy]) -> usize {
    let deadline = Instant::now() + LIMIT;
    loop {
        let found = proxies.iter().position(|proxy| proxy.0.stderr().contains("/authorize?"));
        if let Some(at) = found {
            return at;
        }
        assert!(Instant::now() < deadline, "nobody asks");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn five_proxies_register_once_ask_once_and_all_answer() {
    let desk = Desk::new();
    let mut proxies: Vec<_> = (0..5).map(|_| desk.proxy(&[])).collect();
    proxies.iter_mut().for_each(|proxy| proxy.send("a", "initialize"));
    let url = proxies[leader(&proxies)].0.auth_url();
    // All have been turned away by now, and wait.
    let turned_away = || desk.resource.requests().iter().filter(|r| r.method == "POST").count();
    let deadline = Instant::now() + LIMIT;
    while turned_away() < 5 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(browser::follow(&url).status, 200);
    for proxy in &proxies {
        assert!(proxy.answer("a")["result"].is_object());
    }
    assert_eq!(addresses(&proxies), [url]);
    assert_eq!((desk.idp.count("register"), desk.idp.count("token_exchange")), (1, 1));
    assert_eq!((desk.opened().len(), desk.resource.tokens().len()), (1, 1));
    for proxy in proxies {
        proxy.end();
    }
}

#[test]
fn the_leader_is_killed_and_another_ends_with_the_same_callback() {
    let desk = Desk::new();
    let mut proxies: Vec<_> = (0..3).map(|_| desk.proxy(&[])).collect();
    proxies.iter_mut().for_each(|proxy| proxy.send("a", "initialize"));
    let killed = proxies.remove(leader(&proxies));
    let url = killed.0.auth_url();
    let back = browser::approve(&url);
    killed.0.kill("KILL");
    drop(killed);
    let next = leader(&proxies);
    assert_eq!(proxies[next].0.auth_url(), url, "the address that is open already");
    assert_eq!(back.follow().status, 200);
    for proxy in &proxies {
        assert!(proxy.answer("a")["result"].is_object());
    }
    assert_eq!((desk.idp.count("register"), desk.idp.count("token_exchange")), (1, 1));
    assert_eq!(desk.opened().len(), 1, "nobody opens it twice");
}

#[test]
fn whoever_waits_takes_the_sign_in_that_was_done_elsewhere() {
    let desk = Desk::new();
    let mut proxy = desk.proxy(&[]);
    proxy.send("a", "initialize");
    let back = browser::approve(&proxy.0.auth_url());
    desk.cmd(&["login", "--callback-url", "-"]).stdin(back.location).run().ok();
    assert!(proxy.answer("a")["result"].is_object());
    proxy.end();
}

#[test]
fn nobody_signs_in_and_the_next_message_asks_again() {
    let desk = Desk::new();
    let mut proxy = desk.proxy(&["--auth-timeout", "2"]);
    let (code, error) = proxy.error("a", "initialize");
    assert_eq!(code, -31001, "{error}");
    assert_eq!(error["data"]["try"], format!("keyfob login {}", desk.resource.url()));
    proxy.send("b", "initialize");
    let deadline = Instant::now() + LIMIT;
    while desk.opened().len() < 2 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    let first = proxy.0.auth_url();
    assert_eq!(browser::follow(&first).status, 200, "the first address is still good");
    assert!(proxy.answer("b")["result"].is_object());
    assert_eq!(desk.idp.count("register"), 1);
    proxy.end();
}

#[test]
fn an_ephemeral_sign_in_leaves_nothing_behind() {
    let desk = Desk::new();
    let memory = desk.sandbox.work().join("memory");
    crate::support::sandbox::make_private_dir(&memory);
    let browser_script = desk.sandbox.work().join("browser").display().to_string();
    let cmd = desk.proxy_cmd(&["--ephemeral"]).env("BROWSER", &browser_script);
    let cmd = cmd.env("XDG_RUNTIME_DIR", &memory.display().to_string());
    let mut proxy = Proxy(cmd.spawn());
    proxy.sign_in();
    let token = desk.resource.tokens().remove(0);
    let files = desk.sandbox.files(&memory);
    let holds = |file: &PathBuf| desk.sandbox.read(file).contains(&token);
    assert!(files.iter().any(holds), "it is kept in memory: {files:?}");
    assert!(files.iter().all(|file| desk.sandbox.mode(file) == 0o600));
    proxy.end();
    assert_eq!(fs::read_dir(&memory).unwrap().count(), 0, "{}", desk.sandbox.listing());
    assert!(!desk.sandbox.home().exists(), "{}", desk.sandbox.listing());
}

#[test]
fn an_ephemeral_proxy_whose_client_is_gone_cleans_up_too() {
    let desk = Desk::new();
    let memory = desk.sandbox.work().join("memory");
    crate::support::sandbox::make_private_dir(&memory);
    let memory_text = memory.display().to_string();
    let url = desk.resource.url();
    // stdout closes at once: the first answer meets nobody.
    let script = format!(
        "printf '%s\\n' '{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}}' | \
         {} mcp-proxy {url} --ephemeral >&- 2>/dev/null; sleep 0.1",
        env!("CARGO_BIN_EXE_keyfob")
    );
    let status = std::process::Command::new("sh")
        .args(["-c", &script])
        .env("XDG_RUNTIME_DIR", &memory_text)
        .env("BROWSER", "")
        .env("HOME", desk.sandbox.user_home())
        .status();
    assert!(status.is_ok());
    assert_eq!(fs::read_dir(&memory).unwrap().count(), 0);
}
