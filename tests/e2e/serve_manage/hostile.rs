//! Bodies and paths of those who have the key and mean harm, or whose program is broken.

use std::time::Duration;

use serde_json::json;

use super::{account, asking, get, managed, post, sending, told, with_issuer};
use crate::serve::upstream::Upstream;

const TAKING: [&str; 3] = ["keys", "logins", "logins/0123456789abcdef"];

#[test]
fn a_body_that_is_no_object_is_told_so() {
    let upstream = Upstream::good();
    let (_idp, gateway) = with_issuer(&upstream);
    let begun = post(&gateway, "logins", &json!({"provider": "demo"}), 201);
    let login = format!("logins/{}", begun["login_id"].as_str().expect("an id"));
    for path in ["keys", "logins", &login] {
        for body in [
            "x",
            "{",
            "[]",
            "null",
            "1",
            "\"provider\"",
            "{\"provider\":}",
            "{} {}",
            "provider=demo",
            "\u{feff}{}",
        ] {
            let wrong = told(&gateway, &sending(&gateway, path, body), 400);
            assert_eq!(wrong["error"]["code"], "usage", "{path} {body}");
        }
        let bytes = sending(&gateway, path, b"{\"name\":\"\xff\"}");
        told(&gateway, &bytes, 400);
        let deep = format!("{{\"name\":{}1{}}}", "[".repeat(20_000), "]".repeat(20_000));
        told(&gateway, &sending(&gateway, path, deep), 400);
    }
    // Beside what is known there may be more.
    post(&gateway, "keys", &json!({"name": "more", "later": {"a": [1]}}), 201);
    get(&gateway, "logins");
}

#[test]
fn a_body_that_is_too_large_is_not_read() {
    let upstream = Upstream::good();
    let gateway = managed(&upstream);
    let large = format!("{{\"name\":\"{}\"}}", "x".repeat(70_000));
    for path in TAKING {
        let answer = gateway.ask(&sending(&gateway, path, &large));
        let is_unknown = path.contains('/') && answer.status() == 404;
        assert!(answer.status() == 413 || is_unknown, "{path} {}", answer.text());
        let chunked = gateway.ask(&sending(&gateway, path, &large).in_chunks(1_000));
        assert!(chunked.status() == 413 || is_unknown, "{path} {}", chunked.text());
    }
    // One that says it is huge, and never comes.
    let mut client = gateway.connect();
    let ask = asking(&gateway, "POST", "keys").with("Content-Length", "99999999999");
    client.say(ask.bytes());
    client.answer().is(413);
    assert!(client.is_hung_up_within(Duration::from_secs(5)));
    get(&gateway, "keys");
}

#[test]
fn a_provider_that_is_an_option_is_no_option() {
    let upstream = Upstream::good();
    let (idp, gateway) = with_issuer(&upstream);
    for text in [
        "--help",
        "-h",
        "help",
        "--callback-url",
        "--callback-url=x",
        "--api-key-stdin",
        "--complete",
        "--",
        "demo --replace",
        "demo\n--replace",
        "../demo",
        "demo/../../config",
        "$(id)",
        "`id`",
        "a\u{0}b",
    ] {
        let wrong = post(&gateway, "logins", &json!({"provider": text}), 400);
        let words = wrong["error"]["message"].as_str().expect("words");
        assert!(!words.contains("Usage") && words.len() < 250, "{text:?}: {words}");
    }
    for text in ["--help", "--replace", "-h", "../../../etc/x", "..", ".", "$(id)", "a/b/c", "a%2f"]
    {
        let ask =
            sending(&gateway, "logins", json!({"provider": "demo", "account": text}).to_string());
        let answer = gateway.ask(&ask);
        assert!([201, 400].contains(&answer.status()), "{text}: {}", answer.text());
        if answer.status() == 201 {
            let begun = answer.json();
            assert_eq!(begun["account"], text, "{begun}");
            let back = crate::support::browser::approve(begun["auth_url"].as_str().expect("a URL"));
            let path = format!("logins/{}", begun["login_id"].as_str().expect("an id"));
            post(&gateway, &path, &json!({"callback": back.location}), 200);
            assert_eq!(account(&gateway, &format!("demo/{text}"))["state"], "ready");
        }
    }
    let home = gateway.sandbox.home();
    for file in gateway.sandbox.files(&gateway.sandbox.user_home()) {
        assert!(file.starts_with(&home), "{}", file.display());
        let is_account = file.starts_with(home.join("accounts"));
        let is_below = file.parent() == Some(&home.join("accounts/demo"));
        assert!(!is_account || is_below, "{}", file.display());
    }
    idp.assert_content();
}

#[test]
fn no_path_leads_out_of_the_api() {
    let upstream = Upstream::good();
    let gateway = managed(&upstream);
    let file = gateway.sandbox.account_file("fake", "default");
    for path in [
        "",
        "/",
        "accounts/",
        "/accounts",
        "accounts/fake",
        "accounts/fake/default",
        "accounts/fake/default/reset/",
        "accounts%2Ffake%2Fdefault%2Freset",
        "logins/..%2F..%2Faccounts%2Ffake%2Fdefault",
        "logins/%2e%2e%2faccounts%2ffake%2fdefault",
        "logins/../keys/default",
        "logins/",
        "keys/..%2F..%2Fconfig",
        "../../v1/models",
        "Accounts",
        "accounts.json",
        "counters/x",
        "providers/claude",
        "%00",
        "keys%00",
    ] {
        for method in ["GET", "POST", "DELETE", "PUT", "PATCH"] {
            let ask = match method {
                "POST" => sending(&gateway, path, "{}"),
                _ => asking(&gateway, method, path),
            };
            let answer = gateway.ask(&ask);
            assert!((400..500).contains(&answer.status()), "{method} {path}: {}", answer.text());
            assert!(!answer.text().contains("access_token"), "{path}");
        }
    }
    assert!(file.exists());
    assert_eq!(get(&gateway, "keys")["keys"].as_array().map(Vec::len), Some(1));
    gateway.is_well();
}

#[test]
fn a_method_that_is_not_meant_does_nothing() {
    let upstream = Upstream::good();
    let gateway = managed(&upstream);
    for (method, path) in [
        ("GET", "accounts/fake/default/reset"),
        ("DELETE", "accounts/fake/default"),
        ("POST", "accounts"),
        ("POST", "counters"),
        ("POST", "providers"),
        ("DELETE", "keys"),
        ("DELETE", "logins"),
        ("GET", "keys/default"),
        ("PUT", "keys/default"),
        ("OPTIONS", "keys"),
    ] {
        told(&gateway, &asking(&gateway, method, path), 404);
    }
    gateway.is_well();
}

/// A page of somebody else's cannot read the answers, and is not told that it may.
#[test]
fn nothing_is_shared_with_other_origins() {
    let upstream = Upstream::good();
    let gateway = managed(&upstream);
    for method in ["GET", "OPTIONS", "POST"] {
        let ask = asking(&gateway, method, "accounts").with("Origin", "https://evil.example");
        let ask = ask.with("Access-Control-Request-Method", "GET");
        let answer = gateway.ask(&ask);
        let allows = answer
            .head
            .headers
            .iter()
            .any(|(name, _)| name.to_ascii_lowercase().starts_with("access-control-"));
        assert!(!allows, "{method} {:?}", answer.head);
    }
}
