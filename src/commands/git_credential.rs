//! `keyfob git-credential`: git's helper protocol (gitcredentials(7), git-credential(1)).

use argh::{ArgsInfo, FromArgs};

use crate::account::AccountRef;
use crate::commands::App;
use crate::commands::hand_out::{Asked, HandOut};
use crate::endpoint;
use crate::error::{Error, Result};
use crate::flows::fresh::{self, Need};
use crate::provider::Provider;
use crate::term::{self, prompt};

/// Answers git's question for a password with an account's token.
#[derive(ArgsInfo, FromArgs)]
#[argh(
    subcommand,
    name = "git-credential",
    help_triggers("-h", "--help"),
    example = "keyfob config set providers.my-idp.git_hosts '[\"git.example.com\"]'\n\
               git config --global credential.https://git.example.com.helper \\\n  \
               '!keyfob git-credential my-idp'",
    example = "git config --global credential.helper '!keyfob git-credential'",
    note = "A token goes only to the hosts in the provider's git_hosts; for any other host\n\
            nothing is said, and git asks the next helper. The user name is the row's\n\
            git_username, oauth2 by default."
)]
pub struct GitCredential {
    /// whose token: PROVIDER or PROVIDER/ACCOUNT; without it the provider that names the host
    #[argh(positional)]
    account: String,

    /// what git wants: get, store or erase
    #[argh(positional)]
    operation: Option<String>,

    /// longest wait for one network request, 30 by default
    #[argh(option, arg_name = "seconds")]
    timeout: Option<u64>,
}

/// What git tells of the place it goes to.
#[derive(Default)]
struct Question {
    protocol: String,
    host: String,
    password: String,
}

pub fn run(args: &GitCredential) -> Result<()> {
    // git adds its word at the end, so a lone word is that.
    let (named, operation) = match &args.operation {
        Some(operation) => (Some(&args.account), operation.as_str()),
        None => (None, args.account.as_str()),
    };
    let answer = match operation {
        "get" => get,
        "erase" => erase,
        // git hands back what it got from us; the store is not its to fill.
        "store" => return Ok(()),
        _ => {
            let error = Error::usage("git asks for get, store or erase");
            return Err(error.or_try("keyfob git-credential --help"));
        }
    };
    let app = App::new(args.timeout)?;
    let question = read()?;
    let account = match named {
        Some(typed) => {
            let account = typed.parse::<AccountRef>().map_err(Error::usage)?;
            is_ours(&question, &account, &app)?.then_some(account)
        }
        None => whose(&question, &app)?,
    };
    // Of any other host nothing is said, and git asks the next helper.
    account.map_or(Ok(()), |account| answer(&question, &account, &app))
}

/// The provider that names the host among its own and has a credential.
fn whose(question: &Question, app: &App) -> Result<Option<AccountRef>> {
    for (row, _) in app.providers.readable()? {
        let account = AccountRef::new(&row.id, None);
        if fits(question, row) && app.account(&account)?.is_some() {
            return Ok(Some(account));
        }
    }
    Ok(None)
}

fn read() -> Result<Question> {
    let mut question = Question::default();
    for line in prompt::piped("question of git").unwrap_or_default().lines() {
        match line.split_once('=') {
            Some(("protocol", value)) => value.clone_into(&mut question.protocol),
            Some(("host", value)) => question.host = value.to_ascii_lowercase(),
            Some(("password", value)) => value.clone_into(&mut question.password),
            _ => {}
        }
    }
    Ok(question)
}

/// Whether git goes to a host of the provider that was named.
fn is_ours(question: &Question, account: &AccountRef, app: &App) -> Result<bool> {
    let row = app.providers.get(&account.provider)?;
    if row.git_hosts.is_empty() {
        let what = format!("{} names no git hosts, so its token goes to none", row.id);
        let next = format!("keyfob config set providers.{}.git_hosts '[\"HOST\"]'", row.id);
        return Err(Error::usage(what).or_try(next));
    }
    Ok(fits(question, row))
}

/// A host of the provider's, over a connection that keeps a secret.
fn fits(question: &Question, row: &Provider) -> bool {
    let is_listed = row.git_hosts.iter().any(|host| host.eq_ignore_ascii_case(&question.host));
    let is_safe = question.protocol == "https"
        || (question.protocol == "http"
            && endpoint::is_on_this_machine(&format!("http://{}/", question.host)));
    is_listed && is_safe
}

fn get(_: &Question, account: &AccountRef, app: &App) -> Result<()> {
    let HandOut { account, .. } = app.hand_out(&Asked::of(account))?;
    let row = app.providers.get(&account.id.provider)?;
    let mut lines = vec![
        format!("username={}", row.git_username.as_deref().unwrap_or("oauth2")),
        format!("password={}", account.secret().expose()),
    ];
    if let Some(at) = account.expires_at() {
        lines.push(format!("password_expiry_utc={}", at.0));
    }
    term::print(&lines.join("\n"))
}

/// The server turned the password away: if it is ours, the next one should be new.
fn erase(question: &Question, account: &AccountRef, app: &App) -> Result<()> {
    let Some(id) = app.account(account)? else { return Ok(()) };
    let Some(account) = app.store.read_account(&id)? else { return Ok(()) };
    if account.can_refresh() && account.secret().expose() == question.password {
        fresh::credential(&id, Need::Renewed, &app.tools())?;
    }
    Ok(())
}
