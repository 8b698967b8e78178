//! Whether a stored credential still works, asked of the provider instead of the clock.

use crate::account::Account;
use crate::credential::Credential;
use crate::error::{Error, Result};
use crate::flows::fresh::{self, Need, Tools};
use crate::flows::{discover, models};
use crate::protocol::identity;

pub struct Checked {
    /// As it is on disk after the check.
    pub account: Account,
    pub warning: Option<String>,
    /// The provider turns the credential away, and it could not be renewed.
    pub is_dead: bool,
}

/// Renews a stale credential; shows a fresh one to the provider, and renews it when that turns it
/// away.
pub fn check(account: Account, tools: &Tools) -> Checked {
    if matches!(account.credential, Credential::ApiKey(_) | Credential::Bearer(..)) {
        return check_key(account, tools);
    }
    let id = account.id.clone();
    let need = match probe(&account, tools) {
        Ok(need) => need,
        Err(error) => {
            return Checked { account, warning: Some(error.to_string()), is_dead: false };
        }
    };
    match fresh::credential(&id, need, tools) {
        Ok(fresh) => Checked { account: fresh.account, warning: fresh.warning, is_dead: false },
        Err(error) => {
            let account = tools.store.read_account(&id).ok().flatten().unwrap_or(account);
            // A network that fails just now says nothing about a token that was turned away, but
            // neither does anything say that it still works.
            let is_dead = match account.credential {
                Credential::Cookie(..) => matches!(error, Error::SignIn { .. }),
                _ => matches!(need, Need::Renewed),
            };
            Checked { account, warning: Some(error.to_string()), is_dead }
        }
    }
}

/// A key is shown to its API by asking for the models, which costs nothing. An API without such a
/// list leaves the key unproven.
fn check_key(account: Account, tools: &Tools) -> Checked {
    let row = tools.providers.get(&account.id.provider);
    let row = row.and_then(|row| row.at(account.instance()));
    match row.and_then(|row| models::list(&account, &row, tools.client)) {
        Err(error @ Error::SignIn { .. }) => {
            Checked { account, warning: Some(error.to_string()), is_dead: true }
        }
        Err(error @ Error::Temporary { .. }) => {
            Checked { account, warning: Some(error.to_string()), is_dead: false }
        }
        Ok(_) | Err(_) => Checked { account, warning: None, is_dead: false },
    }
}

fn probe(account: &Account, tools: &Tools) -> Result<Need> {
    if !account.is_fresh(crate::time::Timestamp::now()) {
        return Ok(Need::Usual);
    }
    let tokens = match &account.credential {
        Credential::Oauth(tokens) => tokens,
        // Only the instance knows the end of a session.
        Credential::Cookie(..) => return Ok(Need::Renewed),
        _ => return Ok(Need::Usual),
    };
    let row = tools.providers.get(&account.id.provider)?.at(account.instance())?;
    let row = discover::complete(&row, tools.client)?;
    let Some(request) = identity::userinfo(&row, &tokens.access_token)? else {
        return Ok(Need::Usual);
    };
    let reply = tools.client.send(request)?;
    Ok(if reply.status == 401 { Need::Renewed } else { Need::Usual })
}
