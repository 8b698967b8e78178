//! The issuer is as strict as it claims: each row of these tests is a client doing one thing wrong.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::encoding::{encode, s256};
use super::{Dialect, Fault, Idp, Times};
use crate::support::agent::KEYFOB;
use crate::support::browser::{self, Page};

pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub const STATE: &str = "state-state-state-state-state-state-state-state";
const REDIRECT: &str = "http://127.0.0.1:4321/callback";
pub const FORM: &str = "application/x-www-form-urlencoded";

pub fn form(pairs: &[(&str, &str)]) -> String {
    let text: Vec<String> = pairs.iter().map(|(k, v)| format!("{k}={}", encode(v))).collect();
    text.join("&")
}

fn authorize_url(idp: &Idp, changes: &[(&str, &str)]) -> String {
    let challenge = s256(VERIFIER);
    let mut pairs = vec![
        ("response_type", "code"),
        ("client_id", "demo-client"),
        ("redirect_uri", REDIRECT),
        ("scope", "openid email"),
        ("state", STATE),
        ("code_challenge", challenge.as_str()),
        ("code_challenge_method", "S256"),
    ];
    merge(&mut pairs, changes);
    idp.url(&format!("/authorize?{}", form(&pairs)))
}

pub fn merge<'a>(pairs: &mut Vec<(&'a str, &'a str)>, changes: &[(&'a str, &'a str)]) {
    for (name, value) in changes {
        pairs.retain(|(known, _)| known != name);
        if !value.is_empty() {
            pairs.push((name, value));
        }
    }
}

pub fn post(idp: &Idp, path: &str, kind: &str, body: &str) -> std::io::Result<Page> {
    let headers = [("Content-Type", kind), ("User-Agent", KEYFOB)];
    browser::request("POST", &idp.url(path), &headers, body)
}

fn exchange(idp: &Idp, code: &str, changes: &[(&str, &str)]) -> Page {
    let mut pairs = vec![
        ("grant_type", "authorization_code"),
        ("client_id", "demo-client"),
        ("code", code),
        ("redirect_uri", REDIRECT),
        ("code_verifier", VERIFIER),
    ];
    merge(&mut pairs, changes);
    post(idp, "/token", FORM, &form(&pairs)).unwrap()
}

fn refresh_body(token: &str) -> String {
    let pairs =
        [("grant_type", "refresh_token"), ("client_id", "demo-client"), ("refresh_token", token)];
    form(&pairs)
}

fn refresh(idp: &Idp, token: &str) -> std::io::Result<Page> {
    post(idp, "/token", FORM, &refresh_body(token))
}

fn hello(idp: &Idp, token: &str) -> u16 {
    let bearer = format!("Bearer {token}");
    let headers = [("Authorization", bearer.as_str())];
    browser::request("GET", &idp.url("/api/hello"), &headers, "").unwrap().status
}

fn sign_in(idp: &Idp) -> Value {
    let code = browser::approve(&authorize_url(idp, &[])).code();
    exchange(idp, &code, &[]).json()
}

pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[test]
fn a_correct_client_is_served_without_a_complaint() {
    let idp = Idp::start(Dialect::oidc());
    let back = browser::approve(&authorize_url(&idp, &[]));
    assert!(back.location.starts_with(REDIRECT));
    assert_eq!(back.state(), STATE);
    let tokens = exchange(&idp, &back.code(), &[]).json();
    assert_eq!(text(&tokens["id_token"]).split('.').count(), 3);
    assert_eq!(hello(&idp, text(&tokens["access_token"])), 200);

    let next = refresh(&idp, text(&tokens["refresh_token"])).unwrap().json();
    assert_ne!(next["refresh_token"], tokens["refresh_token"]);
    idp.expire_access_tokens();
    assert_eq!(hello(&idp, text(&next["access_token"])), 401);

    let token = text(&next["refresh_token"]);
    let body = form(&[("token", token), ("client_id", "demo-client")]);
    assert_eq!(post(&idp, "/revoke", FORM, &body).unwrap().status, 200);
    assert!(!idp.accepts_refresh(token));
    assert_eq!(idp.count("token_exchange"), 1);
    assert_eq!(idp.count("token_refresh"), 1);
    assert_eq!(idp.count("/token"), 2);
    idp.assert_content();
}

#[test]
fn every_slip_at_the_authorize_page_is_refused() {
    let challenge = s256(VERIFIER);
    let slips: [&[(&str, &str)]; 13] = [
        &[("response_type", "token")],
        &[("client_id", "stranger")],
        &[("redirect_uri", "http://192.168.0.1:80/callback")],
        &[("redirect_uri", "https://127.0.0.1:4321/callback")],
        &[("redirect_uri", "")],
        &[("code_challenge_method", "plain")],
        &[("code_challenge_method", "")],
        &[("code_challenge", "short")],
        &[("state", "short")],
        &[("state", "")],
        &[("state", challenge.as_str())],
        &[("code_verifier", VERIFIER)],
        &[("client_secret", "x")],
    ];
    for slip in slips {
        let idp = Idp::start(Dialect::oidc());
        let page = browser::get(&authorize_url(&idp, slip));
        let location = page.header("location").unwrap_or_default();
        assert!(page.status == 400 || location.contains("error="), "{slip:?} {page:?}");
        assert_eq!(idp.complaints().len(), 1, "{slip:?}");
    }
    for query in ["state=%zz", "a=1&a=2", "a=%ff", "a=\"b\""] {
        let idp = Idp::start(Dialect::oidc());
        let page = browser::get(&format!("{}&{query}", authorize_url(&idp, &[])));
        assert_eq!((page.status, idp.complaints().len()), (400, 1), "{query}");
    }
}

#[test]
fn every_slip_at_the_exchange_is_refused() {
    let other = "x".repeat(43);
    let slips: [&[(&str, &str)]; 9] = [
        &[("code_verifier", other.as_str())],
        &[("code_verifier", "short")],
        &[("code_verifier", "")],
        &[("redirect_uri", "http://127.0.0.1:4322/callback")],
        &[("redirect_uri", "")],
        &[("client_id", "")],
        &[("client_secret", "x")],
        &[("state", STATE)],
        &[("scope", "openid")],
    ];
    for slip in slips {
        let idp = Idp::start(Dialect::oidc());
        let code = browser::approve(&authorize_url(&idp, &[])).code();
        let page = exchange(&idp, &code, slip);
        assert!(page.status >= 400, "{slip:?} {page:?}");
        assert_eq!(idp.complaints().len(), 1, "{slip:?}");
    }
}

#[test]
fn headers_and_encoding_of_a_token_request_are_checked() {
    let idp = Idp::start(Dialect::oidc());
    let token = idp.grant().refresh_token;
    let good = [("Content-Type", FORM), ("User-Agent", KEYFOB)];
    let bad: [&[(&str, &str)]; 4] = [
        &[good[0]],
        &[good[1]],
        &[good[0], good[1], ("Authorization", "Bearer x")],
        &[("Content-Type", "application/json"), good[1]],
    ];
    for headers in bad {
        let body = refresh_body(&token);
        let page = browser::request("POST", &idp.url("/token"), headers, &body).unwrap();
        assert!(page.status >= 400, "{headers:?} {page:?}");
    }
    assert_eq!(idp.complaints().len(), bad.len());
    assert!(idp.accepts_refresh(&token));
}

#[test]
fn a_state_may_not_serve_two_logins() {
    let idp = Idp::start(Dialect::oidc());
    browser::approve(&authorize_url(&idp, &[])).code();
    browser::approve(&authorize_url(&idp, &[])).code();
    idp.assert_content();
    let other = s256("another");
    let back = browser::approve(&authorize_url(&idp, &[("code_challenge", &other)]));
    assert_eq!(back.param("error").as_deref(), Some("invalid_request"));
}

#[test]
fn a_code_used_twice_takes_its_tokens_back() {
    let idp = Idp::start(Dialect::oidc());
    let code = browser::approve(&authorize_url(&idp, &[])).code();
    let tokens = exchange(&idp, &code, &[]).json();
    assert_eq!(exchange(&idp, &code, &[]).json()["error"], "invalid_grant");
    assert_eq!(hello(&idp, text(&tokens["access_token"])), 401);
    assert_eq!(idp.count("code_reuse"), 1);
}

#[test]
fn a_refresh_token_used_twice_takes_its_family_back() {
    let idp = Idp::start(Dialect::oidc());
    let tokens = sign_in(&idp);
    let first = text(&tokens["refresh_token"]);
    let next = refresh(&idp, first).unwrap().json();
    assert_eq!(refresh(&idp, first).unwrap().json()["error"], "invalid_grant");
    assert_eq!(refresh(&idp, text(&next["refresh_token"])).unwrap().status, 400);
    assert_eq!(hello(&idp, text(&next["access_token"])), 401);
    assert_eq!(idp.count("refresh_reuse"), 1);
}

#[test]
fn each_fault_does_what_it_says() {
    let faults = [
        (Fault::json(200, &json!({"expires_in": "3600"})), 200, true),
        (Fault::Delay(50), 200, false),
        (Fault::Empty, 200, true),
        (Fault::Html(403), 403, true),
        (Fault::oauth_error("slow_down", 400), 400, true),
        (Fault::Patch(json!({"expires_in": null})), 200, false),
        (Fault::Redirect("http://127.0.0.1:1/".into()), 307, true),
        (Fault::RetryAfter(429, "7".into()), 429, true),
        (Fault::Status(500), 500, true),
        (Fault::Trickle(1), 200, false),
        (Fault::Truncated, 200, true),
    ];
    for (fault, status, token_survives) in faults {
        let idp = Idp::start(Dialect::oidc());
        let token = idp.grant().refresh_token;
        idp.fault("token_refresh", fault.clone(), Times::Once);
        let page = refresh(&idp, &token).unwrap();
        assert_eq!(page.status, status, "{fault:?}");
        assert_eq!(idp.accepts_refresh(&token), token_survives, "{fault:?}");
        let after = page.header("retry-after").unwrap_or("-");
        assert_eq!(after == "7", status == 429, "{fault:?}");
    }
    for (fault, token_survives) in
        [(Fault::CutShort, false), (Fault::Drop, true), (Fault::DropAfterWork, false)]
    {
        let idp = Idp::start(Dialect::oidc());
        let token = idp.grant().refresh_token;
        idp.fault("token_refresh", fault.clone(), Times::Count(1));
        refresh(&idp, &token).unwrap_err();
        assert_eq!(idp.accepts_refresh(&token), token_survives, "{fault:?}");
        assert_eq!(refresh(&idp, &token).is_ok_and(|page| page.status == 200), token_survives);
    }
}

#[test]
fn a_refused_sign_in_travels_in_the_redirect() {
    let idp = Idp::start(Dialect::oidc());
    idp.fault("authorize", Fault::oauth_error("access_denied", 400), Times::Always);
    let back = browser::approve(&authorize_url(&idp, &[]));
    assert_eq!(back.param("error").as_deref(), Some("access_denied"));
    assert_eq!(back.state(), STATE);
}

#[test]
fn a_hanging_request_blocks_nobody_and_two_hundred_are_served() {
    let idp = Idp::start(Dialect::oidc());
    idp.fault("token_refresh", Fault::Hang, Times::Once);
    let authority = idp.origin().trim_start_matches("http://").to_string();
    let body = refresh_body(&idp.grant().refresh_token);
    let mut hanging = browser::connect(&authority).unwrap();
    let head = format!("POST /token HTTP/1.1\r\nContent-Type: {FORM}\r\nContent-Length: ");
    let head = format!("{head}{}\r\nUser-Agent: {KEYFOB}\r\n\r\n{body}", body.len());
    std::io::Write::write_all(&mut hanging, head.as_bytes()).unwrap();
    idp.wait_for("token_refresh", 1);

    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..200 {
            scope.spawn(|| {
                let token = idp.grant().refresh_token;
                assert!(refresh(&idp, &token).is_ok());
            });
        }
    });
    assert!(start.elapsed() < Duration::from_secs(15));
    assert_eq!(idp.count("token_refresh"), 201);
}

#[test]
fn metadata_can_be_withheld_and_falsified() {
    let idp = Idp::start(Dialect::oidc());
    let fetch = |path: &str| {
        let headers = [("User-Agent", KEYFOB)];
        browser::request("GET", &idp.url(path), &headers, "").unwrap()
    };
    let openid = "/.well-known/openid-configuration";
    assert_eq!(fetch(openid).json()["issuer"], idp.origin());
    idp.patch_metadata(json!({"token_endpoint": "file:///etc/passwd", "jwks_uri": null}));
    idp.serve_metadata(false, true);
    assert_eq!(fetch(openid).status, 404);
    let body = fetch("/.well-known/oauth-authorization-server").json();
    assert_eq!(body["token_endpoint"], "file:///etc/passwd");
    assert!(body.get("jwks_uri").is_none());
}

#[test]
fn a_registered_client_is_held_to_what_it_registered() {
    let idp = Idp::start(Dialect::oidc());
    let ask = json!({"redirect_uris": ["http://127.0.0.1/cb"], "client_name": "x",
        "token_endpoint_auth_method": "none"});
    let page = post(&idp, "/register", "application/json", &ask.to_string()).unwrap();
    assert_eq!(page.status, 201);
    let id = page.json()["client_id"].clone();
    let id = text(&id);
    let good = [("client_id", id), ("redirect_uri", "http://127.0.0.1:9/cb")];
    browser::approve(&authorize_url(&idp, &good)).code();
    let bad = [("client_id", id), ("redirect_uri", "http://127.0.0.1:9/other")];
    assert_eq!(browser::get(&authorize_url(&idp, &bad)).status, 400);
    idp.forget_client(id);
    assert_eq!(browser::get(&authorize_url(&idp, &good)).status, 400);
    assert_eq!(idp.complaints().len(), 1);
}
