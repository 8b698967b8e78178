//! No browser can be opened: the client hears of it at once, and the proxy goes on.

use std::time::{Duration, Instant};

use super::Desk;
use crate::support::browser;
use crate::support::idp::{Fault, Times};

#[test]
fn a_headless_proxy_names_address_and_command_and_works_after_the_login() {
    let desk = Desk::new();
    let mut proxy = desk.headless(&[]);
    let begun = Instant::now();
    let (code, error) = proxy.error("a", "initialize");
    assert!(begun.elapsed() < Duration::from_secs(2));
    let next = format!("keyfob login {}", desk.resource.url());
    assert_eq!((code, error["data"]["try"].as_str()), (-31001, Some(next.as_str())));
    let message = error["message"].as_str().unwrap();
    assert!(message.contains(&desk.idp.url("/authorize?")) && message.contains(&next), "{message}");
    let again = proxy.error("b", "tools/list").1;
    assert_eq!(again["message"], error["message"], "one address, however often it is asked");
    assert!(!proxy.0.has_ended());
    desk.sign_in(&[]);
    proxy.result("c", "initialize");
    assert_eq!(desk.idp.count("register"), 1);
    let output = proxy.end();
    assert_eq!(output.stderr.matches("sign-in needed").count(), 1, "{}", output.stderr);
}

#[test]
fn the_address_of_the_error_is_finished_by_its_callback() {
    let desk = Desk::new();
    let mut proxy = desk.headless(&[]);
    let message = proxy.error("a", "initialize").1["message"].as_str().unwrap().to_string();
    let url = message.split(' ').find(|word| word.contains("/authorize?")).expect("an address");
    let back = browser::approve(url);
    desk.cmd(&["login", "--callback-url", "-"]).stdin(back.location).run().ok();
    proxy.result("b", "initialize");
    proxy.end();
}

#[test]
fn several_headless_proxies_name_one_address() {
    let desk = Desk::new();
    let messages: Vec<_> = (0..3)
        .map(|_| desk.headless(&[]).error("a", "initialize").1["message"].to_string())
        .collect();
    assert!(messages.iter().all(|message| *message == messages[0]), "{messages:#?}");
    let pending = desk.cmd(&["pending", "list", "--json"]).run().ok().json();
    assert_eq!(pending["pending"].as_array().map(Vec::len), Some(1), "{pending}");
    assert_eq!(desk.idp.count("register"), 1);
}

#[test]
fn an_issuer_that_hangs_keeps_no_client_waiting() {
    let desk = Desk::new();
    desk.idp.fault("discovery", Fault::Hang, Times::Always);
    let mut proxy = desk.headless(&[]);
    let begun = Instant::now();
    proxy.send("a", "initialize");
    for id in ["b", "c"] {
        proxy.send(id, "tools/list");
    }
    for id in ["a", "b", "c"] {
        let answer = proxy.answer(id);
        assert_eq!(answer["error"]["code"], -31001, "{answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains("keyfob login http"));
    }
    let took = begun.elapsed();
    assert!(took < Duration::from_millis(3_700), "{took:?}");
    proxy.end();
}
