//! `keyfob serve key`: the keys of the gateway's clients.

use argh::{ArgsInfo, FromArgs};
use serde_json::json;

use crate::commands::Object;
use crate::error::Result;
use crate::flows::gateway::keys;
use crate::store::Store;
use crate::term;
use crate::text;
use crate::time::Timestamp;

/// Makes, lists and removes the keys that clients of the gateway have.
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "key", help_triggers("-h", "--help"))]
pub struct KeyArgs {
    #[argh(subcommand)]
    command: KeyCommand,
}

#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand)]
enum KeyCommand {
    Add(Add),
    List(List),
    Remove(Remove),
}

/// Makes a key and prints it, this once: only its hash is kept.
#[derive(ArgsInfo, FromArgs)]
#[argh(
    subcommand,
    name = "add",
    help_triggers("-h", "--help"),
    example = "keyfob serve key add laptop\nkeyfob serve key add ci --provider claude/ci"
)]
struct Add {
    /// what to call it
    #[argh(positional)]
    name: String,

    /// good for this alone: PROVIDER or PROVIDER/ACCOUNT; repeatable
    #[argh(option, arg_name = "account")]
    provider: Vec<String>,

    /// print one JSON object
    #[argh(switch)]
    json: bool,
}

/// Lists the keys by name.
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "list", help_triggers("-h", "--help"))]
struct List {
    /// print one JSON object
    #[argh(switch)]
    json: bool,
}

/// Removes a key: a running gateway lets nobody in with it from the next second on.
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "remove", help_triggers("-h", "--help"))]
struct Remove {
    /// its name
    #[argh(positional)]
    name: String,

    /// print one JSON object
    #[argh(switch)]
    json: bool,
}

pub fn run(args: &KeyArgs) -> Result<()> {
    let store = Store::open()?;
    match &args.command {
        KeyCommand::Add(args) => add(args, &store),
        KeyCommand::List(args) => list(args, &store),
        KeyCommand::Remove(args) => remove(args, &store),
    }
}

fn add(args: &Add, store: &Store) -> Result<()> {
    let key = keys::add(&args.name, args.provider.clone(), store)?;
    if args.json {
        let object = Object::new()
            .with("name", args.name.as_str())
            .with("providers", json!(args.provider))
            .with("key", key.expose());
        return term::print(&object.to_string());
    }
    term::print(key.expose())
}

fn list(args: &List, store: &Store) -> Result<()> {
    let keys = store.client_keys()?;
    if args.json {
        let all = keys.iter().map(|key| {
            json!({"name": key.name, "providers": key.providers, "created_at": key.created_at})
        });
        return term::print(&Object::new().with("keys", all.collect::<Vec<_>>()).to_string());
    }
    if keys.is_empty() {
        term::say("no client has a key; try: keyfob serve key add NAME");
        return Ok(());
    }
    let now = Timestamp::now();
    let rows: Vec<_> = keys
        .iter()
        .map(|key| {
            let providers = match key.providers.as_slice() {
                [] => "all accounts".to_owned(),
                several => several.join(", "),
            };
            [
                text::harmless(&key.name, 64),
                text::harmless(&providers, 200),
                key.created_at.in_words(now),
            ]
        })
        .collect();
    term::print(term::columns(&rows).trim_end())
}

fn remove(args: &Remove, store: &Store) -> Result<()> {
    keys::remove(&args.name, store)?;
    if args.json {
        return term::print(&Object::new().with("removed", args.name.as_str()).to_string());
    }
    term::say(&format!("removed the key {}", args.name));
    Ok(())
}
