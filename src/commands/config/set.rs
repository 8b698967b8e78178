use argh::{ArgsInfo, FromArgs};
use serde_json::{Map, Value};

use crate::account::{AccountRef, is_provider_name};
use crate::commands::App;
use crate::commands::config::{path_of, secret_command};
use crate::endpoint;
use crate::error::{Error, Result};
use crate::flows::gateway::settings::Settings;
use crate::provider::{self, Providers};
use crate::store::config_file::{self, Config, SECTIONS};
use crate::term::{self, prompt};
use crate::text;

/// Changes one setting.
#[derive(ArgsInfo, FromArgs)]
#[argh(
    subcommand,
    name = "set",
    help_triggers("-h", "--help"),
    note = "A value that is a JSON array, object, number or boolean is stored as such,\n\
            anything else as text."
)]
pub struct Set {
    /// its dotted name, for example providers.my-idp.token_url
    #[argh(positional)]
    key: String,

    /// the new value
    #[argh(positional)]
    value: String,
}

pub fn run(args: &Set, app: &App) -> Result<()> {
    let rows = app.providers.readable()?;
    let ids: Vec<_> = rows.iter().map(|(row, _)| row.id.as_str()).collect();
    app.store.edit_config(|config| {
        let path = path_of(&args.key, config, &ids)?;
        let changed = match path[0].as_str() {
            "providers" if path.len() > 1 => provider_key(path, args, config, &ids)?,
            "serve" if path.len() > 1 => serve_key(&path, args, config)?,
            section => other_key(section, &path, args, config, app)?,
        };
        let is_new = config.render().ok() != changed.render().ok();
        *config = changed;
        Ok(is_new)
    })?;
    term::say(&format!("set {}", args.key));
    Ok(())
}

/// The sections that hold one text for each provider.
fn other_key(
    section: &str,
    path: &[String],
    args: &Set,
    config: &Config,
    app: &App,
) -> Result<Config> {
    let sections = text::list(&SECTIONS.map(str::to_owned));
    let name = match (section, path) {
        (_, [_, name]) if SECTIONS.contains(&section) => name,
        _ if SECTIONS.contains(&section) => {
            let what = format!("{section} holds several settings; name one of them");
            return Err(Error::usage(what).or_try("keyfob config list"));
        }
        _ => {
            let what = format!("there is no such section; the sections are {sections}");
            return Err(Error::usage(what).or_try("keyfob config --help"));
        }
    };
    match section {
        "client_secrets" => return Err(on_the_command_line(name, config)),
        "default" if name != "provider" => {
            let what = "the section default holds one setting, default.provider";
            return Err(Error::usage(what).or_try("keyfob config set default.provider PROVIDER"));
        }
        "default" => drop(app.providers.get(&args.value)?),
        "defaults" => {
            let account = format!("{name}/{}", args.value).parse::<AccountRef>();
            account.map_err(|why| Error::usage(why).or_try("keyfob status"))?;
        }
        _ => {}
    }
    let mut changed = config.clone();
    changed.set_path(path, Value::from(args.value.as_str()));
    Ok(changed)
}

/// A setting of the gateway, which has to be able to read all of them afterwards.
fn serve_key(path: &[String], args: &Set, config: &Config) -> Result<Config> {
    let is_key = path[1] == "management_key";
    if is_key && args.value != "-" {
        let what = "a secret on a command line is seen by others; it goes to stdin";
        let next = "openssl rand -hex 24 | keyfob config set serve.management_key -";
        return Err(Error::usage(what).or_try(next));
    }
    let text = if is_key { prompt::piped("management key")? } else { args.value.clone() };
    if is_key && !text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
        return Err(Error::usage("a management key goes into a header: visible ASCII characters"));
    }
    let json = serde_json::from_str(&text).ok().filter(|json: &Value| !json.is_null() && !is_key);
    let mut changed = config.clone();
    changed.set_path(path, json.unwrap_or_else(|| Value::from(text)));
    Settings::of(&changed, term::warn).map(|_| changed).map_err(|error| {
        Error::usage(format!("nothing was changed: {error}")).or_try("keyfob serve --help")
    })
}

fn on_the_command_line(provider: &str, config: &Config) -> Error {
    let what = "a secret on a command line is seen by others; it goes to stdin";
    Error::usage(what).or_try(secret_command(provider, config))
}

/// A key of a provider's row, in the first form of the value that the row can be read with.
fn provider_key(
    mut path: Vec<String>,
    args: &Set,
    config: &Config,
    ids: &[&str],
) -> Result<Config> {
    let json = serde_json::from_str(&args.value).ok();
    let json = json.filter(|json: &Value| !json.is_string() && !json.is_null());
    let is_known = ids.contains(&path[1].as_str()) || config.providers().contains_key(&path[1]);
    if !is_known {
        // A whole row of a new provider, whose name may hold dots.
        path = vec![path[0].clone(), path[1..].join(".")];
        may_be_added(&path[1], json.as_ref())?;
    }
    // An id of digits is a text, and nobody wants to write quotes within quotes.
    let scalar = json.as_ref().is_none_or(|json| !json.is_array() && !json.is_object());
    let as_text = scalar.then(|| Value::from(args.value.as_str()));
    let mut first_error = None;
    for value in json.into_iter().chain(as_text) {
        if config_file::masked(&value, &path) != value {
            if path.last().is_some_and(|name| name == "client_secret") {
                return Err(on_the_command_line(&path[1], config));
            }
            let what = "a secret on a command line is seen by others; write it into the file";
            return Err(Error::usage(what).or_try("keyfob config path"));
        }
        check_urls(&path, &value)?;
        let mut changed = config.clone();
        changed.set_path(&path, value);
        match row_of(&path, &changed, term::warn) {
            Ok(()) => return Ok(changed),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    Err(first_error.unwrap_or_else(|| Error::usage("which value?")))
}

fn may_be_added(id: &str, value: Option<&Value>) -> Result<()> {
    let shown = text::harmless(id, 64);
    if provider::is_built_in(id) {
        let what = format!("{shown} is another name of a built-in provider");
        return Err(Error::usage(what).or_try(format!("keyfob provider show {shown}")));
    }
    if !value.is_some_and(Value::is_object) || !is_provider_name(id) {
        let name = id.split('.').next().unwrap_or(id);
        let what = format!("no provider is called {}", text::harmless(name, 64));
        return Err(Error::usage(what).or_try("keyfob provider list"));
    }
    Ok(())
}

/// Every address of a row stands where it can be checked by its key; one that is filled in later
/// (`{instance}`) is checked then.
fn check_urls(path: &[String], value: &Value) -> Result<()> {
    let inner = |name: &String| [path, std::slice::from_ref(name)].concat();
    let is_address = |name: &String| {
        ["base", "issuer", "url", "urls"].contains(&name.as_str()) || name.ends_with("_url")
    };
    match value {
        // Pointers into an answer, under names of any kind.
        _ if path.iter().any(|name| name == "identity") => Ok(()),
        Value::Array(all) => all.iter().try_for_each(|one| check_urls(path, one)),
        Value::Object(object) => {
            object.iter().try_for_each(|(name, value)| check_urls(&inner(name), value))
        }
        Value::String(url) if path.last().is_some_and(is_address) && !url.contains('{') => {
            let name = path.join(".");
            endpoint::check(&name, url).map_err(|error| Error::usage(error.to_string()))
        }
        _ => Ok(()),
    }
}

/// Whether the row that a path leads to can be read; a path to elsewhere is no row's.
pub fn row_of(path: &[String], config: &Config, warn: fn(&str)) -> Result<()> {
    let [section, id, ..] = path else { return Ok(()) };
    let Some(row) = config.providers().remove(id).filter(|_| section == "providers") else {
        return Ok(());
    };
    let only = Map::from_iter([(id.clone(), row)]);
    let found = Providers::new(move || Ok(only.clone()), warn).find(id).map(drop);
    found.map_err(|error| {
        let what = format!("nothing was changed: {error}");
        Error::usage(what).or_try(format!("keyfob provider show {}", text::shell_word(id)))
    })
}
