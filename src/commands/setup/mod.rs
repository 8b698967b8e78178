//! The wizard (CLI.md section 7): straight through the same commands that a script would call, which
//! it shows before it runs them.

mod choice;
mod default;
mod enter;
mod model;

use argh::{ArgsInfo, FromArgs};

use crate::account::AccountRef;
use crate::commands::App;
use crate::commands::hand_out::Asked;
use crate::error::{Error, Result};
use crate::term::{self, prompt};
use crate::text;

/// Asks which providers you want, signs in or stores a key, checks, and sets the
/// default. Run again, it changes only what is answered.
#[derive(ArgsInfo, FromArgs)]
#[argh(
    subcommand,
    name = "setup",
    help_triggers("-h", "--help"),
    example = "keyfob setup\nkeyfob setup claude openrouter",
    note = "Off a terminal these do the same: keyfob login PROVIDER,\n\
            keyfob login PROVIDER --api-key-stdin,\n\
            keyfob config set default.provider PROVIDER."
)]
pub struct Setup {
    /// only these: PROVIDER or PROVIDER/ACCOUNT; asked for by default
    #[argh(positional)]
    providers: Vec<AccountRef>,

    /// ask nothing, which leaves nothing to do
    #[argh(switch)]
    no_input: bool,

    /// longest wait for one network request, 30 by default
    #[argh(option, arg_name = "seconds")]
    timeout: Option<u64>,
}

/// What did not work for one provider.
struct Trouble {
    exit_code: u8,
    next: String,
}

/// How it ended for one of the chosen.
struct Outcome {
    account: AccountRef,
    trouble: Option<Trouble>,
}

pub fn run(args: &Setup) -> Result<()> {
    if !prompt::is_possible(args.no_input) {
        return Err(no_terminal(args.providers.first()));
    }
    let chosen = choice::providers(&args.providers, &App::new(args.timeout)?)?;
    let mut outcomes = Vec::new();
    for account in chosen {
        let trouble = one(&account, args)?;
        outcomes.push(Outcome { account, trouble });
    }
    if outcomes.is_empty() {
        term::say("nothing was changed");
        return Ok(());
    }
    let default = default::choose(&outcomes, &App::new(args.timeout)?)?;
    sum_up(&outcomes, default.as_deref())
}

fn no_terminal(first: Option<&AccountRef>) -> Error {
    let provider =
        first.map_or("PROVIDER".to_owned(), |typed| text::shell_word(&typed.to_string()));
    let what = format!(
        "setup asks questions and needs a terminal; these do the same: `keyfob login {provider}`, \
         `keyfob login {provider} --api-key-stdin`, `keyfob config set default.provider {provider}`"
    );
    Error::PromptNeeded { what, next: format!("keyfob login {provider}") }
}

/// One provider from the way in to its model. Err ends the whole: the person left, or the store is
/// in trouble.
fn one(account: &AccountRef, args: &Setup) -> Result<Option<Trouble>> {
    if let Some(trouble) = enter::enter(account, args.timeout, &App::new(args.timeout)?)? {
        return Ok(Some(trouble));
    }
    // The sign-in may have changed the settings.
    let app = App::new(args.timeout)?;
    if let Some(trouble) = check(account, &app)? {
        return Ok(Some(trouble));
    }
    model::choose(account, args.timeout, &app)?;
    Ok(None)
}

/// Whether the credential can be used, by the way that every other command goes.
fn check(account: &AccountRef, app: &App) -> Result<Option<Trouble>> {
    match app.hand_out(&Asked::of(account)) {
        Ok(found) => {
            let source = found.variable.map_or(String::new(), |name| format!(", by {name}"));
            term::say(&format!("{account}: ok{source}"));
            Ok(None)
        }
        Err(Error::SignIn { .. }) if app.providers.get(&account.provider)?.key_optional => {
            term::say(&format!("{account}: ok, no key is needed"));
            Ok(None)
        }
        Err(error) => {
            term::say(&format!("{account}: {error}"));
            let next = error.next().map_or_else(|| account.login_command(), str::to_owned);
            term::say(&format!("  try: {next}"));
            Ok(Some(Trouble { exit_code: error.exit_code(), next }))
        }
    }
}

fn sum_up(outcomes: &[Outcome], default: Option<&str>) -> Result<()> {
    term::say("");
    for Outcome { account, trouble } in outcomes {
        term::say(&match trouble {
            None => format!("{account}: ready"),
            Some(trouble) => format!("{account}: not ready; try: {}", trouble.next),
        });
    }
    let ready = || outcomes.iter().find(|outcome| outcome.trouble.is_none());
    if let Some(default) = default {
        term::say(&format!("default provider: {default}"));
    }
    let name = default.map(str::to_owned).or_else(|| ready().map(|one| one.account.to_string()));
    if let Some(name) = name.map(|name| text::shell_word(&name)) {
        term::say(&format!("next: keyfob token {name}, or keyfob exec {name} -- COMMAND"));
    }
    let troubles: Vec<_> = outcomes.iter().filter_map(|one| one.trouble.as_ref()).collect();
    match troubles.as_slice() {
        [] => Ok(()),
        [first, ..] => {
            let what = format!("{} of {} are not ready", troubles.len(), outcomes.len());
            Err(Error::Child { what, status: first.exit_code })
        }
    }
}
