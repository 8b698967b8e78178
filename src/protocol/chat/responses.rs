//! OpenAI's Responses: platform.openai.com/docs/api-reference/responses and responses-streaming. What
//! the ChatGPT backend wants besides (streams, `store` false, `instructions` always there) the public
//! API takes too.

use serde_json::{Value, json};

use crate::protocol::chat::fault::{self, Fault};
use crate::protocol::chat::{Answer, Ask, Call, Tool, keep, word};

type Asked<'a> = (String, Vec<(&'a str, &'a str)>, Value);

pub fn ask<'a>(ask: &Ask, system: &[&str], tool: Option<&Tool>) -> Asked<'a> {
    let content = json!([{"type": "input_text", "text": ask.prompt}]);
    let mut body = json!({
        "model": ask.model,
        "instructions": system.join("\n\n"),
        "input": [{"type": "message", "role": "user", "content": content}],
        "stream": ask.is_streamed,
        "store": false,
    });
    if let Some(Tool { name, description, parameters }) = tool {
        body["tools"] = json!([{
            "type": "function", "name": name, "description": description,
            "parameters": parameters, "strict": false,
        }]);
    }
    ("/responses".to_owned(), Vec::new(), body)
}

pub fn take(answer: &mut Answer, event: &Value) -> Result<(), Fault> {
    match event["type"].as_str().unwrap_or_default() {
        "response.created" => keep(&mut answer.model, word(&event["response"]["model"])),
        "response.output_text.delta" | "response.refusal.delta" => {
            answer.text.push_str(event["delta"].as_str().unwrap_or_default());
        }
        "response.output_item.done" => {
            let item = &event["item"];
            call(answer, item);
            // A server may send an item whole and no parts of it.
            if answer.text.is_empty() {
                text(answer, item);
            }
        }
        "response.completed" | "response.incomplete" | "response.failed" => {
            end(answer, &event["response"])?;
            answer.is_complete = true;
        }
        _ => {}
    }
    Ok(())
}

pub fn whole(answer: &mut Answer, body: &Value) -> Result<bool, Fault> {
    end(answer, body)?;
    let output = body["output"].as_array();
    for item in output.into_iter().flatten() {
        call(answer, item);
        text(answer, item);
    }
    Ok(output.is_some())
}

fn end(answer: &mut Answer, response: &Value) -> Result<(), Fault> {
    if let Some(told) = fault::told(response) {
        return Err(told);
    }
    let status = word(&response["status"]);
    let why = word(&response["incomplete_details"]["reason"]);
    keep(&mut answer.stop_reason, why.or(status));
    keep(&mut answer.model, word(&response["model"]));
    keep(&mut answer.input_tokens, response["usage"]["input_tokens"].as_u64());
    keep(&mut answer.output_tokens, response["usage"]["output_tokens"].as_u64());
    Ok(())
}

fn call(answer: &mut Answer, item: &Value) {
    if item["type"] == "function_call" {
        answer.calls.push(Call {
            name: word(&item["name"]).unwrap_or_default(),
            arguments: word(&item["arguments"]).unwrap_or_default(),
        });
    }
}

fn text(answer: &mut Answer, item: &Value) {
    for part in item["content"].as_array().into_iter().flatten() {
        answer.text.push_str(part["text"].as_str().unwrap_or_default());
    }
}
