//! One prompt to every API there is a row for, in all its forms.

use serde_json::json;

use super::*;
use crate::support::model_api::{Said, What};

#[test]
fn every_api_answers_a_prompt_in_a_stream() {
    let home = Home::of(&ALL);
    for Seat { name, api, .. } in &home.seats {
        println!("{name}");
        let output = home.cmd(&["run", name, "Say hello", "--system", "Be brief."]).run();
        output
            .ok()
            .stdout_is("Hello, wörld ☀!\n")
            .check(output.stderr.is_empty(), "a quiet stderr");
        let Said { prompt, system, tool, is_streamed, .. } = api.said();
        assert_eq!((prompt.as_str(), system.as_str()), ("Say hello", "Be brief."), "{name}");
        assert_eq!((tool, is_streamed), (None, true), "{name}");
        assert_eq!(api.connections(), 1, "{name}: one request and no other");
    }
    home.is_content();
}

#[test]
fn every_api_answers_whole_where_it_can() {
    let home = Home::of(&ALL);
    for Seat { name, api, .. } in &home.seats {
        println!("{name}");
        let output = home.cmd(&["run", name, "Say hello", "--no-stream"]).run();
        output.ok().stdout_is("Hello, wörld ☀!\n");
        // The ChatGPT backend has nothing but streams, so it is asked for one all the same.
        assert_eq!(api.said().is_streamed, name.starts_with("openai/"), "{name}");
        assert_eq!(api.said().system, "", "{name}");
    }
    home.is_content();
}

#[test]
fn every_answer_is_told_in_the_same_json() {
    let home = Home::of(&ALL);
    for Seat { name, api, .. } in &home.seats {
        for more in [&[][..], &["--no-stream"]] {
            println!("{name} {more:?}");
            let words = [&["run", name, "Say hello", "--json"][..], more].concat();
            let output = home.cmd(&words).run();
            let answer = output.ok().json();
            assert!(output.stdout.starts_with("{\"version\":1,"), "{}", output.stdout);
            let (provider, account) = name.split_once('/').expect("PROVIDER/ACCOUNT");
            let prompt = &api.seen(What::Prompt)[0];
            let model = &prompt.said.as_ref().expect("a prompt").model;
            let why = answer["stop_reason"].as_str().unwrap_or_default();
            assert!(["end_turn", "stop", "STOP", "completed"].contains(&why), "{name}: {why:?}");
            assert_eq!(
                answer,
                json!({"version": 1, "provider": provider, "account": account, "model": model,
                    "text": "Hello, wörld ☀!", "tool_calls": [], "stop_reason": why,
                    "usage": {"input_tokens": 25, "output_tokens": 15, "total_tokens": 40}}),
                "{name}"
            );
        }
    }
    home.is_content();
}

#[test]
fn a_count_of_tokens_is_asked_for_only_when_it_is_shown() {
    let home = Home::of(&["groq/default"]);
    home.say("run groq hello").run().ok();
    assert!(!home.api().said().wants_usage);
    home.api().forget();
    home.say("run groq hello --json").run().ok();
    assert!(home.api().said().wants_usage);
    home.is_content();
}

#[test]
fn code_assist_looks_its_project_up_where_none_is_stored() {
    let home = Home::of(&["gemini/me@example.com"]);
    let mut account = home.sandbox.read_account("gemini", "me@example.com");
    account["extra"] = json!({});
    home.sandbox.write_account("gemini", "me@example.com", &account);
    home.say("run gemini hello").run().ok().stdout_is("Hello, wörld ☀!\n");
    let idp = home.seats[0].idp.as_ref().expect("an issuer");
    assert_eq!(idp.count("code_assist_load"), 1);
    assert_eq!(home.api().connections(), 1);
    home.is_content();
}

#[test]
fn a_model_is_taken_from_the_flag_the_config_or_the_row() {
    let home = Home::of(&["groq/default", "gemini-api/default"]);
    for (name, prompts) in
        [("groq", "/openai/v1/chat/completions"), ("gemini-api", "/v1beta/models/other%2Fmodel-1")]
    {
        let api = &home.seat(&format!("{name}/default")).api;
        api.change_door(|door| {
            door.model = "other/model-1".to_owned();
            door.prompts = prompts.to_owned();
        });
        if name == "gemini-api" {
            // Its path is percent-encoded, and so is what it compares with.
            home.cmd(&["run", name, "hello", "--model", "models/other/model-1"]).run().ok();
        }
        home.cmd(&["run", name, "hello", "--model", "other/model-1"]).run().ok();
        home.configure(&format!("providers/{name}/model"), json!("other/model-1"));
        home.cmd(&["run", name, "hello"]).run().ok();
    }
    home.is_content();
}

#[test]
fn without_a_default_the_first_model_that_takes_prompts_is_asked() {
    let home = Home::of(&["groq/default"]);
    home.configure("providers/groq/model", serde_json::Value::Null);
    home.api().has_models(&["whisper-1", "text-embedding-3", "zeta-chat", "gpt-image-1"]);
    home.api().change_door(|door| door.model = "zeta-chat".to_owned());
    home.say("run groq hello").run().ok().stdout_is("Hello, wörld ☀!\n");
    assert_eq!(home.api().seen(What::Models).len(), 1);
    home.is_content();
}
