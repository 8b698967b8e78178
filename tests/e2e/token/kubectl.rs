//! `token --format kubectl`: an ExecCredential (client.authentication.k8s.io).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::place::{FRESH_S, Place, text};
use crate::support::command::{Cmd, Output};
use crate::support::idp::encoding::now_s;
use crate::support::idp::{Fault, Times};
use crate::support::sandbox::in_seconds;

fn id_token(ttl_s: i64) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({"sub": "user-1", "exp": now_s().saturating_add_signed(ttl_s)});
    format!("{}.{}.c2ln", part(&json!({"alg": "RS256"})), part(&claims))
}

fn ask(place: &Place) -> Cmd {
    place.token().arg("--format").arg("kubectl")
}

#[track_caller]
fn status(output: &Output) -> Value {
    let credential = output.ok().json();
    assert_eq!(credential["kind"], "ExecCredential");
    credential["status"].clone()
}

#[test]
fn the_access_token_where_there_is_no_other() {
    let place = Place::new();
    let grant = place.signed_in(FRESH_S);
    let output = ask(&place).run();
    assert_eq!(
        output.ok().json(),
        json!({
            "apiVersion": "client.authentication.k8s.io/v1",
            "kind": "ExecCredential",
            "status": {"token": grant.access_token,
                "expirationTimestamp": text(&place.stored(), "expires_at")},
        })
    );
    assert_eq!(place.refreshes(), 0);
}

#[test]
fn a_live_id_token_is_preferred_with_its_own_end() {
    let place = Place::new();
    let token = id_token(1200);
    place.signed_in_with(FRESH_S, &json!({"id_token": token}));
    let given = status(&ask(&place).run());
    assert_eq!(given["token"], *token);
    let end = in_seconds(1200);
    assert_eq!(text(&given, "expirationTimestamp")[..16], end[..16], "{given}");
    assert_eq!(place.refreshes(), 0);
}

#[test]
fn a_stale_id_token_is_renewed() {
    for ttl_s in [-100, 30] {
        let place = Place::new();
        let changes = json!({"id_token": id_token(ttl_s), "refreshed_at": in_seconds(-3600)});
        place.signed_in_with(FRESH_S, &changes);
        let given = status(&ask(&place).run());
        assert_eq!(place.refreshes(), 1, "the access token alone was fresh");
        assert_eq!(given["token"], place.stored()["id_token"]);
        assert_eq!(status(&ask(&place).run())["token"], given["token"]);
        assert_eq!(place.refreshes(), 1);
        place.idp.assert_content();
    }
}

/// An issuer that sends no new one with a refresh: asking each time would spend a token each time.
#[test]
fn an_id_token_that_no_refresh_renews_is_given_up() {
    let place = Place::new();
    let changes = json!({"id_token": id_token(-100), "refreshed_at": in_seconds(-3600)});
    place.signed_in_with(FRESH_S, &changes);
    let answer =
        json!({"access_token": "access-without-id", "token_type": "Bearer", "expires_in": 3600});
    place.idp.fault("token_refresh", Fault::json(200, &answer), Times::Once);
    assert_eq!(status(&ask(&place).run())["token"], "access-without-id");
    assert_eq!(status(&ask(&place).run())["token"], "access-without-id");
    assert_eq!(place.refreshes(), 1);
}

#[test]
fn a_refused_renewal_is_a_sign_in() {
    let place = Place::new();
    let changes = json!({"id_token": id_token(-100), "refreshed_at": in_seconds(-3600),
        "refresh_token": "spent-long-ago"});
    place.signed_in_with(FRESH_S, &changes);
    let output = ask(&place).run();
    output.code(4).stdout_is("").stderr_has("try: keyfob login my-idp");
}

/// kubectl tells which version it speaks and wants it back.
#[test]
fn kubectl_names_the_version() {
    let place = Place::new();
    place.signed_in(FRESH_S);
    let version = |info: &str| {
        let output = ask(&place).env("KUBERNETES_EXEC_INFO", info).run();
        text(&output.ok().json(), "apiVersion").to_owned()
    };
    let beta = r#"{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1beta1","spec":{"interactive":false}}"#;
    assert_eq!(version(beta), "client.authentication.k8s.io/v1beta1");
    for other in ["", "no json", "{}", r#"{"apiVersion":"evil/v1"}"#, r#"{"apiVersion":7}"#] {
        assert_eq!(version(other), "client.authentication.k8s.io/v1", "{other}");
    }
}

#[test]
fn a_key_has_no_end() {
    let place = Place::new();
    let key = json!({"version": 1, "provider": "groq", "account": "default", "kind": "api_key",
        "access_token": "gsk-0123456789"});
    place.home.write_account("groq", "default", &key);
    let output = place.home.cmd(&["token", "groq", "--format", "kubectl"]).run();
    assert_eq!(status(&output), json!({"token": "gsk-0123456789", "expirationTimestamp": null}));
}
