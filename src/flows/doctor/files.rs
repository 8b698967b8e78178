//! The home: modes, owners, links, room, locks, and what others left behind.

use std::path::Path;
use std::time::Duration;

use crate::account::AccountId;
use crate::error::Error;
use crate::flows::doctor::{Facts, Finding};
use crate::source;
use crate::store::foreign::{self, Looked};
use crate::store::{Consent, Home, Store, Trouble};
use crate::text::shell_word;

/// A refresh holds the lock while it asks the provider; whoever holds it longer hangs.
const LOCK_LIMIT: Duration = Duration::from_secs(2);

/// Whether each consent to read another tool's file still fits what lies there. Nothing is withdrawn
/// here: the next command that would read the file does that.
pub fn trust(facts: &Facts) -> Vec<Finding> {
    let trust = match facts.store.trust() {
        Ok(trust) => trust,
        Err(error) => {
            let what = "the consents to read other tools' files cannot be read";
            let fix = "keyfob source forget --all";
            return vec![Finding::error("trust_unreadable", what, error.to_string(), fix)];
        }
    };
    let table = source::table().unwrap_or_default();
    let is_program = |consent: &Consent| {
        table.iter().any(|source| source.id == consent.source && !source.command.is_empty())
    };
    let changed = |consent: &Consent| {
        let path = Path::new(&consent.path);
        let looked = match is_program(consent) {
            true => foreign::look_at_program(path),
            false => foreign::look(path),
        };
        let cause = match looked {
            Looked::Missing => "it is not there any more".to_owned(),
            Looked::Refused(why, _) => why,
            Looked::Usable { owner } if owner != consent.owner => "its owner changed".to_owned(),
            Looked::Usable { .. } => return None,
        };
        let path = &consent.path;
        let what = format!("the consent to read {path} is worth nothing now");
        let fix = format!("keyfob source forget {}", shell_word(path));
        Some(Finding::warning("trust_changed", what, cause, fix))
    };
    trust.all().iter().filter_map(changed).collect()
}

/// Whether there is a home at all. None is as good as an empty one, and stays none.
pub fn home(found: &Home, store: &Store) -> Vec<Finding> {
    let path = store.home().display();
    match found {
        Home::Folder => Vec::new(),
        Home::Missing => {
            vec![Finding::ok("home", format!("{path} is not there yet: the first login makes it"))]
        }
        Home::Unusable(why) => vec![Finding::error(
            "home_unusable",
            format!("{path} cannot be used"),
            why,
            "export KEYFOB_HOME=FOLDER",
        )],
    }
}

pub fn check(facts: &Facts) -> Vec<Finding> {
    let store = facts.store;
    let troubles = store.troubles();
    let mut findings: Vec<_> = troubles.iter().map(|trouble| told(trouble, store)).collect();
    if findings.is_empty() {
        let what = format!("all in {} is yours alone", store.home().display());
        findings.push(Finding::ok("home", what));
    }
    findings.extend(room(&troubles, store));
    findings.extend(locks(&troubles, facts));
    findings.extend(trust(facts));
    findings.extend(pending(facts));
    findings
}

fn told(trouble: &Trouble, store: &Store) -> Finding {
    match trouble {
        Trouble::FileMode(path, mode) => file_mode(path, *mode),
        Trouble::FolderMode(path, mode) => folder_mode(path, *mode, path == store.home()),
        Trouble::Leftover(path) => Finding::warning(
            "temp_leftover",
            format!("{} is left over", path.display()),
            "a process died while it wrote; the next login sweeps it away",
            format!("rm {}", word(path)),
        ),
        Trouble::Owner(path, owner, of_home) => Finding::error(
            "file_owner",
            format!("{} belongs to another user than its home", path.display()),
            format!("its owner is uid {owner}, that of the home uid {of_home}"),
            format!("sudo chown {of_home} {}", word(path)),
        ),
        Trouble::Special(path) => Finding::error(
            "file_special",
            format!("{} is not used", path.display()),
            "it is not a regular file",
            format!("rm {}", word(path)),
        ),
        Trouble::Symlink(path) => Finding::error(
            "file_symlink",
            format!("{} is not used", path.display()),
            "it is a symlink, and keyfob follows none",
            format!("rm {}", word(path)),
        ),
        Trouble::Unreadable(path, why) => Finding::error(
            "folder_unreadable",
            format!("{} cannot be read", path.display()),
            why,
            format!("chmod 700 {}", word(path)),
        ),
    }
}

/// What holds a secret or a setting is refused; locks and logs are only looked after.
fn file_mode(path: &Path, mode: u32) -> Finding {
    let is_data = path.extension().is_some_and(|end| end == "json" || end == "claimed");
    let cause = format!("others may read or change it (mode {:03o})", mode & 0o777);
    let fix = format!("chmod 600 {}", word(path));
    let path = path.display();
    match is_data {
        true => Finding::error("file_mode", format!("{path} is not used"), cause, fix),
        false => Finding::warning("file_mode", format!("{path} is open to others"), cause, fix),
    }
}

/// A folder that others may write to is refused, unless it is sticky; one they may only look into
/// shows them the names of accounts.
fn folder_mode(path: &Path, mode: u32, is_home: bool) -> Finding {
    let code = if is_home { "home_mode" } else { "folder_mode" };
    let fix = format!("chmod 700 {}", word(path));
    let path = path.display();
    let shown = format!("(mode {:03o})", mode & 0o777);
    if is_refused(mode) {
        let what = format!("{path} is not used");
        Finding::error(code, what, format!("others may write to it {shown}"), fix)
    } else {
        let what = format!("{path} is open to others");
        Finding::warning(code, what, format!("they can see whose accounts are there {shown}"), fix)
    }
}

fn is_refused(mode: u32) -> bool {
    mode & 0o022 != 0 && mode & 0o1000 == 0
}

/// The folders into which keyfob would write: for the others the modes are told already.
fn usable<'a>(
    troubles: &'a [Trouble],
    store: &Store,
) -> impl Iterator<Item = std::path::PathBuf> + 'a {
    let is_bad = |path: &Path| {
        troubles.iter().any(|trouble| match trouble {
            Trouble::FolderMode(folder, mode) => folder == path && is_refused(*mode),
            Trouble::Unreadable(folder, _) => folder == path,
            _ => false,
        })
    };
    store.folders().into_iter().filter(move |folder| !is_bad(folder))
}

fn room(troubles: &[Trouble], store: &Store) -> Vec<Finding> {
    let mut findings = Vec::new();
    for folder in usable(troubles, store) {
        let Err(error) = store.try_to_write(&folder) else { continue };
        let what = format!("nothing can be written in {}: no login, no refresh", folder.display());
        findings.push(match Store::is_full(&error) {
            true => {
                let fix = format!("df -h {}", word(&folder));
                Finding::error("disk_full", what, cause_of(error), fix)
            }
            false => Finding::error("folder_unwritable", what, cause_of(error), open(&folder)),
        });
    }
    if findings.is_empty() {
        findings.push(Finding::ok("space", "there is room for new tokens"));
    }
    findings
}

/// What makes a folder writable, as far as a command can.
fn open(folder: &Path) -> String {
    if Store::is_closed(folder) {
        return format!("chmod 700 {}", word(folder));
    }
    "export KEYFOB_HOME=FOLDER  # one that you may write to".to_owned()
}

fn locks(troubles: &[Trouble], facts: &Facts) -> Vec<Finding> {
    let store = facts.store;
    if Store::is_lock_off() {
        return vec![Finding::warning(
            "lock_off",
            "nothing keeps two processes from refreshing at the same time",
            "KEYFOB_LOCK=off is set",
            "unset KEYFOB_LOCK",
        )];
    }
    let mut findings = Vec::new();
    for folder in usable(troubles, store) {
        let Err(error) = store.try_to_lock(&folder) else { continue };
        let what = format!("no lock can be had in {}", folder.display());
        // A file system that takes files and cannot lock them.
        let fix = match store.try_to_write(&folder) {
            Ok(()) => "export KEYFOB_LOCK=off  # and run one process at a time".to_owned(),
            Err(_) => open(&folder),
        };
        findings.push(Finding::error("lock_unavailable", what, cause_of(error), fix));
    }
    if !findings.is_empty() {
        return findings;
    }
    for (id, _) in &facts.accounts {
        let Some(Err(error)) = store.lock_that_is_there(id, LOCK_LIMIT) else { continue };
        let what = format!("{id} cannot be refreshed now");
        let fix = "keyfob doctor  # again: a refresh takes seconds";
        findings.push(Finding::warning("lock_held", what, cause_of(error), fix));
    }
    if findings.is_empty() {
        findings.push(Finding::ok("locks", "locks work"));
    }
    findings
}

fn pending(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    for stale in facts.store.stale_pending(facts.now) {
        let path = stale.path.display();
        let (cause, fix) = match stale.login_id {
            Some(id) => (
                "its time is over; the next login sweeps it away",
                format!("keyfob pending cancel {id}"),
            ),
            None => ("it is no sign-in of this version", format!("rm {}", word(&stale.path))),
        };
        let what = format!("{path} can no longer be finished");
        findings.push(Finding::warning("pending_stale", what, cause, fix));
    }
    for login in facts.store.pending(facts.now).unwrap_or_default() {
        let when = login.expires_at.in_words(facts.now);
        let what = format!("a sign-in to {} waits to be finished, until {when}", login.account);
        findings.push(Finding::ok("pending_waiting", what));
    }
    findings
}

pub fn unreadable_account(id: &AccountId, error: Error, store: &Store) -> Option<Finding> {
    let path = store.account_path(id);
    (!is_told(&path, store)).then(|| {
        let fix = format!("chmod 600 {}", word(&path));
        let what = format!("{id} cannot be read");
        Finding::error("account_unreadable", what, cause_of(error), fix)
    })
}

pub fn unreadable_config(error: Error, store: &Store) -> Option<Finding> {
    let path = store.config_path();
    (!is_told(&path, store)).then(|| {
        let fix = format!("${{EDITOR:-vi}} {}", word(&path));
        let what = format!("{} cannot be used", path.display());
        Finding::error("config_unreadable", what, cause_of(error), fix)
    })
}

/// Whether the file has a finding by its mode or kind.
fn is_told(path: &Path, store: &Store) -> bool {
    store.troubles().iter().any(|trouble| match trouble {
        Trouble::FileMode(file, _) | Trouble::Special(file) | Trouble::Symlink(file) => {
            file == path
        }
        Trouble::FolderMode(..)
        | Trouble::Leftover(_)
        | Trouble::Owner(..)
        | Trouble::Unreadable(..) => false,
    })
}

fn cause_of(error: Error) -> String {
    match error {
        Error::Store { cause, .. } => cause,
        other => other.to_string(),
    }
}

fn word(path: &Path) -> String {
    shell_word(&path.display().to_string())
}
