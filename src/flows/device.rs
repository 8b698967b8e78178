//! Device sign-in: begin, then poll until the person has decided. As with a browser, *begin* and the
//! rest may happen in different processes. One process polls at a time, with the login claimed for as
//! long as the request takes.

use std::thread;
use std::time::{Duration, Instant};

use crate::account::{AccountRef, OauthClient};
use crate::error::{Error, Result};
use crate::flows::finish::{self, Amend};
use crate::flows::keep::SignedIn;
use crate::flows::login::{check_room, finished_elsewhere};
use crate::net::client::{Client, Reply};
use crate::pending::{Begun, PendingLogin};
use crate::protocol::device::{self, Asked, Poll};
use crate::protocol::token::{Answer, Exchange};
use crate::protocol::{oauth_error::OauthError, pkce};
use crate::provider::{Provider, Quirk, Way};
use crate::secret::Secret;
use crate::store::{Claimed, Reservation, Store};
use crate::text;
use crate::time::Timestamp;

/// How often is looked whether it is time, or whether another process is done.
const LOOK: Duration = Duration::from_millis(200);
const RETRY: Duration = Duration::from_secs(2);

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
        return Err(not_started(&provider, &wish.account, &reply));
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
            polled_at: now,
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

fn not_started(row: &Provider, account: &AccountRef, reply: &Reply) -> Error {
    let status = reply.status;
    if status == 429 || status >= 500 {
        let what = format!("{} gives no device code just now (status {status})", row.id);
        return Error::Temporary { what, retry_after_s: reply.retry_after_s, next: None };
    }
    if row.has_quirk(Quirk::OpenaiDevice) && status == 404 {
        // Source: openai/codex, codex-rs/login/src/device_code_auth.rs.
        let what = "device sign-in is switched off for this account: enable device sign-in in \
                    ChatGPT's security settings, or ask the workspace's administrator";
        return Error::failed(what).or_try(instead(row, account));
    }
    let error = serde_json::from_str(reply.body.expose()).ok();
    let error = error.and_then(|answer| OauthError::from_json(&answer));
    let error = error.unwrap_or_else(|| OauthError::new(&format!("status {status}"), ""));
    finish::refused(account, error).or_try(instead(row, account))
}

// ---- poll, and finish

/// Polls until the person has decided, the code runs out, or `limit` is over; asks once when `limit`
/// is zero. The claim is held for one request at a time, so that others may cancel the login or take
/// over; the pace stands in the login, so that all keep it. `tick` is told how long the wait lasts.
pub fn complete(
    login_id: &str,
    amend: &Amend,
    limit: Duration,
    tick: &dyn Fn(Duration),
    client: &Client,
    store: &Store,
) -> Result<SignedIn> {
    let deadline = Instant::now() + limit;
    let is_once = limit.is_zero();
    let login = store.find_pending(login_id)?.ok_or_else(|| finish::gone(login_id, store))?;
    finish::amended(login.clone(), amend)?;
    // The answer to a poll may be the tokens, so their space is taken before the first one.
    let mut space = Some(finish::reserve(&login, store)?);
    loop {
        let Some(login) = store.find_pending(login_id)? else {
            return finished_elsewhere(&login, store);
        };
        let Begun::Device { interval_s, polled_at, .. } = login.begun else {
            let what = "this is a sign-in in a browser: finish it with the address it ends on";
            return Err(Error::usage(what).or_try("keyfob login --callback-url -"));
        };
        let now = Timestamp::now();
        if login.expires_at <= now {
            store.cancel_pending(login_id)?;
            return Err(expired(&login.account));
        }
        // Seconds are rounded down, hence one more.
        let due = polled_at.plus(i64::try_from(interval_s).unwrap_or(i64::MAX).saturating_add(1));
        if due > now {
            if Instant::now() >= deadline && !is_once {
                return Err(still_waiting(&login.account));
            }
            tick(deadline.saturating_duration_since(Instant::now()));
            thread::sleep(LOOK);
            continue;
        }
        let Some(mut claimed) = store.claim_pending(login_id)? else {
            thread::sleep(LOOK);
            continue;
        };
        if is_polled_since(&claimed.login, polled_at) {
            store.release(claimed)?;
            continue;
        }
        match poll(&mut claimed, client) {
            Ok(Poll::Pending | Poll::SlowDown(_)) => store.release_changed(claimed)?,
            // A network that fails now and then is no end.
            Ok(Poll::Other(Answer::TryLater(_))) | Err(Error::Temporary { .. }) if !is_once => {
                store.release_changed(claimed)?;
            }
            answer => {
                claimed.login = finish::amended(claimed.login, amend)?;
                let space = space.take().map_or_else(|| finish::reserve(&login, store), Ok)?;
                return settle(claimed, answer, space, deadline, client, store);
            }
        }
        if is_once {
            return Err(still_waiting(&login.account));
        }
    }
}

/// Another process asked between our look and our claim.
fn is_polled_since(login: &PendingLogin, seen: Timestamp) -> bool {
    matches!(login.begun, Begun::Device { polled_at, .. } if polled_at != seen)
}

/// One request; the login learns when it was made, and the pace from now on.
fn poll(claimed: &mut Claimed, client: &Client) -> Result<Poll> {
    let login = claimed.login.clone();
    let oauth_client = login.client();
    let Begun::Device { device_code, user_code, verifier, .. } = &login.begun else {
        return Err(Error::failed("this is no device sign-in"));
    };
    let asked = Asked { device_code, user_code, verifier: verifier.as_ref() };
    let request = device::poll(&login.provider, &oauth_client, &asked)?;
    let outcome = client.send(request).map(|reply| {
        let mut sent = vec![device_code];
        sent.extend(verifier);
        sent.extend(&oauth_client.secret);
        let (status, kind, now) = (reply.status, &reply.content_type, Timestamp::now());
        device::parse_poll(&login.provider, status, kind, &reply.body, &sent, now)
    });
    if let Begun::Device { interval_s, polled_at, .. } = &mut claimed.login.begun {
        *polled_at = Timestamp::now();
        if let Ok(Poll::SlowDown(named_s)) = &outcome {
            *interval_s = device::slower(*interval_s, *named_s);
        }
    }
    outcome
}

/// What an answer that ends the polling means for the login.
fn settle(
    claimed: Claimed,
    answer: Result<Poll>,
    space: Reservation,
    deadline: Instant,
    client: &Client,
    store: &Store,
) -> Result<SignedIn> {
    let login = claimed.login.clone();
    let error = match answer {
        Ok(Poll::Granted(granted)) => {
            return finish::keep_and_drop(claimed, *granted, space, client, store);
        }
        Ok(Poll::Code { code, verifier }) => {
            return exchange(claimed, &code, &verifier, deadline, client, store);
        }
        Ok(Poll::Expired) => {
            store.drop_claimed(claimed)?;
            return Err(expired(&login.account));
        }
        Ok(Poll::Other(Answer::Refused(error))) => {
            store.drop_claimed(claimed)?;
            return Err(finish::refused(&login.account, error)
                .or_try(instead(&login.provider, &login.account)));
        }
        Ok(Poll::Other(answer)) => finish::not_granted(&login, answer, None),
        Ok(Poll::Pending | Poll::SlowDown(_)) => still_waiting(&login.account),
        Err(error) => error,
    };
    store.release(claimed)?;
    Err(error)
}

/// OpenAI's page ends in a code like a browser's, with the verifier its server drew. The poll that
/// brought them cannot be repeated, so a failure that may pass is waited out here.
fn exchange(
    claimed: Claimed,
    code: &Secret,
    verifier: &Secret,
    deadline: Instant,
    client: &Client,
    store: &Store,
) -> Result<SignedIn> {
    let row = &claimed.login.provider;
    let redirect_uri = row.need(&row.device_redirect_uri, "device_redirect_uri")?.to_owned();
    let state = Secret::new("");
    let asked = Exchange { code, redirect_uri: &redirect_uri, verifier, state: &state };
    loop {
        match finish::exchange(&claimed.login, &asked, client, store) {
            Ok((granted, space)) => {
                return finish::keep_and_drop(claimed, *granted, space, client, store);
            }
            Err(Error::Temporary { .. }) if Instant::now() + RETRY < deadline => {
                thread::sleep(RETRY);
            }
            Err(error) => {
                store.drop_claimed(claimed)?;
                return Err(error);
            }
        }
    }
}

fn complete_command(account: &AccountRef) -> String {
    format!("keyfob login {} --complete", text::shell_word(&account.to_string()))
}

fn still_waiting(account: &AccountRef) -> Error {
    let what = format!("the sign-in to {account} is still waiting for the person");
    Error::Pending { what, next: Some(complete_command(account)) }
}

fn expired(account: &AccountRef) -> Error {
    let what = format!("the code of the sign-in to {account} ran out");
    Error::Pending { what, next: Some(format!("{} --device", account.login_command())) }
}

/// Organisations forbid device codes by policy; the browser is the other way in.
fn instead(row: &Provider, account: &AccountRef) -> String {
    let flag = if row.ways.contains(&Way::Browser) { " --no-browser" } else { "" };
    format!("{}{flag}", account.login_command())
}
