//! `auth-test --login`: signs in, then proves what came of it.

use serde_json::json;

use super::proof::{outcomes, results};
use super::*;
use crate::support::browser;

/// Nobody is signed in yet, and the terms were seen.
fn home(name: &str) -> Home {
    let home = Home::of(&[name]);
    let (provider, account) = name.split_once('/').expect("a name");
    std::fs::remove_file(home.sandbox.account_file(provider, account)).expect("an account");
    home.configure(&format!("accepted_terms/{provider}"), json!("2026-01-01T00:00:00Z"));
    home
}

#[test]
fn a_sign_in_by_browser_is_proven() {
    let home = home("claude/me@example.com");
    let idp = home.seats[0].idp.as_ref().expect("an issuer");
    let child = home.say("auth-test claude --login --json").env("BROWSER", "true").spawn();
    let url = child.auth_url();
    assert_eq!(browser::follow(&url).status, 200);
    let output = child.wait(LIMIT);
    let result = &results(output.ok())[0];
    assert_eq!(outcomes(result), ["ok"; 4], "{result:#}");
    assert_eq!(
        (&result["provider"], &result["account"]),
        (&json!("claude"), &json!("me@example.com"))
    );
    assert_eq!(idp.count("token_refresh"), 0, "what is new is not renewed");
    let stored = home.sandbox.read_account("claude", "me@example.com");
    let token = stored["access_token"].as_str().expect("a token");
    output.check(!format!("{}{}", output.stdout, output.stderr).contains(token), "no secret");
    home.is_content();
}

#[test]
fn a_sign_in_by_code_is_proven() {
    let home = home("copilot/user-1");
    let idp = home.seats[0].idp.as_ref().expect("an issuer");
    let child = home.say("auth-test copilot --login --json").spawn();
    idp.wait_for("device_start", 1);
    let code = idp.devices().last().expect("a device login").user_code.clone();
    idp.approve_device(&code);
    let output = child.wait(LIMIT);
    let result = &results(output.ok())[0];
    assert_eq!(outcomes(result), ["ok"; 4], "{result:#}");
    home.is_content();
}

#[test]
fn a_sign_in_that_fails_is_the_end() {
    let home = home("claude/me@example.com");
    let output = home.say("auth-test claude --login --json --timeout 1").env("NO_BROWSER", "1");
    let child = output.spawn();
    child.auth_url();
    child.kill("INT");
    let output = child.wait(LIMIT);
    let is_interrupt = output.status == Some(130) || output.signal == Some(2);
    output.check(is_interrupt, "interrupted").stdout_is("");
    assert_eq!(home.api().connections(), 0);

    let bare = Home::empty();
    let output = bare.say("auth-test claude --login").run();
    output.code(2).stdout_is("").stderr_has("--accept-terms");
    let output = bare.say("auth-test --login").run();
    output.code(2).stdout_is("").stderr_has("\n  try: keyfob auth-test PROVIDER --login\n");
}
