//! A gateway in a home of its own, and requests to it that say exactly what they are told to.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use super::client::{Answer, Client};
use super::upstream::Upstream;
use crate::support::command::{Cmd, Output};
use crate::support::running::Running;
use crate::support::sandbox::Sandbox;

pub const LIMIT: Duration = Duration::from_secs(20);
/// What the upstream of `Setup::with` takes.
pub const SECRET: &str = "sk-upstream-0123456789-abcdef";
/// What every test can ask for.
pub const PROMPT: &str = r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;

/// A home before its gateway is started.
pub struct Setup {
    pub sandbox: Sandbox,
    pub config: Value,
    pub environment: Vec<(String, String)>,
}

impl Setup {
    pub fn empty() -> Setup {
        let config = json!({"providers": {}, "serve": {}});
        Setup { sandbox: Sandbox::new(), config, environment: Vec::new() }
    }

    /// One account, `fake/default`, of an API that speaks Chat.
    pub fn with(upstream: &Upstream) -> Setup {
        let setup = Setup::empty().provider("fake", chat(upstream));
        setup.account("fake/default", SECRET)
    }

    pub fn provider(mut self, id: &str, api: Value) -> Setup {
        self.config["providers"][id] = json!({"ways": ["api_key"], "api": api});
        self
    }

    pub fn account(self, name: &str, secret: &str) -> Setup {
        self.account_with(name, secret, &json!({}))
    }

    pub fn account_with(self, name: &str, secret: &str, attributes: &Value) -> Setup {
        write_account(&self.sandbox, name, secret, attributes);
        self
    }

    /// A setting of the section `serve`.
    pub fn set(mut self, name: &str, value: impl Into<Value>) -> Setup {
        self.config["serve"][name] = value.into();
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Setup {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn start(self) -> Gateway {
        self.start_as(|cmd| cmd)
    }

    /// The same with something more of its process.
    pub fn start_as(self, dress: impl FnOnce(Cmd) -> Cmd) -> Gateway {
        self.sandbox.write_config(&self.config);
        let keys = self.sandbox.home().join("serve/keys.json");
        let is_first = !keys.exists();
        let mut cmd = self.sandbox.cmd(&["serve", "--listen", "127.0.0.1:0"]);
        for (name, value) in &self.environment {
            cmd = cmd.env(name, value);
        }
        let Setup { sandbox, config, .. } = self;
        let running = dress(cmd).spawn();
        let line = running.stderr_line_containing("listening on http://127.0.0.1:", LIMIT);
        let port = line.rsplit(':').next().and_then(|port| port.parse().ok());
        let port = port.unwrap_or_else(|| panic!("no port in {line:?}"));
        let key = match is_first {
            true => running.stderr_line_containing("a client key was made", LIMIT),
            false => String::new(),
        };
        let key = key.rsplit(' ').next().unwrap_or_default().to_owned();
        Gateway { sandbox, config, running, port, key }
    }
}

/// The `api` of a row that speaks Chat.
pub fn chat(upstream: &Upstream) -> Value {
    json!({"base": format!("{}/v1", upstream.origin()), "dialect": "openai_chat"})
}

pub fn write_account(sandbox: &Sandbox, name: &str, secret: &str, attributes: &Value) {
    let (provider, account) = name.split_once('/').expect("PROVIDER/ACCOUNT");
    let file = json!({"version": 1, "provider": provider, "account": account, "kind": "api_key",
        "access_token": secret, "created_at": "2026-01-01T00:00:00Z",
        "refreshed_at": "2026-01-01T00:00:00Z", "attributes": attributes});
    sandbox.write_account(provider, account, &file);
}

/// `keyfob serve`, until it is dropped.
pub struct Gateway {
    pub sandbox: Sandbox,
    pub running: Running,
    pub port: u16,
    /// The key of the first start.
    pub key: String,
    pub config: Value,
}

impl Gateway {
    /// The one upstream there is, and a gateway before it.
    pub fn before(upstream: &Upstream) -> Gateway {
        Setup::with(upstream).start()
    }

    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn connect(&self) -> Client {
        Client::to(&self.host())
    }

    pub fn cmd(&self, words: &str) -> Cmd {
        self.sandbox.cmd(&words.split_whitespace().collect::<Vec<_>>())
    }

    /// Changes a setting of the running gateway.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.config["serve"][name] = value.into();
        self.sandbox.write_config(&self.config);
    }

    /// With the key, and what every client says.
    pub fn get(&self, target: &str) -> Ask {
        self.bare("GET", target).with("Authorization", &format!("Bearer {}", self.key))
    }

    pub fn post(&self, target: &str, body: impl AsRef<[u8]>) -> Ask {
        let ask = self.bare("POST", target).with("Content-Type", "application/json");
        let ask = ask.with("Authorization", &format!("Bearer {}", self.key));
        Ask { body: body.as_ref().to_vec(), ..ask }
    }

    /// The prompt of `PROMPT` in Chat.
    pub fn prompt(&self) -> Ask {
        self.post("/v1/chat/completions", PROMPT)
    }

    /// Without a key.
    pub fn bare(&self, method: &str, target: &str) -> Ask {
        let headers = vec![("Host".to_owned(), self.host())];
        Ask { line: format!("{method} {target} HTTP/1.1"), headers, body: Vec::new() }
    }

    /// Asks on a connection of its own.
    #[track_caller]
    pub fn ask(&self, ask: &Ask) -> Answer {
        self.raw(&ask.bytes())
    }

    /// Says these bytes on a connection of their own, and hears the answer.
    #[track_caller]
    pub fn raw(&self, bytes: &[u8]) -> Answer {
        let mut client = self.connect();
        client.say(bytes);
        client.answer()
    }

    /// Everything is as it was: a prompt is answered.
    #[track_caller]
    pub fn is_well(&self) {
        self.ask(&self.prompt()).is(200);
    }

    /// Tells it to stop, and waits for its end.
    #[track_caller]
    pub fn stop(self) -> Output {
        self.running.kill("TERM");
        self.running.wait(LIMIT)
    }

    /// Whether somebody still listens at its port.
    pub fn is_listening(&self) -> bool {
        TcpStream::connect(("127.0.0.1", self.port)).is_ok()
    }
}

/// A request in the making.
#[derive(Clone)]
pub struct Ask {
    line: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Ask {
    pub fn with(mut self, name: &str, value: &str) -> Ask {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn without(mut self, name: &str) -> Ask {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self
    }

    /// Another value in place of the one there is.
    pub fn but(self, name: &str, value: &str) -> Ask {
        self.without(name).with(name, value)
    }

    pub fn version(mut self, version: &str) -> Ask {
        self.line = self.line.replace("HTTP/1.1", version);
        self
    }

    /// The body in chunks of so many bytes.
    pub fn in_chunks(mut self, size: usize) -> Ask {
        let mut wire = Vec::new();
        for chunk in self.body.chunks(size) {
            let _ = write!(wire, "{:x}\r\n", chunk.len());
            wire.extend_from_slice(chunk);
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(b"0\r\n\r\n");
        self.body = wire;
        self.with("Transfer-Encoding", "chunked")
    }

    pub fn head(&self) -> String {
        let mut head = format!("{}\r\n", self.line);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let says_length = |(name, _): &(String, String)| {
            ["content-length", "transfer-encoding"].contains(&&*name.to_ascii_lowercase())
        };
        if !self.headers.iter().any(says_length) && !self.body.is_empty() {
            head.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        head + "\r\n"
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.head().into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}
