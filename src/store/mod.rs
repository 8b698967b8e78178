//! The only door to `$KEYFOB_HOME` (CLI.md section 2): where things are, and what is done to them.
//! Nothing is cached; every write is a whole file, 0600 from creation, and on disk when it returns.
//! Missing, unreadable and damaged are three different answers, and never one.

mod account_file;
mod audit;
pub mod config_file;
mod file;
pub mod foreign;
mod gateway_file;
mod inspect;
mod lock;
mod log_file;
mod models_file;
mod mount;
mod pending_file;
mod server_file;
mod sweep;
mod trust_file;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::account::{Account, AccountId};
use crate::error::{Error, Result};
use crate::text;
use crate::time::Timestamp;

pub use audit::Event;
pub use config_file::Config;
pub use file::Reservation;
pub use gateway_file::{ClientKey, CoolDown};
pub use inspect::{Home, Trouble};
pub use lock::AccountLock;
pub use log_file::Log;
pub use models_file::Remembered;
pub use pending_file::Claimed;
pub use server_file::{Registration, Server};
pub use trust_file::{Consent, Trust};

/// Room for the largest answer of tokens that makes sense, reserved before they are asked for.
const ACCOUNT_SPACE_BYTES: usize = 64 * 1024;
const LOCK_POLL: Duration = Duration::from_millis(50);
const CONFIG_LOCK_LIMIT: Duration = Duration::from_secs(10);

pub struct Store {
    home: PathBuf,
    is_in_memory: bool,
    /// In place of those of the file.
    config: Option<Arc<Config>>,
}

/// What lies where an account should be.
pub enum Found {
    Account(Box<Account>),
    /// There are bytes, and they are no account; the text says why.
    Damaged(String),
    Missing,
}

impl Store {
    /// `$KEYFOB_HOME`, else `$XDG_CONFIG_HOME/keyfob`, else the platform's config folder. Touches
    /// no file.
    pub fn open() -> Result<Store> {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let home = match (set("KEYFOB_HOME"), set("XDG_CONFIG_HOME")) {
            (Some(home), _) => PathBuf::from(home),
            (None, Some(config)) => PathBuf::from(config).join("keyfob"),
            (None, None) => dirs::config_dir()
                .ok_or_else(|| Error::usage("no home folder is known: set KEYFOB_HOME"))?
                .join("keyfob"),
        };
        let home = std::path::absolute(&home).map_err(|e| file::io_error(&home, "find", &e))?;
        Ok(Store { home, is_in_memory: false, config: None })
    }

    /// A home of this process alone, in memory: where the system keeps files that no disk ever sees.
    /// It is gone with `discard`, and with the machine's next start at the latest.
    pub fn in_memory() -> Result<Store> {
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").filter(|value| !value.is_empty());
        let places = runtime.map(PathBuf::from).into_iter().chain([PathBuf::from("/dev/shm")]);
        let place = places.into_iter().find(|place| place.is_dir()).ok_or_else(|| {
            Error::failed("this system has no folder in memory (XDG_RUNTIME_DIR, /dev/shm)")
        })?;
        let home = file::temp_name(&place.join("keyfob"))?;
        file::make_folder(&home)?;
        Ok(Store { home, is_in_memory: true, config: None })
    }

    /// The same home, for another owner.
    pub fn again(&self) -> Store {
        let (home, config) = (self.home.clone(), self.config.clone());
        Store { home, is_in_memory: self.is_in_memory, config }
    }

    /// The same home with the settings as they were read once, for whoever goes on with them whatever
    /// becomes of the file.
    pub fn with_config(&self, config: Config) -> Store {
        Store { config: Some(Arc::new(config)), ..self.again() }
    }

    /// Deletes a home in memory, with all that is in it; any other stays.
    pub fn discard(&self) {
        if self.is_in_memory {
            // What cannot be deleted is gone at the next start.
            let _ = fs::remove_dir_all(&self.home);
        }
    }

    // ---- accounts

    pub fn account_path(&self, id: &AccountId) -> PathBuf {
        self.account_folder(&id.provider).join(format!("{}.json", text::file_name(&id.account)))
    }

    fn account_folder(&self, provider: &str) -> PathBuf {
        self.home.join("accounts").join(provider)
    }

    fn lock_path(&self, id: &AccountId) -> PathBuf {
        self.account_path(id).with_extension("lock")
    }

    /// The names under one provider, sorted; empty when there are none.
    pub fn accounts(&self, provider: &str) -> Result<Vec<AccountId>> {
        let names = file_names(&self.account_folder(provider))?;
        let mut accounts: Vec<_> = names
            .iter()
            .filter_map(|name| text::from_file_name(name.strip_suffix(".json")?))
            .map(|account| AccountId { provider: provider.to_owned(), account })
            .collect();
        accounts.sort();
        Ok(accounts)
    }

    /// Of several accounts at one provider the one chosen with `use`, else the one that signed in first.
    pub fn default_of(&self, accounts: &[AccountId]) -> Result<AccountId> {
        let provider = &accounts[0].provider;
        let config = self.config()?;
        let chosen = config.get("defaults", provider);
        if let Some(chosen) = accounts.iter().find(|id| Some(id.account.as_str()) == chosen) {
            return Ok(chosen.clone());
        }
        let age = |id: &&AccountId| match self.read_account(id) {
            // Two keys may be stored within one second; the unnamed one counts as the first.
            Ok(Some(found)) => (found.created_at.0, id.account != "default", id.account.clone()),
            Ok(None) | Err(_) => (i64::MAX, true, id.account.clone()),
        };
        Ok(accounts.iter().min_by_key(age).unwrap_or(&accounts[0]).clone())
    }

    /// Every account of every provider, sorted.
    pub fn all_accounts(&self) -> Result<Vec<AccountId>> {
        let mut providers = file_names(&self.home.join("accounts"))?;
        providers.sort();
        let mut all = Vec::new();
        for provider in providers.iter().filter(|name| crate::account::is_provider_name(name)) {
            all.extend(self.accounts(provider)?);
        }
        Ok(all)
    }

    /// What lies at the account's place. Err: it cannot be read (mode, owner, symlink, I/O).
    pub fn find_account(&self, id: &AccountId) -> Result<Found> {
        let Some(bytes) = file::read(&self.account_path(id))? else { return Ok(Found::Missing) };
        Ok(match account_file::parse(id, &bytes) {
            Ok(account) => Found::Account(Box::new(account)),
            Err(why) => Found::Damaged(why),
        })
    }

    /// The account, or None; a damaged file is an error that names it.
    pub fn read_account(&self, id: &AccountId) -> Result<Option<Account>> {
        match self.find_account(id)? {
            Found::Account(account) => Ok(Some(*account)),
            Found::Missing => Ok(None),
            Found::Damaged(why) => {
                let path = self.account_path(id);
                Err(Error::store(&path, "use", format!("{why}; the file is left as it is"))
                    .or_try(id.login_command()))
            }
        }
    }

    /// Whether the account's file can be replaced and removed: found before anything is spent or
    /// revoked.
    pub fn check_replaceable(&self, id: &AccountId) -> Result<()> {
        file::check_mount(&self.account_path(id))
    }

    /// Space for the account's next content, taken before the request that spends its token.
    pub fn reserve_account(&self, id: &AccountId) -> Result<Reservation> {
        Reservation::new(&self.account_path(id), ACCOUNT_SPACE_BYTES)
    }

    /// Writes into reserved space. The caller holds the account's lock.
    pub fn write_account(&self, account: &Account, mut space: Reservation) -> Result<PathBuf> {
        let path = self.account_path(&account.id);
        let bytes = account_file::render(account).map_err(|e| Error::store(&path, "write", e))?;
        space.rename_to(&path);
        space.write(&bytes)?;
        Ok(path)
    }

    /// The account as a text that another machine's store reads.
    pub fn export(&self, account: &Account) -> Result<String> {
        let path = self.account_path(&account.id);
        let bytes = account_file::render(account).map_err(|e| Error::store(&path, "write", e))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The account in such a text.
    pub fn parse_export(&self, bytes: &[u8]) -> Result<Account> {
        account_file::parse_export(bytes)
            .map_err(|why| Error::usage(format!("this is no exported account: {why}")))
    }

    /// Renames a damaged account file so that a login can take its place; returns the new name.
    pub fn set_aside(&self, id: &AccountId, now: Timestamp) -> Result<PathBuf> {
        let path = self.account_path(id);
        let names = (1..).map(|n| path.with_extension(format!("json.damaged-{}-{n}", now.0)));
        let aside = free_name(names, &path, "set aside")?;
        fs::rename(&path, &aside).map_err(|e| file::io_error(&path, "set aside", &e))?;
        Ok(aside)
    }

    /// Deletes the account's file, and what was remembered for it; false when there was none.
    pub fn remove_account(&self, id: &AccountId) -> Result<bool> {
        let is_removed = remove(&self.account_path(id))?;
        self.forget_models(id);
        Ok(is_removed)
    }

    /// The account's lock if it is free now.
    pub fn try_lock(&self, id: &AccountId) -> Result<Option<AccountLock>> {
        lock::try_lock(&self.lock_path(id))
    }

    /// The account's lock, waited for.
    pub fn lock_account(&self, id: &AccountId, limit: Duration) -> Result<AccountLock> {
        wait_for_lock(&self.lock_path(id), limit)
    }

    /// The error for a lock that was not had in time; it names the holder where known.
    pub fn lock_timeout(&self, id: &AccountId, limit: Duration) -> Error {
        lock_timeout(&self.lock_path(id), limit)
    }

    // ---- settings

    pub fn config_path(&self) -> PathBuf {
        self.home.join("config.json")
    }

    /// The settings; a missing file is an empty one.
    pub fn config(&self) -> Result<Config> {
        if let Some(config) = &self.config {
            return Ok(Config::clone(config));
        }
        self.config_file()
    }

    fn config_file(&self) -> Result<Config> {
        let path = self.config_path();
        let Some(bytes) = file::read(&path)? else { return Ok(Config::default()) };
        Config::parse(&bytes).map_err(|why| Error::store(&path, "use", why))
    }

    /// Reads, changes and writes the settings under a lock, so that two commands lose nothing.
    pub fn change_config(&self, change: impl FnOnce(&mut Config)) -> Result<()> {
        self.edit_config(|config| {
            change(config);
            Ok(true)
        })
    }

    /// The same for a change that may be refused, or turn out to be none: nothing is written unless
    /// `edit` says that something changed.
    pub fn edit_config(&self, edit: impl FnOnce(&mut Config) -> Result<bool>) -> Result<()> {
        let path = self.config_path();
        let _lock = wait_for_lock(&path.with_extension("lock"), CONFIG_LOCK_LIMIT)?;
        let mut config = self.config_file()?;
        if !edit(&mut config)? {
            return Ok(());
        }
        let bytes = config.render().map_err(|e| Error::store(&path, "write", e))?;
        file::write(&path, &bytes)
    }

    /// Empties the settings, readable or not. The old bytes are kept in the file it returns; None:
    /// there were no settings.
    pub fn reset_config(&self, now: Timestamp) -> Result<Option<PathBuf>> {
        let path = self.config_path();
        if file::read(&path)?.is_none() {
            return Ok(None);
        }
        let _lock = wait_for_lock(&path.with_extension("lock"), CONFIG_LOCK_LIMIT)?;
        let Some(bytes) = file::read(&path)? else { return Ok(None) };
        if Config::parse(&bytes).is_ok_and(|config| config.is_empty()) {
            return Ok(None);
        }
        let first = path.with_extension(format!("json.backup-{}", now.0));
        let more = (2..).map(|n| path.with_extension(format!("json.backup-{}-{n}", now.0)));
        let backup = free_name(std::iter::once(first).chain(more), &path, "back up")?;
        file::write(&backup, &bytes)?;
        file::write(&path, b"{}\n")?;
        Ok(Some(backup))
    }
}

fn wait_for_lock(path: &Path, limit: Duration) -> Result<AccountLock> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(lock) = lock::try_lock(path)? {
            return Ok(lock);
        }
        if Instant::now() >= deadline {
            return Err(lock_timeout(path, limit));
        }
        std::thread::sleep(LOCK_POLL);
    }
}

fn lock_timeout(path: &Path, limit: Duration) -> Error {
    let holder = match lock::holder(path) {
        Some(pid) => format!("process {pid} holds it"),
        None => "another process holds it".to_owned(),
    };
    Error::store(path, "lock", format!("{holder} since more than {} s", limit.as_secs()))
}

/// The first name that nothing has.
fn free_name(
    names: impl Iterator<Item = PathBuf>,
    path: &Path,
    doing: &'static str,
) -> Result<PathBuf> {
    let free = names.take(1_000).find(|name| fs::symlink_metadata(name).is_err());
    free.ok_or_else(|| Error::store(path, doing, "no name is free"))
}

fn remove(path: &Path) -> Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => {
            file::sync_folder(path).map(|()| true).map_err(|e| file::io_error(path, "remove", &e))
        }
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
        Err(e) => Err(file::io_error(path, "remove", &e)),
    }
}

/// The names in a folder; a missing folder is an empty one.
fn file_names(folder: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(file::io_error(folder, "read", &e)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| file::io_error(folder, "read", &e))?;
        names.extend(entry.file_name().into_string().ok());
    }
    Ok(names)
}
