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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::chat::tests::{call, prompt, streamed, told, tool, whole};
    use crate::provider::Dialect::AnthropicMessages;

    const BASE: &str = "https://x.example";

    #[test]
    fn the_request_is_a_message_of_the_person() {
        let (path, query, body) = ask(&prompt(true), BASE, &[], None);
        assert_eq!((path.as_str(), query.len()), ("/v1/messages", 0));
        let messages = json!([{"role": "user", "content": "hi"}]);
        let wanted =
            json!({"model": "m/1", "max_tokens": 8192, "stream": true, "messages": messages});
        assert_eq!(body, wanted);
        let (path, _, body) = ask(&prompt(false), "https://x.example/v1", &["a", "b"], None);
        assert_eq!(path, "/messages", "the base has the version");
        assert_eq!(body["stream"], false);
        let blocks = json!([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]);
        assert_eq!(body["system"], blocks);
        let (_, _, body) = ask(&prompt(true), BASE, &[], Some(&tool()));
        let wanted = json!([{"name": "report", "description": "Reports.",
            "input_schema": {"type": "object"}}]);
        assert_eq!(body["tools"], wanted);
    }

    fn start() -> Value {
        let usage = json!({"input_tokens": 3, "output_tokens": 1});
        json!({"type": "message_start", "message": {"model": "m-1", "content": [], "usage": usage}})
    }

    fn begin(block: Value) -> Value {
        json!({"type": "content_block_start", "content_block": block})
    }

    fn delta(delta: Value) -> Value {
        json!({"type": "content_block_delta", "delta": delta})
    }

    fn end(why: &str) -> [Value; 2] {
        let usage = json!({"output_tokens": 9});
        [
            json!({"type": "message_delta", "delta": {"stop_reason": why}, "usage": usage}),
            json!({"type": "message_stop"}),
        ]
    }

    #[test]
    fn a_stream_brings_text_and_no_thoughts() {
        let mut events = vec![
            start(),
            json!({"type": "ping"}),
            begin(json!({"type": "thinking", "thinking": ""})),
            delta(json!({"type": "thinking_delta", "thinking": "hm"})),
            delta(json!({"type": "signature_delta", "signature": "xx"})),
            begin(json!({"type": "text", "text": ""})),
            delta(json!({"type": "text_delta", "text": "Grüß "})),
            delta(json!({"type": "text_delta", "text": "dich"})),
            json!({"type": "content_block_stop"}),
        ];
        events.extend(end("end_turn"));
        let answer = streamed(AnthropicMessages, &events).unwrap();
        assert_eq!(answer.text, "Grüß dich");
        assert_eq!((answer.input_tokens, answer.output_tokens), (Some(3), Some(9)));
        assert_eq!(answer.model.as_deref(), Some("m-1"));
        assert_eq!(answer.stop_reason.as_deref(), Some("end_turn"));
        events.pop();
        assert_eq!(streamed(AnthropicMessages, &events).unwrap_err(), super::super::Fault::Cut);
    }

    #[test]
    fn each_call_gets_its_own_pieces() {
        let part = |text: &str| delta(json!({"type": "input_json_delta", "partial_json": text}));
        let tool = |name: &str| begin(json!({"type": "tool_use", "name": name, "input": {}}));
        let mut events = vec![start(), tool("a"), part(""), part("{\"word\":"), part("\"ä\"}")];
        events.extend([tool("b"), part("{}"), tool("c")]);
        events.extend(end("tool_use"));
        let calls = streamed(AnthropicMessages, &events).unwrap().calls;
        assert_eq!(calls, [call("a", "{\"word\":\"ä\"}"), call("b", "{}"), call("c", "")]);
    }

    #[test]
    fn a_whole_answer_says_the_same() {
        let content = json!([
            {"type": "thinking", "thinking": "hm"},
            {"type": "text", "text": "a"},
            {"type": "text", "text": "b"},
            {"type": "tool_use", "id": "1", "name": "report", "input": {"word": "x"}},
        ]);
        let body = json!({"model": "m-1", "content": content, "stop_reason": "tool_use",
            "usage": {"input_tokens": 3, "output_tokens": 9}});
        let answer = whole(AnthropicMessages, &body).unwrap();
        assert_eq!(answer.text, "ab");
        assert_eq!(answer.calls, [call("report", r#"{"word":"x"}"#)]);
        assert_eq!((answer.input_tokens, answer.output_tokens), (Some(3), Some(9)));
        let refused = json!({"content": [], "stop_reason": "refusal"});
        let answer = whole(AnthropicMessages, &refused).unwrap();
        assert_eq!((answer.text.as_str(), answer.stop_reason.as_deref()), ("", Some("refusal")));
    }

    #[test]
    fn an_error_in_the_middle_ends_it() {
        let error = json!({"type": "overloaded_error", "message": "Overloaded"});
        let events = [start(), json!({"type": "error", "error": error})];
        let fault = streamed(AnthropicMessages, &events).unwrap_err();
        assert_eq!(fault, told("overloaded_error", "Overloaded"));
    }
}
