//! `set` and `unset`.

use std::thread;

use serde_json::{Value, json};

use super::{SECRET, config, home, refused, run, settings};
use crate::support::sandbox::Sandbox;

/// Sets in an empty home, and gives what the file holds then.
#[track_caller]
fn after(words: &[(&str, &str)]) -> Value {
    let sandbox = Sandbox::new();
    for (key, value) in words {
        run(&sandbox, &["set", key, value]).ok().stdout_is("").stderr_has(key);
    }
    sandbox.read_config()
}

#[test]
fn a_value_is_stored_as_what_it_is() {
    let config = after(&[
        ("default.provider", "anthropic"),
        ("defaults.claude", "123"),
        ("providers.claude.scopes", "[\"a\", \"b\"]"),
        ("providers.claude.own_client", "true"),
        ("providers.claude.redirect.ports", "[1]"),
        ("providers.claude.title", "{no json"),
        ("providers.claude.terms", "{\"note\": \"n\", \"url\": \"https://x\", \"checked\": \"c\"}"),
        ("providers.openai.model", "null"),
    ]);
    let wanted = json!({
        "default": {"provider": "anthropic"},
        "defaults": {"claude": "123"},
        "providers": {
            "claude": {
                "scopes": ["a", "b"],
                "own_client": true,
                "redirect": {"ports": [1]},
                "title": "{no json",
                "terms": {"note": "n", "url": "https://x", "checked": "c"},
            },
            "openai": {"model": "null"},
        },
    });
    assert_eq!(config, wanted);
}

/// Client ids and models may be numbers, and their keys want text.
#[test]
fn digits_are_text_where_only_text_fits() {
    let config = after(&[("providers.claude.client_id", "12345"), ("providers.xai.model", "4.5")]);
    assert_eq!(config["providers"]["claude"]["client_id"], "12345");
    assert_eq!(config["providers"]["xai"]["model"], "4.5");
}

#[test]
fn the_longest_name_of_a_provider_is_meant() {
    let sandbox = home();
    run(&sandbox, &["set", "providers.my.idp.token_url", "https://my.example/t"]).ok();
    run(&sandbox, &["set", "providers.new.one", "{\"issuer\": \"https://new.example\"}"]).ok();
    run(&sandbox, &["set", "providers.new.one.client_id", "x"]).ok();
    let providers = &sandbox.read_config()["providers"];
    assert_eq!(providers["my.idp"]["token_url"], "https://my.example/t");
    let wanted = json!({"issuer": "https://new.example", "client_id": "x"});
    assert_eq!(providers["new.one"], wanted);
    assert_eq!(providers["my"], Value::Null);
    let shown = sandbox.cmd(&["provider", "show", "new.one", "--json"]).run();
    assert_eq!(shown.ok().json()["provider"]["client_id"], "x");
}

#[test]
fn everything_else_stays() {
    let sandbox = home();
    run(&sandbox, &["set", "providers.mine.audience", "x"]).ok().stderr_has("unknown key audience");
    run(&sandbox, &["unset", "providers.mine.audience"]).ok().stdout_is("");
    assert_eq!(sandbox.read_config(), settings());
    assert_eq!(sandbox.mode(&sandbox.home().join("config.json")), 0o600);
    run(&sandbox, &["unset", "client_secrets.mine"]).ok();
    run(&sandbox, &["unset", "providers.claude.redirect.path"]).ok();
    run(&sandbox, &["unset", "notes.a.b"]).ok();
    let mut wanted = settings();
    let sections = wanted.as_object_mut().unwrap();
    sections.remove("client_secrets");
    sections.remove("notes");
    sections["providers"].as_object_mut().unwrap().remove("claude");
    assert_eq!(sandbox.read_config(), wanted, "and nothing empty stays");
}

#[test]
fn the_same_value_again_writes_nothing() {
    let sandbox = home();
    let before = super::bytes(&sandbox);
    run(&sandbox, &["set", "default.provider", "mine"]).ok();
    assert_eq!(super::bytes(&sandbox), before, "compact as the person wrote it");
    run(&sandbox, &["set", "default.provider", "claude"]).ok();
    assert_ne!(super::bytes(&sandbox), before);
}

#[test]
fn a_secret_is_not_taken_from_the_command_line() {
    let sandbox = home();
    let key = "sk-marker-0123456789abcdef";
    for provider_key in ["client_secrets.mine", "providers.mine.client_secret"] {
        let output = refused(&sandbox, &["set", provider_key, SECRET], 2);
        output.stderr_has("  try: keyfob login mine --client-secret-stdin --client-id cli\n");
    }
    let output = refused(&sandbox, &["set", "client_secrets.claude", SECRET], 2);
    output.stderr_has("keyfob login claude --client-secret-stdin --client-id ID");
    let array = format!("[\"{SECRET}\"]");
    refused(&sandbox, &["set", "providers.mine.client_secret", &array], 2).stderr_has("stdin");
    let headers = format!("{{\"x-api-key\": \"{SECRET}\"}}");
    for (name, value) in [
        ("providers.mine.api.headers.x-api-key", SECRET),
        ("providers.mine.api.headers", headers.as_str()),
        ("providers.mine.title", key),
        ("providers.mine.token_url", "https://me:marker@id.example/"),
    ] {
        refused(&sandbox, &["set", name, value], 2).stderr_has("keyfob config path");
    }
}

#[test]
fn what_nobody_would_read_is_refused() {
    let sandbox = home();
    for name in ["nosuch.key", "nosuch", "provider.claude.model", "notes.x"] {
        let output = refused(&sandbox, &["set", name, "x"], 2);
        for section in ["accepted_terms", "client_secrets", "default", "defaults", "providers"] {
            output.stderr_has(section);
        }
    }
    for (name, value) in [
        ("default", "x"),
        ("defaults", "{}"),
        ("providers", "{}"),
        ("default.other", "x"),
        ("default.provider", "nobody"),
        ("defaults.claude", ""),
        ("providers.nobody.model", "x"),
        ("providers.nobody", "x"),
        ("providers.BAD", "{}"),
        ("providers.anthropic", "{}"),
        ("providers..x", "x"),
    ] {
        refused(&sandbox, &["set", name, value], 2).stderr_has("\n  try: keyfob ");
    }
    for words in [&["set"][..], &["set", "default.provider"], &["set", "a.b", "c", "d"], &["get"]] {
        refused(&sandbox, words, 2);
    }
}

#[test]
fn a_row_that_could_not_be_read_is_not_written() {
    let sandbox = home();
    for (name, value) in [
        ("providers.mine.scopes", "7"),
        ("providers.mine.redirect.ports", "[\"x\"]"),
        ("providers.claude", "[]"),
        ("providers.claude.ways", "[\"nosuch\"]"),
        ("providers.my.idp.terms", "{\"note\": \"n\"}"),
    ] {
        let output = refused(&sandbox, &["set", name, value], 2);
        output.stderr_has("nothing was changed").stderr_has("is not of the type");
    }
    run(&sandbox, &["set", "providers.mine.terms.note", "n"]).code(2);
    let terms = "{\"note\": \"n\", \"url\": \"https://x\", \"checked\": \"c\"}";
    run(&sandbox, &["set", "providers.mine.terms", terms]).ok();
    refused(&sandbox, &["unset", "providers.mine.terms.url"], 2).stderr_has("terms");
}

/// Somebody wrote nonsense by hand: it can be mended from here.
#[test]
fn a_row_that_is_wrong_already_can_be_mended() {
    let sandbox = Sandbox::new();
    let row = json!({"token_url": 7, "scopes": "all", "title": "Mine"});
    sandbox.write_config(&json!({"providers": {"mine": row}}));
    run(&sandbox, &["unset", "providers.mine.token_url"]).ok();
    run(&sandbox, &["set", "providers.mine.scopes", "[\"all\"]"]).ok();
    let wanted = json!({"scopes": ["all"], "title": "Mine"});
    assert_eq!(sandbox.read_config()["providers"]["mine"], wanted);
}

#[test]
fn an_address_is_https_or_of_this_machine() {
    let sandbox = home();
    for (name, value) in [
        ("providers.mine.token_url", "http://id.example/token"),
        ("providers.mine.issuer", "id.example"),
        ("providers.claude.api.base", "http://10.0.0.1/v1"),
        ("providers.mine.redirect.hosted", "{\"url\": \"ftp://x\", \"shows\": \"code\"}"),
        ("providers.new", "{\"issuer\": \"http://id.example\"}"),
        ("providers.gemini.code_assist.urls", "[\"http://id.example\"]"),
    ] {
        refused(&sandbox, &["set", name, value], 2).stderr_lacks("type");
    }
    for (name, value) in [
        ("providers.mine.token_url", "http://127.0.0.1:1/token"),
        ("providers.mine.issuer", "https://id.example"),
        ("providers.azure.instance.row", "{\"api\": {\"base\": \"{instance}/v1\"}}"),
        ("providers.mine.identity", "{\"extra\": {\"resource_url\": [\"/answer/resource_url\"]}}"),
    ] {
        run(&sandbox, &["set", name, value]).ok();
    }
}

#[test]
fn what_is_not_set_cannot_be_removed() {
    let sandbox = home();
    for key in ["nosuch", "default.other", "providers.mine.issuer", "defaults.mine"] {
        let output = refused(&sandbox, &["unset", key], 1);
        output.stderr_has("is not set").stderr_has("try: keyfob config list");
    }
}

#[test]
fn a_crowd_that_sets_different_keys_loses_nothing() {
    let sandbox = home();
    let running: Vec<_> = (0..20)
        .map(|n| {
            let key = format!("providers.mine.token_params.p{n}");
            config(&sandbox, &["set", &key, &format!("v{n}")]).spawn()
        })
        .collect();
    let outputs = running.into_iter().map(|one| thread::spawn(|| one.wait(crate::provider::LIMIT)));
    for output in outputs.collect::<Vec<_>>() {
        output.join().expect("it ends").ok();
    }
    let wanted: Value = (0..20).map(|n| (format!("p{n}"), json!(format!("v{n}")))).collect();
    let mut all = settings();
    all["providers"]["mine"]["token_params"] = wanted;
    assert_eq!(sandbox.read_config(), all);
    assert_eq!(sandbox.mode(&sandbox.home().join("config.json")), 0o600);
}
