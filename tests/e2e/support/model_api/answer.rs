//! Answers as the vendors send them: streams of events, and whole.

use serde_json::{Value, json};

use super::{Door, Speech};

/// What the model says.
pub struct Reply {
    pub pieces: Vec<String>,
    /// Name and arguments (a JSON text) of the tool that is called instead.
    pub call: Option<(String, String)>,
    pub wants_usage: bool,
}

pub const INPUT_TOKENS: u64 = 25;
pub const OUTPUT_TOKENS: u64 = 15;

/// One event as it stands in the stream, and whether it brings text.
pub struct Event {
    pub wire: String,
    pub is_text: bool,
}

pub fn events(door: &Door, reply: &Reply) -> Vec<Event> {
    match door.speech {
        Speech::Anthropic => anthropic(&door.model, reply),
        Speech::Chat => chat(&door.model, reply),
        Speech::CodeAssist => gemini(&door.model, reply, true),
        Speech::Gemini => gemini(&door.model, reply, false),
        Speech::Responses => responses(&door.model, reply),
    }
}

fn named(data: Value) -> Event {
    let name = data["type"].as_str().unwrap_or_default().to_owned();
    Event { wire: format!("event: {name}\ndata: {data}\n\n"), is_text: false }
}

fn bare(data: &Value) -> Event {
    Event { wire: format!("data: {data}\n\n"), is_text: false }
}

fn of_text(event: Event) -> Event {
    Event { is_text: true, ..event }
}

/// A JSON text cut in two, as arguments come.
fn halves(arguments: &str) -> [&str; 2] {
    let (one, two) = arguments.split_at(arguments.len() / 2);
    [one, two]
}

fn anthropic(model: &str, reply: &Reply) -> Vec<Event> {
    let message = json!({"id": "msg_1", "type": "message", "role": "assistant", "content": [],
        "model": model, "stop_reason": null, "stop_sequence": null,
        "usage": {"input_tokens": INPUT_TOKENS, "cache_read_input_tokens": 0, "output_tokens": 1}});
    let mut events = vec![named(json!({"type": "message_start", "message": message}))];
    let begin = |at: u64, block: Value| {
        named(json!({"type": "content_block_start", "index": at, "content_block": block}))
    };
    let end = |at: u64| named(json!({"type": "content_block_stop", "index": at}));
    let delta = |at: u64, delta: Value| {
        named(json!({"type": "content_block_delta", "index": at, "delta": delta}))
    };
    events.push(begin(0, json!({"type": "text", "text": ""})));
    events.push(named(json!({"type": "ping"})));
    for piece in &reply.pieces {
        events.push(of_text(delta(0, json!({"type": "text_delta", "text": piece}))));
    }
    events.push(end(0));
    if let Some((name, arguments)) = &reply.call {
        events.push(begin(
            1,
            json!({"type": "tool_use", "id": "toolu_1", "name": name, "input": {}}),
        ));
        for part in halves(arguments) {
            events.push(delta(1, json!({"type": "input_json_delta", "partial_json": part})));
        }
        events.push(end(1));
    }
    let why = if reply.call.is_some() { "tool_use" } else { "end_turn" };
    events.push(named(json!({"type": "message_delta",
        "delta": {"stop_reason": why, "stop_sequence": null},
        "usage": {"output_tokens": OUTPUT_TOKENS}})));
    events.push(named(json!({"type": "message_stop"})));
    events
}

fn chat(model: &str, reply: &Reply) -> Vec<Event> {
    let chunk = |choices: Value, usage: Value| {
        let mut chunk = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk",
            "created": 1_700_000_000, "model": model, "system_fingerprint": "fp_1",
            "choices": choices});
        if reply.wants_usage {
            chunk["usage"] = usage;
        }
        bare(&chunk)
    };
    let choice = |delta: Value, why: Value| {
        let choices = json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": why}]);
        chunk(choices, Value::Null)
    };
    let mut events = vec![choice(json!({"role": "assistant", "content": ""}), Value::Null)];
    for piece in &reply.pieces {
        events.push(of_text(choice(json!({"content": piece}), Value::Null)));
    }
    if let Some((name, arguments)) = &reply.call {
        let first = json!({"index": 0, "id": "call_1", "type": "function",
            "function": {"name": name, "arguments": ""}});
        events.push(choice(json!({"content": null, "tool_calls": [first]}), Value::Null));
        for part in halves(arguments) {
            let part = json!({"index": 0, "function": {"arguments": part}});
            events.push(choice(json!({"tool_calls": [part]}), Value::Null));
        }
    }
    let why = if reply.call.is_some() { "tool_calls" } else { "stop" };
    events.push(choice(json!({}), json!(why)));
    if reply.wants_usage {
        events.push(chunk(json!([]), chat_usage()));
    }
    events.push(Event { wire: "data: [DONE]\n\n".to_owned(), is_text: false });
    events
}

fn chat_usage() -> Value {
    json!({"prompt_tokens": INPUT_TOKENS, "completion_tokens": OUTPUT_TOKENS,
        "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS})
}

fn response(model: &str, status: &str, output: Value) -> Value {
    let usage = match status {
        "completed" => json!({"input_tokens": INPUT_TOKENS, "output_tokens": OUTPUT_TOKENS,
            "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS}),
        _ => Value::Null,
    };
    json!({"id": "resp_1", "object": "response", "created_at": 1_700_000_000, "status": status,
        "error": null, "incomplete_details": null, "model": model, "output": output,
        "store": false, "usage": usage})
}

fn output(reply: &Reply) -> Vec<Value> {
    let mut items = Vec::new();
    if !reply.pieces.is_empty() {
        let part = json!({"type": "output_text", "text": reply.pieces.concat(), "annotations": []});
        items.push(json!({"id": "msg_1", "type": "message", "status": "completed",
            "role": "assistant", "content": [part]}));
    }
    if let Some((name, arguments)) = &reply.call {
        items.push(json!({"id": "fc_1", "type": "function_call", "status": "completed",
            "call_id": "call_1", "name": name, "arguments": arguments}));
    }
    items
}

fn responses(model: &str, reply: &Reply) -> Vec<Event> {
    let mut events = Vec::new();
    for name in ["response.created", "response.in_progress"] {
        let begun = response(model, "in_progress", json!([]));
        events.push(named(json!({"type": name, "response": begun})));
    }
    let items = output(reply);
    for (at, item) in items.iter().enumerate() {
        let mut begun = item.clone();
        let is_call = item["type"] == "function_call";
        begun[if is_call { "arguments" } else { "content" }] =
            json!(if is_call { "" } else { "x" });
        if !is_call {
            begun["content"] = json!([]);
        }
        begun["status"] = json!("in_progress");
        events.push(named(
            json!({"type": "response.output_item.added", "output_index": at, "item": begun}),
        ));
        if is_call {
            let arguments = item["arguments"].as_str().unwrap_or_default();
            for part in halves(arguments) {
                let name = "response.function_call_arguments.delta";
                events.push(named(json!({"type": name, "item_id": "fc_1", "delta": part})));
            }
            let name = "response.function_call_arguments.done";
            events.push(named(json!({"type": name, "item_id": "fc_1", "arguments": arguments})));
        } else {
            for piece in &reply.pieces {
                let delta = json!({"type": "response.output_text.delta", "item_id": "msg_1",
                    "output_index": at, "content_index": 0, "delta": piece});
                events.push(of_text(named(delta)));
            }
            let whole = reply.pieces.concat();
            events.push(named(json!({"type": "response.output_text.done", "text": whole})));
        }
        events.push(named(
            json!({"type": "response.output_item.done", "output_index": at, "item": item}),
        ));
    }
    let done = response(model, "completed", json!(items));
    events.push(named(json!({"type": "response.completed", "response": done})));
    events
}

fn gemini(model: &str, reply: &Reply, is_wrapped: bool) -> Vec<Event> {
    let chunk = |parts: Value, why: Option<&str>| {
        let mut candidate = json!({"content": {"parts": parts, "role": "model"}, "index": 0});
        if let Some(why) = why {
            candidate["finishReason"] = json!(why);
        }
        bare(&wrapped(gemini_answer(model, candidate, why.is_some()), is_wrapped))
    };
    // A thought is no part of the answer.
    let mut events = vec![chunk(json!([{"text": "hmm", "thought": true}]), None)];
    for piece in &reply.pieces {
        events.push(of_text(chunk(json!([{"text": piece}]), None)));
    }
    if let Some((name, arguments)) = &reply.call {
        events.push(chunk(gemini_call(name, arguments), None));
    }
    events.push(chunk(json!([{"text": ""}]), Some("STOP")));
    events
}

/// Google sends arguments as an object; what is none goes as it is.
fn gemini_call(name: &str, arguments: &str) -> Value {
    let arguments = serde_json::from_str(arguments).unwrap_or_else(|_| json!(arguments));
    json!([{"functionCall": {"name": name, "args": arguments}}])
}

fn gemini_answer(model: &str, candidate: Value, is_last: bool) -> Value {
    let mut usage = json!({"promptTokenCount": INPUT_TOKENS});
    if is_last {
        usage["candidatesTokenCount"] = json!(OUTPUT_TOKENS);
        usage["totalTokenCount"] = json!(INPUT_TOKENS + OUTPUT_TOKENS);
    }
    json!({"candidates": [candidate], "usageMetadata": usage, "modelVersion": model,
        "responseId": "r-1"})
}

fn wrapped(answer: Value, is_wrapped: bool) -> Value {
    if is_wrapped { json!({"response": answer, "traceId": "t-1"}) } else { answer }
}

pub fn whole(door: &Door, reply: &Reply) -> Value {
    let model = &door.model;
    let text = reply.pieces.concat();
    match door.speech {
        Speech::Anthropic => {
            let mut content = vec![json!({"type": "text", "text": text})];
            if let Some((name, arguments)) = &reply.call {
                let input: Value = serde_json::from_str(arguments).unwrap_or_default();
                content.push(json!({"type": "tool_use", "id": "toolu_1", "name": name,
                    "input": input}));
            }
            json!({"id": "msg_1", "type": "message", "role": "assistant", "model": model,
                "content": content, "stop_reason": "end_turn", "stop_sequence": null,
                "usage": {"input_tokens": INPUT_TOKENS, "output_tokens": OUTPUT_TOKENS}})
        }
        Speech::Chat => {
            let mut message = json!({"role": "assistant", "content": text, "refusal": null});
            if let Some((name, arguments)) = &reply.call {
                message["tool_calls"] = json!([{"id": "call_1", "type": "function",
                    "function": {"name": name, "arguments": arguments}}]);
            }
            json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 1_700_000_000,
                "model": model, "usage": chat_usage(),
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
        }
        Speech::CodeAssist | Speech::Gemini => {
            let mut parts = vec![json!({"text": text})];
            if let Some((name, arguments)) = &reply.call {
                parts.push(gemini_call(name, arguments)[0].clone());
            }
            let candidate = json!({"content": {"parts": parts, "role": "model"}, "index": 0,
                "finishReason": "STOP"});
            wrapped(gemini_answer(model, candidate, true), door.speech == Speech::CodeAssist)
        }
        Speech::Responses => response(model, "completed", json!(output(reply))),
    }
}

/// The vendor's list of models.
pub fn models(door: &Door, ids: &[String]) -> Value {
    let path = door.models.as_deref().unwrap_or_default();
    let each = |make: &dyn Fn(&String) -> Value| ids.iter().map(make).collect::<Vec<_>>();
    if path.contains("llm_models") {
        return json!(each(&|id| json!({"base_name": id, "deployment_name": format!("{id}-eu"),
            "label": id.to_uppercase(), "enabled": true})));
    }
    match door.speech {
        Speech::Anthropic => {
            let data = each(&|id| {
                json!({"type": "model", "id": id, "display_name": id.to_uppercase(),
                "created_at": "2026-02-19T00:00:00Z"})
            });
            json!({"data": data, "has_more": false, "first_id": ids.first(), "last_id": ids.last()})
        }
        Speech::Gemini | Speech::CodeAssist => {
            json!({"models": each(&|id| json!({"name": format!("models/{id}"),
                "displayName": id.to_uppercase(), "inputTokenLimit": 1_048_576,
                "supportedGenerationMethods": ["generateContent", "countTokens"]}))})
        }
        Speech::Responses if path.contains("client_version") => {
            json!({"models": each(&|id| json!({"slug": id, "display_name": id.to_uppercase(),
                "visibility": "list", "supported_in_api": true}))})
        }
        Speech::Chat | Speech::Responses => {
            let data = each(&|id| {
                json!({"id": id, "object": "model", "created": 1_700_000_000,
                "owned_by": "vendor"})
            });
            json!({"object": "list", "data": data})
        }
    }
}
