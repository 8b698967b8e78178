//! The endpoint in all the forms that people paste, and keys.

use serde_json::json;

use super::{ACCOUNT, Azure, ENDPOINT};

const KEY: &str = "marker-key-0123456789abcdef";

#[test]
fn an_endpoint_has_one_form() {
    for typed in [
        "https://contoso.openai.azure.com",
        "https://Contoso.OpenAI.azure.com/",
        "contoso.openai.azure.com",
        "https://contoso.openai.azure.com:443/openai",
        "https://contoso.openai.azure.com/openai/",
        "https://contoso.openai.azure.com/openai/v1/",
        "https://contoso.openai.azure.com/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21",
    ] {
        for by_variable in [false, true] {
            let azure = Azure::new();
            let cmd = azure.environment(azure.cmd("login azure --deployment gpt-4o --no-input"));
            let cmd = if by_variable {
                cmd.env("AZURE_OPENAI_ENDPOINT", typed)
            } else {
                cmd.arg("--url").arg(typed)
            };
            azure.run(cmd).ok();
            assert_eq!(azure.account()["extra"]["instance"], ENDPOINT, "{typed}");
            let object = azure.run(azure.cmd("token azure --json")).ok().json();
            assert_eq!(object["api_base"], format!("{ENDPOINT}/openai/v1"), "{typed}");
        }
    }
}

#[test]
fn without_an_endpoint_the_flag_is_named() {
    let azure = Azure::new();
    let output = azure.run(azure.environment(azure.cmd("login azure --deployment x")));
    output.code(2).stderr_has("try: keyfob login azure --url URL\n");
    for wrong in ["http://contoso.openai.azure.com", "ftp://x", "https://me:pw@x"] {
        let cmd =
            azure.environment(azure.cmd("login azure --deployment x")).arg("--url").arg(wrong);
        let code = azure.run(cmd).status;
        assert!(matches!(code, Some(1 | 2)), "{wrong}: {code:?}");
    }
    assert!(azure.entra.roles().is_empty());
}

#[test]
fn a_key_goes_into_its_own_header() {
    let azure = Azure::new();
    let words = format!("login azure --url {ENDPOINT}/openai/ --api-key-stdin");
    let cmd = azure.cmd(&words).stdin(KEY).env("AZURE_OPENAI_DEPLOYMENT", "gpt-4o");
    azure.run(cmd).ok().stdout_is("").stderr_has("stored the key of azure/");
    assert_eq!(azure.account()["extra"], json!({"instance": ENDPOINT, "deployment": "gpt-4o"}));
    let object = azure.run(azure.cmd("token azure --json")).ok().json();
    assert_eq!(object["headers"], json!({"api-key": KEY}));
    assert_eq!(object["api_base"], format!("{ENDPOINT}/openai/v1"));
    let child = azure.run(azure.cmd("exec azure -- env"));
    let has = |line: &str| child.stdout.lines().any(|one| one == line);
    child.ok().check(has(&format!("AZURE_OPENAI_API_KEY={KEY}")), "the key");
    child.check(has(&format!("AZURE_OPENAI_ENDPOINT={ENDPOINT}")), "the endpoint");
    child.check(!child.stdout.contains("AD_TOKEN"), "a key is no token");
}

#[test]
fn a_key_needs_no_deployment() {
    let azure = Azure::new();
    let words = format!("login azure --url {ENDPOINT} --api-key-stdin");
    azure.run(azure.cmd(&words).stdin(KEY)).ok();
    assert_eq!(azure.account()["extra"], json!({"instance": ENDPOINT}));
}

#[test]
fn a_key_and_a_sign_in_stand_side_by_side_under_names() {
    let azure = Azure::new();
    let words = format!("login azure/key --url {ENDPOINT} --api-key-stdin");
    azure.run(azure.cmd(&words).stdin(KEY)).ok();
    azure.run(azure.environment(azure.cmd(super::LOGIN))).ok();
    let kind = |account: &str| azure.sandbox.read_account("azure", account)["kind"].clone();
    assert_eq!((kind("key"), kind(ACCOUNT)), (json!("api_key"), json!("entra")));
}

#[test]
fn a_key_of_the_environment_works_without_a_login() {
    let azure = Azure::new();
    let cmd = azure.cmd("token azure --json").env("AZURE_OPENAI_API_KEY", KEY);
    let object = azure.run(cmd.env("AZURE_OPENAI_ENDPOINT", ENDPOINT)).ok().json();
    assert_eq!(object["headers"], json!({"api-key": KEY}));
    assert_eq!(object["api_base"], format!("{ENDPOINT}/openai/v1"));
}
