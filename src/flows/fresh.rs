//! A credential good for a while: read, lock, read again, refresh, write.
//!
//! The promise (CLI.md section 4): one refresh at a time per account across all processes, never
//! before it is needed; the new refresh token is on disk before anyone sees the new access token;
//! nothing but a success changes the stored credential.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::account::{Account, AccountId};
use crate::credential::{Credential, Minted};
use crate::error::{Error, Result};
use crate::flows::{renew, transfer};
use crate::net::client::Client;
use crate::provider::Providers;
use crate::store::{AccountLock, Store};
use crate::text;
use crate::time::{Timestamp, duration_in_words};

/// How good the credential has to be.
#[derive(Clone, Copy, Debug)]
pub enum Need {
    /// Fresh by the usual margin (`Account::is_fresh`).
    Usual,
    /// Alive for so many seconds more.
    Seconds(i64),
    /// Renewed now, whatever the clock says.
    Renewed,
}

/// A usable account, and what the person should know about it.
pub struct Fresh {
    pub account: Account,
    pub warning: Option<String>,
}

/// The parts of the program that a renewal needs.
pub struct Tools<'a> {
    pub client: &'a Client,
    pub providers: &'a Providers,
    pub store: &'a Store,
    /// Longest wait for another process that is renewing the same account.
    pub lock_limit: Duration,
}

/// Which of two tokens is meant, where the row has a second one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// The one the API takes.
    Api,
    /// The first one, which buys the other.
    Base,
}

impl Layer {
    /// The account as this layer sees it.
    fn of(self, account: Account) -> Account {
        match self {
            Layer::Api => account,
            Layer::Base => account.without_api_token(),
        }
    }
}

/// The account's credential, renewed if it has to be.
pub fn credential(id: &AccountId, need: Need, tools: &Tools) -> Result<Fresh> {
    let first_seen = tools.store.read_account(id)?.ok_or_else(|| nobody(id))?;
    layer(Layer::Api, first_seen, need, tools)
}

/// The same of one layer of an account just read; if it is fresh, nothing else is read.
pub fn layer(layer: Layer, first_seen: Account, need: Need, tools: &Tools) -> Result<Fresh> {
    let id = &first_seen.id.clone();
    let first_seen = layer.of(with_api_token(first_seen, tools)?);
    if suffices(&first_seen, need, Timestamp::now()) {
        return Ok(Fresh { account: first_seen, warning: None });
    }
    let row = tools.providers.get(&id.provider)?;
    let lock = match may_refresh(&first_seen).and_then(|()| lock(&first_seen, need, layer, tools)) {
        Ok(Locked::Ours(lock)) => lock,
        Ok(Locked::NotNeeded(account)) => return handed_out(*account, need, None),
        Err(error) => return instead_of(error, first_seen, need),
    };
    let whole = tools.store.read_account(id)?.ok_or_else(|| nobody(id))?;
    let whole = with_api_token(whole, tools)?;
    let stored = layer.of(whole.clone());
    if suffices(&stored, need, Timestamp::now()) || was_renewed(&stored, &first_seen) {
        return handed_out(stored, need, None);
    }
    match may_refresh(&stored).and_then(|()| renew::renew(&whole, need, row, tools, &lock)) {
        Ok(account) => handed_out(layer.of(account), need, None),
        Err(error) => instead_of(error, stored, need),
    }
}

/// A file written by hand may lack the second token. Only a first token that nothing renews and that
/// never ends would be taken for it, and only then the row is looked at.
fn with_api_token(mut account: Account, tools: &Tools) -> Result<Account> {
    let is_bare = account.credential.oauth().is_some()
        && account.api_token.is_none()
        && account.expires_at().is_none()
        && !account.can_refresh();
    if is_bare && tools.providers.get(&account.id.provider)?.api_token.is_some() {
        account.api_token = Some(Minted::none());
    }
    Ok(account)
}

/// Whether nothing has to be done for this need.
pub fn suffices(account: &Account, need: Need, now: Timestamp) -> bool {
    match need {
        Need::Usual => account.is_fresh(now),
        Need::Seconds(seconds) => account.is_fresh(now) && lives(account, seconds, now),
        // A key has no successor that could be asked for.
        Need::Renewed => {
            matches!(account.credential, Credential::ApiKey(_)) && !account.can_refresh()
        }
    }
}

fn lives(account: &Account, seconds: i64, now: Timestamp) -> bool {
    account.expires_at().is_none_or(|at| at.since(now) >= seconds)
}

/// Somebody renewed it since this command first looked: asking again would only spend another
/// token, so what they got is handed out, however short its life.
fn was_renewed(account: &Account, first_seen: &Account) -> bool {
    account.secret() != first_seen.secret() && account.is_alive(Timestamp::now())
}

/// No request is made that cannot succeed.
fn may_refresh(account: &Account) -> Result<()> {
    if let Some(refusal) = &account.refused {
        let when = refusal.at.in_words(Timestamp::now());
        let why = format!("the sign-in was refused {when} ({})", text::harmless(&refusal.code, 80));
        return Err(sign_in(&account.id, why));
    }
    if !account.can_refresh() {
        let why = match account.expires_at() {
            Some(at) if at <= Timestamp::now() => {
                format!("the token expired {} and cannot be renewed", at.in_words(Timestamp::now()))
            }
            _ => "the token cannot be renewed: there is no refresh token".to_owned(),
        };
        let is_copy = account.extra.get(transfer::ACCESS_ONLY) == Some(&Value::from(true));
        let why = if is_copy { format!("{why}: this copy cannot refresh") } else { why };
        let error = sign_in(&account.id, why);
        return Err(match account.credential {
            Credential::Bearer(..) => {
                error.or_try(format!("{} --jwt-token -", account.id.login_command()))
            }
            _ => error,
        });
    }
    Ok(())
}

enum Locked {
    Ours(AccountLock),
    /// While we waited, another process renewed the account.
    NotNeeded(Box<Account>),
}

fn lock(first_seen: &Account, need: Need, layer: Layer, tools: &Tools) -> Result<Locked> {
    let id = &first_seen.id;
    let deadline = Instant::now() + tools.lock_limit;
    loop {
        if let Some(lock) = tools.store.try_lock(id)? {
            return Ok(Locked::Ours(lock));
        }
        if let Some(account) = tools.store.read_account(id)?.map(|account| layer.of(account))
            && (suffices(&account, need, Timestamp::now()) || was_renewed(&account, first_seen))
        {
            return Ok(Locked::NotNeeded(Box::new(account)));
        }
        if Instant::now() >= deadline {
            return Err(tools.store.lock_timeout(id, tools.lock_limit));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What a renewal that failed leaves: a token that still lives is handed out with a warning.
fn instead_of(error: Error, stored: Account, need: Need) -> Result<Fresh> {
    let now = Timestamp::now();
    let lives_long_enough = match need {
        Need::Usual => stored.is_alive(now),
        Need::Seconds(seconds) => stored.is_alive(now) && lives(&stored, seconds, now),
        Need::Renewed => false,
    };
    if !lives_long_enough {
        return Err(error);
    }
    let warning = format!("{error}; the old token is still good");
    Ok(Fresh { account: stored, warning: Some(warning) })
}

/// A token just renewed is handed out however short its life, unless more was asked for.
fn handed_out(account: Account, need: Need, warning: Option<String>) -> Result<Fresh> {
    let now = Timestamp::now();
    if let Need::Seconds(seconds) = need
        && !lives(&account, seconds, now)
    {
        let left = account.expires_at().map_or(0, |at| at.since(now).max(0));
        return Err(Error::temporary(format!(
            "{}: the provider gives no longer than {} more, {} were asked for",
            account.id,
            duration_in_words(left),
            duration_in_words(seconds),
        )));
    }
    Ok(Fresh { account, warning })
}

pub fn nobody(id: &AccountId) -> Error {
    sign_in(id, "nobody is signed in".to_owned())
}

pub fn sign_in(id: &AccountId, why: String) -> Error {
    Error::SignIn { account: id.to_string(), why, next: id.login_command() }
}
