//! `keyfob account set`: what people note on an account.

use std::time::Duration;

use argh::{ArgsInfo, FromArgs};
use serde_json::{Value, json};

use crate::account::AccountRef;
use crate::commands::{App, Object};
use crate::error::{Error, Result};
use crate::term;
use crate::text;

const LOCK_LIMIT: Duration = Duration::from_secs(40);

/// Notes attributes on an account: a priority, a note that status shows.
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "account", help_triggers("-h", "--help"))]
pub struct AccountArgs {
    #[argh(subcommand)]
    command: AccountCommand,
}

#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand)]
enum AccountCommand {
    Set(Set),
}

/// Sets attributes of an account; an empty value removes one.
#[derive(ArgsInfo, FromArgs)]
#[argh(
    subcommand,
    name = "set",
    help_triggers("-h", "--help"),
    example = "keyfob account set claude/work priority=10 note=\"billed to research\""
)]
struct Set {
    /// which: PROVIDER or PROVIDER/ACCOUNT
    #[argh(positional)]
    account: AccountRef,

    /// NAME=VALUE, one or more
    #[argh(positional, arg_name = "attribute")]
    attributes: Vec<String>,

    /// print one JSON object
    #[argh(switch)]
    json: bool,
}

pub fn run(args: AccountArgs) -> Result<()> {
    match args.command {
        AccountCommand::Set(args) => set(&args),
    }
}

fn set(args: &Set) -> Result<()> {
    let app = App::new(None)?;
    let mut pairs = Vec::new();
    for given in &args.attributes {
        let is_name = |name: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            !name.is_empty() && name.len() <= 64 && name.chars().all(plain)
        };
        match given.split_once('=') {
            Some((name, value)) if is_name(name) && value.len() <= 1024 => {
                pairs.push((name, value));
            }
            _ => {
                let what = "an attribute is NAME=VALUE, the name of letters, digits and -_.";
                return Err(Error::usage(what).or_try("keyfob account set NAME priority=10"));
            }
        }
    }
    if pairs.is_empty() {
        let next = "keyfob account set PROVIDER/ACCOUNT note=\"…\"";
        return Err(Error::usage("which attributes?").or_try(next));
    }
    let id = app.signed_in_account(&args.account)?;
    let _lock = app.store.lock_account(&id, LOCK_LIMIT)?;
    let mut account =
        app.store.read_account(&id)?.ok_or_else(|| crate::flows::fresh::nobody(&id))?;
    let space = app.store.reserve_account(&id)?;
    for (name, value) in pairs {
        match value {
            "" => account.attributes.remove(name),
            value => account.attributes.insert(name.to_owned(), Value::from(value)),
        };
    }
    app.store.write_account(&account, space)?;
    if args.json {
        let object = Object::new()
            .with("provider", id.provider.as_str())
            .with("account", id.account.as_str())
            .with("attributes", json!(account.attributes));
        return term::print(&object.to_string());
    }
    let shown = account.attributes.iter().map(|(name, value)| match value.as_str() {
        Some(text) => format!("{name}={}", text::harmless(text, 1024)),
        None => format!("{name}={value}"),
    });
    let shown: Vec<_> = shown.collect();
    term::say(&format!(
        "{id}: {}",
        if shown.is_empty() { "no attributes".to_owned() } else { shown.join(", ") }
    ));
    Ok(())
}
