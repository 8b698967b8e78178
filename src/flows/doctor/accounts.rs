//! The health of each account by the clock and the notes in its file: nobody is asked.

use crate::account::{Account, AccountId};
use crate::credential::Credential;
use crate::flows::doctor::settings::BEARER_WARNING_S;
use crate::flows::doctor::{Facts, Finding, Kept, SET_CLOCK};
use crate::flows::{renew, tool};
use crate::provider::Provider;
use crate::text::harmless;
use crate::time::Timestamp;

/// A file of a time so far ahead shows that the clock was put back since it was written.
const CLOCK_LIMIT_S: i64 = 300;

pub fn check(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (id, kept) in &facts.accounts {
        match kept {
            Kept::Account(account) => findings.extend(health(account, facts)),
            Kept::Damaged(why) => {
                let fix = id.login_command();
                findings.push(Finding::error(
                    "account_damaged",
                    format!("{id} is damaged"),
                    why,
                    fix,
                ));
            }
            // The file has a finding of its own.
            Kept::Unreadable => {}
        }
    }
    findings
}

fn health(account: &Account, facts: &Facts) -> Vec<Finding> {
    let id = &account.id;
    let mut findings = Vec::new();
    let mut account = account.clone();
    // A row or config.json that cannot be read has a finding of its own.
    match facts.row_of(&account) {
        Some(Ok(row)) => {
            findings.extend(closed(&account, &row));
            match of_tool(&account, &row) {
                Ok(as_it_is_now) => account = as_it_is_now,
                Err(finding) => findings.push(finding),
            }
            findings.extend(foreign(&account, &row));
        }
        Some(Err(_)) => {
            let what = format!("{id} can be neither renewed nor revoked");
            let cause = format!("no provider is called {}", id.provider);
            let fix = format!("keyfob provider add {} --issuer URL", id.provider);
            findings.push(Finding::error("provider_unknown", what, cause, fix));
        }
        None => {}
    }
    findings.extend(refused(&account, facts.now).or_else(|| by_the_clock(&account, facts.now)));
    if findings.is_empty() {
        let when = match account.expires_at() {
            _ if account.can_refresh() => "renews itself".to_owned(),
            Some(at) => format!("expires {}", at.in_words(facts.now)),
            None => "does not expire".to_owned(),
        };
        findings.push(Finding::ok("account", format!("{id} {when}")));
    }
    findings
}

/// Only the sign-in was ended; keys and tokens given by hand are another matter.
fn closed(account: &Account, row: &Provider) -> Option<Finding> {
    let closed = row.closed.as_ref().filter(|_| account.credential.oauth().is_some())?;
    let what = format!("{} may end at any time", account.id);
    let cause = format!("{} is closed since {}", row.title, closed.since);
    Some(Finding::warning("provider_closed", what, cause, harmless(&closed.note, 400)))
}

/// The account with what the other tool's file holds now.
fn of_tool(account: &Account, row: &Provider) -> Result<Account, Finding> {
    let Credential::Tool(path, _) = &account.credential else { return Ok(account.clone()) };
    tool::read(account, path, row).map_err(|error| {
        let what = format!("{} has no token", account.id);
        let fix = error.next().map_or_else(|| login(account), str::to_owned);
        Finding::error("tool_signed_out", what, error.to_string(), fix)
    })
}

/// The refresh token would not be sent. An issuer that is asked for its endpoints tells them later.
fn foreign(account: &Account, row: &Provider) -> Option<Finding> {
    let can_refresh = account.credential.oauth().is_some_and(|t| t.refresh_token.is_some());
    let is_foreign = row.token_url.is_some() && !renew::is_issued_by(account, row);
    (can_refresh && is_foreign).then(|| {
        let what = format!("{} cannot be renewed", account.id);
        let cause = "it was issued by another server than the one the provider's row names now";
        Finding::error("account_foreign", what, cause, login(account))
    })
}

fn refused(account: &Account, now: Timestamp) -> Option<Finding> {
    let refusal = account.refused.as_ref()?;
    let what = format!("{} has to sign in again", account.id);
    let (when, code) = (refusal.at.in_words(now), harmless(&refusal.code, 80));
    let cause = format!("the provider refused to renew it {when} ({code})");
    Some(Finding::error("account_refused", what, cause, login(account)))
}

fn by_the_clock(account: &Account, now: Timestamp) -> Option<Finding> {
    let id = &account.id;
    let ahead_s = account.refreshed_at.since(now);
    if ahead_s > CLOCK_LIMIT_S {
        let what = "this machine's clock was put back";
        let cause =
            format!("{id} was written {}, by the clock of now", account.refreshed_at.in_words(now));
        return Some(Finding::warning("clock_put_back", what, cause, SET_CLOCK));
    }
    if account.can_refresh() {
        return None;
    }
    let at = account.expires_at()?;
    let cause = "there is nothing to renew it with";
    if at <= now {
        let what = format!("{id} expired {}", at.in_words(now));
        return Some(Finding::error("account_expired", what, cause, login(account)));
    }
    let ends_soon = match account.credential {
        Credential::Bearer(..) => at.since(now) < BEARER_WARNING_S,
        _ => !account.is_fresh(now),
    };
    ends_soon.then(|| {
        let what = format!("{id} expires {}", at.in_words(now));
        Finding::warning("account_expiring", what, cause, login(account))
    })
}

/// The command that brings a new credential of the same kind.
fn login(account: &Account) -> String {
    let command = AccountId::login_command(&account.id);
    match account.credential {
        Credential::Bearer(..) => format!("{command} --jwt-token -"),
        _ => command,
    }
}
