//! API keys: stored from stdin or from a hidden prompt, and what the other commands make of them.
//! Every row is tried in `rows/keys.rs`; everything here runs at the highest verbosity.

mod prompt;
mod stored;
mod used;

use serde_json::Value;

use crate::provider::Desk;
use crate::support::command::{Cmd, Output};

const KEY: &str = "sk-marker-0123456789abcdef";
const OTHER_KEY: &str = "sk-marker-fedcba9876543210";

fn cmd(desk: &Desk, words: &str) -> Cmd {
    desk.cmd(words).env("KEYFOB_LOG", "trace")
}

fn storing(desk: &Desk, account: &str, pasted: impl Into<Vec<u8>>) -> Cmd {
    cmd(desk, &format!("login {account} --api-key-stdin")).stdin(pasted)
}

/// Stores the key; what is said does not tell it.
#[track_caller]
fn store(desk: &Desk, account: &str, pasted: impl Into<Vec<u8>>) -> Output {
    let output = storing(desk, account, pasted).run();
    output.ok().stdout_is("").stderr_lacks("marker");
    output
}

fn read(desk: &Desk, provider: &str, account: &str) -> Value {
    desk.sandbox.read_account(provider, account)
}

/// Files below HOME that hold a key.
fn holders(desk: &Desk) -> Vec<std::path::PathBuf> {
    let mut files = desk.sandbox.files(&desk.sandbox.user_home());
    files.extend(desk.sandbox.files(&desk.sandbox.work()));
    files.retain(|file| {
        String::from_utf8_lossy(&std::fs::read(file).unwrap_or_default()).contains("marker")
    });
    files
}

#[track_caller]
fn asks_nobody(desk: &Desk) {
    assert!(desk.idp.requests().is_empty(), "{}", desk.idp.counters());
}
