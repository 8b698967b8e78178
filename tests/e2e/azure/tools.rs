//! The tools of Azure that a person signed in with.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Azure, ENDPOINT, LOGIN, az_prints};
use crate::support::entra::{TENANT, token};
use crate::support::idp::encoding::now_s;
use crate::support::sandbox::in_seconds;

const ASKED_OF_AZ: &str =
    "account get-access-token -o json --scope https://cognitiveservices.azure.com/.default";
const ASKED_OF_AZD: &str =
    "auth token -o json --no-prompt --scope https://cognitiveservices.azure.com/.default";

fn mine() -> String {
    token(json!({"upn": "me@example.com", "oid": "object-1", "appid": "of-the-tool"}), 7, 3000)
}

#[track_caller]
fn works(azure: &Azure, token: &str, link: &str) -> Value {
    let login = azure.run(azure.cmd(LOGIN));
    login.ok().stdout_is("").stderr_has(&format!("the token comes from {link}\n"));
    login.stderr_has("signed in to azure as me@example.com; expires in ");
    let account = azure.account();
    assert_eq!(account["identity"]["email"], "me@example.com");
    assert_eq!(account["identity"]["subject"], "object-1", "and not the tool's own id");
    assert_eq!(
        account["extra"],
        json!({"instance": ENDPOINT, "deployment": "gpt-4o", "entra_link": link})
    );
    azure.run(azure.cmd("token azure")).ok().stdout_is(&format!("{token}\n"));
    assert!(azure.entra.roles().is_empty());
    account
}

#[test]
fn the_azure_cli() {
    let azure = Azure::new();
    let (token, at) = (mine(), now_s() + 2000);
    azure.tool("az", &az_prints(&token, &format!("\"expires_on\": {at},")));
    let account = works(&azure, &token, "azure_cli");
    let expires_at = account["expires_at"].as_str().unwrap().to_owned();
    assert!((in_seconds(1900)..=in_seconds(2000)).contains(&expires_at), "{expires_at}");
    assert_eq!(azure.called("az"), [ASKED_OF_AZ], "once, and with nothing on stdin");
}

/// Before 2.54 it told the local time alone, of a zone we do not know; the token knows better.
#[test]
fn an_old_azure_cli() {
    let azure = Azure::new();
    let token = mine();
    azure.tool("az", &az_prints(&token, ""));
    let account = works(&azure, &token, "azure_cli");
    let expires_at = account["expires_at"].as_str().unwrap().to_owned();
    assert!((in_seconds(2900)..=in_seconds(3000)).contains(&expires_at), "{expires_at}");
}

#[test]
fn the_azure_developer_cli() {
    let azure = Azure::new();
    let (token, at) = (mine(), in_seconds(1500));
    azure.tool("azd", &format!("echo '{{\"token\": \"{token}\", \"expiresOn\": \"{at}\"}}'"));
    let account = works(&azure, &token, "azd");
    assert_eq!(account["expires_at"], at);
    assert_eq!(azure.called("azd"), [ASKED_OF_AZD]);
}

#[test]
fn the_tenant_is_passed_on() {
    let azure = Azure::new();
    azure.tool("az", "exit 1");
    azure.tool("azd", &format!("echo '{{\"token\": \"{}\"}}'", mine()));
    azure.run(azure.cmd(LOGIN).env("AZURE_TENANT_ID", TENANT)).ok();
    assert_eq!(azure.called("az"), [format!("{ASKED_OF_AZ} --tenant {TENANT}")]);
    assert_eq!(azure.called("azd"), [format!("{ASKED_OF_AZD} --tenant-id {TENANT}")]);
}

#[test]
fn a_tool_that_fails_is_quoted_and_the_next_is_asked() {
    let azure = Azure::new();
    azure.tool("az", "echo \"ERROR: Please run 'az login' to setup account.\" >&2; exit 1");
    let line = json!({"type": "consoleMessage", "data": {"message": "\nERROR: not logged in\n"}});
    azure.tool("azd", &format!("printf '%s\\n' '{line}' >&2; exit 1"));
    let output = azure.run(azure.cmd(LOGIN));
    output.code(4).stderr_has("\n  azure_cli: az says: Please run 'az login' to setup account.\n");
    output.stderr_has("\n  azd: azd says: not logged in\n  try: az login\n");
    azure.tool("azd", &format!("echo '{{\"token\": \"{}\"}}'", mine()));
    azure.run(azure.cmd(LOGIN)).ok().stderr_has("comes from azd");
}

#[test]
fn what_a_tool_says_is_cut_and_cleaned() {
    let azure = Azure::new();
    let token = mine();
    azure.tool(
        "az",
        &format!("printf 'sent {token} \\033[2J%s' \"$(yes | head -c 99999)\" >&2; exit 3"),
    );
    azure.tool("azd", &format!("echo '{{\"token\": \"{token} x\"}}'"));
    let output = azure.run(azure.cmd(LOGIN));
    output
        .code(4)
        .stderr_has("azure_cli: az says: sent … ")
        .stderr_has("azd: azd printed no token");
    output.check(output.stderr.len() < 3000, "short");
    output.check(output.stderr.chars().all(|c| c == '\n' || !c.is_control()), "harmless");
    for lines in ["exit 0", "echo {}", "echo '[]'", "yes", "exit 9"] {
        azure.tool("az", lines);
        azure.run(azure.cmd(LOGIN)).code(4).stdout_is("").stderr_has("  azure_cli: az ");
    }
}

#[test]
fn a_tool_that_hangs_is_given_up() {
    let azure = Azure::new();
    azure.tool("az", "exec sleep 9");
    azure.tool("azd", &format!("echo '{{\"token\": \"{}\"}}'", mine()));
    let begun = Instant::now();
    azure.run(azure.cmd(LOGIN).arg("--timeout").arg("1")).ok().stderr_has("comes from azd");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    // Its child holds the streams open all the same.
    azure.tool("az", &format!("sleep 9 & {}", az_prints(&mine(), "")));
    let begun = Instant::now();
    azure.run(azure.cmd(LOGIN).arg("--timeout").arg("1")).ok();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

/// A program of that name in the folder of a stranger's project is not the tool.
#[test]
fn nothing_in_the_current_folder_is_run() {
    let azure = Azure::new();
    azure.tool("az", &az_prints(&mine(), ""));
    let cmd = azure.cmd(LOGIN).cwd(&azure.bin()).env("PATH", ".::/usr/bin:/bin");
    azure.run(cmd).code(4).stderr_has("azure_cli: az is not installed");
    assert!(azure.called("az").is_empty());
}

#[test]
fn a_tool_that_cannot_be_run_is_passed_over() {
    let azure = Azure::new();
    std::fs::write(azure.bin().join("az"), "not a program").unwrap();
    let output = azure.run(azure.cmd(LOGIN));
    output.code(4).stderr_has("/bin/az: it cannot be started: permission denied\n");
}

/// It has its own settings there.
#[test]
fn the_environment_reaches_the_tool() {
    let azure = Azure::new();
    azure.tool(
        "az",
        &format!("test \"$AZURE_CONFIG_DIR\" = /c || exit 1\n{}", az_prints(&mine(), "")),
    );
    azure.run(azure.cmd(LOGIN)).code(4);
    azure.run(azure.cmd(LOGIN).env("AZURE_CONFIG_DIR", "/c")).ok();
}
