//! `exec --gateway`: the command has an address and a stand-in key, and no token. Its `environment`, what
//! its `doors` open, and its `end`.

mod doors;
mod end;
mod environment;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use crate::serve::client::{Answer, Client};
use crate::serve::kit::write_account;
use crate::serve::upstream::Upstream;
use crate::support::command::{Cmd, Output};
use crate::support::running::Running;
use crate::support::sandbox::Sandbox;

const LIMIT: Duration = Duration::from_secs(30);
const SECRET: &str = "sk-of-the-account-0123456789";
const DIALECTS: [&str; 4] =
    ["anthropic_messages", "gemini_generate_content", "openai_chat", "openai_responses"];
/// Whatever a client of any dialect may read.
const ALL: [&str; 9] = [
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "ANTHROPIC_BASE_URL",
    "CODEX_API_KEY",
    "GEMINI_API_KEY",
    "GOOGLE_GEMINI_BASE_URL",
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "OPENAI_API_BASE",
];

/// One account for each dialect, `DIALECT/default`, with `-` for `_`; and `chat/second`.
fn home(upstream: &Upstream) -> Sandbox {
    let sandbox = Sandbox::new();
    let base = format!("{}/v1", upstream.origin());
    let mut rows = json!({});
    for dialect in DIALECTS {
        let id = dialect.replace('_', "-");
        rows[&id] = json!({"ways": ["api_key"], "api": {"base": base, "dialect": dialect}});
        write_account(&sandbox, &format!("{id}/default"), SECRET, &json!({}));
    }
    write_account(&sandbox, "openai-chat/second", "sk-second-0123456789", &json!({}));
    sandbox.write_config(&json!({"providers": rows}));
    sandbox
}

/// A command that runs until its stdin ends, and what it was given.
struct Inside {
    running: Running,
    env: BTreeMap<String, String>,
    pid: u32,
}

impl Inside {
    /// `words` stand before the dashes.
    #[track_caller]
    fn start(sandbox: &Sandbox, words: &[&str]) -> Inside {
        Inside::of(sandbox.cmd(&[&["exec", "--gateway"], words].concat()))
    }

    #[track_caller]
    fn of(cmd: Cmd) -> Inside {
        let script = "env; echo \"own pid $$\"; read -r line; echo \"ended by $line\"";
        let cmd = ["--", "sh", "-c", script].iter().fold(cmd, |cmd, word| cmd.arg(word));
        let running = cmd.spawn();
        let line = running.stdout_line_containing("own pid ", LIMIT);
        let pid = line.strip_prefix("own pid ").and_then(|pid| pid.parse().ok());
        let out = running.stdout();
        let pairs = out.lines().filter_map(|line| line.split_once('='));
        let env = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Inside { running, env, pid: pid.expect("a number") }
    }

    #[track_caller]
    fn var(&self, name: &str) -> &str {
        self.env.get(name).unwrap_or_else(|| panic!("no {name} in {:#?}", self.env))
    }

    /// The names of a dialect's clients that are set.
    fn known(&self) -> Vec<&str> {
        let is_known = |name: &&str| ALL.contains(name);
        self.env.keys().map(String::as_str).filter(is_known).collect()
    }

    /// `127.0.0.1:PORT`
    fn host(&self) -> String {
        let names = ["ANTHROPIC_BASE_URL", "GOOGLE_GEMINI_BASE_URL", "OPENAI_BASE_URL"];
        let base = names.iter().find_map(|name| self.env.get(*name)).expect("a base");
        let host = base.strip_prefix("http://").expect("plain HTTP");
        host.trim_end_matches("/v1").to_owned()
    }

    fn key(&self) -> &str {
        let names = ["ANTHROPIC_API_KEY", "GEMINI_API_KEY", "OPENAI_API_KEY"];
        names.iter().find_map(|name| self.env.get(*name)).expect("a key")
    }

    fn ask(&self, line: &str, key: &str, body: &str) -> Answer {
        let mut client = Client::to(&self.host());
        let (host, length) = (self.host(), body.len());
        client.say(format!(
            "{line} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        ));
        client.answer()
    }

    fn prompt(&self, model: &str) -> Answer {
        let body = json!({"model": model, "messages": [{"role": "user", "content": "hi"}]});
        self.ask("POST /v1/chat/completions", self.key(), &body.to_string())
    }

    /// Lets the command end.
    #[track_caller]
    fn end(mut self) -> Output {
        self.running.write_stdin("itself\n");
        let output = self.running.wait(LIMIT);
        output.ok().check(output.stdout.ends_with("ended by itself\n"), "the command's own end");
        output.check(output.stderr.is_empty(), "nothing on stderr");
        output
    }
}

/// What a process was started with, as the system has it.
fn proc(pid: u32, name: &str) -> String {
    let path = PathBuf::from(format!("/proc/{pid}/{name}"));
    let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    String::from_utf8_lossy(&bytes).replace('\0', "\n")
}
