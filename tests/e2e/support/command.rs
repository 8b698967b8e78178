//! The product as a child process: how it is started, and what it said.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::running::Running;
use super::sandbox::listing;

const BINARY: &str = env!("CARGO_BIN_EXE_keyfob");
const RUN_LIMIT: Duration = Duration::from_secs(60);

/// A command in the making. The environment is cleared: PATH, HOME, LANG and KEYFOB_HOME remain.
#[derive(Clone, Debug)]
pub struct Cmd {
    arguments: Vec<String>,
    environment: Vec<(String, Option<String>)>,
    home: PathBuf,
    cwd: PathBuf,
    stdin: Option<Vec<u8>>,
    /// What a shell does before.
    prelude: Vec<String>,
    has_terminal: bool,
}

impl Cmd {
    pub fn new(home: PathBuf, user_home: PathBuf, cwd: PathBuf, arguments: &[&str]) -> Self {
        let path = std::env::var("PATH").unwrap_or_default();
        let environment = [
            ("HOME", user_home.display().to_string()),
            ("KEYFOB_HOME", home.display().to_string()),
            ("LANG", "C.UTF-8".into()),
            ("PATH", path),
        ];
        Cmd {
            arguments: arguments.iter().map(|text| text.to_string()).collect(),
            environment: environment.map(|(name, v)| (name.to_string(), Some(v))).to_vec(),
            home,
            cwd,
            stdin: None,
            prelude: Vec::new(),
            has_terminal: false,
        }
    }

    pub fn arg(mut self, argument: &str) -> Self {
        self.arguments.push(argument.into());
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), Some(value.into())));
        self
    }

    pub fn env_remove(mut self, name: &str) -> Self {
        self.environment.push((name.into(), None));
        self
    }

    pub fn cwd(mut self, folder: &Path) -> Self {
        self.cwd = folder.to_path_buf();
        self
    }

    /// Sent at once, then stdin ends. Without it `run` gives an empty stdin, `spawn` an open one.
    pub fn stdin(mut self, text: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(text.into());
        self
    }

    /// Octal, as the shell has it: `"000"`.
    pub fn umask(mut self, mask: &str) -> Self {
        self.prelude.push(format!("umask {mask}"));
        self
    }

    /// So many files and sockets may be open at a time.
    pub fn open_files(mut self, most: usize) -> Self {
        self.prelude.push(format!("ulimit -n {most}"));
        self
    }

    /// Gives the child a terminal of 40 columns for all three streams; what it shows, both streams
    /// together and lines ending in CR LF, is the output's stdout. Needs `script` of util-linux.
    pub fn pty(mut self) -> Self {
        self.has_terminal = true;
        self
    }

    /// Runs to the end; after 60 s the child is killed and the test fails.
    #[track_caller]
    pub fn run(self) -> Output {
        let open_end = self.has_terminal && self.stdin.is_none();
        let stdin = if open_end { None } else { Some(self.stdin.clone().unwrap_or_default()) };
        self.start(stdin).wait(RUN_LIMIT)
    }

    /// Starts and returns; dropping the result kills the child.
    #[track_caller]
    pub fn spawn(self) -> Running {
        let stdin = self.stdin.clone();
        self.start(stdin)
    }

    #[track_caller]
    fn start(self, stdin: Option<Vec<u8>>) -> Running {
        let mut command = self.command();
        command.env_clear().current_dir(&self.cwd);
        for (name, value) in &self.environment {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap_or_else(|e| panic!("cannot start {self:?}: {e}"));
        let shown = format!("keyfob {}", self.arguments.join(" "));
        let mut running = Running::new(shown, self.home, child);
        if let Some(text) = stdin {
            running.write_stdin(text);
            running.close_stdin();
        }
        running
    }

    fn command(&self) -> Command {
        let mut words = vec![BINARY.to_string()];
        words.extend(self.arguments.iter().cloned());
        if !self.prelude.is_empty() {
            let script = format!("{}; exec \"$@\"", self.prelude.join("; "));
            words.splice(0..0, ["sh".into(), "-c".into(), script, "sh".into()]);
        }
        if self.has_terminal {
            let quoted: Vec<String> = words.iter().map(|word| quoted(word)).collect();
            let line = format!("stty cols 40; exec {}", quoted.join(" "));
            words = ["script", "-qec", &line, "/dev/null"].map(String::from).to_vec();
        }
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        command
    }
}

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// How a child ended and what it said.
#[derive(Clone, Debug)]
pub struct Output {
    pub command: String,
    pub stdout: String,
    pub stderr: String,
    /// `None` when a signal ended it.
    pub status: Option<i32>,
    pub signal: Option<i32>,
    pub home: PathBuf,
}

impl Output {
    #[track_caller]
    pub fn ok(&self) -> &Self {
        self.code(0)
    }

    #[track_caller]
    pub fn code(&self, wanted: i32) -> &Self {
        self.check(self.status == Some(wanted), &format!("exit code {wanted}"))
    }

    #[track_caller]
    pub fn stdout_is(&self, wanted: &str) -> &Self {
        self.check(self.stdout == wanted, &format!("stdout {wanted:?}"))
    }

    #[track_caller]
    pub fn stderr_has(&self, wanted: &str) -> &Self {
        self.check(self.stderr.contains(wanted), &format!("{wanted:?} on stderr"))
    }

    #[track_caller]
    pub fn stderr_lacks(&self, unwanted: &str) -> &Self {
        self.check(!self.stderr.contains(unwanted), &format!("no {unwanted:?} on stderr"))
    }

    /// stdout as JSON: one object on one line.
    #[track_caller]
    pub fn json(&self) -> Value {
        let value = serde_json::from_str(&self.stdout).ok();
        let is_line = self.stdout.ends_with('\n') && self.stdout.lines().count() == 1;
        self.check(value.is_some() && is_line, "one line of JSON on stdout");
        value.unwrap_or_default()
    }

    /// The error object that ends stderr after a failure with `--json`.
    #[track_caller]
    pub fn error_json(&self) -> Value {
        let value: Option<Value> =
            self.stderr.lines().last().and_then(|line| serde_json::from_str(line).ok());
        self.check(value.is_some(), "a JSON object on the last line of stderr");
        value.unwrap_or_default()["error"].clone()
    }

    /// stdout without its one trailing newline: a token, a URL.
    #[track_caller]
    pub fn line(&self) -> &str {
        self.check(self.stdout.lines().count() == 1, "one line on stdout");
        self.stdout.trim_end_matches('\n')
    }

    /// Fails the test with everything that is known, unless the claim holds.
    #[track_caller]
    pub fn check(&self, holds: bool, wanted: &str) -> &Self {
        assert!(holds, "wanted: {wanted}\n{}", self.report());
        self
    }

    pub fn report(&self) -> String {
        format!(
            "command: {}\nstatus: {:?}, signal: {:?}\n--- stdout\n{}\n--- stderr\n{}\n--- home\n{}",
            self.command,
            self.status,
            self.signal,
            self.stdout,
            self.stderr,
            listing(&self.home),
        )
    }
}
