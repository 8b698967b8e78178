//! Signing in to MCP servers: by `mcp-proxy` of itself, and by `login URL` and its kin (facts: mcp.md,
//! the checklist's rows 27 to 48).

mod clients;
mod found;
mod headless;
mod public;
mod renewal;
mod safety;
mod scope;
mod together;
mod url;
mod wire;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::browser::{self, Page};
use crate::support::command::{Cmd, Output};
use crate::support::idp::encoding::params;
use crate::support::idp::{Dialect, Idp};
use crate::support::mcp_resource::McpResource;
use crate::support::running::Running;
use crate::support::sandbox::{Sandbox, set_mode, write_private};

pub const LIMIT: Duration = Duration::from_secs(20);

/// A server, its issuer, and a home that knows neither.
pub struct Desk {
    pub idp: Arc<Idp>,
    pub resource: McpResource,
    pub sandbox: Sandbox,
}

impl Desk {
    pub fn new() -> Self {
        Desk::with(|_| ())
    }

    pub fn with(change: impl FnOnce(&mut Dialect)) -> Self {
        let mut dialect = Dialect::oidc();
        change(&mut dialect);
        let idp = Arc::new(Idp::start(dialect));
        // Or every scope would come with `offline_access`.
        idp.patch_metadata(json!({"scopes_supported": null}));
        let resource = McpResource::start(&idp);
        let sandbox = Sandbox::new();
        let browser = sandbox.work().join("browser");
        let log = sandbox.work().join("opened");
        let script = format!("#!/bin/sh\nprintf '%s %s\\n' $# \"$1\" >> {}\n", log.display());
        write_private(&browser, &script);
        set_mode(&browser, 0o700);
        Desk { idp, resource, sandbox }
    }

    pub fn cmd(&self, arguments: &[&str]) -> Cmd {
        self.sandbox.cmd(arguments).env("BROWSER", "")
    }

    pub fn login(&self, flags: &[&str]) -> Cmd {
        let url = self.resource.url();
        self.cmd(&[&["login", &url], flags].concat())
    }

    /// The proxy of this server; it can open a browser.
    pub fn proxy(&self, flags: &[&str]) -> Proxy {
        let browser = self.sandbox.work().join("browser").display().to_string();
        Proxy(self.proxy_cmd(flags).env("BROWSER", &browser).spawn())
    }

    pub fn headless(&self, flags: &[&str]) -> Proxy {
        Proxy(self.proxy_cmd(flags).spawn())
    }

    pub fn proxy_cmd(&self, flags: &[&str]) -> Cmd {
        let url = self.resource.url();
        let wait: &[&str] = match flags.contains(&"--auth-timeout") {
            true => &[],
            false => &["--auth-timeout", "15"],
        };
        self.cmd(&[&["mcp-proxy", &url], wait, flags].concat())
    }

    /// Signs in by `login`, in two steps.
    #[track_caller]
    pub fn sign_in(&self, flags: &[&str]) -> Output {
        let begun = self.login(&[&["--print-auth-url"], flags].concat()).run();
        let back = browser::approve(begun.ok().line());
        let output = self.cmd(&["login", "--callback-url", &back.location]).run();
        output.ok();
        output
    }

    /// What a browser was sent to, each time with the number of arguments.
    pub fn opened(&self) -> Vec<String> {
        let log = self.sandbox.work().join("opened");
        let text = std::fs::read_to_string(log).unwrap_or_default();
        text.lines().map(str::to_string).collect()
    }

    /// `provider list`'s id of the server.
    #[track_caller]
    pub fn id(&self) -> String {
        let name = self.server_file().file_stem().expect("a name").to_string_lossy().into_owned();
        name.replace("%2E", ".")
    }

    #[track_caller]
    pub fn server_file(&self) -> PathBuf {
        let mut files = self.sandbox.files(&self.sandbox.home().join("servers"));
        files.retain(|file| file.extension().is_some_and(|end| end == "json"));
        assert_eq!(files.len(), 1, "{}", self.sandbox.listing());
        files.remove(0)
    }

    #[track_caller]
    pub fn server(&self) -> Value {
        self.sandbox.read_json(&self.server_file())
    }

    #[track_caller]
    pub fn account(&self) -> Value {
        self.sandbox.read_account(&self.id(), "default")
    }

    pub fn has_account(&self) -> bool {
        !self.sandbox.files(&self.sandbox.home().join("accounts")).is_empty()
    }

    /// Makes the stored access token look expired; the issuer no longer takes it either.
    pub fn expire(&self) {
        self.idp.expire_access_tokens();
        let mut account = self.account();
        account["expires_at"] = json!(crate::support::sandbox::in_seconds(-5));
        self.sandbox.write_account(&self.id(), "default", &account);
    }

    /// Parameters of the last authorization URL that somebody opened.
    pub fn authorized(&self, name: &str) -> Option<String> {
        let asked = self.idp.requests_to("authorize");
        params(&asked.last()?.query).ok()?.get(name).map(str::to_string)
    }
}

/// A proxy, from its client's side.
pub struct Proxy(pub Running);

impl Proxy {
    pub fn send(&mut self, id: &str, method: &str) {
        let version = json!({"protocolVersion": "2025-11-25", "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"}});
        let message = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": version});
        self.0.write_stdin(format!("{message}\n"));
    }

    #[track_caller]
    pub fn answer(&self, id: &str) -> Value {
        let line = self.0.stdout_line_containing(&format!("\"id\":\"{id}\""), LIMIT);
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"))
    }

    #[track_caller]
    pub fn ask(&mut self, id: &str, method: &str) -> Value {
        self.send(id, method);
        self.answer(id)
    }

    /// The result of a request.
    #[track_caller]
    pub fn result(&mut self, id: &str, method: &str) -> Value {
        let answer = self.ask(id, method);
        assert!(answer["result"].is_object(), "{answer}\n{}", self.0.stderr());
        answer["result"].clone()
    }

    /// The error of a request: its code, and all of it.
    #[track_caller]
    pub fn error(&mut self, id: &str, method: &str) -> (i64, Value) {
        let answer = self.ask(id, method);
        let code = answer["error"]["code"].as_i64();
        (code.unwrap_or_else(|| panic!("{answer}\n{}", self.0.stderr())), answer["error"].clone())
    }

    /// `initialize`, and the person who signs in meanwhile.
    #[track_caller]
    pub fn sign_in(&mut self) -> Page {
        self.send("first", "initialize");
        let page = browser::follow(&self.0.auth_url());
        let answer = self.answer("first");
        assert!(answer["result"].is_object(), "{answer}\n{}", self.0.stderr());
        page
    }

    /// EOF on stdin, and what was said until then.
    #[track_caller]
    pub fn end(mut self) -> Output {
        self.0.close_stdin();
        let output = self.0.wait(Duration::from_secs(5));
        output.ok();
        for line in output.stdout.lines() {
            let message: Value = serde_json::from_str(line).unwrap_or_default();
            output.check(message["jsonrpc"] == "2.0", "JSON-RPC only on stdout");
        }
        output
    }
}
