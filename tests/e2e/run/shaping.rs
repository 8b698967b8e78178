//! What config.json adds to a row's requests: headers, query, a system text, names of tools.

use serde_json::json;

use super::*;
use crate::support::model_api::What;

#[test]
fn headers_query_and_system_text_are_added() {
    let home = Home::of(&ALL);
    for Seat { name, api, .. } in &home.seats {
        println!("{name}");
        let provider = name.split_once('/').expect("a name").0;
        let row = format!("providers/{provider}/api");
        home.configure(&format!("{row}/headers/X-Team"), json!("blue"));
        home.configure(&format!("{row}/query"), json!({"api-version": "2026-01 preview"}));
        home.configure(&format!("{row}/system"), json!("Answer in French."));
        api.change_door(|door| {
            door.headers.push(("x-team".to_owned(), "blue".to_owned()));
            door.query.push(("api-version".to_owned(), "2026-01 preview".to_owned()));
        });
        home.cmd(&["run", name, "hello", "--system", "Be brief."]).run().ok();
        let system = api.said().system;
        let parts: Vec<_> = system.split(['|', '\n']).filter(|part| !part.is_empty()).collect();
        assert_eq!(parts, ["Answer in French.", "Be brief."], "{name}: the row's goes first");
        api.forget();
        home.cmd(&["run", name, "hello"]).run().ok();
        assert_eq!(api.said().system, "Answer in French.", "{name}");
    }
    home.is_content();
}

/// The API sees its own name for the tool, and the one who offered it gets his own back.
#[test]
fn names_of_tools_are_changed_and_changed_back() {
    let home = Home::of(&ALL);
    for Seat { name, api, .. } in &home.seats {
        println!("{name}");
        let provider = name.split_once('/').expect("a name").0;
        let names = json!({"report": "Vendor_Report", "unused": "Other"});
        home.configure(&format!("providers/{provider}/api/tool_names"), names);
        // The fake calls what it is offered, so a name not undone would fail the step.
        let output = home.cmd(&["auth-test", name, "--json"]).run();
        output.ok();
        let seen = api.only(What::Tool).said.expect("a prompt");
        assert_eq!(seen.tool.expect("a tool").name, "Vendor_Report", "{name}");
    }
    home.is_content();
}

#[test]
fn a_path_of_the_row_replaces_the_usual_one() {
    let home = Home::of(&["groq/default"]);
    home.configure("providers/groq/api/path", json!("/deployments/{model}/chat"));
    home.configure("providers/groq/model", json!("gpt 4/o"));
    home.api().change_door(|door| {
        door.prompts = "/openai/v1/deployments/gpt%204%2Fo/chat".to_owned();
        door.model = "gpt 4/o".to_owned();
    });
    home.say("run groq hello").run().ok();
    home.is_content();
}

#[test]
fn a_dialect_of_the_row_is_spoken() {
    let home = Home::of(&["groq/default"]);
    home.configure("providers/groq/api/dialect", json!("openai_responses"));
    home.api().change_door(|door| {
        door.speech = crate::support::model_api::Speech::Responses;
        door.prompts = "/openai/v1/responses".to_owned();
    });
    home.say("run groq hello").run().ok().stdout_is("Hello, wörld ☀!\n");
    home.configure("providers/groq/api/dialect", json!(null));
    let output = home.say("run groq hello").run();
    output.code(1).stdout_is("").stderr_has("\n  try: keyfob provider show groq\n");
    assert_eq!(home.api().connections(), 1);
    home.is_content();
}
