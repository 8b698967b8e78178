//! What the sign-ins of other tools give: rows of the table for those that may be read, one line
//! each for the rest.

use crate::account::{Account, Identity};
use crate::commands::App;
use crate::commands::source::{Listed, listed};
use crate::commands::status::{Row, State, Status};
use crate::credential::Credential;
use crate::error::{Error, Result};
use crate::flows::check;
use crate::flows::source::{self, Place, What};
use crate::provider::Provider;
use crate::source::{Source, table};
use crate::term;
use crate::time::Timestamp;

/// The rows, and the list of `sources`. A damaged file of consents is told and trusts nobody.
pub fn find(args: &Status, app: &App) -> Result<(Vec<Row>, Vec<Listed>)> {
    if args.account.as_ref().is_some_and(|typed| typed.account.is_some()) {
        return Ok((Vec::new(), Vec::new()));
    }
    let wanted = match &args.account {
        Some(typed) if typed.server.is_some() => Some(typed.provider.as_str()),
        Some(typed) => Some(app.providers.get(&typed.provider)?.id.as_str()),
        None => None,
    };
    let may_count = |source: &Source| wanted.is_none_or(|wanted| source.may_hold(wanted));
    let sources: Vec<_> = table()?.into_iter().filter(may_count).collect();
    let is_wanted = |id: &str| wanted.is_none_or(|wanted| wanted == id);
    let mut rows = of_variables(&sources, &is_wanted, app)?;
    let mut places = match source::places(&sources, &app.store) {
        Ok(places) => places,
        Err(error) => {
            term::warn(&error.to_string());
            return Ok((rows, Vec::new()));
        }
    };
    // A program that nobody asked for is nobody's business here.
    places.retain(|place| place.what != What::Command || place.state == source::State::Trusted);
    for place in places.iter().filter(|place| place.state == source::State::Trusted) {
        rows.extend(of_place(place, &is_wanted, args.check, app)?);
    }
    let mut listed = listed(&places, app)?;
    if wanted.is_some() {
        listed.retain(|listed| places.iter().any(|place| listed.is_of(place)));
    }
    Ok((rows, listed))
}

fn of_variables(
    sources: &[Source],
    is_wanted: &dyn Fn(&str) -> bool,
    app: &App,
) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for source in sources.iter().filter(|source| !source.variables.is_empty()) {
        let provider = source.holds.first().map(|entry| entry.provider.as_str());
        let Some(provider) = provider.filter(|id| is_wanted(id)) else { continue };
        let Ok(row) = app.providers.get(provider) else { continue };
        match source::of_variables(source, row) {
            Ok(Some((name, account))) => {
                rows.push(row_of(&account, format!("env:{name}"), source, row));
            }
            Ok(None) => {}
            // GH_TOKEN and its like are often there for other programs.
            Err(error) if !source.variables_first => term::warn(&error.to_string()),
            Err(_) => {}
        }
    }
    Ok(rows)
}

fn of_place(
    place: &Place,
    is_wanted: &dyn Fn(&str) -> bool,
    should_check: bool,
    app: &App,
) -> Result<Vec<Row>> {
    // What cannot be read is told in the list of sources.
    let held = place.held().unwrap_or_default();
    let mut rows = Vec::new();
    for held in held.iter().filter(|held| is_wanted(&held.provider)) {
        let Ok(row) = app.providers.get(&held.provider) else { continue };
        let from = format!("file:{}", place.name());
        rows.push(match source::account_of(held, place.source, &place.name(), row) {
            Ok(account) => {
                let mut row = row_of(&account, from, place.source, row);
                if should_check && is_turned_away(&account, app) {
                    (row.is_dead, row.state) = (true, State::Refused);
                }
                row
            }
            Err(error) => unusable(&error, from, row),
        });
    }
    Ok(rows)
}

/// Asked of the provider. Only of a key: a token of another tool may be limited to that tool's calls,
/// so that a no to ours proves nothing.
fn is_turned_away(account: &Account, app: &App) -> bool {
    if !matches!(account.credential, Credential::ApiKey(_)) {
        return false;
    }
    let checked = check::check(account.clone(), &app.tools());
    if let Some(warning) = &checked.warning {
        term::warn(warning);
    }
    checked.is_dead
}

fn row_of(account: &Account, from: String, source: &Source, row: &Provider) -> Row {
    let expires_at = account.credential.expires_at();
    let is_over = expires_at.is_some_and(|at| at <= Timestamp::now());
    let next = source.run.clone().unwrap_or(format!("keyfob login {}", row.id));
    Row {
        state: if is_over { State::Expired } else { State::Valid },
        kind: account.credential.kind(),
        expires_at,
        identity: account.identity.clone(),
        note: is_over.then(|| format!("only {} can renew it: {next}", source.title)),
        ..empty(from, row)
    }
}

fn unusable(error: &Error, from: String, row: &Provider) -> Row {
    Row { note: Some(error.to_string()), is_dead: true, ..empty(from, row) }
}

fn empty(source: String, row: &Provider) -> Row {
    Row {
        provider: row.id.clone(),
        account: None,
        is_default: false,
        kind: "api_key",
        state: State::Damaged,
        expires_at: None,
        can_refresh: false,
        source,
        path: None,
        identity: Identity::default(),
        note: None,
        cooling: Vec::new(),
        is_dead: false,
    }
}
