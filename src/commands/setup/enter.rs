//! The way in to one provider: what is there already, else a sign-in or a key.

use crate::account::{AccountId, AccountRef};
use crate::commands::App;
use crate::commands::child;
use crate::commands::setup::{Trouble, choice};
use crate::credential::Credential;
use crate::error::Result;
use crate::flows::environment;
use crate::provider::{Provider, Way};
use crate::secret::Secret;
use crate::store::Found;
use crate::term::{self, prompt};

/// How `login` is called.
#[derive(Default)]
struct Call {
    flags: Vec<String>,
    /// What goes to its stdin; without it the child asks at the terminal.
    secret: Option<Secret>,
}

impl Call {
    fn with(flags: &[&str]) -> Call {
        Call { flags: flags.iter().map(|&flag| flag.to_owned()).collect(), secret: None }
    }
}

/// Nothing is changed where the answer is no.
pub fn enter(account: &AccountRef, timeout_s: Option<u64>, app: &App) -> Result<Option<Trouble>> {
    let row = app.providers.get(&account.provider)?;
    term::say(&format!("\n{} ({account})", row.title));
    let stored = match app.account(account)? {
        Some(id) => told(&id, app)?,
        None => None,
    };
    if let Some(what) = &stored
        && !choice::yes(&format!("{what} again?"))?
    {
        return Ok(None);
    }
    let Some(mut call) = call(row)? else { return Ok(None) };
    if call.secret.is_some() {
        call.flags.extend(address(row, stored.is_some())?);
    }
    let mut arguments = vec!["login".to_owned(), account.to_string()];
    arguments.extend(call.flags);
    match child::run(&arguments, timeout_s, call.secret.as_ref())? {
        0 => Ok(None),
        exit_code => {
            term::say(&format!("{account}: that did not work (exit {exit_code})"));
            Ok(Some(Trouble { exit_code, next: account.login_command() }))
        }
    }
}

/// An account that is there, as the beginning of the question whether to replace it.
fn told(id: &AccountId, app: &App) -> Result<Option<String>> {
    Ok(match app.store.find_account(id)? {
        Found::Account(account) => {
            let who = account.identity.name().unwrap_or(&id.account);
            Some(match account.credential {
                Credential::ApiKey(_) => format!("{id} has a key; store one"),
                _ => format!("{} is signed in as {who}; sign in", id.provider),
            })
        }
        Found::Damaged(why) => Some(format!("the file of {id} is damaged ({why}); sign in")),
        Found::Missing => None,
    })
}

/// The call for the way that is wanted. None: all stays as it is.
fn call(row: &Provider) -> Result<Option<Call>> {
    let variable = choice::key_in_environment(row);
    if let Some(name) = &variable
        && choice::yes(&format!("{name} is set: store its key?"))?
    {
        let secret = environment::first_set(std::slice::from_ref(name)).map(Secret::new);
        return Ok(Some(Call { secret, ..Call::with(&["--api-key-stdin"]) }));
    }
    let mut ways: Vec<_> = row.ways.iter().copied().filter(|way| can_be_asked(*way, row)).collect();
    let mut keeps = "skips it".to_owned();
    if let Some(name) = &variable {
        ways.retain(|way| *way != Way::ApiKey);
        if ways.is_empty() {
            return Ok(None);
        }
        keeps = format!("leaves {name} in use");
    } else if row.key_optional && !choice::yes("it needs no key; store one all the same?")? {
        return Ok(None);
    }
    let way = match ways.as_slice() {
        [only] if variable.is_none() => *only,
        // Nothing to choose from: `login` says what is wrong with the row.
        [] => return Ok(Some(Call::default())),
        several => {
            for (at, way) in several.iter().enumerate() {
                term::say(&format!("{:3}  {:15} {}", at + 1, way.name(), in_words(*way)));
            }
            let names: Vec<_> = several.iter().map(|way| way.name().to_owned()).collect();
            match choice::pick(&format!("way in (number or name; empty {keeps}): "), &names)? {
                Some(at) => several[at],
                None => return Ok(None),
            }
        }
    };
    by(way, row).map(Some)
}

/// The ways that a flag leads to, and the one that is taken without.
fn can_be_asked(way: Way, row: &Provider) -> bool {
    let has_flag = match way {
        Way::ApiKey | Way::Bearer | Way::Device | Way::ServiceAccount => true,
        Way::Browser | Way::Cookie | Way::Entra | Way::Tool => false,
    };
    has_flag || row.ways.first() == Some(&way)
}

fn in_words(way: Way) -> &'static str {
    match way {
        Way::ApiKey => "store an API key",
        Way::Bearer => "store a JWT that somebody else issued",
        Way::Browser | Way::Cookie => "sign in with a browser",
        Way::Device => "sign in with a code typed on any machine",
        Way::Entra => "Microsoft Entra ID",
        Way::ServiceAccount => "a service account's key file",
        Way::Tool => "the sign-in of its own tool",
    }
}

fn by(way: Way, row: &Provider) -> Result<Call> {
    let hidden = |flags: &[&str], what: &str| {
        let secret = Some(Secret::new(prompt::hidden(&format!("{what} (hidden): "))?));
        Ok(Call { secret, ..Call::with(flags) })
    };
    // The one that `login` takes by itself asks for all it needs.
    if row.ways.first() == Some(&way) {
        if row.own_client && row.client_id.is_none() {
            return own_client();
        }
        return Ok(Call::default());
    }
    match way {
        Way::ApiKey => {
            if let Some(docs) = &row.docs {
                term::say(&format!("a key of {} comes from {docs}", row.title));
            }
            hidden(&["--api-key-stdin"], "API key")
        }
        Way::Bearer => hidden(&["--jwt-token", "-"], "JWT"),
        Way::Device => Ok(Call::with(&["--device"])),
        Way::ServiceAccount => {
            let file = file("service account's key file: ")?;
            Ok(Call::with(&["--service-account", &file]))
        }
        Way::Browser | Way::Cookie | Way::Entra | Way::Tool => Ok(Call::default()),
    }
}

/// A row without a client for everyone.
fn own_client() -> Result<Call> {
    let question = "JSON file of your own OAuth client (empty if you have none): ";
    Ok(match file(question)?.as_str() {
        "" => Call::default(),
        file => Call::with(&["--client-json", file]),
    })
}

/// A path as a person types it, where no shell reads it first.
fn file(question: &str) -> Result<String> {
    let typed = prompt::answer(question)?;
    let typed = typed.trim_matches(['"', '\'']);
    Ok(match (typed.strip_prefix("~/"), dirs::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest).display().to_string(),
        _ => typed.to_owned(),
    })
}

/// A child whose stdin is a secret cannot ask for the address of the installation.
fn address(row: &Provider, is_known: bool) -> Result<Vec<String>> {
    let Some(instance) = row.instance.as_ref().filter(|instance| instance.required) else {
        return Ok(Vec::new());
    };
    if is_known || environment::first_set(&instance.env).is_some() {
        return Ok(Vec::new());
    }
    let url = prompt::answer(&format!("address of {}: ", row.title))?;
    Ok(vec!["--url".to_owned(), url])
}
