//! Hostile metadata, a changed issuer, and whose token goes where.

use std::sync::Arc;

use serde_json::json;

use super::{Desk, Proxy};
use crate::support::browser;
use crate::support::idp::{Dialect, Idp};

#[test]
fn a_hostile_endpoint_reaches_no_opener() {
    let long = format!("https://x.example/{}", "a".repeat(9_000));
    for bad in [
        "javascript:alert(1)",
        "file:///etc/passwd",
        "http://x.example/authorize",
        "https://x.example/$(touch x)`id`",
        "-flag",
        "a:b",
        "https://me@x.example/",
        "https://x.example/\nHost: y",
        &long,
    ] {
        for name in ["authorization_endpoint", "token_endpoint", "registration_endpoint"] {
            let desk = Desk::new();
            desk.idp.patch_metadata(json!({name: bad}));
            let (code, error) = desk.proxy(&[]).error("a", "initialize");
            assert_eq!((code, &error["data"]["kind"]), (-31002, &json!("unsafe_url")), "{error}");
            assert_eq!((desk.opened().len(), desk.idp.count("register")), (0, 0));
            assert!(!error["message"].as_str().unwrap().contains('\n'));
        }
    }
}

#[test]
fn an_issuer_that_is_no_https_is_not_asked() {
    let desk = Desk::new();
    for bad in ["http://as.example", "javascript:x", "ftp://as.example"] {
        desk.resource.patch(&json!({"authorization_servers": [bad]}));
        let (code, error) = desk.proxy(&[]).error("a", "initialize");
        assert_eq!((code, &error["data"]["kind"]), (-31002, &json!("unsafe_url")), "{error}");
    }
    assert_eq!(desk.idp.count("discovery"), 0);
}

#[test]
fn a_new_issuer_sees_nothing_of_the_old_one() {
    let desk = Desk::new();
    desk.sign_in(&[]);
    let old = desk.account();
    let other = Arc::new(Idp::start(Dialect::oidc()));
    desk.resource.patch(&json!({"authorization_servers": [other.issuer()]}));
    desk.cmd(&["refresh", &desk.resource.url()]).run().ok();
    assert_eq!(desk.idp.count("token_refresh"), 1, "who issued it renews it");
    desk.sign_in(&[]);
    desk.cmd(&["refresh", &desk.resource.url()]).run().ok();
    assert_eq!((other.count("register"), other.count("token_refresh")), (1, 1));
    let registered = desk.server()["registrations"][0]["client_id"].as_str().unwrap().to_string();
    for request in other.requests() {
        let all = format!("{} {} {:?}", request.query, request.body, request.headers);
        for secret in [&old["refresh_token"], &old["access_token"], &json!(registered)] {
            assert!(!all.contains(secret.as_str().unwrap()), "{all}");
        }
    }
}

#[test]
fn a_client_that_a_person_gave_goes_to_its_issuer_alone() {
    let desk = Desk::new();
    desk.sign_in(&["--client-id", "demo-client"]);
    let other = Arc::new(Idp::start(Dialect::oidc()));
    desk.resource.patch(&json!({"authorization_servers": [other.issuer()]}));
    let output = desk.login(&["--print-auth-url", "--client-id", "demo-client"]).run();
    output.code(1).stderr_has(&other.issuer()).stderr_has("--client-id demo-client --fresh");
    let url = desk.login(&["--print-auth-url"]).run().ok().line().to_string();
    assert!(!url.contains("demo-client") && url.starts_with(&other.url("/authorize")), "{url}");
    let flags = ["--print-auth-url", "--client-id", "demo-client", "--fresh"];
    assert!(desk.login(&flags).run().ok().line().contains("client_id=demo-client"));
}

#[test]
fn a_token_goes_to_no_other_server_of_the_same_origin() {
    let desk = Desk::new();
    desk.sign_in(&[]);
    desk.headless(&[]).result("a", "initialize");
    let other = format!("{}2", desk.resource.url());
    let mut proxy = Proxy(desk.cmd(&["mcp-proxy", &other]).spawn());
    let (code, _) = proxy.error("a", "initialize");
    assert!([-31001, -31002].contains(&code), "{code}");
    let seen = desk.resource.requests();
    let (there, here): (Vec<_>, Vec<_>) = seen.iter().partition(|one| one.path == "/mcp2");
    assert!(!there.is_empty() && there.iter().all(|one| one.bearer().is_none()));
    assert!(here.iter().any(|one| one.bearer().is_some()));
    assert!(
        here.iter()
            .filter(|one| one.method == "GET")
            .all(|one| one.bearer().is_none() || one.path == "/mcp")
    );
}

#[test]
fn a_header_of_the_person_is_used_and_never_replaced() {
    let desk = Desk::new();
    desk.sign_in(&[]);
    let mut proxy = desk.proxy(&["--header", "Authorization: Bearer of-mine"]);
    let (code, error) = proxy.error("a", "initialize");
    assert_eq!(code, -31002, "{error}");
    assert_eq!(desk.resource.tokens(), ["of-mine"]);
    assert!(desk.opened().is_empty());
    let token = desk.cmd(&["token", &desk.resource.url()]).run().ok().line().to_string();
    let cmd = desk.proxy_cmd(&["--header", "Authorization: Bearer ${MINE}"]);
    Proxy(cmd.env("MINE", &token).spawn()).result("a", "initialize");
}

#[test]
fn no_token_code_or_verifier_is_in_a_log() {
    let desk = Desk::new();
    let script = desk.sandbox.work().join("browser").display().to_string();
    let cmd = desk.proxy_cmd(&[]).env("BROWSER", &script).env("MCP_PROXY_DEBUG", "true");
    let mut proxy = Proxy(cmd.env("KEYFOB_LOG", "debug").spawn());
    proxy.send("a", "initialize");
    let back = browser::approve(&proxy.0.auth_url());
    back.follow();
    proxy.answer("a");
    desk.idp.expire_access_tokens();
    proxy.result("b", "tools/list");
    let account = desk.account();
    let verifier = desk.idp.requests_to("token_exchange")[0].param("code_verifier").unwrap();
    let output = proxy.end();
    let log = desk.sandbox.home().join("logs/mcp-proxy.log");
    assert_eq!(desk.sandbox.mode(&log), 0o600);
    let text = desk.sandbox.read(&log);
    for secret in [
        account["access_token"].as_str().unwrap(),
        account["refresh_token"].as_str().unwrap(),
        &desk.resource.tokens()[0],
        &back.code(),
        &verifier,
    ] {
        assert!(
            !text.contains(secret)
                && !output.stderr.contains(secret)
                && !output.stdout.contains(secret)
        );
    }
}
