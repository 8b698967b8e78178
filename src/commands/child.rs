//! keyfob's own commands, run as a person would.

use std::io::Write;
use std::process::{Command, ExitStatus, Stdio};

use crate::error::{Error, Result};
use crate::secret::Secret;
use crate::term;
use crate::text;

/// What the shell shows for a process that was interrupted.
const INTERRUPTED: u8 = 130;

/// Runs a command at this terminal, or with a secret as its stdin, and says so first. Its exit code;
/// Err when the person ended it.
pub fn run(arguments: &[String], timeout_s: Option<u64>, secret: Option<&Secret>) -> Result<u8> {
    let mut words: Vec<_> = arguments.iter().map(|word| text::shell_word(word)).collect();
    words.extend(timeout_s.map(|seconds| format!("--timeout {seconds}")));
    term::say(&format!("running: keyfob {}", words.join(" ")));
    let mut command = keyfob(arguments, timeout_s)?;
    if secret.is_some() {
        command.stdin(Stdio::piped());
    }
    let mut child = command.spawn().map_err(|e| cannot_start(&e))?;
    if let (Some(secret), Some(mut stdin)) = (secret, child.stdin.take()) {
        // A child that did not read it says why by its exit code.
        let _ = stdin.write_all(secret.expose().as_bytes());
    }
    let status = child.wait().map_err(|e| cannot_start(&e))?;
    match code(status) {
        INTERRUPTED => Err(Error::Child { what: "interrupted".to_owned(), status: INTERRUPTED }),
        code => Ok(code),
    }
}

/// What a command prints, if it succeeds; what it complains of is of no interest.
pub fn output(arguments: &[String], timeout_s: Option<u64>) -> Option<Vec<u8>> {
    let mut command = keyfob(arguments, timeout_s).ok()?;
    command.stdin(Stdio::null()).stderr(Stdio::null());
    let output = command.output().ok()?;
    output.status.success().then_some(output.stdout)
}

fn keyfob(arguments: &[String], timeout_s: Option<u64>) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe().map_err(|e| cannot_start(&e))?);
    command.args(arguments);
    if let Some(seconds) = timeout_s {
        command.arg("--timeout").arg(seconds.to_string());
    }
    Ok(command)
}

fn cannot_start(error: &std::io::Error) -> Error {
    Error::failed(format!("cannot run keyfob itself: {}", text::cause(error)))
}

/// The shell's number for a signal.
fn code(status: ExitStatus) -> u8 {
    #[cfg(unix)]
    let signal = std::os::unix::process::ExitStatusExt::signal(&status).map(|signal| 128 + signal);
    #[cfg(not(unix))]
    let signal = None;
    let code = status.code().or(signal).unwrap_or(1);
    u8::try_from(code).unwrap_or(1)
}
