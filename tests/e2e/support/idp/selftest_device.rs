//! The device endpoints are as strict as they claim.

use std::time::Duration;

use serde_json::{Value, json};

use super::device::{GRANT_TYPE, Interval};
use super::encoding::s256;
use super::selftest::{FORM, VERIFIER, form, merge, text};
use super::{Dialect, Idp};
use crate::support::agent::KEYFOB;
use crate::support::browser::{self, Page};

const JSON: &str = "application/json";

fn post(idp: &Idp, path: &str, kind: &str, body: &str) -> Page {
    let headers = [("Accept", JSON), ("Content-Type", kind), ("User-Agent", KEYFOB)];
    browser::request("POST", &idp.url(path), &headers, body).unwrap()
}

fn start(idp: &Idp, changes: &[(&str, &str)]) -> Page {
    let mut pairs = vec![("client_id", "demo-client"), ("scope", "openid email")];
    merge(&mut pairs, changes);
    post(idp, "/device", FORM, &form(&pairs))
}

fn poll(idp: &Idp, device_code: &str, changes: &[(&str, &str)]) -> Page {
    let mut pairs = vec![
        ("grant_type", GRANT_TYPE),
        ("client_id", "demo-client"),
        ("device_code", device_code),
    ];
    merge(&mut pairs, changes);
    post(idp, "/token", FORM, &form(&pairs))
}

/// A started login: device code and user code.
fn started(idp: &Idp, changes: &[(&str, &str)]) -> (String, String) {
    let answer = start(idp, changes).json();
    (text(&answer["device_code"]).into(), text(&answer["user_code"]).into())
}

fn with_interval(dialect: Dialect, interval: Interval) -> Idp {
    let idp = Idp::start(dialect);
    idp.shape_device(|shape| shape.interval = interval);
    idp
}

#[test]
fn a_device_code_is_approved_once_and_used_once() {
    let idp = with_interval(Dialect::oidc(), Interval::Number(0));
    let answer = start(&idp, &[]).json();
    let user_code = text(&answer["user_code"]);
    assert_eq!((user_code.len(), &user_code[4..5]), (9, "-"));
    assert_eq!(answer["verification_uri"], idp.url("/activate"));
    let complete = text(&answer["verification_uri_complete"]);
    assert!(browser::get(complete).body.contains(user_code));
    let device_code = text(&answer["device_code"]);
    assert_eq!(poll(&idp, device_code, &[]).json()["error"], "authorization_pending");
    let control = format!("/_device?user_code={user_code}&do=approve");
    assert_eq!(post(&idp, &control, FORM, "").status, 200);
    let tokens = poll(&idp, device_code, &[]).json();
    assert!(idp.accepts_access(text(&tokens["access_token"])));
    assert_eq!(poll(&idp, device_code, &[]).json()["error"], "invalid_grant");
    assert!(!idp.accepts_access(text(&tokens["access_token"])), "taken back");
    assert_eq!((idp.count("device_start"), idp.count("device_poll")), (1, 3));
    assert_eq!(idp.count("device_reuse"), 1);
    idp.assert_content();
}

#[test]
fn a_decision_is_told_and_a_late_one_is_not() {
    let idp = with_interval(Dialect::oidc(), Interval::Number(0));
    let (denied, user_code) = started(&idp, &[]);
    idp.deny_device(&user_code);
    idp.shape_device(|shape| shape.status = 200);
    let page = poll(&idp, &denied, &[]);
    assert_eq!((page.status, text(&page.json()["error"])), (200, "access_denied"));
    let (expired, user_code) = started(&idp, &[]);
    idp.expire_device(&user_code);
    assert_eq!(poll(&idp, &expired, &[]).json()["error"], "expired_token");
    idp.shape_device(|shape| shape.lifetime_s = 0);
    let (late, _) = started(&idp, &[]);
    assert_eq!(poll(&idp, &late, &[]).json()["error"], "expired_token");
    idp.assert_content();
}

#[test]
fn who_polls_too_fast_is_told_so() {
    let idp = with_interval(Dialect::oidc(), Interval::Number(1));
    let (device_code, user_code) = started(&idp, &[]);
    idp.approve_device(&user_code);
    idp.slow_down_next(1, Some(2));
    let slow = poll(&idp, &device_code, &[]).json();
    assert_eq!((text(&slow["error"]), &slow["interval"]), ("slow_down", &json!(2)));
    std::thread::sleep(Duration::from_millis(1100));
    assert_eq!(poll(&idp, &device_code, &[]).json()["error"], "slow_down");
    assert_eq!(idp.complaints().len(), 1, "{:?}", idp.complaints());
}

#[test]
fn every_slip_of_a_device_client_is_refused() {
    let challenge = s256(VERIFIER);
    let pkce = [("code_challenge", challenge.as_str()), ("code_challenge_method", "S256")];
    let slips: [&[(&str, &str)]; 5] =
        [&[("client_id", "stranger")], &[("client_id", "")], &[("state", "x")], &pkce, &pkce[..1]];
    for slip in slips {
        let idp = with_interval(Dialect::oidc(), Interval::Number(0));
        assert!(start(&idp, slip).status >= 400, "{slip:?}");
        assert_eq!(idp.complaints().len(), 1, "{slip:?}");
    }
    let mut dialect = Dialect::oidc();
    dialect.scope = Some("openid email".into());
    dialect.device.as_mut().unwrap().pkce = true;
    let strict = |changes: &[(&str, &str)]| {
        let idp = with_interval(dialect.clone(), Interval::Number(0));
        let (device_code, user_code) = started(&idp, changes);
        (idp, device_code, user_code)
    };
    let others: [&[(&str, &str)]; 3] =
        [&[], &[pkce[0], ("code_challenge_method", "plain")], &[pkce[0], pkce[1], ("scope", "x")]];
    for slip in others {
        assert_eq!(strict(slip).0.complaints().len(), 1, "{slip:?}");
    }
    for (verifier, is_good) in [("", false), ("wrong", false), (VERIFIER, true)] {
        let (idp, device_code, user_code) = strict(&pkce);
        idp.approve_device(&user_code);
        let page = poll(&idp, &device_code, &[("code_verifier", verifier)]);
        assert_eq!((page.status == 200, idp.complaints().is_empty()), (is_good, is_good));
    }
}

#[test]
fn openais_own_exchange_ends_in_a_code() {
    let row = json!({
        "client_id": "app_1",
        "token_url": "https://auth.example/oauth/token",
        "device_url": "https://auth.example/deviceauth/usercode",
        "device_poll_url": "https://auth.example/deviceauth/token",
        "device_redirect_uri": "https://auth.example/deviceauth/callback",
        "device_page_url": "https://auth.example/codex/device",
        "quirks": ["openai_device"],
        "scopes": ["openid"],
    });
    let idp = with_interval(Dialect::from_row(&row, None), Interval::Number(0));
    let moved = idp.overlay(&json!([{"id": "x", "device_redirect_uri": "https://a.b/c"}]));
    assert_eq!(moved["providers"]["x"]["device_redirect_uri"], idp.url("/c"));
    idp.shape_device(|shape| shape.is_old_spelling = true);
    let answer = post(&idp, "/deviceauth/usercode", JSON, "{\"client_id\":\"app_1\"}").json();
    assert_eq!(answer["interval"], "0");
    let (id, user_code) = (text(&answer["device_auth_id"]), text(&answer["usercode"]));
    let ask = || {
        let body = json!({"device_auth_id": id, "user_code": user_code}).to_string();
        post(&idp, "/deviceauth/token", JSON, &body)
    };
    assert_eq!(ask().status, 403);
    idp.shape_device(|shape| shape.openai_pending = 404);
    assert_eq!(ask().status, 404);
    idp.approve_device(user_code);
    let answer: Value = ask().json();
    let redirect = idp.url("/deviceauth/callback");
    let pairs = [
        ("grant_type", "authorization_code"),
        ("client_id", "app_1"),
        ("code", text(&answer["authorization_code"])),
        ("redirect_uri", &redirect),
        ("code_verifier", text(&answer["code_verifier"])),
    ];
    assert_eq!(post(&idp, "/oauth/token", FORM, &form(&pairs)).status, 200);
    assert_eq!((idp.count("device_poll"), idp.count("token_exchange")), (3, 1));
    idp.assert_content();
    idp.shape_device(|shape| shape.is_enabled = false);
    let refused = post(&idp, "/deviceauth/usercode", JSON, "{\"client_id\":\"app_1\"}");
    assert_eq!(refused.status, 404);
}
