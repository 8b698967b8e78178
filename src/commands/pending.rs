use std::thread;
use std::time::{Duration, Instant};

use argh::{ArgsInfo, FromArgs};
use serde_json::{Value, json};

use crate::commands::{App, Object};
use crate::error::{Error, Result};
use crate::pending::PendingLogin;
use crate::term;
use crate::time::Timestamp;

/// Longest wait for a process that is asking the provider.
const PATIENCE: Duration = Duration::from_secs(5);

/// Lists and cancels sign-ins under way.
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "pending", help_triggers("-h", "--help"))]
pub struct Pending {
    #[argh(subcommand)]
    command: PendingCommand,
}

#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand)]
enum PendingCommand {
    Cancel(Cancel),
    List(List),
}

/// Lists sign-ins that wait to be finished.
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "list", help_triggers("-h", "--help"))]
struct List {
    /// print one JSON object
    #[argh(switch)]
    json: bool,
}

/// Cancels a sign-in; a terminal that waits for it ends.
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "cancel", help_triggers("-h", "--help"))]
struct Cancel {
    /// the id that `keyfob pending list` shows
    #[argh(positional)]
    id: Option<String>,

    /// every one
    #[argh(switch)]
    all: bool,
}

pub fn run(args: Pending) -> Result<()> {
    let app = App::new(None)?;
    let pending = app.store.pending(Timestamp::now())?;
    match args.command {
        PendingCommand::List(args) if args.json => {
            let rows: Vec<_> = pending.iter().map(row).collect();
            term::print(&Object::new().with("pending", rows).to_string())
        }
        PendingCommand::List(_) => list(&pending),
        PendingCommand::Cancel(args) => cancel(&args, &pending, &app),
    }
}

/// CLI.md section 10.
fn row(login: &PendingLogin) -> Value {
    json!({
        "login_id": login.login_id,
        "provider": login.account.provider,
        "account": login.account.account,
        "kind": login.kind(),
        "auth_url": login.auth_url,
        "user_code": login.user_code(),
        "created_at": login.started_at,
        "expires_at": login.expires_at,
    })
}

fn list(pending: &[PendingLogin]) -> Result<()> {
    if pending.is_empty() {
        term::say("no sign-in is under way");
        return Ok(());
    }
    let now = Timestamp::now();
    let line = |login: &PendingLogin| {
        let PendingLogin { login_id, account, expires_at, .. } = login;
        format!("{login_id}  {account}  expires {}", expires_at.in_words(now))
    };
    term::print(&pending.iter().map(line).collect::<Vec<_>>().join("\n"))
}

fn cancel(args: &Cancel, pending: &[PendingLogin], app: &App) -> Result<()> {
    let ids: Vec<_> = match (&args.id, args.all) {
        (Some(id), false) => vec![id.clone()],
        (None, true) => pending.iter().map(|login| login.login_id.clone()).collect(),
        _ => return Err(Error::usage("name one sign-in, or --all").or_try("keyfob pending list")),
    };
    for id in &ids {
        if !cancel_one(id, app)? && !args.all {
            let what = "no sign-in under way has this id".to_owned();
            return Err(Error::Pending { what, next: Some("keyfob pending list".to_owned()) });
        }
        term::say(&format!("cancelled {id}"));
    }
    Ok(())
}

/// A process that is just asking the provider is waited for; it may be told yes meanwhile.
fn cancel_one(id: &str, app: &App) -> Result<bool> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if app.store.cancel_pending(id)? {
            return Ok(true);
        }
        if !app.store.is_under_way(id) {
            return Ok(false);
        }
        if Instant::now() >= deadline {
            let what = format!("{id} is being finished by another process right now");
            return Err(Error::Pending { what, next: Some(format!("keyfob pending cancel {id}")) });
        }
        thread::sleep(Duration::from_millis(20));
    }
}
