//! The browser comes back to the port.

use std::net::TcpStream;

use serde_json::json;

use super::demo::{Demo, LIMIT, Waiting, at_host, has_ipv6, with_state};
use crate::support::browser;

const STRANGE_STATE: &str = "another-login-another-login-another-login-another";

#[test]
fn the_callback_on_the_port_ends_the_login() {
    let demo = Demo::new();
    let output = demo.wait(&[]).sign_in();
    output.ok().stdout_is("");
    assert_eq!(demo.idp.count("token_exchange"), 1);
    assert_eq!(demo.account_files().len(), 1);
    assert_eq!(demo.pending_files().len(), 0);
    demo.sandbox.cmd(&["token", "demo"]).run().ok();
    demo.idp.assert_content();
}

#[test]
fn a_redirect_to_localhost_is_heard_on_both_loopback_addresses() {
    let demo = Demo::with_redirect(&json!({"host": "localhost"}));
    let hosts = if has_ipv6() { &["127.0.0.1", "[::1]"][..] } else { &["127.0.0.1"][..] };
    for host in hosts {
        let waiting = demo.wait(&[]);
        let callback = waiting.approve();
        assert!(callback.location.starts_with("http://localhost:"), "{}", callback.location);
        let page = browser::get(&at_host(&callback.location, host));
        assert_eq!(page.status, 200, "{host}: {page:#?}");
        waiting.process.wait(LIMIT).ok();
    }
    demo.idp.assert_content();
}

#[test]
fn only_loopback_is_listened_on() {
    let demo = Demo::with_redirect(&json!({"host": "localhost"}));
    let waiting = demo.wait(&[]);
    // 127.0.0.2 is heard by who listens on all addresses.
    assert!(TcpStream::connect(("127.0.0.2", waiting.port())).is_err());
    assert!(TcpStream::connect(("127.0.0.1", waiting.port())).is_ok());
}

#[test]
fn a_callback_with_a_wrong_or_no_state_gets_a_page_that_says_so_and_the_wait_goes_on() {
    let demo = Demo::new();
    let waiting = demo.wait(&[]);
    let callback = waiting.approve();
    let page = browser::get(&with_state(&callback, STRANGE_STATE));
    assert_eq!(page.status, 400);
    assert!(page.body.contains("another sign-in attempt"), "{}", page.body);
    let bare = format!("http://{}/callback?code={}", waiting.authority(), callback.code());
    let page = browser::get(&bare);
    assert_eq!(page.status, 400);
    assert!(page.body.contains("lacks the state"), "{}", page.body);
    let page = browser::get(&format!("http://{}/callback", waiting.authority()));
    assert_eq!(page.status, 400);
    assert_eq!(demo.idp.count("token_exchange"), 0);
    assert_eq!(callback.follow().status, 200);
    waiting.process.wait(LIMIT).ok();
    demo.idp.assert_content();
}

#[test]
fn a_refusal_counts_only_with_the_right_state() {
    let demo = Demo::new();
    let waiting = demo.wait(&[]);
    let state = waiting.approve().state();
    let refusal = |state: &str| {
        format!(
            "http://{}/callback?error=access_denied&error_description=not%1b%5b31m+today%07&state={state}",
            waiting.authority()
        )
    };
    assert_eq!(browser::get(&refusal(STRANGE_STATE)).status, 400);
    let stateless = refusal("").replace("&state=", "");
    assert_eq!(browser::get(&stateless).status, 400);
    assert_eq!(demo.pending_files().len(), 1, "still waiting");
    let page = browser::get(&refusal(&state));
    assert_eq!(page.status, 400);
    assert!(page.body.contains("today"), "{}", page.body);
    let output = waiting.process.wait(LIMIT);
    output.code(1).stdout_is("").stderr_has("today (access_denied)");
    output.stderr_lacks("\u{1b}").stderr_lacks("\u{7}");
    assert_eq!(demo.pending_files().len(), 0);
    assert_eq!(demo.account_files().len(), 0);
    assert_eq!(demo.idp.count("token_exchange"), 0);
}

#[test]
fn two_logins_of_one_provider_wait_side_by_side() {
    let demo = Demo::new();
    let (first, second) = (demo.wait(&[]), demo.wait(&[]));
    let to_first = first.approve();
    demo.next_person("you@example.com", "user-2");
    let to_second = second.approve();
    let strayed = at_port(&to_second.location, &first);
    assert_eq!(browser::get(&strayed).status, 400, "each port takes its own");
    assert_eq!(to_second.follow().status, 200);
    second.process.wait(LIMIT).ok().stderr_has("you@example.com");
    assert_eq!(to_first.follow().status, 200);
    first.process.wait(LIMIT).ok().stderr_has("me@example.com");
    assert_eq!(demo.account_files().len(), 2);
    demo.idp.assert_content();
}

fn at_port(location: &str, other: &Waiting) -> String {
    let (_, after_port) = location.split_once("/callback").unwrap();
    format!("http://{}/callback{after_port}", other.authority())
}

#[test]
fn a_callback_given_to_another_process_ends_the_wait() {
    let demo = Demo::new();
    let (plain, with_json) = (demo.wait(&[]), demo.wait(&["--json"]));
    demo.finish(&plain.approve().location).ok().stdout_is("").stderr_has("me@example.com");
    let output = plain.process.wait(LIMIT);
    output.ok().stdout_is("").stderr_has("from another terminal").stderr_has("me@example.com");
    demo.finish(&with_json.approve().location).ok();
    let object = with_json.process.wait(LIMIT).ok().json();
    assert_eq!(object["status"], "ok");
    assert_eq!(object["account"], "me@example.com");
    assert_eq!(demo.idp.count("token_exchange"), 2);
    demo.idp.assert_content();
}

#[test]
fn a_redirect_without_a_path_ends_at_the_root() {
    let demo = Demo::with_redirect(&json!({"path": ""}));
    demo.wait(&[]).sign_in().ok();
    demo.idp.assert_content();
}
