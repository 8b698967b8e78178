//! `--jwt-token`: a JWT that somebody else issued, stored as it is.

mod order;
mod variable;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::support::sandbox::{Sandbox, in_seconds};

const ROW: [&str; 4] = ["provider", "add", "my-api", "--base-url"];

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.cmd(&ROW).arg("https://api.example/v1").run().ok();
    sandbox
}

fn jwt(claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.c2lnbmF0dXJl", part(&json!({"alg": "RS256"})), part(claims))
}

fn expiring_in(seconds: u64) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    jwt(&json!({"exp": now + seconds, "sub": "me"}))
}

#[test]
fn a_token_is_stored_and_handed_out() {
    let sandbox = sandbox();
    let token = expiring_in(30 * 86_400);
    for (flag, stdin) in [(token.as_str(), ""), ("-", &format!("  \"Bearer {token}\"\r\n"))] {
        let out = sandbox.cmd(&["login", "my-api", "--jwt-token", flag]).stdin(stdin).run();
        out.ok().stdout_is("").stderr_has("my-api/default").stderr_lacks(&token);
        sandbox.cmd(&["token", "my-api"]).run().ok().stdout_is(&format!("{token}\n"));
        sandbox.cmd(&["logout", "my-api"]).run().ok();
    }
    let out = sandbox.cmd(&["login", "my-api/work", "--json", "--jwt-token", &token]).run();
    assert_eq!(out.ok().json()["kind"], "bearer");
    let file = sandbox.read_account("my-api", "work");
    assert_eq!((&file["access_token"], &file["kind"]), (&json!(token), &json!("bearer")));
    assert_eq!(sandbox.mode(&sandbox.account_file("my-api", "work")), 0o600);
    let shown = sandbox.cmd(&["token", "my-api", "--json"]).run().ok().json();
    assert_eq!(shown["headers"], json!({"Authorization": format!("Bearer {token}")}));
    assert_eq!(shown["api_base"], "https://api.example/v1");
}

#[test]
fn the_wrong_part_of_a_token_is_named_and_nothing_is_stored() {
    let sandbox = sandbox();
    for (text, word) in [
        ("opaque-token", "three parts"),
        ("a.b.c.d", "three parts"),
        ("!!!.e30.sig", "header"),
        ("e30.W10.sig", "payload"),
    ] {
        let out = sandbox.cmd(&["login", "my-api", "--jwt-token", text]).run();
        out.code(2).stdout_is("").stderr_has(word).stderr_lacks(text);
    }
    let expired = jwt(&json!({"exp": 1_000_000}));
    let out = sandbox.cmd(&["login", "my-api", "--jwt-token", "-"]).stdin(expired.as_str()).run();
    out.code(1).stderr_has("expired").stderr_lacks(&expired);
    sandbox.cmd(&["token", "my-api"]).run().code(4);
}

#[test]
fn status_tells_a_week_ahead_that_nobody_renews_it() {
    let sandbox = sandbox();
    let note = |token: &str| {
        sandbox.cmd(&["login", "my-api", "--jwt-token", "-"]).stdin(token).run().ok();
        sandbox.cmd(&["status", "my-api", "--json"]).run().ok().json()["accounts"][0]["note"]
            .clone()
    };
    assert_eq!(note(&expiring_in(30 * 86_400)), Value::Null);
    assert!(note(&expiring_in(3 * 86_400)).as_str().unwrap().contains("nobody renews it"));
}

#[test]
fn an_expired_token_names_the_way_to_a_new_one() {
    let sandbox = sandbox();
    let token = expiring_in(3_600);
    sandbox.cmd(&["login", "my-api", "--jwt-token", "-"]).stdin(token.as_str()).run().ok();
    let next = "keyfob login my-api/default --jwt-token -";
    sandbox.cmd(&["refresh", "my-api"]).run().code(4).stderr_has(next);
    sandbox.cmd(&["token", "my-api"]).run().ok();
    let mut file = sandbox.read_account("my-api", "default");
    file["expires_at"] = json!(in_seconds(-10));
    sandbox.write_account("my-api", "default", &file);
    let out = sandbox.cmd(&["token", "my-api"]).run();
    out.code(4).stdout_is("").stderr_has(next).stderr_lacks(&token);
    let status = sandbox.cmd(&["status", "my-api", "--json"]).run();
    assert_eq!(status.code(4).json()["accounts"][0]["state"], "expired");
}

#[test]
fn a_sign_in_does_not_give_way_unasked() {
    let sandbox = sandbox();
    let idp = crate::support::idp::Idp::start(crate::support::idp::Dialect::oidc());
    sandbox.write_oauth("my-api", "default", &idp.grant(), 3_600);
    let token = expiring_in(3_600);
    let login = ["login", "my-api", "--jwt-token", token.as_str()];
    sandbox.cmd(&login).run().code(1).stderr_has("--replace");
    assert_eq!(sandbox.read_account("my-api", "default")["kind"], "oauth");
    sandbox.cmd(&login).arg("--replace").run().ok();
    assert_eq!(sandbox.read_account("my-api", "default")["kind"], "bearer");
}
