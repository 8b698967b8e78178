//! Providers of a person's own: added by flags, by discovery, by registration, or written into
//! config.json by hand; and what a hostile server may try on the way.

mod add;
mod hostile;
mod table;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::browser;
use crate::support::command::{Cmd, Output};
use crate::support::idp::{Dialect, Idp};
use crate::support::sandbox::{Sandbox, in_seconds, set_mode};

pub const LIMIT: Duration = Duration::from_secs(30);
const EMAIL: &str = "me@example.com";

/// An issuer, and a home that knows nothing of it yet. Its provider is called `mine`.
pub struct Desk {
    pub idp: Idp,
    pub sandbox: Sandbox,
}

impl Desk {
    pub fn new() -> Self {
        Self::with(|_| ())
    }

    pub fn with(change: impl FnOnce(&mut Dialect)) -> Self {
        let mut dialect = Dialect::oidc();
        change(&mut dialect);
        Desk { idp: Idp::start(dialect), sandbox: Sandbox::new() }
    }

    /// The provider is in config.json already.
    pub fn ready() -> Self {
        let desk = Self::new();
        desk.sandbox.write_config(&json!({"providers": {"mine": desk.plain_row()}}));
        desk
    }

    /// A whole row that leads to the issuer.
    pub fn plain_row(&self) -> Value {
        let url = |path: &str| self.idp.url(path);
        json!({
            "ways": ["browser"],
            "client_id": "demo-client",
            "issuer": self.idp.issuer(),
            "authorize_url": url("/authorize"),
            "token_url": url("/token"),
            "revoke_url": url("/revoke"),
            "userinfo_url": url("/userinfo"),
            "scopes": ["openid", "email", "offline_access"],
        })
    }

    /// Signed in without a login; negative: the token ran out.
    pub fn sit_down(&self, account: &str, ttl_s: i64) {
        self.sandbox.write_oauth("mine", account, &self.idp.grant(), ttl_s);
    }

    pub fn cmd(&self, words: &str) -> Cmd {
        self.sandbox.cmd(&words.split_whitespace().collect::<Vec<_>>())
    }

    /// `provider add mine --issuer …` and these flags.
    fn discover(&self, flags: &str) -> Cmd {
        self.cmd(&format!("provider add mine --issuer {} {flags}", self.idp.issuer()))
    }

    /// The same with every endpoint named, so that nobody is asked.
    fn explicit(&self, flags: &str) -> Cmd {
        let url = |path: &str| self.idp.url(path);
        self.cmd(&format!(
            "provider add mine --authorize-url {} --token-url {} --revoke-url {} \
             --userinfo-url {} --client-id demo-client {flags}",
            url("/authorize"),
            url("/token"),
            url("/revoke"),
            url("/userinfo"),
        ))
    }

    #[track_caller]
    fn row(&self) -> Value {
        self.cmd("provider show mine --json").run().ok().json()["provider"].clone()
    }

    #[track_caller]
    pub fn begin(&self) -> String {
        self.cmd("login mine --print-auth-url").run().ok().line().to_owned()
    }

    #[track_caller]
    pub fn sign_in(&self) -> Output {
        let callback = browser::approve(&self.begin());
        let output = self.cmd("login --callback-url -").stdin(callback.location).run();
        output.ok().stdout_is("");
        output
    }

    pub fn expire(&self) {
        let mut account = self.sandbox.read_account("mine", EMAIL);
        account["refreshed_at"] = json!(in_seconds(-3700));
        account["expires_at"] = json!(in_seconds(-100));
        self.sandbox.write_account("mine", EMAIL, &account);
    }

    /// Everything a provider is for: sign in, renew, sign out; and a content issuer.
    #[track_caller]
    fn works(&self) {
        self.sign_in().stderr_has(EMAIL).stderr_lacks("warning");
        self.expire();
        let token = self.cmd("token mine").run();
        assert!(self.idp.accepts_access(token.ok().stderr_lacks("warning").line()));
        self.cmd("status mine --check").run().ok().stderr_lacks("warning");
        let out = self.cmd("logout mine --json").run();
        assert_eq!(out.ok().json()["removed"][0]["revoked"], true, "{}", out.report());
        assert_eq!(self.idp.count("revoke"), 1);
        self.idp.assert_content();
    }

    /// Refused with this code, and as if nothing had been typed.
    #[track_caller]
    fn refuses(&self, cmd: Cmd, code: i32) -> Output {
        let opened = self.browser();
        let output = cmd.env("BROWSER", &opened.display().to_string()).run();
        output.code(code).stdout_is("").stderr_has("keyfob: ").stderr_lacks("panicked");
        output.check(!self.opened().exists(), "no opener was started");
        let left = self.sandbox.files(&self.sandbox.home());
        let left: Vec<_> = left.iter().filter(|path| !path.ends_with("config.lock")).collect();
        output.check(left.is_empty(), &format!("nothing written, found {left:?}"));
        output.check(output.stderr.len() < 2000, "a short message");
        let is_plain = |c: char| c == '\n' || !c.is_control();
        output.check(output.stderr.chars().all(is_plain), "no control characters on stderr");
        output
    }

    fn opened(&self) -> PathBuf {
        self.sandbox.work().join("opened")
    }

    /// What the opener was started with, when it has been.
    #[track_caller]
    fn wait_for_opener(&self) -> String {
        let deadline = Instant::now() + LIMIT;
        loop {
            match std::fs::read_to_string(self.opened()) {
                Ok(text) if text.ends_with('\n') => return text,
                _ if Instant::now() > deadline => panic!("no opener was started"),
                _ => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    /// A BROWSER that keeps what it was started with, one argument a line.
    fn browser(&self) -> PathBuf {
        let path = self.sandbox.work().join("browser");
        let script = format!("#!/bin/sh\nprintf '%s\\n' \"$@\" >> {}\n", self.opened().display());
        if !path.exists() {
            std::fs::write(&path, script).expect("a script in the work folder");
            set_mode(&path, 0o700);
        }
        path
    }
}
