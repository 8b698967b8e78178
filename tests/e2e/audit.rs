//! `audit.jsonl`: what happened to credentials, who was given one, and never the credential.

mod crowd;
mod events;
mod file;
mod shown;

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::sandbox::{Sandbox, in_seconds};

fn trail(sandbox: &Sandbox) -> PathBuf {
    sandbox.home().join("audit.jsonl")
}

/// The lines of the file, each whole.
#[track_caller]
fn lines(sandbox: &Sandbox) -> Vec<Value> {
    let text = sandbox.read(&trail(sandbox));
    assert!(text.ends_with('\n'), "{text}");
    text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

/// The names of the events, oldest first.
#[track_caller]
fn events(sandbox: &Sandbox) -> Vec<String> {
    let name = |line: &Value| line["event"].as_str().expect("a name").to_owned();
    lines(sandbox).iter().map(name).collect()
}

/// A home with one key, which is always fresh.
fn with_key() -> Sandbox {
    let sandbox = Sandbox::new();
    let key = json!({"version": 1, "provider": "groq", "account": "default", "kind": "api_key",
        "access_token": "gsk-marker-0123456789", "refreshed_at": in_seconds(-60)});
    sandbox.write_account("groq", "default", &key);
    sandbox
}
