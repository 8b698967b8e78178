//! What a model is called, and whom that means: providers, prefixes, aliases, exclusions.

use std::time::Instant;

use serde_json::{Value, json};

use super::client::Answer;
use super::kit::{Gateway, LIMIT, SECRET, Setup, chat, write_account};
use super::upstream::Upstream;

fn ask(gateway: &Gateway, model: &str) -> Answer {
    let body = json!({"model": model, "messages": []});
    gateway.ask(&gateway.post("/v1/chat/completions", body.to_string()))
}

/// Who answered.
#[track_caller]
fn who(gateway: &Gateway, model: &str) -> Value {
    ask(gateway, model).is(200).json()["answer"].clone()
}

/// The model that the last prompt asked for.
fn last_model(upstream: &Upstream) -> Option<String> {
    upstream.prompts().last()?.param("model")
}

/// The lists of models are there.
#[track_caller]
fn knows(gateway: &Gateway, model: &str) {
    let begin = Instant::now();
    while gateway.ask(&gateway.get(&format!("/v1/models/{model}"))).status() != 200 {
        assert!(begin.elapsed() < LIMIT, "{model} is not listed");
    }
}

#[test]
fn a_name_means_a_model_a_provider_or_a_prefix() {
    let one = Upstream::named("one").lists(&["m", "only-one", "two/m"]);
    let two = Upstream::named("two").lists(&["m", "only-two"]);
    let setup = Setup::empty().provider("one", chat(&one)).provider("two", chat(&two));
    let setup = setup.account_with("one/default", SECRET, &json!({"prefix": "work"}));
    let setup = setup.account("two/default", SECRET);
    let gateway = setup.account_with("two/second", "sk-second", &json!({"prefix": "home"})).start();
    knows(&gateway, "only-one");
    knows(&gateway, "only-two");
    for _ in 0..3 {
        assert_eq!(who(&gateway, "only-one"), "one");
        assert_eq!(who(&gateway, "only-two"), "two");
        assert_eq!(who(&gateway, "two/only-two"), "two");
        assert_eq!(last_model(&two).as_deref(), Some("only-two"));
        assert_eq!(who(&gateway, "work/m"), "one");
        assert_eq!(last_model(&one).as_deref(), Some("m"));
        assert_eq!(who(&gateway, "home/m"), "two");
        let request = two.prompts().pop().expect("it was asked");
        assert_eq!(request.bearer(), Some("sk-second"));
        assert_eq!(request.param("model").as_deref(), Some("m"));
    }
    // All three take turns where the name says no more.
    let mut seen: Vec<_> = (0..6).map(|_| who(&gateway, "m").to_string()).collect();
    seen.sort();
    assert_eq!(seen, ["\"one\"", "\"one\"", "\"two\"", "\"two\"", "\"two\"", "\"two\""]);
    // A model whose own name begins like a provider's.
    assert_eq!(who(&gateway, "one/two/m"), "one");
    assert_eq!(last_model(&one).as_deref(), Some("two/m"));
}

#[test]
fn an_unknown_model_is_told_where_the_list_is() {
    let one = Upstream::named("one").lists(&["m"]);
    let two = Upstream::named("two").lists(&["n"]);
    let setup = Setup::empty().provider("one", chat(&one)).provider("two", chat(&two));
    let gateway = setup.account("one/a", SECRET).account("two/a", SECRET).start();
    knows(&gateway, "m");
    knows(&gateway, "n");
    for model in ["x", "three/m", "\u{1b}[31mx"] {
        let answer = ask(&gateway, model);
        let words = answer.is(404).words("/v1/chat/completions");
        assert!(words.contains("/v1/models") && !words.contains('\u{1b}'), "{words}");
    }
    one.was_not_asked();
    two.was_not_asked();
    // Where it is sure whom the caller means the provider itself knows best.
    assert_eq!(who(&gateway, "one/brand-new"), "one");
}

#[test]
fn an_alias_is_another_name_or_several_in_their_order() {
    let first = Upstream::start(|request, out| match request.param("model").as_deref() {
        Some("tired") => {
            let lines = "Content-Type: application/json\r\nRetry-After: 60\r\n";
            out.whole(429, lines, b"{\"error\":{\"message\":\"slow down\"}}")
        }
        _ => out.json(200, &json!({"answer": "first"})),
    });
    let second = Upstream::named("second");
    let aliases = json!({"fast": "first/small", "best": ["first/tired", "second/big"],
        "turned": ["second/big", "first/tired"], "m": "second/other", "lost": "nobody/x"});
    let setup = Setup::empty().provider("first", chat(&first)).provider("second", chat(&second));
    let setup = setup.account("first/a", SECRET).account("second/a", SECRET);
    let mut gateway = setup.set("aliases", aliases).start();
    assert_eq!(who(&gateway, "fast"), "first");
    assert_eq!(last_model(&first).as_deref(), Some("small"));
    assert_eq!(who(&gateway, "m"), "second");
    assert_eq!(last_model(&second).as_deref(), Some("other"));
    for _ in 0..3 {
        assert_eq!(who(&gateway, "turned"), "second");
    }
    assert_eq!(first.prompts().len(), 1, "the first of the names can answer");
    for _ in 0..3 {
        assert_eq!(who(&gateway, "best"), "second");
        assert_eq!(last_model(&second).as_deref(), Some("big"));
    }
    assert_eq!(last_model(&first).as_deref(), Some("tired"));
    assert_eq!(first.prompts().len(), 2, "it cools down and is not asked again");
    // The account itself is well: another model of it answers.
    assert_eq!(who(&gateway, "fast"), "first");
    // Settings change under a running gateway.
    gateway.set("aliases", json!({"fast": "second/big"}));
    let begin = Instant::now();
    while who(&gateway, "fast") != "second" {
        assert!(begin.elapsed() < LIMIT, "the alias stays as it was");
    }
}

#[test]
fn an_excluded_model_is_not_to_be_had() {
    let one = Upstream::named("one").lists(&["m", "m-preview", "big-1"]);
    let two = Upstream::named("two").lists(&["m", "m-preview", "big-1"]);
    let setup = Setup::empty().provider("one", chat(&one)).provider("two", chat(&two));
    let attributes = json!({"excluded_models": "big-*, other"});
    let setup = setup.account("one/a", SECRET).account_with("two/a", SECRET, &attributes);
    let mut gateway = setup.set("excluded_models", json!(["*-preview"])).start();
    knows(&gateway, "m");
    for _ in 0..4 {
        assert_eq!(who(&gateway, "big-1"), "one");
        assert_eq!(who(&gateway, "BIG-1"), "one", "as it is written elsewhere");
    }
    for model in ["m-preview", "one/m-preview", "M-Preview", "two/big-1"] {
        let words = ask(&gateway, model).is(404).words("/v1/chat/completions");
        assert!(words.contains("no account has a model"), "{model}: {words}");
    }
    two.was_not_asked();
    let list = gateway.ask(&gateway.get("/v1/models")).is(200).text();
    assert!(!list.contains("m-preview") && list.contains("big-1"), "{list}");
    gateway.set("excluded_models", json!({"one": ["big-1"], "two/a": ["m"]}));
    let begin = Instant::now();
    while ask(&gateway, "big-1").status() != 404 {
        assert!(begin.elapsed() < LIMIT, "it is still to be had");
    }
    for _ in 0..4 {
        assert_eq!(who(&gateway, "m"), "one");
    }
    ask(&gateway, "m-preview").is(200);
}

#[test]
fn a_disabled_account_is_as_if_it_were_not_there() {
    let one = Upstream::named("one").lists(&["m", "x"]);
    let two = Upstream::named("two").lists(&["m"]);
    let setup = Setup::empty().provider("one", chat(&one)).provider("two", chat(&two));
    let setup = setup.account_with("one/a", SECRET, &json!({"disabled": "true"}));
    let gateway = setup.account("two/a", SECRET).start();
    knows(&gateway, "m");
    for _ in 0..4 {
        assert_eq!(who(&gateway, "m"), "two");
    }
    assert_eq!(gateway.ask(&gateway.get("/v1/models/x")).status(), 404);
    one.was_not_asked();
    gateway.cmd("account set one/a disabled=").run().ok();
    gateway.cmd("account set two/a disabled=true").run().ok();
    let begin = Instant::now();
    while ask(&gateway, "m").json()["answer"] != "one" {
        assert!(begin.elapsed() < LIMIT, "it is still disabled");
    }
    // An account that is added while it runs answers, too.
    write_account(&gateway.sandbox, "two/b", "sk-b", &json!({"priority": "5"}));
    while ask(&gateway, "m").json()["answer"] != "two" {
        assert!(begin.elapsed() < LIMIT, "it was not seen");
    }
    assert_eq!(
        two.prompts().pop().and_then(|one| one.bearer().map(str::to_owned)).as_deref(),
        Some("sk-b")
    );
}

#[test]
fn a_model_of_another_dialect_is_told_where_it_is() {
    let one = Upstream::named("one").lists(&["m"]);
    let row = |dialect: &str, path: &str| {
        let base = format!("{}{path}", one.origin());
        json!({"ways": ["api_key"], "api": {"base": base, "dialect": dialect}, "models": "/models"})
    };
    for (dialect, path, other) in [
        ("anthropic_messages", "/v1/messages", "/v1/chat/completions"),
        ("openai_responses", "/v1/responses", "/v1/messages"),
        ("openai_chat", "/v1/chat/completions", "/v1/responses"),
        ("gemini_generate_content", "/v1beta/models/MODEL:generateContent", "/v1/messages"),
        ("openai_chat", "/v1/chat/completions", "/v1beta/models/m:generateContent"),
    ] {
        let mut setup = Setup::empty();
        setup.config["providers"]["one"] = row(dialect, "/v1");
        setup.config["providers"]["one"]["model"] = json!("m");
        let gateway = setup.account("one/a", SECRET).start();
        let body = json!({"model": "m"}).to_string();
        let words = gateway.ask(&gateway.post(other, &body)).is(400).words(other);
        assert!(words.contains(path), "{dialect} at {other}: {words}");
        let named = json!({"model": "one/m"}).to_string();
        gateway.ask(&gateway.post(&other.replace("/m:", "/one%2Fm:"), &named)).is(400).words(other);
    }
    one.was_not_asked();
    // Nobody speaks it, and nobody knows the model.
    let gateway = Setup::empty().start();
    let words = gateway.ask(&gateway.prompt()).is(400).words("/v1/chat/completions");
    assert!(words.contains("keyfob login"), "{words}");
}

#[test]
fn a_further_dialect_of_a_row_has_its_own_address() {
    let upstream = Upstream::start(|request, out| {
        let key = request.header("x-api-key").or(request.bearer());
        out.json(200, &json!({"at": request.path, "key": key}))
    });
    let other = Upstream::start(|request, out| out.json(200, &json!({"other": request.path})));
    let row = json!({"base": format!("{}/v1beta", upstream.origin()),
        "dialect": "gemini_generate_content", "key_header": "x-goog-api-key",
        "also": [{"dialect": "openai_chat", "base": "/openai"},
            {"dialect": "anthropic_messages", "base": "", "key_header": "x-api-key"},
            {"dialect": "openai_responses", "base": format!("{}/v1", other.origin())}]});
    let gateway = Setup::empty().provider("both", row).account("both/a", SECRET).start();
    let at = |path: &str| {
        let body = json!({"model": "m", "messages": []}).to_string();
        gateway.ask(&gateway.post(path, body)).is(200).json()
    };
    assert_eq!(at("/v1/chat/completions")["at"], "/v1beta/openai/chat/completions");
    assert_eq!(at("/v1/chat/completions")["key"], SECRET);
    assert_eq!(at("/v1/embeddings")["at"], "/v1beta/openai/embeddings");
    assert_eq!(at("/v1/messages")["at"], "/v1beta/v1/messages");
    assert_eq!(at("/v1/messages")["key"], SECRET);
    assert_eq!(at("/v1/responses")["other"], "/v1/responses");
    assert_eq!(at("/v1beta/models/m:generateContent")["at"], "/v1beta/models/m:generateContent");
}
