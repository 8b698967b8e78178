//! A home of its own for one test, and what lies in it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::command::Cmd;
use super::idp::Grant;
use super::idp::encoding::{civil, now_s};

/// A folder that goes when the sandbox does: `home` is HOME, `home/keyfob` is KEYFOB_HOME. The
/// latter does not exist until the product or one of the functions below makes it.
pub struct Sandbox {
    root: PathBuf,
}

impl Sandbox {
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("keyfob-e2e-{}-{number}", std::process::id());
        let root = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&root);
        make_private_dir(&root);
        make_private_dir(&root.join("home"));
        make_private_dir(&root.join("work"));
        Sandbox { root }
    }

    /// KEYFOB_HOME.
    pub fn home(&self) -> PathBuf {
        self.user_home().join("keyfob")
    }

    /// HOME.
    pub fn user_home(&self) -> PathBuf {
        self.root.join("home")
    }

    /// The folder commands run in; empty to begin with.
    pub fn work(&self) -> PathBuf {
        self.root.join("work")
    }

    /// The product with these arguments, in a cleared environment.
    pub fn cmd(&self, arguments: &[&str]) -> Cmd {
        Cmd::new(self.home(), self.user_home(), self.work(), arguments)
    }

    pub fn write_config(&self, config: &Value) {
        make_private_dir(&self.home());
        write_private(&self.home().join("config.json"), &config.to_string());
    }

    pub fn read_config(&self) -> Value {
        self.read_json(&self.home().join("config.json"))
    }

    /// Names keep letters, digits and `@+_-.`; every other byte and a leading dot become `%XX`.
    pub fn account_file(&self, provider: &str, account: &str) -> PathBuf {
        let folder = self.home().join("accounts").join(encoded(provider));
        folder.join(format!("{}.json", encoded(account)))
    }

    pub fn write_account(&self, provider: &str, account: &str, value: &Value) -> PathBuf {
        let file = self.account_file(provider, account);
        make_private_dir(&self.home());
        make_private_dir(&self.home().join("accounts"));
        make_private_dir(file.parent().expect("an account file lies in a folder"));
        write_private(&file, &value.to_string());
        file
    }

    pub fn read_account(&self, provider: &str, account: &str) -> Value {
        self.read_json(&self.account_file(provider, account))
    }

    /// A signed-in account, its access token good for so many seconds (negative: expired).
    pub fn write_oauth(&self, provider: &str, account: &str, grant: &Grant, ttl_s: i64) -> PathBuf {
        self.write_account(provider, account, &oauth_account(provider, account, grant, ttl_s))
    }

    #[track_caller]
    pub fn read_json(&self, path: &Path) -> Value {
        let text = self.read(path);
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}\n{text}", path.display()))
    }

    #[track_caller]
    pub fn read(&self, path: &Path) -> String {
        fs::read_to_string(path)
            .unwrap_or_else(|e| panic!("{}: {e}\n{}", path.display(), listing(&self.root)))
    }

    /// Permission bits: 0o600.
    #[track_caller]
    pub fn mode(&self, path: &Path) -> u32 {
        let meta = fs::symlink_metadata(path);
        let meta = meta.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        meta.permissions().mode() & 0o7777
    }

    /// Every file and folder below HOME, with mode and size.
    pub fn listing(&self) -> String {
        listing(&self.user_home())
    }

    /// The regular files below a folder; empty when there is no such folder.
    pub fn files(&self, folder: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        walk(folder, &mut |path| {
            if path.is_file() {
                found.push(path.to_path_buf());
            }
        });
        found
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // A test may have taken its own permissions away.
        walk(&self.root, &mut |path| {
            if path.is_dir() && !path.is_symlink() {
                let _ = fs::set_permissions(path, fs::Permissions::from_mode(0o700));
            }
        });
        let _ = fs::remove_dir_all(&self.root);
    }
}

/// The account file of a signed-in person, to be changed before it is written.
pub fn oauth_account(provider: &str, account: &str, grant: &Grant, ttl_s: i64) -> Value {
    json!({
        "version": 1,
        "provider": provider,
        "account": account,
        "kind": "oauth",
        "access_token": grant.access_token,
        "refresh_token": grant.refresh_token,
        "token_type": "Bearer",
        "expires_at": in_seconds(ttl_s),
        "scopes": [],
        "identity": {"email": account, "subject": "user-1"},
        "created_at": in_seconds(-86_400),
        "refreshed_at": in_seconds(ttl_s - 3600),
    })
}

/// RFC 3339 UTC, so many seconds from now.
pub fn in_seconds(seconds: i64) -> String {
    let at = now_s().saturating_add_signed(seconds);
    let (year, month, day) = civil(at / 86_400);
    let (hour, minute, second) = (at / 3600 % 24, at / 60 % 60, at % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Creates the folder if it is missing; 0700 either way.
pub fn make_private_dir(path: &Path) {
    fs::create_dir_all(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    set_mode(path, 0o700);
}

pub fn write_private(path: &Path, text: &str) {
    fs::write(path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    set_mode(path, 0o600);
}

pub fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}

pub fn listing(root: &Path) -> String {
    let mut lines = Vec::new();
    walk(root, &mut |path| {
        let Ok(meta) = fs::symlink_metadata(path) else { return };
        let kind = if meta.is_dir() { "/" } else { "" };
        let mode = meta.permissions().mode() & 0o7777;
        let name = path.strip_prefix(root).unwrap_or(path).display();
        lines.push(format!("  {mode:04o} {:>7} {name}{kind}", meta.len()));
    });
    lines.join("\n")
}

fn walk(path: &Path, visit: &mut dyn FnMut(&Path)) {
    visit(path);
    if path.is_symlink() {
        return;
    }
    let Ok(entries) = fs::read_dir(path) else { return };
    let mut children: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    children.sort();
    for child in children {
        walk(&child, visit);
    }
}

fn encoded(name: &str) -> String {
    let mut out = String::new();
    for (at, byte) in name.bytes().enumerate() {
        let is_plain = byte.is_ascii_alphanumeric() || b"_-@+".contains(&byte);
        if is_plain || (byte == b'.' && at > 0) {
            out.push(byte as char);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
