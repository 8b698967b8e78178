//! `login cursor`: the sign-in of an installed `cursor-agent`, here a script that behaves like it, is
//! read in place; without one the provider takes a key.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use crate::support::command::{Cmd, Output};
use crate::support::sandbox::Sandbox;

/// Notes how it is called. `status` says whether its file is there, `login` writes it.
const AGENT: &str = r#"#!/bin/sh
echo "$* ${NO_OPEN_BROWSER:-}" >>"$HOME/calls"
file="$HOME/.config/cursor/auth.json"
case $1 in
status) if [ -f "$file" ]; then echo "Logged in as me@example.com"; else echo "Not logged in"; fi ;;
login) mkdir -p "$HOME/.config/cursor" && cp "$HOME/next.json" "$file" ;;
esac
"#;

struct Desk {
    sandbox: Sandbox,
    token: String,
}

fn jwt(exp: u64) -> String {
    let part = |text: String| URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.c2ln", part("{}".into()), part(json!({"exp": exp}).to_string()))
}

impl Desk {
    fn new() -> Self {
        let desk = Desk { sandbox: Sandbox::new(), token: jwt(2_000_000_000) };
        let agent = desk.bin().join("cursor-agent");
        fs::create_dir_all(desk.bin()).unwrap();
        fs::write(&agent, AGENT).unwrap();
        fs::set_permissions(&agent, fs::Permissions::from_mode(0o755)).unwrap();
        let tokens = json!({"accessToken": desk.token, "refreshToken": "cursor-refresh-marker"});
        fs::write(desk.sandbox.user_home().join("next.json"), tokens.to_string()).unwrap();
        desk
    }

    fn bin(&self) -> PathBuf {
        self.sandbox.user_home().join("bin")
    }

    fn file(&self) -> PathBuf {
        self.sandbox.user_home().join(".config/cursor/auth.json")
    }

    fn cmd(&self, words: &str) -> Cmd {
        let path = std::env::var("PATH").unwrap_or_default();
        let cmd = self.sandbox.cmd(&words.split_whitespace().collect::<Vec<_>>());
        cmd.env("PATH", &format!("{}:{path}", self.bin().display()))
    }

    /// At a terminal, with these answers.
    fn login(&self, answers: &str) -> Output {
        self.cmd("login cursor").pty().stdin(answers).run()
    }

    fn calls(&self) -> String {
        fs::read_to_string(self.sandbox.user_home().join("calls")).unwrap_or_default()
    }

    fn account(&self) -> PathBuf {
        self.sandbox.account_file("cursor", "default")
    }
}

#[test]
fn the_tools_sign_in_is_run_and_then_read_in_place() {
    let desk = Desk::new();
    let shown = desk.login("y\ny\n");
    assert_eq!(shown.status, Some(0), "{}", shown.report());
    assert!(shown.stdout.contains("cursor-agent login"), "{}", shown.stdout);
    // No display here, so the tool is told to print its address.
    assert_eq!(desk.calls(), "status \nlogin 1\n");
    let before = fs::read(desk.file()).unwrap();

    desk.cmd("token cursor").run().ok().stdout_is(&format!("{}\n", desk.token));
    let written = desk.sandbox.read(&desk.account());
    assert!(!written.contains(&desk.token), "a copy of the token: {written}");
    assert!(!written.contains("cursor-refresh-marker"), "{written}");
    assert_eq!(desk.sandbox.mode(&desk.account()), 0o600);
    let row = desk.cmd("status --json").run().ok().json()["accounts"][0].clone();
    assert_eq!(row["state"], "valid");
    assert_eq!(row["source"], format!("file:{}", desk.file().display()));

    // What the tool renews is seen at once.
    let renewed = jwt(2_000_000_001);
    fs::write(desk.file(), json!({"accessToken": renewed}).to_string()).unwrap();
    desk.cmd("token cursor").run().ok().stdout_is(&format!("{renewed}\n"));
    fs::write(desk.file(), &before).unwrap();

    desk.cmd("logout cursor").run().ok();
    assert_eq!(fs::read(desk.file()).unwrap(), before, "the tool's own file is its own affair");
    assert!(!desk.account().exists());
}

#[test]
fn somebody_signed_in_there_is_only_asked_for_consent() {
    let desk = Desk::new();
    fs::create_dir_all(desk.file().parent().unwrap()).unwrap();
    fs::copy(desk.sandbox.user_home().join("next.json"), desk.file()).unwrap();
    let refused = desk.login("n\n");
    assert_eq!(refused.status, Some(1), "{}", refused.report());
    assert!(!desk.account().exists());
    let taken = desk.login("y\n");
    assert_eq!(taken.status, Some(0), "{}", taken.report());
    assert!(!desk.calls().contains("login"), "{}", desk.calls());
}

#[test]
fn a_no_to_the_tools_sign_in_runs_nothing() {
    let desk = Desk::new();
    let refused = desk.login("n\n");
    assert_eq!(refused.status, Some(1), "{}", refused.report());
    assert!(refused.stdout.contains("try: cursor-agent login"), "{}", refused.stdout);
    assert_eq!(desk.calls(), "status \n");
}

#[test]
fn off_a_terminal_nobody_can_consent() {
    let desk = Desk::new();
    let out = desk.cmd("login cursor").run();
    out.code(2).stdout_is("").stderr_has("try: keyfob login cursor --api-key-stdin");
    assert!(!desk.account().exists());
}

#[test]
fn what_the_tool_no_longer_holds_is_its_own_to_bring_back() {
    let desk = Desk::new();
    desk.login("y\ny\n");
    for (content, word) in [
        (json!({"accessToken": jwt(1_000_000)}).to_string(), "expired"),
        (json!({"accessToken": ""}).to_string(), "holds no token"),
        ("{".to_owned(), "no JSON"),
    ] {
        fs::write(desk.file(), content).unwrap();
        let out = desk.cmd("token cursor").run();
        out.code(4).stdout_is("").stderr_has(word).stderr_has("try: cursor-agent login");
    }
    fs::remove_file(desk.file()).unwrap();
    desk.cmd("token cursor").run().code(4).stderr_has("try: cursor-agent login");
    let row = desk.cmd("status cursor --json").run();
    assert_eq!(row.code(4).json()["accounts"][0]["state"], "refused");
    let elsewhere = desk.sandbox.user_home().join("elsewhere.json");
    fs::copy(desk.sandbox.user_home().join("next.json"), &elsewhere).unwrap();
    symlink(&elsewhere, desk.file()).unwrap();
    desk.cmd("token cursor").run().code(5).stdout_is("").stderr_has("symlink");
}

#[test]
fn without_the_tool_a_key_is_asked_for() {
    let desk = Desk::new();
    fs::remove_file(desk.bin().join("cursor-agent")).unwrap();
    let out = desk.cmd("login cursor").run();
    out.code(2).stderr_has("try: keyfob login cursor --api-key-stdin");
    desk.cmd("login cursor --api-key-stdin").stdin("key_0123456789abcdef").run().ok();
    desk.cmd("token cursor").run().ok().stdout_is("key_0123456789abcdef\n");
    let shown = desk.cmd("token cursor --json").run().ok().json();
    // The key is the user name of HTTP Basic: `key_0123456789abcdef:` in base64.
    let basic = "Basic a2V5XzAxMjM0NTY3ODlhYmNkZWY6";
    assert_eq!(shown["headers"]["Authorization"], basic);
}

/// The rules of every other tool's file: what others may change proves nothing.
#[test]
fn a_file_that_others_may_change_is_refused() {
    let desk = Desk::new();
    desk.login("y\ny\n");
    fs::set_permissions(desk.file(), fs::Permissions::from_mode(0o666)).unwrap();
    let out = desk.cmd("token cursor").run();
    out.code(5).stdout_is("").stderr_has("try: chmod");
    assert_eq!(desk.sandbox.mode(&desk.file()), 0o666, "it is not ours to change");
    fs::set_permissions(desk.file(), fs::Permissions::from_mode(0o600)).unwrap();
    desk.cmd("token cursor").run().ok().stdout_is(&format!("{}\n", desk.token));
}
