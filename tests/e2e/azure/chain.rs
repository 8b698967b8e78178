//! Several identities at once, none at all, and those that are turned away.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{ACCOUNT, Azure, Clogged, ENDPOINT, LOGIN, az_prints};
use crate::support::command::{Cmd, Output};
use crate::support::entra::{ASSERTION, CLIENT_SECRET, HEADER, token};
use crate::support::tls::Server;

/// A dead address holds nobody up for longer.
const DEAD_LIMIT: Duration = Duration::from_millis(1_000);
/// What starting a process may take on a busy machine.
const START: Duration = Duration::from_millis(500);

/// Who is asked, the link, and how it is set up; in the order of the chain.
type Setting = (&'static str, &'static str, fn(&Azure, Cmd) -> Cmd);

const SETTINGS: [Setting; 3] = [
    ("environment", "environment", Azure::environment),
    ("workload_identity", "workload_identity", Azure::workload),
    ("app_service", "managed_identity", Azure::app_service),
];

/// Runs it, and again if the machine was too busy to tell; the last time counts.
#[track_caller]
fn timed(azure: &Azure, cmd: Cmd, limit: Duration) -> (Output, Duration) {
    for _ in 0..2 {
        let begun = Instant::now();
        let output = azure.run(cmd.clone());
        if begun.elapsed() < limit {
            return (output, begun.elapsed());
        }
    }
    let begun = Instant::now();
    (azure.run(cmd), begun.elapsed())
}

fn tools(azure: &Azure) {
    let claims = |name: &str| json!({"upn": name, "oid": name});
    azure.tool("az", &az_prints(&token(claims("az@example.com"), 1, 3600), ""));
    azure.tool("azd", &format!("echo '{{\"token\": \"{}\"}}'", token(claims("azd@x"), 2, 3600)));
}

#[test]
fn the_first_link_that_is_set_up_is_the_one() {
    // From all of them, one less each time.
    for gone in 0..SETTINGS.len() {
        let azure = Azure::new();
        tools(&azure);
        let left = &SETTINGS[gone..];
        let cmd =
            left.iter().fold(azure.machine(azure.cmd(LOGIN)), |cmd, (_, _, set)| set(&azure, cmd));
        azure.run(cmd).ok().stderr_has(&format!("the token comes from {}", left[0].1));
        assert_eq!(azure.entra.roles(), [left[0].0]);
        assert!(azure.called("az").is_empty() && azure.called("azd").is_empty());
        azure.entra.assert_content();
    }
    let azure = Azure::new();
    tools(&azure);
    azure.run(azure.machine(azure.cmd(LOGIN))).ok().stderr_has("comes from managed_identity");
    assert!(azure.called("az").is_empty() && azure.called("azd").is_empty());
    azure.run(azure.cmd(LOGIN).arg("--replace")).ok().stderr_has("comes from azure_cli");
    assert_eq!((azure.called("az").len(), azure.called("azd").len()), (1, 0));
    std::fs::remove_file(azure.bin().join("az")).unwrap();
    azure.run(azure.cmd(LOGIN).arg("--replace")).ok().stderr_has("comes from azd");
    assert_eq!((azure.called("az").len(), azure.called("azd").len()), (1, 1));
    assert_eq!(azure.entra.roles(), ["managed_identity"]);
}

#[test]
fn with_nothing_at_all_the_report_says_why() {
    let azure = Azure::new();
    let (output, took) = timed(&azure, azure.cmd(LOGIN), START);
    let dead = azure.dead.address();
    let names = "AZURE_TENANT_ID and AZURE_CLIENT_ID are not set";
    let report = format!(
        "keyfob: azure/{ACCOUNT}: nothing here gives a token of Microsoft Entra ID\n\
         \x20 environment: {names}\n\
         \x20 workload_identity: AZURE_FEDERATED_TOKEN_FILE, {names}\n\
         \x20 managed_identity: nobody answers at http://{dead}\n\
         \x20 azure_cli: az is not installed\n\
         \x20 azd: azd is not installed\n\
         \x20 try: keyfob login azure/{ACCOUNT} --url https://{ACCOUNT} --api-key-stdin\n"
    );
    output.code(4).stdout_is("").stderr_has(&report);
    assert!(took < START, "{took:?}");
    let left = azure.sandbox.files(&azure.sandbox.home().join("accounts"));
    assert!(left.iter().all(|file| file.extension().is_some_and(|end| end == "lock")), "{left:?}");
}

#[test]
fn the_report_goes_into_the_json_of_an_error() {
    let azure = Azure::new();
    let error = azure.run(azure.cmd(LOGIN).arg("--json")).code(4).error_json();
    assert_eq!((&error["code"], &error["exit"]), (&"sign_in_needed".into(), &4.into()));
    assert!(error["message"].as_str().unwrap().contains("\n  azd: azd is not installed"));
}

#[test]
fn the_tool_that_is_there_is_the_next_step() {
    let azure = Azure::new();
    azure.tool("azd", "exit 1");
    azure.run(azure.cmd(LOGIN)).code(4).stderr_has("\n  try: azd auth login\n");
    azure.tool("az", "exit 1");
    azure.run(azure.cmd(LOGIN)).code(4).stderr_has("\n  try: az login\n");
}

/// The address of the metadata service exists nowhere but on a virtual machine of Azure.
#[test]
fn no_link_waits_longer_than_a_second_for_an_address_that_is_not_there() {
    let azure = Azure::new();
    let nowhere = Clogged::new();
    let machine = |cmd: Cmd| cmd.env("AZURE_POD_IDENTITY_AUTHORITY_HOST", &nowhere.address);
    let (output, took) = timed(&azure, machine(azure.cmd(LOGIN)), DEAD_LIMIT + START);
    output
        .code(4)
        .stderr_has(&format!("managed_identity: nobody answers at {}\n", nowhere.address));
    assert!((Duration::from_millis(700)..DEAD_LIMIT + START).contains(&took), "{took:?}");

    let app = azure.app_service(azure.cmd(LOGIN));
    let (output, took) =
        timed(&azure, app.env("IDENTITY_ENDPOINT", &nowhere.address), DEAD_LIMIT + START);
    output
        .code(4)
        .stderr_has(&format!("managed_identity: nobody answers at {}\n", nowhere.address));
    assert!(took < DEAD_LIMIT + START, "{took:?}");

    // What comes after it is reached.
    tools(&azure);
    let (output, took) = timed(&azure, machine(azure.cmd(LOGIN)), DEAD_LIMIT + START);
    output.ok().stderr_has("comes from azure_cli");
    assert!(took < DEAD_LIMIT + START, "{took:?}");
}

#[test]
fn a_link_that_is_turned_away_ends_the_chain() {
    let refusal = r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided."}"#;
    for (role, link, set) in SETTINGS {
        let azure = Azure::new();
        tools(&azure);
        azure.entra.answers(role, 401, refusal);
        let output = azure.run(set(&azure, azure.machine(azure.cmd(LOGIN))));
        output.code(1).stdout_is("").stderr_has(&format!(
            "keyfob: azure refused: {link}: AADSTS7000215: Invalid client secret provided. \
             (invalid_client)\n  try: keyfob login azure/{ACCOUNT} --url {ENDPOINT} --deployment gpt-4o\n"
        ));
        assert_eq!(azure.entra.roles(), [role], "nobody else is asked");
        assert!(azure.called("az").is_empty());
        assert!(!azure.sandbox.account_file("azure", ACCOUNT).exists());
        azure.entra.assert_content();
    }
}

#[test]
fn a_refusal_that_repeats_the_secret_is_not_repeated() {
    let secrets = [CLIENT_SECRET, ASSERTION, HEADER];
    for ((role, _, set), secret) in SETTINGS.into_iter().zip(secrets) {
        let azure = Azure::new();
        let body = json!({"error": "x", "error_description": format!("got {secret} and no more")});
        azure.entra.answers(role, 400, body.to_string());
        azure.run(set(&azure, azure.cmd(LOGIN))).code(1).stderr_has("got … and no more");
    }
}

#[test]
fn app_service_says_no_in_words_of_its_own() {
    let azure = Azure::new();
    azure.entra.answers("app_service", 400, r#"{"statusCode":400,"message":"No MSI found"}"#);
    let output = azure.run(azure.app_service(azure.cmd(LOGIN)));
    output.code(1).stderr_has("azure refused: managed_identity: No MSI found (status 400)");
}

#[test]
fn trouble_of_a_link_that_was_set_up_is_temporary() {
    for (role, link, set) in SETTINGS {
        for status in [429, 500, 503] {
            let azure = Azure::new();
            tools(&azure);
            azure.entra.answers(role, status, "<html>busy");
            let output = azure.run(set(&azure, azure.cmd(LOGIN)));
            output
                .code(3)
                .stdout_is("")
                .stderr_has(&format!("keyfob: {link}: {}", azure.entra.origin()));
            output.stderr_has(&format!("gives no token just now (status {status})"));
            assert_eq!(azure.entra.roles(), [role]);
            assert!(azure.called("az").is_empty());
        }
    }
    let azure = Azure::new();
    let (mute, nobody) = (Server::mute(), &azure.dead);
    for address in [mute.address(), nobody.address()] {
        let cmd = azure.environment(azure.cmd(LOGIN)).arg("--timeout").arg("1");
        let cmd = cmd.env("AZURE_AUTHORITY_HOST", &format!("http://{address}"));
        azure.run(cmd).code(3).stderr_has("keyfob: environment: ").stderr_has(&address);
    }
}

/// It may only be slow to start, so nobody is told to sign in; and `az` may help meanwhile.
#[test]
fn trouble_of_the_machines_service_is_temporary_unless_a_later_link_helps() {
    let azure = Azure::new();
    for (status, body) in [(429, "{}"), (500, "{}"), (410, r#"{"error":"gone"}"#)] {
        azure.entra.answers("managed_identity", status, body);
        let output = azure.run(azure.machine(azure.cmd(LOGIN)));
        output.code(3).stderr_has("nothing here gives a token").stderr_has("  managed_identity: ");
    }
    let mute = Server::mute();
    let slow = azure.cmd(LOGIN).arg("--timeout").arg("1");
    let slow = slow.env("AZURE_POD_IDENTITY_AUTHORITY_HOST", &format!("http://{}", mute.address()));
    azure.run(slow.clone()).code(3).stderr_has("did not answer in full within 1 s");
    tools(&azure);
    azure.run(slow).ok().stderr_has("comes from azure_cli");
    azure.run(azure.machine(azure.cmd(LOGIN))).ok().stderr_has("comes from azure_cli");
}

/// Every cloud has a metadata service at that address, and some networks answer everything.
#[test]
fn what_is_no_metadata_service_of_azure_is_passed_over() {
    let azure = Azure::new();
    let identity = r#"{"error":"invalid_request","error_description":"Identity not found"}"#;
    for (status, body, words) in [
        (404, "<html>Not found", "is no metadata service of Azure"),
        (404, r#"{"error":"not_found"}"#, "is no metadata service of Azure"),
        (200, "<html>Welcome to the hotel", "is no metadata service of Azure"),
        (302, "", "is no metadata service of Azure"),
        (502, "<html>", "is no metadata service of Azure"),
        (400, identity, "this machine has no such identity: Identity not found (invalid_request)"),
        (403, r#"{"error":"unreachable","message":"network"}"#, "no such identity: network"),
    ] {
        azure.entra.answers("managed_identity", status, body);
        let output = azure.run(azure.machine(azure.cmd(LOGIN)));
        output.code(4).stderr_has("  managed_identity: ").stderr_has(words);
        output.stderr_has("\n  azd: azd is not installed\n");
    }
    for server in [Server::resetting(), Server::endless(b"no HTTP at all\r\n\r\n", b"x", START)] {
        let host = format!("http://{}", server.address());
        let output = azure.run(azure.cmd(LOGIN).env("AZURE_POD_IDENTITY_AUTHORITY_HOST", &host));
        output.check([3, 4].contains(&output.status.unwrap_or(0)), "passed over");
        output.stderr_has("\n  azd: azd is not installed\n");
    }
}

#[test]
fn a_metadata_service_is_never_asked_through_a_proxy() {
    let proxy = Server::mute();
    let address = format!("http://{}", proxy.address());
    let through = |cmd: Cmd| {
        let names = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"];
        names.iter().fold(cmd, |cmd, name| cmd.env(name, &address))
    };
    let azure = Azure::new();
    azure.run(through(azure.machine(azure.cmd(LOGIN)))).ok();
    azure.run(through(azure.app_service(azure.cmd(LOGIN)))).ok();
    assert_eq!(azure.entra.roles().len(), 2);
    // Loopback never goes through one; this is link-local, and the kernel knows no way there.
    let host = "http://[fe80::1]:8080";
    let output =
        azure.run(through(azure.cmd(LOGIN).env("AZURE_POD_IDENTITY_AUTHORITY_HOST", host)));
    output.code(4).stderr_has(&format!("managed_identity: nobody answers at {host}\n"));
    assert_eq!(proxy.count(), 0, "the proxy saw somebody");
}
