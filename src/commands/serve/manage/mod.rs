//! `/manage`: the page, and the same as JSON. Off unless a management key is set.

mod accounts;
mod guard;
mod logins;

use std::sync::Arc;

use serde_json::{Value, json};

use crate::commands::serve::manage::guard::{Guard, Judged};
use crate::error::{Error, Result};
use crate::flows::gateway::settings::Settings;
use crate::flows::gateway::{Gateway, keys};
use crate::flows::random;
use crate::net::serve::Exchange;
use crate::protocol::form;
use crate::text;
use crate::time::Timestamp;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// No question of the page is longer.
const BODY_LIMIT_BYTES: u64 = 64 * 1024;

pub struct Manage {
    gateway: Arc<Gateway>,
    guard: Guard,
}

/// What the server is busy with, beside such questions.
#[derive(Clone, Copy)]
pub struct Load {
    pub connections: usize,
    pub in_flight: usize,
}

/// A status and a JSON body, or what is wrong.
type Answer = std::result::Result<(u16, Value), Wrong>;

struct Wrong {
    status: u16,
    body: Value,
    retry_after_s: Option<u64>,
}

impl Wrong {
    fn new(status: u16, code: &str, message: &str, next: Option<&str>) -> Wrong {
        let error = json!({"code": code, "message": message, "try": next});
        Wrong { status, body: json!({"version": 1, "error": error}), retry_after_s: None }
    }

    fn nothing_here() -> Wrong {
        Wrong::new(404, "not_found", "nothing is here", None)
    }
}

impl From<Error> for Wrong {
    fn from(error: Error) -> Wrong {
        let status = match error.exit_code() {
            3 => 503,
            5 => 500,
            6 => 404,
            _ => 400,
        };
        Wrong::new(status, error.code(), &error.to_string(), error.next())
    }
}

impl Manage {
    pub fn new(gateway: Arc<Gateway>) -> Manage {
        Manage { gateway, guard: Guard::default() }
    }

    pub fn is_for(path: &str) -> bool {
        path == "/manage" || path.starts_with("/manage/")
    }

    pub fn answer(&self, exchange: &mut Exchange, load: Load) {
        let settings = self.gateway.roster().settings.clone();
        let outcome = self.let_in(exchange, &settings).and_then(|is_page| {
            if is_page { Ok(None) } else { self.api(exchange, load).map(Some) }
        });
        match outcome {
            Ok(None) => page(exchange),
            Ok(Some((status, body))) => send(exchange, status, &body, None),
            Err(wrong) => send(exchange, wrong.status, &wrong.body, wrong.retry_after_s),
        }
    }

    /// Whether it is the page that is asked for, which anybody may see; all else needs the key.
    fn let_in(&self, exchange: &Exchange, settings: &Settings) -> std::result::Result<bool, Wrong> {
        let key = settings.management_key.as_ref().filter(|key| !key.is_empty());
        let Some(key) = key else { return Err(Wrong::nothing_here()) };
        if !exchange.peer.is_loopback() && !settings.management_remote {
            let what = "management is for this machine alone";
            let next = "keyfob config set serve.management_remote true";
            return Err(Wrong::new(403, "forbidden", what, Some(next)));
        }
        let head = &exchange.head;
        if head.path.trim_end_matches('/') == "/manage" {
            let is_get = head.method == "GET" || head.method == "HEAD";
            return if is_get { Ok(true) } else { Err(Wrong::nothing_here()) };
        }
        let presented =
            head.header("authorization").map(keys::bearer).filter(|key| !key.is_empty());
        let now_ms = Timestamp::now_ms();
        match self.guard.judge(exchange.peer, presented, key, now_ms) {
            Judged::Right => Ok(false),
            Judged::Missing => {
                let what = "the management key is needed, as a bearer token";
                Err(Wrong::new(401, "unauthorized", what, None))
            }
            Judged::Wrong => {
                let what = "this is not the management key";
                Err(Wrong::new(401, "unauthorized", what, Some("keyfob config path")))
            }
            Judged::LockedOut { seconds } => {
                let what = "five wrong keys in a row: this address has to wait";
                let wrong = Wrong::new(429, "locked_out", what, None);
                Err(Wrong { retry_after_s: Some(seconds), ..wrong })
            }
        }
    }

    fn api(&self, exchange: &mut Exchange, load: Load) -> Answer {
        let path = exchange.head.path.clone();
        let method = exchange.head.method.clone();
        let rest = path.strip_prefix("/manage/api/").unwrap_or_default();
        // In a path a plus is no blank: names are addresses of people, too.
        let parts = rest.split('/').map(|part| form::decode(&part.replace('+', "%2B")));
        let parts: Vec<String> = parts.collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let gateway = &self.gateway;
        match (method.as_str(), parts.as_slice()) {
            ("GET", ["accounts"]) => accounts::list(gateway),
            ("POST", ["accounts", provider, account, "reset"]) => {
                accounts::reset(provider, account, gateway)
            }
            ("GET", ["counters"]) => Ok((200, accounts::counters(gateway, load))),
            ("GET", ["keys"]) => accounts::keys(gateway),
            ("POST", ["keys"]) => accounts::add_key(&body(exchange)?, gateway),
            ("DELETE", ["keys", name]) => {
                keys::remove(name, &gateway.store)?;
                gateway.reload();
                Ok(ok())
            }
            ("GET", ["providers"]) => logins::providers(gateway),
            ("GET", ["logins"]) => logins::list(gateway),
            ("POST", ["logins"]) => logins::begin(&body(exchange)?),
            ("POST", ["logins", id]) => logins::go_on(id, &body(exchange)?, gateway),
            ("DELETE", ["logins", id]) => logins::cancel(id, gateway),
            _ => Err(Wrong::nothing_here()),
        }
    }
}

fn ok() -> (u16, Value) {
    (200, json!({"version": 1, "status": "ok"}))
}

/// The object that a request carries; an empty body is an empty one.
fn body(exchange: &mut Exchange) -> std::result::Result<Value, Wrong> {
    let bytes = exchange
        .body(BODY_LIMIT_BYTES)
        .map_err(|wrong| Wrong::new(wrong.status, "usage", wrong.why, None))?;
    if bytes.is_empty() {
        return Ok(json!({}));
    }
    let body: Option<Value> = serde_json::from_slice(&bytes).ok();
    let no_object = || Wrong::new(400, "usage", "the body has to be a JSON object", None);
    body.filter(Value::is_object).ok_or_else(no_object)
}

/// A text of the body; null and absent are the same.
fn word<'a>(body: &'a Value, name: &str) -> Result<Option<&'a str>> {
    match &body[name] {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        _ => Err(Error::usage(format!("{name} has to be a text"))),
    }
}

fn send(exchange: &Exchange, status: u16, body: &Value, retry_after_s: Option<u64>) {
    let wait = retry_after_s.map(|seconds| seconds.to_string());
    let mut headers = vec![
        ("Content-Type", "application/json"),
        // What it says may be a key, or be old in a moment.
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
    ];
    headers.extend(wait.as_deref().map(|wait| ("Retry-After", wait)));
    exchange.answer(status, &headers, body.to_string().as_bytes());
}

/// Nothing from outside is loaded, and nothing in it runs but its own script.
fn page(exchange: &Exchange) {
    let Ok(nonce) = random::bytes::<16>() else {
        return send(exchange, 500, &json!({"version": 1}), None);
    };
    let nonce = text::hex(&nonce);
    let html = PAGE.replace("{nonce}", &nonce).replace("{style}", STYLE);
    let html = html.replace("{script}", SCRIPT);
    let policy = format!(
        "default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; \
         connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    );
    let headers = [
        ("Content-Type", "text/html; charset=utf-8"),
        ("Content-Security-Policy", policy.as_str()),
        ("Cache-Control", "no-store"),
        ("Referrer-Policy", "no-referrer"),
        ("X-Content-Type-Options", "nosniff"),
        ("X-Frame-Options", "DENY"),
    ];
    exchange.answer(200, &headers, html.as_bytes());
}
