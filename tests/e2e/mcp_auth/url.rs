//! `login URL` with its flags, and `logout`, `status`, `token`, `refresh`, `provider remove` after it.

use serde_json::json;

use super::{Desk, LIMIT};
use crate::support::browser;

#[test]
fn print_auth_url_prints_the_address_alone_and_json_says_the_rest() {
    let desk = Desk::new();
    let output = desk.login(&["--print-auth-url"]).run();
    output.ok().stderr_has("finish with: keyfob login --callback-url -");
    assert!(output.line().starts_with(&desk.idp.url("/authorize?")));
    let shown = desk.login(&["--print-auth-url", "--json"]).run().ok().json();
    assert_eq!(
        (&shown["status"], &shown["complete_with"]),
        (&json!("pending"), &json!("keyfob login --callback-url -"),)
    );
    let back = browser::approve(shown["auth_url"].as_str().unwrap());
    let done = desk.cmd(&["login", "--json", "--callback-url", "-"]).stdin(back.location).run();
    assert_eq!(done.ok().json()["account"], "default");
    assert!(!done.stdout.contains("at_"), "no token is shown");
}

#[test]
fn no_browser_waits_for_the_callback_or_for_a_paste() {
    let desk = Desk::new();
    let login = desk.login(&["--no-browser"]).spawn();
    assert_eq!(browser::follow(&login.auth_url()).status, 200);
    login.wait(LIMIT).ok();
    let mut login = desk.login(&["--no-browser"]).spawn();
    let back = browser::approve(&login.auth_url());
    login.write_stdin(format!("{}\n", back.location));
    login.wait(LIMIT).ok();
    assert_eq!(desk.idp.count("register"), 1);
    desk.idp.assert_content();
}

#[test]
fn a_callback_may_name_the_server_it_belongs_to() {
    let desk = Desk::new();
    let begun = desk.login(&["--print-auth-url"]).run();
    let back = browser::approve(begun.ok().line());
    desk.login(&["--callback-url", "-"]).stdin(back.location).run().ok();
    assert!(desk.has_account());
}

#[test]
fn a_device_login_works_where_the_issuer_has_it() {
    let desk = Desk::new();
    let flags = ["--device", "--client-id", "demo-client", "--print-auth-url", "--json"];
    let shown = desk.login(&flags).run().ok().json();
    desk.idp.approve_device(shown["user_code"].as_str().unwrap());
    desk.login(&["--complete"]).run().ok();
    assert!(desk.has_account());
    let asked = desk.idp.requests_to("device_start");
    assert_eq!(asked[0].param("resource"), Some(desk.resource.url()));
}

#[test]
fn token_status_and_refresh_take_the_url() {
    let desk = Desk::new();
    let url = desk.resource.url();
    for command in ["token", "refresh"] {
        let output = desk.cmd(&[command, &url]).run();
        output.code(4).stderr_has(&format!("try: keyfob login {url}"));
    }
    desk.sign_in(&[]);
    let token = desk.cmd(&["token", &url]).run().ok().line().to_string();
    assert!(desk.idp.accepts_access(&token));
    desk.cmd(&["refresh", &url]).run().ok();
    let renewed = desk.cmd(&["token", &url]).run().ok().line().to_string();
    assert_ne!(renewed, token);
    let status = desk.cmd(&["status", &url, "--json"]).run().ok().json();
    assert!(status.to_string().contains(&desk.id()), "{status}");
    assert!(!status.to_string().contains(&renewed));
    desk.cmd(&["status"]).run().ok();
}

#[test]
fn logout_revokes_and_removes_and_the_registration_stays() {
    let desk = Desk::new();
    let url = desk.resource.url();
    desk.sign_in(&[]);
    let before = desk.account();
    desk.cmd(&["logout", &url]).run().ok().stderr_has("revoked and removed");
    assert!(!desk.idp.accepts_refresh(before["refresh_token"].as_str().unwrap()));
    assert!(!desk.has_account() || !desk.sandbox.account_file(&desk.id(), "default").exists());
    desk.cmd(&["token", &url]).run().code(4);
    desk.sign_in(&[]);
    assert_eq!(desk.idp.count("register"), 1);
    let id = desk.id();
    desk.cmd(&["logout", &url]).run().ok();
    desk.cmd(&["provider", "remove", &id]).run().ok();
    assert!(!desk.sandbox.home().join("servers").join(format!("{id}.json")).exists());
    desk.sign_in(&[]);
    assert_eq!(desk.idp.count("register"), 2);
}

#[test]
fn logout_without_an_endpoint_says_so_and_removes_all_the_same() {
    let desk = Desk::with(|dialect| dialect.revoke_path = None);
    desk.sign_in(&[]);
    let file = desk.sandbox.account_file(&desk.id(), "default");
    let output = desk.cmd(&["logout", &desk.resource.url()]).run();
    output.ok().stderr_has("has no revocation endpoint");
    assert!(!file.exists());
}

#[test]
fn an_abandoned_sign_in_leaves_the_one_before_as_it_was() {
    let desk = Desk::new();
    desk.sign_in(&["--no-resource", "--scope", "tools"]);
    let row = desk.server()["row"].clone();
    desk.login(&["--print-auth-url", "--resource", "urn:x", "--scope", "other"]).run().ok();
    assert_eq!(desk.server()["row"], row);
    desk.cmd(&["refresh", &desk.resource.url()]).run().ok();
    assert_eq!(desk.idp.requests_to("token_refresh")[0].param("resource"), None);
}

#[test]
fn one_url_has_many_spellings_and_one_account() {
    let desk = Desk::new();
    desk.sign_in(&[]);
    let url = desk.resource.url();
    for spelling in [format!("{url}/"), format!("{url}#top"), url.replace("http:", "HTTP:")] {
        desk.cmd(&["token", &spelling]).run().ok();
    }
    desk.cmd(&["token", &desk.id()]).run().ok();
    desk.cmd(&["login", "http://example.com/mcp"]).run().code(2);
}
