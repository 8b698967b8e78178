//! `provider add NAME --base-url`: any OpenAI-compatible API.

use serde_json::Map;

use crate::account::AccountId;
use crate::commands::App;
use crate::commands::provider::add::{Add, save};
use crate::endpoint;
use crate::error::{Error, Result};
use crate::flows::key;
use crate::provider::{Api, Provider, Way};
use crate::term::{self, prompt};

/// The row, written, and its key stored if one was given.
pub fn add(args: &Add, app: &App) -> Result<Provider> {
    let base = args.base_url.as_deref().unwrap_or_default().trim_end_matches('/');
    endpoint::check("--base-url", base)?;
    if args.no_api_key && (args.api_key_stdin || args.api_key_env.is_some()) {
        return Err(Error::usage("--no-api-key leaves no key to name"));
    }
    let key = match args.api_key_stdin {
        true => Some(key::clean(&prompt::piped("API key")?)?),
        false => None,
    };
    let mut row = Provider::named(&args.name)?;
    row.title.clone_from(&args.name);
    row.ways = vec![Way::ApiKey];
    row.api = Some(Api::at(base));
    row.model.clone_from(&args.model);
    row.key_optional = args.no_api_key;
    row.env.extend(args.api_key_env.as_ref().map(|name| variable(name)).transpose()?);
    save(&row, None, app)?;
    if let Some(key) = key {
        let id = AccountId { provider: row.id.clone(), account: "default".to_owned() };
        for warning in key::store(id, key, Map::new(), false, &app.store)?.warnings {
            term::warn(&warning);
        }
    }
    Ok(row)
}

fn variable(name: &str) -> Result<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || !name.chars().all(plain) {
        return Err(Error::usage("--api-key-env wants the name of a variable, not its value"));
    }
    Ok(name.to_owned())
}
