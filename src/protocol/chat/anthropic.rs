//! Anthropic's Messages: docs.claude.com/en/api/messages and messages-streaming.

use serde_json::{Value, json};

use crate::protocol::chat::{Answer, Ask, Call, Tool, keep, word};

/// The API wants a limit; every model that it still serves allows this one.
const MAX_TOKENS: u32 = 8192;

type Asked<'a> = (String, Vec<(&'a str, &'a str)>, Value);

pub fn ask<'a>(ask: &Ask, base: &str, system: &[&str], tool: Option<&Tool>) -> Asked<'a> {
    let mut body = json!({
        "model": ask.model, "max_tokens": MAX_TOKENS, "stream": ask.is_streamed,
        "messages": [{"role": "user", "content": ask.prompt}],
    });
    if !system.is_empty() {
        let blocks = system.iter().map(|text| json!({"type": "text", "text": text}));
        body["system"] = blocks.collect();
    }
    if let Some(Tool { name, description, parameters }) = tool {
        body["tools"] =
            json!([{"name": name, "description": description, "input_schema": parameters}]);
    }
    // Some write the version into the base, as every OpenAI-compatible API does.
    let path = if base.ends_with("/v1") { "/messages" } else { "/v1/messages" };
    (path.to_owned(), Vec::new(), body)
}

pub fn take(answer: &mut Answer, event: &Value) {
    match event["type"].as_str().unwrap_or_default() {
        "message_start" => {
            keep(&mut answer.model, word(&event["message"]["model"]));
            usage(answer, &event["message"]["usage"]);
        }
        "content_block_start" => block(answer, &event["content_block"]),
        "content_block_delta" => {
            let delta = &event["delta"];
            answer.text.push_str(delta["text"].as_str().unwrap_or_default());
            if let (Some(call), Some(part)) =
                (answer.calls.last_mut(), delta["partial_json"].as_str())
            {
                call.arguments.push_str(part);
            }
        }
        "message_delta" => {
            keep(&mut answer.stop_reason, word(&event["delta"]["stop_reason"]));
            usage(answer, &event["usage"]);
        }
        "message_stop" => answer.is_complete = true,
        _ => {}
    }
}

pub fn whole(answer: &mut Answer, body: &Value) -> bool {
    keep(&mut answer.model, word(&body["model"]));
    keep(&mut answer.stop_reason, word(&body["stop_reason"]));
    usage(answer, &body["usage"]);
    let blocks = body["content"].as_array();
    blocks.into_iter().flatten().for_each(|found| block(answer, found));
    blocks.is_some()
}

/// A block of the answer, or the beginning of one: a tool's input is then empty and follows.
fn block(answer: &mut Answer, block: &Value) {
    match block["type"].as_str() {
        Some("text") => answer.text.push_str(block["text"].as_str().unwrap_or_default()),
        Some("tool_use") => {
            let input = block["input"].as_object().filter(|input| !input.is_empty());
            let arguments = input.map_or(String::new(), |_| block["input"].to_string());
            let name = word(&block["name"]).unwrap_or_default();
            answer.calls.push(Call { name, arguments });
        }
        _ => {}
    }
}

fn usage(answer: &mut Answer, usage: &Value) {
    keep(&mut answer.input_tokens, usage["input_tokens"].as_u64());
    keep(&mut answer.output_tokens, usage["output_tokens"].as_u64());
}
