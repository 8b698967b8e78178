//! The command in place of keyfob: its process, its signals, its streams, and its environment.

use std::time::Duration;

use super::{account, exec};
use crate::support::sandbox::Sandbox;

const LIMIT: Duration = Duration::from_secs(30);

fn signed_in() -> Sandbox {
    let sandbox = Sandbox::new();
    account(&sandbox, "claude", "tok-claude");
    sandbox
}

#[test]
fn the_process_is_the_same() {
    let sandbox = signed_in();
    let child =
        sandbox.cmd(&["exec", "claude", "--", "sh", "-c", "echo $$ >pid; exec cat"]).spawn();
    let file = sandbox.work().join("pid");
    let deadline = std::time::Instant::now() + LIMIT;
    while !std::fs::read_to_string(&file).is_ok_and(|text| text.ends_with('\n')) {
        assert!(std::time::Instant::now() < deadline, "the child did not start");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(sandbox.read(&file).trim(), child.pid().to_string());
}

#[test]
fn a_signal_reaches_the_command() {
    for (signal, number) in [("TERM", 15), ("INT", 2), ("HUP", 1), ("KILL", 9), ("USR1", 10)] {
        let sandbox = signed_in();
        let script = "echo ready; exec sleep 60";
        let child = sandbox.cmd(&["exec", "claude", "--", "sh", "-c", script]).spawn();
        child.stdout_line_containing("ready", LIMIT);
        child.kill(signal);
        let output = child.wait(LIMIT);
        output.check(output.signal == Some(number), &format!("ended by signal {number}"));
        output.check(output.stderr.is_empty(), "nothing said");
    }
}

#[test]
fn a_command_that_handles_a_signal_has_its_own_status() {
    let sandbox = signed_in();
    let script = "trap 'echo caught; exit 9' INT; echo ready; while :; do sleep 0.05; done";
    let child = sandbox.cmd(&["exec", "claude", "--", "sh", "-c", script]).spawn();
    child.stdout_line_containing("ready", LIMIT);
    child.kill("INT");
    child.wait(LIMIT).code(9).stdout_is("ready\ncaught\n");
}

/// A Rust program ignores SIGPIPE; its child must not, or `| head` leaves it running.
#[test]
fn a_broken_pipe_ends_the_command() {
    let sandbox = signed_in();
    let show = "grep -E 'Sig(Ign|Blk)' /proc/self/status";
    let output = exec(&sandbox, &["claude", "--", "sh", "-c", show]);
    let set = |name: &str| {
        let line = output.ok().stdout.lines().find_map(|line| line.strip_prefix(name));
        u64::from_str_radix(line.unwrap_or_default().trim(), 16).unwrap()
    };
    assert_eq!(set("SigBlk:"), 0);
    assert_eq!(set("SigIgn:") & (1 << 12), 0, "{}", output.report());
}

#[test]
fn the_streams_and_the_folder_are_the_callers() {
    let sandbox = signed_in();
    let script = "cat; pwd; echo told >&2";
    let cmd = sandbox.cmd(&["exec", "claude", "--", "sh", "-c", script]).stdin("typed\n");
    let output = cmd.run();
    let folder = std::fs::canonicalize(sandbox.work()).unwrap();
    output.ok().stdout_is(&format!("typed\n{}\n", folder.display()));
    output.check(output.stderr == "told\n", "the command's stderr alone");
}

#[test]
fn no_file_of_ours_stays_open() {
    let sandbox = signed_in();
    let show = "for file in /proc/$$/fd/*; do readlink $file; done; echo shown";
    let output = exec(&sandbox, &["claude", "--", "sh", "-c", show]);
    let root = sandbox.user_home().display().to_string();
    output.ok().check(output.stdout.ends_with("shown\n"), "the list");
    output.check(!output.stdout.contains(&root), "no file of the home");
    output.check(!output.stdout.contains("socket:"), "no connection");
}

fn names(text: &str) -> Vec<&str> {
    let mut names: Vec<_> = text.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    names.sort_unstable();
    names
}

#[test]
fn a_clean_environment_holds_what_was_named() {
    let sandbox = signed_in();
    let noisy = |words: &[&str]| {
        let cmd = sandbox.cmd(&[&["exec", "claude"], words, &["--", "env"]].concat());
        let cmd = cmd.env("TERM", "xterm").env("AWS_SECRET_ACCESS_KEY", "marker-1");
        let cmd = cmd.env("OPENAI_API_KEY", "marker-2").env("KEYFOB_LOG", "error");
        let cmd = cmd.env("LD_PRELOAD_NOT", "marker-3").env("SSH_AUTH_SOCK", "/tmp/agent");
        cmd.run().ok().stdout.clone()
    };
    let clean = noisy(&["--clean-env"]);
    assert_eq!(
        names(&clean),
        ["CLAUDE_CODE_OAUTH_TOKEN", "HOME", "LANG", "PATH", "TERM"],
        "{clean}"
    );
    let kept = noisy(&["--clean-env", "--keep", "SSH_AUTH_SOCK", "--keep", "NOT_SET"]);
    let wanted = ["CLAUDE_CODE_OAUTH_TOKEN", "HOME", "LANG", "PATH", "SSH_AUTH_SOCK", "TERM"];
    assert_eq!(names(&kept), wanted, "{kept}");
    assert!(kept.contains("SSH_AUTH_SOCK=/tmp/agent\n"), "{kept}");
    let all = noisy(&[]);
    assert!(all.contains("marker-1") && all.contains("marker-2"), "{all}");
}

/// What is set already gives way to the account that was named.
#[test]
fn the_accounts_variable_wins() {
    let sandbox = Sandbox::new();
    account(&sandbox, "openai", "tok-account");
    let cmd = sandbox.cmd(&["exec", "openai", "--", "sh", "-c", "echo $OPENAI_API_KEY"]);
    cmd.env("OPENAI_API_KEY", "sk-of-the-shell").run().ok().stdout_is("tok-account\n");
}

/// The child has the access token of its own provider; nothing else of the account.
#[test]
fn nothing_else_of_the_account_is_there() {
    let sandbox = Sandbox::new();
    let value = account(&sandbox, "claude", "tok-claude");
    let show = "env; tr '\\0' '\\n' </proc/$$/cmdline; tr '\\0' '\\n' </proc/$$/environ";
    let output = exec(&sandbox, &["claude", "--", "sh", "-c", show]);
    let refresh = value["refresh_token"].as_str().unwrap();
    output.ok().check(!output.stdout.contains(refresh), "no refresh token");
    let lines = output.stdout.lines().filter(|line| line.contains("KEYFOB"));
    let known = lines.filter(|line| !line.starts_with("KEYFOB_HOME=")).collect::<Vec<_>>();
    assert!(known.is_empty(), "{known:?}");
}

#[test]
fn the_program_is_found_by_the_path_it_will_have() {
    let sandbox = signed_in();
    let bin = sandbox.work().join("bin");
    std::fs::create_dir(&bin).unwrap();
    super::tool(&bin, "mytool", "echo found $CLAUDE_CODE_OAUTH_TOKEN");
    let path = format!("{}:/usr/bin:/bin", bin.display());
    for words in [&["exec", "claude", "--clean-env"][..], &["exec", "claude"]] {
        let cmd = sandbox.cmd(&[words, &["--", "mytool"]].concat()).env("PATH", &path);
        cmd.run().ok().stdout_is("found tok-claude\n");
    }
    let output = exec(&sandbox, &["claude", "--", "/no/such/program"]);
    output.code(127).stderr_has("cannot run /no/such/program").stderr_lacks("tok-claude");
    let output = exec(&sandbox, &["claude", "--json", "--", "/no/such/program"]);
    assert_eq!(output.code(127).error_json()["exit"], 127);
}

/// A word that is no UTF-8 belongs to the command.
#[test]
fn arguments_are_handed_on_byte_by_byte() {
    let sandbox = signed_in();
    let script = "\"$0\" exec claude -- printf '%s' \"$(printf '\\377x')\" | od -An -tx1";
    let words = ["sh", "-c", script, env!("CARGO_BIN_EXE_keyfob")];
    let output = crate::support::tool::run(&sandbox, &words, "");
    output.ok().stdout_is(" ff 78\n");
}
