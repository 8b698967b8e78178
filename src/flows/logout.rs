//! Revoke at the provider, then delete. The file goes even when the provider cannot be told.

use std::time::Duration;

use crate::account::{Account, AccountId};
use crate::credential::Credential;
use crate::error::{Error, Result};
use crate::flows::{caller, discover, renew};
use crate::net::client::Client;
use crate::protocol::revoke;
use crate::provider::Providers;
use crate::store::{Found, Store};
use crate::time::Timestamp;

/// Longest wait for a process that is refreshing the account.
const LOCK_LIMIT: Duration = Duration::from_secs(40);

pub struct Removed {
    /// None: there was nothing to revoke, or nowhere to do it.
    pub revoked: Option<bool>,
    pub warning: Option<String>,
}

/// Ends one sign-in. Err: there is no such account, or its file cannot be removed.
pub fn logout(
    id: &AccountId,
    keep_token: bool,
    client: &Client,
    providers: &Providers,
    store: &Store,
) -> Result<Removed> {
    let _lock = store.lock_account(id, LOCK_LIMIT)?;
    store.check_replaceable(id)?;
    let (revoked, warning) = match store.find_account(id) {
        Ok(Found::Missing) => {
            return Err(Error::SignIn {
                account: id.to_string(),
                why: "nobody is signed in".to_owned(),
                next: "keyfob status".to_owned(),
            });
        }
        Ok(Found::Account(_)) if keep_token => (None, None),
        Ok(Found::Account(account)) => match revoke(&account, client, providers, store) {
            Ok(outcome) => outcome,
            Err(error) => (Some(false), Some(format!("the token was not revoked: {error}"))),
        },
        Ok(Found::Damaged(why)) => (None, Some(format!("nothing could be revoked: {why}"))),
        Err(error) => (None, Some(format!("nothing could be revoked: {error}"))),
    };
    store.remove_account(id)?;
    store.audit("logout", id, caller::name(), Timestamp::now());
    Ok(Removed { revoked, warning })
}

fn revoke(
    account: &Account,
    client: &Client,
    providers: &Providers,
    store: &Store,
) -> Result<(Option<bool>, Option<String>)> {
    let row = providers.find(&account.id.provider)?;
    if let Credential::ServiceAccount(..) = account.credential {
        let page = row.and_then(|row| row.revoke_page.as_deref());
        let page = page.map_or(String::new(), |page| format!(" until it is deleted at {page}"));
        return Ok((None, Some(format!("the key file itself stays valid{page}"))));
    }
    let Some(tokens) = account.credential.oauth() else {
        // A key is ended where it was made, and may be in use elsewhere.
        return Ok((None, None));
    };
    let Some(row) = row else {
        return Ok((None, Some("its provider is unknown now, so nothing was revoked".to_owned())));
    };
    let row = row.at(account.instance())?;
    let row = &*discover::complete(&row, client)?;
    if !renew::is_issued_by(account, row) {
        let warning = "it was issued by another server than the row names now: nothing was revoked";
        return Ok((None, Some(warning.to_owned())));
    }
    let oauth_client = renew::client_of(account, row, store)?;
    let Some(request) = revoke::request(row, &oauth_client, tokens)? else {
        let page = row.revoke_page.as_deref();
        let page = page.map_or(String::new(), |page| format!("; end it by hand at {page}"));
        let warning = format!("{} has no revocation endpoint{page}", row.id);
        return Ok((None, Some(warning)));
    };
    let guarded = client.guarded_for(row.server.as_deref());
    let reply = guarded.as_ref().unwrap_or(client).send(request)?;
    if (200..300).contains(&reply.status) {
        return Ok((Some(true), None));
    }
    Err(Error::failed(format!("the provider answered {}", reply.status)))
}
