//! The variables a provider's own tools read.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::account::Account;
use crate::credential::Credential;
use crate::endpoint;
use crate::error::{Error, Result};
use crate::protocol::{attach, jwt};
use crate::provider::{Api, Provider, Providers, Way};
use crate::secret::Secret;
use crate::text;
use crate::time::Timestamp;

/// A credential found in the environment, and the variable it stands in.
pub struct Found {
    pub name: String,
    pub credential: Credential,
}

/// The row's JWT, else its key.
pub fn credential(row: &Provider) -> Result<Option<Found>> {
    match jwt(row)? {
        Some(found) => Ok(Some(found)),
        None => key(row),
    }
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
        let credential = Credential::ApiKey(Secret::new(key));
        return Ok(Some(Found { name: name.clone(), credential }));
    }
    Ok(None)
}

/// The value of the first of the variables that is set.
pub fn first_set(names: &[String]) -> Option<String> {
    names.iter().find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
}

/// The JWT in the row's variable (`jwt_env`). One that is no JWT, or has expired, is an error that
/// names the variable.
pub fn jwt(row: &Provider) -> Result<Option<Found>> {
    let Some(name) = &row.jwt_env else { return Ok(None) };
    let Some(value) = std::env::var_os(name).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let token = value.to_string_lossy();
    let token = token.trim();
    if token.is_empty() {
        return Ok(None);
    }
    jwt::check_form(token).map_err(|why| Error::failed(format!("{name}: {why}")))?;
    let token = Secret::new(token);
    let expires_at = jwt::expires_at(&token);
    let now = Timestamp::now();
    if let Some(at) = expires_at.filter(|at| *at <= now) {
        let why = format!("the token in {name} expired {}", at.in_words(now));
        let next = format!("export {name}=… with a new token");
        return Err(Error::SignIn { account: row.id.clone(), why, next });
    }
    let credential = Credential::Bearer(token, expires_at);
    Ok(Some(Found { name: name.clone(), credential }))
}

/// The row at which the account's credential is used: at the account's instance; for a key of a row
/// that takes none, the row that does; and where a variable of the API's own tools puts it.
pub fn row_for<'a>(account: &Account, providers: &'a Providers) -> Result<Cow<'a, Provider>> {
    let mut row = providers.get(&account.id.provider)?;
    let is_key = matches!(account.credential, Credential::ApiKey(_));
    if is_key
        && !row.ways.contains(&Way::ApiKey)
        && let Some(other) = &row.keys_at
    {
        row = providers.get(other)?;
    }
    let row = row.at(account.instance())?;
    let Some(api) = row.api.as_ref().filter(|_| is_key) else { return Ok(row) };
    let named = |name: &String| std::env::var(name).ok().filter(|value| !value.is_empty());
    let mut named = api.base_env.iter().filter_map(|(name, rest)| Some((name, rest, named(name)?)));
    let Some((name, rest, base)) = named.next() else { return Ok(row) };
    endpoint::check(name, &base)?;
    let base = base.trim_end_matches('/');
    let base = format!("{}{rest}", base.strip_suffix(rest.as_str()).unwrap_or(base));
    let mut row = row.into_owned();
    row.api = row.api.map(|api| Api { base, key_bases: BTreeMap::new(), ..api });
    Ok(Cow::Owned(row))
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
        return vec![Variable { name: unnamed(row), value: account.secret().clone() }];
    }
    let fill = |(name, template): (&String, &String)| {
        let value = match template.strip_prefix('=') {
            None => Secret::new(template.as_str()),
            Some("token") => account.secret().clone(),
            Some("base") => account.credential.secret().clone(),
            // The secret, if it is of the kind that the variable is for.
            Some(kind @ ("api_key" | "entra")) => {
                (account.credential.kind() == kind).then(|| account.secret().clone())?
            }
            Some("jwt") => {
                let is_jwt = matches!(account.credential, Credential::Bearer(..));
                is_jwt.then(|| account.secret().clone())?
            }
            Some("api_base") => Secret::new(attach::api_base(account, row)?),
            Some(fact) => Secret::new(account.extra.get(fact)?.as_str()?),
        };
        // No environment can hold these.
        let is_possible =
            !name.is_empty() && !name.contains(['=', '\0']) && !value.expose().contains('\0');
        is_possible.then(|| Variable { name: name.clone(), value })
    };
    row.exports.iter().filter_map(fill).collect()
}

/// The variables that may hold a credential of the row's, or what goes with one.
pub fn names(row: &Provider) -> Vec<String> {
    let own = row.env.iter().chain(row.exports.keys()).chain(&row.jwt_env);
    own.cloned().chain([unnamed(row)]).collect()
}

fn unnamed(row: &Provider) -> String {
    format!("{}_ACCESS_TOKEN", text::variable_name(&row.id))
}

fn is_key(text: &str) -> bool {
    text.len() >= 8 && text.bytes().all(|byte| byte.is_ascii_graphic())
}
