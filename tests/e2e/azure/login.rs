//! What a login asks, takes and refuses.

use std::time::Duration;

use serde_json::json;

use super::{ACCOUNT, Azure, ENDPOINT, LOGIN, az_prints};
use crate::login::demo::eventually;
use crate::support::command::Output;
use crate::support::entra::{APPLICATION, token};

const LIMIT: Duration = Duration::from_secs(20);
const KEY: &str = "marker-key-0123456789abcdef";

#[test]
fn json_is_one_object() {
    let azure = Azure::new();
    let output = azure.run(azure.environment(azure.cmd(LOGIN).arg("--json")));
    let file = azure.sandbox.account_file("azure", ACCOUNT);
    assert_eq!(
        output.ok().json(),
        json!({
            "version": 1, "status": "ok", "provider": "azure", "account": ACCOUNT, "kind": "entra",
            "email": null, "expires_at": azure.account()["expires_at"], "scopes": [],
            "path": file.display().to_string(),
        })
    );
}

#[test]
fn the_deployment_comes_from_the_flag_the_environment_or_the_last_login() {
    let azure = Azure::new();
    let words = format!("login azure --url {ENDPOINT} --no-input");
    let output = azure.run(azure.environment(azure.cmd(&words)));
    output
        .code(2)
        .stdout_is("")
        .stderr_has("keyfob: which deployment of contoso.openai.azure.com?\n");
    let next = format!("  try: keyfob login azure --url {ENDPOINT} --deployment NAME\n");
    output.stderr_has(&next);
    assert!(azure.entra.roles().is_empty(), "asked before anybody is");
    let names = ["AZURE_OPENAI_DEPLOYMENT", "AZURE_OPENAI_DEPLOYMENT_NAME"];
    for (set, flag, wanted) in [
        (&names[1..], "", "of-AZURE_OPENAI_DEPLOYMENT_NAME"),
        (&names[..], "", "of-AZURE_OPENAI_DEPLOYMENT"),
        (&names[..], "--deployment of.the_flag", "of.the_flag"),
        (&names[..0], "", "of.the_flag"),
    ] {
        let cmd = azure.environment(azure.cmd(&format!("{words} {flag}")));
        let cmd = set.iter().fold(cmd, |cmd, name| cmd.env(name, &format!("of-{name}")));
        azure.run(cmd).ok();
        assert_eq!(azure.account()["extra"]["deployment"], wanted);
    }
    for wrong in ["a/b", "", "ключ", "a?b"] {
        let cmd = azure.environment(azure.cmd(&words)).arg("--deployment").arg(wrong);
        azure.run(cmd).code(2).stderr_has("is no name of a deployment");
    }
}

#[test]
fn without_verifying_nobody_is_asked_until_a_token_is_needed() {
    let azure = Azure::new();
    let login = azure.run(azure.environment(azure.cmd(LOGIN).arg("--no-verify")));
    login.ok().stderr_has("no token asked for yet; ");
    assert!(azure.entra.roles().is_empty());
    let account = azure.account();
    assert_eq!((&account["access_token"], &account["expires_at"]), (&json!(null), &json!(null)));
    let status = azure.run(azure.cmd("status azure --json")).ok().json();
    assert_eq!(status["accounts"][0]["expires_at"], json!(null));
    let again = azure.run(azure.cmd(LOGIN).arg("--no-verify").arg("--json")).ok().json();
    assert_eq!(again["expires_at"], json!(null));
    let token = azure.run(azure.environment(azure.cmd("token azure"))).ok().line().to_owned();
    assert!(azure.entra.has_issued(&token));
    let both = azure.cmd(LOGIN).arg("--no-verify").arg("--expect").arg("me");
    azure.run(both).code(2).stderr_has("it excludes --no-verify");
}

#[test]
fn only_the_expected_identity_is_stored() {
    let azure = Azure::new();
    let expect = |who: &str| azure.environment(azure.cmd(LOGIN)).arg("--expect").arg(who);
    let output = azure.run(expect("me@example.com"));
    output
        .code(1)
        .stderr_has(&format!("of {APPLICATION}, not of me@example.com; nothing was stored"));
    assert!(!azure.sandbox.account_file("azure", ACCOUNT).exists());
    azure.run(expect(APPLICATION)).ok();
}

#[test]
fn another_identity_takes_the_place_only_with_replace() {
    let azure = Azure::new();
    azure.run(azure.environment(azure.cmd(LOGIN))).ok();
    let before = azure.account();
    azure.tool("az", &az_prints(&token(json!({"upn": "me@x", "oid": "o"}), 1, 3600), ""));
    let output = azure.run(azure.cmd(LOGIN));
    output.code(1).stderr_has("and me@x signed in; nothing was stored").stderr_has("--replace\n");
    assert_eq!(azure.account(), before);
    azure.run(azure.cmd(LOGIN).arg("--replace")).ok();
    assert_eq!(azure.account()["identity"]["email"], "me@x");
}

#[test]
fn an_account_may_have_a_name_of_its_own() {
    let azure = Azure::new();
    let words = LOGIN.replace("azure --url", "azure/work --url");
    azure.run(azure.environment(azure.cmd(&words))).ok();
    assert_eq!(azure.sandbox.read_account("azure", "work")["extra"]["instance"], ENDPOINT);
    // The next time it is known where and what.
    azure.run(azure.environment(azure.cmd("login azure/work --no-input"))).ok();
    assert_eq!(azure.sandbox.read_account("azure", "work")["extra"]["deployment"], "gpt-4o");
}

/// At a terminal; each answer is typed at its question.
#[track_caller]
fn at_terminal(azure: &Azure, words: &str, answers: &[(&str, &str)]) -> Output {
    let mut child = azure.environment(azure.cmd(words)).pty().spawn();
    for (question, answer) in answers {
        eventually(question, || child.stdout().contains(question));
        child.write_stdin(format!("{answer}\r"));
    }
    let output = child.wait(LIMIT);
    output.check(!output.stdout.contains("marker"), "no secret is shown");
    output
}

#[test]
fn a_person_is_asked_for_what_is_missing() {
    let azure = Azure::new();
    let output = at_terminal(
        &azure,
        "login azure",
        &[
            ("address of Azure OpenAI: ", "contoso.openai.azure.com"),
            ("deployment of Azure OpenAI: ", "gpt-4o"),
            ("way in (number or name): ", "1"),
        ],
    );
    output.ok().check(output.stdout.contains("1  Microsoft Entra ID\r\n"), "the choice");
    output.check(output.stdout.contains("2  API key\r\n"), "the choice");
    assert_eq!(azure.account()["extra"]["entra_link"], "environment");
    assert_eq!(azure.account()["extra"]["deployment"], "gpt-4o");
}

#[test]
fn a_person_may_choose_a_key() {
    let azure = Azure::new();
    let words = format!("login azure --url {ENDPOINT}");
    let output = at_terminal(
        &azure,
        &words,
        &[
            ("deployment of Azure OpenAI: ", "gpt-4o"),
            ("way in (number or name): ", "2"),
            ("API key (hidden): ", KEY),
        ],
    );
    output.ok();
    let account = azure.account();
    assert_eq!((&account["kind"], &account["access_token"]), (&json!("api_key"), &json!(KEY)));
    assert_eq!(account["extra"], json!({"instance": ENDPOINT, "deployment": "gpt-4o"}));
    assert!(azure.entra.roles().is_empty());
}

#[test]
fn a_deployment_that_is_none_is_refused_at_once() {
    let azure = Azure::new();
    let words = format!("login azure --url {ENDPOINT}");
    let output = at_terminal(&azure, &words, &[("deployment of Azure OpenAI: ", "a b")]);
    output.code(2).check(output.stdout.contains("is no name of a deployment"), "why");
}
