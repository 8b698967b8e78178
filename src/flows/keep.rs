//! The end of every login: who signed in, and the account on disk.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::account::{Account, AccountId, Credential, Identity, Tokens};
use crate::endpoint;
use crate::error::{Error, Result};
use crate::flows::project;
use crate::net::client::Client;
use crate::pending::PendingLogin;
use crate::protocol::identity;
use crate::protocol::token::Granted;
use crate::provider::Provider;
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
    let name = login.account.account.clone();
    let name = name.or_else(|| who.name().map(text::short_name)).unwrap_or("default".to_owned());
    let id = AccountId { provider: login.account.provider.clone(), account: name };
    let account = new_account(login, id, granted.tokens, who, extra);
    let account = write(account, login.replace, space, store, &mut warnings)?;
    let account = add_project(account, login, client, store, &mut warnings)?;
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

fn check_expected(login: &PendingLogin, who: &Identity) -> Result<()> {
    let Some(expected) = &login.expect else { return Ok(()) };
    let is = |known: &Option<String>| {
        known.as_ref().is_some_and(|known| known.eq_ignore_ascii_case(expected))
    };
    if is(&who.email) || is(&who.subject) {
        return Ok(());
    }
    let came = who.name().unwrap_or("somebody unknown");
    let account = text::shell_word(&login.account.to_string());
    Err(Error::failed(format!("{came} signed in, not {expected}; nothing was stored"))
        .or_try(format!("keyfob login {account} --prompt select_account")))
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
    Account {
        id,
        credential: Credential::Oauth(tokens),
        identity,
        client: Some(login.client()),
        issued_by: login.provider.token_url.as_deref().and_then(endpoint::origin),
        login_ids: vec![login.login_id.clone()],
        created_at: now,
        refreshed_at: now,
        refused: None,
        attributes: Map::new(),
        extra,
        unknown: Map::new(),
    }
}

/// Takes the place of an older login of the same person; what people noted on it stays.
fn write(
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
            account.extra.insert("project_id".to_owned(), Value::from(project));
            let _lock = store.lock_account(&account.id, LOCK_LIMIT)?;
            let space = store.reserve_account(&account.id)?;
            store.write_account(&account, space)?;
        }
        Err(error) => warnings.push(format!("no project yet: {error}")),
    }
    Ok(account)
}
