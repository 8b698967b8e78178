//! `keyfob login` in all its ways: finish one begun elsewhere, begin one and print its URL, or begin
//! and wait.

mod args;
mod own_client;
mod terms;

use std::time::Duration;

use serde_json::{Value, json};

use crate::account::{AccountRef, OauthClient};
use crate::commands::{App, Object};
use crate::error::{Error, Result};
use crate::flows::finish::Amend;
use crate::flows::keep::SignedIn;
use crate::flows::login::{Ears, Wish};
use crate::flows::redirect::Chosen;
use crate::flows::{discover, finish, login, redirect};
use crate::pending::PendingLogin;
use crate::protocol::callback::{self, Callback};
use crate::protocol::pkce;
use crate::provider::{Provider, Shows, Way};
use crate::qr;
use crate::term::{self, opener, prompt};
use crate::text::shell_word;
use crate::time::{Timestamp, duration_in_words};

pub use args::Login;

pub fn run(args: &Login) -> Result<()> {
    let app = App::new(args.timeout)?;
    args.check()?;
    if let Some(pasted) = &args.callback_url {
        return finish_with_callback(pasted, args, &app);
    }
    if let Some(pasted) = &args.auth_code {
        return finish_with_code(pasted, args, &app);
    }
    if args.print_auth_url {
        return begin_and_print(args, &app);
    }
    begin_and_wait(args, &app)
}

// ---- finish a login begun elsewhere

fn finish_with_callback(pasted: &str, args: &Login, app: &App) -> Result<()> {
    let text = from_stdin_if_dash(pasted, "callback")?;
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
    finish_other(callback, &login_id, args, app)
}

fn finish_with_code(pasted: &str, args: &Login, app: &App) -> Result<()> {
    let Some(account) = &args.account else {
        let what = "--auth-code needs the provider, as a code does not say whose it is";
        return Err(Error::usage(what).or_try("keyfob login PROVIDER --auth-code -"));
    };
    let text = from_stdin_if_dash(pasted, "code")?;
    let callback = callback::parse_code(&text).ok_or_else(|| Error::usage("this is no code"))?;
    let login_id = match (&args.login_id, &callback.state) {
        (Some(login_id), _) => login_id.clone(),
        (None, Some(state)) => pkce::login_id(state.expose()),
        (None, None) => only_pending(account, app)?,
    };
    finish_other(callback, &login_id, args, app)
}

/// The one login under way of this provider; a code alone fits no other.
fn only_pending(account: &AccountRef, app: &App) -> Result<String> {
    let row = app.providers.get(&account.provider)?;
    let mut fitting = app.store.pending(Timestamp::now())?;
    fitting.retain(|login| login.account.provider == row.id);
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
            let next = format!("keyfob login {account} --login-id {} --auth-code -", ids[0]);
            Err(Error::usage(what).or_try(next))
        }
    }
}

fn finish_other(callback: Callback, login_id: &str, args: &Login, app: &App) -> Result<()> {
    if let Some(account) = &args.account {
        let pending = app.store.find_pending(login_id)?;
        let wanted = &app.providers.get(&account.provider)?.id;
        if let Some(pending) = pending.filter(|pending| pending.account.provider != *wanted) {
            let theirs = pending.account;
            return Err(Error::usage(format!("this callback belongs to a sign-in to {theirs}"))
                .or_try("keyfob login --callback-url -"));
        }
    }
    let amend = Amend {
        account: args.account.as_ref().and_then(|typed| typed.account.clone()),
        expect: args.expect.clone(),
        replace: args.replace,
        no_verify: args.no_verify,
    };
    let signed_in = finish::finish(callback, login_id, amend, &app.client, &app.store)?;
    app.store.sweep(Timestamp::now());
    tell(&signed_in, args)
}

fn from_stdin_if_dash(value: &str, what: &str) -> Result<String> {
    if value == "-" { prompt::piped(what) } else { Ok(value.to_owned()) }
}

// ---- begin

fn begin_and_print(args: &Login, app: &App) -> Result<()> {
    let (account, row, client) = prepare(args, app)?;
    let chosen = redirect::promise(&row, args.redirect_asked(true));
    let page = chosen.page;
    let pending = login::begin(wish(args, account, row, client, &chosen), &app.store)?;
    show_extras(&pending.auth_url, args);
    if args.json {
        return term::print(&pending_json(&pending, page).to_string());
    }
    term::say(&format!("finish with: {}", complete_with(&pending, page)));
    term::print(&pending.auth_url)
}

/// CLI.md section 3.
fn pending_json(pending: &PendingLogin, page: Option<Shows>) -> Object {
    Object::new()
        .with("status", "pending")
        .with("provider", pending.account.provider.as_str())
        .with("account", json!(pending.account.account))
        .with("login_id", pending.login_id.as_str())
        .with("auth_url", pending.auth_url.as_str())
        .with("redirect_uri", pending.redirect_uri.as_str())
        .with("user_code", Value::Null)
        .with("expires_at", json!(pending.expires_at))
        .with("complete_with", complete_with(pending, page))
}

/// A page that shows a code without its state cannot say which login it belongs to.
fn complete_with(pending: &PendingLogin, page: Option<Shows>) -> String {
    match page {
        Some(Shows::Code) => {
            let account = shell_word(&pending.account.to_string());
            format!("keyfob login {account} --login-id {} --auth-code -", pending.login_id)
        }
        Some(Shows::CodeAndState) | None => "keyfob login --callback-url -".to_owned(),
    }
}

/// Who is meant, by which row, with which client: all that must be settled before a URL is shown.
fn prepare(args: &Login, app: &App) -> Result<(AccountRef, Provider, OauthClient)> {
    let typed = match &args.account {
        Some(typed) => typed.clone(),
        None => choose_provider(args, app)?,
    };
    let row = app.providers.get(&typed.provider)?;
    let account = AccountRef { provider: row.id.clone(), account: typed.account };
    if !row.ways.contains(&Way::Browser) {
        let what = format!("{} has no sign-in in a browser", row.id);
        return Err(Error::usage(what).or_try(format!("keyfob provider show {}", row.id)));
    }
    terms::accept(row, args, app)?;
    let client = own_client::find(row, args, app)?;
    let mut row = discover::complete(row, &app.client)?.into_owned();
    row.scopes = args.scopes_of(&row)?;
    Ok((account, row, client))
}

fn choose_provider(args: &Login, app: &App) -> Result<AccountRef> {
    if !prompt::is_possible(args.no_input) {
        let what = "which provider?".to_owned();
        return Err(Error::PromptNeeded { what, next: "keyfob login PROVIDER".to_owned() });
    }
    let rows = app.providers.all()?;
    for (at, (row, _)) in rows.iter().enumerate() {
        term::say(&format!("{:3}  {:14} {}", at + 1, row.id, row.title));
    }
    let answer = prompt::line("provider (number or name): ")?;
    let by_number = answer.parse::<usize>().ok().and_then(|at| rows.get(at.checked_sub(1)?));
    let name = by_number.map_or(answer.as_str(), |(row, _)| row.id.as_str());
    name.parse().map_err(Error::usage)
}

fn wish(
    args: &Login,
    account: AccountRef,
    provider: Provider,
    client: OauthClient,
    chosen: &Chosen,
) -> Wish {
    Wish {
        account,
        provider,
        client,
        redirect_uri: chosen.uri.clone(),
        login_hint: args.login_hint.clone(),
        prompt: args.prompt.clone(),
        expect: args.expect.clone(),
        replace: args.replace,
        verify: !args.no_verify,
        wait_s: i64::from(args.wait),
    }
}

// ---- begin and wait

fn begin_and_wait(args: &Login, app: &App) -> Result<()> {
    let (account, row, client) = prepare(args, app)?;
    let opener = if args.no_browser { Err(String::new()) } else { opener::find() };
    let chosen = redirect::listen(&row, args.redirect_asked(opener.is_err()));
    let pending = login::begin(wish(args, account, row, client, &chosen), &app.store)?;
    if let Err(why) = &opener
        && !why.is_empty()
    {
        term::say(&format!("no browser is opened here: {why}"));
    }
    for note in &chosen.notes {
        term::say(note);
    }
    show_url(&pending, &chosen, args);
    if let Ok(opener) = &opener
        && let Err(why) = opener.open(&pending.auth_url)
    {
        term::say(&format!("{why}; open the address yourself"));
    }
    let with_countdown = term::is_capable() && prompt::is_possible(args.no_input);
    if with_countdown {
        term::say("");
        term::ask("paste here: ");
    }
    let ears = Ears {
        listener: chosen.listener,
        with_paste: !args.no_input,
        page: chosen.page,
        limit: Duration::from_secs(u64::from(args.wait)),
        tick: &|remaining| {
            if with_countdown {
                let left = remaining.as_secs();
                term::rewrite_line_above(&format!("waiting {}:{:02}", left / 60, left % 60));
            }
        },
        tell: &|what| {
            term::say(what);
            if with_countdown {
                term::ask("paste here: ");
            }
        },
    };
    let outcome = login::wait(&pending, &ears, &app.client, &app.store);
    if with_countdown {
        term::say("");
    }
    app.store.sweep(Timestamp::now());
    tell(&outcome?, args)
}

/// The URL stands alone on its line, unwrapped, so that it can be copied from any terminal.
fn show_url(pending: &PendingLogin, chosen: &Chosen, args: &Login) {
    term::say("open this address in a browser to sign in:\n");
    term::say(&format!("{}\n", pending.auth_url));
    show_extras(&pending.auth_url, args);
    match (&chosen.listener, chosen.page) {
        (_, Some(_)) => term::say("then paste the code that the page shows."),
        (None, None) => {
            term::say("then paste the address of the page you end on (it will not load).");
        }
        (Some(listener), None) => {
            term::say("if the browser runs on another machine, either run this there first:\n");
            term::say(&format!("{}\n", ssh_line(listener.port, &pending.provider.redirect.host)));
            term::say("or paste the address of the page you end on (it will not load).");
        }
    }
    if !args.no_input {
        term::say("it can also be finished from another terminal:");
        term::say(&format!("  {}", complete_with(pending, chosen.page)));
    }
}

fn show_extras(url: &str, args: &Login) {
    if args.qr {
        match qr::lines(url, term::is_capable()) {
            Some(lines) => lines.iter().for_each(|line| term::say(line)),
            None => term::warn("the address is too long for a QR code"),
        }
    }
    if args.copy && !term::copy(url) {
        term::warn("--copy needs a terminal");
    }
}

/// The command that makes this machine's callback port reachable from the person's own machine.
fn ssh_line(port: u16, host: &str) -> String {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let user = variable("USER").or_else(|| variable("LOGNAME"));
    // `client-address client-port server-address server-port`
    let connection = variable("SSH_CONNECTION").unwrap_or_default();
    let words: Vec<_> = connection.split_whitespace().collect();
    let here = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let here = here.as_deref().map(str::trim).filter(|name| !name.is_empty()).unwrap_or("SERVER");
    let server = words.get(2).copied().unwrap_or(here);
    let login = user.map_or(server.to_owned(), |user| format!("{user}@{server}"));
    let ssh_port = match words.get(3) {
        Some(&port) if port != "22" => format!(" -p {port}"),
        _ => String::new(),
    };
    format!("ssh{ssh_port} -N -L {port}:{host}:{port} {}", shell_word(&login))
}

// ---- the outcome

fn tell(signed_in: &SignedIn, args: &Login) -> Result<()> {
    let account = &signed_in.account;
    for warning in &signed_in.warnings {
        term::warn(warning);
    }
    let expires_at = account.credential.expires_at();
    if args.json {
        let object = Object::new()
            .with("status", "ok")
            .with("provider", account.id.provider.as_str())
            .with("account", account.id.account.as_str())
            .with("kind", account.credential.kind())
            .with("email", json!(account.identity.email))
            .with("expires_at", json!(expires_at))
            .with("scopes", json!(account.credential.scopes()))
            .with("path", signed_in.path.display().to_string());
        return term::print(&object.to_string());
    }
    let who = account.identity.name().unwrap_or(&account.id.account);
    let organization = account.identity.organization.as_deref();
    let organization = organization.map_or(String::new(), |name| format!(" ({name})"));
    let elsewhere = if signed_in.elsewhere { " from another terminal" } else { "" };
    let expiry = match expires_at {
        Some(at) => {
            let left = duration_in_words(at.since(Timestamp::now()).max(0));
            let renews = if account.credential.can_refresh() { ", renewed by itself" } else { "" };
            format!("expires in {left}{renews}")
        }
        None => "no expiry known".to_owned(),
    };
    let path = signed_in.path.display();
    term::say(&format!(
        "signed in to {}{elsewhere} as {who}{organization}; {expiry}; {path}",
        account.id.provider
    ));
    Ok(())
}
