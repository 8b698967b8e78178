//! Which installation of a provider that customers run themselves.

use std::borrow::Cow;

use crate::account::{AccountId, AccountRef};
use crate::commands::App;
use crate::commands::login::Login;
use crate::error::{Error, Result};
use crate::flows::environment;
use crate::provider::{self, Provider};
use crate::term::prompt;
use crate::text::shell_word;

/// The row as it is at `--url`, else where the named account is, else at the address of the
/// environment, else where the provider's account is; asked for where one is needed.
pub fn at<'a>(
    row: &'a Provider,
    account: &AccountRef,
    args: &Login,
    app: &App,
) -> Result<Cow<'a, Provider>> {
    let Some(instance) = &row.instance else {
        if args.url.is_some() {
            let what = format!("{} has one address for everyone; it takes no --url", row.id);
            return Err(Error::usage(what).or_try(account.login_command()));
        }
        return Ok(Cow::Borrowed(row));
    };
    let stored = || known(account, app);
    let variable = || environment::first_set(&instance.env);
    let mut address = match (&args.url, &account.account) {
        (Some(url), _) => Some(url.clone()),
        (None, Some(_)) => stored()?.or_else(variable),
        (None, None) if instance.required => variable().map_or_else(stored, |url| Ok(Some(url)))?,
        (None, None) => variable(),
    };
    if address.is_none() && instance.required {
        if !prompt::is_possible(args.no_input) {
            return Err(Error::PromptNeeded {
                what: format!("which address of {}?", row.title),
                next: format!("keyfob login {} --url URL", shell_word(&account.to_string())),
            });
        }
        address = Some(prompt::line(&format!("address of {}: ", row.title))?);
    }
    match address {
        Some(address) => row.at_instance(&instance.normalise(&address)?).map(Cow::Owned),
        None => Ok(Cow::Borrowed(row)),
    }
}

/// The account that a key or token of this row becomes: the name that was typed, else the host of the
/// installation, else `default`.
pub fn account_id(account: &AccountRef, row: &Provider) -> AccountId {
    let name = account.account.clone();
    let name =
        name.unwrap_or_else(|| row.address().map_or("default".to_owned(), provider::name_of));
    AccountId { provider: row.id.clone(), account: name }
}

/// Where the account that is meant lives; a file that cannot be read is no obstacle to a new login.
fn known(account: &AccountRef, app: &App) -> Result<Option<String>> {
    let id = match &account.account {
        Some(name) => AccountId { provider: account.provider.clone(), account: name.clone() },
        None => match app.account(account)? {
            Some(id) => id,
            None => return Ok(None),
        },
    };
    let found = app.store.read_account(&id).ok().flatten();
    Ok(found.and_then(|account| account.instance().map(str::to_owned)))
}
