//! Accounts, client keys and counters, as the page shows them.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::account::AccountId;
use crate::commands::serve::manage::{Answer, Load, Wrong, ok, word};
use crate::error::{Error, Result};
use crate::flows::gateway::ledger::Count;
use crate::flows::gateway::member::Member;
use crate::flows::gateway::{Gateway, keys};
use crate::text;
use crate::time::Timestamp;

pub fn list(gateway: &Arc<Gateway>) -> Answer {
    let now_ms = Timestamp::now_ms();
    let roster = gateway.roster();
    let (mut accounts, mut default) = (Vec::new(), None::<AccountId>);
    for member in &roster.members {
        // They are sorted by provider.
        if default.as_ref().is_none_or(|known| known.provider != member.id.provider) {
            let all = gateway.store.accounts(&member.id.provider)?;
            let found = (!all.is_empty()).then(|| gateway.store.default_of(&all));
            default = found.transpose()?;
        }
        let is_default = default.as_ref() == Some(&member.id);
        accounts.push(account(member, is_default, gateway, now_ms));
    }
    Ok((200, json!({"version": 1, "now": Timestamp::now(), "accounts": accounts})))
}

fn account(member: &Member, is_default: bool, gateway: &Gateway, now_ms: i64) -> Value {
    let cooling = gateway.ledger.cooling(&member.id, now_ms);
    let account = member.account();
    let (state, why) = state(member, !cooling.is_empty());
    let Count { requests, errors, last_ms } = gateway.ledger.of_account(&member.id);
    let shown: Vec<_> = cooling
        .iter()
        .map(|one| {
            let seconds = (one.until_ms - now_ms + 999) / 1_000;
            // A project is told with its model.
            let project = one.project.as_ref().map(|project| format!(" in {project}"));
            let model = one.model.as_ref();
            let model = model.map(|model| format!("{model}{}", project.unwrap_or_default()));
            json!({
                "model": model,
                // A second begun is not over.
                "until": at(one.until_ms + 999),
                "seconds": seconds,
                "reason": one.reason,
            })
        })
        .collect();
    let dialects: Vec<_> = member.faces.iter().map(|face| face.dialect).collect();
    let note = account.as_ref().and_then(|account| account.attributes.get("note")?.as_str());
    json!({
        "provider": member.id.provider,
        "account": member.id.account,
        "is_default": is_default,
        "kind": account.as_ref().map(|account| account.credential.kind()),
        "state": state,
        "why": why,
        "expires_at": account.as_ref().and_then(|account| account.expires_at()),
        "can_refresh": account.as_ref().is_some_and(|account| account.can_refresh()),
        "priority": member.priority(),
        "prefix": member.prefix(),
        "note": note.map(|note| text::harmless(note, 1024)),
        "email": account.as_ref().and_then(|account| account.identity.email.clone()),
        "dialects": dialects,
        "models": member.models().map(|models| models.len()),
        "cooling": shown,
        "requests": requests,
        "errors": errors,
        "last_used_at": last_ms.map(at),
    })
}

/// One word for the account, and why it is not `ready`.
fn state(member: &Member, is_cooling: bool) -> (&'static str, Option<String>) {
    if let Some(trouble) = &member.trouble {
        return ("damaged", Some(trouble.clone()));
    }
    if member.is_disabled() {
        return ("disabled", None);
    }
    let Some(account) = member.account() else { return ("damaged", None) };
    if member.is_refused() {
        return ("refused", Some(format!("sign in again: {}", member.id.login_command())));
    }
    if !account.is_alive(Timestamp::now()) && !account.can_refresh() {
        return ("expired", Some(format!("sign in again: {}", member.id.login_command())));
    }
    if is_cooling {
        return ("cooling", None);
    }
    let why = member.faces.is_empty().then(|| "it has no API that is served here".to_owned());
    ("ready", why)
}

fn at(ms: i64) -> Timestamp {
    Timestamp(ms / 1_000)
}

pub fn reset(provider: &str, account: &str, gateway: &Gateway) -> Answer {
    let id = AccountId { provider: provider.to_owned(), account: account.to_owned() };
    if !gateway.roster().members.iter().any(|member| member.id == id) {
        return Err(Wrong::nothing_here());
    }
    gateway.ledger.reset(&id, Timestamp::now_ms(), &gateway.store);
    Ok(ok())
}

pub fn counters(gateway: &Gateway, load: Load) -> Value {
    let routes = gateway.ledger.routes();
    let total = |of: fn(&Count) -> u64| routes.iter().map(|(_, count)| of(count)).sum::<u64>();
    let by_name: serde_json::Map<String, Value> = routes
        .iter()
        .map(|(name, count)| {
            let count = json!({"requests": count.requests, "errors": count.errors});
            ((*name).to_owned(), count)
        })
        .collect();
    json!({
        "version": 1,
        "started_at": gateway.started_at,
        "requests": total(|count| count.requests),
        "errors": total(|count| count.errors),
        "in_flight": load.in_flight,
        "connections": load.connections,
        "routes": by_name,
    })
}

pub fn keys(gateway: &Gateway) -> Answer {
    let keys = gateway.store.client_keys()?;
    let keys = keys.iter().map(|key| {
        let Count { requests, last_ms, .. } = gateway.ledger.of_key(&key.name);
        json!({
            "name": key.name,
            "providers": key.providers,
            "created_at": key.created_at,
            "requests": requests,
            "last_used_at": last_ms.map(at),
        })
    });
    Ok((200, json!({"version": 1, "keys": keys.collect::<Vec<_>>()})))
}

pub fn add_key(body: &Value, gateway: &Gateway) -> Answer {
    let name = word(body, "name")?.unwrap_or_default();
    let key = keys::add(name, names(&body["providers"])?, &gateway.store)?;
    gateway.reload();
    Ok((201, json!({"version": 1, "name": name, "key": key.expose()})))
}

fn names(value: &Value) -> Result<Vec<String>> {
    let wrong = || Error::usage("providers has to be a list of texts");
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Array(all) => {
            all.iter().map(|one| one.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
        }
        _ => Err(wrong()),
    }
}
