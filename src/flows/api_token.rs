//! Buying the second token with the first one, and keeping it with the account.

use serde_json::Value;

use crate::account::Account;
use crate::endpoint;
use crate::error::{Error, Result};
use crate::flows::fresh::sign_in;
use crate::net::client::Client;
use crate::protocol::api_token::{self, Answer};
use crate::provider::{ApiToken, Provider};
use crate::store::Store;
use crate::time::Timestamp;

/// One request, and the account on disk with what it brought. The caller holds the account's lock, and
/// knows that the row is of the server that issued the first token. `SignIn`: the first token was turned away.
pub fn fetch(
    account: &Account,
    bought: &ApiToken,
    row: &Provider,
    client: &Client,
    store: &Store,
) -> Result<Account> {
    let space = store.reserve_account(&account.id)?;
    let account = buy(account, bought, row, client)?;
    store.write_account(&account, space)?;
    Ok(account)
}

/// The same, with nothing kept: what is bought with another tool's token is gone with the command.
pub fn buy(
    account: &Account,
    bought: &ApiToken,
    row: &Provider,
    client: &Client,
) -> Result<Account> {
    let base = account.credential.secret();
    let request = api_token::request(bought, base)?;
    let reply = client.send(request)?;
    let now = Timestamp::now();
    let id = &account.id;
    match api_token::parse(row, bought, reply.status, &reply.body, base, now) {
        Answer::Granted { minted, api_base } => {
            let mut account = account.clone();
            account.api_token = Some(minted);
            account.refreshed_at = now;
            account.refused = None;
            if let Some(base) = api_base {
                account.extra.insert("api_base".to_owned(), Value::from(base));
            }
            Ok(account)
        }
        Answer::Unauthorized => Err(sign_in(id, "the sign-in is no longer accepted".to_owned())),
        Answer::Refused(why) => {
            let what = format!("{id}: the provider gives no API token: {why}");
            Err(Error::failed(what).or_try(id.login_command()))
        }
        Answer::TryLater(why) => Err(Error::Temporary {
            what: format!("{id}: the provider gives no API token just now ({why})"),
            retry_after_s: reply.retry_after_s,
            next: None,
        }),
        Answer::Unreadable(what) => {
            Err(Error::unreadable(endpoint::origin(&bought.url).unwrap_or_default(), what))
        }
    }
}
