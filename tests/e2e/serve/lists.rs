//! Which models there are: in the way of each API's clients, for each key, by every name.

use std::time::Instant;

use serde_json::{Value, json};

use super::kit::{Gateway, LIMIT, SECRET, Setup, chat};
use super::upstream::Upstream;

/// Two providers that speak different things, and accounts of both.
fn setup(one: &Upstream, two: &Upstream) -> Setup {
    let mut setup = Setup::empty().provider("one", chat(one));
    setup.config["providers"]["two"] = json!({"ways": ["api_key"], "models": "/models",
        "api": {"base": two.origin(), "dialect": "anthropic_messages"}});
    let setup = setup.account_with("one/a", SECRET, &json!({"prefix": "work"}));
    setup.account("one/b", SECRET).account("two/a", SECRET)
}

fn ids(list: &Value) -> Vec<&str> {
    let data = list["data"].as_array().expect("a list");
    data.iter().map(|model| model["id"].as_str().expect("an id")).collect()
}

#[test]
fn the_list_is_the_union_and_there_from_the_first_moment() {
    let (one, two) = (Upstream::good().lists(&["z", "a"]), Upstream::good().lists(&["claude-x"]));
    let gateway = setup(&one, &two).set("aliases", json!({"fast": "one/a", "lost": "x/y"})).start();
    let answer = gateway.ask(&gateway.get("/v1/models"));
    let list = answer.is(200).json();
    assert_eq!(list["object"], "list");
    assert_eq!(ids(&list), ["a", "claude-x", "fast", "work/a", "work/z", "z"]);
    assert_eq!(
        list["data"][0],
        json!({"id": "a", "object": "model", "created": 0,
        "owned_by": "one"})
    );
    assert_eq!(list["data"][1]["owned_by"], "two");
    // Asked for once, whoever asks how often.
    for _ in 0..5 {
        gateway.ask(&gateway.get("/v1/models")).is(200);
    }
    assert_eq!(one.list_count() + two.list_count(), 3);
    one.was_not_asked();
}

#[test]
fn each_api_has_its_own_list() {
    let (one, two) = (Upstream::good().lists(&["a"]), Upstream::good().lists(&["claude-x", "b"]));
    let gateway = setup(&one, &two).start();
    let anthropic = gateway.get("/v1/models?limit=1000").with("anthropic-version", "2023-06-01");
    let list = gateway.ask(&anthropic).is(200).json();
    assert_eq!(ids(&list), ["b", "claude-x"]);
    assert_eq!((&list["has_more"], &list["last_id"]), (&json!(false), &json!("claude-x")));
    assert_eq!(list["data"][1]["type"], "model");
    assert!(list["data"][1]["display_name"].is_string(), "{list}");
    assert!(list["data"][1]["created_at"].as_str().is_some_and(|at| at.ends_with('Z')));
    // Nobody speaks Google's here.
    let google = gateway.ask(&gateway.get("/v1beta/models"));
    assert_eq!(google.is(200).json(), json!({"models": []}));
    // Without a list of its own the row's model is what is known.
    let silent = Upstream::good();
    let row = json!({"base": format!("{}/v1beta", silent.origin()), "key_header": "x-goog-api-key",
        "dialect": "gemini_generate_content"});
    let mut setup = Setup::empty().provider("gem", row).account("gem/a", SECRET);
    setup.config["providers"]["gem"]["model"] = json!("gemini-9");
    let gateway = setup.start();
    let list = gateway.ask(&gateway.get("/v1beta/models?pageSize=50")).is(200).json();
    let names: Vec<_> = list["models"].as_array().expect("a list").iter().collect();
    assert!(names.iter().any(|model| model["name"] == "models/gemini-9"), "{list}");
    let methods = &names[0]["supportedGenerationMethods"];
    assert!(methods.as_array().is_some_and(|all| all.contains(&json!("generateContent"))));
    let single = gateway.ask(&gateway.get("/v1beta/models/gemini-9"));
    assert_eq!(single.is(200).json()["name"], "models/gemini-9");
    gateway.ask(&gateway.get("/v1beta/models/nothing")).is(404).words("/v1beta/models/nothing");
}

#[test]
fn a_single_model_is_found_by_any_of_its_names() {
    let (one, two) = (Upstream::good().lists(&["a", "org/m"]), Upstream::good().lists(&["c"]));
    let gateway = setup(&one, &two).set("aliases", json!({"fast": "one/a"})).start();
    for id in ["a", "c", "fast", "org/m", "work/a", "work/org/m", "org%2Fm"] {
        let model = gateway.ask(&gateway.get(&format!("/v1/models/{id}"))).is(200).json();
        assert_eq!(model["id"], id.replace("%2F", "/"));
        assert_eq!(model["object"], "model");
    }
    let anthropic = gateway.get("/v1/models/c").with("anthropic-version", "2023-06-01");
    assert_eq!(gateway.ask(&anthropic).is(200).json()["type"], "model");
    for path in ["/v1/models/nothing", "/v1/models/work/c"] {
        let words = gateway.ask(&gateway.get(path)).is(404).words(path);
        assert!(words.contains("no account has a model"), "{words}");
    }
}

#[test]
fn a_key_sees_what_it_is_good_for() {
    let (one, two) = (Upstream::good().lists(&["a"]), Upstream::good().lists(&["c"]));
    let gateway = setup(&one, &two).set("aliases", json!({"f": "one/a", "g": "two/c"})).start();
    let seen_with = |gateway: &Gateway, words: &str| {
        let key = gateway.cmd(&format!("serve key add {words}")).run().ok().line().to_owned();
        let ask = gateway.get("/v1/models").but("Authorization", &format!("Bearer {key}"));
        let begin = Instant::now();
        loop {
            let answer = gateway.ask(&ask);
            if answer.status() == 200 {
                return ids(&answer.json()).join(" ");
            }
            assert!(begin.elapsed() < LIMIT, "its key is not known");
        }
    };
    assert_eq!(seen_with(&gateway, "k1 --provider one"), "a f work/a");
    assert_eq!(seen_with(&gateway, "k2 --provider one/b"), "a f");
    assert_eq!(seen_with(&gateway, "k3 --provider two"), "c g");
    assert_eq!(seen_with(&gateway, "k4 --provider two/x"), "");
    assert_eq!(seen_with(&gateway, "k5"), "a c f g work/a");
}
