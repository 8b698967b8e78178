//! audit.jsonl: one line for each thing that happened to a credential, and never the credential.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;

#[cfg(unix)]
use std::os::unix::fs::OpenOptionsExt;

use serde::{Deserialize, Serialize};

use crate::account::AccountId;
use crate::error::Result;
use crate::store::{Store, file, lock};
use crate::time::Timestamp;

/// Then the file is put aside, in place of the one put aside before.
const LIMIT_BYTES: u64 = 8 * 1024 * 1024;

/// One line of the file.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Event {
    pub at: Timestamp,
    /// `hand_out`, `login`, `logout`, `refresh`, `refused`.
    pub event: String,
    pub provider: String,
    pub account: String,
    /// The program that called keyfob, where the platform tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
}

impl Store {
    fn audit_path(&self) -> PathBuf {
        self.home.join("audit.jsonl")
    }

    /// Adds a line. A trail that cannot be written is no reason to keep a credential from its owner, so
    /// that is told to the log alone.
    pub fn audit(&self, event: &str, id: &AccountId, by: Option<(String, u32)>, now: Timestamp) {
        let (by, pid) = by.map_or((None, None), |(name, pid)| (Some(name), Some(pid)));
        let (provider, account) = (id.provider.clone(), id.account.clone());
        let event = Event { at: now, event: event.to_owned(), provider, account, by, pid };
        if let Err(error) = self.append(&event) {
            crate::log::debug(&format!("the audit trail cannot be written: {error}"));
        }
    }

    /// One write for the whole line: the system puts it at the end of the file, whoever else writes.
    fn append(&self, event: &Event) -> io::Result<()> {
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        let path = self.audit_path();
        let mut options = OpenOptions::new();
        options.append(true);
        #[cfg(unix)]
        options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
        let mut trail = match options.open(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => {
                match file::create_private(&path) {
                    // Another process was faster.
                    Err(e) if e.kind() != ErrorKind::AlreadyExists => return Err(e),
                    Ok(new) => file::keep_owner(&new, &self.home)?,
                    Err(_) => {}
                }
                options.open(&path)?
            }
            other => other?,
        };
        trail.write_all(&line)?;
        if trail.metadata()?.len() > LIMIT_BYTES {
            self.rotate()?;
        }
        Ok(())
    }

    /// Whoever has the lock looks again: the others may have seen the old file.
    fn rotate(&self) -> io::Result<()> {
        let path = self.audit_path();
        let Ok(Some(_lock)) = lock::try_lock(&path.with_extension("lock")) else { return Ok(()) };
        if fs::symlink_metadata(&path)?.len() > LIMIT_BYTES {
            fs::rename(&path, path.with_extension("jsonl.1"))?;
        }
        Ok(())
    }

    /// What happened, oldest first, and how many lines could not be read.
    pub fn audit_trail(&self) -> Result<(Vec<Event>, usize)> {
        let path = self.audit_path();
        let (mut events, mut unreadable) = (Vec::new(), 0);
        for path in [path.with_extension("jsonl.1"), path] {
            let bytes = file::read_large(&path, 4 * LIMIT_BYTES)?.unwrap_or_default();
            for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                match serde_json::from_slice(line) {
                    Ok(event) => events.push(event),
                    Err(_) => unreadable += 1,
                }
            }
        }
        Ok((events, unreadable))
    }
}
