use argh::{ArgsInfo, FromArgs};
use serde_json::Value;

use crate::account::{AccountId, AccountRef};
use crate::commands::App;
use crate::error::{Error, Result};
use crate::term;

/// Makes an account the default of its provider.
#[derive(ArgsInfo, FromArgs)]
#[argh(
    subcommand,
    name = "use",
    help_triggers("-h", "--help"),
    example = "keyfob use claude/work",
    note = "KEYFOB_ACCOUNT_CLAUDE=work picks an account for one shell only."
)]
pub struct Use {
    /// the account: PROVIDER/ACCOUNT
    #[argh(positional)]
    account: AccountRef,
}

pub fn run(args: &Use) -> Result<()> {
    let app = App::new(None)?;
    if args.account.account.is_none() {
        let what = "name the account as PROVIDER/ACCOUNT";
        return Err(Error::usage(what).or_try(format!("keyfob status {}", args.account.provider)));
    }
    let id = app.signed_in_account(&args.account)?;
    let AccountId { provider, account } = &id;
    if !app.store.accounts(provider)?.contains(&id) {
        return Err(Error::SignIn {
            account: id.to_string(),
            why: "nobody is signed in".to_owned(),
            next: id.login_command(),
        });
    }
    app.store.change_config(|config| {
        config.set("defaults", provider, Value::from(account.as_str()));
    })?;
    term::say(&format!("{id} is the default for {provider}"));
    Ok(())
}
