//! After the login: handed out from the disk, and got anew when it is time.

use std::time::Duration;

use serde_json::json;

use super::{ACCOUNT, Azure, ENDPOINT, LOGIN, az_prints};
use crate::support::entra::{APPLICATION, token};

const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn a_fresh_token_needs_nobody() {
    let azure = Azure::new();
    let token = azure.signed_in(600);
    // The secret is no longer good for anything, and it does not matter.
    azure.entra.answers("environment", 401, r#"{"error":"invalid_client"}"#);
    azure.run(azure.environment(azure.cmd("token azure"))).ok().stdout_is(&format!("{token}\n"));
    azure.run(azure.cmd("token azure")).ok().stdout_is(&format!("{token}\n"));
    assert!(azure.entra.roles().is_empty());
}

#[test]
fn a_stale_token_is_got_anew_by_whatever_link_gives_one_now() {
    let azure = Azure::new();
    azure.signed_in(-10);
    let token = azure.run(azure.machine(azure.cmd("token azure"))).ok().line().to_owned();
    assert!(azure.entra.has_issued(&token));
    let account = azure.account();
    assert_eq!(account["access_token"], token);
    assert_eq!(account["extra"]["entra_link"], "managed_identity");
    assert_eq!(account["extra"]["deployment"], "gpt-4o");
    assert_eq!(account["attributes"]["note"], "mine");
    assert_eq!(account["identity"]["subject"], APPLICATION);
    azure.run(azure.machine(azure.cmd("token azure"))).ok().stdout_is(&format!("{token}\n"));
    assert_eq!(azure.entra.roles(), ["managed_identity"]);
    azure.entra.assert_content();
}

#[test]
fn ten_processes_share_one_request() {
    let azure = Azure::new();
    azure.signed_in(-10);
    let crowd: Vec<_> =
        (0..10).map(|_| azure.environment(azure.cmd("token azure")).spawn()).collect();
    let outputs: Vec<_> = crowd.into_iter().map(|child| child.wait(LIMIT)).collect();
    let wanted = format!("{}\n", azure.account()["access_token"].as_str().unwrap());
    for output in outputs {
        output.ok().stdout_is(&wanted).stderr_lacks("marker").stderr_lacks("eyJ");
    }
    assert_eq!(azure.entra.roles(), ["environment"]);
}

#[test]
fn json_tells_how_to_use_it() {
    let azure = Azure::new();
    azure.run(azure.environment(azure.cmd(LOGIN))).ok();
    let token = azure.account()["access_token"].clone();
    let object = azure.run(azure.cmd("token azure --json")).ok().json();
    assert_eq!(
        object,
        json!({
            "version": 1, "provider": "azure", "account": ACCOUNT, "kind": "entra",
            "token_type": "Bearer", "token": token, "expires_at": azure.account()["expires_at"],
            "api_base": "https://contoso.openai.azure.com/openai/v1",
            "headers": {"Authorization": format!("Bearer {}", token.as_str().unwrap())},
        })
    );
}

#[test]
fn a_child_gets_the_variables_that_azures_sdks_read() {
    let azure = Azure::new();
    let token = azure.signed_in(600);
    let output = azure.run(azure.cmd("exec azure -- env"));
    let lines: Vec<_> = output.ok().stdout.lines().filter(|line| line.contains("OPENAI")).collect();
    let wanted = [
        format!("AZURE_OPENAI_AD_TOKEN={token}"),
        "AZURE_OPENAI_DEPLOYMENT=gpt-4o".to_owned(),
        format!("AZURE_OPENAI_ENDPOINT={ENDPOINT}"),
    ];
    let mut lines = lines;
    lines.sort_unstable();
    assert_eq!(lines, wanted);
}

#[test]
fn refresh_asks_whatever_the_clock_says() {
    let azure = Azure::new();
    let old = azure.signed_in(3600);
    azure.run(azure.environment(azure.cmd("refresh azure"))).ok().stderr_has("refreshed azure/");
    assert_ne!(azure.account()["access_token"], old);
    assert_eq!(azure.entra.roles(), ["environment"]);
}

#[test]
fn a_refusal_leaves_the_account_as_it_is_and_is_asked_again() {
    let azure = Azure::new();
    azure.signed_in(-10);
    let before = azure.account();
    let refusal = r#"{"error":"invalid_client","error_description":"AADSTS7000222: expired"}"#;
    azure.entra.answers("environment", 401, refusal);
    for times in 1..=2 {
        let output = azure.run(azure.environment(azure.cmd("token azure")));
        output.code(4).stdout_is("").stderr_has(&format!(
            "keyfob: azure/{ACCOUNT}: environment: AADSTS7000222: expired (invalid_client)\n  \
             try: keyfob login azure/{ACCOUNT}\n"
        ));
        assert_eq!(azure.entra.roles().len(), times, "a secret may be set right at any time");
        assert_eq!(azure.account(), before);
    }
    azure.run(azure.machine(azure.cmd("token azure"))).ok();
}

#[test]
fn trouble_is_temporary_and_a_living_token_bridges_it() {
    let azure = Azure::new();
    azure.entra.answers("environment", 503, "");
    azure.signed_in(-10);
    azure.run(azure.environment(azure.cmd("token azure"))).code(3).stdout_is("");
    let old = azure.signed_in(30);
    let output = azure.run(azure.environment(azure.cmd("token azure")));
    output.ok().stdout_is(&format!("{old}\n")).stderr_has("the old token is still good");
}

#[test]
fn with_nothing_left_the_command_to_run_is_said() {
    let azure = Azure::new();
    azure.signed_in(-10);
    let output = azure.run(azure.cmd("token azure"));
    output.code(4).stdout_is("").stderr_has("  azd: azd is not installed\n");
    let next = format!("login azure/{ACCOUNT} --url {ENDPOINT} --api-key-stdin");
    output.stderr_has(&format!("\n  try: keyfob {next}\n"));
    // And it is right as it stands.
    azure.run(azure.cmd(&next).stdin("key-0123456789")).ok();
    assert_eq!(azure.account()["kind"], "api_key");
    assert_eq!(azure.account()["extra"], json!({"instance": ENDPOINT, "deployment": "gpt-4o"}));
}

/// Somebody else may have run `az login` meanwhile.
#[test]
fn another_identity_than_before_is_said() {
    let azure = Azure::new();
    let print = |name: &str| az_prints(&token(json!({"upn": name, "oid": name}), 1, 3600), "");
    azure.tool("az", &print("me@example.com"));
    azure.run(azure.cmd(LOGIN)).ok();
    azure.run(azure.cmd("refresh azure")).ok().stderr_lacks("warning");
    azure.tool("az", &print("you@example.com"));
    let output = azure.run(azure.cmd("refresh azure"));
    output.ok().stderr_has("the token is of you@example.com now, not of me@example.com\n");
    assert_eq!(azure.account()["identity"]["email"], "you@example.com");
}

#[test]
fn status_and_logout_know_it() {
    let azure = Azure::new();
    azure.signed_in(600);
    let status = azure.run(azure.cmd("status azure --json")).ok().json();
    let row = &status["accounts"][0];
    assert_eq!((&row["kind"], &row["state"]), (&json!("entra"), &json!("valid")));
    assert_eq!(row["can_refresh"], true);
    azure.signed_in(-10);
    let stale = azure.run(azure.cmd("status azure"));
    stale.ok().check(stale.stdout.contains("(renews)"), "expired, but not for long");
    let checked = azure.run(azure.environment(azure.cmd("status azure --check")));
    checked.ok().check(checked.stdout.contains("valid"), "renewed");
    let removed = azure.run(azure.cmd("logout azure --json")).ok().json();
    assert_eq!(removed["removed"][0]["revoked"], json!(null), "nothing that could be revoked");
    assert!(!azure.sandbox.account_file("azure", ACCOUNT).exists());
    assert_eq!(azure.entra.roles(), ["environment"]);
}
