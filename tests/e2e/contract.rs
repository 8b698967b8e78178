//! What scripts and people rely on in every command: help, streams, exit codes, shapes.

mod docs;
mod errors;
mod help;
mod streams;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};

use crate::support::command::Output;
use crate::support::sandbox::Sandbox;

/// The product with arguments and streams of any kind; the environment is the kit's.
fn raw(sandbox: &Sandbox, arguments: &[&[u8]]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyfob"));
    command.env_clear().env("HOME", sandbox.user_home()).env("KEYFOB_HOME", sandbox.home());
    command.args(arguments.iter().map(|argument| OsStr::from_bytes(argument)));
    command.stdin(Stdio::null());
    command
}

fn run_raw(sandbox: &Sandbox, arguments: &[&[u8]]) -> Output {
    let output = raw(sandbox, arguments).output().expect("it starts");
    Output {
        command: format!("{arguments:?}"),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        status: output.status.code(),
        signal: None,
        home: sandbox.home(),
    }
}
