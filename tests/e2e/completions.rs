//! `completions`: what the shells offer when TAB is pressed, and the manual pages.

mod install;
mod man;
mod shells;
mod words;

use serde_json::json;

use crate::support::sandbox::{Sandbox, in_seconds};

/// Keys of groq, called `default` and `work`, and a provider of the person's own.
fn home() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write_config(&json!({"providers": {"my-idp": {"token_url": "https://id.example/t"}}}));
    for account in ["default", "me@example.com"] {
        let key = json!({"version": 1, "provider": "groq", "account": account, "kind": "api_key",
            "access_token": format!("gsk-of-{account}"), "refreshed_at": in_seconds(-60)});
        sandbox.write_account("groq", account, &key);
    }
    sandbox
}
