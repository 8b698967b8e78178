//! What the person, or `--json`, is told at the end of a login.

use serde_json::json;

use crate::commands::Object;
use crate::commands::login::Login;
use crate::credential::Credential;
use crate::error::Result;
use crate::flows::keep::SignedIn;
use crate::term;
use crate::time::{Timestamp, duration_in_words};

pub fn tell(signed_in: &SignedIn, args: &Login) -> Result<()> {
    let account = &signed_in.account;
    for warning in &signed_in.warnings {
        term::warn(warning);
    }
    // A key that was kept unseen has brought no token yet.
    let has_token = !account.secret().is_empty();
    let expires_at = account.expires_at().filter(|_| has_token);
    if args.json {
        let object = Object::new()
            .with("status", "ok")
            .with("provider", account.id.provider.as_str())
            .with("account", account.id.account.as_str())
            .with("kind", account.credential.kind())
            .with("email", json!(account.identity.email))
            .with("expires_at", json!(expires_at))
            .with("scopes", json!(account.credential.scopes()))
            .with("path", signed_in.path.display().to_string());
        return term::print(&object.to_string());
    }
    let is_bearer = matches!(account.credential, Credential::Bearer(..));
    if is_bearer || matches!(account.credential, Credential::ApiKey(_)) {
        let what = if is_bearer { "token" } else { "key" };
        let until = expires_at
            .map_or(String::new(), |at| format!(", expires {}", at.in_words(Timestamp::now())));
        let path = signed_in.path.display();
        term::say(&format!("stored the {what} of {}{until}; {path}", account.id));
        return Ok(());
    }
    let who = account.identity.name().unwrap_or(&account.id.account);
    let organization = account.identity.organization.as_deref();
    let organization = organization.map_or(String::new(), |name| format!(" ({name})"));
    let elsewhere = if signed_in.elsewhere { " from another terminal" } else { "" };
    let expiry = match expires_at {
        Some(at) => {
            let left = duration_in_words(at.since(Timestamp::now()).max(0));
            let renews = if account.can_refresh() { ", renewed by itself" } else { "" };
            format!("expires in {left}{renews}")
        }
        None if has_token => "no expiry known".to_owned(),
        None => "no token asked for yet".to_owned(),
    };
    let path = signed_in.path.display();
    term::say(&format!(
        "signed in to {}{elsewhere} as {who}{organization}; {expiry}; {path}",
        account.id.provider
    ));
    Ok(())
}
