//! The end of every login: who signed in, and the account on disk.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::account::{Account, AccountId, Identity};
use crate::credential::{Credential, Minted, Tokens};
use crate::endpoint;
use crate::error::{Error, Result};
use crate::flows::{api_token, caller, project};
use crate::net::client::Client;
use crate::pending::PendingLogin;
use crate::protocol::identity;
use crate::protocol::token::Granted;
use crate::provider::{self, Provider};
use crate::store::{Found, Reservation, Store};
use crate::text;
use crate::time::Timestamp;

/// Several terminals may wait for the same person at once.
const REMEMBERED_LOGINS: usize = 8;
/// Longest wait for a process that is refreshing the account we sign in to.
const LOCK_LIMIT: Duration = Duration::from_secs(40);

/// An account, signed in and on disk.
pub struct SignedIn {
    pub account: Account,
    pub path: PathBuf,
    pub warnings: Vec<String>,
    /// Another process finished the login we waited for.
    pub elsewhere: bool,
}

/// Finds out who signed in, and writes the account under its lock.
pub fn keep(
    login: &PendingLogin,
    granted: Granted,
    space: Reservation,
    client: &Client,
    store: &Store,
) -> Result<SignedIn> {
    let mut warnings = Vec::new();
    let (who, extra) = identify(login, &granted, client, &mut warnings);
    check_expected(login, &who)?;
    let name = login.account.account.clone().unwrap_or_else(|| account_name(login, &who));
    let id = AccountId { provider: login.account.provider.clone(), account: name };
    let account = new_account(login, id, granted.tokens, who, extra);
    let account = write(account, login.replace, space, store, &mut warnings)?;
    if login.provider.server.is_some() {
        store.keep_server_row(&login.provider, LOCK_LIMIT)?;
    }
    let account = add_project(account, login, client, store, &mut warnings)?;
    let account = add_api_token(account, login, client, store, &mut warnings)?;
    let path = store.account_path(&account.id);
    Ok(SignedIn { account, path, warnings, elsewhere: false })
}

/// The identity call fails without harm: the tokens are good all the same.
fn identify(
    login: &PendingLogin,
    granted: &Granted,
    client: &Client,
    warnings: &mut Vec<String>,
) -> (Identity, Map<String, Value>) {
    let row = &login.provider;
    let mut userinfo = Value::Null;
    if login.verify {
        match ask_userinfo(row, &granted.tokens, client) {
            Ok(answer) => userinfo = answer,
            Err(error) => warnings.push(format!("could not ask who signed in: {error}")),
        }
    }
    identity::identify(row, &granted.tokens, &granted.rest, &userinfo)
}

fn ask_userinfo(row: &Provider, tokens: &Tokens, client: &Client) -> Result<Value> {
    let Some(request) = identity::userinfo(row, &tokens.access_token)? else {
        return Ok(Value::Null);
    };
    let reply = client.send(request)?;
    if !(200..300).contains(&reply.status) {
        return Err(Error::failed(format!("status {}", reply.status)));
    }
    serde_json::from_str(reply.body.expose()).map_err(|_| Error::failed("the answer is no JSON"))
}

pub fn check_expected(login: &PendingLogin, who: &Identity) -> Result<()> {
    let Some(expected) = &login.expect else { return Ok(()) };
    if is_expected(expected, who) {
        return Ok(());
    }
    let came = who.name().unwrap_or("somebody unknown");
    let account = text::shell_word(&login.account.to_string());
    Err(Error::failed(format!("{came} signed in, not {expected}; nothing was stored"))
        .or_try(format!("keyfob login {account} --prompt select_account")))
}

/// Whether `expected` is the email or the subject.
pub fn is_expected(expected: &str, who: &Identity) -> bool {
    let is = |known: &Option<String>| {
        known.as_ref().is_some_and(|known| known.eq_ignore_ascii_case(expected))
    };
    is(&who.email) || is(&who.subject)
}

/// The person's name; people at an instance of their own may have the same name elsewhere. An MCP
/// server has one sign-in, which whoever signs in next takes over.
fn account_name(login: &PendingLogin, who: &Identity) -> String {
    if login.provider.server.is_some() {
        return "default".to_owned();
    }
    let name = who.name().map_or("default".to_owned(), text::short_name);
    match login.provider.address() {
        Some(address) => format!("{name}@{}", provider::name_of(address)),
        None => name,
    }
}

fn new_account(
    login: &PendingLogin,
    id: AccountId,
    mut tokens: Tokens,
    identity: Identity,
    extra: Map<String, Value>,
) -> Account {
    let now = Timestamp::now();
    if tokens.scopes.is_empty() {
        // RFC 6749 section 5.1: no scope in the answer means the scope that was asked for.
        tokens.scopes.clone_from(&login.provider.scopes);
    }
    let row = &login.provider;
    let mut account = Account::new(id, Credential::Oauth(tokens), now);
    account.api_token = row.api_token.is_some().then(Minted::none);
    account.identity = identity;
    account.client = Some(login.client());
    account.issued_by = row.token_url.as_deref().and_then(endpoint::origin);
    account.login_ids = vec![login.login_id.clone()];
    account.extra = extra;
    if let Some(address) = row.address() {
        account.extra.insert("instance".to_owned(), Value::from(address));
    }
    account
}

/// Takes the place of an older login of the same person; what people noted on it stays.
pub fn write(
    mut account: Account,
    may_replace: bool,
    space: Reservation,
    store: &Store,
    warnings: &mut Vec<String>,
) -> Result<Account> {
    let _lock = store.lock_account(&account.id, LOCK_LIMIT)?;
    match store.find_account(&account.id)? {
        Found::Account(old) if old.identity.is_someone_else_than(&account.identity) => {
            if !may_replace {
                return Err(occupied(&account, &old));
            }
            account.attributes = old.attributes;
        }
        Found::Account(old) => {
            if old.identity.name().is_none() && account.identity.name().is_none() {
                warnings.push(format!(
                    "{} takes the place of an earlier sign-in: its provider does not say whose \
                     they are; another person's goes to a name of its own (PROVIDER/NAME)",
                    account.id
                ));
            }
            account.created_at = old.created_at;
            account.login_ids.extend(old.login_ids);
            account.login_ids.truncate(REMEMBERED_LOGINS);
            account.attributes = old.attributes;
            account.unknown = old.unknown;
        }
        Found::Damaged(why) => {
            let aside = store.set_aside(&account.id, account.created_at)?;
            warnings.push(format!(
                "the old file was damaged ({why}); it is kept as {}",
                aside.display()
            ));
        }
        Found::Missing => {}
    }
    store.write_account(&account, space)?;
    let on_disk = store.read_account(&account.id)?;
    let is_there = on_disk.is_some_and(|d| d.credential.secret() == account.credential.secret());
    if !is_there {
        let path = store.account_path(&account.id);
        return Err(Error::store(&path, "keep", "it does not hold what was written"));
    }
    store.audit("login", &account.id, caller::name(), Timestamp::now());
    Ok(account)
}

fn occupied(account: &Account, old: &Account) -> Error {
    let (new, old) = (account.identity.name(), old.identity.name());
    Error::failed(format!(
        "{} is {}, and {} signed in; nothing was stored",
        account.id,
        old.unwrap_or("somebody else"),
        new.unwrap_or("somebody unknown"),
    ))
    .or_try(format!("{} --replace", account.id.login_command()))
}

/// The project of a Code Assist account, kept in `extra`. The login is on disk before this asks.
fn add_project(
    mut account: Account,
    login: &PendingLogin,
    client: &Client,
    store: &Store,
    warnings: &mut Vec<String>,
) -> Result<Account> {
    let Some(code_assist) = &login.provider.code_assist else { return Ok(account) };
    match project::look_up(&account, code_assist, client) {
        Ok(project) => {
            let _lock = store.lock_account(&account.id, LOCK_LIMIT)?;
            let Some(current) = store.read_account(&account.id)? else {
                warnings.push(format!("{} was signed out meanwhile", account.id));
                return Ok(account);
            };
            account = current;
            account.extra.insert("project_id".to_owned(), Value::from(project));
            let space = store.reserve_account(&account.id)?;
            store.write_account(&account, space)?;
        }
        Err(error) => warnings.push(format!("no project yet: {error}")),
    }
    Ok(account)
}

/// The second token, where the API takes no other. The login is on disk before this asks.
fn add_api_token(
    account: Account,
    login: &PendingLogin,
    client: &Client,
    store: &Store,
    warnings: &mut Vec<String>,
) -> Result<Account> {
    let row = &login.provider;
    let Some(bought) = &row.api_token else { return Ok(account) };
    let _lock = store.lock_account(&account.id, LOCK_LIMIT)?;
    let Some(account) = store.read_account(&account.id)? else {
        warnings.push(format!("{} was signed out meanwhile", account.id));
        return Ok(account);
    };
    match api_token::fetch(&account, bought, row, client, store) {
        Ok(account) => Ok(account),
        Err(error) => {
            warnings.push(error.to_string());
            Ok(account)
        }
    }
}

/// Adds one of the provider's facts to an account that is on disk already.
pub fn set_fact(signed_in: &mut SignedIn, key: &str, value: &str, store: &Store) -> Result<()> {
    let _lock = store.lock_account(&signed_in.account.id, LOCK_LIMIT)?;
    let space = store.reserve_account(&signed_in.account.id)?;
    // Signed out meanwhile: nothing is brought back.
    let Some(current) = store.read_account(&signed_in.account.id)? else { return Ok(()) };
    signed_in.account = current;
    signed_in.account.extra.insert(key.to_owned(), Value::from(value));
    store.write_account(&signed_in.account, space)?;
    Ok(())
}
