//! The list of models, and what is remembered of it: it stands in when the API cannot be reached, and
//! hides no credential that was turned away.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::*;
use crate::support::model_api::{Fault, When};

fn has_list(seat: &Seat) -> bool {
    seats::door(seat.name.split_once('/').expect("a name").0).models.is_some()
}

fn cache(home: &Home, name: &str) -> PathBuf {
    let (provider, account) = name.split_once('/').expect("a name");
    home.sandbox.home().join("cache").join(provider).join(format!("{account}.json"))
}

#[test]
fn every_list_is_read_and_remembered() {
    let home = Home::of(&ALL);
    for seat in &home.seats {
        let (name, api) = (&seat.name, &seat.api);
        println!("{name}");
        let output = home.cmd(&["models", name]).run();
        if !has_list(seat) {
            output.code(1).stdout_is("").stderr_has("\n  try: keyfob provider show ");
            assert_eq!(api.connections(), 0);
            assert!(!cache(&home, name).exists());
            continue;
        }
        let mut ids = vec!["another-model", &seat.name];
        let model = seats::door(name.split_once('/').expect("a name").0).model;
        ids[1] = &model;
        ids.sort_unstable();
        output.ok().stdout_is(&format!("{}\n", ids.join("\n")));
        let file = cache(&home, name);
        assert_eq!(home.sandbox.mode(&file), 0o600, "{name}");
        for folder in file.ancestors().skip(1).take(2) {
            assert_eq!(home.sandbox.mode(folder), 0o700, "{name}: {}", folder.display());
        }
        let list = home.cmd(&["models", name, "--json"]).run().ok().json();
        assert_eq!(list["version"], 1);
        let found: Vec<_> = list["models"].as_array().expect("a list").iter().collect();
        assert_eq!(found.iter().map(|model| &model["id"]).collect::<Vec<_>>(), ids, "{name}");
        assert!(found.iter().all(|model| model["label"].is_string()), "{list}");
        home.tells_nothing(&home.sandbox.read(&file));
    }
    home.is_content();
}

#[test]
fn a_list_stands_in_only_when_the_api_cannot_be_reached() {
    let home = Home::of(&["groq/default"]);
    let api = home.api();
    api.fault(When::Models, Fault::Status(503));
    home.say("models groq").run().code(3).stdout_is("");
    api.clear_faults();
    api.has_models(&["one", "two"]);
    home.say("models groq").run().ok().stdout_is("one\ntwo\n").stderr_lacks("list of");
    // The API is asked each time.
    api.has_models(&["three"]);
    home.say("models groq").run().ok().stdout_is("three\n");
    for fault in [Fault::Status(500), Fault::Status(503), Fault::NoQuota(None), Fault::Mute] {
        api.clear_faults();
        api.fault(When::Models, fault);
        let output = home.say("models groq --timeout 1").run();
        output.ok().stdout_is("three\n").stderr_has("keyfob: warning: ");
        output.stderr_has("this is the list of ");
        let list = home.say("models groq --json --timeout 1").run();
        assert_eq!(list.ok().json()["models"], json!([{"id": "three", "label": "three"}]));
    }
    for (fault, code) in [(Fault::Status(404), 1), (Fault::Html(200), 1)] {
        api.clear_faults();
        api.fault(When::Models, fault);
        home.say("models groq").run().code(code).stdout_is("").stderr_lacks("this is the list");
        assert!(cache(&home, "groq/default").exists());
    }
    home.is_content();
}

#[test]
fn a_server_that_is_gone_leaves_the_list() {
    let mut home = Home::of(&["groq/default"]);
    home.say("models groq").run().ok();
    drop(home.seats.remove(0));
    let output = home.say("models groq").run();
    output.ok().stderr_has("cannot reach 127.0.0.1").stderr_has("list of");
    assert!(output.stdout.starts_with("another-model\n"), "{}", output.stdout);
}

#[test]
fn a_credential_that_is_turned_away_has_no_list() {
    for name in
        ["groq/default", "anthropic-api/default", "azure/key", "codemie/jwt", "gemini-api/default"]
    {
        for fault in [Fault::Expired, Fault::Refused] {
            println!("{name} {fault:?}");
            let home = Home::of(&[name]);
            home.cmd(&["models", name]).run().ok();
            assert!(cache(&home, name).exists());
            home.api().fault(When::Models, fault);
            let output = home.cmd(&["models", name]).run();
            output.code(4).stdout_is("").stderr_has("\n  try: keyfob login ");
            assert!(!cache(&home, name).exists(), "what was remembered is gone");
            home.api().clear_faults();
            home.api().fault(When::Models, Fault::Status(503));
            home.cmd(&["models", name]).run().code(3).stdout_is("");
            home.is_content();
        }
    }
}

#[test]
fn a_list_goes_with_its_account() {
    let home = Home::of(&["groq/default", "azure/key"]);
    for name in ["groq/default", "azure/key"] {
        home.cmd(&["models", name]).run().ok();
        home.cmd(&["logout", name]).run().ok();
        assert!(!cache(&home, name).exists(), "{name}");
    }
    home.is_content();
}

#[test]
fn a_list_of_another_address_is_not_used() {
    let home = Home::of(&["groq/default"]);
    home.say("models groq").run().ok();
    home.api().fault(When::Models, Fault::Status(503));
    home.say("models groq").run().ok();
    let base = format!("{}/other", home.api().origin());
    home.configure("providers/groq/api/base", json!(base));
    home.api().change_door(|door| door.models = Some("/other/models".to_owned()));
    home.say("models groq").run().code(3).stdout_is("");
    home.is_content();
}

#[test]
fn what_lies_there_and_is_no_list_is_as_if_it_were_not_there() {
    let home = Home::of(&["groq/default"]);
    home.say("models groq").run().ok();
    let file = cache(&home, "groq/default");
    let good: Value = home.sandbox.read_json(&file);
    home.api().fault(When::Models, Fault::Status(503));
    for bad in ["", "{", "[]", "{\"version\":1}"] {
        std::fs::write(&file, bad).expect("a file");
        home.say("models groq").run().code(3).stdout_is("");
    }
    std::fs::write(&file, good.to_string()).expect("a file");
    home.say("models groq").run().ok();
    // Others could have put anything into it.
    crate::support::sandbox::set_mode(&file, 0o666);
    home.say("models groq").run().code(3).stdout_is("");
    home.is_content();
}

#[test]
fn a_token_on_the_spot_leaves_no_list() {
    let home = Home::of(&["codemie/jwt"]);
    let Seat { api, secret, .. } = &home.seats[0];
    let bare = Home::empty();
    let line = format!("models codemie --jwt-token - --base-url {}", api.origin());
    bare.say(&line).stdin(secret.clone()).run().ok();
    assert!(!bare.sandbox.home().join("cache").exists());
    home.is_content();
}
