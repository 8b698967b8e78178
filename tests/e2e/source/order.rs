//! Which of several credentials is handed out.

use std::fs;

use serde_json::{Value, json};

use crate::support::github::Github;

use super::{CLAUDE, CODEX, Home, claude, codex, jwt, millis};

const OPENCODE: &str = ".local/share/opencode/auth.json";
const PI: &str = ".pi/agent/auth.json";

fn oauth(provider: &str, token: &str, ttl_s: i64) -> String {
    let entry = json!({"type": "oauth", "access": token, "refresh": "r", "expires": millis(ttl_s)});
    json!({provider: entry}).to_string()
}

#[test]
fn an_account_of_keyfob_goes_before_what_is_borrowed() {
    let home = Home::new();
    home.put(CLAUDE, &claude("sk-borrowed", 3600));
    home.trust("claude-code");
    let account = json!({"version": 1, "provider": "claude", "account": "me@example.com",
        "kind": "oauth", "access_token": "sk-own", "token_type": "Bearer", "scopes": [],
        "created_at": "2026-01-01T00:00:00Z", "refreshed_at": "2026-01-01T00:00:00Z"});
    let file = home.sandbox.write_account("claude", "me@example.com", &account);
    let with_variable = || home.cmd("token claude").env("CLAUDE_CODE_OAUTH_TOKEN", "sk-variable");
    home.run("token claude").ok().stdout_is("sk-own\n");
    with_variable().run().ok().stdout_is("sk-own\n");
    // Both are shown, and which is whose.
    let rows = home.run("status claude --json").ok().json()["accounts"].clone();
    let sources: Vec<_> = rows.as_array().unwrap().iter().map(|row| &row["source"]).collect();
    assert_eq!(sources[0], "keyfob");
    assert_eq!(sources[1], &json!(format!("file:{}", home.path(CLAUDE).display())));

    // A named account is never replaced by another person's.
    home.run("token claude/you@example.com").code(4).stdout_is("");
    home.cmd("token claude").env("KEYFOB_ACCOUNT_CLAUDE", "you@example.com").run().code(4);
    fs::remove_file(file).unwrap();
    home.run("token claude/me@example.com").code(4).stdout_is("");
    home.cmd("token claude").env("KEYFOB_ACCOUNT_CLAUDE", "me").run().code(4).stdout_is("");
    home.run("token claude").ok().stdout_is("sk-borrowed\n");
    home.run("token anthropic").ok().stdout_is("sk-borrowed\n");
}

#[test]
fn claude_is_looked_for_in_the_order_of_its_tools() {
    let home = Home::new();
    home.put(CLAUDE, &claude("sk-file", 3600));
    home.put(OPENCODE, &oauth("anthropic", "sk-opencode", 3600));
    home.put(PI, &oauth("anthropic", "sk-pi", 3600));
    ["claude-code", "opencode", "pi"].iter().for_each(|name| home.trust(name));
    let token = |variables: &[(&str, &str)]| {
        let cmd = home.cmd("token claude");
        let cmd = variables.iter().fold(cmd, |cmd, (name, value)| cmd.env(name, value));
        cmd.run().ok().line().to_owned()
    };
    let (variable, key) =
        (("CLAUDE_CODE_OAUTH_TOKEN", "sk-variable"), ("ANTHROPIC_API_KEY", "sk-key-0123456789"));
    assert_eq!(token(&[key, variable]), "sk-variable");
    assert_eq!(token(&[key]), "sk-file");
    home.run("source forget claude-code").ok();
    assert_eq!(token(&[key]), "sk-opencode");
    home.run("source forget opencode").ok();
    assert_eq!(token(&[key]), "sk-pi");
    home.run("source forget pi").ok();
    assert_eq!(token(&[key]), "sk-key-0123456789");
}

#[test]
fn a_key_in_a_variable_goes_first_where_keys_are_what_is_wanted() {
    let home = Home::new();
    home.put(OPENCODE, &json!({"groq": {"type": "api", "key": "gsk_opencode_1"}}).to_string());
    home.put(PI, &json!({"groq": {"type": "api_key", "key": "gsk_pi_123456"}}).to_string());
    home.trust("pi");
    home.trust("opencode");
    let with_key = home.cmd("token groq").env("GROQ_API_KEY", "gsk_variable").run();
    with_key.ok().stdout_is("gsk_variable\n");
    home.run("token groq").ok().stdout_is("gsk_opencode_1\n");
    home.run("source forget opencode").ok();
    home.run("token groq").ok().stdout_is("gsk_pi_123456\n");
}

/// The names that these stores use are not ours.
#[test]
fn other_names_lead_to_the_same_provider() {
    let home = Home::new();
    let key = |text: &str| json!({"type": "api_key", "key": text});
    let file = json!({
        "openai-codex": {"type": "oauth", "access": "codex-access", "refresh": "r", "expires": millis(60), "accountId": "acc-pi"},
        "google": key("AIza-google-key"),
        "together": key("together-key-1"),
        "kimi-coding": key("kimi-key-123"),
        "moonshot": key("moonshot-key-1"),
        "openai": key("sk-openai-key-1"),
        "google-antigravity": {"type": "oauth", "access": "ya29.anti", "refresh": "r", "expires": millis(60), "projectId": "p-1"},
    });
    home.put(PI, &file.to_string());
    home.trust("pi");
    for (provider, token) in [
        ("openai", "codex-access"),
        ("gemini-api", "AIza-google-key"),
        ("togetherai", "together-key-1"),
        ("kimi", "kimi-key-123"),
        ("moonshotai", "moonshot-key-1"),
        ("openai-api", "sk-openai-key-1"),
        ("antigravity", "ya29.anti"),
    ] {
        home.run(&format!("token {provider}")).ok().stdout_is(&format!("{token}\n"));
    }
    let shown = home.run("token openai --json").ok().json();
    assert_eq!(shown["headers"]["ChatGPT-Account-ID"], "acc-pi");
    let found = home.row(&home.path(PI))["providers"].as_array().unwrap().len();
    assert_eq!(found, 7);
}

#[test]
fn what_is_passed_over_is_told() {
    let home = Home::new();
    home.put(CODEX, &codex(&jwt(-60, json!({}))));
    home.put(PI, &oauth("openai-codex", "pi-access", 3600));
    home.trust("codex");
    home.trust("pi");
    let out = home.run("token openai");
    out.ok().stdout_is("pi-access\n").stderr_has("passed over").stderr_has("Codex's token");
    home.run("source forget pi").ok();
    // Never in silence from a plan to a key that is paid for.
    let out = home.cmd("token openai").env("OPENAI_API_KEY", "sk-key-0123456789").run();
    out.ok().stdout_is("sk-key-0123456789\n").stderr_has("passed over");
    home.run("token openai").code(4).stderr_has("try: codex");

    let out = home.cmd("token claude").env("CLAUDE_CODE_OAUTH_TOKEN", "two words").run();
    out.code(1).stdout_is("").stderr_has("CLAUDE_CODE_OAUTH_TOKEN is set, but holds no token");
}

#[test]
fn a_token_in_a_variable_needs_no_file() {
    let home = Home::new();
    let with = |words: &str| home.cmd(words).env("CLAUDE_CODE_OAUTH_TOKEN", "sk-ant-oat01-v").run();
    with("token claude").ok().stdout_is("sk-ant-oat01-v\n");
    let rows = with("status --json").ok().json()["accounts"].clone();
    assert_eq!(rows[0]["source"], "env:CLAUDE_CODE_OAUTH_TOKEN");
    assert_eq!((&rows[0]["provider"], &rows[0]["account"]), (&json!("claude"), &Value::Null));
    with("env claude").ok().stdout_is("export CLAUDE_CODE_OAUTH_TOKEN='sk-ant-oat01-v'\n");
    assert!(!home.sandbox.home().exists(), "nothing is kept");
    let expired = jwt(-5, json!({}));
    let out = home.cmd("token claude").env("CLAUDE_CODE_OAUTH_TOKEN", &expired).run();
    out.code(4).stdout_is("").stderr_has("CLAUDE_CODE_OAUTH_TOKEN expired");
}

#[test]
fn a_borrowed_key_is_shown_to_its_provider_on_demand() {
    let home = Home::new();
    let api = Github::start();
    let base = json!({"api": {"base": api.url("/v1")}});
    home.sandbox.write_config(&json!({"providers": {"groq": base, "mistral": base}}));
    let file = json!({"groq": {"type": "api", "key": "gsk_dead_0123"}, "mistral": {"type": "api", "key": "mistral-0123"}});
    home.put(OPENCODE, &file.to_string());
    home.trust("opencode");
    home.run("status groq").ok();
    assert!(api.asked().is_empty());
    let row = |words: &str| home.run(words).json()["accounts"][0]["state"].clone();
    assert_eq!(row("status groq --check --json"), "refused");
    assert_eq!(row("status mistral --check --json"), "valid");
    assert_eq!(api.asked(), ["Bearer gsk_dead_0123", "Bearer mistral-0123"]);
    home.run("status groq --check").code(4);
    home.run("status --check").ok().stderr_lacks("gsk_dead");
}

#[test]
fn what_is_borrowed_is_not_keyfobs_to_change() {
    let home = Home::new();
    let file = home.put(CLAUDE, &claude("sk-file", 3600));
    home.run("refresh claude").code(4).stdout_is("").stderr_has("try: keyfob login claude");
    home.trust("claude-code");
    for words in ["refresh claude", "logout claude", "use claude/x"] {
        let out = home.run(words);
        out.check(out.status != Some(0), "a no").stdout_is("");
    }
    let out = home.run("refresh claude");
    out.code(4).stderr_has("is Claude Code's to change").stderr_has("try: claude");
    home.run("logout claude").code(4).stderr_has(&file.display().to_string());
    home.run("token claude").ok().stdout_is("sk-file\n");
}

/// `--base-url` would send it to a place of the caller's choice.
#[test]
fn what_is_borrowed_goes_to_its_own_provider_only() {
    let home = Home::new();
    home.put(OPENCODE, &json!({"groq": {"type": "api", "key": "gsk_opencode_1"}}).to_string());
    home.trust("opencode");
    let out = home.run("models groq --base-url http://127.0.0.1:9/v1");
    out.code(2).stdout_is("").stderr_has("its own provider only");
}
