//! Renewing an account under its lock, each kind of credential in its own way.

use crate::account::{Account, OauthClient, Refusal};
use crate::credential::{Credential, Tokens};
use crate::endpoint;
use crate::error::{Error, Result};
use crate::flows::fresh::{self, Need, Tools, nobody, sign_in};
use crate::flows::{api_token, caller, discover, entra, service_account, session, tool};
use crate::protocol::token::{self, Answer};
use crate::protocol::{identity, request};
use crate::provider::Provider;
use crate::secret::Secret;
use crate::store::{AccountLock, Store};
use crate::time::Timestamp;

/// What comes out is on disk. `row` is the table's; the account may be at an instance of its own.
pub fn renew(
    old: &Account,
    need: Need,
    row: &Provider,
    tools: &Tools,
    _lock: &AccountLock,
) -> Result<Account> {
    let row = &*row.at(old.instance())?;
    let renewed = match &old.credential {
        Credential::Oauth(tokens) => both(old, tokens, need, row, tools),
        Credential::Cookie(..) => session::renew(old, row, tools),
        Credential::Entra(_) => entra::renew(old, row, tools),
        Credential::ServiceAccount(key, _) => service_account::renew(old, key, row, tools),
        Credential::Tool(path, _) => tool::read(old, path, row),
        Credential::ApiKey(_) | Credential::Bearer(..) => {
            Err(Error::failed(format!("{}: there is nothing to renew", old.id)))
        }
    };
    if renewed.is_ok() && !matches!(old.credential, Credential::Tool(..)) {
        tools.store.audit("refresh", &old.id, caller::name(), Timestamp::now());
    }
    renewed
}

/// The tokens where they are stale, then the second token where the row has one.
fn both(
    old: &Account,
    tokens: &Tokens,
    need: Need,
    row: &Provider,
    tools: &Tools,
) -> Result<Account> {
    let bought = row.api_token.as_ref();
    if bought.is_some() {
        // A row that was changed is no word of the provider's, so this is not noted as a refusal.
        check_issued_by(old, row)?;
    }
    let base = old.clone().without_api_token();
    let can_refresh = tokens.refresh_token.is_some();
    let is_stale = !fresh::suffices(&base, need, Timestamp::now());
    // A token without successor lives as long as it lives.
    let should_refresh = is_stale && (can_refresh || bought.is_none());
    let mut account = if should_refresh { oauth(old, tokens, row, tools)? } else { old.clone() };
    let Some(bought) = bought else { return Ok(account) };
    let fetch =
        |account: &Account| api_token::fetch(account, bought, row, tools.client, tools.store);
    let mut outcome = fetch(&account);
    if matches!(outcome, Err(Error::SignIn { .. })) && can_refresh && !should_refresh {
        // The first token was turned away before its time.
        account = oauth(old, tokens, row, tools)?;
        outcome = fetch(&account);
    }
    match outcome {
        Err(Error::SignIn { .. }) => note_refusal(&account, "unauthorized", tools.store),
        outcome => outcome,
    }
}

/// Whether the row's token endpoint is the one that issued the tokens. Files written by hand say
/// nothing about it.
pub fn is_issued_by(account: &Account, row: &Provider) -> bool {
    account.issued_by.is_none()
        || account.issued_by == row.token_url.as_deref().and_then(endpoint::origin)
}

/// A sign-in where it is not.
pub fn check_issued_by(account: &Account, row: &Provider) -> Result<()> {
    if is_issued_by(account, row) {
        return Ok(());
    }
    let why = "it was issued by another server than the one the provider's row names now";
    Err(sign_in(&account.id, why.to_owned()))
}

/// One request. Space on the disk is taken first, so that a full or read-only disk is found
/// before the refresh token is spent.
fn oauth(old: &Account, old_tokens: &Tokens, row: &Provider, tools: &Tools) -> Result<Account> {
    let Some(refresh_token) = &old_tokens.refresh_token else {
        return Err(sign_in(&old.id, "there is no refresh token".to_owned()));
    };
    let row = &*discover::complete(row, tools.client)?;
    check_issued_by(old, row)?;
    let client = client_of(old, row, tools.store)?;
    let asking = token::refresh(row, &client, refresh_token)?;
    let space = tools.store.reserve_account(&old.id)?;
    let guarded = tools.client.guarded_for(row.server.as_deref());
    let reply = guarded.as_ref().unwrap_or(tools.client).send(asking)?;
    let now = Timestamp::now();
    let basic = request::basic(&client);
    let mut sent = vec![refresh_token, &basic];
    sent.extend(&client.secret);
    match token::parse(reply.status, &reply.content_type, &reply.body, &sent, now) {
        Answer::Granted(mut granted) => {
            granted.tokens.keep_missing(old_tokens);
            let mut account = old.clone();
            account.credential = Credential::Oauth(granted.tokens);
            account.refreshed_at = now;
            account.refused = None;
            // What the provider says anew counts: the address its API moved to, the plan.
            let nobody = serde_json::Value::Null;
            let tokens = account.credential.oauth().unwrap_or(old_tokens);
            let (_, facts) = identity::identify(row, tokens, &granted.rest, &nobody);
            account.extra.extend(facts);
            tools.store.write_account(&account, space)?;
            Ok(account)
        }
        Answer::Refused(error) => {
            let is_final = error.kills_the_grant(&row.refusals)
                || (reply.status == 401 && row.refresh_401_is_final);
            drop(space);
            if is_final {
                return note_refusal(old, &error.code, tools.store);
            }
            let why = format!("the refresh was refused: {} ({})", error.description, error.code);
            Err(sign_in(&old.id, why))
        }
        Answer::TryLater(why) => Err(Error::Temporary {
            what: format!("{}: the provider could not refresh just now ({why})", old.id),
            retry_after_s: reply.retry_after_s,
            next: None,
        }),
        // A 401 with a page or nothing in it, where the row says that any 401 is a no.
        Answer::Unreadable(_) if reply.status == 401 && row.refresh_401_is_final => {
            drop(space);
            note_refusal(old, "unauthorized", tools.store)
        }
        Answer::Unreadable(what) => {
            let from = row.token_url.as_deref().and_then(endpoint::origin).unwrap_or_default();
            Err(Error::unreadable(from, what))
        }
    }
}

/// The client the login was made with. The row's secret counts while its client is the same one,
/// as it may have been changed since.
pub fn client_of(account: &Account, row: &Provider, store: &Store) -> Result<OauthClient> {
    let own = account.client.clone();
    let row_id = row.client_id.as_ref();
    if own.as_ref().is_none_or(|own| Some(&own.id) == row_id) {
        let kept = own.as_ref().and_then(|own| own.secret.clone());
        let secret = match row.published_secret().or(kept) {
            Some(secret) => Some(secret),
            None => store.config()?.client_secret(&row.id),
        };
        if let Some(id) = row_id.cloned().or(own.map(|own| own.id)) {
            return Ok(OauthClient { id, secret });
        }
    } else if let Some(own) = own {
        return Ok(own);
    }
    Err(Error::failed(format!("provider {} has no client_id", row.id)))
}

/// A definite no is kept beside the credential, unless the file has changed meanwhile.
pub fn note_refusal(old: &Account, code: &str, store: &Store) -> Result<Account> {
    let current = store.read_account(&old.id)?.ok_or_else(|| nobody(&old.id))?;
    if proof(&current) != proof(old) {
        // Somebody signed in again while we asked.
        return Ok(current);
    }
    let mut refused = current.clone();
    refused.refused = Some(Refusal { code: code.to_owned(), at: Timestamp::now() });
    let noted =
        store.reserve_account(&old.id).and_then(|space| store.write_account(&refused, space));
    let why = format!("the refresh was refused for good ({code})");
    match noted {
        Ok(_) => {
            store.audit("refused", &old.id, caller::name(), Timestamp::now());
            Err(sign_in(&old.id, why))
        }
        // The person has to sign in either way; the next call will ask the provider again.
        Err(error) => Err(sign_in(&old.id, format!("{why}; {error}"))),
    }
}

/// What was refused: the secret that a renewal spends or shows.
fn proof(account: &Account) -> &Secret {
    match &account.credential {
        Credential::Oauth(tokens) => tokens.refresh_token.as_ref().unwrap_or(&tokens.access_token),
        Credential::ServiceAccount(key, _) => key,
        other => other.secret(),
    }
}
