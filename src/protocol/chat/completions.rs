//! OpenAI's Chat Completions, as it and the many APIs that follow it speak it:
//! platform.openai.com/docs/api-reference/chat and chat-streaming.

use serde_json::{Value, json};

use crate::protocol::chat::{Answer, Ask, Call, Tool, keep, word};

type Asked<'a> = (String, Vec<(&'a str, &'a str)>, Value);

pub fn ask<'a>(ask: &Ask, system: &[&str], tool: Option<&Tool>) -> Asked<'a> {
    let mut messages: Vec<Value> = Vec::new();
    if !system.is_empty() {
        messages.push(json!({"role": "system", "content": system.join("\n\n")}));
    }
    messages.push(json!({"role": "user", "content": ask.prompt}));
    let mut body = json!({"model": ask.model, "messages": messages, "stream": ask.is_streamed});
    // Not all who follow know it, so it goes out only when it is wanted.
    if ask.is_streamed && ask.wants_usage {
        body["stream_options"] = json!({"include_usage": true});
    }
    if let Some(Tool { name, description, parameters }) = tool {
        let function = json!({"name": name, "description": description, "parameters": parameters});
        body["tools"] = json!([{"type": "function", "function": function}]);
    }
    ("/chat/completions".to_owned(), Vec::new(), body)
}

pub fn take(answer: &mut Answer, event: &Value) {
    common(answer, event);
    let choice = &event["choices"][0];
    let delta = &choice["delta"];
    answer.text.push_str(delta["content"].as_str().unwrap_or_default());
    for part in delta["tool_calls"].as_array().into_iter().flatten() {
        // A part without a place belongs to the last call, unless it begins one.
        let last = answer.calls.len().saturating_sub(usize::from(part["id"].is_null()));
        let at = part["index"].as_u64().and_then(|at| usize::try_from(at).ok()).unwrap_or(last);
        if at >= answer.calls.len() {
            answer.calls.push(Call::default());
        }
        let at = at.min(answer.calls.len() - 1);
        if let Some(call) = answer.calls.get_mut(at) {
            call.name.push_str(part["function"]["name"].as_str().unwrap_or_default());
            call.arguments.push_str(part["function"]["arguments"].as_str().unwrap_or_default());
        }
    }
    answer.is_complete |= choice["finish_reason"].is_string();
}

pub fn whole(answer: &mut Answer, body: &Value) -> bool {
    common(answer, body);
    let message = &body["choices"][0]["message"];
    answer.text.push_str(message["content"].as_str().unwrap_or_default());
    for call in message["tool_calls"].as_array().into_iter().flatten() {
        answer.calls.push(Call {
            name: word(&call["function"]["name"]).unwrap_or_default(),
            arguments: word(&call["function"]["arguments"]).unwrap_or_default(),
        });
    }
    message.is_object()
}

fn common(answer: &mut Answer, body: &Value) {
    keep(&mut answer.model, word(&body["model"]));
    keep(&mut answer.stop_reason, word(&body["choices"][0]["finish_reason"]));
    keep(&mut answer.input_tokens, body["usage"]["prompt_tokens"].as_u64());
    keep(&mut answer.output_tokens, body["usage"]["completion_tokens"].as_u64());
}
