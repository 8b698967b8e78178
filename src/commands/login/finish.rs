//! Finishing a login that was begun elsewhere, with what the browser ended on.

use crate::account::AccountRef;
use crate::commands::App;
use crate::commands::login::{Login, project};
use crate::error::{Error, Result};
use crate::flows::{self, finish::Amend};
use crate::pending::{Begun, PendingLogin};
use crate::protocol::callback::{self, Callback};
use crate::protocol::{pkce, session};
use crate::term::prompt;
use crate::text::shell_word;
use crate::time::Timestamp;

pub fn with_callback(pasted: &str, args: &Login, app: &App) -> Result<()> {
    let text = from_stdin_if_dash(pasted, "callback")?;
    if let Some(callback) = session::parse_callback(&text) {
        let login_id = match &args.login_id {
            Some(login_id) => login_id.clone(),
            None => only_session(&text, args, app)?,
        };
        return finish(callback, &login_id, args, app);
    }
    let callback = callback::parse(&text).ok_or_else(|| {
        let what = "this is no callback: it holds no code; copy the whole address";
        Error::usage(what).or_try("keyfob login PROVIDER --auth-code -")
    })?;
    let login_id = match (&callback.state, &args.login_id) {
        (_, Some(login_id)) => login_id.clone(),
        (Some(state), None) => pkce::login_id(state.expose()),
        (None, None) => {
            let what = "this callback lacks its state; copy the whole address";
            return Err(Error::usage(what).or_try("keyfob login PROVIDER --auth-code -"));
        }
    };
    finish(callback, &login_id, args, app)
}

/// A session does not say which login it ends: the port it was sent to does, where several are under
/// way.
fn only_session(text: &str, args: &Login, app: &App) -> Result<String> {
    let port = session::port(text);
    let mut fitting = app.store.pending(Timestamp::now())?;
    fitting.retain(|login| matches!(login.begun, Begun::Cookie { .. }));
    if let Some(account) = &args.account {
        let wanted = app.providers.get(&account.provider)?.id.clone();
        fitting.retain(|login| login.account.provider == wanted);
    }
    let fits = |login: &&PendingLogin| login.redirect_uri().and_then(session::port) == port;
    match (fitting.iter().find(fits), fitting.as_slice()) {
        (Some(login), _) | (None, [login]) => Ok(login.login_id.clone()),
        (None, []) => Err(Error::Pending {
            what: "no sign-in under way fits this address, or it expired".to_owned(),
            next: Some("keyfob pending list".to_owned()),
        }),
        (None, [first, ..]) => {
            let what = "several sign-ins are under way, and this address fits none";
            let next = format!("keyfob login --login-id {} --callback-url -", first.login_id);
            Err(Error::usage(what).or_try(next))
        }
    }
}

pub fn with_code(pasted: &str, args: &Login, app: &App) -> Result<()> {
    let Some(account) = &args.account else {
        let what = "--auth-code needs the provider, as a code does not say whose it is";
        return Err(Error::usage(what).or_try("keyfob login PROVIDER --auth-code -"));
    };
    let text = from_stdin_if_dash(pasted, "code")?;
    let callback = callback::parse_code(&text).ok_or_else(|| Error::usage("this is no code"))?;
    let login_id = match (&args.login_id, &callback.state) {
        (Some(login_id), _) => login_id.clone(),
        (None, Some(state)) => pkce::login_id(state.expose()),
        (None, None) => only_pending(account, is_browser, "--auth-code -", app)?,
    };
    finish(callback, &login_id, args, app)
}

/// The one login under way of this provider that fits; a code alone names no other.
pub fn only_pending(
    account: &AccountRef,
    fits: fn(&Begun) -> bool,
    flag: &str,
    app: &App,
) -> Result<String> {
    let row = app.providers.get(&account.provider)?;
    let mut fitting = app.store.pending(Timestamp::now())?;
    fitting.retain(|login| login.account.provider == row.id && fits(&login.begun));
    if let Some(name) = &account.account {
        fitting.retain(|login| login.account.account.as_ref().is_none_or(|begun| begun == name));
    }
    match fitting.as_slice() {
        [only] => Ok(only.login_id.clone()),
        [] => Err(Error::Pending {
            what: format!("no sign-in to {account} is under way, or it expired"),
            next: Some(account.login_command()),
        }),
        several => {
            let ids: Vec<_> = several.iter().map(|login| login.login_id.clone()).collect();
            let what = format!("several sign-ins are under way: {}", crate::text::list(&ids));
            let account = shell_word(&account.to_string());
            let next = format!("keyfob login {account} --login-id {} {flag}", ids[0]);
            Err(Error::usage(what).or_try(next))
        }
    }
}

/// A provider named at the end must be the one of the beginning.
pub fn check_provider(login_id: &str, args: &Login, app: &App) -> Result<()> {
    if let Some(account) = &args.account {
        let pending = app.store.find_pending(login_id)?;
        let wanted = &app.providers.get(&account.provider)?.id;
        if let Some(pending) = pending.filter(|pending| pending.account.provider != *wanted) {
            let theirs = pending.account;
            return Err(Error::usage(format!("this callback belongs to a sign-in to {theirs}"))
                .or_try("keyfob login --callback-url -"));
        }
    }
    Ok(())
}

/// What the finishing command insists on.
pub fn amend(args: &Login) -> Amend {
    Amend {
        account: args.account.as_ref().and_then(|typed| typed.account.clone()),
        expect: args.expect.clone(),
        replace: args.replace,
        no_verify: args.no_verify,
    }
}

fn is_browser(begun: &Begun) -> bool {
    matches!(begun, Begun::Browser { .. })
}

fn finish(callback: Callback, login_id: &str, args: &Login, app: &App) -> Result<()> {
    check_provider(login_id, args, app)?;
    let amend = amend(args);
    let signed_in = flows::finish::finish(callback, login_id, amend, &app.client, &app.store)?;
    app.store.sweep(Timestamp::now());
    project::choose_and_tell(signed_in, args, app)
}

fn from_stdin_if_dash(value: &str, what: &str) -> Result<String> {
    match value {
        // A terminal would cut a long line.
        "-" if prompt::is_possible(false) => prompt::hidden(&format!("{what} (not shown): ")),
        "-" => prompt::piped(what),
        given => Ok(given.to_owned()),
    }
}
