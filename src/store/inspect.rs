//! A look at the home that changes nothing but for files of its own, which are gone when it ends.

use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[cfg(unix)]
use std::os::unix::fs::MetadataExt;

use crate::account::AccountId;
use crate::error::{Error, Result};
use crate::store::{
    ACCOUNT_SPACE_BYTES, AccountLock, Reservation, Store, file, file_names, lock, pending_file,
    sweep, wait_for_lock,
};
use crate::text;
use crate::time::Timestamp;

/// What lies where the home should be.
pub enum Home {
    Folder,
    Missing,
    /// In words: `permission denied`, `it is not a folder`.
    Unusable(String),
}

/// Something in the home that is not as keyfob makes it. Modes are the permission bits.
#[derive(Debug, PartialEq, Eq)]
pub enum Trouble {
    FileMode(PathBuf, u32),
    FolderMode(PathBuf, u32),
    /// A temp file of a process that died.
    Leftover(PathBuf),
    /// It belongs to the user in the middle, the home to the last one.
    Owner(PathBuf, u32, u32),
    /// Neither a file nor a folder nor a symlink.
    Special(PathBuf),
    Symlink(PathBuf),
    Unreadable(PathBuf, String),
}

/// A sign-in that nobody will finish; the id, where it can be cancelled by it.
pub struct Stale {
    pub path: PathBuf,
    pub login_id: Option<String>,
}

/// Files of the home that are ours begin so; people may keep others beside them.
const OURS: [&str; 3] = ["audit", "config", "trust"];

impl Store {
    pub fn home(&self) -> &Path {
        &self.home
    }

    pub fn look_at_home(&self) -> Home {
        match fs::metadata(&self.home) {
            Ok(metadata) if metadata.is_dir() => Home::Folder,
            Ok(_) => Home::Unusable("it is not a folder".to_owned()),
            Err(e) if e.kind() == ErrorKind::NotFound => match self.home.is_symlink() {
                true => Home::Unusable("it is a symlink to nowhere".to_owned()),
                false => Home::Missing,
            },
            Err(e) => Home::Unusable(text::cause(&e)),
        }
    }

    /// The folders that hold files, the home first; those that cannot be read are left out.
    pub fn folders(&self) -> Vec<PathBuf> {
        let [accounts, cache] = ["accounts", "cache"].map(|name| self.home.join(name));
        let mut inner = Vec::new();
        for folder in [&accounts, &cache] {
            let names = file_names(folder).unwrap_or_default();
            inner.extend(names.iter().map(|name| folder.join(name)));
        }
        inner.sort();
        let [logs, pending, serve, servers] =
            ["logs", "pending", "serve", "servers"].map(|name| self.home.join(name));
        let others = [accounts, cache, logs, pending, serve, servers];
        let all = [self.home.clone()].into_iter().chain(others).chain(inner);
        all.filter(|folder| folder.is_dir()).collect()
    }

    /// Modes, owners, symlinks and leftovers of everything that is ours.
    pub fn troubles(&self) -> Vec<Trouble> {
        let mut troubles = Vec::new();
        let Ok(home) = fs::metadata(&self.home) else { return troubles };
        for folder in self.folders() {
            match fs::metadata(&folder) {
                Ok(seen) if mode(&seen) & 0o077 != 0 => {
                    troubles.push(Trouble::FolderMode(folder.clone(), mode(&seen)));
                }
                _ => {}
            }
            let mut names = match file_names(&folder) {
                Ok(names) => names,
                Err(Error::Store { cause, .. }) => {
                    troubles.push(Trouble::Unreadable(folder, cause));
                    continue;
                }
                Err(_) => continue,
            };
            names.sort();
            let is_home = folder == self.home;
            names.retain(|name| !is_home || OURS.iter().any(|ours| name.starts_with(ours)));
            for name in names {
                troubles.extend(trouble_of(folder.join(&name), &name, owner(&home)));
            }
        }
        troubles
    }

    /// Whether a file as large as any account can be written there, as a login or refresh does.
    pub fn try_to_write(&self, folder: &Path) -> Result<()> {
        Reservation::new(&folder.join("doctor"), ACCOUNT_SPACE_BYTES).map(drop)
    }

    /// Whether an error of writing is the lack of room.
    pub fn is_full(error: &Error) -> bool {
        #[cfg(unix)]
        let full = [libc::ENOSPC, libc::EDQUOT];
        #[cfg(not(unix))]
        let full = [112];
        let words = |code: &i32| text::cause(&std::io::Error::from_raw_os_error(*code));
        matches!(error, Error::Store { cause, .. } if full.iter().map(words).any(|w| *cause == w))
    }

    /// Whether a folder's mode keeps its own owner out.
    pub fn is_closed(folder: &Path) -> bool {
        fs::metadata(folder).is_ok_and(|seen| cfg!(unix) && mode(&seen) & 0o700 != 0o700)
    }

    /// Whether a lock file can be made and locked there.
    pub fn try_to_lock(&self, folder: &Path) -> Result<()> {
        let path = file::temp_name(&folder.join("doctor"))?;
        let locked = lock::try_lock(&path);
        // It may not have come into being.
        let _ = fs::remove_file(&path);
        locked.map(drop)
    }

    /// The account's lock, waited for; None where no lock file is there yet.
    pub fn lock_that_is_there(
        &self,
        id: &AccountId,
        limit: Duration,
    ) -> Option<Result<AccountLock>> {
        let path = self.lock_path(id);
        path.is_file().then(|| wait_for_lock(&path, limit))
    }

    /// Whether `KEYFOB_LOCK=off` is set.
    pub fn is_lock_off() -> bool {
        lock::is_off()
    }

    /// Sign-ins whose time is over, and files that are none.
    pub fn stale_pending(&self, now: Timestamp) -> Vec<Stale> {
        let folder = self.home.join("pending");
        let mut names = file_names(&folder).unwrap_or_default();
        names.retain(|name| !name.contains(file::TEMP_MARK));
        names.sort();
        let stale = |name: &String| {
            let path = folder.join(name);
            // What cannot be read is told of elsewhere.
            let bytes = file::read(&path).ok()??;
            match pending_file::parse(&bytes) {
                Some(login) if login.expires_at > now => None,
                login => Some(Stale { path, login_id: login.map(|login| login.login_id) }),
            }
        };
        names.iter().filter_map(stale).collect()
    }
}

/// `of_home` owns the home.
fn trouble_of(path: PathBuf, name: &str, of_home: u32) -> Option<Trouble> {
    // It may have gone since its name was read.
    let seen = fs::symlink_metadata(&path).ok()?;
    if seen.is_symlink() {
        return (!path.is_dir()).then_some(Trouble::Symlink(path));
    }
    if seen.is_file() && name.contains(file::TEMP_MARK) {
        return sweep::is_old(&path).then_some(Trouble::Leftover(path));
    }
    let owner = owner(&seen);
    if owner != of_home {
        return Some(Trouble::Owner(path, owner, of_home));
    }
    if seen.is_dir() {
        // Folders are looked at one by one.
        return None;
    }
    if !seen.is_file() {
        return Some(Trouble::Special(path));
    }
    (mode(&seen) & 0o077 != 0).then(|| Trouble::FileMode(path, mode(&seen)))
}

#[cfg(unix)]
fn mode(metadata: &Metadata) -> u32 {
    metadata.mode() & 0o7777
}

#[cfg(not(unix))]
fn mode(_: &Metadata) -> u32 {
    0
}

#[cfg(unix)]
fn owner(metadata: &Metadata) -> u32 {
    metadata.uid()
}

#[cfg(not(unix))]
fn owner(_: &Metadata) -> u32 {
    0
}
