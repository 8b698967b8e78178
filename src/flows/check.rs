//! Whether a stored credential still works, asked of the provider instead of the clock.

use crate::account::{Account, Credential};
use crate::error::Result;
use crate::flows::discover;
use crate::flows::fresh::{self, Need, Tools};
use crate::protocol::identity;

pub struct Checked {
    /// As it is on disk after the check.
    pub account: Account,
    pub warning: Option<String>,
}

/// Renews a stale credential; shows a fresh one to the provider, and renews it when that turns it
/// away.
pub fn check(account: Account, tools: &Tools) -> Checked {
    let id = account.id.clone();
    let outcome = probe(&account, tools).and_then(|need| fresh::credential(&id, need, tools));
    match outcome {
        Ok(fresh) => Checked { account: fresh.account, warning: fresh.warning },
        Err(error) => {
            let account = tools.store.read_account(&id).ok().flatten().unwrap_or(account);
            Checked { account, warning: Some(error.to_string()) }
        }
    }
}

fn probe(account: &Account, tools: &Tools) -> Result<Need> {
    if !account.is_fresh(crate::time::Timestamp::now()) {
        return Ok(Need::Usual);
    }
    let Credential::Oauth(tokens) = &account.credential;
    let row = discover::complete(tools.providers.get(&account.id.provider)?, tools.client)?;
    let Some(request) = identity::userinfo(&row, &tokens.access_token)? else {
        return Ok(Need::Usual);
    };
    let reply = tools.client.send(request)?;
    Ok(if reply.status == 401 { Need::Renewed } else { Need::Usual })
}
