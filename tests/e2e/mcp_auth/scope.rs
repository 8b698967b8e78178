//! 403 `insufficient_scope`: one more sign-in, for all that was had and what is asked now.

use serde_json::json;

use super::Desk;
use crate::support::browser;
use crate::support::idp::{Fault, Times};

#[test]
fn a_missing_scope_is_asked_for_with_those_from_before() {
    let desk = Desk::new();
    desk.sign_in(&[]);
    desk.resource.want_scope("tools/call", "admin");
    let mut proxy = desk.proxy(&[]);
    proxy.result("a", "initialize");
    proxy.send("b", "tools/call");
    browser::follow(&proxy.0.auth_url());
    assert!(proxy.answer("b")["result"].is_object());
    assert_eq!(desk.authorized("scope").as_deref(), Some("tools files admin"));
    assert_eq!((desk.idp.count("token_refresh"), desk.opened().len()), (0, 1));
    proxy.end();
}

#[test]
fn a_scope_that_is_not_granted_is_not_asked_for_again() {
    let desk = Desk::new();
    desk.sign_in(&[]);
    desk.resource.want_scope("tools/call", "admin");
    let less = Fault::Patch(json!({"scope": "tools files"}));
    desk.idp.fault("token_exchange", less, Times::Always);
    // The issuer's own book says more than its answer, so the server never sees `admin`.
    desk.resource.want_scope("tools/call", "never");
    let mut proxy = desk.proxy(&[]);
    proxy.result("a", "initialize");
    desk.idp.fault("authorize", Fault::oauth_error("access_denied", 400), Times::Always);
    proxy.send("b", "tools/call");
    browser::follow(&proxy.0.auth_url());
    assert_eq!(proxy.answer("b")["error"]["code"], -31002);
    for id in ["c", "d"] {
        let (code, error) = proxy.error(id, "tools/call");
        assert_eq!((code, &error["data"]["kind"]), (-31003, &json!("scope")), "{error}");
        assert_eq!(error["data"]["scopes"], json!(["tools", "files", "never"]));
    }
    assert_eq!(desk.opened().len(), 1);
    proxy.result("e", "tools/list");
    proxy.end();
}

#[test]
fn without_a_browser_the_command_is_named_and_helps() {
    let desk = Desk::new();
    desk.sign_in(&[]);
    desk.resource.want_scope("tools/call", "admin");
    let mut proxy = desk.headless(&[]);
    proxy.result("a", "initialize");
    for id in ["b", "c"] {
        let (code, error) = proxy.error(id, "tools/call");
        assert_eq!(code, -31003, "{error}");
        let next = format!("keyfob login {} --scope 'tools files admin'", desk.resource.url());
        assert_eq!(error["data"]["try"], next);
        assert_eq!(error["data"]["scopes"], json!(["tools", "files", "admin"]));
    }
    desk.sign_in(&["--scope", "tools files admin"]);
    proxy.result("d", "tools/call");
    proxy.end();
}
