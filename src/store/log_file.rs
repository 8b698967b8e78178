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

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn store() -> Store {
        let mut random = [0; 8];
        getrandom::fill(&mut random).unwrap();
        let name = format!("keyfob-log-{:016x}", u64::from_ne_bytes(random));
        let home = std::env::temp_dir().join(name);
        file::make_folder(&home).unwrap();
        Store { home, is_in_memory: true, config: None }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_line_has_its_time_and_process() {
        let store = store();
        let log = store.log("mcp-proxy").unwrap();
        log.line(Timestamp(0), "tools/list: 200");
        log.line(Timestamp(0), "done");
        let path = store.home.join("logs/mcp-proxy.log");
        let head = format!("{} {}", Timestamp(0), std::process::id());
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            format!("{head} tools/list: 200\n{head} done\n")
        );
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        // Another run goes on where this one ended.
        store.log("mcp-proxy").unwrap().line(Timestamp(0), "again");
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 3);
        store.discard();
    }

    #[test]
    fn a_long_log_is_renamed_once() {
        let store = store();
        let log = store.log("mcp-proxy").unwrap();
        let line = "x".repeat(1000);
        let lines_to_limit = usize::try_from(LIMIT_BYTES).unwrap() / 1000 + 1;
        let (path, old) =
            (store.home.join("logs/mcp-proxy.log"), store.home.join("logs/mcp-proxy.log.1"));
        for _ in 0..lines_to_limit {
            log.line(Timestamp(0), &line);
        }
        assert!(fs::metadata(&old).unwrap().len() >= LIMIT_BYTES);
        log.line(Timestamp(0), "after");
        assert!(fs::metadata(&path).unwrap().len() < LIMIT_BYTES / 10);
        assert!(fs::read_to_string(&path).unwrap().ends_with(" after\n"));
        for _ in 0..lines_to_limit {
            log.line(Timestamp(0), &line);
        }
        // Two files at most, whatever is written.
        assert_eq!(fs::read_dir(store.home.join("logs")).unwrap().count(), 2);
        assert_eq!((mode(&path), mode(&old)), (0o600, 0o600));
        store.discard();
    }

    #[test]
    fn a_log_nobody_asked_for_writes_nothing() {
        let store = store();
        Log::none().line(Timestamp(0), "unseen");
        assert_eq!(fs::read_dir(&store.home).unwrap().count(), 0);
        let error = Log::at(&store.home.join("no/such/folder.log")).map(|_| ()).unwrap_err();
        assert_eq!(error.exit_code(), 5, "{error}");
        store.discard();
    }
}
