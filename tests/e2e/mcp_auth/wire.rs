//! What goes to the authorization server: resource, scope, registration; and whose callback counts.

use serde_json::json;

use super::Desk;
use crate::support::browser;
use crate::support::idp::{Fault, Times};

#[test]
fn the_resource_is_named_byte_for_byte_from_first_to_last() {
    let desk = Desk::new();
    // Longer than the one form of it, and meant so.
    let resource = desk.resource.origin().replace("http", "HTTP") + "/";
    desk.resource.patch(&json!({"resource": resource}));
    desk.idp.patch_metadata(json!({"authorization_endpoint":
        desk.idp.url("/authorize?resource=https%3A%2F%2Fwrong.example&tenant=7")}));
    desk.sign_in(&[]);
    let query = desk.idp.requests_to("authorize")[0].query.clone();
    assert_eq!(query.matches("resource=").count(), 1, "{query}");
    assert_eq!(desk.authorized("resource").as_deref(), Some(resource.as_str()));
    assert_eq!(desk.authorized("tenant").as_deref(), Some("7"));
    desk.cmd(&["refresh", &desk.resource.url()]).run().ok();
    for role in ["token_exchange", "token_refresh"] {
        let asked = desk.idp.requests_to(role);
        assert_eq!(asked[0].param("resource").as_deref(), Some(resource.as_str()), "{role}");
    }
}

#[test]
fn a_resource_that_a_person_names_or_forbids_is_remembered() {
    let desk = Desk::new();
    desk.sign_in(&["--no-resource"]);
    assert_eq!(desk.authorized("resource"), None);
    assert_eq!(desk.idp.requests_to("token_exchange")[0].param("resource"), None);
    // The proxy of a later day knows nothing of the flag.
    std::fs::remove_file(desk.sandbox.account_file(&desk.id(), "default")).unwrap();
    desk.proxy(&[]).sign_in();
    assert_eq!(desk.authorized("resource"), None);
    desk.sign_in(&["--resource", "urn:mine"]);
    assert_eq!(desk.authorized("resource").as_deref(), Some("urn:mine"));
    desk.sign_in(&["--fresh"]);
    assert_eq!(desk.authorized("resource"), Some(desk.resource.url()));
    let both = desk.login(&["--no-resource", "--resource", "x"]).run();
    both.code(2).stderr_has("exclude each other");
}

#[test]
fn the_first_scope_that_anybody_names_is_asked_for() {
    let of_challenge = "Bearer resource_metadata=\"{origin}/.well-known/oauth-protected-resource/mcp\", \
                        scope=\"from challenge\"";
    let of_list = of_challenge.replace(", scope=\"from challenge\"", "");
    for (challenge, list, flags, expected) in [
        (of_challenge, json!(["a", "b"]), &[][..], Some("from challenge")),
        (of_challenge, json!(["a"]), &["--scope", "mine only"], Some("mine only")),
        (&of_list, json!(["a", "b"]), &[], Some("a b")),
        (&of_list, json!([]), &[], None),
        (&of_list, json!(null), &[], None),
    ] {
        let desk = Desk::new();
        desk.resource.challenge(&[challenge]);
        desk.resource.patch(&json!({"scopes_supported": list}));
        desk.sign_in(flags);
        assert_eq!(desk.authorized("scope").as_deref(), expected, "{list} {flags:?}");
        assert_eq!(desk.idp.requests_to("register")[0].param("scope").as_deref(), expected);
    }
}

#[test]
fn offline_access_is_asked_for_where_the_issuer_has_it() {
    let desk = Desk::new();
    desk.idp.patch_metadata(json!({"scopes_supported": ["tools", "offline_access"]}));
    desk.sign_in(&[]);
    assert_eq!(desk.authorized("scope").as_deref(), Some("tools files offline_access"));
    assert_eq!(desk.authorized("prompt").as_deref(), Some("consent"));
    desk.sign_in(&["--scope", "tools"]);
    assert_eq!(desk.authorized("scope").as_deref(), Some("tools"));
    assert_eq!(desk.authorized("prompt"), None);
}

#[test]
fn a_registration_says_all_that_servers_guess_wrong() {
    let desk = Desk::new();
    let mut proxy = desk.proxy(&["--client-name", "My Editor"]);
    proxy.sign_in();
    let asked = desk.idp.requests_to("register");
    let body: serde_json::Value = serde_json::from_str(&asked[0].body).unwrap();
    assert_eq!(body["application_type"], "native");
    assert_eq!(body["token_endpoint_auth_method"], "none");
    assert_eq!(body["client_name"], "My Editor");
    assert_eq!(body["redirect_uris"], json!([desk.authorized("redirect_uri")]));
    assert_eq!(body["grant_types"], json!(["authorization_code", "refresh_token"]));
}

#[test]
fn the_method_that_a_registration_returns_is_obeyed() {
    for (offered, method, has_secret) in [
        (json!(["client_secret_post"]), "client_secret_post", true),
        (json!(["client_secret_basic"]), "client_secret_basic", true),
        (json!(["none"]), "none", false),
    ] {
        let desk = Desk::new();
        desk.idp.patch_metadata(json!({"token_endpoint_auth_methods_supported": offered}));
        if !has_secret {
            let null = Fault::Patch(json!({"client_secret": "", "client_secret_expires_at": 0}));
            desk.idp.fault("register", null, Times::Once);
        }
        desk.sign_in(&[]);
        let exchange = &desk.idp.requests_to("token_exchange")[0];
        assert_eq!(exchange.header("authorization").is_some(), method == "client_secret_basic");
        assert_eq!(exchange.param("client_secret").is_some(), method == "client_secret_post");
        desk.idp.assert_content();
    }
}

#[test]
fn a_closed_registration_asks_for_a_client_and_names_the_flag() {
    for status in [401, 403] {
        let desk = Desk::new();
        desk.idp.fault("register", Fault::Status(status), Times::Always);
        let next = format!("keyfob login {} --client-id ID", desk.resource.url());
        let output = desk.login(&["--print-auth-url"]).run();
        output.code(1).stderr_has("closed to registrations").stderr_has(&next);
        let (code, error) = desk.proxy(&[]).error("a", "initialize");
        assert_eq!((code, error["data"]["try"].as_str()), (-31002, Some(next.as_str())));
    }
}

#[test]
fn whose_callback_counts_is_said_by_its_iss() {
    for (promised, sent, is_good) in
        [(true, true, true), (true, false, false), (false, true, true), (false, false, true)]
    {
        let desk = Desk::with(|dialect| dialect.iss_in_callback = sent);
        let promise = json!({"authorization_response_iss_parameter_supported": promised});
        desk.idp.patch_metadata(promise);
        let mut proxy = desk.proxy(&["--auth-timeout", "2"]);
        proxy.send("a", "initialize");
        browser::follow(&proxy.0.auth_url());
        let answer = proxy.answer("a");
        assert_eq!(answer["result"].is_object(), is_good, "{promised} {sent} {answer}");
        if !is_good {
            assert_eq!(answer["error"]["code"], -31002);
            assert!(answer["error"]["message"].as_str().unwrap().contains("which issuer"));
            assert_eq!(desk.idp.count("token_exchange"), 0);
        }
    }
}

#[test]
fn another_issuers_words_are_not_shown() {
    for iss in ["https://evil.example", "slash"] {
        let desk = Desk::with(|dialect| dialect.iss_in_callback = true);
        let iss = if iss == "slash" { format!("{}/", desk.idp.issuer()) } else { iss.to_string() };
        let mut proxy = desk.proxy(&["--auth-timeout", "2"]);
        proxy.send("a", "initialize");
        let url = proxy.0.auth_url();
        let state = browser::approve(&url).state();
        let redirect = desk.authorized("redirect_uri").unwrap();
        let iss = iss.replace(':', "%3A").replace('/', "%2F");
        let query =
            format!("error=access_denied&error_description=CALL%20555&state={state}&iss={iss}");
        let page = browser::follow(&format!("{redirect}?{query}"));
        assert!(!page.body.contains("CALL"), "{}", page.body);
        let answer = proxy.answer("a");
        assert_eq!(answer["error"]["code"], -31002, "{answer}");
        assert!(!answer.to_string().contains("CALL"), "{answer}");
        assert!(!proxy.end().stderr.contains("CALL"));
    }
}

#[test]
fn a_person_who_declines_ends_the_sign_in() {
    let desk = Desk::new();
    desk.idp.fault("authorize", Fault::oauth_error("access_denied", 400), Times::Once);
    let mut proxy = desk.proxy(&[]);
    proxy.send("a", "initialize");
    browser::follow(&proxy.0.auth_url());
    let answer = proxy.answer("a");
    assert_eq!(answer["error"]["code"], -31002, "{answer}");
    assert!(answer["error"]["message"].as_str().unwrap().contains("access_denied"));
    proxy.0.stderr_line_containing("http", super::LIMIT);
}
