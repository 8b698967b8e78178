//! One advisory lock file per account, never the data file. The kernel frees it if we die.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

#[cfg(unix)]
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

use crate::error::{Error, Result};
use crate::store::file;

/// Exclusive across processes until dropped.
#[derive(Debug)]
pub struct AccountLock {
    _file: Option<File>,
}

/// Whether `KEYFOB_LOCK=off` asks to go on where the file system cannot lock.
pub fn is_off() -> bool {
    std::env::var("KEYFOB_LOCK").is_ok_and(|value| value.eq_ignore_ascii_case("off"))
}

/// The lock, or None while another process holds it. A file system that cannot lock is an error
/// that names the way round it.
pub fn try_lock(path: &Path) -> Result<Option<AccountLock>> {
    if is_off() {
        return Ok(Some(AccountLock { _file: None }));
    }
    let file = open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(AccountLock { _file: Some(file) })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(e)) => Err(Error::store(
            path,
            "lock",
            format!("{e}; KEYFOB_LOCK=off goes on without a lock, one process at a time"),
        )),
    }
}

fn open(path: &Path) -> Result<File> {
    if let Some(folder) = path.parent() {
        file::make_folder(folder)?;
    }
    if path.is_symlink() {
        return Err(Error::store(path, "lock", "it is a symlink, and keyfob follows none"));
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    options.mode(0o600);
    options.open(path).map_err(|e| file::io_error(path, "lock", &e))
}

/// The process that holds the lock, where the system tells (Linux: /proc/locks).
pub fn holder(path: &Path) -> Option<u32> {
    #[cfg(unix)]
    {
        let inode = std::fs::metadata(path).ok()?.ino().to_string();
        let locks = std::fs::read_to_string("/proc/locks").ok()?;
        // `1: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF`
        locks.lines().find_map(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            let is_held = words.get(5)?.rsplit(':').next()? == inode && words[1] != "->";
            is_held.then(|| words[4].parse().ok())?
        })
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        None
    }
}
