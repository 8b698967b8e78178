//! Device sign-in: begin, then poll until the person has decided. As with a browser, *begin* and the
//! rest may happen in different processes. One process polls at a time: it holds the claim on the
//! login, which the kernel takes from it when it dies.

use std::thread;
use std::time::{Duration, Instant};

use crate::account::{AccountRef, OauthClient};
use crate::error::{Error, Result};
use crate::flows::finish;
use crate::flows::keep::SignedIn;
use crate::flows::login::{check_room, finished_elsewhere};
use crate::net::client::Client;
use crate::pending::{Begun, PendingLogin};
use crate::protocol::device::{self, Asked, Poll};
use crate::protocol::token::{Answer, Exchange};
use crate::protocol::{oauth_error::OauthError, pkce};
use crate::provider::{Provider, Quirk, Way};
use crate::secret::Secret;
use crate::store::{Claimed, Reservation, Store};
use crate::text;
use crate::time::Timestamp;

/// How often a process that does not poll looks whether the other one is done.
const LOOK: Duration = Duration::from_millis(200);

/// What a device login is asked to do.
pub struct Wish {
    pub account: AccountRef,
    pub provider: Provider,
    pub client: OauthClient,
    pub expect: Option<String>,
    pub replace: bool,
    pub verify: bool,
}

// ---- begin

/// Asks for a code, and stores the login under way until the code runs out.
pub fn begin(wish: Wish, client: &Client, store: &Store) -> Result<PendingLogin> {
    let now = Timestamp::now();
    store.sweep(now);
    check_room(&wish.account, store)?;
    let mut provider = wish.provider;
    let verifier = provider.has_quirk(Quirk::PkceInDevice).then(draw_verifier).transpose()?;
    let request = device::start(&provider, &wish.client, verifier.as_ref())?;
    let reply = client.send(request)?;
    if !(200..300).contains(&reply.status) {
        return Err(not_started(&provider, reply.status, &reply.body, reply.retry_after_s));
    }
    let started = device::parse_start(&provider, &reply.body)?;
    provider.client_id = Some(wish.client.id);
    let pending = PendingLogin {
        login_id: pkce::login_id(started.device_code.expose()),
        account: wish.account,
        provider,
        client_secret: wish.client.secret,
        auth_url: started.page,
        begun: Begun::Device {
            device_code: started.device_code,
            user_code: started.user_code,
            verifier,
            interval_s: started.interval_s,
        },
        expect: wish.expect,
        replace: wish.replace,
        verify: wish.verify,
        started_at: now,
        expires_at: now.plus(started.expires_in_s),
    };
    store.write_pending(&pending)?;
    Ok(pending)
}

fn draw_verifier() -> Result<Secret> {
    let mut random = [0; 64];
    let drawn = getrandom::fill(&mut random);
    drawn.map_err(|e| Error::failed(format!("the system gives no random bytes: {e}")))?;
    Ok(pkce::verifier(&random))
}

fn not_started(row: &Provider, status: u16, body: &Secret, retry_after_s: Option<u64>) -> Error {
    if status == 429 || status >= 500 {
        let what = format!("{} gives no device code just now (status {status})", row.id);
        return Error::Temporary { what, retry_after_s, next: None };
    }
    let next = Some(format!("keyfob login {} --no-browser", row.id));
    if row.has_quirk(Quirk::OpenaiDevice) && status == 404 {
        // Source: openai/codex, codex-rs/login/src/device_code_auth.rs.
        let what = "device sign-in is switched off for this account: enable it in ChatGPT's \
                    security settings, or ask the workspace's administrator";
        return Error::Failed { what: what.to_owned(), next };
    }
    let error = serde_json::from_str(body.expose()).ok();
    let error = error.and_then(|answer| OauthError::from_json(&answer));
    let error = error.unwrap_or_else(|| OauthError::new(&format!("status {status}"), ""));
    let (code, description) = (error.code, error.description);
    Error::Refused { provider: row.id.clone(), code, description, next }
}

// ---- poll, and finish

/// Polls until the person has decided, the code runs out, or `limit` is over; asks once when `limit`
/// is zero. `tick` is told how long the wait still lasts.
pub fn complete(
    pending: &PendingLogin,
    limit: Duration,
    tick: &dyn Fn(Duration),
    client: &Client,
    store: &Store,
) -> Result<SignedIn> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(claimed) = store.claim_pending(&pending.login_id)? {
            return poll(claimed, deadline, limit.is_zero(), tick, client, store);
        }
        if !store.is_under_way(&pending.login_id) {
            return finished_elsewhere(pending, store);
        }
        if Instant::now() >= deadline {
            return Err(still_waiting(&pending.account, "another process is asking for it"));
        }
        tick(deadline.saturating_duration_since(Instant::now()));
        thread::sleep(LOOK);
    }
}

fn poll(
    claimed: Claimed,
    deadline: Instant,
    is_once: bool,
    tick: &dyn Fn(Duration),
    client: &Client,
    store: &Store,
) -> Result<SignedIn> {
    let login = claimed.login.clone();
    let Begun::Device { device_code, user_code, verifier, mut interval_s } = login.begun.clone()
    else {
        store.release(claimed)?;
        let what = "this is a sign-in in a browser: finish it with the address it ends on";
        return Err(Error::usage(what).or_try("keyfob login --callback-url -"));
    };
    let asked =
        Asked { device_code: &device_code, user_code: &user_code, verifier: verifier.as_ref() };
    // The answer to a poll may be the tokens, so their space is taken before the first one.
    let space = finish::reserve(&login, store)?;
    let mut wait = Duration::from_secs(if is_once { 0 } else { interval_s });
    loop {
        if !sleep(wait, deadline, is_once, tick) {
            store.release(claimed)?;
            return Err(still_waiting(&login.account, "nobody has approved it yet"));
        }
        if login.expires_at <= Timestamp::now() {
            store.drop_claimed(claimed)?;
            return Err(expired(&login.account));
        }
        match ask(&login, &asked, client) {
            Ok(Poll::Pending) => {}
            Ok(Poll::SlowDown(named_s)) => interval_s = device::slower(interval_s, named_s),
            // A network that fails now and then is no end.
            Ok(Poll::Other(Answer::TryLater(_))) | Err(Error::Temporary { .. }) if !is_once => {}
            answer => return settle(claimed, answer, space, client, store),
        }
        if is_once {
            store.release(claimed)?;
            return Err(still_waiting(&login.account, "nobody has approved it yet"));
        }
        wait = Duration::from_secs(interval_s);
    }
}

/// What an answer that ends the polling means for the login.
fn settle(
    claimed: Claimed,
    answer: Result<Poll>,
    space: Reservation,
    client: &Client,
    store: &Store,
) -> Result<SignedIn> {
    let login = claimed.login.clone();
    let error = match answer {
        Ok(Poll::Granted(granted)) => {
            return finish::keep_and_drop(claimed, *granted, space, client, store);
        }
        Ok(Poll::Code { code, verifier }) => {
            return exchange(claimed, &code, &verifier, client, store);
        }
        Ok(Poll::Expired) => {
            store.drop_claimed(claimed)?;
            return Err(expired(&login.account));
        }
        Ok(Poll::Other(Answer::Refused(error))) => {
            store.drop_claimed(claimed)?;
            return Err(finish::refused(&login.account, error).or_try(instead(&login)));
        }
        Ok(Poll::Other(answer)) => finish::not_granted(&login, answer, None),
        Ok(Poll::Pending | Poll::SlowDown(_)) => still_waiting(&login.account, "ask again"),
        Err(error) => error,
    };
    store.release(claimed)?;
    Err(error)
}

fn ask(login: &PendingLogin, asked: &Asked, client: &Client) -> Result<Poll> {
    let oauth_client = login.client();
    let reply = client.send(device::poll(&login.provider, &oauth_client, asked)?)?;
    let mut sent = vec![asked.device_code];
    sent.extend(asked.verifier);
    sent.extend(&oauth_client.secret);
    let now = Timestamp::now();
    let (status, kind) = (reply.status, &reply.content_type);
    Ok(device::parse_poll(&login.provider, status, kind, &reply.body, &sent, now))
}

/// Waits in steps, so that the countdown lives; false when the time is over before.
fn sleep(wait: Duration, deadline: Instant, is_once: bool, tick: &dyn Fn(Duration)) -> bool {
    let until = Instant::now() + wait;
    while Instant::now() < until {
        let now = Instant::now();
        if now >= deadline {
            return false;
        }
        tick(deadline - now);
        thread::sleep(LOOK.min(until - now).min(deadline - now));
    }
    is_once || Instant::now() < deadline
}

/// OpenAI's page ends in a code like a browser's, with the verifier its server drew.
fn exchange(
    claimed: Claimed,
    code: &Secret,
    verifier: &Secret,
    client: &Client,
    store: &Store,
) -> Result<SignedIn> {
    let row = &claimed.login.provider;
    let redirect_uri = row.need(&row.device_redirect_uri, "device_redirect_uri")?.to_owned();
    let state = Secret::new("");
    let asked = Exchange { code, redirect_uri: &redirect_uri, verifier, state: &state };
    match finish::exchange(&claimed.login, &asked, client, store) {
        Ok((granted, space)) => finish::keep_and_drop(claimed, *granted, space, client, store),
        Err(error @ Error::Refused { .. }) => {
            store.drop_claimed(claimed)?;
            Err(error)
        }
        Err(error) => {
            store.release(claimed)?;
            Err(error)
        }
    }
}

fn complete_command(account: &AccountRef) -> String {
    format!("keyfob login {} --complete", text::shell_word(&account.to_string()))
}

fn still_waiting(account: &AccountRef, why: &str) -> Error {
    let what = format!("the sign-in to {account} is still waiting: {why}");
    Error::Pending { what, next: Some(complete_command(account)) }
}

fn expired(account: &AccountRef) -> Error {
    let what = format!("the code of the sign-in to {account} ran out");
    Error::Pending { what, next: Some(format!("{} --device", account.login_command())) }
}

/// Organisations forbid device codes by policy; the browser is the other way in.
fn instead(login: &PendingLogin) -> String {
    let has_browser = login.provider.ways.contains(&Way::Browser);
    let flag = if has_browser { " --no-browser" } else { "" };
    format!("{}{flag}", login.account.login_command())
}
