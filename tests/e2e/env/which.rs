//! Whose variables: the rows' own names, several providers, and what goes wrong.

use serde_json::{Value, json};

use super::key;
use crate::support::idp::{Dialect, Idp};
use crate::support::sandbox::{Sandbox, in_seconds, oauth_account};

fn signed_in(sandbox: &Sandbox, provider: &str, change: impl FnOnce(&mut Value)) {
    let idp = Idp::start(Dialect::oidc());
    let mut account = oauth_account(provider, "me@example.com", &idp.grant(), 3600);
    account["access_token"] = json!(format!("tok-{provider}"));
    change(&mut account);
    sandbox.write_account(provider, "me@example.com", &account);
}

/// The names are those of the vendors' own tools (facts/official-clients.md).
#[test]
fn each_row_has_the_names_its_tools_read() {
    let sandbox = Sandbox::new();
    signed_in(&sandbox, "claude", |_| ());
    signed_in(&sandbox, "openai", |_| ());
    signed_in(&sandbox, "gemini", |account| account["extra"] = json!({"project_id": "p-1"}));
    signed_in(&sandbox, "qwen", |_| ());
    for (provider, secret) in [("anthropic-api", "sk-ant-0123456789"), ("azure", "az-0123456789")] {
        sandbox.write_account(provider, "default", &key(provider, secret, &json!({})));
    }
    let vertex = json!({"version": 1, "provider": "vertex", "account": "robot", "kind": "service_account",
        "access_token": "tok-vertex", "expires_at": in_seconds(3000), "refreshed_at": in_seconds(-10),
        "service_account": {"client_email": "robot@x"},
        "extra": {"project": "p-2", "location": "us-east1"}});
    sandbox.write_account("vertex", "robot", &vertex);
    let cookie = json!({"version": 1, "provider": "codemie", "account": "lab", "kind": "cookie",
        "access_token": "session=abc", "expires_at": in_seconds(3000), "refreshed_at": in_seconds(-10),
        "extra": {"instance": "https://codemie.example", "project": "demo"}});
    sandbox.write_account("codemie", "lab", &cookie);
    let copilot = json!({"api_token": "second", "api_token_expires_at": in_seconds(1500)});
    signed_in(&sandbox, "copilot", |account| account["extra"] = copilot);
    for (provider, wanted) in [
        ("claude", json!({"CLAUDE_CODE_OAUTH_TOKEN": "tok-claude"})),
        (
            "gemini",
            json!({"GOOGLE_CLOUD_ACCESS_TOKEN": "tok-gemini", "GOOGLE_CLOUD_PROJECT": "p-1",
                "GOOGLE_GENAI_USE_GCA": "true"}),
        ),
        ("anthropic-api", json!({"ANTHROPIC_API_KEY": "sk-ant-0123456789"})),
        ("azure", json!({"AZURE_OPENAI_API_KEY": "az-0123456789"})),
        (
            "vertex",
            json!({"CLOUDSDK_AUTH_ACCESS_TOKEN": "tok-vertex", "GOOGLE_CLOUD_PROJECT": "p-2",
                "GOOGLE_CLOUD_LOCATION": "us-east1"}),
        ),
        // A session is no token for other tools.
        ("codemie", json!({"CODEMIE_URL": "https://codemie.example", "CODEMIE_PROJECT": "demo"})),
        // GitHub's own token: the tools buy the second one themselves.
        ("copilot", json!({"COPILOT_GITHUB_TOKEN": "tok-copilot"})),
        ("qwen", json!({"QWEN_ACCESS_TOKEN": "tok-qwen"})),
    ] {
        let output = sandbox.cmd(&["env", provider, "--json"]).run();
        assert_eq!(output.ok().json()["env"], wanted, "{provider}");
    }
    let openai = sandbox.cmd(&["env", "openai", "--json"]).run().ok().json();
    assert_eq!(openai["env"]["OPENAI_API_KEY"], "tok-openai");
}

#[test]
fn several_providers_at_once_and_the_last_one_counts() {
    let sandbox = Sandbox::new();
    for (provider, secret) in
        [("mistral", "sk-first-12345"), ("groq", "gsk-0123456789"), ("odd", "sk-last-123456")]
    {
        sandbox.write_account(provider, "default", &key(provider, secret, &json!({})));
    }
    let row = json!({"ways": ["api_key"], "exports": {"MISTRAL_API_KEY": "=token"}});
    sandbox.write_config(&json!({"providers": {"odd": row}}));
    let output = sandbox.cmd(&["env", "mistral", "groq"]).run();
    let both = "export MISTRAL_API_KEY='sk-first-12345'\nexport GROQ_API_KEY='gsk-0123456789'\n";
    output.ok().stdout_is(both);
    let output = sandbox.cmd(&["env", "mistral", "groq", "odd"]).run();
    let last = "export GROQ_API_KEY='gsk-0123456789'\nexport MISTRAL_API_KEY='sk-last-123456'\n";
    output.ok().stdout_is(last);
    let child = sandbox.cmd(&["exec", "mistral", "odd", "--", "sh", "-c", "echo $MISTRAL_API_KEY"]);
    child.run().ok().stdout_is("sk-last-123456\n");
}

#[test]
fn one_that_cannot_be_had_spoils_all() {
    let sandbox = Sandbox::new();
    sandbox.write_account("groq", "default", &key("groq", "gsk-0123456789", &json!({})));
    let output = sandbox.cmd(&["env", "groq", "claude"]).run();
    output.code(4).stdout_is("").stderr_has("try: keyfob login claude").stderr_lacks("gsk-");
    let output = sandbox.cmd(&["env", "groq", "claude", "--json"]).run();
    assert_eq!(output.code(4).stdout_is("").error_json()["code"], "sign_in_needed");
}

#[test]
fn a_named_account_and_a_variable_choose() {
    let sandbox = Sandbox::new();
    for account in ["home", "work"] {
        let mut value = key("groq", &format!("gsk-of-{account}-1"), &json!({}));
        value["account"] = json!(account);
        sandbox.write_account("groq", account, &value);
    }
    let output = sandbox.cmd(&["env", "groq/work"]).run();
    output.ok().stdout_is("export GROQ_API_KEY='gsk-of-work-1'\n");
    let output = sandbox.cmd(&["env", "groq"]).env("KEYFOB_ACCOUNT_GROQ", "home").run();
    output.ok().stdout_is("export GROQ_API_KEY='gsk-of-home-1'\n");
}

/// A variable that is set already stays what it is, under its own name.
#[test]
fn a_key_of_the_environment_is_handed_on() {
    let sandbox = Sandbox::new();
    let cmd = sandbox.cmd(&["env", "zai"]).env("ZAI_API_KEY", "zk-0123456789");
    cmd.run().ok().stdout_is("export ZAI_API_KEY='zk-0123456789'\n");
}

#[test]
fn a_wrong_call_is_told() {
    let sandbox = Sandbox::new();
    let output = sandbox.cmd(&["env", "groq", "--shell", "tcsh"]).run();
    output.code(2).stdout_is("").stderr_has("sh, fish, powershell, dotenv and json");
    output.stderr_has("try: keyfob env --help");
    let output = sandbox.cmd(&["env"]).run();
    output.code(2).stdout_is("").stderr_has("try: keyfob env PROVIDER");
    sandbox.cmd(&["env", "no-such-row"]).run().code(2).stdout_is("");
}
