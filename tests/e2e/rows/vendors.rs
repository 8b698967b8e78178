//! What single vendors tell about a person, and what an API of theirs wants to see.

use serde_json::{Value, json};

use super::{EMAIL, Seat};
use crate::support::idp::{Fault, Times};

/// What a login leaves in the account file.
fn signed_in(id: &str) -> (Seat, Value) {
    let seat = Seat::named(id);
    seat.sign_in();
    seat.idp.assert_content();
    let account = seat.account();
    (seat, account)
}

fn api_headers(seat: &Seat) -> (Value, Value) {
    let token = seat.cmd("token {} --json").run();
    let token = token.ok().json();
    let bearer = format!("Bearer {}", token["token"].as_str().expect("a token"));
    assert_eq!(token["headers"]["Authorization"], bearer);
    (token["headers"].clone(), token["api_base"].clone())
}

#[test]
fn claude_names_person_and_organization() {
    let (seat, account) = signed_in("claude");
    let identity = json!(
        {"email": EMAIL, "subject": "user-1", "organization": "Demo Organization"});
    assert_eq!(account["identity"], identity);
    let (headers, base) = api_headers(&seat);
    assert_eq!(headers["anthropic-beta"], "oauth-2025-04-20");
    assert_eq!(base, seat.idp.origin());
    let login = seat.sign_in();
    login.stderr_has("Demo Organization");
}

/// The profile is asked for only where the token answer does not tell.
#[test]
fn claude_is_known_from_its_profile_too() {
    let seat = Seat::named("claude");
    let silent = Fault::Patch(json!({"account": null, "organization": null}));
    seat.idp.fault("token_exchange", silent, Times::Once);
    seat.sign_in();
    assert_eq!(seat.account()["identity"]["organization"], "Demo Organization");
    assert_eq!(seat.account()["identity"]["email"], EMAIL);
}

#[test]
fn openai_names_account_and_plan() {
    let (seat, account) = signed_in("openai");
    let identity = json!({"email": EMAIL, "subject": "user-1", "organization": "org-1"});
    assert_eq!(account["identity"], identity);
    assert_eq!(account["extra"], json!({"account_id": "acct-user-1", "plan": "plus"}));
    let (headers, base) = api_headers(&seat);
    assert_eq!(headers["ChatGPT-Account-ID"], "acct-user-1");
    assert_eq!(headers["originator"], "keyfob", "nobody else's name");
    assert_eq!(base, seat.idp.url("/backend-api/codex"));
}

/// Without an id token the access token's own claims tell the account.
#[test]
fn openai_is_known_from_the_access_token_too() {
    let seat = Seat::named("openai");
    seat.idp.fault("token_exchange", Fault::Patch(json!({"id_token": null})), Times::Once);
    let url = seat.begin();
    seat.finishing(&url).run().ok();
    let account = seat.sandbox.read_account("openai", "default");
    assert_eq!(account["extra"]["account_id"], "acct-user-1");
}

#[test]
fn google_is_known_by_the_mailbox() {
    let (_, account) = signed_in("google");
    assert_eq!(account["identity"]["email"], EMAIL);
    assert_eq!(account["client_id"], "own-client");
}

#[test]
fn a_project_is_found_for_code_assist() {
    for id in ["antigravity", "gemini"] {
        let (seat, account) = signed_in(id);
        assert_eq!(account["identity"]["email"], EMAIL);
        assert_eq!(account["identity"]["subject"], "user-1");
        assert_eq!(account["extra"], json!({"project_id": "demo-project"}));
        assert_eq!(api_headers(&seat).1, seat.idp.url("/v1internal"));
    }
}

/// An alias is another name for the row, wherever a provider is named.
#[test]
fn aliases_lead_to_the_row() {
    let seat = Seat::named("claude");
    seat.sit_down(3600);
    let token = seat.account()["access_token"].clone();
    for name in ["anthropic", "anthropic/me@example.com", "claude"] {
        let found = seat.sandbox.cmd(&["token", name]).run();
        assert_eq!(token, found.ok().line());
    }
    let show = seat.sandbox.cmd(&["provider", "show", "anthropic", "--json"]).run();
    assert_eq!(show.ok().json()["provider"]["id"], "claude");
    let begun = seat
        .sandbox
        .cmd(&["login", "anthropic", "--print-auth-url", "--accept-terms", "--json"])
        .run();
    assert_eq!(begun.ok().json()["provider"], "claude");
    let status = seat.sandbox.cmd(&["status", "anthropic", "--json"]).run();
    assert_eq!(status.ok().json()["accounts"][0]["provider"], "claude");
    seat.sandbox.cmd(&["logout", "anthropic", "--keep-token"]).run().ok();
    assert!(!seat.sandbox.account_file("claude", EMAIL).exists());
}

/// A token that another server issued stays here, whatever config.json says now.
#[test]
fn a_refresh_token_never_travels_to_another_server() {
    let seat = Seat::named("openai");
    seat.sign_in();
    seat.expire();
    let thief = Seat::named("openai");
    seat.sandbox.write_config(&thief.sandbox.read_config());
    let token = seat.cmd("token {}").run();
    token.code(4).stdout_is("").stderr_has("another server");
    seat.cmd("refresh {}").run().code(4);
    seat.cmd("logout {}").run().ok().stderr_has("warning");
    assert_eq!(thief.idp.counters(), json!({}));
}
