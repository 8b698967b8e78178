//! What the pages tell people to type exists.

use std::collections::HashMap;

use serde_json::Value;

use super::help::all_help;
use crate::support::sandbox::Sandbox;

const PAGES: [(&str, &str); 12] = [
    ("README.md", include_str!("../../../README.md")),
    ("docs/claude-code.md", include_str!("../../../docs/claude-code.md")),
    ("docs/codex.md", include_str!("../../../docs/codex.md")),
    ("docs/doctor.md", include_str!("../../../docs/doctor.md")),
    ("docs/git.md", include_str!("../../../docs/git.md")),
    ("docs/kubectl.md", include_str!("../../../docs/kubectl.md")),
    ("docs/mcp.md", include_str!("../../../docs/mcp.md")),
    ("docs/proof.md", include_str!("../../../docs/proof.md")),
    ("docs/scripts.md", include_str!("../../../docs/scripts.md")),
    ("docs/security.md", include_str!("../../../docs/security.md")),
    ("docs/shaping.md", include_str!("../../../docs/shaping.md")),
    ("docs/switching.md", include_str!("../../../docs/switching.md")),
];

/// Names that other tools have for `--device`; accepted, and not in the help.
const OTHER_NAMES: [&str; 2] = ["--device-auth", "--device-code"];

/// The words after each `keyfob` in code, inline or in blocks, up to the end of that command.
fn typed(page: &str) -> Vec<Vec<String>> {
    let code = page.split('`').skip(1).step_by(2).flat_map(str::lines);
    let mut all = Vec::new();
    for line in code {
        // What kubectl says about us is no command.
        let line = line.replace("executable keyfob", "");
        let line = line.split(" # ").next().unwrap_or_default();
        let line = line.replace("$(", " ").replace(['(', ')', '"', '\'', '!'], " ");
        let words: Vec<&str> = line.split_whitespace().collect();
        for (at, _) in words.iter().enumerate().filter(|(_, word)| **word == "keyfob") {
            let ends = |word: &&&str| {
                ["|", "||", "&", "&&", "--", "\\"].contains(*word)
                    || word.starts_with(['<', '>', ';'])
                    || word.starts_with("2>")
            };
            let rest = words[at + 1..].iter().take_while(|word| !ends(word));
            all.push(rest.map(|word| word.trim_end_matches([';', ',']).to_owned()).collect());
        }
    }
    all
}

/// Why such a command cannot be typed.
fn fault(words: &[String], help: &HashMap<String, String>) -> Option<String> {
    let first = words.first()?;
    let is_command = first.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
    if !is_command {
        return None;
    }
    let pair = words.get(1).map(|second| format!("{first} {second}"));
    let name = pair.filter(|pair| help.contains_key(pair)).unwrap_or_else(|| first.clone());
    let Some(text) = help.get(&name) else { return Some(format!("no command {name}")) };
    let known: Vec<&str> =
        text.split(|c: char| c.is_whitespace() || "[](),.".contains(c)).collect();
    let flags = words.iter().filter(|word| word.starts_with("--"));
    let mut names =
        flags.flat_map(|flag| flag.split('=').next()).filter(|flag| !OTHER_NAMES.contains(flag));
    names.find(|flag| !known.contains(flag)).map(|flag| format!("{name} has no {flag}"))
}

#[test]
fn every_command_in_the_docs_exists_with_its_flags() {
    let help: HashMap<String, String> = all_help().into_iter().collect();
    let mut faults = Vec::new();
    let mut seen = 0;
    for (page, text) in PAGES {
        for words in typed(text) {
            seen += 1;
            let fault = fault(&words, &help);
            faults.extend(fault.map(|why| format!("{page}: keyfob {}: {why}", words.join(" "))));
        }
    }
    assert_eq!(faults, Vec::<String>::new());
    assert!(seen > 100, "only {seen} commands were found");
}

/// A key that meant nothing, or had the wrong type, would not come back.
#[test]
fn the_rows_in_the_docs_are_read_as_they_stand() {
    let page = include_str!("../../../docs/shaping.md");
    let blocks = page.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next());
    let mut seen = 0;
    for block in blocks {
        let config: Value = serde_json::from_str(block).expect(block);
        let sandbox = Sandbox::new();
        sandbox.write_config(&config);
        for (name, row) in config["providers"].as_object().expect(block) {
            let shown = sandbox.cmd(&["provider", "show", name]).run();
            assert_eq!(shown.ok().stderr, "", "{name}");
            let shown: Value = serde_json::from_str(&shown.stdout).unwrap();
            let lacks = lacking(row, &shown, name);
            assert_eq!(lacks, Vec::<String>::new());
            seen += 1;
        }
    }
    assert!(seen > 4, "only {seen} rows were found");
}

/// What is copied into a client's settings starts the proxy: a flag that is none would end it with 2.
#[test]
fn the_clients_settings_in_the_docs_start_the_proxy() {
    let page = include_str!("../../../docs/mcp.md");
    let blocks = page.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next());
    let settings: Vec<Value> =
        blocks.map(|block| serde_json::from_str(block).expect(block)).collect();
    let toml = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next());
    let toml = toml.and_then(|block| block.lines().find_map(|line| line.strip_prefix("args = ")));
    let mut all: Vec<Value> =
        toml.and_then(|list| serde_json::from_str(list).ok()).into_iter().collect();
    for block in &settings {
        let servers = block.get("mcpServers").or(block.get("servers")).expect("servers");
        let server = &servers["my-server"];
        assert_eq!(server["command"], "keyfob", "{block}");
        all.push(server["args"].clone());
    }
    assert_eq!(all.len(), 4, "{all:?}");
    let sandbox = Sandbox::new();
    for args in all {
        let args: Vec<_> =
            args.as_array().expect("a list").iter().filter_map(Value::as_str).collect();
        assert_eq!(args[0], "mcp-proxy", "{args:?}");
        // No message, so nobody is connected to.
        sandbox.cmd(&args).stdin("").run().ok().stdout_is("");
    }
}

/// The keys, at any depth, that are not in what is shown as they were written.
fn lacking(written: &Value, shown: &Value, at: &str) -> Vec<String> {
    match written.as_object() {
        Some(keys) => {
            let inner = keys.iter().map(|(key, value)| (value, &shown[key], format!("{at}.{key}")));
            inner.flat_map(|(value, shown, at)| lacking(value, shown, &at)).collect()
        }
        None if written == shown => Vec::new(),
        None => vec![at.to_owned()],
    }
}

#[test]
fn a_command_that_does_not_exist_is_found() {
    let help = HashMap::from([("token".to_owned(), "[--min-ttl <seconds>] [--json]".to_owned())]);
    let typed =
        typed("Say `keyfob tokken x`, or\n```sh\nx=$(keyfob token me --min-tl 5) # --json\n```");
    let faults: Vec<_> = typed.iter().filter_map(|words| fault(words, &help)).collect();
    assert_eq!(faults, ["no command tokken", "token has no --min-tl"]);
}
