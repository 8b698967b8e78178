//! CodeMie: a browser session of an instance, from the sign-in to the logout.

mod hostile;
mod instance;
mod outcome;
mod project;
mod refresh;
mod signin;
mod tls;
mod under_way;
mod used;

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::login::demo::Waiting;
use crate::support::browser::Redirect;
use crate::support::codemie::{Instance, Person};
use crate::support::command::{Cmd, Output};
use crate::support::sandbox::Sandbox;

/// An instance, and a home that has never seen it.
pub struct Lab {
    pub sandbox: Sandbox,
    pub instance: Instance,
}

impl Lab {
    pub fn new() -> Self {
        Lab { sandbox: Sandbox::new(), instance: Instance::new() }
    }

    /// With an account, whose sign-in is no longer among the requests seen.
    #[track_caller]
    pub fn signed_in() -> Self {
        let lab = Lab::new();
        lab.sign_in_to(&lab.instance);
        lab.instance.forget_requests();
        lab
    }

    /// Signs in to this or another instance in two steps.
    #[track_caller]
    pub fn sign_in_to(&self, instance: &Instance) {
        let words = ["login", "codemie", "--print-auth-url", "--url", &instance.origin()];
        let url = self.sandbox.cmd(&words).run().ok().line().to_owned();
        let callback = Person::default().sign_in(&url, &instance.origin());
        self.finish(&callback.location).ok();
    }

    /// `keyfob login codemie --url ORIGIN …`
    pub fn login(&self, arguments: &[&str]) -> Cmd {
        let origin = self.instance.origin();
        self.sandbox.cmd(&[&["login", "codemie", "--url", &origin], arguments].concat())
    }

    /// The same with `--no-browser`, waiting.
    #[track_caller]
    pub fn wait(&self, arguments: &[&str]) -> Waiting {
        Waiting::start(self.login(&[&["--no-browser"], arguments].concat()))
    }

    /// `keyfob login codemie --print-auth-url …`: the address it prints.
    #[track_caller]
    pub fn print_url(&self, arguments: &[&str]) -> String {
        self.login(&[&["--print-auth-url"], arguments].concat()).run().ok().line().to_owned()
    }

    /// Signs in as a person does; where the browser is then sent is not visited.
    #[track_caller]
    pub fn person(&self, url: &str) -> Redirect {
        Person::default().sign_in(url, &self.instance.origin())
    }

    /// `keyfob login --callback-url -`
    #[track_caller]
    pub fn finish(&self, callback: &str) -> Output {
        self.sandbox.cmd(&["login", "--callback-url", "-"]).stdin(callback).run()
    }

    /// `keyfob WORD codemie …`
    #[track_caller]
    pub fn run(&self, word: &str, arguments: &[&str]) -> Output {
        self.sandbox.cmd(&[&[word, "codemie"], arguments].concat()).run()
    }

    /// `codemie/127.0.0.1:PORT`
    pub fn id(&self) -> String {
        format!("codemie/{}", self.instance.name())
    }

    pub fn file(&self) -> PathBuf {
        self.sandbox.account_file("codemie", &self.instance.name())
    }

    #[track_caller]
    pub fn account(&self) -> Value {
        self.sandbox.read_json(&self.file())
    }

    /// Changes keys of the account file.
    pub fn edit_account(&self, changes: &Value) {
        let mut account = self.account();
        for (key, value) in changes.as_object().into_iter().flatten() {
            account[key] = value.clone();
        }
        self.sandbox.write_account("codemie", &self.instance.name(), &account);
    }

    pub fn account_files(&self) -> Vec<PathBuf> {
        self.json_files("accounts")
    }

    pub fn pending_files(&self) -> Vec<PathBuf> {
        self.json_files("pending")
    }

    fn json_files(&self, folder: &str) -> Vec<PathBuf> {
        let mut files = self.sandbox.files(&self.sandbox.home().join(folder));
        files.retain(|path| path.extension().is_some_and(|end| end == "json"));
        files
    }
}

/// The port at the end of a sign-in address.
#[track_caller]
pub fn port_of(url: &str) -> u16 {
    let port = url.rsplit('/').next().and_then(|port| port.parse().ok());
    port.unwrap_or_else(|| panic!("no port at the end of {url}"))
}

/// What the instance would send the browser to, with this in its token.
pub fn callback(port: u16, session: &Value) -> String {
    format!("http://localhost:{port}/auth?token={}", STANDARD.encode(session.to_string()))
}

/// A session of these cookies.
pub fn session(cookies: &Value) -> Value {
    json!({"provider": "keycloak", "cookies": cookies})
}

/// The command after `try: `, as words.
#[track_caller]
pub fn next_command(output: &Output) -> Vec<String> {
    let mut lines =
        output.stderr.lines().filter_map(|line| line.trim_start().strip_prefix("try: "));
    let line = lines.next_back().unwrap_or_else(|| panic!("no try line\n{}", output.report()));
    let words = line.strip_prefix("keyfob ").expect("a command of keyfob").split(' ');
    words.map(|word| word.trim_matches('\'').to_owned()).collect()
}
