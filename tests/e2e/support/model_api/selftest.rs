//! The fake is strict: what no client should send is a complaint, and a good request is none.

use serde_json::{Value, json};

use super::*;
use crate::support::browser;

const AGENT: (&str, &str) = ("User-Agent", concat!("keyfob/", env!("CARGO_PKG_VERSION")));
const GOOD: [(&str, &str); 4] = [
    AGENT,
    ("Authorization", "Bearer good"),
    ("Content-Type", "application/json"),
    ("Accept", "application/json"),
];

fn api() -> Api {
    let door = Door {
        speech: Speech::Chat,
        prompts: "/v1/chat/completions".to_owned(),
        query: Vec::new(),
        models: Some("/v1/models".to_owned()),
        free: Vec::new(),
        credential: "authorization".to_owned(),
        headers: Vec::new(),
        model: "m".to_owned(),
        project: None,
        stream_only: false,
    };
    Api::start(door, |shown| shown == "Bearer good")
}

fn body() -> Value {
    json!({"model": "m", "stream": false, "messages": [{"role": "user", "content": "hello"}]})
}

/// Status, and the complaints.
fn post(path: &str, headers: &[(&str, &str)], body: &Value) -> (u16, Vec<String>) {
    let api = api();
    let url = format!("{}{path}", api.origin());
    let page = browser::request("POST", &url, headers, &body.to_string()).expect("an answer");
    (page.status, api.complaints())
}

#[test]
fn a_good_request_is_answered_and_an_unknown_credential_is_not() {
    let (status, complaints) = post("/v1/chat/completions", &GOOD, &body());
    assert_eq!((status, complaints.len()), (200, 0), "{complaints:?}");
    let mut bad = GOOD;
    bad[1].1 = "Bearer bad";
    assert_eq!(post("/v1/chat/completions", &bad, &body()), (401, Vec::new()));
}

#[test]
fn what_does_not_belong_is_a_complaint() {
    let with = |key: &str, value: Value| {
        let mut body = body();
        body[key] = value;
        body
    };
    let tool = |schema: Value| {
        let function = json!({"name": "report", "description": "d", "parameters": schema});
        with("tools", json!([{"type": "function", "function": function}]))
    };
    let path = "/v1/chat/completions";
    let changed = |at: usize, value: (&'static str, &'static str)| {
        let mut headers = GOOD;
        headers[at] = value;
        headers
    };
    let foreign = [&GOOD[..], &[("X-Stainless-Lang", "js")]].concat();
    let twice = [&GOOD[..], &[("Authorization", "Bearer good")]].concat();
    for (path, headers, body) in [
        ("/chat/completions", GOOD.to_vec(), body()),
        ("/v1/chat/completions?key=x", GOOD.to_vec(), body()),
        (path, foreign, body()),
        (path, twice, body()),
        (path, changed(1, ("x-api-key", "good")).to_vec(), body()),
        (path, changed(2, ("Content-Type", "text/plain")).to_vec(), body()),
        (path, changed(3, ("Accept", "text/event-stream")).to_vec(), body()),
        (path, GOOD.to_vec(), with("model", json!("other"))),
        (path, GOOD.to_vec(), with("stream", json!("yes"))),
        (path, GOOD.to_vec(), with("instructions", json!(""))),
        (path, GOOD.to_vec(), with("messages", json!([]))),
        (path, GOOD.to_vec(), with("messages", json!([{"role": "user", "content": ""}]))),
        (path, GOOD.to_vec(), with("stream_options", json!({"include_usage": true}))),
        (path, GOOD.to_vec(), with("tools", json!([]))),
        (path, GOOD.to_vec(), tool(json!({}))),
        (path, GOOD.to_vec(), tool(json!({"type": "string", "properties": {}}))),
    ] {
        let (status, complaints) = post(path, &headers, &body);
        assert_eq!((status, complaints.len()), (400, 1), "{path} {headers:?} {body}");
    }
    let good = tool(json!({"type": "object", "properties": {}}));
    assert_eq!(post(path, &GOOD, &good), (200, Vec::new()));
}
