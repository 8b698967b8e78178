//! The models a credential may use, asked of its API.

use crate::account::Account;
use crate::credential::Credential;
use crate::endpoint;
use crate::error::{Error, Result};
use crate::flows;
use crate::net::client::Client;
use crate::protocol::models::{self, Model};
use crate::protocol::session;
use crate::provider::Provider;
use crate::store::Store;

/// `SignIn`: the API turns the credential away.
pub fn list(
    account: &Account,
    row: &Provider,
    client: &Client,
    store: &Store,
) -> Result<Vec<Model>> {
    let url = models::url(account, row)?;
    let is_cookie = matches!(account.credential, Credential::Cookie(..));
    if is_cookie && endpoint::origin(&url) != account.issued_by {
        let what = format!("{}: the session belongs to another host than {url}", account.id);
        return Err(Error::failed(what).or_try(account.id.login_command()));
    }
    let reply = client.send(models::request(&url, account, row)?)?;
    if let Err(error) = flows::session::keep_rotated(account, &reply, store) {
        // The list is good all the same.
        crate::log::warn(&format!("the session was renewed and not kept: {error}"));
    }
    let host = endpoint::origin(&url).unwrap_or_default();
    if let Some(error) = reply.not_now(&host) {
        return Err(error);
    }
    let is_session = matches!(account.credential, Credential::Cookie(..) | Credential::Bearer(..));
    let is_out = session::is_signed_out(reply.status, &reply.content_type, &reply.body);
    if matches!(reply.status, 401 | 403) || (is_session && is_out) {
        return Err(turned_away(account, &host, reply.status));
    }
    if !(200..300).contains(&reply.status) {
        return Err(Error::unreadable(
            host,
            format!("no list of models (status {})", reply.status),
        ));
    }
    models::parse(&reply.body).ok_or_else(|| Error::unreadable(host, "no list of models"))
}

fn turned_away(account: &Account, host: &str, status: u16) -> Error {
    let what = match account.credential {
        Credential::ApiKey(_) => "key",
        Credential::Cookie(..) => "session",
        _ => "token",
    };
    let why = format!("{host} does not accept the {what} (status {status})");
    let flag = match account.credential {
        Credential::ApiKey(_) => " --api-key-stdin",
        Credential::Bearer(..) => " --jwt-token -",
        _ => "",
    };
    let next = format!("{}{flag}", account.id.login_command());
    Error::SignIn { account: account.id.to_string(), why, next }
}
