//! The provider to use when none is named: `default.provider` of the settings.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::commands::App;
use crate::commands::setup::{Outcome, choice};
use crate::error::Result;
use crate::store::Found;
use crate::term;
use crate::time::Timestamp;

/// The default as it is in the end; nothing is asked where there is nothing to choose.
pub fn choose(outcomes: &[Outcome], app: &App) -> Result<Option<String>> {
    let config = app.store.config()?;
    let current = config.get("default", "provider").map(str::to_owned);
    let known = current.as_ref().and_then(|name| app.providers.find(name).ok().flatten());
    let current_id = known.map(|row| row.id.clone());
    let ready: Vec<_> = ready(outcomes, app)?.into_iter().collect();
    let picked = match (ready.as_slice(), &current_id) {
        ([], _) => None,
        ([only], Some(id)) if only == id => None,
        ([only], None) if current.is_none() => {
            term::say(&format!("\n{only} becomes the default provider"));
            Some(0)
        }
        (several, _) => {
            term::say("");
            for (at, id) in several.iter().enumerate() {
                term::say(&format!("{:3}  {id}", at + 1));
            }
            let keeps = current.as_ref().map_or("sets none".to_owned(), |id| format!("keeps {id}"));
            choice::pick(&format!("default provider? (name or number; empty {keeps}) "), several)?
        }
    };
    let Some(id) = picked.map(|at| ready[at].clone()) else { return Ok(current) };
    if current_id.as_ref() != Some(&id) {
        app.store.change_config(|config| {
            config.set("default", "provider", Value::from(id.as_str()));
        })?;
    }
    Ok(Some(id))
}

/// The providers that can be used: as the checks found, else by what is stored or set.
fn ready(outcomes: &[Outcome], app: &App) -> Result<BTreeSet<String>> {
    let now = Timestamp::now();
    let mut ready = BTreeSet::new();
    for id in app.store.all_accounts()? {
        if let Ok(Found::Account(account)) = app.store.find_account(&id)
            && account.refused.is_none()
            && (account.is_alive(now) || account.can_refresh())
            && app.providers.find(&id.provider).is_ok_and(|row| row.is_some())
        {
            ready.insert(id.provider);
        }
    }
    for (row, _) in app.providers.readable()? {
        if choice::key_in_environment(row).is_some() {
            ready.insert(row.id.clone());
        }
    }
    // Two accounts of one provider may differ; one that works is enough.
    let (working, failing): (Vec<_>, Vec<_>) =
        outcomes.iter().partition(|outcome| outcome.trouble.is_none());
    ready.retain(|id| failing.iter().all(|outcome| outcome.account.provider != *id));
    ready.extend(working.iter().map(|outcome| outcome.account.provider.clone()));
    Ok(ready)
}
