//! The dialects with a second token are as strict as they claim, and so are their overlays.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::device::GRANT_TYPE;
use super::encoding::{encode, s256};
use super::selftest::{FORM, STATE, VERIFIER, form, merge, text};
use super::{Dialect, Idp};
use crate::support::agent::KEYFOB;
use crate::support::browser::{self, Page};

fn row(id: &str) -> Value {
    let rows = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/providers.json"));
    let rows: Value = serde_json::from_str(&rows.unwrap()).unwrap();
    let mut row = rows.as_array().unwrap().iter().find(|row| row["id"] == id).unwrap().clone();
    // As `provider list --json` writes it.
    row["scopes"] = row.get("scopes").cloned().unwrap_or(json!([]));
    row
}

fn issuer(id: &str) -> Idp {
    Idp::start(Dialect::from_row(&row(id), None))
}

fn get(idp: &Idp, path: &str, headers: &[(&str, &str)]) -> Page {
    let headers = [&[("User-Agent", KEYFOB)], headers].concat();
    browser::request("GET", &idp.url(path), &headers, "").unwrap()
}

const COPILOT: &str = "/copilot_internal/v2/token";
const COPILOT_HEADERS: [(&str, &str); 3] = [
    ("X-GitHub-Api-Version", "2025-04-01"),
    ("Editor-Version", "keyfob/1.0"),
    ("Editor-Plugin-Version", "keyfob/1.0"),
];

#[test]
fn a_second_token_is_bound_to_the_first() {
    let idp = issuer("copilot");
    let first = format!("token {}", idp.grant().access_token);
    let headers = [&COPILOT_HEADERS[..], &[("Authorization", first.as_str())]].concat();
    let answer = get(&idp, COPILOT, &headers).json();
    let token = text(&answer["token"]).to_string();
    assert!(idp.accepts_api_token(&token) && !idp.accepts_access(&token));
    assert_eq!((&answer["refresh_in"], answer["expires_at"].is_u64()), (&json!(1500), true));
    assert_eq!(answer["endpoints"]["api"], idp.url("/business"));
    idp.expire_access_tokens();
    assert!(!idp.accepts_api_token(&token), "the first one is over");
    assert_eq!(get(&idp, COPILOT, &headers).status, 401);
    idp.assert_content();

    let first = format!("token {}", idp.grant().access_token);
    let headers = [&COPILOT_HEADERS[..], &[("Authorization", first.as_str())]].concat();
    idp.set_plan(false);
    let refused = get(&idp, COPILOT, &headers);
    let details = &refused.json()["error_details"];
    assert_eq!((refused.status, text(&details["title"])), (403, "Sign up for Copilot"));
    idp.set_plan(true);
    idp.set_api_lifetime(0);
    let token = get(&idp, COPILOT, &headers).json()["token"].clone();
    assert!(!idp.accepts_api_token(text(&token)), "over at once");
    assert_eq!(idp.count("api_token"), 4);
    idp.assert_content();
}

#[test]
fn every_slip_at_copilots_endpoint_is_refused() {
    let idp = issuer("copilot");
    let token = idp.grant().access_token;
    let (good, bearer) = (format!("token {token}"), format!("Bearer {token}"));
    for slip in [0, 1, 2] {
        idp.reset_records();
        let mut headers = COPILOT_HEADERS.to_vec();
        headers.remove(slip);
        headers.push(("Authorization", &good));
        assert_eq!(get(&idp, COPILOT, &headers).status, 400);
        assert_eq!(idp.complaints().len(), 1, "{headers:?}");
    }
    for (path, word) in [(COPILOT, bearer.as_str()), (COPILOT, ""), ("?x=1", good.as_str())] {
        idp.reset_records();
        let path = if path == COPILOT { path.to_string() } else { format!("{COPILOT}{path}") };
        let headers = [&COPILOT_HEADERS[..], &[("Authorization", word)]].concat();
        assert_eq!(get(&idp, &path, &headers).status, 400, "{word}");
        assert_eq!(idp.complaints().len(), 1, "{word}");
    }
}

#[test]
fn iflows_token_comes_in_the_query_and_nowhere_else() {
    let idp = issuer("iflow");
    let token = idp.grant().access_token;
    let path = format!("/api/oauth/getUserInfo?accessToken={}", encode(&token));
    let answer = get(&idp, &path, &[]).json();
    assert_eq!(answer["data"]["email"], "me@example.com");
    assert!(idp.accepts_api_token(text(&answer["data"]["apiKey"])));
    assert_eq!(get(&idp, "/api/oauth/getUserInfo?accessToken=x", &[]).status, 401);
    idp.assert_content();
    let bearer = format!("Bearer {token}");
    let slips = [
        (path.clone(), vec![("Authorization", bearer.as_str())]),
        (format!("{path}&x=1"), vec![]),
        ("/api/oauth/getUserInfo".to_string(), vec![("Authorization", bearer.as_str())]),
    ];
    for (path, headers) in slips {
        idp.reset_records();
        assert_eq!(get(&idp, &path, &headers).status, 400, "{path}");
        assert_eq!(idp.complaints().len(), 1, "{path}");
    }
}

#[test]
fn iflows_client_proves_itself_twice_and_names_its_redirect_twice() {
    let secret = issuer("iflow").dialect().client_secret.clone().unwrap();
    let redirect = "http://localhost:11451/oauth2callback";
    let challenge = s256(VERIFIER);
    let authorize = |idp: &Idp, changes: &[(&str, &str)]| {
        let mut pairs = vec![
            ("response_type", "code"),
            ("client_id", "10009311001"),
            ("redirect_uri", redirect),
            ("redirect", redirect),
            ("state", STATE),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
            ("loginMethod", "phone"),
            ("type", "phone"),
        ];
        merge(&mut pairs, changes);
        browser::approve(&idp.url(&format!("/oauth?{}", form(&pairs))))
    };
    for slip in [[("redirect", "")], [("redirect", "http://localhost:1/x")], [("scope", "openid")]]
    {
        let idp = issuer("iflow");
        assert!(authorize(&idp, &slip).param("error").is_some(), "{slip:?}");
        assert_eq!(idp.complaints().len(), 1, "{slip:?}");
    }
    let basic = |name: &str, secret: &str| {
        let pair = STANDARD.encode(format!("{name}:{secret}"));
        format!("Basic {pair}")
    };
    let good = basic("10009311001", &secret);
    let cases = [
        (secret.as_str(), good.clone(), 200),
        ("", good.clone(), 401),
        ("wrong", good, 401),
        (&secret, String::new(), 401),
        (&secret, basic("10009311001", "wrong"), 401),
        (&secret, basic("other", &secret), 401),
    ];
    for (in_body, header, status) in cases {
        let idp = issuer("iflow");
        let code = authorize(&idp, &[]).code();
        let mut pairs = vec![
            ("grant_type", "authorization_code"),
            ("client_id", "10009311001"),
            ("client_secret", in_body),
            ("code", &code),
            ("redirect_uri", redirect),
            ("code_verifier", VERIFIER),
        ];
        pairs.retain(|(_, value)| !value.is_empty());
        let mut headers = vec![("Content-Type", FORM), ("User-Agent", KEYFOB)];
        if !header.is_empty() {
            headers.push(("Authorization", &header));
        }
        let page = browser::request("POST", &idp.url("/oauth/token"), &headers, &form(&pairs));
        assert_eq!(page.unwrap().status, status, "{in_body} {header}");
        assert_eq!(idp.complaints().is_empty(), status == 200);
    }
}

#[test]
fn github_says_no_with_200_and_qwen_slows_down_with_429() {
    for (id, device_path, token_path) in [
        ("copilot", "/login/device/code", "/login/oauth/access_token"),
        ("qwen", "/api/v1/oauth2/device/code", "/api/v1/oauth2/token"),
    ] {
        let idp = issuer(id);
        let challenge = s256(VERIFIER);
        let (client, scope) = (idp.dialect().client_id.clone(), idp.dialect().scope.clone());
        let post = |path: &str, pairs: &[(&str, &str)]| {
            let headers =
                [("Accept", "application/json"), ("Content-Type", FORM), ("User-Agent", KEYFOB)];
            browser::request("POST", &idp.url(path), &headers, &form(pairs)).unwrap()
        };
        let mut pairs = vec![("client_id", client.as_str()), ("scope", scope.as_deref().unwrap())];
        if id == "qwen" {
            pairs.extend([("code_challenge", &*challenge), ("code_challenge_method", "S256")]);
        }
        let started = post(device_path, &pairs).json();
        idp.shape_device(|shape| shape.interval = super::Interval::Number(0));
        let device_code = text(&started["device_code"]);
        let mut pairs =
            vec![("grant_type", GRANT_TYPE), ("client_id", &client), ("device_code", device_code)];
        if id == "qwen" {
            pairs.push(("code_verifier", VERIFIER));
        }
        let slow = if id == "qwen" { 429 } else { 200 };
        idp.slow_down_next(1, None);
        let page = post(token_path, &pairs);
        assert_eq!((page.status, text(&page.json()["error"])), (slow, "slow_down"));
        idp.reset_records();
        idp.approve_device(text(&started["user_code"]));
        let tokens = post(token_path, &pairs).json();
        assert!(idp.accepts_access(text(&tokens["access_token"])), "{tokens}");
        let has_end = tokens.get("refresh_token").is_some() && tokens.get("expires_in").is_some();
        assert_eq!(has_end, id == "qwen", "{tokens}");
        let again = post(token_path, &pairs);
        assert_eq!(again.json()["error"], "invalid_grant");
        assert_eq!(again.status, if id == "qwen" { 400 } else { 200 });
    }
}

#[test]
fn an_overlay_moves_every_address_there_is() {
    let idp = Idp::start(Dialect::oidc());
    let moved = |id: &str| idp.overlay(&json!([row(id)]))["providers"][id].clone();
    let copilot = moved("copilot");
    assert_eq!(copilot["api_token"]["url"], idp.url(COPILOT));
    assert_eq!(copilot["api"]["base"], idp.origin());
    let there = json!({
        "device_url": "{instance}/login/device/code",
        "token_url": "{instance}/login/oauth/access_token",
        "userinfo_url": "{instance}/user",
        "api_token": {"url": format!("{{instance}}{COPILOT}")},
        "api": {"base": "{instance}"},
    });
    assert_eq!(copilot["instance"]["row"], there);
    assert_eq!(moved("iflow")["api_token"]["url"], idp.url("/api/oauth/getUserInfo"));
    assert_eq!(moved("qwen")["api"]["base"], "http://{resource_url}/v1");
    let minimax = moved("minimax")["api"].clone();
    let other = idp.url("/v1").replace("127.0.0.1", "localhost");
    assert_eq!(
        (&minimax["base"], &minimax["key_bases"]["sk-cp-"]),
        (&json!(idp.url("/v1")), &json!(other))
    );
    for id in ["azure", "codemie"] {
        assert_eq!(
            moved(id)["instance"]["row"],
            row(id)["instance"]["row"],
            "{id}: templates stay"
        );
    }
    let vertex = text(&moved("vertex")["api"]["base"]).to_string();
    assert!(vertex.starts_with(idp.origin()) && vertex.contains("{project}"), "{vertex}");
}
