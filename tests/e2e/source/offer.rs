//! `login PROVIDER` where another tool is signed in already.

use serde_json::json;

use super::{CODEX, Home, codex, jwt, snapshot};
use crate::support::command::Output;

fn home() -> (Home, String) {
    let home = Home::new();
    let token = jwt(3600, json!({}));
    home.put(CODEX, &codex(&token));
    (home, token)
}

fn login(home: &Home, words: &str, answers: &str) -> Output {
    home.cmd(words).pty().stdin(answers).run()
}

#[test]
fn a_yes_at_a_terminal_is_all_it_takes() {
    let (home, token) = home();
    let before = snapshot(&home.path(CODEX));
    let shown = login(&home, "login openai", "y\n");
    assert_eq!(shown.status, Some(0), "{}", shown.report());
    assert!(shown.stdout.contains("Codex is signed in here"), "{}", shown.stdout);
    assert!(shown.stdout.contains("me@example.com"), "{}", shown.stdout);
    assert!(!shown.stdout.contains("https://auth.openai.com"), "{}", shown.stdout);
    home.run("token openai").ok().stdout_is(&format!("{token}\n"));
    assert_eq!(snapshot(&home.path(CODEX)), before);
    // Whoever signs in again wants an account of their own.
    let again = login(&home, "login openai --wait 1", "");
    assert!(again.stdout.contains("https://auth.openai.com"), "{}", again.stdout);
}

#[test]
fn a_no_goes_on_as_ever() {
    let (home, _) = home();
    let shown = login(&home, "login openai --wait 1", "n\n");
    assert_eq!(shown.status, Some(6), "{}", shown.report());
    assert!(shown.stdout.contains("https://auth.openai.com"), "{}", shown.stdout);
    assert!(home.trusted().is_empty());
}

#[test]
fn json_tells_where_it_lies() {
    let (home, _) = home();
    let shown = login(&home, "login openai --json", "y\n");
    assert_eq!(shown.status, Some(0), "{}", shown.report());
    let line = shown.stdout.lines().find(|line| line.starts_with('{')).unwrap();
    let object: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!((&object["status"], &object["provider"]), (&json!("ok"), &json!("openai")));
    assert_eq!(object["path"], home.path(CODEX).display().to_string());
    assert_eq!(object["email"], "me@example.com");
}

#[test]
fn what_is_of_no_use_goes_on_too() {
    let home = Home::new();
    home.put(CODEX, &codex(&jwt(-60, json!({}))));
    let shown = login(&home, "login openai --wait 1", "y\n");
    assert_eq!(shown.status, Some(6), "{}", shown.report());
    assert!(shown.stdout.contains("expired"), "{}", shown.stdout);
    assert!(shown.stdout.contains("https://auth.openai.com"), "{}", shown.stdout);
}

#[test]
fn off_a_terminal_nothing_is_asked() {
    let (home, _) = home();
    let out = home.run("login openai --wait 1");
    out.code(6).stdout_is("").stderr_has("keyfob source trust codex");
    out.stderr_has("https://auth.openai.com");
    assert!(home.trusted().is_empty());
}

#[test]
fn whoever_names_a_way_or_an_account_is_not_asked() {
    let (home, _) = home();
    let printed = home.run("login openai --print-auth-url");
    printed.ok().stderr_lacks("source trust");
    let named = login(&home, "login openai/work --wait 1", "");
    assert!(!named.stdout.contains("[y/N]"), "{}", named.stdout);
    let key = home.cmd("login openai-api --api-key-stdin").stdin("sk-0123456789").run();
    key.ok().stderr_lacks("source trust");
    let other = home.run("login groq");
    other.code(2).stderr_lacks("source trust");
}

/// A store of many providers may hold another one's only.
#[test]
fn a_store_of_many_is_only_a_maybe() {
    let home = Home::new();
    let file = json!({"mistral": {"type": "api", "key": "mistral-0123"}});
    home.put(".local/share/opencode/auth.json", &file.to_string());
    let shown = login(&home, "login groq", "y\ngsk_0123456789\n");
    assert!(shown.stdout.contains("OpenCode may be signed in here"), "{}", shown.stdout);
    assert!(shown.stdout.contains("API key (hidden)"), "{}", shown.stdout);
}
