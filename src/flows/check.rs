//! Whether a credential still works, asked of the provider instead of the clock, and without spending
//! anything: a token that is good is not rotated for it.

use crate::account::Account;
use crate::credential::Credential;
use crate::endpoint;
use crate::error::{Error, Result};
use crate::flows::fresh::{self, Need, Tools};
use crate::flows::{api, discover, environment, renew};
use crate::net::reply::Reply;
use crate::protocol::{attach, identity, models, session};
use crate::time::Timestamp;

/// What is known after the check.
pub enum Proof {
    /// This host let it in.
    Accepted(String),
    Renewed,
    /// Nobody could be asked; the text says why.
    Unproven(String),
}

pub struct Checked {
    /// As it is on disk after the check.
    pub account: Account,
    pub outcome: Result<Proof>,
    /// It was good enough, but could not be renewed.
    pub warning: Option<String>,
    /// The provider turns the credential away, and it could not be renewed.
    pub is_dead: bool,
}

/// Renews a stale credential; shows a fresh one to the provider, and renews it when that turns it
/// away.
pub fn check(account: Account, tools: &Tools) -> Checked {
    if matches!(account.credential, Credential::ApiKey(_) | Credential::Bearer(..)) {
        let outcome = show(&account, tools);
        let is_dead = matches!(outcome, Err(Error::SignIn { .. }));
        return Checked { account, outcome, warning: None, is_dead };
    }
    let id = account.id.clone();
    let (need, proof) = match probe(&account, tools) {
        Ok(Probed { need, proof }) => (need, proof),
        Err(error) => {
            return Checked { account, outcome: Err(error), warning: None, is_dead: false };
        }
    };
    match fresh::credential(&id, need, tools) {
        Ok(fresh) => {
            let was_renewed = fresh.account.secret() != account.secret()
                || fresh.account.refreshed_at != account.refreshed_at;
            let proof = if was_renewed { Proof::Renewed } else { proof };
            let outcome = Ok(proof);
            Checked { account: fresh.account, outcome, warning: fresh.warning, is_dead: false }
        }
        Err(error) => {
            let account = tools.store.read_account(&id).ok().flatten().unwrap_or(account);
            // A network that fails just now says nothing about a token that was turned away, but
            // neither does anything say that it still works.
            let is_dead = match account.credential {
                Credential::Cookie(..) => matches!(error, Error::SignIn { .. }),
                _ => matches!(need, Need::Renewed),
            };
            Checked { account, outcome: Err(error), warning: None, is_dead }
        }
    }
}

/// What has to be done, and what is known if that is nothing.
struct Probed {
    need: Need,
    proof: Proof,
}

fn probe(account: &Account, tools: &Tools) -> Result<Probed> {
    let unproven = || Proof::Unproven("no free call is known that would show it".to_owned());
    if !account.is_fresh(Timestamp::now()) {
        return Ok(Probed { need: Need::Usual, proof: unproven() });
    }
    match &account.credential {
        // Only the instance knows the end of a session.
        Credential::Cookie(..) => Ok(Probed { need: Need::Renewed, proof: unproven() }),
        Credential::Oauth(_) => match show(account, tools) {
            Ok(proof) => Ok(Probed { need: Need::Usual, proof }),
            Err(Error::SignIn { .. }) => Ok(Probed { need: Need::Renewed, proof: unproven() }),
            Err(error) => Err(error),
        },
        _ => Ok(Probed { need: Need::Usual, proof: unproven() }),
    }
}

/// Shows the credential as it is. `SignIn`: it was turned away.
pub fn show(account: &Account, tools: &Tools) -> Result<Proof> {
    let row = &*environment::row_for(account, tools.providers)?;
    if let Credential::Oauth(tokens) = &account.credential {
        let row = discover::complete(row, tools.client)?;
        renew::check_issued_by(account, &row)?;
        if let Some(request) = identity::userinfo(&row, &tokens.access_token)? {
            let host = request.uri().host().unwrap_or_default().to_owned();
            return judge(account, &host, &tools.client.send(request)?);
        }
    }
    let url = match &row.check {
        Some(path) => format!("{}{path}", attach::need_base(account, row)?),
        // An API without a list of models leaves the credential unproven.
        None => match models::url(account, row) {
            Ok(url) => url,
            Err(error) => return Ok(Proof::Unproven(error.to_string())),
        },
    };
    api::check_host(account, &url)?;
    let reply = tools.client.send(models::request(&url, account, row)?)?;
    api::keep_rotated(account, &reply, tools.store);
    judge(account, &endpoint::origin(&url).unwrap_or_default(), &reply)
}

/// Only 401 says that a token of a sign-in is over; of a key 403 does too.
fn judge(account: &Account, host: &str, reply: &Reply) -> Result<Proof> {
    if let Some(error) = reply.not_now(host) {
        return Err(error);
    }
    let has_no_successor =
        matches!(account.credential, Credential::ApiKey(_) | Credential::Bearer(..));
    let is_out = session::is_signed_out(reply.status, &reply.content_type, &reply.body);
    let is_session = matches!(account.credential, Credential::Bearer(..));
    match reply.status {
        401 => Err(api::turned_away(account, host, 401, "")),
        403 if has_no_successor => Err(api::turned_away(account, host, 403, "")),
        400 if has_no_successor && api::is_unknown_key(reply) => {
            Err(api::turned_away(account, host, 400, ""))
        }
        status if is_session && is_out => Err(api::turned_away(account, host, status, "")),
        200..300 if reply.content_type != "text/html" => Ok(Proof::Accepted(host.to_owned())),
        status => {
            let page = if reply.content_type == "text/html" { " with a web page" } else { "" };
            Ok(Proof::Unproven(format!("{host} answered a free call {status}{page}")))
        }
    }
}
