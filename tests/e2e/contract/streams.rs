//! What goes where: data on stdout, all else on stderr, and nobody there to read it.

use std::process::Stdio;

use serde_json::json;

use super::{raw, run_raw};
use crate::provider::Desk;
use crate::support::browser;
use crate::support::sandbox::Sandbox;

const ME: &str = "me@example.com";

/// One object on one line, the version first.
#[test]
fn every_json_object_says_its_version_first() {
    let desk = Desk::ready();
    let shape = |words: &str, key: &str| {
        let output = desk.cmd(words).run();
        output.ok().json();
        let start = format!("{{\"version\":1,\"{key}\":");
        output.check(output.stdout.starts_with(&start), &format!("stdout begins {start}"));
        output.check(!output.stdout.contains("\": "), "no blanks between");
    };
    shape("version --json", "keyfob");
    shape("provider list --json", "providers");
    shape("provider show mine --json", "provider");
    shape("pending list --json", "pending");
    shape("login mine --print-auth-url --json", "status");
    shape("pending list --json", "pending");
    let url = desk.begin();
    let finish = desk.cmd("login --callback-url - --json").stdin(browser::approve(&url).location);
    let done = finish.run();
    assert!(done.ok().stdout.starts_with("{\"version\":1,\"status\":\"ok\","), "{}", done.stdout);
    assert_eq!(done.json()["email"], ME);
    shape("status --json", "accounts");
    shape("status --check --json", "accounts");
    shape("token mine --json", "provider");
    shape("refresh mine --json", "refreshed");
    shape("logout mine --json", "removed");
    let issuer = desk.idp.issuer();
    shape(&format!("provider add other --issuer {issuer} --client-id x --json"), "provider");
    desk.idp.assert_content();
}

/// `--name=value` is `--name value`, also where the value holds an equals sign.
#[test]
fn a_value_may_follow_an_equals_sign() {
    let desk = Desk::ready();
    let url = desk.begin();
    let callback = browser::approve(&url).location;
    let login = desk.sandbox.cmd(&["login", &format!("--callback-url={callback}"), "--timeout=9"]);
    login.run().ok();
    desk.cmd("token mine --min-ttl=5 --timeout=5").run().ok();
    desk.cmd("status --timeout=5").run().ok();
    let issuer = desk.idp.issuer();
    desk.cmd(&format!("provider add other --issuer={issuer} --client-id=a=b")).run().ok();
    let row = desk.cmd("provider show other --json").run();
    assert_eq!(row.ok().json()["provider"]["client_id"], "a=b");
    let begun = desk.cmd("login mine --print-auth-url --login-hint=me+x=y@example.com").run();
    assert!(begun.ok().line().contains("login_hint=me%2Bx%3Dy%40example.com"));
}

/// A reader that went away is no error (STYLE 16).
#[test]
fn a_closed_pipe_is_no_failure() {
    let desk = Desk::ready();
    desk.sit_down(ME, 3600);
    for words in [
        "--help",
        "login --help",
        "--version",
        "version --json",
        "provider list --json",
        "status",
        "provider show openai",
        "token mine",
        "token mine --json",
        "status --json",
        "login mine --print-auth-url",
    ] {
        let words: Vec<_> = words.split(' ').map(str::as_bytes).collect();
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = raw(&desk.sandbox, &words);
        let output = command.stdout(Stdio::from(writer)).output().expect("it starts");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!stderr.contains("panicked"), "{stderr}");
        assert_eq!(output.status.code(), Some(0), "{words:?}: {stderr}");
    }
}

/// Nobody hears the complaint; the exit code still tells.
#[test]
fn a_closed_stderr_changes_no_exit_code() {
    let desk = Desk::ready();
    desk.sit_down(ME, 3600);
    for (words, code) in [("token mine", 0), ("token nobody", 2), ("token openai", 4), ("", 2)] {
        let words: Vec<_> = words.split_whitespace().map(str::as_bytes).collect();
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = raw(&desk.sandbox, &words);
        let status = command.stdout(Stdio::null()).stderr(Stdio::from(writer)).status();
        assert_eq!(status.expect("it starts").code(), Some(code), "{words:?}");
    }
}

/// A token that did not get out is a failure.
#[test]
fn a_full_disk_behind_stdout_is_a_failure() {
    let desk = Desk::ready();
    desk.sit_down(ME, 3600);
    for words in [&["token", "mine"][..], &["status"], &["provider", "list", "--json"]] {
        let full = std::fs::File::options().write(true).open("/dev/full").expect("/dev/full");
        let words: Vec<_> = words.iter().map(|word| word.as_bytes()).collect();
        let output = raw(&desk.sandbox, &words).stdout(full).output().expect("it starts");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains("cannot write to stdout"), "{stderr}");
    }
}

/// Colours and cursor movement are for terminals.
#[test]
fn no_escape_sequences_without_a_terminal() {
    let desk = Desk::ready();
    desk.sit_down(ME, 3600);
    for words in [
        "--help",
        "doctor",
        "status",
        "status --check",
        "provider list",
        "token mine",
        "token nobody",
        "login mine --no-browser --wait 0 --qr --copy",
        "login mine --print-auth-url --qr",
        "login claude",
        "pending list",
        "refresh mine",
        "logout mine",
    ] {
        let cmd = desk.cmd(words).env("TERM", "xterm-256color").env("COLORTERM", "truecolor");
        let output = cmd.env("FORCE_COLOR", "1").env("CLICOLOR_FORCE", "1").run();
        let has_escape = output.stdout.contains('\u{1b}') || output.stderr.contains('\u{1b}');
        output.check(!has_escape, "no escape sequence");
    }
}

#[test]
fn no_escape_sequences_where_the_person_wants_none() {
    let desk = Desk::ready();
    desk.sit_down(ME, 3600);
    for (name, value) in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        for words in ["status", "token nobody", "login mine --no-browser --wait 0 --no-input"] {
            let output = desk.cmd(words).pty().env("TERM", "xterm").env(name, value).run();
            output.check(!output.stdout.contains('\u{1b}'), "no escape sequence");
            assert!(!output.stdout.is_empty());
        }
    }
}

/// A panic hook or a variable of Rust's must not bring internals to light.
#[test]
fn no_backtrace_is_shown() {
    let desk = Desk::ready();
    for words in ["token nobody", "token mine", "provider add x --issuer http://127.0.0.1:1"] {
        let output = desk.cmd(words).env("RUST_BACKTRACE", "full").run();
        output.stderr_lacks("backtrace").stderr_lacks("src/").stderr_lacks("panicked");
        let lines = output.stderr.lines().count();
        output.check(lines <= 2, "the error, and what to try");
    }
}

/// No question is asked, and none hangs, where stdin is no terminal.
#[test]
fn nothing_prompts_without_a_terminal() {
    let desk = Desk::ready();
    for words in ["login", "login claude", "login google", "token claude", "token mine", "status"] {
        let mut child = desk.cmd(words).spawn();
        child.write_stdin("y\n1\nmine\n");
        let output = child.wait(std::time::Duration::from_secs(20));
        assert!(matches!(output.status, Some(2 | 4)), "{}", output.report());
        output.stdout_is("");
    }
    assert!(!desk.sandbox.home().join("pending").exists());
    assert!(desk.sandbox.read_config().get("accepted_terms").is_none());
}

#[test]
fn nothing_prompts_with_no_input() {
    let desk = Desk::ready();
    for words in ["login --no-input", "login claude --no-input"] {
        let output = desk.cmd(words).pty().run();
        assert_eq!(output.status, Some(2), "{}", output.report());
    }
}

/// State is where KEYFOB_HOME says, else XDG_CONFIG_HOME, else the platform's folder; asking for
/// something leaves nothing behind.
#[test]
fn the_home_is_where_the_variables_say() {
    let desk = Desk::ready();
    let row = desk.plain_row();
    let begin = |sandbox: &Sandbox| {
        sandbox.write_config(&json!({"providers": {"mine": row}}));
        let config = std::fs::read(sandbox.home().join("config.json")).expect("a file");
        std::fs::remove_dir_all(sandbox.home()).expect("a folder");
        config
    };
    for (variable, folder) in [(Some("XDG_CONFIG_HOME"), "xdg/keyfob"), (None, ".config/keyfob")] {
        let sandbox = Sandbox::new();
        let config = begin(&sandbox);
        let home = sandbox.user_home().join(folder);
        crate::support::sandbox::make_private_dir(&home);
        let text = String::from_utf8(config).expect("text");
        crate::support::sandbox::write_private(&home.join("config.json"), &text);
        let mut cmd = sandbox.cmd(&["login", "mine", "--print-auth-url"]).env_remove("KEYFOB_HOME");
        if let Some(name) = variable {
            cmd = cmd.env(name, &sandbox.user_home().join("xdg").display().to_string());
        }
        cmd.run().ok();
        assert_eq!(sandbox.files(&home.join("pending")).len(), 1);
        assert!(!sandbox.home().exists());
    }
    let sandbox = Sandbox::new();
    for words in
        [&["status"][..], &["provider", "list"], &["pending", "list"], &["token", "claude"]]
    {
        sandbox.cmd(words).run();
        assert!(!sandbox.home().exists(), "{words:?} left {}", sandbox.listing());
    }
    assert_eq!(run_raw(&sandbox, &[b"status"]).status, Some(4));
}
