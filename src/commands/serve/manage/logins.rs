//! Signing in to a further account from the page: begun here, finished with what is pasted. The same
//! logins as those of `keyfob login`, by the same code.

use std::sync::Arc;
use std::time::Duration;

use argh::FromArgs;
use serde_json::{Value, json};

use crate::account::is_provider_name;
use crate::commands::App;
use crate::commands::login::{self, Login};
use crate::commands::serve::manage::{Answer, Wrong, ok, word};
use crate::error::{Error, Result};
use crate::flows::finish::Amend;
use crate::flows::gateway::Gateway;
use crate::flows::keep::SignedIn;
use crate::flows::{device, finish};
use crate::pending::{Begun, PendingLogin};
use crate::protocol::{callback, session};
use crate::provider::{Provider, Shows, Way};
use crate::time::Timestamp;

/// Those that one can sign in to with a browser or a code.
pub fn providers(gateway: &Gateway) -> Answer {
    let roster = gateway.roster();
    let accepted = gateway.store.config()?;
    let shown = roster.providers.readable()?.iter().filter_map(|(row, _)| {
        let ways = row.ways.iter().filter(|way| is_shown(**way));
        let ways: Vec<_> = ways.map(|way| way.name()).collect();
        let terms =
            row.terms.as_ref().filter(|_| accepted.get("accepted_terms", &row.id).is_none());
        let terms = terms.map(|terms| json!({"note": terms.note, "url": terms.url}));
        (!ways.is_empty() && row.server.is_none())
            .then(|| json!({"id": row.id, "title": row.title, "ways": ways, "terms": terms}))
    });
    Ok((200, json!({"version": 1, "providers": shown.collect::<Vec<_>>()})))
}

fn is_shown(way: Way) -> bool {
    matches!(way, Way::Browser | Way::Cookie | Way::Device)
}

pub fn list(gateway: &Gateway) -> Answer {
    let pending = gateway.store.pending(Timestamp::now())?;
    let pending = pending.iter().filter(|login| login.provider.server.is_none());
    let logins: Vec<_> = pending.map(shown).collect();
    Ok((200, json!({"version": 1, "logins": logins})))
}

fn shown(login: &PendingLogin) -> Value {
    json!({
        "version": 1,
        "status": "pending",
        "login_id": login.login_id,
        "provider": login.account.provider,
        "account": login.account.account,
        "kind": login.kind(),
        "auth_url": login.auth_url,
        "user_code": login.user_code(),
        "redirect_uri": login.redirect_uri(),
        "expires_at": login.expires_at,
    })
}

pub fn begin(body: &Value) -> Answer {
    let provider = word(body, "provider")?.ok_or_else(|| Error::usage("which provider?"))?;
    if !is_provider_name(provider) {
        return Err(Error::usage("no provider is called so").or_try("keyfob provider list").into());
    }
    let account = word(body, "account")?.filter(|name| !name.is_empty());
    let name = account.map_or(provider.to_owned(), |account| format!("{provider}/{account}"));
    let mut words = vec![name.as_str(), "--print-auth-url", "--no-input"];
    match word(body, "way")? {
        None | Some("browser") => {}
        Some("device") => words.push("--device"),
        Some(_) => return Err(Error::usage("the ways are browser and device").into()),
    }
    if body["accept_terms"] == true {
        words.push("--accept-terms");
    }
    let args = Login::from_args(&["keyfob login"], &words)
        .map_err(|early| Error::usage(crate::text::harmless(early.output.trim(), 200)))?;
    let app = App::new(None)?;
    match login::begin(&args, &app) {
        Ok((pending, _)) => Ok((201, shown(&pending))),
        Err(Error::PromptNeeded { what, next }) => Err(unless_terms(provider, &app)
            .unwrap_or_else(|| Wrong::new(400, "prompt_needed", &what, Some(&next)))),
        Err(error) => Err(error.into()),
    }
}

/// The provider's note, if it is that which nobody has agreed to.
fn unless_terms(provider: &str, app: &App) -> Option<Wrong> {
    let row: &Provider = app.providers.find(provider).ok()??;
    let terms = row.terms.as_ref()?;
    if app.store.config().ok()?.get("accepted_terms", &row.id).is_some() {
        return None;
    }
    let mut wrong = Wrong::new(409, "terms", &terms.note, None);
    wrong.body["error"]["url"] = json!(terms.url);
    Some(wrong)
}

/// With what was pasted, or one question to the server of a device login.
pub fn go_on(login_id: &str, body: &Value, gateway: &Arc<Gateway>) -> Answer {
    let store = &gateway.store;
    let begun = store.find_pending(login_id)?.ok_or_else(|| finish::gone(login_id, store))?;
    let is_device = matches!(begun.begun, Begun::Device { .. });
    let outcome = match (is_device, word(body, "callback")?) {
        (true, _) => {
            let amend = Amend::default();
            device::complete(&begun, &amend, Duration::ZERO, &|_| (), &gateway.errands, store)
        }
        (false, None) => {
            return Err(Error::usage("paste the address that the browser ends on").into());
        }
        (false, Some(pasted)) => with_callback(&begun, pasted, gateway),
    };
    match outcome {
        Ok(signed_in) => {
            gateway.reload();
            Ok((200, told(&signed_in)))
        }
        // Nobody has typed the code yet.
        Err(Error::Pending { .. }) if is_device && store.is_under_way(login_id) => {
            Ok((202, json!({"version": 1, "status": "pending"})))
        }
        // What was pasted is no good, and the login is there for what is.
        Err(error @ Error::Pending { .. }) if store.is_under_way(login_id) => {
            Err(Wrong::new(400, error.code(), &error.to_string(), error.next()))
        }
        Err(error) => Err(error.into()),
    }
}

fn with_callback(begun: &PendingLogin, pasted: &str, gateway: &Gateway) -> Result<SignedIn> {
    let found = match begun.begun {
        Begun::Cookie { .. } => session::parse_callback(pasted),
        _ if shows_code(begun) => callback::parse_code(pasted),
        _ => callback::parse(pasted),
    };
    let found = found
        .ok_or_else(|| Error::usage("this holds no code of a sign-in; copy the whole address"))?;
    let (client, store) = (&gateway.errands, &gateway.store);
    finish::finish(found, &begun.login_id, Amend::default(), client, store)
}

/// Whether the browser ends on a page that shows a code alone. Elsewhere any word would pass for one, and
/// the provider that is shown it ends the sign-in.
fn shows_code(begun: &PendingLogin) -> bool {
    let page = begun.provider.redirect.hosted.as_ref();
    page.is_some_and(|page| {
        page.shows == Shows::Code && begun.redirect_uri() == Some(page.url.as_str())
    })
}

fn told(signed_in: &SignedIn) -> Value {
    let account = &signed_in.account;
    json!({
        "version": 1,
        "status": "ok",
        "provider": account.id.provider,
        "account": account.id.account,
        "email": account.identity.email,
        "expires_at": account.expires_at(),
    })
}

pub fn cancel(login_id: &str, gateway: &Gateway) -> Answer {
    match gateway.store.cancel_pending(login_id)? {
        true => Ok(ok()),
        false => Err(Error::Pending {
            what: "no sign-in under way has this id".to_owned(),
            next: Some("keyfob pending list".to_owned()),
        }
        .into()),
    }
}
