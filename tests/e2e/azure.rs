//! Azure OpenAI: an endpoint, a deployment, and the chain of identities that Entra ID takes, each link
//! alone and in its order. Nothing here asks the metadata service of the machine the tests run on:
//! every command is told of another one.

mod address;
mod chain;
mod links;
mod login;
mod renewed;
mod tools;

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::support::command::{Cmd, Output};
use crate::support::entra::{APPLICATION, ASSERTION, CLIENT_SECRET, Entra, HEADER, TENANT};
use crate::support::sandbox::{Sandbox, make_private_dir, write_private};
use crate::support::tls::DeadPort;

const ENDPOINT: &str = "https://contoso.openai.azure.com";
const ACCOUNT: &str = "contoso.openai.azure.com";
const LOGIN: &str =
    "login azure --url https://contoso.openai.azure.com --deployment gpt-4o --no-input";

/// The services, a home, and a place for the tools of Azure that is on PATH.
struct Azure {
    entra: Entra,
    sandbox: Sandbox,
    /// Where the metadata service is, while nobody says otherwise.
    dead: DeadPort,
}

impl Azure {
    fn new() -> Self {
        let azure = Azure { entra: Entra::start(), sandbox: Sandbox::new(), dead: DeadPort::new() };
        make_private_dir(&azure.bin());
        azure
    }

    fn bin(&self) -> PathBuf {
        self.sandbox.work().join("bin")
    }

    fn cmd(&self, words: &str) -> Cmd {
        let nowhere = format!("http://{}", self.dead.address());
        let path = format!("{}:/usr/bin:/bin", self.bin().display());
        let cmd = self.sandbox.cmd(&words.split_whitespace().collect::<Vec<_>>());
        let cmd = cmd.env("AZURE_POD_IDENTITY_AUTHORITY_HOST", &nowhere).env("PATH", &path);
        cmd.env("KEYFOB_LOG", "trace").env("SHELL", "/bin/sh")
    }

    /// With the secret of an application.
    fn environment(&self, cmd: Cmd) -> Cmd {
        self.application(cmd).env("AZURE_CLIENT_SECRET", CLIENT_SECRET)
    }

    /// With the token of a cluster.
    fn workload(&self, cmd: Cmd) -> Cmd {
        let file = self.sandbox.work().join("federated");
        write_private(&file, &format!("{ASSERTION}\n"));
        self.application(cmd).env("AZURE_FEDERATED_TOKEN_FILE", &file.display().to_string())
    }

    fn application(&self, cmd: Cmd) -> Cmd {
        let cmd = cmd.env("AZURE_TENANT_ID", TENANT).env("AZURE_CLIENT_ID", APPLICATION);
        cmd.env("AZURE_AUTHORITY_HOST", &self.entra.origin())
    }

    /// On a virtual machine.
    fn machine(&self, cmd: Cmd) -> Cmd {
        cmd.env("AZURE_POD_IDENTITY_AUTHORITY_HOST", &self.entra.origin())
    }

    /// In App Service.
    fn app_service(&self, cmd: Cmd) -> Cmd {
        cmd.env("IDENTITY_ENDPOINT", &self.entra.app_service()).env("IDENTITY_HEADER", HEADER)
    }

    /// Puts a tool on PATH; it notes its arguments and input, and then runs these lines of sh.
    fn tool(&self, name: &str, lines: &str) {
        let log = self.called_file(name).display().to_string();
        let script = format!("#!/bin/sh\necho \"$@\" >> {log}\ncat >> {log}\n{lines}\n");
        let path = self.bin().join(name);
        // A child writes it: a file that this process had open could not be run while another test
        // starts a child of its own.
        let mut writer = Command::new("sh")
            .args(["-c", "cat > \"$0\" && chmod 755 \"$0\""])
            .arg(&path)
            .stdin(Stdio::piped())
            .spawn()
            .expect("a shell");
        let mut stdin = writer.stdin.take().expect("its stdin is piped");
        stdin.write_all(script.as_bytes()).expect("the shell reads");
        drop(stdin);
        assert!(writer.wait().expect("the shell ends").success());
    }

    fn called_file(&self, name: &str) -> PathBuf {
        self.sandbox.work().join(format!("{name}.called"))
    }

    /// The arguments of each call.
    fn called(&self, name: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.called_file(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Runs; no secret is in what was said to people, or went to a tool, or lies about.
    #[track_caller]
    fn run(&self, cmd: Cmd) -> Output {
        let output = cmd.run();
        let is_clean = |text: &str| {
            !["marker", "eyJ", "c2ln", &CLIENT_SECRET[6..]].iter().any(|part| text.contains(part))
        };
        output.check(is_clean(&output.stderr), "no secret on stderr");
        for name in ["az", "azd"] {
            assert!(self.called(name).iter().all(|line| is_clean(line)), "{:?}", self.called(name));
        }
        for file in self.sandbox.files(&self.sandbox.home()) {
            let is_account = file.starts_with(self.sandbox.home().join("accounts"));
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            let is_private = is_account && file.extension().is_some_and(|end| end == "json");
            assert!(is_private || is_clean(&text), "a secret in {}", file.display());
        }
        output
    }

    fn account(&self) -> Value {
        self.sandbox.read_account("azure", ACCOUNT)
    }

    /// Signed in; negative: the token ran out.
    fn signed_in(&self, ttl_s: i64) -> String {
        use crate::support::sandbox::in_seconds;
        let token = crate::support::entra::token(serde_json::json!({"oid": "old"}), 99, 60);
        let account = serde_json::json!({
            "version": 1, "provider": "azure", "account": ACCOUNT, "kind": "entra",
            "access_token": token, "token_type": "Bearer", "expires_at": in_seconds(ttl_s),
            "created_at": in_seconds(-86_400), "refreshed_at": in_seconds(ttl_s - 3600),
            "attributes": {"note": "mine"},
            "extra": {"instance": ENDPOINT, "deployment": "gpt-4o", "entra_link": "environment"},
        });
        self.sandbox.write_account("azure", ACCOUNT, &account);
        token
    }
}

/// A listener whose queue is full: who connects waits for ever, as at an address without a machine.
struct Clogged {
    address: String,
    _queue: (TcpListener, Vec<TcpStream>),
}

impl Clogged {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port of loopback is free");
        let address = listener.local_addr().expect("a bound listener has an address");
        let limit = Duration::from_millis(100);
        let mut queue = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, limit) {
            queue.push(stream);
            assert!(queue.len() < 10_000, "the queue has no end");
        }
        Clogged { address: format!("http://{address}"), _queue: (listener, queue) }
    }
}

/// What `az` prints, for a person.
fn az_prints(token: &str, expires_on: &str) -> String {
    format!(
        "echo '{{\"accessToken\": \"{token}\", \"expiresOn\": \"2030-01-01 00:00:00.000000\",{expires_on} \
         \"tenant\": \"{TENANT}\", \"tokenType\": \"Bearer\"}}'"
    )
}
