//! `keyfob config`: what is shown, what is changed, what is refused, and what stays as it is.

mod disk;
mod set;
mod shown;

use serde_json::{Value, json};

use crate::support::command::{Cmd, Output};
use crate::support::sandbox::Sandbox;

const SECRET: &str = "marker-0123456789abcdef";

/// A home with settings of every kind, and one key that keyfob does not know.
fn home() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write_config(&settings());
    sandbox
}

fn settings() -> Value {
    json!({
        "accepted_terms": {"claude": "2026-01-01T00:00:00Z"},
        "client_secrets": {"mine": SECRET},
        "default": {"provider": "mine"},
        "defaults": {"my.idp": "me@example.com"},
        "notes": {"a.b": [1, {"c": null}]},
        "providers": {
            "claude": {"redirect": {"path": "/x"}},
            "mine": {
                "client_id": "cli",
                "scopes": ["openid"],
                "token_url": "https://id.example/token",
                "api": {"headers": {"Authorization": format!("Bearer {SECRET}"), "x-team": "a"}},
            },
            "my.idp": {"issuer": "https://my.example"},
        },
    })
}

/// `keyfob config …`
fn config(sandbox: &Sandbox, words: &[&str]) -> Cmd {
    sandbox.cmd(&[&["config"], words].concat()).env("KEYFOB_LOG", "trace")
}

#[track_caller]
fn run(sandbox: &Sandbox, words: &[&str]) -> Output {
    let output = config(sandbox, words).run();
    output.check(!output.stdout.contains("marker"), "no secret on stdout");
    output.stderr_lacks("marker").stderr_lacks("panicked");
    output
}

fn bytes(sandbox: &Sandbox) -> Vec<u8> {
    std::fs::read(sandbox.home().join("config.json")).unwrap_or_default()
}

/// The command fails so, and the file is what it was, to the byte.
#[track_caller]
fn refused(sandbox: &Sandbox, words: &[&str], code: i32) -> Output {
    let before = bytes(sandbox);
    let output = run(sandbox, words);
    output.code(code).stdout_is("").stderr_has("keyfob: ");
    assert_eq!(bytes(sandbox), before, "{words:?} wrote something");
    output
}
