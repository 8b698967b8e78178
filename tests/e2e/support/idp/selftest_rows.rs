//! The issuer a provider row describes takes the client that reads the same row.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::dialect::{ClientAuth, built_in_secret};
use super::encoding::s256;
use super::selftest::{FORM, STATE, VERIFIER, form, merge, text};
use super::{CodeAssist, Dialect, Idp};
use crate::support::agent::KEYFOB;
use crate::support::browser::{self, Page};

#[test]
fn every_built_in_row_has_an_issuer() {
    let rows = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/providers.json"));
    let rows: Value = serde_json::from_str(&rows.unwrap()).unwrap();
    let has_browser = |row: &&Value| row["ways"].as_array().unwrap().contains(&json!("browser"));
    for row in rows.as_array().unwrap().iter().filter(has_browser) {
        let idp = Idp::start(Dialect::from_row(row, None));
        let overlay = idp.overlay(&json!({"providers": [row]}));
        let urls = &overlay["providers"][text(&row["id"])];
        let dialect = idp.dialect();
        let redirect = format!(
            "http://{}:{}{}",
            text(&row["redirect"]["host"]),
            row["redirect"]["ports"][0].as_u64().unwrap_or(4321),
            text(&row["redirect"]["path"])
        );
        let challenge = s256(VERIFIER);
        let mut pairs = vec![
            ("response_type", "code"),
            ("client_id", dialect.client_id.as_str()),
            ("redirect_uri", &redirect),
            ("state", STATE),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        pairs.extend(dialect.authorize_params.iter().map(|(k, v)| (k.as_str(), v.as_str())));
        pairs.extend(dialect.scope.as_deref().map(|scope| ("scope", scope)));
        pairs.extend(dialect.redirect_param.then_some(("redirect", redirect.as_str())));
        let hosted = urls["redirect"]["hosted"]["url"].as_str().map(str::to_string);
        if let Some(hosted) = &hosted {
            let mut pairs = pairs.clone();
            merge(&mut pairs, &[("redirect_uri", hosted)]);
            let shown =
                browser::shown_code(&format!("{}?{}", text(&urls["authorize_url"]), form(&pairs)));
            let with_state = row["redirect"]["hosted"]["shows"] == "code_and_state";
            assert_eq!(shown.ends_with(&format!("#{STATE}")), with_state);
        }
        let url = format!("{}?{}", text(&urls["authorize_url"]), form(&pairs));
        let code = browser::approve(&url).code();
        let mut body = vec![
            ("grant_type", "authorization_code"),
            ("client_id", dialect.client_id.as_str()),
            ("code", &code),
            ("redirect_uri", &redirect),
            ("code_verifier", VERIFIER),
        ];
        if let Some(secret) = &dialect.client_secret {
            body.push(("client_secret", secret));
        }
        if dialect.state_in_token_request {
            body.push(("state", STATE));
        }
        let is_json = row["token_body"] == "json";
        let map: Value = body.iter().map(|(k, v)| (k.to_string(), json!(v))).collect();
        let body = if is_json { map.to_string() } else { form(&body) };
        let kind = if is_json { "application/json" } else { FORM };
        let page = post_as(&idp, kind, &body);
        assert_eq!(page.status, 200, "{page:#?} {:?}", idp.complaints());
        assert!(!text(&page.json()["refresh_token"]).is_empty());
        idp.assert_content();
    }
    assert!(built_in_secret("no-such-row").is_none());
}

/// At the token endpoint, with the client in the header too where the dialect wants that.
fn post_as(idp: &Idp, kind: &str, body: &str) -> Page {
    let dialect = idp.dialect();
    let secret = dialect.client_secret.as_deref().unwrap_or_default();
    let basic = STANDARD.encode(format!("{}:{secret}", dialect.client_id));
    let basic = format!("Basic {basic}");
    let mut headers = vec![("Content-Type", kind), ("User-Agent", KEYFOB)];
    if dialect.client_auth == ClientAuth::PostAndBasic {
        headers.push(("Authorization", &basic));
    }
    browser::request("POST", &idp.url(&dialect.token_path), &headers, body).unwrap()
}

#[test]
fn onboarding_is_done_at_the_second_poll() {
    let row = json!({"token_url": "https://oauth2.googleapis.com/token", "scopes": ["x"],
        "code_assist": {"urls": ["https://cloud.example/v1internal"], "ide_type": "IDE"}});
    let idp = Idp::start(Dialect::from_row(&row, None));
    idp.set_code_assist(CodeAssist::NeedsOnboarding);
    let bearer = format!("Bearer {}", idp.grant().access_token);
    let headers = [
        ("Authorization", bearer.as_str()),
        ("Content-Type", "application/json"),
        ("User-Agent", KEYFOB),
    ];
    let metadata =
        json!({"ideType": "IDE", "platform": "PLATFORM_UNSPECIFIED", "pluginType": "GEMINI"});
    let call = |method: &str, path: &str, body: &Value| {
        let url = idp.url(&format!("/v1internal{path}"));
        let body = if body.is_null() { String::new() } else { body.to_string() };
        browser::request(method, &url, &headers, &body).unwrap().json()
    };
    let ask = json!({"metadata": metadata, "tierId": "free-tier"});
    assert_eq!(call("POST", ":loadCodeAssist", &ask)["allowedTiers"][1]["id"], "free-tier");
    assert_eq!(call("POST", ":onboardUser", &ask)["done"], false);
    assert_eq!(call("GET", "/operations/onboard-1", &Value::Null)["done"], false);
    let last = call("GET", "/operations/onboard-1", &Value::Null);
    assert_eq!(last["response"]["cloudaicompanionProject"]["id"], "demo-project");
    assert_eq!(call("POST", ":loadCodeAssist", &ask)["cloudaicompanionProject"], "demo-project");
    idp.assert_content();
}
