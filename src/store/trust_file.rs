//! trust.json: which files of other tools this person allowed keyfob to read.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::store::{AccountLock, Store, file, wait_for_lock};
use crate::time::Timestamp;

const VERSION: u32 = 1;

/// One yes, good for one path and one owner.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Consent {
    /// Canonical but for the last part, which is no symlink.
    pub path: String,
    /// The id in the table of sources.
    pub source: String,
    /// The user id that owned the file then; 0 where the system has none.
    pub owner: u32,
    pub since: Timestamp,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Trust {
    version: u32,
    #[serde(default)]
    trusted: Vec<Consent>,
    /// Fields that this version does not know; they survive a rewrite.
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

impl Trust {
    pub fn nobody() -> Trust {
        Trust { version: VERSION, trusted: Vec::new(), unknown: Map::new() }
    }

    /// Err says in words what is wrong.
    pub fn parse(bytes: &[u8]) -> std::result::Result<Trust, String> {
        let trust: Trust = serde_json::from_slice(bytes)
            .map_err(|e| format!("it is damaged (line {}, column {})", e.line(), e.column()))?;
        if trust.version > VERSION {
            return Err(format!("it was written by a newer keyfob (version {})", trust.version));
        }
        Ok(trust)
    }

    pub fn render(&self) -> std::result::Result<Vec<u8>, serde_json::Error> {
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    pub fn all(&self) -> &[Consent] {
        &self.trusted
    }

    /// The yes to this path, whoever owns it now.
    pub fn of(&self, path: &str) -> Option<&Consent> {
        self.trusted.iter().find(|consent| consent.path == path)
    }

    /// A new yes takes the place of an older one to the same path.
    pub fn add(&mut self, consent: Consent) {
        self.remove(&consent.path);
        self.trusted.push(consent);
    }

    /// False: there was none.
    pub fn remove(&mut self, path: &str) -> bool {
        let before = self.trusted.len();
        self.trusted.retain(|consent| consent.path != path);
        self.trusted.len() < before
    }
}

impl Store {
    pub fn trust_path(&self) -> PathBuf {
        self.home.join("trust.json")
    }

    /// Which files of other tools may be read; a missing file is a no to all.
    pub fn trust(&self) -> Result<Trust> {
        let path = self.trust_path();
        let Some(bytes) = file::read(&path)? else { return Ok(Trust::nobody()) };
        Trust::parse(&bytes)
            .map_err(|why| Error::store(&path, "use", why).or_try("keyfob source forget --all"))
    }

    /// Reads, changes and writes the consents under a lock.
    pub fn change_trust(&self, change: impl FnOnce(&mut Trust)) -> Result<()> {
        let _lock = self.lock_trust()?;
        let mut trust = self.trust()?;
        change(&mut trust);
        self.write_trust(&trust)
    }

    /// Takes every consent back, whatever the file holds.
    pub fn trust_nobody(&self) -> Result<()> {
        let _lock = self.lock_trust()?;
        self.write_trust(&Trust::nobody())
    }

    fn lock_trust(&self) -> Result<AccountLock> {
        wait_for_lock(&self.trust_path().with_extension("lock"), Duration::from_secs(10))
    }

    fn write_trust(&self, trust: &Trust) -> Result<()> {
        let path = self.trust_path();
        file::write(&path, &trust.render().map_err(|e| Error::store(&path, "write", e))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_yes_is_for_one_path() {
        let yes = |path: &str, owner| Consent {
            path: path.to_owned(),
            source: "s".to_owned(),
            owner,
            since: Timestamp(1),
        };
        let mut trust = Trust::parse(br#"{"version":1,"trusted":[],"mine":2}"#).unwrap();
        trust.add(yes("/a", 1));
        trust.add(yes("/b", 1));
        trust.add(yes("/a", 2));
        assert_eq!((trust.all().len(), trust.of("/a").unwrap().owner), (2, 2));
        assert!(trust.of("/A").is_none() && trust.of("/a/b").is_none());
        let again = Trust::parse(&trust.render().unwrap()).unwrap();
        assert_eq!((again.all(), &again.unknown["mine"]), (trust.all(), &Value::from(2)));
        assert!(trust.remove("/a") && !trust.remove("/a"));
    }

    #[test]
    fn what_is_damaged_trusts_nobody() {
        for bytes in ["", "{", "[]", r#"{"version":2,"trusted":[]}"#, r#"{"trusted":[]}"#] {
            assert!(Trust::parse(bytes.as_bytes()).is_err(), "{bytes}");
        }
    }
}
