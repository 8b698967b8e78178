//! The wizard, driven at a terminal question by question; everything at the highest verbosity.

mod again;
mod first;
mod keys;
mod leaving;
mod model;
mod trouble;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::login::demo::Demo;
use crate::support::command::{Cmd, Output};
use crate::support::idp::Dialect;
use crate::support::running::Running;
use crate::support::sandbox::Sandbox;

const KEY: &str = "sk-marker-0123456789abcdef";
const LIMIT: Duration = Duration::from_secs(30);

const WHICH: &str = "which providers? (names or numbers, spaces between; empty changes nothing) ";
const HIDDEN: &str = "API key (hidden): ";
const WAY: &str = "way in (number or name; empty skips it): ";
const DEFAULT: &str = "default provider? (name or number; empty ";

/// `keyfob setup …` at a terminal, with no way out of this machine.
fn setup(sandbox: &Sandbox, words: &[&str]) -> Cmd {
    let command = sandbox.cmd(&[&["setup"], words].concat());
    let command = command.env("HTTPS_PROXY", "http://127.0.0.1:1");
    command.env("KEYFOB_LOG", "trace").env("BROWSER", "/bin/true").pty()
}

/// An issuer known as `demo` with two ways in, and a home where nobody is signed in; the APIs of the
/// built-in rows are at the issuer too.
fn demo() -> Demo {
    let demo = Demo::with(
        Dialect::oidc(),
        |idp| json!({"ways": ["browser", "device"], "device_url": idp.url("/device")}),
    );
    let rows = demo.sandbox.cmd(&["provider", "list", "--json"]).run().ok().json();
    let mut config = demo.idp.overlay(&rows);
    config["providers"]["demo"] = demo.sandbox.read_config()["providers"]["demo"].clone();
    demo.sandbox.write_config(&config);
    demo
}

/// A wizard under way, and how far its questions were read.
struct Wizard {
    process: Running,
    read_bytes: usize,
}

impl Wizard {
    #[track_caller]
    fn start(command: Cmd) -> Self {
        Wizard { process: command.spawn(), read_bytes: 0 }
    }

    /// Waits for a text after the one waited for last; gives what came between.
    #[track_caller]
    fn hears(&mut self, text: &str) -> String {
        let deadline = Instant::now() + LIMIT;
        loop {
            let said = self.process.stdout();
            let fresh = said.get(self.read_bytes..).unwrap_or_default();
            if let Some(at) = fresh.find(text) {
                self.read_bytes += at + text.len();
                return fresh[..at].to_owned();
            }
            let has_ended = self.process.has_ended();
            assert!(
                Instant::now() < deadline && !has_ended,
                "no {text:?} in\n{fresh}\n---\n{said}"
            );
            std::thread::sleep(Duration::from_millis(3));
        }
    }

    /// Waits for the question and types the answer.
    #[track_caller]
    fn answers(&mut self, question: &str, answer: &str) -> String {
        let between = self.hears(question);
        self.process.write_stdin(format!("{answer}\n"));
        between
    }

    /// The rest, whatever the end is; no secret was shown on the way.
    #[track_caller]
    fn ends(self, code: i32) -> Output {
        let output = self.process.wait(LIMIT);
        output.code(code).check(!output.stdout.contains("marker"), "no key is shown");
        output.check(!output.stdout.contains("panicked"), "no panic");
        output
    }
}

/// The sign-in address that stands alone on a line after what was read.
#[track_caller]
fn address(demo: &Demo, wizard: &mut Wizard) -> String {
    let start = demo.idp.url("/authorize?");
    wizard.hears(&start);
    let rest = wizard.hears("\r\n");
    format!("{start}{rest}")
}

/// The content of every file below KEYFOB_HOME but the trail, which grows by each look.
fn contents(sandbox: &Sandbox) -> Vec<(String, Vec<u8>)> {
    let read = |file: std::path::PathBuf| {
        (file.display().to_string(), std::fs::read(&file).unwrap_or_default())
    };
    let files = sandbox.files(&sandbox.home()).into_iter();
    files.filter(|file| !file.ends_with("audit.jsonl")).map(read).collect()
}

/// Every file is 0600, and the key is in those of the accounts alone.
#[track_caller]
fn is_private(sandbox: &Sandbox) {
    for (file, content) in contents(sandbox) {
        assert_eq!(sandbox.mode(file.as_ref()), 0o600, "{file}");
        let has_key = String::from_utf8_lossy(&content).contains("marker");
        assert!(!has_key || file.contains("/accounts/"), "the key is in {file}");
    }
    let elsewhere = sandbox.files(&sandbox.work());
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
}

#[track_caller]
fn token(sandbox: &Sandbox, provider: &str) -> String {
    sandbox.cmd(&["token", provider]).run().ok().line().to_owned()
}

#[track_caller]
fn default_is(sandbox: &Sandbox, provider: &str) {
    let output = sandbox.cmd(&["config", "get", "default.provider"]).run();
    output.ok().stdout_is(&format!("{provider}\n"));
}

fn default_of(sandbox: &Sandbox) -> Value {
    sandbox.read_config()["default"]["provider"].clone()
}
