//! How a server is found out: its challenge, its metadata, its authorization server.

use serde_json::json;

use super::Desk;
use crate::support::mcp_resource::WELL_KNOWN;

#[test]
fn a_proxy_signs_in_of_itself_and_sends_the_message_again() {
    let desk = Desk::new();
    let mut proxy = desk.proxy(&[]);
    let page = proxy.sign_in();
    assert_eq!(page.status, 200);
    assert_eq!(proxy.result("second", "tools/list"), json!({"echo": "tools/list"}));
    let token = desk.account()["access_token"].as_str().unwrap().to_string();
    assert_eq!(desk.resource.tokens(), [token.as_str()]);
    let output = proxy.end();
    output.stderr_lacks(&token);
    assert_eq!(output.stdout.lines().count(), 2);
    assert_eq!(desk.opened().len(), 1);
    assert!(desk.opened()[0].starts_with("1 http://127.0.0.1:"), "{:?}", desk.opened());
    assert_eq!(desk.sandbox.mode(&desk.server_file()), 0o600);
    assert_eq!(desk.sandbox.mode(desk.server_file().parent().unwrap()), 0o700);
    desk.idp.assert_content();
}

#[test]
fn the_place_that_the_challenge_names_is_asked_first() {
    let desk = Desk::new();
    let resource = desk.resource.url();
    desk.resource.publish_nothing();
    let document = json!({"resource": resource, "authorization_servers": [desk.idp.issuer()]});
    desk.resource.publish("/elsewhere", &document);
    desk.resource.challenge(&["Bearer resource_metadata=\"{origin}/elsewhere\""]);
    desk.sign_in(&[]);
    assert!(desk.resource.documents_asked().is_empty());
    assert!(desk.has_account());
}

#[test]
fn without_a_place_in_the_challenge_the_two_of_the_rfc_are_asked_in_order() {
    for (challenges, at_root) in [(&[][..], false), (&["Bearer"][..], true)] {
        let desk = Desk::new();
        let resource =
            if at_root { desk.resource.origin().to_string() } else { desk.resource.url() };
        let document = json!({"resource": resource, "authorization_servers": [desk.idp.issuer()]});
        desk.resource.publish_nothing();
        let place = if at_root { WELL_KNOWN.to_string() } else { format!("{WELL_KNOWN}/mcp") };
        desk.resource.publish(&place, &document);
        desk.resource.challenge(challenges);
        desk.sign_in(&[]);
        let both = [format!("{WELL_KNOWN}/mcp"), WELL_KNOWN.to_string()];
        let count = if at_root { 2 } else { 1 };
        assert_eq!(desk.resource.documents_asked(), both[..count]);
        assert_eq!(desk.authorized("resource"), Some(resource));
    }
}

#[test]
fn a_challenge_is_found_among_others_and_in_quotes() {
    let place = "resource_metadata=\"{origin}/odd\", error_description=\"say \\\"hi\\\", then go\"";
    let together = format!("Negotiate abc==, bearer realm=x, {place}");
    let apart = format!("Bearer {place}");
    for challenges in [vec![together.as_str()], vec!["Negotiate", apart.as_str()]] {
        let desk = Desk::new();
        let document =
            json!({"resource": desk.resource.url(), "authorization_servers": [desk.idp.issuer()]});
        desk.resource.publish_nothing();
        desk.resource.publish("/odd", &document);
        desk.resource.challenge(&challenges);
        desk.sign_in(&[]);
        assert!(desk.resource.requests().iter().any(|request| request.path == "/odd"));
    }
}

#[test]
fn metadata_must_be_of_this_resource() {
    let desk = Desk::new();
    let origin = desk.resource.origin().to_string();
    for (resource, is_good) in [
        ("https://other.example/mcp".to_string(), false),
        (format!("{origin}/mcp/deeper"), false),
        (format!("{origin}/mcp2"), false),
        (format!("{origin}/m"), false),
        (origin.clone(), true),
        (format!("{origin}/"), true),
        (format!("{origin}/mcp"), true),
    ] {
        desk.resource.patch(&json!({"resource": resource}));
        let output = desk.login(&["--print-auth-url"]).run();
        match is_good {
            true => output.ok(),
            false => output.code(1).stderr_has("is for another resource").stdout_is(""),
        };
    }
    assert_eq!(desk.idp.count("authorize"), 0);
}

#[test]
fn an_issuer_with_a_path_is_asked_in_three_places() {
    let desk = Desk::with(|dialect| dialect.issuer_path = "/t1".into());
    desk.idp.serve_metadata(true, false);
    desk.sign_in(&[]);
    let asked: Vec<_> = desk.idp.requests_to("discovery").into_iter().map(|r| r.path).collect();
    let expected = [
        "/.well-known/oauth-authorization-server/t1",
        "/.well-known/openid-configuration/t1",
        "/t1/.well-known/openid-configuration",
    ];
    assert_eq!(asked, expected);
    assert_eq!(desk.server()["row"]["issuer"], desk.idp.issuer());
}

#[test]
fn metadata_of_another_issuer_is_refused_and_a_slash_at_the_root_is_none() {
    let desk = Desk::new();
    for (issuer, is_good) in [
        (format!("{}/", desk.idp.origin()), true),
        (format!("{}/t1", desk.idp.origin()), false),
        ("https://evil.example".to_string(), false),
    ] {
        desk.idp.patch_metadata(json!({"issuer": issuer}));
        let output = desk.login(&["--print-auth-url"]).run();
        match is_good {
            true => output.ok(),
            false => output.code(1).stderr_has("metadata of another issuer"),
        };
    }
}

#[test]
fn a_server_of_old_that_publishes_nothing_has_its_paths_at_its_origin() {
    let desk = Desk::new();
    desk.idp.serve_metadata(false, false);
    // The issuer itself is the server's origin here.
    let url = desk.idp.url("/mcp");
    let output = desk.cmd(&["login", &url, "--print-auth-url"]).run();
    let opened = output.ok().line();
    assert!(opened.starts_with(&desk.idp.url("/authorize?")), "{opened}");
    assert_eq!(desk.idp.count("register"), 1);
    let page = crate::support::browser::approve(opened);
    desk.cmd(&["login", "--callback-url", &page.location]).run().ok();
    assert_eq!(desk.server()["row"]["issuer"], json!(null));
    assert_eq!(desk.server()["row"]["token_url"], desk.idp.url("/token"));
}

#[test]
fn a_server_that_asks_for_no_sign_in_is_not_signed_in_to() {
    let api = crate::support::api::ModelApi::answering(200, &json!({}));
    let desk = Desk::new();
    let output = desk.cmd(&["login", &api.base(), "--print-auth-url"]).run();
    output.code(1).stderr_has("asks for no sign-in").stderr_has("try: keyfob mcp-proxy http");
}

#[test]
fn a_server_in_trouble_is_no_reason_to_guess() {
    let desk = Desk::new();
    let fault = crate::support::idp::Fault::Status(500);
    desk.idp.fault("discovery", fault, crate::support::idp::Times::Always);
    desk.login(&["--print-auth-url"]).run().code(3);
    let (code, _) = desk.proxy(&[]).error("a", "initialize");
    assert_eq!(code, -31004);
    assert_eq!((desk.idp.count("register"), desk.opened().len()), (0, 0));
}

#[test]
fn a_server_without_pkce_is_refused_and_a_switch_helps_one_that_is_silent() {
    let desk = Desk::new();
    desk.idp.patch_metadata(json!({"code_challenge_methods_supported": ["plain"]}));
    let output = desk.login(&["--print-auth-url"]).run();
    output.code(1).stderr_has("does not support PKCE with S256");
    desk.idp.patch_metadata(json!({"code_challenge_methods_supported": null}));
    let output = desk.login(&["--print-auth-url"]).run();
    output.code(1).stderr_has("does not say whether it supports PKCE");
    let (code, error) = desk.proxy(&[]).error("a", "initialize");
    assert_eq!(code, -31002, "{error}");
    let next = error["data"]["try"].as_str().unwrap().to_string();
    assert_eq!(next, format!("keyfob login {} --pkce-unlisted", desk.resource.url()));
    desk.sign_in(&["--pkce-unlisted"]);
    // Remembered.
    desk.sign_in(&[]);
    assert_eq!(desk.authorized("code_challenge_method").as_deref(), Some("S256"));
    desk.idp.patch_metadata(json!({"code_challenge_methods_supported": ["plain"]}));
    desk.login(&["--print-auth-url"]).run().code(1).stderr_has("does not support PKCE with S256");
}
