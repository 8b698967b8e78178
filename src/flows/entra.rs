//! Microsoft Entra ID for Azure: the chain of identities that a machine or its person may have, in the
//! order of Azure's own DefaultAzureCredential. A link with nothing to go by passes on to the next;
//! one that was set up on purpose and is turned away ends the chain, so that no other identity slips in.
//! Facts: learn.microsoft.com/dotnet/azure/sdk/authentication/credential-chains (2026-11-22).

mod links;

use serde_json::{Map, Value};

use crate::account::{Account, AccountId, Identity};
use crate::credential::{Credential, Minted};
use crate::error::{Error, Result};
use crate::flows::entra::links::{Asking, CHAIN, Outcome};
use crate::flows::fresh::{Tools, sign_in};
use crate::flows::keep::{self, SignedIn};
use crate::flows::program;
use crate::net::client::Client;
use crate::protocol::entra;
use crate::provider::Provider;
use crate::store::Store;
use crate::text;
use crate::time::Timestamp;

/// A token, and the link it came from.
struct Found {
    link: &'static str,
    minted: Minted,
}

/// What a login is to become.
pub struct Wanted<'a> {
    pub id: AccountId,
    pub deployment: &'a str,
    pub expect: Option<&'a str>,
    pub replace: bool,
    /// Whether the chain is tried before anything is stored.
    pub verify: bool,
}

/// Tries the chain, and stores the account with the link that gave a token.
pub fn login(wanted: Wanted, row: &Provider, client: &Client, store: &Store) -> Result<SignedIn> {
    store.sweep(Timestamp::now());
    let space = store.reserve_account(&wanted.id)?;
    let mut extra = Map::new();
    let address = row.address();
    extra.extend(address.map(|address| ("instance".to_owned(), Value::from(address))));
    extra.insert("deployment".to_owned(), Value::from(wanted.deployment));
    let (mut minted, mut identity) = (Minted::none(), Identity::default());
    if wanted.verify {
        // The person sets the variables right, and comes back.
        let again = format!("{} --deployment {}", at_address(&wanted.id, row), wanted.deployment);
        let found = find(&wanted.id, row, client).map_err(|error| match error {
            Error::Refused { .. } => error.or_try(again),
            error => error,
        })?;
        extra.insert("entra_link".to_owned(), Value::from(found.link));
        identity = entra::identity(&found.minted.token);
        minted = found.minted;
    }
    check_expected(wanted.expect, &identity)?;
    let mut account = Account::new(wanted.id, Credential::Entra(minted), Timestamp::now());
    account.identity = identity;
    account.extra = extra;
    let mut warnings = Vec::new();
    let account = keep::write(account, wanted.replace, space, store, &mut warnings)?;
    let path = store.account_path(&account.id);
    Ok(SignedIn { account, path, warnings, elsewhere: false })
}

fn check_expected(expect: Option<&str>, who: &Identity) -> Result<()> {
    let Some(expected) = expect.filter(|expected| !keep::is_expected(expected, who)) else {
        return Ok(());
    };
    let came = who.name().unwrap_or("somebody unknown");
    let what = format!("the token is of {came}, not of {expected}; nothing was stored");
    Err(Error::failed(what).or_try("az login"))
}

/// The next token. Whose it is may have changed with the machine's identity, which is said.
pub fn renew(old: &Account, row: &Provider, tools: &Tools) -> Result<Account> {
    let space = tools.store.reserve_account(&old.id)?;
    let found = find(&old.id, row, tools.client).map_err(|error| match error {
        Error::Refused { code, description, .. } => {
            sign_in(&old.id, format!("{description} ({code})"))
        }
        error => error,
    })?;
    let mut account = old.clone();
    account.identity = entra::identity(&found.minted.token);
    account.credential = Credential::Entra(found.minted);
    account.refreshed_at = Timestamp::now();
    account.refused = None;
    account.extra.insert("entra_link".to_owned(), Value::from(found.link));
    if old.identity.is_someone_else_than(&account.identity) {
        let name = |who: &Identity| who.name().unwrap_or("somebody unknown").to_owned();
        let (now, before) = (name(&account.identity), name(&old.identity));
        crate::log::warn(&format!("{}: the token is of {now} now, not of {before}", old.id));
    }
    tools.store.write_account(&account, space)?;
    Ok(account)
}

/// The first token that a link gives.
fn find(id: &AccountId, row: &Provider, client: &Client) -> Result<Found> {
    let scope = row.scopes.first().map_or("", String::as_str);
    let asking = Asking { id, scope, client };
    let mut report = String::new();
    let mut has_trouble = false;
    for (link, ask) in CHAIN {
        let why = match ask(&asking).map_err(|error| named(link, error))? {
            Outcome::Token(minted) => return Ok(Found { link, minted }),
            Outcome::NotNow(why) => {
                has_trouble = true;
                why
            }
            Outcome::NotHere(why) => why,
        };
        report.push_str(&format!("\n  {link}: {why}"));
    }
    let what = format!("nothing here gives a token of Microsoft Entra ID{report}");
    if has_trouble {
        return Err(Error::temporary(format!("{id}: {what}")));
    }
    Err(Error::SignIn { account: id.to_string(), why: what, next: next_step(id, row) })
}

/// With one of Azure's tools at hand a person signs in there; else there are keys.
fn next_step(id: &AccountId, row: &Provider) -> String {
    if program::locate("az").is_some() {
        return "az login".to_owned();
    }
    if program::locate("azd").is_some() {
        return "azd auth login".to_owned();
    }
    format!("{} --api-key-stdin", at_address(id, row))
}

/// The command that signs in there, whether or not an account knows the address.
fn at_address(id: &AccountId, row: &Provider) -> String {
    let address = row.address();
    let url = address.map_or(String::new(), |url| format!(" --url {}", text::shell_word(url)));
    format!("{}{url}", id.login_command())
}

/// The error as one of that link.
fn named(link: &str, error: Error) -> Error {
    match error {
        Error::Failed { what, next } => Error::Failed { what: format!("{link}: {what}"), next },
        Error::Refused { provider, code, description, next } => {
            Error::Refused { provider, code, description: format!("{link}: {description}"), next }
        }
        Error::Temporary { what, retry_after_s, next } => {
            Error::Temporary { what: format!("{link}: {what}"), retry_after_s, next }
        }
        Error::Unreadable { from, what, next } => {
            Error::Unreadable { from: format!("{link}: {from}"), what, next }
        }
        error => error,
    }
}
