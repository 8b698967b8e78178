//! Asking another installed program: no shell, an end to the wait, and a cap on what it says.

use std::env;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::secret::Secret;

/// What a program says beyond this is not read.
const LIMIT_BYTES: u64 = 256 * 1024;
const POLL: Duration = Duration::from_millis(10);

/// How a program ended and what it said; the first may hold a token.
pub struct Said {
    pub status: ExitStatus,
    pub stdout: Secret,
    pub stderr: String,
}

/// The program's place on PATH; entries that depend on the current folder do not count.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let folders = env::split_paths(&path).filter(|folder| folder.is_absolute());
    folders.map(|folder| folder.join(program)).find(|file| is_program(file))
}

#[cfg(unix)]
fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(file: &Path) -> bool {
    file.is_file()
}

/// Runs it to its end; Err says in words why there is no answer. It is killed after `limit`.
pub fn ask(program: &Path, arguments: &[String], limit: Duration) -> Result<Said, String> {
    let deadline = Instant::now() + limit;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child =
        command.spawn().map_err(|e| format!("cannot be run: {}", crate::text::cause(&e)))?;
    let (stdout, stderr) = (reader(child.stdout.take()), reader(child.stderr.take()));
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < deadline => thread::sleep(POLL),
            _ => {
                // It may have ended just now; either way it is gone.
                let _ = child.kill().and_then(|()| child.wait().map(|_| ()));
                return Err(format!("gave no answer within {} s", limit.as_secs()));
            }
        }
    };
    // A grandchild may hold the streams open after the end.
    let text = |stream: mpsc::Receiver<Vec<u8>>| {
        let left = deadline.saturating_duration_since(Instant::now()).min(Duration::from_secs(1));
        let bytes = stream.recv_timeout(left.max(POLL)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    Ok(Said { status, stdout: Secret::new(text(stdout)), stderr: text(stderr) })
}

fn reader(stream: Option<impl Read + Send + 'static>) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            let _ = stream.by_ref().take(LIMIT_BYTES).read_to_end(&mut bytes);
            let _ = sender.send(bytes);
            // A full pipe would make the program wait for us.
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        }
    });
    receiver
}
