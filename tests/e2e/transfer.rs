//! `export` and `import`: an account on another machine, which is another home here.

mod access_only;
mod conflicts;
mod hostile;
mod kinds;

use serde_json::{Value, json};

use crate::support::command::{Cmd, Output};
use crate::support::sandbox::{Sandbox, in_seconds};

/// The text that `export` prints.
#[track_caller]
fn export(from: &Sandbox, words: &[&str]) -> String {
    from.cmd(&[&["export"], words].concat()).run().ok().stdout.clone()
}

fn import(to: &Sandbox, words: &[&str], text: &str) -> Cmd {
    to.cmd(&[&["import", "-"], words].concat()).stdin(text)
}

#[track_caller]
fn imported(to: &Sandbox, text: &str) -> Output {
    let output = import(to, &[], text).run();
    output.ok().stdout_is("").stderr_has("imported ");
    output
}

/// An account file of this kind, fresh.
fn account(provider: &str, name: &str, kind: &str, change: &Value) -> Value {
    let mut account = json!({"version": 1, "provider": provider, "account": name, "kind": kind,
        "access_token": format!("tok-of-{provider}-{name}"), "token_type": "Bearer",
        "expires_at": in_seconds(3000), "created_at": in_seconds(-600),
        "refreshed_at": in_seconds(-600), "identity": {"email": null, "subject": null, "organization": null}, "attributes": {}, "extra": {}});
    for (key, value) in change.as_object().expect("changes are an object") {
        account[key] = value.clone();
    }
    account
}
