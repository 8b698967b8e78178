//! Removing what is stale: expired logins, and temp files of processes that died.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::store::{Store, file, file_names, lock, pending_file};
use crate::time::Timestamp;

/// A temp file without a lock to tell its owner is swept after this age.
const TEMP_AGE: Duration = Duration::from_secs(600);

impl Store {
    /// Errors are of no interest: the next login sweeps again.
    pub fn sweep(&self, now: Timestamp) {
        let folder = self.home.join("pending");
        for name in file_names(&folder).unwrap_or_default() {
            let path = folder.join(&name);
            let Ok(Some(bytes)) = file::read(&path) else { continue };
            let login = pending_file::parse(&bytes).filter(|_| !name.contains(file::TEMP_MARK));
            if login.map_or_else(|| is_old(&path), |login| login.expires_at <= now) {
                let _ = fs::remove_file(&path);
            }
        }
        let accounts = self.home.join("accounts");
        sweep_folder(&self.home);
        sweep_folder(&self.home.join("serve"));
        for provider in file_names(&accounts).unwrap_or_default() {
            sweep_folder(&accounts.join(provider));
        }
    }
}

/// A temp file is nobody's once the lock beside its data is free, or when it is old.
fn sweep_folder(folder: &Path) {
    for name in file_names(folder).unwrap_or_default() {
        let Some((data_name, _)) = name.split_once(file::TEMP_MARK) else { continue };
        let lock = folder.join(data_name).with_extension("lock");
        let owner_died =
            !lock::is_off() && lock.exists() && matches!(lock::try_lock(&lock), Ok(Some(_)));
        let path = folder.join(&name);
        if owner_died || is_old(&path) {
            let _ = fs::remove_file(&path);
        }
    }
}

pub fn is_old(path: &Path) -> bool {
    let modified = fs::symlink_metadata(path).and_then(|metadata| metadata.modified());
    modified.is_ok_and(|at| SystemTime::now().duration_since(at).is_ok_and(|age| age > TEMP_AGE))
}
