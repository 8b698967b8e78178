//! A sign-in that another tool has here already is offered first (CLI.md section 6).

use serde_json::json;

use crate::account::AccountRef;
use crate::commands::elsewhere::is_offered;
use crate::commands::hand_out::Asked;
use crate::commands::login::Login;
use crate::commands::{App, Object, source as sources};
use crate::error::Result;
use crate::flows::source::{self, Place};
use crate::provider::Provider;
use crate::source::table;
use crate::term::{self, prompt};
use crate::time::Timestamp;

/// True: the person took it. Whoever names an account or a way in wants an account of keyfob's own.
pub fn take_over(args: &Login, account: &AccountRef, row: &Provider, app: &App) -> Result<bool> {
    let has_way = args.api_key_stdin
        || args.device
        || args.print_auth_url
        || args.jwt_token.is_some()
        || args.service_account.is_some()
        || args.url.is_some();
    if has_way || account.account.is_some() {
        return Ok(false);
    }
    let table = table()?;
    let mut places = source::places(&table, &app.store)?;
    for place in places.iter_mut().filter(|place| is_offered(place, &row.id)) {
        if !prompt::is_possible(args.no_input) {
            hint(place);
        } else if offer(place, account, args, app)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn hint(place: &Place) {
    let (tool, name) = (&place.source.title, &place.source.id);
    term::say(&format!("{tool} has a file here; to use its sign-in: keyfob source trust {name}"));
}

fn offer(place: &mut Place, account: &AccountRef, args: &Login, app: &App) -> Result<bool> {
    let (tool, path) = (place.source.title.clone(), place.name());
    let question = match place.source.is_dedicated() {
        true => format!("{tool} is signed in here ({path}): use its sign-in?"),
        false => format!("{tool} may be signed in here ({path}): use its sign-in?"),
    };
    if !prompt::confirm(&question)? {
        return Ok(false);
    }
    if let Err(error) = sources::accept(place, app) {
        term::warn(&error.to_string());
        return Ok(false);
    }
    // Whether it is of use is found now, not by the script that comes later.
    let found = match app.hand_out(&Asked::of(account)) {
        Ok(found) => found,
        Err(error) => {
            term::warn(&error.to_string());
            return Ok(false);
        }
    };
    let (found, expires_at) = (&found.account, found.account.expires_at());
    if args.json {
        let object = Object::new()
            .with("status", "ok")
            .with("provider", account.provider.as_str())
            .with("account", json!(null))
            .with("kind", found.credential.kind())
            .with("email", json!(found.identity.email))
            .with("expires_at", json!(expires_at))
            .with("scopes", json!([]))
            .with("path", path);
        term::print(&object.to_string())?;
        return Ok(true);
    }
    let who = found.identity.name().map_or(String::new(), |name| format!(" as {name}"));
    let until = expires_at
        .map_or(String::new(), |at| format!(", expires {}", at.in_words(Timestamp::now())));
    term::say(&format!("{} is used{who}{until}; {path}", account.provider));
    Ok(true)
}
