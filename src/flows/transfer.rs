//! Moving a credential to another machine: out as one file, in under the account's lock.

use std::time::Duration;

use serde_json::Value;

use crate::account::{Account, AccountId};
use crate::credential::Credential;
use crate::error::{Error, Result};
use crate::flows::caller;
use crate::flows::keep::SignedIn;
use crate::store::{Found, Store};
use crate::text;
use crate::time::Timestamp;

const LOCK_LIMIT: Duration = Duration::from_secs(40);
/// The mark of a copy that somebody else renews.
pub const ACCESS_ONLY: &str = "access_only";

/// The account without anything that can be renewed or traded for more: what expires with its token.
pub fn access_only(account: &Account) -> Result<Account> {
    let mut copy = account.clone();
    copy.credential = match &account.credential {
        Credential::Oauth(tokens) if account.api_token.is_none() => {
            let mut tokens = tokens.clone();
            tokens.refresh_token = None;
            Credential::Oauth(tokens)
        }
        Credential::ApiKey(_) | Credential::Bearer(..) => account.credential.clone(),
        Credential::Cookie(..) => {
            let what = format!("{}: a session cannot be split; export it whole", account.id);
            return Err(Error::usage(what).or_try(format!("keyfob export {}", account.id)));
        }
        Credential::Entra(_)
        | Credential::Oauth(_)
        | Credential::ServiceAccount(..)
        | Credential::Tool(..) => {
            Credential::Bearer(account.secret().clone(), account.expires_at())
        }
    };
    copy.api_token = None;
    copy.client = None;
    copy.login_ids.clear();
    copy.refused = None;
    // What a newer version added may be a secret.
    copy.unknown.clear();
    copy.extra.insert(ACCESS_ONLY.to_owned(), Value::from(true));
    Ok(copy)
}

/// Whether it may leave whole. Another tool's sign-in lies in that tool's file, which the copy would name
/// on a machine where nobody agreed to read it.
pub fn may_travel(account: &Account) -> Result<()> {
    if let Credential::Tool(path, _) = &account.credential {
        let what = format!("{}: the sign-in is another tool's, in {path}", account.id);
        return Err(
            Error::usage(what).or_try(format!("keyfob export {} --access-only", account.id))
        );
    }
    Ok(())
}

/// Writes an exported account here, as `name` if one is given. What is in the way goes only with
/// `replace`: another person's account, a key that is not the same, a whole login for a copy that cannot
/// refresh, and what was renewed since the copy was made.
pub fn import(
    bytes: &[u8],
    name: Option<String>,
    replace: bool,
    store: &Store,
) -> Result<SignedIn> {
    let mut account = store.parse_export(bytes)?;
    if matches!(account.credential, Credential::Tool(..)) {
        let what = format!("{} is the sign-in of another tool, which is read in place", account.id);
        let next = format!("keyfob login {}", account.id.provider);
        return Err(Error::usage(what).or_try(next));
    }
    if let Some(name) = name {
        account.id = AccountId { provider: account.id.provider, account: name };
    }
    // Whoever wrote the file: as from a provider.
    let who = &mut account.identity;
    for text in [&mut who.email, &mut who.subject, &mut who.organization].into_iter().flatten() {
        *text = text::harmless(text, 200);
    }
    let now = Timestamp::now();
    let mut warnings = Vec::new();
    let _lock = store.lock_account(&account.id, LOCK_LIMIT)?;
    match store.find_account(&account.id)? {
        Found::Account(old) if !replace && is_in_the_way(&old, &account) => {
            let what = format!("{} is here already; the copy would take its place", account.id);
            return Err(Error::failed(what).or_try("keyfob import --replace FILE"));
        }
        Found::Account(_) | Found::Missing => {}
        Found::Damaged(why) => {
            let aside = store.set_aside(&account.id, now)?.display().to_string();
            warnings.push(format!("the old file was damaged ({why}); it is kept as {aside}"));
        }
    }
    let space = store.reserve_account(&account.id)?;
    let path = store.write_account(&account, space)?;
    store.audit("import", &account.id, caller::name(), now);
    Ok(SignedIn { account, path, warnings, elsewhere: false })
}

fn is_in_the_way(old: &Account, new: &Account) -> bool {
    if old.secret() == new.secret() && old.can_refresh() == new.can_refresh() {
        return false;
    }
    let is_unknown = old.identity.name().is_none() || new.identity.name().is_none();
    old.identity.is_someone_else_than(&new.identity)
        || is_unknown
        || (old.can_refresh() && !new.can_refresh())
        || old.refreshed_at > new.refreshed_at
}
