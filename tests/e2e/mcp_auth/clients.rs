//! Whose client signs in: one registered, one that a person gave, one that the issuer forgot.

use serde_json::json;

use super::Desk;
use crate::support::browser;
use crate::support::idp::{Fault, Times};

fn client_of(desk: &Desk) -> String {
    desk.account()["client"]["id"]
        .as_str()
        .or(desk.account()["client_id"].as_str())
        .map_or_else(|| panic!("no client in {}", desk.account()), str::to_string)
}

#[test]
fn a_pruned_registration_is_replaced_without_help() {
    for status in [400, 401] {
        let desk = Desk::new();
        desk.sign_in(&[]);
        let old = client_of(&desk);
        desk.expire();
        desk.idp.forget_client(&old);
        desk.idp.fault("token_refresh", Fault::oauth_error("invalid_client", status), Times::Once);
        let mut proxy = desk.proxy(&[]);
        let page = proxy.sign_in();
        assert_eq!(page.status, 200, "{}", page.body);
        assert_eq!(desk.idp.count("register"), 2, "{status}");
        assert_ne!(client_of(&desk), old);
        assert_eq!(desk.opened().len(), 1);
        assert_eq!(desk.server()["registrations"].as_array().map(Vec::len), Some(1));
        assert!(!desk.server()["registrations"].to_string().contains(&old));
        proxy.end();
    }
}

#[test]
fn a_registration_that_the_exchange_does_not_know_is_replaced_at_the_next_sign_in() {
    let desk = Desk::new();
    desk.idp.fault("token_exchange", Fault::oauth_error("invalid_client", 401), Times::Once);
    let mut proxy = desk.proxy(&[]);
    proxy.send("a", "initialize");
    browser::follow(&proxy.0.auth_url());
    assert_eq!(proxy.answer("a")["error"]["code"], -31002);
    drop(proxy);
    desk.proxy(&[]).sign_in();
    assert_eq!(desk.idp.count("register"), 2);
}

#[test]
fn a_client_that_a_person_gave_is_kept_and_never_replaced() {
    let desk = Desk::new();
    desk.sign_in(&["--client-id", "demo-client"]);
    desk.sign_in(&[]);
    assert_eq!(client_of(&desk), "demo-client");
    assert_eq!(desk.idp.count("register"), 0);
    desk.expire();
    desk.idp.forget_client("demo-client");
    for flags in [&[][..], &["--client-id", "demo-client"]] {
        let mut proxy = desk.proxy(flags);
        let (code, error) = proxy.error("a", "initialize");
        assert_eq!(code, -31002, "{error}");
        assert!(error["message"].as_str().unwrap().contains("demo-client"), "{error}");
        let next = format!("keyfob login {} --client-id ID", desk.resource.url());
        assert_eq!(error["data"]["try"], next);
    }
    assert_eq!((desk.idp.count("register"), desk.opened().len()), (0, 0));
    assert_eq!(desk.idp.count("token_refresh"), 1);
}

#[test]
fn a_secret_comes_from_stdin_and_lies_in_private_files_only() {
    let desk = Desk::with(|dialect| {
        dialect.client_secret = Some("s3cret-of-mine".into());
        dialect.client_auth = crate::support::idp::dialect::ClientAuth::Basic;
    });
    let flags = ["--client-id", "demo-client", "--client-secret-stdin", "--print-auth-url"];
    let begun = desk.login(&flags).stdin("s3cret-of-mine\n").run();
    let back = browser::approve(begun.ok().stderr_lacks("s3cret").line());
    desk.cmd(&["login", "--callback-url", &back.location]).run().ok().stderr_lacks("s3cret");
    desk.cmd(&["refresh", &desk.resource.url()]).run().ok();
    for file in desk.sandbox.files(&desk.sandbox.home()) {
        assert_eq!(desk.sandbox.mode(&file), 0o600, "{}", file.display());
    }
    desk.login(&["--client-secret-stdin"]).stdin("x").run().code(2).stderr_has("--client-id");
    desk.idp.assert_content();
    // The proxy gets it by the name of a variable.
    let desk = Desk::with(|dialect| {
        dialect.client_secret = Some("s3cret-of-mine".into());
        dialect.client_auth = crate::support::idp::dialect::ClientAuth::Basic;
    });
    let flags = ["--client-id", "demo-client", "--client-secret-env", "THE_SECRET"];
    let browser_script = desk.sandbox.work().join("browser").display().to_string();
    let cmd = desk.proxy_cmd(&flags).env("BROWSER", &browser_script);
    let mut proxy = super::Proxy(cmd.env("THE_SECRET", "s3cret-of-mine").spawn());
    proxy.sign_in();
    proxy.end().stderr_lacks("s3cret");
}

#[test]
fn a_metadata_document_is_a_client_only_where_the_issuer_takes_one() {
    let desk = Desk::new();
    let id = "https://app.example/client.json";
    let output = desk.login(&["--print-auth-url", "--client-id", id]).run();
    output.code(1).stderr_has("takes no client ID metadata document");
    desk.idp.patch_metadata(json!({"client_id_metadata_document_supported": true}));
    let output = desk.login(&["--print-auth-url", "--client-id", id]).run();
    assert!(output.ok().line().contains("client_id=https%3A%2F%2Fapp.example%2Fclient.json"));
    assert_eq!(desk.idp.count("register"), 0);
}

#[test]
fn fresh_registers_anew_whatever_is_known() {
    let desk = Desk::new();
    desk.sign_in(&[]);
    desk.sign_in(&[]);
    assert_eq!(desk.idp.count("register"), 1);
    desk.sign_in(&["--fresh"]);
    assert_eq!(desk.idp.count("register"), 2);
    desk.sign_in(&["--client-id", "demo-client"]);
    desk.sign_in(&["--fresh"]);
    assert_eq!(desk.idp.count("register"), 3);
}

#[test]
fn a_registration_is_good_for_its_redirect_alone() {
    let desk = Desk::new();
    desk.sign_in(&["--callback-port", "28111"]);
    desk.sign_in(&["--callback-port", "28112"]);
    desk.sign_in(&["--callback-port", "28111"]);
    assert_eq!(desk.idp.count("register"), 2);
}

#[test]
fn a_registration_that_ran_out_is_made_again() {
    let desk = Desk::new();
    let past = json!({"client_secret_expires_at": 1_000});
    desk.idp.fault("register", Fault::Patch(past), Times::Once);
    desk.sign_in(&[]);
    desk.sign_in(&[]);
    assert_eq!(desk.idp.count("register"), 2);
}
