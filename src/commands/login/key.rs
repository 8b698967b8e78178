//! A key or a bearer token instead of a sign-in.

use crate::account::{AccountId, AccountRef, Credential};
use crate::commands::App;
use crate::commands::login::{Login, tell};
use crate::error::{Error, Result};
use crate::flows::key;
use crate::provider::Provider;
use crate::term::{self, prompt};
use crate::text::shell_word;

/// Stores a key from stdin, or from a hidden prompt.
pub fn run(args: &Login, account: &AccountRef, row: &Provider, app: &App) -> Result<()> {
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
    keep(key::clean(&pasted)?, args, account, row, app)
}

/// Stores a JWT given by a flag or on stdin.
pub fn bearer(args: &Login, account: &AccountRef, row: &Provider, app: &App) -> Result<()> {
    let given = args.jwt_token.as_deref().unwrap_or_default();
    let pasted = if given == "-" { prompt::piped("token")? } else { given.to_owned() };
    keep(key::bearer(&pasted)?, args, account, row, app)
}

fn keep(
    credential: Credential,
    args: &Login,
    account: &AccountRef,
    row: &Provider,
    app: &App,
) -> Result<()> {
    let name = account.account.clone().unwrap_or("default".to_owned());
    let id = AccountId { provider: row.id.clone(), account: name };
    tell(&key::store(id, credential, args.replace, &app.store)?, args)
}
