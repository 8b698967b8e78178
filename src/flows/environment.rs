//! The variables a provider's own tools read.

use crate::account::Account;
use crate::error::{Error, Result};
use crate::provider::Provider;
use crate::secret::Secret;
use crate::text;

/// A key found in the environment, and the variable it stands in.
pub struct Found {
    pub name: String,
    pub key: Secret,
}

/// The first of the row's variables that is set. A value no provider would take is an error that
/// names the variable: it is never skipped in silence.
pub fn key(row: &Provider) -> Result<Option<Found>> {
    for name in &row.env {
        let Some(value) = std::env::var_os(name).filter(|value| !value.is_empty()) else {
            continue;
        };
        let key = value.to_str().map(str::trim).filter(|key| is_key(key));
        let key = key.ok_or_else(|| {
            Error::failed(format!("{name} is set, but holds no key"))
                .or_try(format!("unset {name}"))
        })?;
        return Ok(Some(Found { name: name.clone(), key: Secret::new(key) }));
    }
    Ok(None)
}

/// A variable for a child process.
pub struct Variable {
    pub name: String,
    pub value: Secret,
}

/// What the provider's own tools read, filled in by the row's `exports`; `MY_IDP_ACCESS_TOKEN` for a
/// provider that names none. A variable whose fact the account lacks is left out.
pub fn variables(account: &Account, row: &Provider) -> Vec<Variable> {
    if row.exports.is_empty() {
        let name = format!("{}_ACCESS_TOKEN", text::variable_name(&row.id));
        return vec![Variable { name, value: account.credential.secret().clone() }];
    }
    let fill = |(name, template): (&String, &String)| {
        let value = match template.strip_prefix('=') {
            None => Secret::new(template.as_str()),
            Some("token") => account.credential.secret().clone(),
            Some("api_base") => Secret::new(row.api.as_ref()?.base.as_str()),
            Some(fact) => Secret::new(account.extra.get(fact)?.as_str()?),
        };
        Some(Variable { name: name.clone(), value })
    };
    row.exports.iter().filter_map(fill).collect()
}

fn is_key(text: &str) -> bool {
    text.len() >= 8 && text.bytes().all(|byte| byte.is_ascii_graphic())
}
