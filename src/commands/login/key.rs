//! A key or a bearer token instead of a sign-in.

use crate::account::AccountRef;
use crate::commands::App;
use crate::commands::login::outcome::tell;
use crate::commands::login::{Login, instance};
use crate::credential::Credential;
use crate::error::{Error, Result};
use crate::flows::key;
use crate::provider::Provider;
use crate::term::{self, prompt};
use crate::text::shell_word;

/// Stores a key from stdin, or from a hidden prompt.
pub fn run(args: &Login, account: &AccountRef, row: &Provider, app: &App) -> Result<()> {
    with_deployment(args.deployment.as_deref(), args, account, row, app)
}

/// The same with a deployment that was found elsewhere than in the flags.
pub fn with_deployment(
    deployment: Option<&str>,
    args: &Login,
    account: &AccountRef,
    row: &Provider,
    app: &App,
) -> Result<()> {
    let pasted = if args.api_key_stdin {
        prompt::piped("API key")?
    } else if prompt::is_possible(args.no_input) {
        if let Some(docs) = &row.docs {
            term::say(&format!("a key of {} comes from {docs}", row.title));
        }
        prompt::hidden("API key (hidden): ")?
    } else {
        let account = shell_word(&account.to_string());
        return Err(Error::PromptNeeded {
            what: format!("{} signs in with an API key", row.id),
            next: format!("keyfob login {account} --api-key-stdin"),
        });
    };
    keep(key::clean(&pasted)?, deployment, args, account, row, app)
}

/// Stores a JWT given by a flag or on stdin.
pub fn bearer(args: &Login, account: &AccountRef, row: &Provider, app: &App) -> Result<()> {
    let pasted = match args.jwt_token.as_deref() {
        Some("-") => prompt::piped("token")?,
        Some(given) => given.to_owned(),
        None if prompt::is_possible(args.no_input) => prompt::hidden("JWT (hidden): ")?,
        None => {
            let account = shell_word(&account.to_string());
            return Err(Error::PromptNeeded {
                what: format!("{} takes a JWT that somebody else issued", row.id),
                next: format!("keyfob login {account} --jwt-token -"),
            });
        }
    };
    keep(key::bearer(&pasted)?, args.deployment.as_deref(), args, account, row, app)
}

fn keep(
    credential: Credential,
    deployment: Option<&str>,
    args: &Login,
    account: &AccountRef,
    row: &Provider,
    app: &App,
) -> Result<()> {
    let id = instance::account_id(account, row);
    let facts = [("instance", row.address()), ("deployment", deployment)];
    let facts = facts.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?.into())));
    tell(&key::store(id, credential, facts.collect(), args.replace, &app.store)?, args)
}
