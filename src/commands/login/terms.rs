//! CLI.md section 9: a provider's published rule is shown once, and needs a yes.

use serde_json::Value;

use crate::commands::App;
use crate::commands::login::Login;
use crate::error::{Error, Result};
use crate::provider::Provider;
use crate::term::{self, prompt};
use crate::text;
use crate::time::Timestamp;

pub fn accept(row: &Provider, args: &Login, app: &App) -> Result<()> {
    let Some(terms) = &row.terms else { return Ok(()) };
    if app.store.config()?.get("accepted_terms", &row.id).is_some() {
        return Ok(());
    }
    term::say(&format!("{} ({}, read {})", terms.note, terms.url, terms.checked));
    term::say(&format!("permitted instead: {}", text::list(&terms.permitted)));
    let is_accepted = if args.accept_terms {
        true
    } else if prompt::is_possible(args.no_input) {
        prompt::confirm("sign in all the same?")?
    } else {
        let account = args.account.as_ref().map_or(row.id.clone(), ToString::to_string);
        return Err(Error::PromptNeeded {
            what: format!("signing in to {} needs a yes to its terms note", row.id),
            next: format!("keyfob login {} --accept-terms", text::shell_word(&account)),
        });
    };
    if !is_accepted {
        return Err(Error::failed("not signed in: the terms note was not accepted"));
    }
    let now = Timestamp::now().to_string();
    app.store.change_config(|config| config.set("accepted_terms", &row.id, Value::from(now)))
}
