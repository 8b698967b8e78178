//! config.json, the rows in it, and the variables that choose or bring credentials.

use std::cell::RefCell;
use std::env;

use crate::credential::Credential;
use crate::endpoint;
use crate::error::Error;
use crate::flows::doctor::{Facts, Finding};
use crate::flows::environment;
use crate::flows::gateway::settings::Settings;
use crate::provider::{Provider, Providers};
use crate::text::{harmless, variable_name};
use crate::time::Timestamp;

/// A token that cannot be renewed is pointed out a week before it expires.
pub const BEARER_WARNING_S: i64 = 7 * 86_400;

/// Every row, used or not: a slip in one is found before it is needed.
pub fn rows(facts: &Facts) -> Vec<Finding> {
    let Some(providers) = &facts.providers else { return Vec::new() };
    let (Ok(unreadable), Ok(unknown), Ok(rows)) =
        (providers.unreadable(), providers.unknown_keys(), providers.readable())
    else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    for error in unreadable {
        let fix = error.next().unwrap_or("keyfob provider list");
        let what = "a provider of config.json cannot be used";
        findings.push(Finding::error("row_unreadable", what, error.to_string(), fix));
    }
    for (id, key) in unknown {
        findings.push(Finding::warning(
            "row_unknown_key",
            format!("config.json: providers.{id} has a key of no meaning"),
            format!("nobody knows the key {}", harmless(key, 80)),
            format!("keyfob provider show {id}"),
        ));
    }
    findings.extend(rows.iter().filter_map(|(row, _)| endpoints(row)));
    findings.extend(gateway(facts));
    if findings.is_empty() {
        findings.push(Finding::ok("config", "the settings and all providers can be read"));
    }
    findings
}

/// The section `serve`, whether or not a gateway runs.
fn gateway(facts: &Facts) -> Vec<Finding> {
    let Ok(config) = facts.store.config() else { return Vec::new() };
    let unknown = RefCell::new(Vec::new());
    let read = Settings::of(&config, |words| unknown.borrow_mut().push(harmless(words, 200)));
    let fix = "keyfob config path";
    if let Err(error) = read {
        let what = "the gateway's settings cannot be used";
        return vec![Finding::error("serve_unreadable", what, error.to_string(), fix)];
    }
    let what = "a setting of the gateway has no meaning";
    let warn = |cause| Finding::warning("serve_unknown_key", what, cause, fix);
    unknown.into_inner().into_iter().map(warn).collect()
}

/// The first endpoint that no request may go to.
fn endpoints(row: &Provider) -> Option<Finding> {
    let urls = [&row.issuer, &row.token_url, &row.authorize_url, &row.device_url];
    let urls = urls.into_iter().chain([&row.revoke_url, &row.userinfo_url]).flatten();
    // An address of an instance is filled in when there is one.
    let mut urls = urls.filter(|url| !url.contains('{'));
    let error = urls.find_map(|url| endpoint::check("the address", url).err())?;
    let what = format!("provider {} names an address that is not used", row.id);
    let fix = format!("keyfob provider show {}", row.id);
    Some(Finding::error("endpoint_malformed", what, error.to_string(), fix))
}

pub fn environment(facts: &Facts) -> Vec<Finding> {
    let Some(providers) = &facts.providers else { return Vec::new() };
    let Ok(rows) = providers.readable() else { return Vec::new() };
    let found = rows.iter().filter_map(|(row, _)| credential(row, facts.now));
    let mut findings: Vec<_> = found.collect();
    findings.extend(chosen(facts, providers));
    if findings.is_empty() {
        findings.push(Finding::ok("variables", "no variable stands in the way"));
    }
    findings
}

/// The key or JWT that a variable brings.
fn credential(row: &Provider, now: Timestamp) -> Option<Finding> {
    let error = match environment::credential(row) {
        Ok(found) => {
            let found = found?;
            let Credential::Bearer(_, Some(at)) = found.credential else { return None };
            let ends_soon = at.since(now) < BEARER_WARNING_S;
            return ends_soon.then(|| {
                let what = format!("the token in {} expires {}", found.name, at.in_words(now));
                let cause = "somebody else issued it, and nobody renews it";
                let fix = format!("export {}=… with a new token", found.name);
                Finding::warning("variable_expiring", what, cause, fix)
            });
        }
        Err(error) => error,
    };
    let code = match error {
        Error::SignIn { .. } => "variable_expired",
        _ => "variable_malformed",
    };
    let what = "a variable brings no credential";
    let cause = match &error {
        Error::SignIn { why, .. } => why.clone(),
        other => other.to_string(),
    };
    let name = row.jwt_env.as_deref().unwrap_or("NAME");
    let fix = error.next().map_or_else(|| format!("unset {name}"), str::to_owned);
    Some(Finding::error(code, what, cause, fix))
}

const CHOOSES: &str = "KEYFOB_ACCOUNT_";

/// `KEYFOB_ACCOUNT_<PROVIDER>=ACCOUNT` for an account that is not there.
fn chosen(facts: &Facts, providers: &Providers) -> Vec<Finding> {
    let rows = providers.readable().unwrap_or_default();
    let mut findings = Vec::new();
    for (name, account) in env::vars_os() {
        let (Some(name), Some(account)) = (name.to_str(), account.to_str()) else { continue };
        let Some(of) = name.strip_prefix(CHOOSES).filter(|_| !account.is_empty()) else { continue };
        let is_meant = |id: &str| variable_name(id) == of;
        let row = rows.iter().map(|(row, _)| &row.id).find(|id| is_meant(id));
        let stored = facts.accounts.iter().map(|(id, _)| &id.provider).find(|id| is_meant(id));
        let fix = format!("unset {name}");
        let Some(provider) = row.or(stored) else {
            let what = format!("{name} has no effect");
            let cause = "no provider has such a name";
            findings.push(Finding::warning("variable_no_provider", what, cause, fix));
            continue;
        };
        let mut ids = facts.accounts.iter().map(|(id, _)| id);
        if !ids.any(|id| id.provider == *provider && id.account == account) {
            let what = format!("{name} names an account that is not there");
            let cause = format!("nobody is signed in to {provider}/{}", harmless(account, 128));
            findings.push(Finding::error("variable_no_account", what, cause, fix));
        }
    }
    findings.sort_by(|a, b| a.what.cmp(&b.what));
    findings
}
