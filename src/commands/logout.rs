use argh::{ArgsInfo, FromArgs};
use serde_json::json;

use crate::account::AccountRef;
use crate::commands::{App, Object};
use crate::error::Result;
use crate::flows::{environment, logout};
use crate::term;

/// Revokes the token at the provider, then forgets the account. The file goes
/// even when the provider cannot be reached.
#[derive(ArgsInfo, FromArgs)]
#[argh(
    subcommand,
    name = "logout",
    help_triggers("-h", "--help"),
    example = "keyfob logout claude\nkeyfob logout claude/work --keep-token"
)]
pub struct Logout {
    /// whose: PROVIDER or PROVIDER/ACCOUNT
    #[argh(positional)]
    account: Option<AccountRef>,

    /// every account (of the provider, if one is named)
    #[argh(switch)]
    all: bool,

    /// do not revoke: the token stays good at the provider
    #[argh(switch)]
    keep_token: bool,

    /// print one JSON object
    #[argh(switch)]
    json: bool,

    /// longest wait for one network request, 30 by default
    #[argh(option, arg_name = "seconds")]
    timeout: Option<u64>,
}

pub fn run(args: &Logout) -> Result<()> {
    let app = App::new(args.timeout)?;
    let accounts = app.meant(args.account.as_ref(), args.all, "keyfob logout --all")?;
    let mut removed = Vec::new();
    let mut first_error = None;
    for id in accounts {
        let outcome = logout::logout(&id, args.keep_token, &app.client, &app.providers, &app.store);
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(error) => {
                first_error.get_or_insert(error);
                continue;
            }
        };
        if !args.json {
            let revoked =
                if outcome.revoked == Some(true) { "revoked and removed" } else { "removed" };
            term::say(&format!("{revoked} {id}"));
        }
        if let Some(warning) = &outcome.warning {
            term::warn(warning);
        }
        warn_of_variable(&app, &id.provider);
        removed.push(json!({
            "provider": id.provider, "account": id.account,
            "revoked": outcome.revoked, "warning": outcome.warning,
        }));
    }
    if args.json && first_error.is_none() {
        term::print(&Object::new().with("removed", removed).to_string())?;
    }
    first_error.map_or(Ok(()), Err)
}

/// A variable that still supplies a key would make the logout look undone.
fn warn_of_variable(app: &App, provider: &str) {
    if let Ok(Some(row)) = app.providers.find(provider)
        && let Ok(Some(found)) = environment::credential(row)
    {
        term::warn(&format!(
            "{} is set and still supplies a credential for {provider}",
            found.name
        ));
    }
}
