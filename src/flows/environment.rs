//! The variables a provider's own tools read.

use crate::error::{Error, Result};
use crate::provider::Provider;
use crate::secret::Secret;

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

fn is_key(text: &str) -> bool {
    text.len() >= 8 && text.bytes().all(|byte| byte.is_ascii_graphic())
}
