//! `exec`, and the shell lines that CLI.md ends with, word for word.

mod child;
mod gateway;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::support::browser;
use crate::support::idp::{Dialect, Idp};
use crate::support::sandbox::{Sandbox, in_seconds, oauth_account};

const BINARY: &str = env!("CARGO_BIN_EXE_keyfob");

fn account(sandbox: &Sandbox, provider: &str, token: &str) -> Value {
    let idp = Idp::start(Dialect::oidc());
    let mut value = oauth_account(provider, "me@example.com", &idp.grant(), 3600);
    value["access_token"] = json!(token);
    sandbox.write_account(provider, "me@example.com", &value);
    value
}

fn exec(sandbox: &Sandbox, arguments: &[&str]) -> crate::support::command::Output {
    sandbox.cmd(&[&["exec"], arguments].concat()).run()
}

#[test]
fn a_child_gets_the_variables_its_tools_read() {
    let sandbox = Sandbox::new();
    account(&sandbox, "claude", "tok-claude");
    account(&sandbox, "my-idp", "tok-mine");
    sandbox.write_config(&json!({"providers": {"my-idp": {"token_url": "https://id.example/t"}}}));
    let script = "echo $CLAUDE_CODE_OAUTH_TOKEN $MY_IDP_ACCESS_TOKEN";
    let out = exec(&sandbox, &["claude", "my-idp", "--", "sh", "-c", script]);
    out.ok().stdout_is("tok-claude tok-mine\n");
}

#[test]
fn the_status_of_the_child_is_ours() {
    let sandbox = Sandbox::new();
    account(&sandbox, "claude", "tok");
    exec(&sandbox, &["claude", "--", "sh", "-c", "exit 7"]).code(7);
    exec(&sandbox, &["claude", "--", "no-such-program-at-all"]).code(127).stdout_is("");
    let file = sandbox.work().join("plain");
    fs::write(&file, "text").unwrap();
    exec(&sandbox, &["claude", "--", file.to_str().unwrap()]).code(126);
    let killed = exec(&sandbox, &["claude", "--", "sh", "-c", "kill -TERM $$"]);
    assert_eq!(killed.signal, Some(15), "{}", killed.report());
}

#[test]
fn what_stands_after_the_dashes_is_untouched() {
    let sandbox = Sandbox::new();
    account(&sandbox, "claude", "tok");
    let tail = ["sh", "-c", "printf '%s|' \"$@\"", "x", "--a=b", "--", "help", "--json", ""];
    let out = exec(&sandbox, &[&["claude", "--"], &tail[..]].concat());
    out.ok().stdout_is("--a=b|--|help|--json||");
}

#[test]
fn nothing_is_run_without_a_credential() {
    let sandbox = Sandbox::new();
    let mark = sandbox.work().join("mark");
    let touch = ["--", "touch", mark.to_str().unwrap()];
    exec(&sandbox, &[&["claude"], &touch[..]].concat()).code(4).stderr_has("keyfob login claude");
    exec(&sandbox, &[&["no-such-provider"], &touch[..]].concat()).code(2);
    exec(&sandbox, &touch).code(2);
    exec(&sandbox, &["claude"]).code(2);
    exec(&sandbox, &["claude", "--"]).code(2);
    assert!(!mark.exists());
}

#[test]
fn only_the_named_account_reaches_the_child() {
    let sandbox = Sandbox::new();
    account(&sandbox, "claude", "tok-claude");
    account(&sandbox, "openai", "tok-openai");
    let out = exec(&sandbox, &["openai", "--", "env"]);
    out.ok().stderr_lacks("tok");
    assert!(out.stdout.contains("OPENAI_API_KEY=tok-openai"), "{}", out.report());
    assert!(!out.stdout.contains("tok-claude") && !out.stdout.contains("rt_"), "{}", out.report());
}

/// The five lines as CLI.md has them, run by a shell whose `ssh`, `pbpaste`, `codex` and `notify` are
/// ours and whose `keyfob` is the built binary.
struct Shell {
    sandbox: Sandbox,
    idp: Idp,
}

impl Shell {
    fn new(row: &str) -> Shell {
        let sandbox = Sandbox::new();
        let list = sandbox.cmd(&["provider", "list", "--json"]).run().ok().json();
        let rows = list["providers"].as_array().unwrap();
        let row = rows.iter().find(|one| one["id"] == row).unwrap();
        let idp = Idp::start(Dialect::from_row(row, None));
        sandbox.write_config(&idp.overlay(&list));
        let bin = sandbox.work().join("bin");
        fs::create_dir(&bin).unwrap();
        tool(&bin, "keyfob", &format!("exec {BINARY} \"$@\""));
        tool(&bin, "ssh", "shift; exec \"$@\"");
        tool(&bin, "pbpaste", "cat \"$PASTED\"");
        tool(&bin, "codex", "echo \"codex $* with $OPENAI_API_KEY\"");
        tool(&bin, "notify", "echo \"notified: $*\"");
        Shell { sandbox, idp }
    }

    fn run(&self, line: &str) -> Output {
        let path =
            format!("{}/bin:{}", self.sandbox.work().display(), std::env::var("PATH").unwrap());
        let mut command = Command::new("sh");
        command.args(["-c", line]).env_clear().env("PATH", path);
        command.env("KEYFOB_HOME", self.sandbox.home()).env("HOME", self.sandbox.user_home());
        command.env("PASTED", self.sandbox.work().join("pasted"));
        command.output().unwrap()
    }

    fn stdout(&self, line: &str) -> String {
        let output = self.run(line);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{line}\n{output:?}\n{stderr}");
        String::from_utf8(output.stdout).unwrap()
    }
}

fn tool(bin: &Path, name: &str, body: &str) {
    let path = bin.join(name);
    fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_server_is_signed_in_from_the_laptop() {
    let shell = Shell::new("claude");
    let line = r#"url=$(keyfob login claude --print-auth-url --accept-terms) && echo "open: $url""#;
    let said = shell.stdout(line);
    let url = said.trim().strip_prefix("open: ").unwrap();
    let code = browser::shown_code(url);
    fs::write(shell.sandbox.work().join("pasted"), code).unwrap();
    assert_eq!(shell.stdout("pbpaste | ssh server keyfob login --callback-url -"), "");
    assert!(shell.stdout("keyfob status claude").contains("valid"));
    shell.idp.assert_content();
}

#[test]
fn curl_is_handed_a_token() {
    let idp = Idp::start(Dialect::oidc());
    let shell = Shell::new("claude");
    let grant = idp.grant();
    shell.sandbox.write_oauth("my-idp", "me@example.com", &grant, 3600);
    let url = idp.url("/api/hello");
    let line = format!(r#"curl -s -H "Authorization: Bearer $(keyfob token my-idp)" {url}"#);
    assert!(shell.stdout(&line).contains("hello"));
}

#[test]
fn codex_is_run_with_its_variables() {
    let shell = Shell::new("openai");
    account(&shell.sandbox, "openai", "tok-openai");
    let said = shell.stdout(r#"keyfob exec openai -- codex exec "say hello""#);
    assert_eq!(said, "codex exec say hello with tok-openai\n");
}

#[test]
fn a_cron_job_notices_that_a_person_is_needed() {
    let shell = Shell::new("claude");
    let line =
        r#"keyfob token claude >/dev/null 2>&1; [ $? -eq 4 ] && notify "sign in to claude again""#;
    assert_eq!(shell.stdout(line), "notified: sign in to claude again\n");
    let grant = shell.idp.grant();
    shell.sandbox.write_oauth("claude", "me@example.com", &grant, 3600);
    let quiet = shell.run(line);
    assert_eq!((quiet.status.code(), quiet.stdout), (Some(1), Vec::new()));
    let mut expired = shell.sandbox.read_account("claude", "me@example.com");
    expired["expires_at"] = json!(in_seconds(-5));
    expired["refresh_token"] = Value::Null;
    shell.sandbox.write_account("claude", "me@example.com", &expired);
    assert_eq!(shell.stdout(line), "notified: sign in to claude again\n");
}
