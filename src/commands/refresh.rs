use argh::{ArgsInfo, FromArgs};
use serde_json::json;

use crate::account::{AccountId, AccountRef};
use crate::commands::{App, Object};
use crate::error::{Error, Result};
use crate::flows::fresh::{self, Need};
use crate::term;
use crate::time::Timestamp;

/// Renews credentials now, whatever the clock says.
#[derive(ArgsInfo, FromArgs)]
#[argh(
    subcommand,
    name = "refresh",
    help_triggers("-h", "--help"),
    example = "keyfob refresh claude\nkeyfob refresh --all --json"
)]
pub struct Refresh {
    /// whose: PROVIDER or PROVIDER/ACCOUNT
    #[argh(positional)]
    account: Option<AccountRef>,

    /// every account (of the provider, if one is named)
    #[argh(switch)]
    all: bool,

    /// print one JSON object
    #[argh(switch)]
    json: bool,

    /// longest wait for one network request, 30 by default
    #[argh(option, arg_name = "seconds")]
    timeout: Option<u64>,
}

pub fn run(args: &Refresh) -> Result<()> {
    let app = App::new(args.timeout)?;
    let accounts = app.meant(args.account.as_ref(), args.all, "keyfob refresh --all")?;
    let mut refreshed = Vec::new();
    let mut failed = Vec::new();
    let mut first_error = None;
    for id in accounts {
        match fresh::credential(&id, Need::Renewed, &app.tools()) {
            Ok(fresh) => {
                let expires_at = fresh.account.expires_at();
                say_refreshed(&id, expires_at, args.json);
                refreshed.push(json!({
                    "provider": id.provider, "account": id.account, "expires_at": expires_at,
                }));
            }
            Err(error) => {
                failed.push(json!({
                    "provider": id.provider, "account": id.account,
                    "code": error.code(), "message": error.to_string(), "try": error.next(),
                }));
                match first_error {
                    None => first_error = Some(error),
                    Some(_) => term::say(&format!("keyfob: {error}")),
                }
            }
        }
    }
    if args.json {
        let object = Object::new().with("refreshed", refreshed).with("failed", failed);
        term::print(&object.to_string())?;
    }
    first_error.map_or(Ok(()), Err)
}

fn say_refreshed(id: &AccountId, expires_at: Option<Timestamp>, is_json: bool) {
    if !is_json {
        let until = expires_at
            .map_or(String::new(), |at| format!(", expires {}", at.in_words(Timestamp::now())));
        term::say(&format!("refreshed {id}{until}"));
    }
}

impl App {
    /// The accounts a command names: one, or with `--all` every one (of the provider).
    pub fn meant(
        &self,
        typed: Option<&AccountRef>,
        all: bool,
        all_command: &str,
    ) -> Result<Vec<AccountId>> {
        match (typed, all) {
            (Some(typed), false) => Ok(vec![self.signed_in_account(typed)?]),
            (Some(typed), true) => {
                let id = self.signed_in_account(typed)?;
                self.store.accounts(&id.provider)
            }
            (None, true) => self.store.all_accounts(),
            (None, false) => Err(Error::usage("which account?").or_try(all_command)),
        }
    }
}
