//! Google service accounts: the key signs a claim, which is traded for a token that lives an hour. The
//! key itself goes nowhere.

use ring::rand::SystemRandom;
use serde_json::{Map, Value};

use crate::account::{Account, AccountId, Identity};
use crate::credential::{Credential, Minted};
use crate::endpoint;
use crate::error::{Error, Result};
use crate::flows::fresh::{Tools, sign_in};
use crate::flows::keep::{self, SignedIn};
use crate::flows::renew;
use crate::net::client::Client;
use crate::protocol::oauth_error::OauthError;
use crate::protocol::service_account::{KeyFile, LIFETIME_S, is_about_the_clock};
use crate::protocol::token::{self, Answer};
use crate::provider::Provider;
use crate::secret::Secret;
use crate::store::Store;
use crate::time::Timestamp;

/// What a login is told.
pub struct Wish {
    pub id: AccountId,
    /// The whole file as JSON, which is what is kept, and what was read out of it.
    pub text: Secret,
    pub file: KeyFile,
    /// Project and location.
    pub facts: Map<String, Value>,
    pub expect: Option<String>,
    pub replace: bool,
    /// Ask for a token before anything is stored.
    pub verify: bool,
}

/// Keeps a key file that the provider gave a token for. Refused or put off: nothing is stored.
pub fn login(wish: Wish, row: &Provider, client: &Client, store: &Store) -> Result<SignedIn> {
    let mut warnings = Vec::new();
    let file = &wish.file;
    let identity = Identity {
        email: Some(file.email.clone()),
        subject: file.subject.clone(),
        ..Identity::default()
    };
    if let Some(expected) = &wish.expect
        && !keep::is_expected(expected, &identity)
    {
        let what = format!("this is a key of {}, not {expected}; nothing was stored", file.email);
        return Err(Error::failed(what));
    }
    store.sweep(Timestamp::now());
    let space = store.reserve_account(&wish.id)?;
    let minted = match wish.verify {
        true => mint(&wish.id, file, row, client).map_err(|error| with_cause(error, row))?,
        false => Minted::none(),
    };
    let credential = Credential::ServiceAccount(wish.text, minted);
    let mut account = Account::new(wish.id, credential, Timestamp::now());
    account.identity = identity;
    account.issued_by = endpoint::origin(&file.token_url);
    account.extra = wish.facts;
    let account = keep::write(account, wish.replace, space, store, &mut warnings)?;
    let path = store.account_path(&account.id);
    Ok(SignedIn { account, path, warnings, elsewhere: false })
}

/// Why Google refuses a key that is whole.
fn with_cause(error: Error, row: &Provider) -> Error {
    match error {
        Error::Refused { provider, code, description, next } => {
            let page = row.revoke_page.as_deref();
            let page = page.map_or(String::new(), |page| format!(", see {page}"));
            let cause = "the key may be deleted or its account disabled";
            let description = format!("{description}; {cause}{page}; nothing was stored");
            Error::Refused { provider, code, description, next }
        }
        error => error,
    }
}

/// A new token for a stored key. A definite no is noted, so that nobody asks again.
pub fn renew(old: &Account, key: &Secret, row: &Provider, tools: &Tools) -> Result<Account> {
    let file = KeyFile::parse(key);
    let file = file.map_err(|why| sign_in(&old.id, format!("the stored key file: {why}")))?;
    let space = tools.store.reserve_account(&old.id)?;
    match mint(&old.id, &file, row, tools.client) {
        Ok(minted) => {
            let mut account = old.clone();
            account.credential = Credential::ServiceAccount(key.clone(), minted);
            account.refreshed_at = Timestamp::now();
            account.refused = None;
            tools.store.write_account(&account, space)?;
            Ok(account)
        }
        Err(Error::Refused { code, description, .. }) if is_final(&code, row) => {
            drop(space);
            renew::note_refusal(old, &code, tools.store).map_err(|error| match error {
                Error::SignIn { account, why, next } if !description.is_empty() => {
                    Error::SignIn { account, why: format!("{why}: {description}"), next }
                }
                error => error,
            })
        }
        Err(error) => Err(error),
    }
}

fn is_final(code: &str, row: &Provider) -> bool {
    OauthError::new(code, "").kills_the_grant(&row.refusals)
}

/// One request. `Refused`: in the provider's words; a wrong clock is `Failed`, as the key is good.
fn mint(id: &AccountId, file: &KeyFile, row: &Provider, client: &Client) -> Result<Minted> {
    let asked_at = Timestamp::now();
    let assertion = file.assertion(&row.scopes, asked_at, &SystemRandom::new());
    let assertion = assertion.map_err(|why| Error::failed(format!("{id}: its key {why}")))?;
    let reply = client.send(file.grant(&assertion)?)?;
    let now = Timestamp::now();
    match token::parse(reply.status, &reply.content_type, &reply.body, &[&assertion], now) {
        Answer::Granted(granted) => Ok(Minted {
            token: granted.tokens.access_token,
            // Without a word about it, the token lives no longer than what it was traded for.
            expires_at: granted.tokens.expires_at.or(Some(now.plus(LIFETIME_S))),
        }),
        Answer::Refused(error) if is_about_the_clock(&error.description) => {
            let what = format!(
                "{id}: this machine's clock is off: it says {}, and the provider takes no key that \
                 was signed at such a time ({})",
                asked_at, error.code
            );
            Err(Error::failed(what).or_try("date -u"))
        }
        Answer::Refused(error) => Err(Error::Refused {
            provider: id.provider.clone(),
            code: error.code,
            description: error.description.trim_end_matches('.').to_owned(),
            next: None,
        }),
        Answer::TryLater(why) => Err(Error::Temporary {
            what: format!("{id}: the provider gives no token just now ({why})"),
            retry_after_s: reply.retry_after_s,
            next: None,
        }),
        Answer::Unreadable(what) => {
            Err(Error::unreadable(endpoint::origin(&file.token_url).unwrap_or_default(), what))
        }
    }
}
