//! One advisory lock file per account, never the data file. The kernel frees it if we die.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::Path;

#[cfg(unix)]
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

use crate::error::{Error, Result};
use crate::log;
use crate::store::file;
use crate::text;

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
        log::warn(
            "KEYFOB_LOCK=off: nothing keeps other processes from refreshing at the same time",
        );
        return Ok(Some(AccountLock { _file: None }));
    }
    try_lock_file(open(path)?, path)
}

/// Locks a file that is there already; None while another process holds it.
pub fn try_lock_file(file: File, path: &Path) -> Result<Option<AccountLock>> {
    if is_off() {
        return Ok(Some(AccountLock { _file: None }));
    }
    match file.try_lock() {
        Ok(()) => Ok(Some(AccountLock { _file: Some(file) })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(e)) => {
            let way_round = "KEYFOB_LOCK=off goes on without a lock, one process at a time";
            Err(Error::store(path, "lock", format!("{}; {way_round}", text::cause(&e))))
        }
    }
}

fn open(path: &Path) -> Result<File> {
    let folder = path.parent().unwrap_or(Path::new("."));
    file::make_folder(folder)?;
    match file::create_private(path).and_then(|file| file::keep_owner(&file, folder).map(|()| file))
    {
        Ok(file) => return Ok(file),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
        Err(e) => return Err(file::io_error(path, "lock", &e)),
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    options.custom_flags(libc::O_NOFOLLOW);
    options.open(path).map_err(|e| {
        if file::is_symlink_error(&e) {
            file::symlink(path)
        } else {
            file::io_error(path, "lock", &e)
        }
    })
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
