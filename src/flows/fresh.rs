//! A credential good for a while: read, lock, read again, refresh, write.
//!
//! The promise (CLI.md section 4): one refresh at a time per account across all processes, never
//! before it is needed; the new refresh token is on disk before anyone sees the new access token;
//! nothing but a success changes the stored credential.

use std::time::{Duration, Instant};

use crate::account::{Account, AccountId, Credential, OauthClient, Refusal, Tokens};
use crate::endpoint;
use crate::error::{Error, Result};
use crate::flows::discover;
use crate::net::client::Client;
use crate::protocol::request;
use crate::protocol::token::{self, Answer};
use crate::provider::{Provider, Providers};
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

/// The account's credential, renewed if it has to be. A fresh one costs one file read.
pub fn credential(id: &AccountId, need: Need, tools: &Tools) -> Result<Fresh> {
    let first_seen = tools.store.read_account(id)?.ok_or_else(|| nobody(id))?;
    if suffices(&first_seen, need, Timestamp::now()) {
        return Ok(Fresh { account: first_seen, warning: None });
    }
    let row = tools.providers.get(&id.provider)?;
    let lock = match may_refresh(&first_seen).and_then(|()| lock(&first_seen, need, tools)) {
        Ok(Locked::Ours(lock)) => lock,
        Ok(Locked::NotNeeded(account)) => return handed_out(*account, need, None),
        Err(error) => return instead_of(error, first_seen, need),
    };
    let stored = tools.store.read_account(id)?.ok_or_else(|| nobody(id))?;
    if suffices(&stored, need, Timestamp::now()) || was_renewed(&stored, &first_seen) {
        return handed_out(stored, need, None);
    }
    match may_refresh(&stored).and_then(|()| renew(&stored, row, tools, &lock)) {
        Ok(account) => handed_out(account, need, None),
        Err(error) => instead_of(error, stored, need),
    }
}

/// Whether nothing has to be done for this need.
fn suffices(account: &Account, need: Need, now: Timestamp) -> bool {
    match need {
        Need::Usual => account.is_fresh(now),
        Need::Seconds(seconds) => account.is_fresh(now) && lives(account, seconds, now),
        // A key has no successor that could be asked for.
        Need::Renewed => matches!(account.credential, Credential::ApiKey(_)),
    }
}

fn lives(account: &Account, seconds: i64, now: Timestamp) -> bool {
    account.credential.expires_at().is_none_or(|at| at.since(now) >= seconds)
}

/// Somebody renewed it since this command first looked: asking again would only spend another
/// token, so what they got is handed out, however short its life.
fn was_renewed(account: &Account, first_seen: &Account) -> bool {
    account.credential.secret() != first_seen.credential.secret()
        && account.is_alive(Timestamp::now())
}

/// No request is made that cannot succeed.
fn may_refresh(account: &Account) -> Result<()> {
    if let Some(refusal) = &account.refused {
        let when = refusal.at.in_words(Timestamp::now());
        let why = format!("the sign-in was refused {when} ({})", text::harmless(&refusal.code, 80));
        return Err(sign_in(&account.id, why));
    }
    if !account.credential.can_refresh() {
        let why = match account.credential.expires_at() {
            Some(at) if at <= Timestamp::now() => {
                format!("the token expired {} and cannot be renewed", at.in_words(Timestamp::now()))
            }
            _ => "the token cannot be renewed: there is no refresh token".to_owned(),
        };
        let error = sign_in(&account.id, why);
        return Err(match account.credential {
            Credential::Bearer(..) => {
                error.or_try(format!("{} --jwt-token -", account.id.login_command()))
            }
            Credential::ApiKey(_) | Credential::Oauth(_) => error,
        });
    }
    Ok(())
}

/// Whether the row's token endpoint is the one that issued the tokens. Files written by hand say
/// nothing about it.
pub fn is_issued_by(account: &Account, row: &Provider) -> bool {
    account.issued_by.is_none()
        || account.issued_by == row.token_url.as_deref().and_then(endpoint::origin)
}

enum Locked {
    Ours(AccountLock),
    /// While we waited, another process renewed the account.
    NotNeeded(Box<Account>),
}

fn lock(first_seen: &Account, need: Need, tools: &Tools) -> Result<Locked> {
    let id = &first_seen.id;
    let deadline = Instant::now() + tools.lock_limit;
    loop {
        if let Some(lock) = tools.store.try_lock(id)? {
            return Ok(Locked::Ours(lock));
        }
        if let Some(account) = tools.store.read_account(id)?
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

/// One request. Space on the disk is taken first, so that a full or read-only disk is found
/// before the refresh token is spent.
fn renew(old: &Account, row: &Provider, tools: &Tools, _lock: &AccountLock) -> Result<Account> {
    let Some(old_tokens) = old.credential.oauth() else {
        return Err(Error::failed(format!("{}: there is nothing to renew", old.id)));
    };
    let Some(refresh_token) = &old_tokens.refresh_token else {
        return Err(sign_in(&old.id, "there is no refresh token".to_owned()));
    };
    let row = &*discover::complete(row, tools.client)?;
    if !is_issued_by(old, row) {
        let why = "it was issued by another server than the one the provider's row names now";
        return Err(sign_in(&old.id, why.to_owned()));
    }
    let client = client_of(old, row, tools.store)?;
    let asking = token::refresh(row, &client, refresh_token)?;
    let space = tools.store.reserve_account(&old.id)?;
    let reply = tools.client.send(asking)?;
    let now = Timestamp::now();
    let basic = request::basic(&client);
    let mut sent = vec![refresh_token, &basic];
    sent.extend(&client.secret);
    match token::parse(reply.status, &reply.content_type, &reply.body, &sent, now) {
        Answer::Granted(mut granted) => {
            granted.tokens.keep_missing(old_tokens);
            let mut account = old.clone();
            account.credential = Credential::Oauth(granted.tokens);
            account.refreshed_at = now;
            account.refused = None;
            tools.store.write_account(&account, space)?;
            Ok(account)
        }
        Answer::Refused(error) => {
            let is_final = error.kills_the_grant(&row.refusals)
                || (reply.status == 401 && row.refresh_401_is_final);
            drop(space);
            if is_final {
                return note_refusal(old, old_tokens, &error.code, tools.store, now);
            }
            let why = format!("the refresh was refused: {} ({})", error.description, error.code);
            Err(sign_in(&old.id, why))
        }
        Answer::TryLater(why) => Err(Error::Temporary {
            what: format!("{}: the provider could not refresh just now ({why})", old.id),
            retry_after_s: reply.retry_after_s,
            next: None,
        }),
        // A 401 with a page or nothing in it, where the row says that any 401 is a no.
        Answer::Unreadable(_) if reply.status == 401 && row.refresh_401_is_final => {
            drop(space);
            note_refusal(old, old_tokens, "unauthorized", tools.store, now)
        }
        Answer::Unreadable(what) => {
            let from = row.token_url.as_deref().and_then(endpoint::origin).unwrap_or_default();
            Err(Error::unreadable(from, what))
        }
    }
}

/// The client the login was made with. The row's secret counts while its client is the same one,
/// as it may have been changed since.
pub fn client_of(account: &Account, row: &Provider, store: &Store) -> Result<OauthClient> {
    let own = account.client.clone();
    let row_id = row.client_id.as_ref();
    if own.as_ref().is_none_or(|own| Some(&own.id) == row_id) {
        let kept = own.as_ref().and_then(|own| own.secret.clone());
        let secret = match row.published_secret().or(kept) {
            Some(secret) => Some(secret),
            None => store.config()?.client_secret(&row.id),
        };
        if let Some(id) = row_id.cloned().or(own.map(|own| own.id)) {
            return Ok(OauthClient { id, secret });
        }
    } else if let Some(own) = own {
        return Ok(own);
    }
    Err(Error::failed(format!("provider {} has no client_id", row.id)))
}

/// A definite no is kept beside the credential, unless the file has changed meanwhile.
fn note_refusal(
    old: &Account,
    old_tokens: &Tokens,
    code: &str,
    store: &Store,
    now: Timestamp,
) -> Result<Account> {
    let current = store.read_account(&old.id)?.ok_or_else(|| nobody(&old.id))?;
    if current.credential.oauth().and_then(|tokens| tokens.refresh_token.as_ref())
        != old_tokens.refresh_token.as_ref()
    {
        // Somebody signed in again while we asked.
        return Ok(current);
    }
    let mut refused = current.clone();
    refused.refused = Some(Refusal { code: code.to_owned(), at: now });
    let noted =
        store.reserve_account(&old.id).and_then(|space| store.write_account(&refused, space));
    let why = format!("the refresh was refused for good ({code})");
    match noted {
        Ok(_) => Err(sign_in(&old.id, why)),
        // The person has to sign in either way; the next call will ask the provider again.
        Err(error) => Err(sign_in(&old.id, format!("{why}; {error}"))),
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
        let left = account.credential.expires_at().map_or(0, |at| at.since(now).max(0));
        return Err(Error::temporary(format!(
            "{}: the provider gives no longer than {} more, {} were asked for",
            account.id,
            duration_in_words(left),
            duration_in_words(seconds),
        )));
    }
    Ok(Fresh { account, warning })
}

fn nobody(id: &AccountId) -> Error {
    sign_in(id, "nobody is signed in".to_owned())
}

fn sign_in(id: &AccountId, why: String) -> Error {
    Error::SignIn { account: id.to_string(), why, next: id.login_command() }
}
