//! `keyfob provider list|show|add|remove`.

mod add;
mod api;

use argh::{ArgsInfo, FromArgs};
use serde_json::Value;

use crate::commands::{App, Object};
use crate::error::{Error, Result};
use crate::provider::{self, Origin, Provider};
use crate::term;

/// Lists, shows, adds and removes providers.
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "provider", help_triggers("-h", "--help"))]
pub struct ProviderArgs {
    #[argh(subcommand)]
    command: ProviderCommand,
}

#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is one, once")]
enum ProviderCommand {
    Add(add::Add),
    List(List),
    Remove(Remove),
    Show(Show),
}

/// Lists every provider, with the ways to sign in.
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "list", help_triggers("-h", "--help"))]
struct List {
    /// print one JSON object with all rows
    #[argh(switch)]
    json: bool,
}

/// Shows one provider's row, as config.json may override it key by key.
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "show", help_triggers("-h", "--help"))]
struct Show {
    /// the provider
    #[argh(positional)]
    name: String,

    /// print it as one line
    #[argh(switch)]
    json: bool,
}

/// Removes a provider of yours, or your changes to a built-in one. Accounts stay.
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "remove", help_triggers("-h", "--help"))]
struct Remove {
    /// the provider
    #[argh(positional)]
    name: String,
}

pub fn run(args: ProviderArgs) -> Result<()> {
    match args.command {
        ProviderCommand::Add(args) => add::run(&args),
        ProviderCommand::List(args) => list(&args),
        ProviderCommand::Remove(args) => remove(&args),
        ProviderCommand::Show(args) => show(&args),
    }
}

/// The row with its origin: CLI.md section 10.
fn row_json(row: &Provider, origin: Origin) -> Result<Value> {
    let wrong = |e| Error::failed(format!("cannot write the row of {}: {e}", row.id));
    let mut value = serde_json::to_value(row).map_err(wrong)?;
    value["aliases"] = Value::from(row.aliases.clone());
    value["origin"] = serde_json::to_value(origin).map_err(wrong)?;
    Ok(value)
}

fn list(args: &List) -> Result<()> {
    let app = App::new(None)?;
    let rows = app.providers.all()?;
    if args.json {
        let rows: Result<Vec<_>> =
            rows.iter().map(|(row, origin)| row_json(row, *origin)).collect();
        return term::print(&Object::new().with("providers", rows?).to_string());
    }
    let line = |(row, origin): &(Provider, Origin)| {
        let ways: Vec<_> = row.ways.iter().map(|way| way.name()).collect();
        let mut notes = Vec::new();
        notes.extend(row.terms.is_some().then_some("terms note"));
        let closed = row.closed.as_ref().map(|closed| format!("closed since {}", closed.since));
        notes.extend(closed.as_deref());
        notes.extend((*origin == Origin::Config).then_some("yours"));
        let notes =
            if notes.is_empty() { String::new() } else { format!(" [{}]", notes.join(", ")) };
        format!("{:20} {:15} {}{notes}", row.id, ways.join(","), row.title)
    };
    term::print(&rows.iter().map(line).collect::<Vec<_>>().join("\n"))
}

fn show(args: &Show) -> Result<()> {
    let app = App::new(None)?;
    let name = app.providers.get(&args.name)?.id.clone();
    let mut rows = app.providers.readable()?.iter();
    let Some((row, origin)) = rows.find(|(row, _)| row.id == name) else { return Ok(()) };
    let value = row_json(row, *origin)?;
    if args.json {
        return term::print(&Object::new().with("provider", value).to_string());
    }
    let pretty = serde_json::to_string_pretty(&value);
    term::print(&pretty.map_err(|e| Error::failed(format!("cannot write the row: {e}")))?)
}

fn remove(args: &Remove) -> Result<()> {
    let app = App::new(None)?;
    let name = &args.name;
    let mut was_there = false;
    app.store.change_config(|config| {
        was_there = config.unset("providers", name).is_some();
        config.unset("client_secrets", name);
        if !provider::is_built_in(name) {
            config.unset("accepted_terms", name);
        }
    })?;
    // What was found out of an MCP server, and the clients that it registered.
    was_there |= app.store.remove_server(name)?;
    if !was_there {
        let built_in = provider::is_built_in(name);
        let what = if built_in { "is built in and unchanged" } else { "is no provider of yours" };
        return Err(Error::usage(format!("{name} {what}")).or_try("keyfob provider list"));
    }
    term::say(&format!("removed {name}; its accounts, if any, stay until logout"));
    Ok(())
}
