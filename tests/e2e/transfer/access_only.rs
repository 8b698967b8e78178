//! `export --access-only`: a copy that ends with its token, and says so.

use serde_json::{Value, json};

use super::{account, export, import, imported};
use crate::support::sandbox::{Sandbox, in_seconds, write_private};
use crate::token::place::{FRESH_S, ME, MY_IDP, Place, row_of, text};

fn copy_of(place: &Place) -> String {
    export(&place.home, &[MY_IDP, "--access-only"])
}

#[test]
fn it_holds_nothing_that_can_be_renewed() {
    let place = Place::new();
    place.sign_in(ME).ok();
    let mut whole = place.stored();
    whole["client_secret"] = json!("marker-client-secret");
    whole["of_tomorrow"] = json!("marker-of-tomorrow");
    whole["attributes"] = json!({"note": "mine"});
    place.home.write_account(MY_IDP, ME, &whole);
    let text_of = copy_of(&place);
    for secret in [text(&whole, "refresh_token"), "marker-client-secret", "marker-of-tomorrow"] {
        assert!(!text_of.contains(secret), "{text_of}");
    }
    let copy: Value = serde_json::from_str(&text_of).unwrap();
    assert_eq!(copy["access_token"], whole["access_token"]);
    assert_eq!((&copy["extra"]["access_only"], &copy["kind"]), (&json!(true), &json!("oauth")));
    assert_eq!(copy["identity"], whole["identity"]);
    // The account here is what it was.
    assert_eq!(place.stored()["refresh_token"], whole["refresh_token"]);
    assert!(place.stored()["extra"].get("access_only").is_none());
}

#[test]
fn it_works_until_its_token_ends_and_then_says_so() {
    let place = Place::new();
    place.signed_in(FRESH_S);
    let there = Sandbox::new();
    there.write_config(&json!({"providers": {MY_IDP: row_of(&place.idp)}}));
    imported(&there, &copy_of(&place));
    let token = there.cmd(&["token", MY_IDP]).run();
    assert!(place.idp.accepts_access(token.ok().line()));
    let status = there.cmd(&["status", "--json"]).run().ok().json();
    assert_eq!(status["accounts"][0]["can_refresh"], false);
    let mut copy = there.read_account(MY_IDP, ME);
    copy["expires_at"] = json!(in_seconds(-10));
    there.write_account(MY_IDP, ME, &copy);
    for words in [
        &["token", MY_IDP][..],
        &["token", MY_IDP, "--min-ttl", "60"],
        &["env", MY_IDP],
        &["exec", MY_IDP, "--", "true"],
        &["export", MY_IDP, "--access-only"],
        &["refresh", MY_IDP],
    ] {
        let output = there.cmd(words).run();
        output.code(4).stdout_is("").stderr_has("this copy cannot refresh");
        output.stderr_has("try: keyfob login my-idp/me@example.com");
    }
    let output = there.cmd(&["token", MY_IDP, "--json"]).run();
    assert_eq!(output.code(4).error_json()["code"], "sign_in_needed");
    assert_eq!(place.refreshes(), 0);
}

/// A token that would be refreshed here first: the copy is as long-lived as it can be.
#[test]
fn it_is_as_fresh_as_it_can_be() {
    let place = Place::new();
    place.signed_in(-10);
    let copy: Value = serde_json::from_str(&copy_of(&place)).unwrap();
    assert_eq!(place.refreshes(), 1);
    assert_eq!(copy["access_token"], place.stored()["access_token"]);
    assert!(copy["refresh_token"].is_null());
}

/// Refused here while the token lives: there it is a copy like any other.
#[test]
fn a_refusal_is_not_the_copys() {
    let place = Place::new();
    let refused = json!({"code": "invalid_grant", "at": in_seconds(-5)});
    place.signed_in_with(40, &json!({"refused": refused, "refreshed_at": in_seconds(-3560)}));
    let copy: Value = serde_json::from_str(&copy_of(&place)).unwrap();
    assert!(copy.get("refused").is_none(), "{copy}");
}

#[test]
fn kinds_that_mint_their_tokens_leave_one_alone() {
    let later = in_seconds(1500);
    for (provider, kind, change, secret) in [
        (
            "vertex",
            "service_account",
            json!({"service_account": {"private_key": "marker-of-key"}}),
            "marker-of-key",
        ),
        ("azure", "entra", json!({"extra": {"entra_link": "cli"}}), "marker-none"),
        (
            "copilot",
            "oauth",
            json!({"refresh_token": "marker-refresh", "access_token": "marker-of-github",
                "extra": {"api_token": "tok-of-copilot-default", "api_token_expires_at": later}}),
            "marker-of-github",
        ),
    ] {
        let (here, there) = (Sandbox::new(), Sandbox::new());
        here.write_account(provider, "default", &account(provider, "default", kind, &change));
        let given = export(&here, &[provider, "--access-only"]);
        assert!(!given.contains(secret) && !given.contains("marker-refresh"), "{given}");
        imported(&there, &given);
        let copy = there.read_account(provider, "default");
        assert_eq!(copy["kind"], "bearer", "{copy}");
        let token = there.cmd(&["token", provider]).run();
        token.ok().stdout_is(&format!("tok-of-{provider}-default\n"));
        let mut old = copy.clone();
        old["expires_at"] = json!(in_seconds(-5));
        there.write_account(provider, "default", &old);
        there.cmd(&["token", provider]).run().code(4).stderr_has("this copy cannot refresh");
    }
}

#[test]
fn a_key_is_what_it_is_and_a_session_cannot_be_split() {
    let here = Sandbox::new();
    here.write_account("groq", "default", &account("groq", "default", "api_key", &json!({})));
    let there = Sandbox::new();
    imported(&there, &export(&here, &["groq", "--access-only"]));
    there.cmd(&["token", "groq"]).run().ok().stdout_is("tok-of-groq-default\n");
    let cookie = json!({"access_token": "a=1", "extra": {"instance": "https://x.example"}});
    here.write_account("codemie", "lab", &account("codemie", "lab", "cookie", &cookie));
    let output = here.cmd(&["export", "codemie", "--access-only"]).run();
    output.code(2).stdout_is("").stderr_has("try: keyfob export codemie/lab");
}

/// A new sign-in at the copy's place makes it an account like any other.
#[test]
fn a_login_ends_the_mark() {
    let place = Place::new();
    place.signed_in(FRESH_S);
    let copy = copy_of(&place);
    import(&place.home, &["--replace"], &copy).run().ok();
    assert_eq!(place.stored()["extra"]["access_only"], true);
    place.sign_in(ME).ok();
    assert!(place.stored()["extra"].get("access_only").is_none(), "{}", place.stored());
}

/// What `| ssh server keyfob import -` does, in one line.
#[test]
fn it_goes_through_a_pipe() {
    let place = Place::new();
    place.signed_in(FRESH_S);
    let there = Sandbox::new();
    let script = format!(
        "keyfob export my-idp --access-only | KEYFOB_HOME={} keyfob import -",
        there.home().display()
    );
    let output = crate::support::tool::run(&place.home, &["sh", "-c", &script], "");
    output.ok().stdout_is("").stderr_has("imported my-idp/me@example.com");
    assert_eq!(there.mode(&there.account_file(MY_IDP, ME)), 0o600);
    let file = there.work().join("again");
    write_private(&file, &copy_of(&place));
    there.cmd(&["import", &file.display().to_string()]).run().ok();
}
