//! A Google service account's key file instead of a sign-in.

use std::fs::{File, Metadata};
use std::io::Read;
use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::account::{AccountId, AccountRef};
use crate::commands::App;
use crate::commands::login::Login;
use crate::commands::login::outcome::tell;
use crate::error::{Error, Result};
use crate::flows::environment;
use crate::flows::service_account::{self, Wish};
use crate::protocol::service_account::{KeyFile, is_location, is_project};
use crate::provider::Provider;
use crate::secret::Secret;
use crate::store::Found;
use crate::term::{self, prompt};
use crate::text::{self, shell_word};

/// No key file is larger.
const LIMIT_BYTES: u64 = 64 * 1024;
/// Variables of Google's own tools and libraries, first one set wins.
const LOCATION_ENV: [&str; 3] = ["GOOGLE_CLOUD_LOCATION", "CLOUD_ML_REGION", "GOOGLE_CLOUD_REGION"];
const LOCATION: &str = "us-central1";

pub fn run(args: &Login, account: &AccountRef, row: &Provider, app: &App) -> Result<()> {
    if args.scope.is_some() || args.access_tier.is_some() {
        let what = format!("a key file takes the scopes of the row: providers.{}.scopes", row.id);
        return Err(Error::usage(what).or_try(format!("keyfob provider show {}", row.id)));
    }
    let path = path_of(args, account, row)?;
    let text = read(&path)?;
    let file = KeyFile::parse(&text).map_err(|why| {
        let docs = row.docs.as_ref().map_or(String::new(), |docs| format!("; see {docs}"));
        Error::usage(format!("{}: {why}{docs}", shown(&path))).or_try(next(account))
    })?;
    let name = account.account.clone().unwrap_or_else(|| file.email.clone());
    let id = AccountId { provider: row.id.clone(), account: name };
    let facts = facts(args, &file, &id, app)?;
    let (project, location) = (facts["project"].clone(), facts["location"].clone());
    let wish = Wish {
        id,
        text,
        file,
        facts,
        expect: args.expect.clone(),
        replace: args.replace,
        verify: !args.no_verify,
    };
    let signed_in = service_account::login(wish, row, &app.client, &app.store)?;
    if !args.json {
        let word = |fact: &Value| fact.as_str().unwrap_or_default().to_owned();
        term::say(&format!("project {} in {}", word(&project), word(&location)));
    }
    tell(&signed_in, args)
}

fn next(account: &AccountRef) -> String {
    format!("{} --service-account FILE", account.login_command())
}

fn path_of(args: &Login, account: &AccountRef, row: &Provider) -> Result<String> {
    if let Some(path) = &args.service_account {
        return Ok(path.clone());
    }
    if !prompt::is_possible(args.no_input) {
        let what = format!("{} signs in with a service account's key file", row.id);
        return Err(Error::PromptNeeded { what, next: next(account) });
    }
    if let Some(docs) = &row.docs {
        term::say(&format!("how to make a service account's key file: {docs}"));
    }
    let typed = prompt::line("its path: ")?;
    let typed = typed.trim_matches(['"', '\'']);
    match (typed.strip_prefix("~/"), dirs::home_dir()) {
        _ if typed.is_empty() => Err(Error::usage("no file was named").or_try(next(account))),
        // No shell was there to do it.
        (Some(rest), Some(home)) => Ok(home.join(rest).display().to_string()),
        _ => Ok(typed.to_owned()),
    }
}

fn shown(path: &str) -> String {
    if path == "-" { "stdin".to_owned() } else { text::harmless(path, 200) }
}

fn read(path: &str) -> Result<Secret> {
    let text = if path == "-" { prompt::piped("key file")? } else { read_file(path)? };
    Ok(Secret::new(text.trim_start_matches('\u{feff}')))
}

fn read_file(path: &str) -> Result<String> {
    let unreadable = |cause: &str| Error::usage(format!("cannot read {}: {cause}", shown(path)));
    let file = File::open(PathBuf::from(path)).map_err(|e| unreadable(&text::cause(&e)))?;
    let metadata = file.metadata().map_err(|e| unreadable(&text::cause(&e)))?;
    let mut bytes = Vec::new();
    let read = file.take(LIMIT_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|e| unreadable(&text::cause(&e)))?;
    if bytes.len() as u64 > LIMIT_BYTES {
        return Err(unreadable("it is too large for a key file"));
    }
    warn_of_mode(path, &metadata);
    String::from_utf8(bytes)
        .map_err(|_| unreadable("it is no text; of the kinds of key, JSON is wanted and not P12"))
}

#[cfg(unix)]
fn warn_of_mode(path: &str, metadata: &Metadata) {
    use std::os::unix::fs::MetadataExt;
    if metadata.is_file() && metadata.mode() & 0o077 != 0 {
        let word = shell_word(&text::harmless(path, 200));
        term::warn(&format!("{} is open to others; close it with: chmod 600 {word}", shown(path)));
    }
}

#[cfg(not(unix))]
fn warn_of_mode(_path: &str, _metadata: &Metadata) {}

/// Project and location: by flag, by variable, else those of the account that gets a new key, else
/// what the file says and Google's own choice.
fn facts(args: &Login, file: &KeyFile, id: &AccountId, app: &App) -> Result<Map<String, Value>> {
    let old = match app.store.find_account(id)? {
        Found::Account(old) => {
            Some(old).filter(|old| old.identity.email.as_ref() == Some(&file.email))
        }
        Found::Damaged(_) | Found::Missing => None,
    };
    let kept = |key: &str| old.as_ref().and_then(|old| old.fact(key));
    let project = args.project.as_deref().or(kept("project")).or(file.project.as_deref());
    let project = project.ok_or_else(|| {
        let what = "the key file names no project_id";
        Error::usage(what)
            .or_try(format!("{} --service-account FILE --project ID", id.login_command()))
    })?;
    if !is_project(project) {
        let what = "a project is named by its id: a-z, 0-9, `-`, and `.` and `:` for a domain's";
        return Err(Error::usage(what));
    }
    let variables = LOCATION_ENV.map(str::to_owned);
    let named = args.location.clone().or_else(|| environment::first_set(&variables));
    let location = named.as_deref().or(kept("location")).unwrap_or(LOCATION);
    if !is_location(location) {
        let what = "a location is a region's name, a-z, 0-9 and `-`: us-central1, or global";
        return Err(Error::usage(match args.location {
            Some(_) => what.to_owned(),
            None => format!("{}: {what}", LOCATION_ENV.join(", ")),
        }));
    }
    let pairs = [("project", project), ("location", location)];
    Ok(pairs.map(|(key, value)| (key.to_owned(), Value::from(value))).into_iter().collect())
}
