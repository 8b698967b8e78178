//! Another program asked for something: no shell, no input, and bounds on its time and output.

use std::env;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use crate::secret::Secret;
use crate::text;

const OUTPUT_LIMIT_BYTES: u64 = 256 * 1024;
const PACE: Duration = Duration::from_millis(10);

/// How it ended, and what it said: lossy UTF-8, at most 256 KiB of each stream.
pub struct Ended {
    pub is_success: bool,
    pub stdout: Secret,
    pub stderr: Secret,
}

/// The program on PATH. Relative folders are passed over, so that nothing in the current folder
/// can take its place.
pub fn locate(name: &str) -> Option<PathBuf> {
    let names = if cfg!(windows) {
        vec![format!("{name}.exe"), format!("{name}.cmd")]
    } else {
        vec![name.to_owned()]
    };
    let path = env::var_os("PATH")?;
    let folders = env::split_paths(&path).filter(|folder| folder.is_absolute());
    let mut files = folders.flat_map(|folder| names.iter().map(move |name| folder.join(name)));
    files.find(|file| file.is_file())
}

/// Runs it to its end with the environment as it is; no argument may be a secret. Err says in words why there is no
/// answer: it could not be started, or took longer than the limit and was killed.
pub fn run(program: &Path, arguments: &[&str], limit: Duration) -> Result<Ended, String> {
    let deadline = Instant::now() + limit;
    let mut command = Command::new(program);
    command.args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child =
        command.spawn().map_err(|e| format!("it cannot be started: {}", text::cause(&e)))?;
    let stdout = child.stdout.take().map(gather);
    let stderr = child.stderr.take().map(gather);
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < deadline => thread::sleep(PACE),
            Ok(None) | Err(_) => {
                // It may have ended just now.
                let _ = child.kill().and_then(|()| child.wait());
                return Err(format!("it gave no answer within {} s", limit.as_secs()));
            }
        }
    };
    // A grandchild may hold the streams open for ever.
    let rest = deadline.saturating_duration_since(Instant::now()).max(PACE);
    let whole = |stream: Option<Receiver<Vec<u8>>>| {
        let bytes = stream.and_then(|stream| stream.recv_timeout(rest).ok()).unwrap_or_default();
        Secret::new(String::from_utf8_lossy(&bytes))
    };
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    crate::log::debug(&format!("{} -> {status}", text::harmless(&name, 80)));
    Ok(Ended { is_success: status.success(), stdout: whole(stdout), stderr: whole(stderr) })
}

/// Reads up to the limit and then hangs up, which ends a program that talks for ever.
fn gather(stream: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, bytes) = mpsc::channel();
    thread::spawn(move || -> io::Result<()> {
        let mut read = Vec::new();
        stream.take(OUTPUT_LIMIT_BYTES).read_to_end(&mut read)?;
        // Nobody waits any more.
        let _ = sender.send(read);
        Ok(())
    });
    bytes
}
