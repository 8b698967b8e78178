//! Finishing a login, in the process that began it or in any other: claim, exchange, keep.

use std::time::Duration;

use crate::account::{Account, AccountId, AccountRef};
use crate::endpoint;
use crate::error::{Error, Result};
use crate::flows::keep::{self, SignedIn};
use crate::flows::login::check_room;
use crate::flows::session;
use crate::net::client::Client;
use crate::pending::{self, Begun, PendingLogin};
use crate::protocol::callback::{Callback, Outcome};
use crate::protocol::oauth_error::OauthError;
use crate::protocol::request;
use crate::protocol::token::{self, Answer, Exchange, Granted};
use crate::provider::Provider;
use crate::secret::Secret;
use crate::store::{Claimed, Reservation, Store};
use crate::text;
use crate::time::Timestamp;

/// A token endpoint that is busy is asked once more after this.
const PAUSE: Duration = Duration::from_secs(1);

/// What the finishing command adds to, or insists on beyond, what the beginning one was told.
#[derive(Default)]
pub struct Amend {
    pub account: Option<String>,
    pub expect: Option<String>,
    pub replace: bool,
    pub no_verify: bool,
}

/// Finishes a login begun in another process. `login_id` names it, else the callback's state does.
pub fn finish(
    callback: Callback,
    login_id: &str,
    amend: Amend,
    client: &Client,
    store: &Store,
) -> Result<SignedIn> {
    let Some(pending) = store.find_pending(login_id)? else {
        return Err(gone(login_id, store));
    };
    if pending.expires_at <= Timestamp::now() {
        store.cancel_pending(login_id)?;
        let what =
            format!("this sign-in expired {}", pending.expires_at.in_words(Timestamp::now()));
        return Err(start_again(what, &pending));
    }
    if callback.state.as_ref().is_some_and(|state| Some(state) != pending.state()) {
        let what = "this callback belongs to another sign-in attempt".to_owned();
        return Err(start_again(what, &pending));
    }
    check_issuer(&pending.provider, callback.iss.as_deref()).map_err(Error::failed)?;
    let amended = amended(pending, &amend)?;
    check_room(&amended.account, store)?;
    match store.claim_pending(login_id)? {
        Some(mut claimed) => {
            claimed.login = amended;
            finish_claimed(claimed, callback, client, store)
        }
        None => Err(gone(login_id, store)),
    }
}

/// A name given at the end must be the one of the beginning, unless none was given there.
pub fn amended(mut login: PendingLogin, amend: &Amend) -> Result<PendingLogin> {
    match (&login.account.account, &amend.account) {
        (Some(begun), Some(named)) if begun != named => {
            let what = format!("this is a sign-in to {}", login.account);
            return Err(Error::usage(what).or_try("keyfob login --callback-url -"));
        }
        (_, Some(named)) => login.account.account = Some(named.clone()),
        (_, None) => {}
    }
    login.expect = amend.expect.clone().or(login.expect);
    login.replace |= amend.replace;
    login.verify &= !amend.no_verify;
    Ok(login)
}

fn start_again(what: String, login: &PendingLogin) -> Error {
    Error::Pending { what, next: Some(login.login_command()) }
}

/// Why no login has this id: it was used, it is being used, or nobody knows it.
pub fn gone(login_id: &str, store: &Store) -> Error {
    let accounts = store.all_accounts().unwrap_or_default();
    let mut used = accounts.iter().filter_map(|id| store.read_account(id).ok().flatten());
    if let Some(account) = used.find(|account| account.login_ids.iter().any(|id| id == login_id)) {
        let what = format!("this sign-in was already used, for {}", account.id);
        return Error::Pending {
            what,
            next: Some(format!("keyfob status {}", account.id.provider)),
        };
    }
    if store.is_under_way(login_id) {
        let what = "another process is finishing this sign-in".to_owned();
        return Error::Pending { what, next: Some("keyfob status".to_owned()) };
    }
    let what = "no sign-in under way fits this callback: it is unknown, cancelled or expired \
                (often: a newer address was opened)";
    Error::Pending { what: what.to_owned(), next: Some("keyfob pending list".to_owned()) }
}

/// From the claim on this process alone decides what becomes of the login: back into circulation
/// when its code may still be good, gone when it was spent or refused.
pub fn finish_claimed(
    claimed: Claimed,
    callback: Callback,
    client: &Client,
    store: &Store,
) -> Result<SignedIn> {
    // A process that died after it wrote the account left its claim: the code is spent, and sending
    // it again would make the provider revoke what it brought (RFC 6749 section 4.1.2).
    if account_of_login(&claimed.login.account, &claimed.login.login_id, store)?.is_some() {
        let login_id = claimed.login.login_id.clone();
        store.drop_claimed(claimed)?;
        return Err(gone(&login_id, store));
    }
    // Its state is ours, so it is the end of this login, whoever sent it.
    if let Err(why) = check_issuer(&claimed.login.provider, callback.iss.as_deref()) {
        let next = claimed.login.login_command();
        store.drop_claimed(claimed)?;
        return Err(Error::failed(why).or_try(next));
    }
    let code = match callback.outcome {
        Outcome::Code(code) => code,
        Outcome::Refused(error) => {
            let (account, row) = (claimed.login.account.clone(), claimed.login.provider.clone());
            store.drop_claimed(claimed)?;
            return Err(refused(&account, &row, error));
        }
    };
    let outcome = match &claimed.login.begun {
        Begun::Browser { state, verifier, redirect_uri } => {
            // Claude's page shows `code#state`; pasted into a query, the state may ride along.
            let code = Secret::new(code.expose().split('#').next().unwrap_or_default());
            let asked = Exchange { code: &code, redirect_uri, verifier, state };
            exchange(&claimed.login, &asked, client, store)
        }
        Begun::Cookie { .. } => return session::finish(claimed, &code, client, store),
        Begun::Device { .. } => {
            let what = "this is a device sign-in; it takes no callback";
            let account = text::shell_word(&claimed.login.account.to_string());
            Err(Error::usage(what).or_try(format!("keyfob login {account} --complete")))
        }
    };
    match outcome {
        Ok((granted, space)) => keep_and_drop(claimed, *granted, space, client, store),
        Err(error @ Error::Refused { .. }) => {
            store.drop_claimed(claimed)?;
            Err(error)
        }
        // No answer, or none that makes sense: the code may still be good.
        Err(error) => {
            store.release(claimed)?;
            Err(still_open(error))
        }
    }
}

/// The end of a login that was granted: the account, and the login under way is over.
pub fn keep_and_drop(
    claimed: Claimed,
    granted: Granted,
    space: Reservation,
    client: &Client,
    store: &Store,
) -> Result<SignedIn> {
    let kept = keep::keep(&claimed.login, granted, space, client, store);
    // The code is spent, whatever came of it.
    let dropped = store.drop_claimed(claimed);
    let mut signed_in = kept?;
    if let Err(error) = dropped {
        signed_in.warnings.push(error.to_string());
    }
    Ok(signed_in)
}

pub fn refused(account: &AccountRef, row: &Provider, error: OauthError) -> Error {
    Error::Refused {
        provider: account.provider.clone(),
        code: error.code,
        description: error.description,
        next: Some(pending::login_command(account, row)),
    }
}

/// The code was not spent for certain, so the same callback is worth another try.
pub fn still_open(error: Error) -> Error {
    match error {
        error @ (Error::Temporary { .. } | Error::Unreadable { .. }) => {
            error.or_try("keyfob login --callback-url -")
        }
        error => error,
    }
}

/// Asks for tokens, with space on the disk taken before the code is spent.
pub fn exchange(
    login: &PendingLogin,
    asked: &Exchange,
    client: &Client,
    store: &Store,
) -> Result<(Box<Granted>, Reservation)> {
    let row = &login.provider;
    let asking = token::exchange(row, &login.client(), asked)?;
    let space = reserve(login, store)?;
    let guarded = client.guarded_for(row.server.as_deref());
    let client = guarded.as_ref().unwrap_or(client);
    let mut reply = client.send(asking)?;
    if reply.status == 503 && row.server.is_some() {
        // Behind a proxy nobody could be asked to paste the address again.
        std::thread::sleep(PAUSE);
        reply = client.send(token::exchange(row, &login.client(), asked)?)?;
    }
    let now = Timestamp::now();
    let basic = request::basic(&login.client());
    let mut sent = vec![asked.code, asked.verifier, asked.state, &basic];
    sent.extend(&login.client_secret);
    let answer = token::parse(reply.status, &reply.content_type, &reply.body, &sent, now);
    match answer {
        Answer::Granted(granted) => Ok((granted, space)),
        other => Err(not_granted(login, other, reply.retry_after_s)),
    }
}

/// Space for the account that the login will bring; its name is not known yet.
pub fn reserve(login: &PendingLogin, store: &Store) -> Result<Reservation> {
    let account = format!("login-{}", login.login_id);
    store.reserve_account(&AccountId { provider: login.account.provider.clone(), account })
}

/// Every answer but the one that was hoped for.
pub fn not_granted(login: &PendingLogin, answer: Answer, retry_after_s: Option<u64>) -> Error {
    let row = &login.provider;
    match answer {
        Answer::Refused(error) => refused(&login.account, row, error),
        Answer::TryLater(why) => Error::Temporary {
            what: format!("{} could not finish the sign-in just now ({why})", row.id),
            retry_after_s,
            next: None,
        },
        Answer::Granted(_) => Error::failed("the sign-in was granted and not kept"),
        Answer::Unreadable(what) => {
            let from = row.token_url.as_deref().and_then(endpoint::origin).unwrap_or_default();
            Error::unreadable(from, what)
        }
    }
}

/// The account that this login brought, if it is on disk.
pub fn account_of_login(
    account: &AccountRef,
    login_id: &str,
    store: &Store,
) -> Result<Option<Account>> {
    for id in store.accounts(&account.provider)? {
        if let Ok(Some(found)) = store.read_account(&id)
            && found.login_ids.iter().any(|id| id == login_id)
        {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// RFC 9207 section 2.4: a callback of another issuer is an attack, and so is one without `iss`
/// where the issuer promised it.
pub fn check_issuer(row: &Provider, iss: Option<&str>) -> std::result::Result<(), String> {
    match (&row.issuer, iss) {
        // MCP has it byte for byte (facts: mcp.md section 3.10).
        (Some(issuer), Some(iss)) if row.server.is_some() && iss != issuer => {
            Err("this comes from another issuer".to_owned())
        }
        (Some(issuer), Some(iss)) if iss.trim_end_matches('/') != issuer.trim_end_matches('/') => {
            Err(format!("this comes from another issuer, {}", text::harmless(iss, 120)))
        }
        (Some(_), None) if row.iss_in_callback => {
            Err("this does not say which issuer it comes from".to_owned())
        }
        _ => Ok(()),
    }
}
