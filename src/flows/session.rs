//! A browser session at an instance (CodeMie): begin, finish and renew. The wait between is that of any
//! browser login. Cookies go to the instance they came from and nowhere else.

use std::time::Duration;

use serde_json::Value;
use ureq::http::Request;

use crate::account::{Account, AccountId, Identity};
use crate::credential::Credential;
use crate::endpoint;
use crate::error::{Error, Result};
use crate::flows::fresh::{Tools, sign_in};
use crate::flows::keep::{self, SignedIn};
use crate::flows::login::Wish;
use crate::flows::{finish, random, renew};
use crate::net::client::Client;
use crate::net::reply::Reply;
use crate::pending::{Begun, PendingLogin};
use crate::protocol::{attach, pkce, request, session};
use crate::provider::{self, Provider};
use crate::secret::Secret;
use crate::store::{Claimed, Reservation, Store};
use crate::time::Timestamp;

/// Longest wait for a process that is renewing the session.
const LOCK_LIMIT: Duration = Duration::from_secs(40);

/// Builds the address to open, with the port of the redirect in it, and stores the login under way.
/// The instance takes no state, so that only the port and the wait tell a callback from a stranger's.
pub fn begin(wish: Wish, now: Timestamp, store: &Store) -> Result<PendingLogin> {
    let template = wish.provider.need(&wish.provider.authorize_url, "authorize_url")?;
    let port = session::port(&wish.redirect_uri).unwrap_or_default();
    let auth_url = template.replace("{port}", &port.to_string());
    endpoint::check("the sign-in address", &auth_url)?;
    let pending = PendingLogin {
        login_id: pkce::login_id(pkce::state(&random::bytes()?).expose()),
        account: wish.account,
        provider: wish.provider,
        client_secret: None,
        auth_url,
        begun: Begun::Cookie { redirect_uri: wish.redirect_uri, project: wish.project },
        expect: wish.expect,
        replace: wish.replace,
        verify: wish.verify,
        is_open: false,
        started_at: now,
        expires_at: now.plus(wish.wait_s.max(600)),
    };
    store.write_pending(&pending)?;
    Ok(pending)
}

/// Shows the session to the instance, and keeps it.
pub fn finish(
    claimed: Claimed,
    pasted: &Secret,
    client: &Client,
    store: &Store,
) -> Result<SignedIn> {
    let mut warnings = Vec::new();
    match show(&claimed.login, pasted, client, store, &mut warnings) {
        Ok((account, space)) => {
            let login = &claimed.login;
            let kept = keep::check_expected(login, &account.identity)
                .and_then(|()| keep::write(account, login.replace, space, store, &mut warnings));
            // Whoever waits for the end of this login looks for its account then.
            let dropped = store.drop_claimed(claimed);
            let account = kept?;
            if let Err(error) = dropped {
                warnings.push(error.to_string());
            }
            let path = store.account_path(&account.id);
            Ok(SignedIn { account, path, warnings, elsewhere: false })
        }
        Err(error @ Error::Refused { .. }) => {
            let next = claimed.login.login_command();
            store.drop_claimed(claimed)?;
            Err(error.or_try(next))
        }
        // The instance did not say no: it was not reached, or is not trusted.
        Err(error) => {
            store.release(claimed)?;
            Err(finish::still_open(error))
        }
    }
}

/// The account as the instance sees it, and the space it will need.
fn show(
    login: &PendingLogin,
    pasted: &Secret,
    client: &Client,
    store: &Store,
    warnings: &mut Vec<String>,
) -> Result<(Account, Reservation)> {
    let row = &login.provider;
    let no_session = || Error::usage("this holds no session; copy the whole address");
    let (cookies, expires_at) = session::header(pasted).ok_or_else(no_session)?;
    let space = finish::reserve(login, store)?;
    let now = Timestamp::now();
    let address = row.address();
    let address = address.unwrap_or_default();
    let name = login.account.account.clone();
    let name = name.unwrap_or_else(|| provider::name_of(address));
    let id = AccountId { provider: row.id.clone(), account: name };
    let mut account = Account::new(id, Credential::Cookie(cookies, expires_at), now);
    account.issued_by = endpoint::origin(address);
    account.login_ids = vec![login.login_id.clone()];
    account.extra.insert("instance".to_owned(), Value::from(address));
    find_api(&mut account, row, client, warnings);
    if login.verify {
        let (reply, cookies) = ask_user(&account, row, client)?;
        let user = match session::parse_user(&reply.body) {
            Some(user) => user,
            None => return Err(Error::unreadable(address, "no user")),
        };
        account.credential = cookies;
        keep_projects(&mut account, user, warnings);
        keep_choice(&mut account, login, store);
    }
    Ok((account, space))
}

fn keep_projects(account: &mut Account, user: session::User, warnings: &mut Vec<String>) {
    account.identity = user.identity;
    if user.projects.is_empty() {
        warnings.push("no project is open to you there; ask its administrator".to_owned());
    }
    let projects: Vec<_> = user.projects.into_iter().map(Value::from).collect();
    account.extra.insert("projects".to_owned(), Value::from(projects));
}

/// The project named at the beginning, else the one of the last login, if it is still theirs.
fn keep_choice(account: &mut Account, login: &PendingLogin, store: &Store) {
    let old = store.read_account(&account.id).ok().flatten();
    let named = match &login.begun {
        Begun::Cookie { project, .. } => project.clone(),
        Begun::Browser { .. } | Begun::Device { .. } => None,
    };
    let wanted = named.or_else(|| old?.fact("project").map(str::to_owned));
    let projects = account.extra.get("projects").and_then(Value::as_array);
    if let Some(wanted) = wanted.map(Value::from)
        && projects.is_some_and(|projects| projects.contains(&wanted))
    {
        account.extra.insert("project".to_owned(), wanted);
    }
}

/// Where the instance says its API is. Another host gets none of its cookies, so that is not followed.
fn find_api(account: &mut Account, row: &Provider, client: &Client, warnings: &mut Vec<String>) {
    let Some(base) = attach::api_base(account, row) else { return };
    let looked_up = get(&format!("{base}/config.js"), account).and_then(|r| client.send(r));
    let Ok(reply) = looked_up else { return };
    take_rotated(account, &reply);
    if !(200..300).contains(&reply.status) {
        return;
    }
    let Some(url) = session::api_url(reply.body.expose()) else { return };
    let origin = account.issued_by.clone().unwrap_or_default();
    let url = if url.starts_with('/') { format!("{origin}{url}") } else { url };
    if endpoint::origin(&url).as_deref() == Some(origin.as_str()) {
        account.extra.insert("api_base".to_owned(), Value::from(url));
    } else {
        let there = endpoint::origin(&url).unwrap_or("another place".to_owned());
        warnings.push(format!("the instance names {there} for its API; its session stays here"));
    }
}

/// Who is signed in, by the row's address below the API's base; the session with what was rotated.
fn ask_user(account: &Account, row: &Provider, client: &Client) -> Result<(Reply, Credential)> {
    let base = attach::api_base(account, row).unwrap_or_default();
    let own_base = row.api.as_ref().map_or("", |api| api.base.as_str());
    let url = row.need(&row.userinfo_url, "userinfo_url")?;
    let url = url.strip_prefix(own_base).map_or(url.to_owned(), |path| format!("{base}{path}"));
    let reply = client.send(get(&url, account)?)?;
    let host = endpoint::origin(&url).unwrap_or_default();
    if let Some(error) = reply.not_now(&host) {
        return Err(error);
    }
    if session::is_signed_out(reply.status, &reply.content_type, &reply.body) {
        return Err(Error::Refused {
            provider: account.id.provider.clone(),
            code: "session_expired".to_owned(),
            description: "the session is over, or never was one of this instance".to_owned(),
            next: Some(account.id.login_command()),
        });
    }
    if !(200..300).contains(&reply.status) {
        return Err(Error::unreadable(host, format!("status {}", reply.status)));
    }
    let mut rotated = account.clone();
    take_rotated(&mut rotated, &reply);
    Ok((reply, rotated.credential))
}

/// The session after an answer to it, whatever was asked: the proxy in front rotates as it likes.
fn take_rotated(account: &mut Account, reply: &Reply) {
    if reply.status >= 500 || session::is_signed_out(reply.status, &reply.content_type, &reply.body)
    {
        return;
    }
    let old = &account.credential;
    let (cookies, named) = session::rotated(old.secret(), &reply.set_cookies, Timestamp::now());
    account.credential = Credential::Cookie(cookies, named.or(old.expires_at()));
}

/// Puts what an answer rotated on disk, unless somebody renewed the account meanwhile.
pub fn keep_rotated(asked_as: &Account, reply: &Reply, store: &Store) -> Result<()> {
    if reply.set_cookies.is_empty() || !matches!(asked_as.credential, Credential::Cookie(..)) {
        return Ok(());
    }
    let _lock = store.lock_account(&asked_as.id, LOCK_LIMIT)?;
    let Some(mut account) = store.read_account(&asked_as.id)? else { return Ok(()) };
    if account.secret() != asked_as.secret() {
        return Ok(());
    }
    take_rotated(&mut account, reply);
    if account.secret() != asked_as.secret() || account.expires_at() != asked_as.expires_at() {
        account.refreshed_at = Timestamp::now();
        // Whoever showed the old one meanwhile was turned away.
        account.refused = None;
        let space = store.reserve_account(&account.id)?;
        store.write_account(&account, space)?;
    }
    Ok(())
}

fn get(url: &str, account: &Account) -> Result<Request<Secret>> {
    endpoint::check("the instance", url)?;
    if endpoint::origin(url) != account.issued_by {
        let what = format!("{}: the session belongs to another host than {url}", account.id);
        return Err(Error::failed(what).or_try(account.id.login_command()));
    }
    request::get_with_cookies(url, account.credential.secret())
}

/// Asks the instance, which may rotate the session; only a person can begin a new one.
pub fn renew(old: &Account, row: &Provider, tools: &Tools) -> Result<Account> {
    let space = tools.store.reserve_account(&old.id)?;
    match ask_user(old, row, tools.client) {
        Ok((reply, credential)) => {
            let mut account = old.clone();
            account.credential = credential;
            account.refreshed_at = Timestamp::now();
            account.refused = None;
            if !account.is_alive(Timestamp::now()) {
                // It works, whatever was said of its end.
                account.credential = Credential::Cookie(account.credential.secret().clone(), None);
            }
            if account.identity == Identity::default()
                && let Some(user) = session::parse_user(&reply.body)
            {
                account.identity = user.identity;
            }
            tools.store.write_account(&account, space)?;
            Ok(account)
        }
        Err(Error::Refused { .. }) => {
            drop(space);
            renew::note_refusal(old, "session_expired", tools.store)
        }
        Err(Error::Failed { what, .. }) => Err(sign_in(&old.id, what)),
        Err(error) => Err(error),
    }
}
