//! `/manage`: the page, and the same as JSON. Who gets in (`door`), the page itself (`page`), accounts and
//! counters, client keys, signing in, the key's way through `config` (`settings`), and those who mean harm
//! (`hostile`). The page is driven in a browser by scripts/interop/manage.sh.

mod accounts;
mod counters;
mod door;
mod hostile;
mod keys;
mod logins;
mod page;
mod settings;

use serde_json::{Value, json};

use crate::login::demo::Demo;
use crate::serve::client::Answer;
use crate::serve::kit::{Ask, Gateway, Setup};
use crate::serve::upstream::Upstream;
use crate::support::idp::{Dialect, Idp};

/// Nobody's key but of these tests, so that any trace of it is found.
const KEY: &str = "management-0123456789-abcdef";

/// A gateway with a management key, before one account.
fn managed(upstream: &Upstream) -> Gateway {
    Setup::with(upstream).set("management_key", KEY).start()
}

/// The same, and a provider `demo` that people sign in to, by a browser or a code. Nobody has.
fn with_issuer(upstream: &Upstream) -> (Idp, Gateway) {
    let api = json!({"base": format!("{}/v1", upstream.origin()), "dialect": "openai_chat"});
    let demo = Demo::with(
        Dialect::oidc(),
        |idp| json!({"ways": ["browser", "device"], "device_url": idp.url("/device"), "api": api}),
    );
    (demo.idp, of_home(demo.sandbox))
}

fn of_home(sandbox: crate::support::sandbox::Sandbox) -> Gateway {
    let config = sandbox.read_config();
    let setup = Setup { sandbox, config, environment: Vec::new() };
    setup.set("management_key", KEY).env("KEYFOB_LOG", "trace").start()
}

fn bearer(key: &str) -> String {
    format!("Bearer {key}")
}

/// A question to the API, with the key.
fn asking(gateway: &Gateway, method: &str, path: &str) -> Ask {
    gateway.bare(method, &format!("/manage/api/{path}")).with("Authorization", &bearer(KEY))
}

fn sending(gateway: &Gateway, path: &str, body: impl AsRef<[u8]>) -> Ask {
    gateway.post(&format!("/manage/api/{path}"), body).but("Authorization", &bearer(KEY))
}

/// What the API says, which has to be JSON that is kept nowhere and holds no management key.
#[track_caller]
fn told(gateway: &Gateway, ask: &Ask, status: u16) -> Value {
    let answer = gateway.ask(ask);
    answer.is(status);
    assert_eq!(answer.header("content-type"), Some("application/json"), "{}", answer.text());
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert!(!answer.text().contains(KEY), "{}", answer.text());
    let body = answer.json();
    assert_eq!(body["version"], 1, "{body}");
    assert_eq!(status >= 400, body["error"]["message"].is_string(), "{body}");
    body
}

#[track_caller]
fn get(gateway: &Gateway, path: &str) -> Value {
    told(gateway, &asking(gateway, "GET", path), 200)
}

#[track_caller]
fn delete(gateway: &Gateway, path: &str, status: u16) -> Value {
    told(gateway, &asking(gateway, "DELETE", path), status)
}

#[track_caller]
fn post(gateway: &Gateway, path: &str, body: &Value, status: u16) -> Value {
    told(gateway, &sending(gateway, path, body.to_string()), status)
}

/// The account of this name, as the API shows it.
#[track_caller]
fn account(gateway: &Gateway, name: &str) -> Value {
    let all = get(gateway, "accounts");
    let is_it = |one: &&Value| {
        name.split_once('/').is_some_and(|(p, a)| one["provider"] == p && one["account"] == a)
    };
    let found = all["accounts"].as_array().and_then(|all| all.iter().find(is_it));
    found.unwrap_or_else(|| panic!("no {name} in {all}")).clone()
}

/// A prompt with this client key.
fn prompt(gateway: &Gateway, key: &str) -> Answer {
    gateway.ask(&gateway.prompt().but("Authorization", &bearer(key)))
}
