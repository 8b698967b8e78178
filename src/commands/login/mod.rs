//! `keyfob login` in all its ways: finish one begun elsewhere, begin one and print its URL, or begin
//! and wait. `device.rs` does the same for device logins.

mod args;
mod device;
mod finish;
mod key;
mod own_client;
mod terms;

use std::time::Duration;

use serde_json::json;

use crate::account::{AccountRef, OauthClient};
use crate::commands::{App, Object, chosen_by_variable};
use crate::error::{Error, Result};
use crate::flows::keep::SignedIn;
use crate::flows::login::{Ears, Wish};
use crate::flows::redirect::Chosen;
use crate::flows::{discover, login, redirect};
use crate::pending::PendingLogin;
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
        return finish::with_callback(pasted, args, &app);
    }
    if let Some(pasted) = &args.auth_code {
        return finish::with_code(pasted, args, &app);
    }
    if args.complete {
        return device::complete(args, &app);
    }
    let (account, row) = meant(args, &app)?;
    if args.jwt_token.is_some() {
        return key::bearer(args, &account, row, &app);
    }
    if way(row, args)? == Way::ApiKey {
        return key::run(args, &account, row, &app);
    }
    let ready = prepare(account, row, args, &app)?;
    match way(&ready.row, args)? {
        Way::ApiKey => key::run(args, &ready.account, &ready.row, &app),
        Way::Browser if args.print_auth_url => begin_and_print(args, ready, &app),
        Way::Browser => begin_and_wait(args, ready, &app),
        Way::Device => device::begin(args, ready, &app),
    }
}

/// The way that was asked for, else the row's first.
fn way(row: &Provider, args: &Login) -> Result<Way> {
    let wanted = match (args.device, args.api_key_stdin) {
        (true, _) => Some(Way::Device),
        (false, true) => Some(Way::ApiKey),
        (false, false) => row.ways.first().copied(),
    };
    // Only the issuer of such a row knows whether it has the device flow.
    if row.token_url.is_none() && row.issuer.is_some() && args.device {
        return Ok(Way::Device);
    }
    let found = row.ways.iter().copied().find(|way| Some(*way) == wanted);
    found.ok_or_else(|| {
        let ways: Vec<_> = row.ways.iter().map(|way| way.name().to_owned()).collect();
        let what = match ways.as_slice() {
            [] => format!("{} has no way to sign in", row.id),
            ways => format!("{} signs in by {} only", row.id, crate::text::list(ways)),
        };
        Error::usage(what).or_try(format!("keyfob login {}", row.id))
    })
}

// ---- begin

fn begin_and_print(args: &Login, ready: Ready, app: &App) -> Result<()> {
    let chosen = redirect::promise(&ready.row, args.redirect_asked(true));
    let page = chosen.page;
    let pending = login::begin(wish(args, ready, &chosen), &app.store)?;
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
        .with("redirect_uri", json!(pending.redirect_uri()))
        .with("user_code", json!(pending.user_code()))
        .with("expires_at", json!(pending.expires_at))
        .with("complete_with", complete_with(pending, page))
}

/// A page that shows a code without its state cannot say which login it belongs to.
fn complete_with(pending: &PendingLogin, page: Option<Shows>) -> String {
    if pending.user_code().is_some() {
        return format!("{} --complete", pending.account.login_command());
    }
    match page {
        Some(Shows::Code) => {
            let account = shell_word(&pending.account.to_string());
            format!("keyfob login {account} --login-id {} --auth-code -", pending.login_id)
        }
        Some(Shows::CodeAndState) | None => "keyfob login --callback-url -".to_owned(),
    }
}

/// Who is meant, and by which row.
fn meant<'a>(args: &Login, app: &'a App) -> Result<(AccountRef, &'a Provider)> {
    let typed = match &args.account {
        Some(typed) => typed.clone(),
        None => choose_provider(args, app)?,
    };
    let row = app.providers.get(&typed.provider)?;
    // The account that a whole shell works with is the one it signs in.
    let account = typed.account.or_else(|| chosen_by_variable(&row.id));
    let account = AccountRef { provider: row.id.clone(), account };
    Ok((account.to_string().parse().map_err(Error::usage)?, row))
}

/// All that is settled before a URL is shown: who, and with which endpoints, scopes and client.
struct Ready {
    account: AccountRef,
    row: Provider,
    client: OauthClient,
}

fn prepare(account: AccountRef, row: &Provider, args: &Login, app: &App) -> Result<Ready> {
    terms::accept(row, args, app)?;
    let client = own_client::find(row, args, app)?;
    let mut row = discover::complete(row, &app.client)?.into_owned();
    row.scopes = args.scopes_of(&row)?;
    Ok(Ready { account, row, client })
}

fn choose_provider(args: &Login, app: &App) -> Result<AccountRef> {
    if !prompt::is_possible(args.no_input) {
        let what = "which provider?".to_owned();
        return Err(Error::PromptNeeded { what, next: "keyfob login PROVIDER".to_owned() });
    }
    let rows = app.providers.readable()?;
    for (at, (row, _)) in rows.iter().enumerate() {
        term::say(&format!("{:3}  {:14} {}", at + 1, row.id, row.title));
    }
    let answer = prompt::line("provider (number or name): ")?;
    let by_number = answer.parse::<usize>().ok().and_then(|at| rows.get(at.checked_sub(1)?));
    let name = by_number.map_or(answer.as_str(), |(row, _)| row.id.as_str());
    name.parse().map_err(Error::usage)
}

fn wish(args: &Login, ready: Ready, chosen: &Chosen) -> Wish {
    Wish {
        account: ready.account,
        provider: ready.row,
        client: ready.client,
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

fn begin_and_wait(args: &Login, ready: Ready, app: &App) -> Result<()> {
    let opener = if args.no_browser { Err(String::new()) } else { opener::find() };
    let chosen = redirect::listen(&ready.row, args.redirect_asked(opener.is_err()));
    let pending = login::begin(wish(args, ready, &chosen), &app.store)?;
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
    if account.credential.oauth().is_none() {
        let what = if expires_at.is_some() { "token" } else { "key" };
        let until = expires_at
            .map_or(String::new(), |at| format!(", expires {}", at.in_words(Timestamp::now())));
        let path = signed_in.path.display();
        term::say(&format!("stored the {what} of {}{until}; {path}", account.id));
        return Ok(());
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
