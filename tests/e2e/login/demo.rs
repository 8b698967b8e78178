//! An issuer, a home that knows it as `demo`, and logins under way.

use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::browser::{self, Redirect};
use crate::support::command::{Cmd, Output};
use crate::support::idp::encoding::params;
use crate::support::idp::redirect::loopback_parts;
use crate::support::idp::{Dialect, Idp};
use crate::support::running::Running;
use crate::support::sandbox::{Sandbox, write_private};

/// Longest wait for anything that happens at once.
pub const LIMIT: Duration = Duration::from_secs(20);

pub struct Demo {
    pub idp: Idp,
    pub sandbox: Sandbox,
}

impl Demo {
    pub fn new() -> Self {
        Demo::with(Dialect::oidc(), |_| json!({}))
    }

    /// `changes` replace keys of the row; `null` removes one.
    pub fn with(dialect: Dialect, changes: impl FnOnce(&Idp) -> Value) -> Self {
        let idp = Idp::start(dialect);
        let mut row = json!({
            "ways": ["browser"],
            "client_id": "demo-client",
            "authorize_url": idp.url("/authorize"),
            "token_url": idp.url("/token"),
            "userinfo_url": idp.url("/userinfo"),
            "scopes": ["openid", "email", "offline_access"],
        });
        if let Value::Object(changes) = changes(&idp) {
            changes.into_iter().for_each(|(key, value)| row[key] = value);
        }
        row.as_object_mut().expect("the row is an object").retain(|_, value| !value.is_null());
        let sandbox = Sandbox::new();
        sandbox.write_config(&json!({"providers": {"demo": row}}));
        Demo { idp, sandbox }
    }

    /// The row's redirect with these keys: host, path, ports.
    pub fn with_redirect(redirect: &Value) -> Self {
        Demo::with(Dialect::oidc(), |_| json!({"redirect": redirect}))
    }

    /// A built-in row, its origins swapped for those of an issuer that speaks its dialect.
    pub fn built_in(id: &str) -> Self {
        let sandbox = Sandbox::new();
        let rows = sandbox.cmd(&["provider", "list", "--json"]).run().ok().json();
        let found = rows["providers"].as_array().and_then(|all| all.iter().find(|r| r["id"] == id));
        let row = found.unwrap_or_else(|| panic!("no row {id} in {rows}"));
        let idp = Idp::start(Dialect::from_row(row, None));
        sandbox.write_config(&idp.overlay(&rows));
        Demo { idp, sandbox }
    }

    /// `keyfob login …`
    pub fn login(&self, arguments: &[&str]) -> Cmd {
        self.sandbox.cmd(&[&["login"], arguments].concat())
    }

    /// `keyfob login demo --no-browser …`, waiting.
    #[track_caller]
    pub fn wait(&self, arguments: &[&str]) -> Waiting {
        Waiting::start(self.login(&[&["demo", "--no-browser"], arguments].concat()))
    }

    /// `keyfob login demo --print-auth-url …`: the URL it prints.
    #[track_caller]
    pub fn print_url(&self, arguments: &[&str]) -> String {
        let output = self.login(&[&["demo", "--print-auth-url"], arguments].concat()).run();
        output.ok().line().to_string()
    }

    /// `keyfob login --callback-url TEXT`
    #[track_caller]
    pub fn finish(&self, callback: &str) -> Output {
        self.login(&["--callback-url", callback]).run()
    }

    /// Approves as this person from now on.
    pub fn next_person(&self, email: &str, subject: &str) {
        self.idp.set_identity(email, subject);
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

    /// Changes keys of the only pending login's file.
    pub fn edit_pending(&self, changes: &Value) {
        let files = self.pending_files();
        assert_eq!(files.len(), 1, "one pending login: {files:?}");
        let mut pending = self.sandbox.read_json(&files[0]);
        for (key, value) in changes.as_object().into_iter().flatten() {
            pending[key] = value.clone();
        }
        write_private(&files[0], &pending.to_string());
    }
}

/// A login that shows its URL and waits.
pub struct Waiting {
    pub process: Running,
    pub url: String,
}

impl Waiting {
    #[track_caller]
    pub fn start(command: Cmd) -> Self {
        let process = command.spawn();
        let url = process.auth_url();
        Waiting { process, url }
    }

    /// The port of the redirect URI.
    #[track_caller]
    pub fn port(&self) -> u16 {
        port_of(&self.url)
    }

    /// `127.0.0.1:PORT`
    pub fn authority(&self) -> String {
        format!("127.0.0.1:{}", self.port())
    }

    /// Where the issuer sends the browser; not visited.
    #[track_caller]
    pub fn approve(&self) -> Redirect {
        browser::approve(&self.url)
    }

    /// Approves and brings the callback to the port.
    #[track_caller]
    pub fn sign_in(self) -> Output {
        let page = browser::follow(&self.url);
        assert_eq!(page.status, 200, "{page:#?}");
        self.process.wait(LIMIT)
    }

    /// Types one text at the terminal, a line end after it.
    pub fn paste(&mut self, text: &str) {
        self.process.write_stdin(format!("{text}\n"));
    }
}

/// A parameter of a sign-in URL, decoded.
pub fn param(url: &str, name: &str) -> Option<String> {
    params(url.split_once('?')?.1).ok()?.get(name).map(str::to_string)
}

#[track_caller]
pub fn port_of(url: &str) -> u16 {
    let uri = param(url, "redirect_uri").unwrap_or_default();
    loopback_parts(&uri).unwrap_or_else(|| panic!("no loopback redirect in {url}")).1
}

/// A redirect whose state is another login's.
pub fn with_state(callback: &Redirect, state: &str) -> String {
    callback.location.replace(&callback.state(), state)
}

/// Waits for what another process is about to do.
#[track_caller]
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < deadline, "it never came: {what}");
        std::thread::sleep(Duration::from_millis(3));
    }
}

/// A port that is free on both loopback addresses. It lies below the range the system hands out,
/// so that no other test gets it meanwhile.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = (std::process::id() % 300) as u16 * 50;
    loop {
        let port = 15_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 17_000;
        let v4 = TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        if v4.is_ok() && (TcpListener::bind((Ipv6Addr::LOCALHOST, port)).is_ok() || !has_ipv6()) {
            return port;
        }
    }
}

pub fn has_ipv6() -> bool {
    TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

/// The URL of a loopback address other than the one the issuer redirects to.
pub fn at_host(location: &str, host: &str) -> String {
    let (_, after) = location.split_once("://").expect("a URL");
    let (_, port_and_rest) = after.rsplit_once("]:").or(after.split_once(':')).expect("a port");
    format!("http://{host}:{port_and_rest}")
}

/// The keys of a JSON object in the order they stand there.
pub fn keys(text: &str) -> Vec<String> {
    struct Keys(Vec<String>);
    impl<'de> serde::Deserialize<'de> for Keys {
        fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            from.deserialize_map(Keys(Vec::new()))
        }
    }
    impl<'de> serde::de::Visitor<'de> for Keys {
        type Value = Keys;
        fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: serde::de::MapAccess<'de>>(mut self, mut map: A) -> Result<Keys, A::Error> {
            while let Some((key, _)) = map.next_entry::<String, serde::de::IgnoredAny>()? {
                self.0.push(key);
            }
            Ok(self)
        }
    }
    serde_json::from_str::<Keys>(text).unwrap_or_else(|e| panic!("{e}: {text}")).0
}
