//! What `serve` keeps beside the accounts: `serve/keys.json`, its clients' keys as hashes, and
//! `serve/cooldowns.json`, which account is not to be asked before when. And whether anything that it
//! works with has changed on the disk.

use std::collections::hash_map::DefaultHasher;
use std::fs::{self, Metadata};
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::account::AccountId;
use crate::error::{Error, Result};
use crate::store::{Store, file, file_names, wait_for_lock};
use crate::time::Timestamp;

const LOCK_LIMIT: Duration = Duration::from_secs(10);

/// A key that a client of the gateway has. The key itself is known to the client alone.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ClientKey {
    pub name: String,
    /// SHA-256 in hexadecimal: a key is 256 random bits, which nobody finds by trying.
    pub sha256: String,
    /// PROVIDER or PROVIDER/ACCOUNT that it is good for; none: all.
    #[serde(default)]
    pub providers: Vec<String>,
    pub created_at: Timestamp,
}

impl ClientKey {
    pub fn is_good_for(&self, id: &AccountId) -> bool {
        let is_named = |named: &String| match named.split_once('/') {
            Some((provider, account)) => provider == id.provider && account == id.account,
            None => *named == id.provider,
        };
        self.providers.is_empty() || self.providers.iter().any(is_named)
    }
}

/// An account that is not to be asked for a while.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct CoolDown {
    pub provider: String,
    pub account: String,
    /// None: for every model.
    pub model: Option<String>,
    /// Of several projects of the account this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Milliseconds since 1970.
    pub until_ms: i64,
    /// How often in a row, where the provider does not say how long.
    #[serde(default)]
    pub level: u32,
    /// Its credential was not accepted, so that another one ends it.
    #[serde(default)]
    pub is_turned_away: bool,
    pub reason: String,
}

#[derive(Default, Deserialize, Serialize)]
struct Keys {
    version: u8,
    keys: Vec<ClientKey>,
}

#[derive(Deserialize, Serialize)]
struct CoolDowns {
    version: u8,
    cooldowns: Vec<CoolDown>,
}

impl Store {
    fn keys_path(&self) -> PathBuf {
        self.home.join("serve").join("keys.json")
    }

    fn cool_downs_path(&self) -> PathBuf {
        self.home.join("serve").join("cooldowns.json")
    }

    /// The keys of the gateway's clients; a missing file is none.
    pub fn client_keys(&self) -> Result<Vec<ClientKey>> {
        let path = self.keys_path();
        let Some(bytes) = file::read(&path)? else { return Ok(Vec::new()) };
        let parsed = serde_json::from_slice::<Keys>(&bytes);
        // Nobody is let in by a file that cannot be read.
        parsed.map(|found| found.keys).map_err(|_| {
            Error::store(&path, "use", "it is damaged").or_try(format!("rm {}", path.display()))
        })
    }

    /// Reads, changes and writes the keys under a lock.
    pub fn change_client_keys<T>(
        &self,
        change: impl FnOnce(&mut Vec<ClientKey>) -> Result<T>,
    ) -> Result<T> {
        let path = self.keys_path();
        let _lock = wait_for_lock(&path.with_extension("lock"), LOCK_LIMIT)?;
        let mut keys = self.client_keys()?;
        let outcome = change(&mut keys)?;
        let bytes = serde_json::to_vec(&Keys { version: 1, keys });
        file::write(&path, &bytes.map_err(|e| Error::store(&path, "write", e))?)?;
        Ok(outcome)
    }

    /// What is remembered of cool-downs, those that are over included. Nothing is lost with it: what
    /// cannot be read is as if it were not there.
    pub fn cool_downs(&self) -> Vec<CoolDown> {
        let bytes = file::read(&self.cool_downs_path()).ok().flatten().unwrap_or_default();
        serde_json::from_slice::<CoolDowns>(&bytes).map_or(Vec::new(), |found| found.cooldowns)
    }

    pub fn keep_cool_downs(&self, cooldowns: Vec<CoolDown>) -> Result<()> {
        let path = self.cool_downs_path();
        let bytes = serde_json::to_vec(&CoolDowns { version: 1, cooldowns });
        file::write(&path, &bytes.map_err(|e| Error::store(&path, "write", e))?)
    }

    /// A number that is another one when a file that the gateway works with was added, changed or
    /// removed: settings, accounts, servers, keys.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for path in [self.config_path(), self.keys_path()] {
            look(&path, &mut hasher);
        }
        let accounts = self.home.join("accounts");
        for provider in file_names(&accounts).unwrap_or_default() {
            let folder = accounts.join(provider);
            let mut names = file_names(&folder).unwrap_or_default();
            names.retain(|name| name.ends_with(".json"));
            names.sort();
            names.iter().for_each(|name| look(&folder.join(name), &mut hasher));
        }
        hasher.finish()
    }
}

fn look(path: &Path, hasher: &mut DefaultHasher) {
    let Ok(metadata) = fs::symlink_metadata(path) else { return };
    path.hash(hasher);
    metadata.len().hash(hasher);
    let changed = metadata.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    changed.hash(hasher);
    inode(&metadata).hash(hasher);
}

/// A file that was put in the place of another one has another number.
#[cfg(unix)]
fn inode(metadata: &Metadata) -> (u64, u32) {
    use std::os::unix::fs::MetadataExt;
    (metadata.ino(), metadata.mode())
}

#[cfg(not(unix))]
fn inode(_: &Metadata) -> (u64, u32) {
    (0, 0)
}
