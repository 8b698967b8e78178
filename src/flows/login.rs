//! Signing in: begin, wait, finish (`finish.rs`, which ends in `keep.rs`). The two-step login is
//! *begin* in one process and *finish* in another; the waiting ones put *wait* between. There is no
//! second path to an account.

use std::time::{Duration, Instant};

use crate::account::{AccountId, AccountRef, OauthClient};
use crate::endpoint;
use crate::error::{Error, Result};
use crate::flows::keep::SignedIn;
use crate::flows::{finish, random, session};
use crate::net::client::Client;
use crate::net::loopback::{self, Heard, Listener, Rules, Source};
use crate::net::page;
use crate::pending::{Begun, PendingLogin};
use crate::protocol::callback::{self, Callback};
use crate::protocol::pkce;
use crate::protocol::{self, authorize};
use crate::provider::{Provider, Shows, Way};
use crate::store::Store;
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
    pub project: Option<String>,
    pub replace: bool,
    pub verify: bool,
    /// A browser will be sent to the address.
    pub is_open: bool,
    pub wait_s: i64,
}

// ---- begin

/// Draws state and verifier, and stores the login under way.
pub fn begin(wish: Wish, store: &Store) -> Result<PendingLogin> {
    let now = Timestamp::now();
    store.sweep(now);
    check_room(&wish.account, store)?;
    if wish.provider.ways.contains(&Way::Cookie) {
        return session::begin(wish, now, store);
    }
    // Found before the person goes to the browser, not after.
    let token_url = wish.provider.need(&wish.provider.token_url, "token_url")?;
    endpoint::check("the token endpoint", token_url)?;
    let (state, verifier) = (pkce::state(&random::bytes()?), pkce::verifier(&random::bytes()?));
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
        auth_url,
        begun: Begun::Browser { state, verifier, redirect_uri: wish.redirect_uri },
        expect: wish.expect,
        replace: wish.replace,
        verify: wish.verify,
        is_open: wish.is_open,
        started_at: now,
        expires_at: now.plus(wish.wait_s.max(LIFETIME_S)),
    };
    store.write_pending(&pending)?;
    Ok(pending)
}

/// A file that cannot be replaced is found before the person goes to the browser.
pub fn check_room(account: &AccountRef, store: &Store) -> Result<()> {
    match &account.account {
        Some(name) => {
            let id = AccountId { provider: account.provider.clone(), account: name.clone() };
            store.find_account(&id)?;
            store.check_replaceable(&id)?;
        }
        None => {
            let accounts = store.accounts(&account.provider)?;
            for id in &accounts {
                store.find_account(id)?;
            }
            // Of several, nobody knows yet which one it will be.
            if let [only] = accounts.as_slice() {
                store.check_replaceable(only)?;
            }
        }
    }
    Ok(())
}

// ---- wait

/// Where a waiting login can hear of its end.
pub struct Ears<'a> {
    pub listener: Option<Listener>,
    /// The next pasted line, if there is one.
    pub paste: &'a dyn Fn() -> Option<String>,
    /// The provider's page shows a code without its state, so a bare code may be pasted.
    pub page: Option<Shows>,
    pub limit: Duration,
    pub tick: &'a dyn Fn(Duration),
    pub tell: &'a dyn Fn(&str),
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
        tell: ears.tell,
    };
    match loopback::wait(ears.listener.as_ref(), ears.paste, deadline, &rules) {
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
            next: Some(pending.login_command()),
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
    if let Begun::Cookie { redirect_uri, .. } = &pending.begun {
        let port = protocol::session::port(text);
        if port.is_some() && port != protocol::session::port(redirect_uri) {
            // It may be the session of another instance, which must not see it.
            return Err(
                "this belongs to another sign-in attempt; use the newest address".to_owned()
            );
        }
        let callback = protocol::session::parse_callback(text);
        return callback.ok_or_else(|| protocol::session::why_none(text).to_owned());
    }
    let parsed = match (source, page) {
        (Source::Paste, Some(Shows::Code)) => callback::parse_code(text),
        (Source::Paste | Source::Loopback, _) => callback::parse(text),
    };
    let Some(callback) = parsed else {
        return Err("this holds no code of a sign-in; copy the whole address".to_owned());
    };
    match &callback.state {
        Some(state) if Some(state) == pending.state() => {}
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
    // A client waits for the outcome of a server's sign-in, and cannot be told to try again.
    if pending.provider.server.is_none() {
        finish::check_issuer(&pending.provider, callback.iss.as_deref())?;
    }
    Ok(callback)
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
            return finish::finish_claimed(claimed, callback, client, store);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    finished_elsewhere(pending, store)
}

/// The outcome that another process left: the account it wrote, or nothing.
pub fn finished_elsewhere(pending: &PendingLogin, store: &Store) -> Result<SignedIn> {
    if let Some(account) = finish::account_of_login(&pending.account, &pending.login_id, store)? {
        let path = store.account_path(&account.id);
        return Ok(SignedIn { account, path, warnings: Vec::new(), elsewhere: true });
    }
    Err(Error::Failed {
        what: "the sign-in was refused or cancelled in another terminal".to_owned(),
        next: Some(pending.login_command()),
    })
}
