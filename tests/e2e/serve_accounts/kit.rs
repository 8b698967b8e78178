//! A gateway over accounts of one fake API, and a client of it.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::browser::{self, Page};
use crate::support::idp::Grant;
use crate::support::many_api::ManyApi;
use crate::support::running::Running;
use crate::support::sandbox::{Sandbox, in_seconds, oauth_account};

pub const LIMIT: Duration = Duration::from_secs(20);
/// Files are seen within a second; what a machine under load adds is no fault of the product's.
pub const SOON: Duration = Duration::from_secs(5);

/// Providers with keys, by the dialect that they speak.
pub const CHAT: &str = "chat";
pub const MESSAGES: &str = "messages";
pub const RESPONSES: &str = "answers";
pub const GOOGLE: &str = "gem";
/// A provider with sign-ins, which speaks Chat Completions.
pub const SIGNED: &str = "signed";
/// Code Assist, with sign-ins.
pub const ASSIST: &str = "assist";
/// One with its project in the address.
pub const PLACED: &str = "placed";

pub struct Kit {
    pub home: Sandbox,
    pub api: ManyApi,
}

impl Kit {
    pub fn new() -> Kit {
        Kit::with(json!({}))
    }

    /// With this section `serve` in config.json.
    pub fn with(serve: Value) -> Kit {
        let kit = Kit { home: Sandbox::new(), api: ManyApi::start() };
        kit.configure(serve);
        kit
    }

    pub fn configure(&self, serve: Value) {
        self.home.write_config(&self.config(serve));
    }

    pub fn config(&self, serve: Value) -> Value {
        let at = |path: &str| format!("{}{path}", self.api.origin());
        let with_keys = |path: &str, dialect: &str| json!({"ways": ["api_key"], "api": {"base": at(path), "dialect": dialect}});
        let signed_in = |path: &str, dialect: &str| {
            json!({
                "ways": ["browser"],
                "client_id": "demo-client",
                "authorize_url": at("/authorize"),
                "token_url": at("/token"),
                "api": {"base": at(path), "dialect": dialect},
            })
        };
        json!({"serve": serve, "providers": {
            CHAT: with_keys("/v1", "openai_chat"),
            MESSAGES: with_keys("", "anthropic_messages"),
            RESPONSES: with_keys("/v1", "openai_responses"),
            GOOGLE: with_keys("/v1beta", "gemini_generate_content"),
            SIGNED: signed_in("/v1", "openai_chat"),
            ASSIST: signed_in("/v1internal", "code_assist"),
            PLACED: with_keys("/projects/{project}/v1", "openai_chat"),
        }})
    }

    /// Accounts of a provider with keys; the API knows them by the same names.
    pub fn keys(&self, provider: &str, names: &[&str]) {
        names.iter().for_each(|name| self.key_with(provider, name, json!({})));
    }

    /// One of them, with more in its file.
    pub fn key_with(&self, provider: &str, name: &str, more: Value) {
        let key = format!("key-{name}");
        self.api.knows(&key, name);
        self.key_is(provider, name, &key, more);
    }

    pub fn key_is(&self, provider: &str, name: &str, key: &str, more: Value) {
        let mut account = json!({
            "version": 1,
            "provider": provider,
            "account": name,
            "kind": "api_key",
            "access_token": key,
            "created_at": in_seconds(-60),
        });
        extend(&mut account, more);
        self.home.write_account(provider, name, &account);
    }

    /// A sign-in whose token has so many seconds left of its hour.
    pub fn signed_in(&self, name: &str, ttl_s: i64) -> Grant {
        self.signed_in_with(SIGNED, name, ttl_s, json!({}))
    }

    pub fn signed_in_with(&self, provider: &str, name: &str, ttl_s: i64, more: Value) -> Grant {
        let grant = self.api.grant(name);
        let mut account = oauth_account(provider, name, &grant, ttl_s);
        extend(&mut account, more);
        self.home.write_account(provider, name, &account);
        grant
    }

    pub fn stored(&self, name: &str) -> Value {
        self.home.read_account(SIGNED, name)
    }

    /// Starts the gateway, and waits until it answers.
    #[track_caller]
    pub fn serve(&self) -> Serving {
        self.serve_for(&[])
    }

    /// With a key that is good for these accounts alone.
    #[track_caller]
    pub fn serve_for(&self, accounts: &[&str]) -> Serving {
        let mut adding = self.home.cmd(&["serve", "key", "add", "test"]);
        for account in accounts {
            adding = adding.arg("--provider").arg(account);
        }
        let key = adding.run().ok().line().to_owned();
        self.serve_with(key)
    }

    /// With a key that an earlier one made.
    #[track_caller]
    pub fn serve_with(&self, key: String) -> Serving {
        let running = self.home.cmd(&["serve", "--listen", "127.0.0.1:0"]).spawn();
        let line = running.stderr_line_containing("listening on ", LIMIT);
        let url = line.trim_start_matches("listening on ").to_owned();
        Serving { running, url, key }
    }
}

fn extend(account: &mut Value, more: Value) {
    let (Value::Object(account), Value::Object(more)) = (account, more) else { return };
    account.extend(more);
}

pub struct Serving {
    pub running: Running,
    pub url: String,
    pub key: String,
}

/// A prompt before it is sent.
#[derive(Clone, Debug)]
pub struct Prompt {
    pub path: String,
    pub body: Value,
    pub headers: Vec<(String, String)>,
}

impl Prompt {
    /// The prompt in the dialect of a provider.
    pub fn to(provider: &str, model: &str) -> Prompt {
        let message = json!([{"role": "user", "content": "hi"}]);
        let (path, body) = match provider {
            MESSAGES => {
                let body = json!({"model": model, "max_tokens": 9, "messages": message});
                ("/v1/messages".to_owned(), body)
            }
            RESPONSES => ("/v1/responses".to_owned(), json!({"model": model, "input": "hi"})),
            GOOGLE | ASSIST => {
                let path = format!("/v1beta/models/{model}:generateContent");
                (path, json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}))
            }
            _ => {
                let body = json!({"model": model, "messages": message});
                ("/v1/chat/completions".to_owned(), body)
            }
        };
        Prompt { path, body, headers: Vec::new() }
    }

    pub fn with(mut self, name: &str, value: Value) -> Prompt {
        self.body[name] = value;
        self
    }

    pub fn header(mut self, name: &str, value: &str) -> Prompt {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn streamed(mut self) -> Prompt {
        if self.path.ends_with(":generateContent") {
            self.path = self.path.replace(":generateContent", ":streamGenerateContent");
            return self;
        }
        self.with("stream", json!(true))
    }
}

/// A prompt of Chat Completions for the model `m`.
pub fn chat() -> Prompt {
    Prompt::to(CHAT, "m")
}

impl Serving {
    /// The answer, whatever it is; the test fails when there is none.
    #[track_caller]
    pub fn ask(&self, prompt: &Prompt) -> Page {
        self.try_ask(prompt).unwrap_or_else(|e| panic!("{e}\n{}", self.running.stderr()))
    }

    pub fn try_ask(&self, prompt: &Prompt) -> io::Result<Page> {
        let key = format!("Bearer {}", self.key);
        let mut headers =
            vec![("Authorization", key.as_str()), ("Content-Type", "application/json")];
        headers.extend(prompt.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let url = format!("{}{}", self.url, prompt.path);
        browser::request("POST", &url, &headers, &prompt.body.to_string())
    }

    /// Asks, and says which account answered.
    #[track_caller]
    pub fn answered_by(&self, prompt: &Prompt) -> String {
        let page = self.ask(prompt);
        assert_eq!(page.status, 200, "{page:#?}\n{}", self.running.stderr());
        page.header("x-account").unwrap_or_else(|| panic!("who? {page:#?}")).to_owned()
    }

    /// Sends a prompt and leaves the answer where it is.
    #[track_caller]
    pub fn begin(&self, prompt: &Prompt) -> TcpStream {
        let (authority, _) = browser::split(&self.url);
        let mut stream = browser::connect(authority).expect("it listens");
        let body = prompt.body.to_string();
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: {authority}\r\nAuthorization: Bearer {}\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            prompt.path,
            self.key,
            body.len()
        );
        stream.write_all(head.as_bytes()).expect("it reads");
        stream
    }

    /// Asks until the answer is wanted.
    #[track_caller]
    pub fn ask_until(
        &self,
        what: &str,
        prompt: &Prompt,
        is_wanted: impl Fn(&Page) -> bool,
    ) -> Page {
        eventually(what, LIMIT, || Some(self.ask(prompt)).filter(&is_wanted))
    }
}

/// Waits until the lists of models came.
#[track_caller]
pub fn listed(serving: &Serving, model: &str) {
    eventually("the list of models", LIMIT, || {
        let key = format!("Bearer {}", serving.key);
        let url = format!("{}/v1/models", serving.url);
        let page = browser::request("GET", &url, &[("Authorization", &key)], "").ok()?;
        page.body.contains(&format!("\"{model}\"")).then_some(())
    });
}

/// The end of an answer that was begun.
pub fn rest(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What the error of an answer says, whatever its shape.
#[track_caller]
pub fn words(page: &Page) -> String {
    let body = page.json();
    body["error"]["message"].as_str().unwrap_or_else(|| panic!("no words: {page:#?}")).to_owned()
}

/// The seconds of `Retry-After`.
#[track_caller]
pub fn retry_after(page: &Page) -> u64 {
    let value = page.header("retry-after").and_then(|value| value.parse().ok());
    value.unwrap_or_else(|| panic!("no Retry-After: {page:#?}"))
}

/// Looks again and again until there is something.
#[track_caller]
pub fn eventually<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Whether two moments are so far apart, as servers see it that agree on milliseconds.
pub fn is_apart(first: Instant, second: Instant, ms: u64) -> bool {
    second.saturating_duration_since(first) + Duration::from_millis(20) >= Duration::from_millis(ms)
}
