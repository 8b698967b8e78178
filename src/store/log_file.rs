//! A log of what went on, for whoever looks for a fault: method, status and words of our own, never a
//! header, body or query.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

#[cfg(unix)]
use std::os::unix::fs::OpenOptionsExt;

use crate::error::Result;
use crate::store::{Store, file};
use crate::time::Timestamp;

/// A file that has grown to this is renamed to `NAME.1`, in place of the one before.
const LIMIT_BYTES: u64 = 1024 * 1024;

/// Where lines go; nowhere, if nobody asked for them.
pub struct Log(Option<Mutex<Open>>);

struct Open {
    path: PathBuf,
    file: File,
}

impl Log {
    pub fn none() -> Log {
        Log(None)
    }

    /// Appends to a file of the person's choice, 0600 if it is new.
    pub fn at(path: &Path) -> Result<Log> {
        let path = path.to_owned();
        let file = open(&path).map_err(|e| file::io_error(&path, "write", &e))?;
        Ok(Log(Some(Mutex::new(Open { path, file }))))
    }

    /// One line with its time. A log that cannot be written stops nobody.
    pub fn line(&self, now: Timestamp, line: &str) {
        let Some(open) = &self.0 else { return };
        let Ok(mut open) = open.lock() else { return };
        let _ = writeln!(open.file, "{} {} {line}", now, std::process::id());
        open.rotate();
    }
}

impl Open {
    fn rotate(&mut self) {
        if self.file.metadata().is_ok_and(|seen| seen.len() < LIMIT_BYTES) {
            return;
        }
        // Another process may have put a new file in its place already.
        if std::fs::metadata(&self.path).is_ok_and(|seen| seen.len() < LIMIT_BYTES) {
            if let Ok(file) = open(&self.path) {
                self.file = file;
            }
            return;
        }
        let mut old = self.path.clone().into_os_string();
        old.push(".1");
        if std::fs::rename(&self.path, old).is_ok()
            && let Ok(file) = open(&self.path)
        {
            self.file = file;
        }
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    match file::create_private(path) {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(e),
        // Several processes write to it, each at its end.
        Ok(_) | Err(_) => {}
    }
    let mut options = OpenOptions::new();
    options.append(true);
    #[cfg(unix)]
    options.custom_flags(libc::O_NOFOLLOW);
    options.open(path)
}

impl Store {
    /// `logs/NAME.log`.
    pub fn log(&self, name: &str) -> Result<Log> {
        let folder = self.home.join("logs");
        file::make_folder(&folder)?;
        Log::at(&folder.join(format!("{name}.log")))
    }
}
