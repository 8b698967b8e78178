//! `keyfob config get|set|unset|list|path|reset`. A secret goes in and out by other doors.

mod set;

use argh::{ArgsInfo, FromArgs};
use serde_json::Value;

use crate::commands::{App, Object};
use crate::error::{Error, Result};
use crate::store::config_file::{self, Config};
use crate::term::{self, prompt};
use crate::text;
use crate::time::Timestamp;

/// Reads and changes the settings.
#[derive(ArgsInfo, FromArgs)]
#[argh(
    subcommand,
    name = "config",
    help_triggers("-h", "--help"),
    example = "keyfob config list\n\
               keyfob config set default.provider claude\n\
               keyfob config set providers.my-idp.scopes '[\"openid\",\"email\"]'\n\
               keyfob config unset providers.my-idp.audience",
    note = "The sections are default.provider, defaults.PROVIDER (its account),\n\
            providers.PROVIDER.KEY (what keyfob provider show lists), client_secrets and\n\
            accepted_terms. Secrets are neither shown nor taken from the command line."
)]
pub struct ConfigArgs {
    #[argh(subcommand)]
    command: ConfigCommand,
}

#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand)]
enum ConfigCommand {
    Get(Get),
    List(List),
    Path(PathArgs),
    Reset(Reset),
    Set(set::Set),
    Unset(Unset),
}

/// Prints one setting.
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "get", help_triggers("-h", "--help"))]
struct Get {
    /// its dotted name, as `keyfob config list` shows it
    #[argh(positional)]
    key: String,

    /// print one JSON object
    #[argh(switch)]
    json: bool,
}

/// Lists every setting; secrets are masked.
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "list", help_triggers("-h", "--help"))]
struct List {
    /// print one JSON object
    #[argh(switch)]
    json: bool,
}

/// Prints where the settings stand.
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "path", help_triggers("-h", "--help"))]
struct PathArgs {}

/// Empties the settings and keeps a copy of the old file; accounts stay.
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "reset", help_triggers("-h", "--help"))]
struct Reset {
    /// do not ask
    #[argh(switch)]
    yes: bool,
}

/// Removes one setting, so that the built-in value counts again.
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "unset", help_triggers("-h", "--help"))]
struct Unset {
    /// its dotted name, as `keyfob config list` shows it
    #[argh(positional)]
    key: String,
}

pub fn run(args: &ConfigArgs) -> Result<()> {
    let app = App::new(None)?;
    match &args.command {
        ConfigCommand::Get(args) => get(args, &app),
        ConfigCommand::List(args) => list(args, &app),
        ConfigCommand::Path(_) => term::print(&app.store.config_path().display().to_string()),
        ConfigCommand::Reset(args) => reset(args, &app),
        ConfigCommand::Set(args) => set::run(args, &app),
        ConfigCommand::Unset(args) => unset(args, &app),
    }
}

fn get(args: &Get, app: &App) -> Result<()> {
    let config = app.store.config()?;
    let path = path_of(&args.key, &config, &[])?;
    let value = config.get_path(&path).ok_or_else(|| is_not_set(&args.key))?;
    if config_file::is_secret(value, &path) {
        return Err(hidden(&args.key, &path, &config, app));
    }
    let value = config_file::masked(value, &path);
    if args.json {
        let object = Object::new().with("key", args.key.as_str()).with("value", value);
        return term::print(&object.to_string());
    }
    term::print(&match value {
        Value::String(text) => text,
        other => other.to_string(),
    })
}

/// The names of a dotted key, of which none is empty.
fn path_of(key: &str, config: &Config, known: &[&str]) -> Result<Vec<String>> {
    if key.split('.').any(str::is_empty) {
        let what = "a setting is named by words with dots between them";
        return Err(Error::usage(what).or_try("keyfob config list"));
    }
    Ok(config.path(key, known))
}

fn is_not_set(key: &str) -> Error {
    let what = format!("{} is not set", text::harmless(key, 200));
    Error::failed(what).or_try("keyfob config list")
}

/// Where a secret that is not shown can be changed.
fn hidden(key: &str, path: &[String], config: &Config, app: &App) -> Error {
    let what = format!("{} is a secret and is not shown", text::harmless(key, 200));
    match path {
        [section, provider] if section == "client_secrets" => {
            Error::failed(what).or_try(secret_command(provider, config))
        }
        _ => Error::failed(format!("{what}; change it in {}", app.store.config_path().display())),
    }
}

/// The command that takes a client's secret from stdin.
fn secret_command(provider: &str, config: &Config) -> String {
    let client = ["providers", provider, "client_id"].map(str::to_owned);
    let client = config.get_path(&client).and_then(Value::as_str).unwrap_or("ID");
    let words = [provider, client].map(text::shell_word);
    format!("keyfob login {} --client-secret-stdin --client-id {}", words[0], words[1])
}

fn list(args: &List, app: &App) -> Result<()> {
    let config = app.store.config()?;
    if args.json {
        return term::print(&Object::new().with("settings", config.masked()).to_string());
    }
    let line = |(key, value): (String, Value)| match value {
        Value::String(text) => format!("{key} = {}", text::harmless(&text, usize::MAX)),
        other => format!("{key} = {other}"),
    };
    let lines: Vec<_> = config.flatten().into_iter().map(line).collect();
    if lines.is_empty() {
        term::say(&format!("nothing is set in {}", app.store.config_path().display()));
        return Ok(());
    }
    term::print(&lines.join("\n"))
}

fn reset(args: &Reset, app: &App) -> Result<()> {
    let path = app.store.config_path();
    if !args.yes {
        if !prompt::is_possible(false) {
            let what = format!("emptying {} needs a yes", path.display());
            let next = "keyfob config reset --yes".to_owned();
            return Err(Error::PromptNeeded { what, next });
        }
        if !prompt::confirm(&format!("empty {}? accounts stay", path.display()))? {
            return Err(Error::failed("nothing was changed"));
        }
    }
    term::say(&match app.store.reset_config(Timestamp::now())? {
        Some(backup) => format!("the settings are empty; the old ones are in {}", backup.display()),
        None => "there are no settings".to_owned(),
    });
    Ok(())
}

fn unset(args: &Unset, app: &App) -> Result<()> {
    app.store.edit_config(|config| {
        let path = path_of(&args.key, config, &[])?;
        let before = config.clone();
        config.unset_path(&path).ok_or_else(|| is_not_set(&args.key))?;
        // A row that was wrong before may be mended in several steps.
        let quiet: fn(&str) = |_| ();
        if set::row_of(&path, &before, quiet).is_ok() {
            set::row_of(&path, config, quiet)?;
        }
        Ok(true)
    })?;
    term::say(&format!("removed {}", args.key));
    Ok(())
}
