//! What is wrong on this machine, as values: each check goes from facts to findings and changes
//! nothing. A code names one fault and stays; an `ok` finding carries the name of its check.
//! No credential is renewed or sent, and without accounts nothing is contacted.

mod accounts;
mod files;
mod machine;
mod network;
mod settings;

use std::time::Duration;

use crate::account::{Account, AccountId};
use crate::net::client::Client;
use crate::provider::{Provider, Providers};
use crate::store::{Found, Home, Store};
use crate::time::Timestamp;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Something does not work.
    Error,
    Ok,
    /// It works, and may not do so for long, or not as well as it could.
    Warning,
}

/// One result of one check. Warnings and errors have a cause and a fix: a command, or what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub code: &'static str,
    pub severity: Severity,
    pub what: String,
    pub cause: Option<String>,
    pub fix: Option<String>,
}

impl Finding {
    fn ok(code: &'static str, what: impl Into<String>) -> Finding {
        Finding { code, severity: Severity::Ok, what: what.into(), cause: None, fix: None }
    }

    fn warning(
        code: &'static str,
        what: impl Into<String>,
        cause: impl Into<String>,
        fix: impl Into<String>,
    ) -> Finding {
        let (what, cause, fix) = (what.into(), Some(cause.into()), Some(fix.into()));
        Finding { code, severity: Severity::Warning, what, cause, fix }
    }

    fn error(
        code: &'static str,
        what: impl Into<String>,
        cause: impl Into<String>,
        fix: impl Into<String>,
    ) -> Finding {
        Finding { severity: Severity::Error, ..Finding::warning(code, what, cause, fix) }
    }
}

/// What the checks look at.
struct Facts<'a> {
    store: &'a Store,
    client: &'a Client,
    /// None when config.json cannot be read: nobody knows then what the rows are.
    providers: Option<Providers>,
    /// By name, sorted.
    accounts: Vec<(AccountId, Kept)>,
    /// For one step on the network.
    limit: Duration,
    now: Timestamp,
}

/// What lies in the place of an account.
enum Kept {
    Account(Box<Account>),
    /// In words: why it is none.
    Damaged(String),
    Unreadable,
}

impl Facts<'_> {
    /// The accounts that can be read.
    fn readable(&self) -> impl Iterator<Item = &Account> {
        self.accounts.iter().filter_map(|(_, kept)| match kept {
            Kept::Account(account) => Some(&**account),
            Kept::Damaged(_) | Kept::Unreadable => None,
        })
    }

    /// The account's row at its instance. None: it cannot be read. Err: there is no such provider.
    fn row_of(&self, account: &Account) -> Option<Result<Provider, NoProvider>> {
        let row = self.providers.as_ref()?.find(&account.id.provider).ok()?;
        let Some(row) = row else { return Some(Err(NoProvider)) };
        match account.instance() {
            Some(address) => row.at_instance(address).ok().map(Ok),
            None => Some(Ok(row.clone())),
        }
    }
}

struct NoProvider;

/// What sets the clock by the network.
const SET_CLOCK: &str = if cfg!(target_os = "macos") {
    "sudo sntp -sS time.apple.com"
} else if cfg!(windows) {
    "w32tm /resync"
} else {
    "sudo timedatectl set-ntp true"
};

/// Every finding, in the order of the checks. An `is_offline` examination contacts nobody.
pub fn examine(store: &Store, client: &Client, limit: Duration, is_offline: bool) -> Vec<Finding> {
    let now = Timestamp::now();
    let home = store.look_at_home();
    let mut findings = files::home(&home, store);
    let has_home = matches!(home, Home::Folder);
    let (facts, config) = match has_home {
        true => read(store, client, limit, now),
        false => empty(store, client, limit, now),
    };
    if has_home {
        findings.extend(files::check(&facts));
    }
    findings.extend(config);
    findings.extend(settings::rows(&facts));
    findings.extend(settings::environment(&facts));
    findings.extend(machine::check(&facts));
    let roots = machine::roots();
    let is_trusting = roots.severity == Severity::Ok;
    findings.push(roots);
    findings.push(network::proxy_variables());
    if !is_offline {
        findings.extend(network::check(&facts, is_trusting));
    }
    findings.extend(accounts::check(&facts));
    without_repetition(findings)
}

fn empty<'a>(
    store: &'a Store,
    client: &'a Client,
    limit: Duration,
    now: Timestamp,
) -> (Facts<'a>, Vec<Finding>) {
    let providers = Some(Providers::new(|| Ok(serde_json::Map::new()), |_| ()));
    (Facts { store, client, providers, accounts: Vec::new(), limit, now }, Vec::new())
}

/// The settings and the accounts, and what kept them from being read.
fn read<'a>(
    store: &'a Store,
    client: &'a Client,
    limit: Duration,
    now: Timestamp,
) -> (Facts<'a>, Vec<Finding>) {
    let (mut facts, mut findings) = empty(store, client, limit, now);
    facts.providers = match store.config() {
        Ok(config) => {
            let rows = store.rows(&config);
            Some(Providers::new(move || Ok(rows.clone()), |_| ()))
        }
        Err(error) => {
            findings.extend(files::unreadable_config(error, store));
            None
        }
    };
    // What makes a folder unreadable is told of by the check of the files.
    for id in store.all_accounts().unwrap_or_default() {
        let kept = match store.find_account(&id) {
            Ok(Found::Account(account)) => Kept::Account(account),
            Ok(Found::Damaged(why)) => Kept::Damaged(why),
            // Gone since its name was read.
            Ok(Found::Missing) => continue,
            Err(error) => {
                findings.extend(files::unreadable_account(&id, error, store));
                Kept::Unreadable
            }
        };
        facts.accounts.push((id, kept));
    }
    (facts, findings)
}

/// Several accounts may meet the same fault.
fn without_repetition(findings: Vec<Finding>) -> Vec<Finding> {
    let mut once: Vec<Finding> = Vec::new();
    for finding in findings {
        if !once.contains(&finding) {
            once.push(finding);
        }
    }
    once
}
