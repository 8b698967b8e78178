//! Microsoft Entra ID (Azure): an endpoint, a deployment, and then an identity or a key.

use crate::account::{AccountId, AccountRef};
use crate::commands::App;
use crate::commands::login::outcome::tell;
use crate::commands::login::{Login, instance, key};
use crate::error::{Error, Result};
use crate::flows::{entra, environment};
use crate::provider::Provider;
use crate::term::{self, prompt};
use crate::text;

/// What Azure's own SDKs and their examples read.
const DEPLOYMENT_VARIABLES: [&str; 2] = ["AZURE_OPENAI_DEPLOYMENT", "AZURE_OPENAI_DEPLOYMENT_NAME"];

/// Entra ID; at a terminal the person may choose a key.
pub fn run(args: &Login, account: &AccountRef, row: &Provider, app: &App) -> Result<()> {
    if args.no_verify && args.expect.is_some() {
        let what = "--expect needs a token to look at; it excludes --no-verify";
        return Err(Error::usage(what).or_try(account.login_command()));
    }
    let id = instance::account_id(account, row);
    let deployment = match deployment(&id, args, app)? {
        Some(deployment) => deployment,
        None if prompt::is_possible(args.no_input) => {
            checked(prompt::line(&format!("deployment of {}: ", row.title))?)?
        }
        None => {
            let address = row.address();
            let url = text::shell_word(address.unwrap_or("URL"));
            return Err(Error::PromptNeeded {
                what: format!("which deployment of {}?", id.account),
                next: format!("{} --url {url} --deployment NAME", account.login_command()),
            });
        }
    };
    if prompt::is_possible(args.no_input) {
        let ways = ["Microsoft Entra ID", "API key"].map(str::to_owned);
        if prompt::choose("way in", &ways)? == 1 {
            return key::with_deployment(Some(&deployment), args, account, row, app);
        }
    }
    let wanted = entra::Wanted {
        id,
        deployment: &deployment,
        expect: args.expect.as_deref(),
        replace: args.replace,
        verify: !args.no_verify,
    };
    let signed_in = entra::login(wanted, row, &app.client, &app.store)?;
    if let Some(link) = signed_in.account.fact("entra_link") {
        term::say(&format!("Microsoft Entra ID: the token comes from {link}"));
    }
    tell(&signed_in, args)
}

/// A key on stdin; which deployment it is for may stay open.
pub fn with_key(args: &Login, account: &AccountRef, row: &Provider, app: &App) -> Result<()> {
    let id = instance::account_id(account, row);
    let deployment = deployment(&id, args, app)?;
    key::with_deployment(deployment.as_deref(), args, account, row, app)
}

/// The flag, else the environment, else that of the last login.
fn deployment(id: &AccountId, args: &Login, app: &App) -> Result<Option<String>> {
    if let Some(named) = &args.deployment {
        return checked(named.clone()).map(Some);
    }
    if let Some(named) = environment::first_set(&DEPLOYMENT_VARIABLES.map(str::to_owned)) {
        return checked(named).map(Some);
    }
    // A file that cannot be read is no obstacle to a new login.
    let last = app.store.read_account(id).ok().flatten();
    Ok(last.and_then(|last| last.fact("deployment").map(str::to_owned)))
}

/// learn.microsoft.com/azure/ai-foundry/openai/how-to/create-resource (2026-11-22): letters, digits,
/// `-`, `_` and `.`.
fn checked(name: String) -> Result<String> {
    let name = name.trim();
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.len() > 64 || !name.chars().all(is_name) {
        let what =
            format!("{} is no name of a deployment", text::shell_word(&text::harmless(name, 80)));
        return Err(Error::usage(what).or_try("keyfob login PROVIDER --deployment NAME"));
    }
    Ok(name.to_owned())
}
