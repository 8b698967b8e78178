//! Other programs of the machine, which meet keyfob as their users have it: on PATH.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::command::Output;
use super::running::Running;
use super::sandbox::Sandbox;

const BINARY: &str = env!("CARGO_BIN_EXE_keyfob");
const LIMIT: Duration = Duration::from_secs(60);

/// Whether the program is there; the reason of a skipped test is printed.
pub fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    if !found {
        println!("skipped: {program} is not installed");
    }
    found
}

/// PATH with the built binary first.
pub fn path() -> String {
    let bin = Path::new(BINARY).parent().expect("a folder").display().to_string();
    format!("{bin}:{}", std::env::var("PATH").unwrap_or_default())
}

/// The words with this stdin, in a cleared environment like that of `Cmd`.
#[track_caller]
pub fn run(sandbox: &Sandbox, words: &[&str], stdin: &str) -> Output {
    run_with(sandbox, words, stdin, &[])
}

/// The same with more variables.
#[track_caller]
pub fn run_with(sandbox: &Sandbox, words: &[&str], stdin: &str, more: &[(&str, &str)]) -> Output {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).env_clear().current_dir(sandbox.work());
    command.env("HOME", sandbox.user_home()).env("KEYFOB_HOME", sandbox.home());
    command.env("LANG", "C.UTF-8").env("PATH", path());
    command.envs(more.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap_or_else(|e| panic!("cannot start {words:?}: {e}"));
    let mut running = Running::new(words.join(" "), sandbox.home(), child);
    running.write_stdin(stdin);
    running.close_stdin();
    running.wait(LIMIT)
}
