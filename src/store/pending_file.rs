//! Logins under way: their shape on disk, private to the store, and who may finish one.
//!
//! A login is claimed by a rename under a lock on its file, so that one process alone spends the code.
//! The lock dies with its holder: a claim of a dead process belongs to nobody, and can be taken over.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

#[cfg(unix)]
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::account::AccountRef;
use crate::error::{Error, Result};
use crate::pending::{Begun, PendingLogin};
use crate::secret::Secret;
use crate::store::lock::{self, AccountLock};
use crate::store::{Store, file, file_names, remove};
use crate::time::Timestamp;

#[derive(Deserialize, Serialize)]
struct Disk {
    version: u32,
    login_id: String,
    account: AccountRef,
    /// Through a value, so that the row's large reader is compiled once, not once more for files.
    row: Value,
    client_secret: Option<String>,
    auth_url: String,
    #[serde(flatten)]
    begun: DiskBegun,
    expect: Option<String>,
    replace: bool,
    verify: bool,
    #[serde(default)]
    is_open: bool,
    started_at: Timestamp,
    expires_at: Timestamp,
}

#[derive(Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum DiskBegun {
    Browser {
        state: String,
        verifier: String,
        redirect_uri: String,
    },
    Cookie {
        redirect_uri: String,
        #[serde(default)]
        project: Option<String>,
    },
    Device {
        device_code: String,
        user_code: String,
        verifier: Option<String>,
        interval_s: u64,
        due_ms: i64,
        approved: Option<(String, String)>,
    },
}

/// None when the bytes are no pending login of this version.
pub fn parse(bytes: &[u8]) -> Option<PendingLogin> {
    let disk: Disk = serde_json::from_slice(bytes).ok()?;
    let provider = serde_json::from_value(disk.row).ok()?;
    (disk.version == 1).then(|| PendingLogin {
        login_id: disk.login_id,
        account: disk.account,
        provider,
        client_secret: disk.client_secret.map(Secret::new),
        auth_url: disk.auth_url,
        begun: match disk.begun {
            DiskBegun::Browser { state, verifier, redirect_uri } => Begun::Browser {
                state: Secret::new(state),
                verifier: Secret::new(verifier),
                redirect_uri,
            },
            DiskBegun::Cookie { redirect_uri, project } => Begun::Cookie { redirect_uri, project },
            DiskBegun::Device {
                device_code,
                user_code,
                verifier,
                interval_s,
                due_ms,
                approved,
            } => Begun::Device {
                device_code: Secret::new(device_code),
                user_code,
                verifier: verifier.map(Secret::new),
                interval_s,
                due_ms,
                approved: approved.map(|(code, key)| (Secret::new(code), Secret::new(key))),
            },
        },
        expect: disk.expect,
        replace: disk.replace,
        verify: disk.verify,
        is_open: disk.is_open,
        started_at: disk.started_at,
        expires_at: disk.expires_at,
    })
}

fn render(pending: &PendingLogin) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(&Disk {
        version: 1,
        login_id: pending.login_id.clone(),
        account: pending.account.clone(),
        row: serde_json::to_value(&pending.provider)?,
        client_secret: pending.client_secret.as_ref().map(|secret| secret.expose().to_owned()),
        auth_url: pending.auth_url.clone(),
        begun: match pending.begun.clone() {
            Begun::Browser { state, verifier, redirect_uri } => DiskBegun::Browser {
                state: state.expose().to_owned(),
                verifier: verifier.expose().to_owned(),
                redirect_uri,
            },
            Begun::Cookie { redirect_uri, project } => DiskBegun::Cookie { redirect_uri, project },
            Begun::Device { device_code, user_code, verifier, interval_s, due_ms, approved } => {
                DiskBegun::Device {
                    device_code: device_code.expose().to_owned(),
                    user_code,
                    verifier: verifier.map(|verifier| verifier.expose().to_owned()),
                    interval_s,
                    due_ms,
                    approved: approved.map(|(code, verifier)| {
                        (code.expose().to_owned(), verifier.expose().to_owned())
                    }),
                }
            }
        },
        expect: pending.expect.clone(),
        replace: pending.replace,
        verify: pending.verify,
        is_open: pending.is_open,
        started_at: pending.started_at,
        expires_at: pending.expires_at,
    })
}

/// A login taken out of circulation: until this is dropped nobody else can finish it.
pub struct Claimed {
    pub login: PendingLogin,
    path: PathBuf,
    _lock: AccountLock,
}

impl Store {
    fn pending_path(&self, login_id: &str) -> PathBuf {
        self.home.join("pending").join(format!("{login_id}.json"))
    }

    pub fn write_pending(&self, pending: &PendingLogin) -> Result<()> {
        let path = self.pending_path(&pending.login_id);
        let bytes = render(pending).map_err(|e| Error::store(&path, "write", e))?;
        file::write(&path, &bytes)
    }

    /// The login under way with this id, claimed or not, expired or not.
    pub fn find_pending(&self, login_id: &str) -> Result<Option<PendingLogin>> {
        if !is_login_id(login_id) {
            return Ok(None);
        }
        let path = self.pending_path(login_id);
        let claimed = claimed_path(&path);
        // A claim or release between two looks would hide it, hence more than two.
        for place in [&path, &claimed, &path, &claimed] {
            if let Some(bytes) = file::read(place)? {
                return Ok(parse(&bytes));
            }
        }
        Ok(None)
    }

    /// All logins under way that have not expired, oldest first.
    pub fn pending(&self, now: Timestamp) -> Result<Vec<PendingLogin>> {
        let folder = self.home.join("pending");
        // Twice, as a name that changes while the folder is read may be missed.
        let mut names = file_names(&folder)?;
        names.extend(file_names(&folder)?);
        let strip = |name: &String| {
            let id = name.strip_suffix(".json").or_else(|| name.strip_suffix(CLAIMED));
            id.map(str::to_owned)
        };
        let login_ids: BTreeSet<_> = names.iter().filter_map(strip).collect();
        let mut all = Vec::new();
        for login_id in login_ids {
            all.extend(self.find_pending(&login_id)?.filter(|login| login.expires_at > now));
        }
        all.sort_by_key(|login| login.started_at);
        Ok(all)
    }

    /// Takes the login out of circulation. None: another process has it, or it is gone.
    pub fn claim_pending(&self, login_id: &str) -> Result<Option<Claimed>> {
        let Some((path, lock)) = self.take(login_id)? else { return Ok(None) };
        let login = file::read(&path)?.and_then(|bytes| parse(&bytes));
        Ok(login.map(|login| Claimed { login, path, _lock: lock }))
    }

    /// The file, under its lock and claimed name, whatever it holds.
    fn take(&self, login_id: &str) -> Result<Option<(PathBuf, AccountLock)>> {
        if !is_login_id(login_id) {
            return Ok(None);
        }
        let path = self.pending_path(login_id);
        let claimed = claimed_path(&path);
        for place in [&path, &claimed] {
            let Some(lock) = lock_there(place)? else { continue };
            if place == &path {
                fs::rename(&path, &claimed).map_err(|e| file::io_error(&path, "claim", &e))?;
            }
            return Ok(Some((claimed.clone(), lock)));
        }
        Ok(None)
    }

    /// Whether the login still waits for somebody to finish it, or is being finished.
    pub fn is_under_way(&self, login_id: &str) -> bool {
        let path = self.pending_path(login_id);
        // A release may happen between two looks, hence the third.
        path.exists() || claimed_path(&path).exists() || path.exists()
    }

    /// Puts a claimed login back: its code may still be good.
    pub fn release(&self, claimed: Claimed) -> Result<()> {
        let path = self.pending_path(&claimed.login.login_id);
        fs::rename(&claimed.path, &path).map_err(|e| file::io_error(&path, "write", &e))
    }

    /// Puts a claimed login back as it is now. The name comes first: until the new content takes its
    /// place the lock still keeps others away.
    pub fn release_changed(&self, claimed: Claimed) -> Result<()> {
        let path = self.pending_path(&claimed.login.login_id);
        fs::rename(&claimed.path, &path).map_err(|e| file::io_error(&path, "write", &e))?;
        self.write_pending(&claimed.login)
    }

    /// The claimed login is over.
    pub fn drop_claimed(&self, claimed: Claimed) -> Result<()> {
        remove(&claimed.path).map(|_| ())
    }

    /// Removes a login under way, or what is left of one; false when there was none.
    pub fn cancel_pending(&self, login_id: &str) -> Result<bool> {
        match self.take(login_id)? {
            Some((path, _lock)) => remove(&path),
            None => Ok(false),
        }
    }
}

const CLAIMED: &str = ".claimed";

fn claimed_path(path: &Path) -> PathBuf {
    path.with_extension("claimed")
}

/// Ids come from the command line too, and become file names.
fn is_login_id(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The lock of the file at `path`. None: no file, a file in other hands, or one that its holder
/// moved away while we came.
fn lock_there(path: &Path) -> Result<Option<AccountLock>> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    options.custom_flags(libc::O_NOFOLLOW);
    let file = match options.open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) if file::is_symlink_error(&e) => return Err(file::symlink(path)),
        Err(e) => return Err(file::io_error(path, "claim", &e)),
    };
    let ours = identity(&file).map_err(|e| file::io_error(path, "claim", &e))?;
    let Some(lock) = lock::try_lock_file(file, path)? else { return Ok(None) };
    match File::open(path).and_then(|file| identity(&file)) {
        Ok(there) => Ok((there == ours).then_some(lock)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(file::io_error(path, "claim", &e)),
    }
}

#[cfg(unix)]
fn identity(file: &File) -> std::io::Result<(u64, u64)> {
    file.metadata().map(|metadata| (metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn identity(_: &File) -> std::io::Result<(u64, u64)> {
    Ok((0, 0))
}
