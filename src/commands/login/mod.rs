//! `keyfob login` in all its ways: finish one begun elsewhere, begin one and print its URL, or begin
//! and wait. `device.rs` does the same for device logins.

mod args;

mod browser;
mod closed;
mod device;
mod entra;
mod finish;
mod instance;
mod key;
mod offer;
mod outcome;
mod own_client;
mod project;
mod server;
mod service_account;
mod terms;
mod tool;

use serde_json::json;

use crate::account::{AccountRef, OauthClient};
use crate::commands::{App, Object, chosen_by_variable};
use crate::error::{Error, Result};
use crate::flows::discover;
use crate::flows::mcp::find_out::FoundOut;
use crate::pending::{Begun, PendingLogin};
use crate::provider::{Provider, Shows, Way};
use crate::qr;
use crate::term::{self, prompt};
use crate::text::shell_word;

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
    if let Some(url) = server::meant(args, &app)? {
        return server::run(args, &url);
    }
    let (account, row) = meant(args, &app)?;
    if offer::take_over(args, &account, row, &app)? {
        return Ok(());
    }
    closed::tell(row, args);
    let row = &*instance::at(row, &account, args, &app)?;
    match way(row, args)? {
        Way::ApiKey if row.ways.contains(&Way::Entra) => entra::with_key(args, &account, row, &app),
        Way::ApiKey => key::run(args, &account, row, &app),
        Way::Bearer => key::bearer(args, &account, row, &app),
        Way::Browser | Way::Device => {
            let ready = prepare(account, row, args, &app)?;
            // An issuer known by name alone tells its ways only now.
            match way(&ready.row, args)? {
                Way::Device => device::run(args, ready, &app),
                _ => browser::run(args, ready, &app),
            }
        }
        Way::Cookie => {
            let client = OauthClient { id: String::new(), secret: None };
            browser::run(args, Ready { account, row: row.clone(), client, server: None }, &app)
        }
        Way::Entra => entra::run(args, &account, row, &app),
        Way::ServiceAccount => service_account::run(args, &account, row, &app),
        Way::Tool => tool::run(args, &account, row, &app),
    }
}

/// Begins a login by browser or device at which nobody waits here, as a page of ours offers it; and what
/// the provider's own page shows, if it ends there.
pub fn begin(args: &Login, app: &App) -> Result<(PendingLogin, Option<Shows>)> {
    args.check()?;
    let (account, row) = meant(args, app)?;
    let row = &*instance::at(row, &account, args, app)?;
    let ready = match way(row, args)? {
        Way::Browser | Way::Device => prepare(account, row, args, app)?,
        Way::Cookie => {
            let client = OauthClient { id: String::new(), secret: None };
            Ready { account, row: row.clone(), client, server: None }
        }
        Way::ApiKey | Way::Bearer | Way::Entra | Way::ServiceAccount | Way::Tool => {
            let what = format!("{} has no sign-in in a browser", row.id);
            return Err(Error::usage(what).or_try(account.login_command()));
        }
    };
    match way(&ready.row, args)? {
        Way::Device => device::begin(args, ready, app).map(|pending| (pending, None)),
        _ => browser::begin(args, ready, app),
    }
}

/// The way that was asked for, else the row's first.
fn way(row: &Provider, args: &Login) -> Result<Way> {
    if args.jwt_token.is_some() {
        return Ok(Way::Bearer);
    }
    let wanted = if args.device {
        Some(Way::Device)
    } else if args.api_key_stdin {
        Some(Way::ApiKey)
    } else if args.service_account.is_some() {
        Some(Way::ServiceAccount)
    } else if args.print_auth_url {
        // Of the ways that have an address to print.
        let is_printed = |way: &&Way| matches!(way, Way::Browser | Way::Cookie | Way::Device);
        row.ways.iter().find(is_printed).or(row.ways.first()).copied()
    } else {
        row.ways.iter().copied().find(|way| *way != Way::Tool || tool::is_here(row))
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
    match pending.begun {
        Begun::Device { .. } => return format!("{} --complete", pending.account.login_command()),
        // Its callback says nothing of where it belongs.
        Begun::Cookie { .. } => {
            return format!("{} --callback-url -", pending.account.login_command());
        }
        Begun::Browser { .. } => {}
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
    let account = AccountRef::new(&row.id, account);
    Ok((account.to_string().parse().map_err(Error::usage)?, row))
}

/// All that is settled before a URL is shown: who, and with which endpoints, scopes and client.
struct Ready {
    account: AccountRef,
    row: Provider,
    client: OauthClient,
    /// An MCP server, whose client depends on the redirect that is chosen.
    server: Option<FoundOut>,
}

fn prepare(account: AccountRef, row: &Provider, args: &Login, app: &App) -> Result<Ready> {
    terms::accept(row, args, app)?;
    let client = own_client::find(row, args, app)?;
    let mut row = discover::complete(row, &app.client)?.into_owned();
    row.scopes = args.scopes_of(&row)?;
    Ok(Ready { account, row, client, server: None })
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
