//! `--shell dotenv`, read by what reads such files. The readers do not agree on what stands between
//! double quotes, so that only a few values are written so.

use serde_json::{Map, Value, json};

use super::{NASTY, key, name, odd, with};
use crate::support::tool;

/// What no reader but a shell takes from double quotes as it was meant: `'` beside what needs a
/// backslash, and backslashes that end the value or follow each other.
fn is_for_shells_only(value: &str) -> bool {
    let needs_double = value.contains('\'') || value.contains("\\\\") || value.ends_with('\\');
    (needs_double && value.contains(['\\', '"', '$', '`'])) || value.contains(['\r', '\u{1b}'])
}

/// The values as a reader has them, which prints one JSON object.
#[track_caller]
fn reads(words: &[&str], is_wanted: impl Fn(&str) -> bool) {
    let sandbox = odd();
    let text = sandbox.cmd(&["env", "odd", "--shell", "dotenv"]).run().ok().stdout.clone();
    std::fs::write(sandbox.work().join(".env"), &text).unwrap();
    let read = tool::run(&sandbox, words, "").ok().json();
    let mut count = 0;
    for (at, value) in NASTY.iter().enumerate().filter(|(_, value)| is_wanted(value)) {
        assert_eq!(read[name(at)], **value, "{}\n{text}", name(at));
        count += 1;
    }
    assert!(count > 15, "{count}");
}

#[test]
fn node_reads_the_file() {
    let has_it = "process.exit(require('util').parseEnv ? 0 : 1)";
    if !tool::is_installed("node")
        || tool::run(&odd(), &["node", "-e", has_it], "").status != Some(0)
    {
        println!("skipped: no node with parseEnv");
        return;
    }
    let read = "console.log(JSON.stringify(require('util').parseEnv(
        require('fs').readFileSync('.env', 'utf8'))))";
    reads(&["node", "-e", read], |value| !is_for_shells_only(value));
}

#[test]
fn python_reads_the_file() {
    let read = "import json, dotenv; print(json.dumps(dotenv.dotenv_values('.env')))";
    if !tool::is_installed("python3")
        || tool::run(&odd(), &["python3", "-c", read], "").status != Some(0)
    {
        println!("skipped: no python-dotenv");
        return;
    }
    // It fills in ${NAME} whatever the quotes are.
    let is_wanted = |value: &str| !is_for_shells_only(value) && !value.contains("${");
    reads(&["python3", "-c", read], is_wanted);
}

/// `set -a; . ./.env`: what nearly everybody without a library does.
#[test]
fn a_shell_reads_the_file() {
    let sandbox = odd();
    let text = sandbox.cmd(&["env", "odd", "--shell", "dotenv"]).run().ok().stdout.clone();
    std::fs::write(sandbox.work().join(".env"), &text).unwrap();
    for (at, value) in NASTY.iter().enumerate().filter(|(_, value)| !value.contains(['\n', '\r'])) {
        let script = format!("set -a; . ./.env; printf %s \"${}\"", name(at));
        tool::run(&sandbox, &["sh", "-c", &script], "").ok().stdout_is(value);
    }
}

/// `docker run --env-file`: NAME=VALUE to the end of the line, quotes and all. A key is never quoted.
#[test]
fn docker_takes_keys_literally() {
    let sandbox = crate::support::sandbox::Sandbox::new();
    let keys = [
        "sk-proj-Abc_123-x",
        "eyJhbGciOi.eyJzdWIi.c2ln-_",
        "ya29.a0-_x/y+z==",
        "tid=1;exp=2",
        "gho_16C7e42F292c6912E7",
    ];
    for (at, secret) in keys.iter().enumerate() {
        let provider = ["groq", "mistral", "openrouter", "copilot", "deepseek"][at];
        sandbox.write_account(provider, "default", &key(provider, secret, &json!({})));
    }
    let lines = sandbox.cmd(&["env", "groq", "mistral", "openrouter", "--shell", "dotenv"]).run();
    lines.ok().stdout_is(&format!(
        "GROQ_API_KEY={}\nMISTRAL_API_KEY={}\nOPENROUTER_API_KEY={}\n",
        keys[0], keys[1], keys[2]
    ));
    let named = sandbox.cmd(&["env", "deepseek", "--shell", "dotenv"]).run();
    named.ok().stdout_is(&format!("DEEPSEEK_API_KEY={}\n", keys[4]));
}

/// One line each, whatever it holds: nothing in a value begins a variable of its own.
#[test]
fn a_value_stays_on_its_line() {
    let facts = json!({"v": "x\nEVIL=1\r\nEVIL=2"});
    let facts: Map<String, Value> = facts.as_object().unwrap().clone();
    let sandbox = with(Map::from_iter([("V".to_owned(), json!("=v"))]), facts);
    let output = sandbox.cmd(&["env", "odd", "--shell", "dotenv"]).run();
    output.ok().stdout_is("V=\"x\\nEVIL=1\\r\\nEVIL=2\"\n");
}
