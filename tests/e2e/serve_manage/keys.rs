//! Client keys, made and taken back while the gateway runs.

use serde_json::{Value, json};

use super::{delete, get, managed, post, prompt};
use crate::login::demo::eventually;
use crate::serve::kit::{Gateway, Setup, chat};
use crate::serve::upstream::Upstream;

fn names(gateway: &Gateway) -> Vec<String> {
    let keys = get(gateway, "keys");
    let keys = keys["keys"].as_array().expect("a list");
    keys.iter().map(|key| key["name"].as_str().unwrap_or_default().to_owned()).collect()
}

fn made(gateway: &Gateway, name: &str, providers: &[&str]) -> String {
    let made = post(gateway, "keys", &json!({"name": name, "providers": providers}), 201);
    assert_eq!(made["name"], name);
    made["key"].as_str().expect("a key").to_owned()
}

#[test]
fn a_key_is_good_as_soon_as_it_is_made_and_no_longer_than_it_is_there() {
    let upstream = Upstream::good();
    let gateway = managed(&upstream);
    let key = made(&gateway, "laptop", &[]);
    assert!(key.starts_with("kf-") && key.len() > 40, "{key}");
    prompt(&gateway, &key).is(200);
    assert_eq!(delete(&gateway, "keys/laptop", 200)["status"], "ok");
    prompt(&gateway, &key).is(401);
    gateway.is_well();
    assert_eq!(names(&gateway), ["default"]);
    delete(&gateway, "keys/laptop", 400);
}

#[test]
fn a_key_is_shown_once_and_counted() {
    let upstream = Upstream::good();
    let gateway = managed(&upstream);
    let key = made(&gateway, "me@laptop.1", &["fake/default"]);
    prompt(&gateway, &key).is(200);
    prompt(&gateway, &key).is(200);
    // It is counted once it is answered.
    eventually("two requests", || get(&gateway, "keys")["keys"][1]["requests"] == 2);
    let keys = get(&gateway, "keys");
    let shown = &keys["keys"][1];
    assert_eq!(
        (&shown["name"], &shown["providers"]),
        (&json!("me@laptop.1"), &json!(["fake/default"]))
    );
    assert!(shown["last_used_at"].as_str().is_some_and(|at| at.ends_with('Z')), "{shown}");
    assert!(shown["created_at"].as_str().is_some_and(|at| at.ends_with('Z')), "{shown}");
    let default = &keys["keys"][0];
    assert_eq!((&default["requests"], &default["last_used_at"]), (&json!(0), &Value::Null));
    let text = keys.to_string();
    assert!(!text.contains("kf-") && !text.contains("sha256"), "{text}");
    delete(&gateway, "keys/me%40laptop.1", 200);
}

#[test]
fn a_key_is_bound_to_the_accounts_it_names() {
    let (first, second) = (Upstream::named("first"), Upstream::named("second"));
    let setup = Setup::empty().provider("one", chat(&first)).account("one/a", "sk-1");
    let setup = setup.provider("two", chat(&second)).account("two/a", "sk-2");
    let gateway = setup.set("management_key", super::KEY).start();
    let key = made(&gateway, "bound", &["two"]);
    for _ in 0..4 {
        assert_eq!(prompt(&gateway, &key).is(200).json()["answer"], "second");
    }
    first.was_not_asked();
}

#[test]
fn keys_of_the_command_line_and_of_the_page_are_the_same() {
    let upstream = Upstream::good();
    let gateway = managed(&upstream);
    let by_hand = gateway.cmd("serve key add by-hand").run().ok().line().to_owned();
    eventually("it is let in", || prompt(&gateway, &by_hand).status() == 200);
    assert_eq!(names(&gateway), ["default", "by-hand"]);
    let by_page = made(&gateway, "by-page", &[]);
    gateway.cmd("serve key remove by-page").run().ok();
    eventually("it is shut out", || prompt(&gateway, &by_page).status() == 401);
    delete(&gateway, "keys/by-hand", 200);
    let listed = gateway.cmd("serve key list --json").run().ok().json();
    assert_eq!(listed["keys"].as_array().map(Vec::len), Some(1), "{listed}");
}

#[test]
fn what_makes_no_key_is_told_and_makes_none() {
    let upstream = Upstream::good();
    let gateway = managed(&upstream);
    for body in [
        json!({}),
        json!({"name": null}),
        json!({"name": ""}),
        json!({"name": 7}),
        json!({"name": ["a"]}),
        json!({"name": "a b"}),
        json!({"name": "a/b"}),
        json!({"name": "a\u{0}b"}),
        json!({"name": "ключ"}),
        json!({"name": "x".repeat(65)}),
        json!({"name": "default"}),
        json!({"name": "a", "providers": "claude"}),
        json!({"name": "a", "providers": [1]}),
        json!({"name": "a", "providers": {"claude": true}}),
        json!({"name": "a", "providers": ["Not A Provider"]}),
        json!({"name": "a", "providers": [""]}),
    ] {
        let wrong = post(&gateway, "keys", &body, 400);
        assert_eq!(wrong["error"]["code"], "usage", "{body}");
    }
    assert_eq!(names(&gateway), ["default"]);
    for name in ["", "%00", "..%2f..%2fconfig.json", "defaul", "DEFAULT", "default%20"] {
        let ask = super::asking(&gateway, "DELETE", &format!("keys/{name}"));
        assert!((400..500).contains(&gateway.ask(&ask).status()), "{name}");
    }
    assert_eq!(names(&gateway), ["default"]);
    gateway.is_well();
}

#[test]
fn ten_keys_made_at_once_are_all_there() {
    let upstream = Upstream::good();
    let gateway = managed(&upstream);
    let keys: Vec<_> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..10)
            .map(|at| {
                let gateway = &gateway;
                scope.spawn(move || made(gateway, &format!("k{at}"), &[]))
            })
            .collect();
        all.into_iter().map(|one| one.join().expect("no panic")).collect()
    });
    assert_eq!(names(&gateway).len(), 11);
    for key in &keys {
        prompt(&gateway, key).is(200);
    }
}
