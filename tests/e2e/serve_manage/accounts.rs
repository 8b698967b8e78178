//! Accounts as the page shows them: one word for each, and how long those that cool down still do.

use serde_json::{Value, json};

use super::{KEY, account, get, managed, post, prompt};
use crate::login::demo::eventually;
use crate::serve::kit::{Gateway, LIMIT, Setup, chat};
use crate::serve::upstream::Upstream;
use crate::support::idp::{Dialect, Idp};
use crate::support::sandbox::{Sandbox, oauth_account, write_private};

const SPENT: &str = "sk-of-the-one-that-has-no-quota-left";

/// Whoever comes with the spent key has to wait a minute.
fn upstream() -> Upstream {
    Upstream::start(|request, out| {
        if !request.header("authorization").is_some_and(|value| value.contains(SPENT)) {
            return out.json(200, &json!({"answer": "good"}));
        }
        let body = json!({"error": {"message": "slow down", "type": "rate_limit"}});
        let headers = "Retry-After: 60\r\nContent-Type: application/json\r\n";
        out.whole(429, headers, body.to_string().as_bytes())
    })
}

fn spent(upstream: &Upstream, name: &str) -> Gateway {
    let setup = Setup::empty().provider("fake", chat(upstream)).account(name, SPENT);
    setup.set("management_key", KEY).start()
}

/// A signed-in account whose file says more, or other things.
fn signed_in(sandbox: &Sandbox, idp: &Idp, name: &str, ttl_s: i64, more: &Value) {
    let mut value = oauth_account("people", name, &idp.grant(), ttl_s);
    for (key, more) in more.as_object().into_iter().flatten() {
        value[key] = more.clone();
    }
    sandbox.write_account("people", name, &value);
}

#[test]
fn every_account_has_one_word_for_its_state() {
    let (upstream, idp) = (upstream(), Idp::start(Dialect::oidc()));
    let setup =
        Setup::empty().provider("fake", chat(&upstream)).provider("people", chat(&upstream));
    let mut setup = setup.account("fake/spent", SPENT);
    setup = setup.account_with("fake/off", "sk-off", &json!({"disabled": "true"}));
    setup.config["providers"]["people"]["token_url"] = idp.url("/token").into();
    setup.config["providers"]["people"]["client_id"] = "demo-client".into();
    signed_in(&setup.sandbox, &idp, "ready@example.com", 3600, &json!({}));
    signed_in(&setup.sandbox, &idp, "renewable@example.com", 3600, &json!({}));
    signed_in(&setup.sandbox, &idp, "expired@example.com", -60, &json!({"refresh_token": null}));
    let refusal = json!({"code": "invalid_grant", "at": "2026-01-01T00:00:00Z"});
    signed_in(&setup.sandbox, &idp, "refused@example.com", -60, &json!({"refused": refusal}));
    let damaged = setup.sandbox.write_account("fake", "damaged", &json!({}));
    write_private(&damaged, "{\"version\": 1, \"provider\": \"fa");
    setup.sandbox.write_account(
        "gone-provider",
        "a",
        &json!({"version": 1, "kind": "api_key",
        "provider": "gone-provider", "account": "a", "access_token": "sk-gone",
        "created_at": "2026-01-01T00:00:00Z", "refreshed_at": "2026-01-01T00:00:00Z"}),
    );
    let gateway = setup.set("management_key", KEY).start();
    let only = post(&gateway, "keys", &json!({"name": "s", "providers": ["fake/spent"]}), 201);
    prompt(&gateway, only["key"].as_str().unwrap()).is(429);
    let all = get(&gateway, "accounts");
    let states: Vec<_> = all["accounts"].as_array().expect("a list").iter().collect();
    let word = |name: &str| {
        let found = states.iter().find(|one| one["account"] == name);
        let found = found.unwrap_or_else(|| panic!("no {name} in {all}"));
        (found["state"].as_str().unwrap_or_default(), found["why"].as_str().unwrap_or_default())
    };
    assert_eq!(word("ready@example.com"), ("ready", ""));
    assert_eq!(word("off"), ("disabled", ""));
    assert_eq!(word("spent"), ("cooling", ""));
    for (name, state) in [("expired@example.com", "expired"), ("refused@example.com", "refused")] {
        let (word, why) = word(name);
        assert_eq!(word, state);
        assert!(why.contains("keyfob login people/"), "{why}");
    }
    assert_eq!(word("damaged").0, "damaged");
    assert!(!word("damaged").1.is_empty());
    assert_eq!(word("a").0, "damaged", "{all}");
    let text = all.to_string();
    for secret in [SPENT, "sk-off", "sk-gone", "access_token", "refresh_token", "at_", "rt_"] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
}

#[test]
fn an_account_is_shown_with_what_is_known_of_it() {
    let (upstream, idp) = (Upstream::good().lists(&["a", "b", "c"]), Idp::start(Dialect::oidc()));
    let attributes = json!({"priority": "7", "prefix": "work", "note": "the \u{1b}[31mfast one"});
    let setup = Setup::with(&upstream).provider("people", chat(&upstream));
    let setup = setup.account_with("fake/second", "sk-2", &attributes);
    signed_in(&setup.sandbox, &idp, "me@example.com", 3600, &json!({}));
    let gateway = setup.set("management_key", KEY).start();
    let second = account(&gateway, "fake/second");
    assert_eq!((&second["priority"], &second["prefix"]), (&json!(7), &json!("work")), "{second}");
    let note = second["note"].as_str().unwrap_or_default();
    assert!(note.contains("fast one") && !note.contains('\u{1b}'), "{note:?}");
    assert_eq!((&second["kind"], &second["is_default"]), (&json!("api_key"), &json!(false)));
    assert_eq!((&second["expires_at"], &second["can_refresh"]), (&Value::Null, &json!(false)));
    assert_eq!(second["dialects"], json!(["openai_chat"]));
    assert_eq!((&second["requests"], &second["last_used_at"]), (&json!(0), &Value::Null));
    let first = account(&gateway, "fake/default");
    assert_eq!((&first["is_default"], &first["priority"]), (&json!(true), &json!(0)), "{first}");
    let me = account(&gateway, "people/me@example.com");
    assert_eq!((&me["kind"], &me["email"]), (&json!("oauth"), &json!("me@example.com")), "{me}");
    assert_eq!(me["can_refresh"], true);
    assert!(me["expires_at"].as_str().is_some_and(|at| at.ends_with('Z')), "{me}");
    eventually("the list of models is counted", || account(&gateway, "fake/second")["models"] == 3);
}

#[test]
fn a_cool_down_counts_down_and_a_reset_ends_it() {
    let upstream = upstream();
    let gateway = spent(&upstream, "fake/spent");
    gateway.ask(&gateway.prompt()).is(429);
    let seconds = || account(&gateway, "fake/spent")["cooling"][0]["seconds"].as_u64();
    let cooling = account(&gateway, "fake/spent")["cooling"][0].clone();
    assert!(cooling["seconds"].as_u64().is_some_and(|left| (55..=60).contains(&left)), "{cooling}");
    assert!(cooling["model"] == "m" || cooling["model"].is_null(), "{cooling}");
    assert!(cooling["reason"].as_str().is_some_and(|why| why.contains("429")), "{cooling}");
    assert!(cooling["until"].as_str().is_some_and(|at| at.ends_with('Z')), "{cooling}");
    let first = seconds();
    eventually("less is left", || seconds() < first);
    assert_eq!(account(&gateway, "fake/spent")["cooling"][0]["until"], cooling["until"]);
    // It is left alone meanwhile.
    gateway.ask(&gateway.prompt()).is(429);
    assert_eq!(upstream.prompts().len(), 1);
    assert_eq!(post(&gateway, "accounts/fake/spent/reset", &json!({}), 200)["status"], "ok");
    let now = account(&gateway, "fake/spent");
    assert_eq!((&now["state"], &now["cooling"]), (&json!("ready"), &json!([])), "{now}");
    gateway.ask(&gateway.prompt()).is(429);
    assert_eq!(upstream.prompts().len(), 2, "it is asked again");
}

#[test]
fn a_reset_is_remembered_by_the_next_gateway() {
    let upstream = upstream();
    let gateway = spent(&upstream, "fake/spent");
    gateway.ask(&gateway.prompt()).is(429);
    post(&gateway, "accounts/fake/spent/reset", &json!({}), 200);
    let Gateway { sandbox, running, .. } = gateway;
    running.kill("KILL");
    running.wait(LIMIT);
    let config = sandbox.read_config();
    let again = Setup { sandbox, config, environment: Vec::new() }.start();
    assert_eq!(account(&again, "fake/spent")["state"], "ready");
}

#[test]
fn a_reset_finds_the_account_whatever_is_in_its_name() {
    let upstream = upstream();
    for (name, escaped) in [
        ("fake/me+work@example.com", "fake/me%2Bwork%40example.com"),
        ("fake/me+work@example.com", "fake/me+work@example.com"),
        ("fake/the second", "fake/the%20second"),
        ("fake/größe", "fake/gr%C3%B6%C3%9Fe"),
        ("fake/100%", "fake/100%25"),
        ("fake/a?b#c", "fake/a%3Fb%23c"),
    ] {
        let gateway = spent(&upstream, name);
        gateway.ask(&gateway.prompt()).is(429);
        assert_eq!(account(&gateway, name)["state"], "cooling", "{name}");
        post(&gateway, &format!("accounts/{escaped}/reset"), &json!({}), 200);
        assert_eq!(account(&gateway, name)["state"], "ready", "{name}");
    }
    let gateway = managed(&upstream);
    for unknown in ["fake/nobody", "nobody/default", "fake/", "fake/..%2Fdefault", "fake/default/x"]
    {
        post(&gateway, &format!("accounts/{unknown}/reset"), &json!({}), 404);
    }
}

#[test]
fn accounts_that_come_and_go_are_seen_within_a_moment() {
    let upstream = Upstream::good();
    let gateway = managed(&upstream);
    let names = || {
        let all = get(&gateway, "accounts")["accounts"].clone();
        let all: Vec<_> = all.as_array().into_iter().flatten().cloned().collect();
        all.iter().map(|one| one["account"].as_str().unwrap_or_default().to_owned()).collect()
    };
    let is = |wanted: &[&str]| {
        let names: Vec<String> = names();
        names == wanted
    };
    assert!(is(&["default"]));
    let login =
        gateway.cmd("login fake/new --api-key-stdin --no-verify").stdin("sk-new-0123456789-abcdef");
    login.run().ok();
    eventually("a new account", || is(&["default", "new"]));
    gateway.cmd("account set fake/new disabled=true").run().ok();
    eventually("it is off", || account(&gateway, "fake/new")["state"] == "disabled");
    gateway.cmd("logout fake/new").run().ok();
    eventually("it is gone", || is(&["default"]));
}
