//! Device sign-in: begin, then poll until the person has decided. As with a browser, *begin* and the
//! rest may happen in different processes. The login is claimed for one question at a time, so that
//! others may cancel it or take over; the pace stands in the login, so that all processes keep it.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::account::{AccountRef, OauthClient};
use crate::error::{Error, Result};
use crate::flows::finish::{self, Amend};
use crate::flows::keep::SignedIn;
use crate::flows::login::{check_room, finished_elsewhere};
use crate::flows::random;
use crate::net::client::Client;
use crate::net::reply::Reply;
use crate::pending::{self, Begun, PendingLogin};
use crate::protocol::device::{self, Asked, Poll};
use crate::protocol::token::{Answer, Exchange};
use crate::protocol::{oauth_error::OauthError, pkce};
use crate::provider::{Provider, Quirk, Way};
use crate::secret::Secret;
use crate::store::{Claimed, Store};
use crate::text;
use crate::time::Timestamp;

/// How often is looked whether it is time, or whether another process is done.
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
    let is_good = (200..300).contains(&reply.status) && !says_error(&reply.body);
    if !is_good {
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
            due_ms: 0,
            approved: None,
        },
        expect: wish.expect,
        replace: wish.replace,
        verify: wish.verify,
        is_open: false,
        started_at: now,
        expires_at: now.plus(started.expires_in_s),
    };
    store.write_pending(&pending)?;
    Ok(pending)
}

/// GitHub says no with 200.
fn says_error(body: &Secret) -> bool {
    let answer: Option<Value> = serde_json::from_str(body.expose()).ok();
    answer.is_some_and(|answer| answer.get("error").is_some_and(|error| !error.is_null()))
}

fn draw_verifier() -> Result<Secret> {
    Ok(pkce::verifier(&random::bytes()?))
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
    finish::refused(account, row, error).or_try(instead(row, account))
}

// ---- poll, and finish

/// Asks until the person has decided, the code runs out, or `limit` is over; asks once when `limit`
/// is zero. `tick` is told how long the wait lasts. Whoever began it, or has seen it, hears what became
/// of it even if that was before the first look.
pub fn complete(
    begun: &PendingLogin,
    amend: &Amend,
    limit: Duration,
    tick: &dyn Fn(Duration),
    client: &Client,
    store: &Store,
) -> Result<SignedIn> {
    let deadline = Instant::now() + limit;
    let is_once = limit.is_zero();
    let login_id = &begun.login_id;
    let guarded = client.guarded_for(begun.provider.server.as_deref());
    let client = guarded.as_ref().unwrap_or(client);
    finish::amended(begun.clone(), amend)?;
    loop {
        let Some(login) = store.find_pending(login_id)? else {
            let is_expired = begun.expires_at <= Timestamp::now();
            let outcome = finished_elsewhere(begun, store);
            return outcome.map_err(|e| if is_expired { expired(begun) } else { e });
        };
        if login.expires_at <= Timestamp::now() {
            store.cancel_pending(login_id)?;
            return Err(expired(&login));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let early_ms = due_ms(&login)?.saturating_sub(Timestamp::now_ms());
        if early_ms > 0 {
            if left.is_zero() && !is_once {
                return Err(still_waiting(&login.account));
            }
            tick(left);
            thread::sleep(LOOK.min(Duration::from_millis(early_ms.unsigned_abs())));
            continue;
        }
        match ask(&login, amend, client, store) {
            Ok(Some(signed_in)) => return Ok(signed_in),
            // A network that fails now and then is no end.
            Err(error) if is_once || !matches!(error, Error::Temporary { .. }) => {
                return Err(error);
            }
            Ok(None) if is_once => return Err(still_waiting(&login.account)),
            Ok(None) | Err(_) => {}
        }
    }
}

fn due_ms(login: &PendingLogin) -> Result<i64> {
    match login.begun {
        Begun::Device { due_ms, .. } => Ok(due_ms),
        Begun::Browser { .. } | Begun::Cookie { .. } => {
            let what = "this is a sign-in in a browser: finish it with the address it ends on";
            Err(Error::usage(what).or_try("keyfob login --callback-url -"))
        }
    }
}

/// One question, or the exchange of what an earlier one brought. None: not decided yet.
fn ask(
    seen: &PendingLogin,
    amend: &Amend,
    client: &Client,
    store: &Store,
) -> Result<Option<SignedIn>> {
    let Some(mut claimed) = book(seen, store)? else { return Ok(None) };
    if approval(&claimed.login).is_some() {
        return exchange(claimed, amend, client, store).map(Some);
    }
    // The answer may be the tokens, so their space is taken first.
    let space = finish::reserve(&claimed.login, store)?;
    let account = claimed.login.account.clone();
    let (answer, retry_after_s) = poll(&claimed.login, client);
    let error = match answer {
        Ok(Poll::Pending) => return store.release(claimed).map(|()| None),
        Ok(Poll::SlowDown(named_s)) => {
            slow_down(&mut claimed.login, named_s);
            return store.release_changed(claimed).map(|()| None);
        }
        Ok(Poll::Granted(granted)) => {
            claimed.login = finish::amended(claimed.login, amend)?;
            return finish::keep_and_drop(claimed, *granted, space, client, store).map(Some);
        }
        Ok(Poll::Code { code, verifier }) => {
            if let Begun::Device { approved, .. } = &mut claimed.login.begun {
                *approved = Some((code, verifier));
            }
            // On disk before it is tried: the poll that brought it cannot be repeated.
            store.release_changed(claimed)?;
            let claimed = store.claim_pending(&seen.login_id)?;
            let claimed = claimed.ok_or_else(|| finish::gone(&seen.login_id, store))?;
            return exchange(claimed, amend, client, store).map(Some);
        }
        Ok(Poll::Expired) => {
            store.drop_claimed(claimed)?;
            return Err(expired(seen));
        }
        Ok(Poll::Other(Answer::Refused(error))) => {
            let next = instead(&claimed.login.provider, &account);
            store.drop_claimed(claimed)?;
            return Err(finish::refused(&account, &seen.provider, error).or_try(next));
        }
        Ok(Poll::Other(answer)) => finish::not_granted(&claimed.login, answer, retry_after_s),
        Err(error) => error,
    };
    if let Error::Temporary { retry_after_s, .. } = &error {
        back_off(&mut claimed.login, *retry_after_s);
    }
    store.release_changed(claimed)?;
    Err(error.or_try(complete_command(&account)))
}

/// The claim on the login, with the time of the next question on disk before this one is asked: an
/// interrupt in the middle must not make the next process ask too early. None: others were faster.
fn book(seen: &PendingLogin, store: &Store) -> Result<Option<Claimed>> {
    let Some(mut claimed) = store.claim_pending(&seen.login_id)? else {
        thread::sleep(LOOK);
        return Ok(None);
    };
    if due_ms(&claimed.login)? != due_ms(seen)? {
        return store.release(claimed).map(|()| None);
    }
    if let Begun::Device { interval_s, due_ms, .. } = &mut claimed.login.begun {
        *due_ms = due_in(*interval_s);
    }
    store.release_changed(claimed)?;
    store.claim_pending(&seen.login_id)
}

fn slow_down(login: &mut PendingLogin, named_s: Option<u64>) {
    if let Begun::Device { interval_s, due_ms, .. } = &mut login.begun {
        *interval_s = device::slower(*interval_s, named_s);
        *due_ms = due_in(*interval_s);
    }
}

/// A server in trouble is asked less and less often (RFC 8628 section 3.5), or when it said.
fn back_off(login: &mut PendingLogin, named_s: Option<u64>) {
    if let Begun::Device { interval_s, due_ms, .. } = &mut login.begun {
        match named_s {
            Some(named_s) => *due_ms = due_in(named_s.max(*interval_s)),
            None => {
                *interval_s = device::backed_off(*interval_s);
                *due_ms = due_in(*interval_s);
            }
        }
    }
}

fn due_in(interval_s: u64) -> i64 {
    let interval_ms = i64::try_from(interval_s.saturating_mul(1_000)).unwrap_or(i64::MAX);
    Timestamp::now_ms().saturating_add(interval_ms)
}

/// The answer, and for how long the server wants to be left alone.
fn poll(login: &PendingLogin, client: &Client) -> (Result<Poll>, Option<u64>) {
    let oauth_client = login.client();
    let Begun::Device { device_code, user_code, verifier, .. } = &login.begun else {
        return (Err(Error::failed("this is no device sign-in")), None);
    };
    let asked = Asked { device_code, user_code, verifier: verifier.as_ref() };
    let request = device::poll(&login.provider, &oauth_client, &asked);
    let reply = match request.and_then(|request| client.send(request)) {
        Ok(reply) => reply,
        Err(error) => return (Err(error), None),
    };
    let mut sent = vec![device_code];
    sent.extend(verifier);
    sent.extend(&oauth_client.secret);
    let (status, kind, now) = (reply.status, &reply.content_type, Timestamp::now());
    let answer = device::parse_poll(&login.provider, status, kind, &reply.body, &sent, now);
    (Ok(answer), reply.retry_after_s)
}

fn approval(login: &PendingLogin) -> Option<&(Secret, Secret)> {
    match &login.begun {
        Begun::Browser { .. } | Begun::Cookie { .. } => None,
        Begun::Device { approved, .. } => approved.as_ref(),
    }
}

/// OpenAI's page ends in a code like a browser's, with the verifier its server drew. A failure that may
/// pass leaves it in the login, to be tried again.
fn exchange(
    mut claimed: Claimed,
    amend: &Amend,
    client: &Client,
    store: &Store,
) -> Result<SignedIn> {
    claimed.login = finish::amended(claimed.login, amend)?;
    let login = claimed.login.clone();
    let Some((code, verifier)) = approval(&login) else {
        return Err(Error::failed("this sign-in is not approved yet"));
    };
    let redirect_uri =
        login.provider.need(&login.provider.device_redirect_uri, "device_redirect_uri")?;
    let state = Secret::new("");
    let asked = Exchange { code, redirect_uri, verifier, state: &state };
    match finish::exchange(&login, &asked, client, store) {
        Ok((granted, space)) => finish::keep_and_drop(claimed, *granted, space, client, store),
        Err(error @ Error::Refused { .. }) => {
            store.drop_claimed(claimed)?;
            Err(error)
        }
        Err(error) => {
            store.release(claimed)?;
            Err(error.or_try(complete_command(&login.account)))
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

fn expired(login: &PendingLogin) -> Error {
    let what = format!("the code of the sign-in to {} ran out", login.account);
    Error::Pending { what, next: Some(format!("{} --device", login.login_command())) }
}

/// Organisations forbid device codes by policy; the browser is the other way in.
fn instead(row: &Provider, account: &AccountRef) -> String {
    let flag = if row.ways.contains(&Way::Browser) { " --no-browser" } else { "" };
    format!("{}{flag}", pending::login_command(account, row))
}
