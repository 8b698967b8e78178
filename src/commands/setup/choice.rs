//! What there is, and which of it is wanted.

use crate::account::AccountRef;
use crate::commands::App;
use crate::error::Result;
use crate::flows::environment;
use crate::provider::{Provider, Way};
use crate::term::{self, prompt};
use crate::text;

/// Columns of a terminal of the usual width.
const WIDTH: usize = 78;

/// The providers named on the command line, else those of the answer; empty: nothing is wanted.
pub fn providers(typed: &[AccountRef], app: &App) -> Result<Vec<AccountRef>> {
    let mut chosen = Vec::new();
    for one in typed {
        let provider = app.providers.get(&one.provider)?.id.clone();
        add(AccountRef::new(&provider, one.account.clone()), &mut chosen);
    }
    if typed.is_empty() {
        tell_what_is_there(app)?;
        let rows = show_list(app)?;
        let question =
            "which providers? (names or numbers, spaces between; empty changes nothing) ";
        loop {
            let answer = prompt::answer(question)?;
            let words: Vec<_> = answer.split([' ', ',', '\t']).filter(|w| !w.is_empty()).collect();
            let unknown = words.iter().find(|word| meant(word, &rows, app).is_none());
            if let Some(word) = unknown {
                term::say(&format!("not in the list: {}", text::harmless(word, 60)));
                continue;
            }
            words.iter().filter_map(|w| meant(w, &rows, app)).for_each(|one| add(one, &mut chosen));
            break;
        }
    }
    Ok(chosen)
}

fn add(account: AccountRef, chosen: &mut Vec<AccountRef>) {
    if !chosen.contains(&account) {
        chosen.push(account);
    }
}

/// A name, an alias or a number.
fn meant(word: &str, rows: &[&Provider], app: &App) -> Option<AccountRef> {
    let typed = word.parse::<AccountRef>().ok()?;
    let by_name = app.providers.find(&typed.provider).ok().flatten();
    let by_number = || rows.get(word.parse::<usize>().ok()?.checked_sub(1)?).copied();
    let provider = by_name.or_else(by_number)?.id.clone();
    Some(AccountRef::new(&provider, typed.account))
}

fn tell_what_is_there(app: &App) -> Result<()> {
    let accounts: Vec<_> = app.store.all_accounts()?.iter().map(ToString::to_string).collect();
    if !accounts.is_empty() {
        term::say(&format!("signed in: {}", text::list(&accounts)));
    }
    let mut variables = Vec::new();
    for (row, _) in app.providers.readable()? {
        if let Some(name) = key_in_environment(row) {
            variables.push(format!("{name} ({})", row.id));
        } else if let Err(error) = environment::key(row) {
            term::warn(&error.to_string());
        }
    }
    if !variables.is_empty() {
        term::say(&format!("keys in the environment: {}", text::list(&variables)));
    }
    Ok(())
}

/// The variable that holds a key for a row that takes one.
pub fn key_in_environment(row: &Provider) -> Option<String> {
    let takes_keys = row.ways.contains(&Way::ApiKey);
    takes_keys.then(|| environment::key(row).ok().flatten()).flatten().map(|found| found.name)
}

/// Sign-ins first, a line each; keys in columns. The rows in the order of their numbers.
fn show_list(app: &App) -> Result<Vec<&Provider>> {
    let rows = app.providers.readable()?.iter().map(|(row, _)| row);
    let (keys, mut rows): (Vec<_>, Vec<_>) = rows.partition(|row| row.ways == [Way::ApiKey]);
    term::say("\nto sign in to:");
    for (at, row) in rows.iter().enumerate() {
        let ways: Vec<_> = row.ways.iter().map(|way| way.name()).collect();
        let closed = if row.closed.is_some() { ", closed by its owner" } else { "" };
        let (number, id, title) = (at + 1, &row.id, &row.title);
        term::say(&format!("{number:3}  {id:14} {title} ({}{closed})", ways.join(", ")));
    }
    term::say("\nwith an API key:");
    let name_width = keys.iter().map(|row| row.id.len()).max().unwrap_or(0) + 1;
    let cells = keys
        .iter()
        .enumerate()
        .map(|(at, row)| format!("{:3}  {:name_width$}", rows.len() + at + 1, row.id));
    let cells: Vec<_> = cells.collect();
    for line in cells.chunks((WIDTH / (name_width + 5)).max(1)) {
        term::say(line.concat().trim_end());
    }
    term::say("");
    rows.extend(keys);
    Ok(rows)
}

/// Yes or no to one question of many; an empty answer is no.
pub fn yes(question: &str) -> Result<bool> {
    let answer = prompt::answer(&format!("{question} [y/N] "))?;
    Ok(matches!(answer.to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// The place of one of several names, asked for until it is one of them or its number; None for an
/// empty answer.
pub fn pick(question: &str, names: &[String]) -> Result<Option<usize>> {
    loop {
        let answer = prompt::answer(question)?;
        if answer.is_empty() {
            return Ok(None);
        }
        let by_number = || answer.parse::<usize>().ok()?.checked_sub(1);
        let by_name = names.iter().position(|name| *name == answer);
        if let Some(at) = by_name.or_else(by_number).filter(|at| *at < names.len()) {
            return Ok(Some(at));
        }
        term::say(&format!("not one of the {}", names.len()));
    }
}
