//! Each link of the chain alone.

use serde_json::json;

use super::{ACCOUNT, Azure, ENDPOINT, LOGIN};
use crate::support::command::Cmd;
use crate::support::entra::APPLICATION;
use crate::support::idp::Request;
use crate::support::rsa_key::{RsaKey, ec_pem};
use crate::support::sandbox::{in_seconds, write_private};

/// Signs in by that link, uses the token without asking again, and gives the one request back.
#[track_caller]
fn works(azure: &Azure, role: &str, link: &str, setting: impl Fn(Cmd) -> Cmd) -> Request {
    let login = azure.run(setting(azure.cmd(LOGIN)));
    login
        .ok()
        .stdout_is("")
        .stderr_has(&format!("Microsoft Entra ID: the token comes from {link}"));
    login.stderr_has(&format!("signed in to azure as {APPLICATION}; expires in "));
    let account = azure.account();
    assert_eq!(account["kind"], "entra");
    assert_eq!(account["identity"]["subject"], APPLICATION);
    assert_eq!(
        account["extra"],
        json!({"instance": ENDPOINT, "deployment": "gpt-4o", "entra_link": link})
    );
    let expires_at = account["expires_at"].as_str().unwrap();
    assert!((in_seconds(3500)..=in_seconds(3600)).contains(&expires_at.to_owned()), "{expires_at}");
    let file = azure.sandbox.account_file("azure", ACCOUNT);
    assert_eq!(azure.sandbox.mode(&file), 0o600);
    let token = azure.run(setting(azure.cmd("token azure"))).ok().line().to_owned();
    assert_eq!(account["access_token"], token);
    assert!(azure.entra.has_issued(&token));
    assert_eq!(azure.entra.roles(), [role], "asked once, and then handed out from the disk");
    azure.entra.assert_content();
    azure.entra.requests()[0].clone()
}

#[test]
fn an_application_with_a_secret() {
    let azure = Azure::new();
    works(&azure, "environment", "environment", |cmd| azure.environment(cmd));
}

#[test]
fn a_workload_with_the_token_of_its_cluster() {
    let azure = Azure::new();
    works(&azure, "workload_identity", "workload_identity", |cmd| azure.workload(cmd));
}

#[test]
fn a_virtual_machine() {
    let azure = Azure::new();
    let request = works(&azure, "managed_identity", "managed_identity", |cmd| azure.machine(cmd));
    assert_eq!(request.query_param("client_id"), None, "the system's own identity");
}

#[test]
fn a_virtual_machine_with_an_identity_chosen_by_its_id() {
    let azure = Azure::new();
    let request = works(&azure, "managed_identity", "managed_identity", |cmd| {
        azure.machine(cmd).env("AZURE_CLIENT_ID", APPLICATION)
    });
    assert_eq!(request.query_param("client_id").as_deref(), Some(APPLICATION));
}

#[test]
fn an_app_service() {
    let azure = Azure::new();
    let request = works(&azure, "app_service", "managed_identity", |cmd| azure.app_service(cmd));
    assert_eq!(request.query_param("client_id"), None);
}

#[test]
fn an_app_service_with_an_identity_chosen_by_its_id() {
    let azure = Azure::new();
    let request = works(&azure, "app_service", "managed_identity", |cmd| {
        azure.app_service(cmd).env("AZURE_CLIENT_ID", APPLICATION)
    });
    assert_eq!(request.query_param("client_id").as_deref(), Some(APPLICATION));
}

#[test]
fn an_answer_with_nothing_but_a_date_is_enough() {
    let azure = Azure::new();
    let body = json!({"access_token": "opaque-marker-0123456789", "expires_on": in_seconds(1800)});
    azure.entra.answers("app_service", 200, body.to_string());
    azure.run(azure.app_service(azure.cmd(LOGIN))).ok();
    assert_eq!(azure.account()["expires_at"], body["expires_on"]);
    assert_eq!(
        azure.account()["identity"]["subject"],
        json!(null),
        "an opaque token tells nothing"
    );
}

#[test]
fn half_of_a_setting_is_none_and_is_named() {
    let azure = Azure::new();
    for (name, value, words) in [
        ("AZURE_CLIENT_ID", APPLICATION, "environment: AZURE_TENANT_ID is not set"),
        ("AZURE_TENANT_ID", "contoso.com", "environment: AZURE_CLIENT_ID is not set"),
        ("AZURE_CLIENT_SECRET", "marker-0123", "AZURE_TENANT_ID and AZURE_CLIENT_ID are not set"),
        (
            "AZURE_FEDERATED_TOKEN_FILE",
            "/x",
            "workload_identity: AZURE_TENANT_ID and AZURE_CLIENT_ID",
        ),
        (
            "IDENTITY_ENDPOINT",
            "http://127.0.0.1:1/",
            "managed_identity: nobody answers at http://127",
        ),
        ("IDENTITY_HEADER", "marker-0123", "managed_identity: nobody answers at http://127.0.0.1:"),
    ] {
        let output = azure.run(azure.cmd(LOGIN).env(name, value));
        output.code(4).stdout_is("").stderr_has(words);
    }
    let empty = azure.environment(azure.cmd(LOGIN)).env("AZURE_CLIENT_SECRET", " ");
    azure.run(empty).code(4).stderr_has("environment: AZURE_CLIENT_SECRET is not set\n");
    assert!(azure.entra.roles().is_empty());
}

#[test]
fn a_certificate_signs_in_place_of_a_secret() {
    let azure = Azure::new();
    let pem = azure.sandbox.work().join("application.pem");
    write_private(&pem, &format!("{}{}", RsaKey::one().pem(), RsaKey::one().certificate()));
    let path = pem.display().to_string();
    let cmd = azure.application(azure.cmd(LOGIN)).env("AZURE_CLIENT_CERTIFICATE_PATH", &path);
    azure.run(cmd).ok();
    assert_eq!(azure.entra.roles(), ["certificate"]);
    assert_eq!(azure.account()["extra"]["entra_link"], "environment");
    azure.entra.assert_content();
}

#[test]
fn a_certificate_file_that_is_of_no_use_ends_the_chain() {
    let azure = Azure::new();
    let pem = azure.sandbox.work().join("application.pem");
    let path = pem.display().to_string();
    let login = || azure.application(azure.cmd(LOGIN)).env("AZURE_CLIENT_CERTIFICATE_PATH", &path);
    azure.run(login()).code(1).stderr_has("cannot be read").stderr_has("try: unset AZURE_CLIENT_");
    let certificate = RsaKey::one().certificate();
    for (text, word) in [
        (RsaKey::one().pem(), "holds no certificate"),
        (certificate.clone(), "holds a key that is missing"),
        (format!("{certificate}{}", ec_pem()), "is no RSA key"),
    ] {
        write_private(&pem, &text);
        azure.run(login()).code(1).stdout_is("").stderr_has(word);
    }
    assert!(azure.entra.roles().is_empty());
}

#[test]
fn the_clusters_token_is_read_anew_each_time() {
    let azure = Azure::new();
    azure.entra.set_lifetime(0);
    azure.run(azure.workload(azure.cmd(LOGIN))).ok();
    let cmd = azure.workload(azure.cmd("token azure"));
    write_private(&azure.sandbox.work().join("federated"), "marker-of-another-day");
    azure.run(cmd).code(4);
    assert_eq!(
        azure.entra.requests()[1].param("client_assertion").as_deref(),
        Some("marker-of-another-day")
    );
}

#[test]
fn a_clusters_token_that_cannot_be_read_ends_the_chain() {
    let azure = Azure::new();
    for content in [None, Some(" \n")] {
        let cmd = azure.machine(azure.workload(azure.cmd(LOGIN)));
        let file = azure.sandbox.work().join("federated");
        match content {
            Some(content) => write_private(&file, content),
            None => std::fs::remove_file(&file).unwrap(),
        }
        let output = azure.run(cmd);
        output.code(1).stdout_is("").stderr_has("keyfob: workload_identity: cannot read ");
        output.stderr_has("named by AZURE_FEDERATED_TOKEN_FILE");
        output.stderr_has("\n  try: unset AZURE_FEDERATED_TOKEN_FILE\n");
    }
    assert!(azure.entra.roles().is_empty(), "no other identity slips in");
}

/// A secret goes over https, to this machine, or (the metadata services) to the link it is on.
#[test]
fn no_secret_goes_out_in_the_clear() {
    let azure = Azure::new();
    let far = "http://contoso.example";
    for (cmd, name) in [
        (azure.environment(azure.cmd(LOGIN)).env("AZURE_AUTHORITY_HOST", far), "AUTHORITY_HOST"),
        (azure.workload(azure.cmd(LOGIN)).env("AZURE_AUTHORITY_HOST", far), "AUTHORITY_HOST"),
        (
            azure.environment(azure.cmd(LOGIN)).env("AZURE_AUTHORITY_HOST", "http://169.254.1.1"),
            "HOST",
        ),
        (azure.app_service(azure.cmd(LOGIN)).env("IDENTITY_ENDPOINT", far), "IDENTITY_ENDPOINT"),
        (azure.cmd(LOGIN).env("AZURE_POD_IDENTITY_AUTHORITY_HOST", far), "AZURE_POD_IDENTITY"),
        (azure.environment(azure.cmd(LOGIN)).env("AZURE_TENANT_ID", "../x"), "AZURE_TENANT_ID"),
    ] {
        let output = azure.run(cmd);
        output.code(1).stdout_is("").stderr_has(name);
        assert!(!azure.sandbox.account_file("azure", ACCOUNT).exists());
    }
    assert!(azure.entra.roles().is_empty());
}
