//! Signing in: begin, wait, finish. The two-step login is *begin* in one process and *finish* in
//! another; the waiting ones put *wait* between. There is no second path to an account.

use std::time::{Duration, Instant};

use crate::account::{Account, AccountId, AccountRef, OauthClient};
use crate::endpoint;
use crate::error::{Error, Result};
use crate::flows::keep::{self, SignedIn};
use crate::net::client::Client;
use crate::net::loopback::{self, Heard, Listener, Rules, Source};
use crate::net::page;
use crate::pending::PendingLogin;
use crate::protocol::authorize;
use crate::protocol::callback::{self, Callback, Outcome};
use crate::protocol::oauth_error::OauthError;
use crate::protocol::pkce;
use crate::protocol::token::{self, Answer, Exchange, Granted};
use crate::provider::{Provider, Shows};
use crate::secret::Secret;
use crate::store::{Claimed, Reservation, Store};
use crate::text;
use crate::time::Timestamp;

/// A login lives at least this long, so that it can be finished elsewhere.
const LIFETIME_S: i64 = 600;

/// What a login is asked to do.
pub struct Wish {
    pub account: AccountRef,
    /// The row, with the scopes of this login.
    pub provider: Provider,
    pub client: OauthClient,
    pub redirect_uri: String,
    pub login_hint: Option<String>,
    pub prompt: Option<String>,
    pub expect: Option<String>,
    pub replace: bool,
    pub verify: bool,
    pub wait_s: i64,
}

// ---- begin

/// Draws state and verifier, and stores the login under way.
pub fn begin(wish: Wish, store: &Store) -> Result<PendingLogin> {
    let now = Timestamp::now();
    store.sweep(now);
    check_room(&wish.account, store)?;
    // Found before the person goes to the browser, not after.
    let token_url = wish.provider.need(&wish.provider.token_url, "token_url")?;
    endpoint::check("the token endpoint", token_url)?;
    let (mut state_bytes, mut verifier_bytes) = ([0; 32], [0; 64]);
    let drawn = getrandom::fill(&mut state_bytes).and(getrandom::fill(&mut verifier_bytes));
    drawn.map_err(|e| Error::failed(format!("the system gives no random bytes: {e}")))?;
    let (state, verifier) = (pkce::state(&state_bytes), pkce::verifier(&verifier_bytes));
    let asked = authorize::Asked {
        client_id: &wish.client.id,
        redirect_uri: &wish.redirect_uri,
        state: &state,
        verifier: &verifier,
        login_hint: wish.login_hint.as_deref(),
        prompt: wish.prompt.as_deref(),
    };
    let auth_url = authorize::url(&wish.provider, &asked)?;
    let mut provider = wish.provider;
    provider.client_id = Some(wish.client.id);
    let pending = PendingLogin {
        login_id: pkce::login_id(state.expose()),
        account: wish.account,
        provider,
        client_secret: wish.client.secret,
        state,
        verifier,
        redirect_uri: wish.redirect_uri,
        auth_url,
        expect: wish.expect,
        replace: wish.replace,
        verify: wish.verify,
        started_at: now,
        expires_at: now.plus(wish.wait_s.max(LIFETIME_S)),
    };
    store.write_pending(&pending)?;
    Ok(pending)
}

/// A file that cannot be replaced is found before the person goes to the browser.
fn check_room(account: &AccountRef, store: &Store) -> Result<()> {
    match &account.account {
        Some(name) => {
            let id = AccountId { provider: account.provider.clone(), account: name.clone() };
            store.find_account(&id)?;
        }
        None => {
            for id in store.accounts(&account.provider)? {
                store.find_account(&id)?;
            }
        }
    }
    Ok(())
}

// ---- wait

/// Where a waiting login can hear of its end.
pub struct Ears<'a> {
    pub listener: Option<Listener>,
    pub with_paste: bool,
    /// The provider's page shows a code without its state, so a bare code may be pasted.
    pub page: Option<Shows>,
    pub limit: Duration,
    pub tick: &'a dyn Fn(Duration),
    pub rejected: &'a dyn Fn(&str),
}

/// Whichever comes first: the loopback callback, a paste, the end in another process, time-out.
pub fn wait(
    pending: &PendingLogin,
    ears: &Ears,
    client: &Client,
    store: &Store,
) -> Result<SignedIn> {
    let deadline = Instant::now() + ears.limit;
    let rules = Rules {
        path: &pending.provider.redirect.path,
        judge: &|source, text| judge(pending, ears.page, source, text),
        is_over: &|| !store.is_under_way(&pending.login_id),
        tick: ears.tick,
        rejected: ears.rejected,
    };
    match loopback::wait(ears.listener.as_ref(), ears.with_paste, deadline, &rules) {
        Heard::Callback(callback, browser) => {
            let outcome = finish_here(pending, callback, deadline, client, store);
            match &outcome {
                Ok(signed_in) => browser.show(200, &page::success(&page_text(signed_in))),
                Err(error) => {
                    browser.show(400, &page::failure(&format!("{error}. The terminal says more.")));
                }
            }
            outcome
        }
        Heard::Pasted(callback) => finish_here(pending, callback, deadline, client, store),
        Heard::Over => finished_elsewhere(pending, store),
        Heard::TimedOut => Err(Error::Pending {
            what: format!("nobody finished the sign-in within {} s", ears.limit.as_secs()),
            next: Some(format!("keyfob login {}", text::shell_word(&pending.account.to_string()))),
        }),
    }
}

fn page_text(signed_in: &SignedIn) -> String {
    let who = signed_in.account.identity.name().unwrap_or(&signed_in.account.id.account);
    let provider = &signed_in.account.id.provider;
    format!(
        "{provider}: signed in as {who}. You can close this window and go back to the terminal."
    )
}

/// Whether a text is the callback of this login; Err says why not. An `error=` counts only with
/// the right state, or anyone could end the login.
fn judge(
    pending: &PendingLogin,
    page: Option<Shows>,
    source: Source,
    text: &str,
) -> std::result::Result<Callback, String> {
    let parsed = match (source, page) {
        (Source::Paste, Some(Shows::Code)) => callback::parse_code(text),
        (Source::Paste | Source::Loopback, _) => callback::parse(text),
    };
    let Some(callback) = parsed else {
        return Err("this holds no code of a sign-in; copy the whole address".to_owned());
    };
    match &callback.state {
        Some(state) if *state == pending.state => {}
        None if source == Source::Paste && page == Some(Shows::Code) => {}
        Some(_) => {
            return Err(
                "this belongs to another sign-in attempt; use the newest address".to_owned()
            );
        }
        None => {
            return Err("this lacks the state of the sign-in; copy the whole address".to_owned());
        }
    }
    check_issuer(&pending.provider, callback.iss.as_deref())?;
    Ok(callback)
}

/// RFC 9207 section 2.4: a callback of another issuer is an attack, and so is one without `iss`
/// where the issuer promised it.
fn check_issuer(row: &Provider, iss: Option<&str>) -> std::result::Result<(), String> {
    match (&row.issuer, iss) {
        (Some(issuer), Some(iss)) if iss.trim_end_matches('/') != issuer.trim_end_matches('/') => {
            Err(format!("this comes from another issuer, {}", text::harmless(iss, 120)))
        }
        (Some(_), None) if row.iss_in_callback => {
            Err("this does not say which issuer it comes from".to_owned())
        }
        _ => Ok(()),
    }
}

/// Finishes, unless another process was faster: then its outcome counts.
fn finish_here(
    pending: &PendingLogin,
    callback: Callback,
    deadline: Instant,
    client: &Client,
    store: &Store,
) -> Result<SignedIn> {
    while Instant::now() < deadline && store.is_under_way(&pending.login_id) {
        if let Some(claimed) = store.claim_pending(&pending.login_id)? {
            return finish_claimed(claimed, callback, client, store);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    finished_elsewhere(pending, store)
}

/// The outcome that another process left: the account it wrote, or nothing.
fn finished_elsewhere(pending: &PendingLogin, store: &Store) -> Result<SignedIn> {
    if let Some(account) = account_of_login(&pending.account, &pending.login_id, store)? {
        let path = store.account_path(&account.id);
        return Ok(SignedIn { account, path, warnings: Vec::new(), elsewhere: true });
    }
    Err(Error::Failed {
        what: "the sign-in was refused or cancelled in another terminal".to_owned(),
        next: Some(format!("keyfob login {}", text::shell_word(&pending.account.to_string()))),
    })
}

fn account_of_login(
    account: &AccountRef,
    login_id: &str,
    store: &Store,
) -> Result<Option<Account>> {
    for id in store.accounts(&account.provider)? {
        if let Ok(Some(found)) = store.read_account(&id)
            && found.login_id.as_deref() == Some(login_id)
        {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

// ---- finish

/// Finishes a login begun in another process. `login_id` names it, else the callback's state does.
pub fn finish(
    callback: Callback,
    login_id: &str,
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
        return Err(start_again(what, &pending.account));
    }
    if callback.state.as_ref().is_some_and(|state| *state != pending.state) {
        let what = "this callback belongs to another sign-in attempt".to_owned();
        return Err(start_again(what, &pending.account));
    }
    check_issuer(&pending.provider, callback.iss.as_deref()).map_err(Error::failed)?;
    check_room(&pending.account, store)?;
    match store.claim_pending(login_id)? {
        Some(claimed) => finish_claimed(claimed, callback, client, store),
        None => Err(gone(login_id, store)),
    }
}

fn start_again(what: String, account: &AccountRef) -> Error {
    let next = format!("keyfob login {}", text::shell_word(&account.to_string()));
    Error::Pending { what, next: Some(next) }
}

/// Why no login has this id: it was used, it is being used, or nobody knows it.
fn gone(login_id: &str, store: &Store) -> Error {
    let accounts = store.all_accounts().unwrap_or_default();
    let mut used = accounts.iter().filter_map(|id| store.read_account(id).ok().flatten());
    if let Some(account) = used.find(|account| account.login_id.as_deref() == Some(login_id)) {
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
fn finish_claimed(
    claimed: Claimed,
    callback: Callback,
    client: &Client,
    store: &Store,
) -> Result<SignedIn> {
    let code = match callback.outcome {
        Outcome::Code(code) => code,
        Outcome::Refused(error) => {
            let account = claimed.login.account.clone();
            store.drop_claimed(claimed)?;
            return Err(refused(&account, error));
        }
    };
    let (granted, space) = match exchange(&claimed.login, &code, client, store) {
        Ok(granted) => granted,
        Err(error @ Error::Refused { .. }) => {
            store.drop_claimed(claimed)?;
            return Err(error);
        }
        // No answer, or none that makes sense: the code may still be good.
        Err(error) => {
            store.release(claimed)?;
            return Err(still_open(error));
        }
    };
    let kept = keep::keep(&claimed.login, *granted, space, client, store);
    // The code is spent, whatever came of it.
    let dropped = store.drop_claimed(claimed);
    let mut signed_in = kept?;
    if let Err(error) = dropped {
        signed_in.warnings.push(error.to_string());
    }
    Ok(signed_in)
}

fn refused(account: &AccountRef, error: OauthError) -> Error {
    Error::Refused {
        provider: account.provider.clone(),
        code: error.code,
        description: error.description,
        next: Some(format!("keyfob login {}", text::shell_word(&account.to_string()))),
    }
}

fn still_open(error: Error) -> Error {
    let hint = "; the sign-in is kept, give the same callback again";
    match error {
        Error::Temporary { what, retry_after_s } => {
            Error::Temporary { what: format!("{what}{hint}"), retry_after_s }
        }
        Error::Unreadable { from, what } => {
            Error::Unreadable { from, what: format!("{what}{hint}") }
        }
        error => error,
    }
}

/// Asks for tokens, with space on the disk taken before the code is spent.
fn exchange(
    login: &PendingLogin,
    code: &Secret,
    client: &Client,
    store: &Store,
) -> Result<(Box<Granted>, Reservation)> {
    let row = &login.provider;
    // Claude's page shows `code#state`; pasted into a query, the state may ride along.
    let code = Secret::new(code.expose().split('#').next().unwrap_or_default());
    let as_login = Exchange {
        code: &code,
        redirect_uri: &login.redirect_uri,
        verifier: &login.verifier,
        state: &login.state,
    };
    let request = token::exchange(row, &login.client(), &as_login)?;
    let placeholder = AccountId {
        provider: login.account.provider.clone(),
        account: format!("login-{}", login.login_id),
    };
    let space = store.reserve_account(&placeholder)?;
    let reply = client.send(request)?;
    let now = Timestamp::now();
    match token::parse(reply.status, &reply.content_type, &reply.body, now) {
        Answer::Granted(granted) => Ok((granted, space)),
        Answer::Refused(error) => Err(refused(&login.account, error)),
        Answer::TryLater(why) => Err(Error::Temporary {
            what: format!("{} could not finish the sign-in just now ({why})", row.id),
            retry_after_s: reply.retry_after_s,
        }),
        Answer::Unreadable(what) => {
            let from = row.token_url.as_deref().and_then(endpoint::origin).unwrap_or_default();
            Err(Error::Unreadable { from, what })
        }
    }
}
