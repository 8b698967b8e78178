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
    text(answer, delta);
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
    // Some send an empty one with each piece.
    answer.is_complete |= word(&choice["finish_reason"]).is_some();
}

pub fn whole(answer: &mut Answer, body: &Value) -> bool {
    common(answer, body);
    let message = &body["choices"][0]["message"];
    text(answer, message);
    for call in message["tool_calls"].as_array().into_iter().flatten() {
        answer.calls.push(Call {
            name: word(&call["function"]["name"]).unwrap_or_default(),
            arguments: word(&call["function"]["arguments"]).unwrap_or_default(),
        });
    }
    message.is_object()
}

/// A text, or parts of which some are the model's thoughts (Mistral); or a refusal in its place.
fn text(answer: &mut Answer, message: &Value) {
    let content = &message["content"];
    let parts = content.as_array().into_iter().flatten().filter(|part| part["type"] == "text");
    let parts = parts.filter_map(|part| part["text"].as_str());
    let texts = content.as_str().into_iter().chain(parts).chain(message["refusal"].as_str());
    texts.for_each(|text| answer.text.push_str(text));
}

fn common(answer: &mut Answer, body: &Value) {
    keep(&mut answer.model, word(&body["model"]));
    keep(&mut answer.stop_reason, word(&body["choices"][0]["finish_reason"]));
    keep(&mut answer.input_tokens, body["usage"]["prompt_tokens"].as_u64());
    keep(&mut answer.output_tokens, body["usage"]["completion_tokens"].as_u64());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::chat::Fault;
    use crate::protocol::chat::tests::{call, prompt, streamed, told, tool, whole};
    use crate::provider::Dialect::OpenaiChat;

    #[test]
    fn the_request_has_one_system_message_and_only_what_all_know() {
        let (path, query, body) = ask(&prompt(false), &[], None);
        assert_eq!((path.as_str(), query.len()), ("/chat/completions", 0));
        let user = json!({"role": "user", "content": "hi"});
        assert_eq!(body, json!({"model": "m/1", "messages": [user], "stream": false}));
        let (_, _, body) = ask(&prompt(true), &["a", "b"], Some(&tool()));
        let system = json!({"role": "system", "content": "a\n\nb"});
        assert_eq!(body["messages"], json!([system, user]));
        let function =
            json!({"name": "report", "description": "Reports.", "parameters": {"type": "object"}});
        assert_eq!(body["tools"], json!([{"type": "function", "function": function}]));
        assert_eq!(body["stream_options"], Value::Null, "not asked for");
    }

    #[test]
    fn usage_is_asked_for_where_a_stream_would_not_bring_it() {
        for (is_streamed, options) in [(true, json!({"include_usage": true})), (false, Value::Null)]
        {
            let wish = Ask { wants_usage: true, ..prompt(is_streamed) };
            assert_eq!(ask(&wish, &[], None).2["stream_options"], options);
        }
    }

    fn delta(delta: Value) -> Value {
        json!({"model": "m-1", "choices": [{"index": 0, "delta": delta, "finish_reason": null}]})
    }

    fn end(why: &str) -> Value {
        json!({"choices": [{"delta": {}, "finish_reason": why}]})
    }

    #[test]
    fn a_stream_brings_text_and_at_last_the_usage() {
        let usage = json!({"prompt_tokens": 3, "completion_tokens": 9});
        let events = [
            delta(json!({"role": "assistant", "content": ""})),
            delta(json!({"reasoning_content": "hm", "content": null})),
            delta(json!({"content": "Grüß "})),
            delta(json!({"content": "dich"})),
            end("stop"),
            json!({"choices": [], "usage": usage}),
        ];
        let answer = streamed(OpenaiChat, &events).unwrap();
        assert_eq!(answer.text, "Grüß dich");
        assert_eq!((answer.input_tokens, answer.output_tokens), (Some(3), Some(9)));
        assert_eq!(answer.model.as_deref(), Some("m-1"));
        assert_eq!(answer.stop_reason.as_deref(), Some("stop"));
        assert_eq!(streamed(OpenaiChat, &events[..4]).unwrap_err(), Fault::Cut);
    }

    #[test]
    fn an_empty_reason_is_no_end() {
        let events = [json!({"choices": [{"delta": {"content": "a"}, "finish_reason": ""}]})];
        assert_eq!(streamed(OpenaiChat, &events).unwrap_err(), Fault::Cut);
    }

    #[test]
    fn calls_are_put_together_by_place_or_by_order() {
        let part = |part: Value| delta(json!({"tool_calls": [part]}));
        let by_place = vec![
            part(json!({"index": 0, "id": "1", "function": {"name": "a", "arguments": ""}})),
            part(json!({"index": 1, "id": "2", "function": {"name": "b", "arguments": "{"}})),
            part(json!({"index": 0, "function": {"arguments": "{\"w\":"}})),
            part(json!({"index": 1, "function": {"arguments": "}"}})),
            part(json!({"index": 0, "function": {"arguments": "\"ä\"}"}})),
        ];
        let by_order = vec![
            part(json!({"id": "1", "function": {"name": "a", "arguments": "{\"w\":"}})),
            part(json!({"function": {"arguments": "\"ä\"}"}})),
            part(json!({"id": "2", "function": {"name": "b", "arguments": "{}"}})),
        ];
        let at_once = vec![delta(json!({"tool_calls": [
            {"index": 0, "id": "1", "function": {"name": "a", "arguments": "{\"w\":\"ä\"}"}},
            {"index": 1, "id": "2", "function": {"name": "b", "arguments": "{}"}},
        ]}))];
        for mut events in [by_place, by_order, at_once] {
            events.push(end("tool_calls"));
            let calls = streamed(OpenaiChat, &events).unwrap().calls;
            assert_eq!(calls, [call("a", "{\"w\":\"ä\"}"), call("b", "{}")]);
        }
        let far = [part(json!({"index": u64::MAX, "function": {"name": "a"}})), end("stop")];
        assert_eq!(streamed(OpenaiChat, &far).unwrap().calls, [call("a", "")]);
    }

    #[test]
    fn a_whole_answer_is_text_or_parts_or_a_refusal() {
        let thought = json!({"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]});
        for (message, text) in [
            (json!({"content": "ab"}), "ab"),
            (json!({"content": [thought, {"type": "text", "text": "ab"}]}), "ab"),
            (json!({"content": null, "refusal": "No."}), "No."),
            (json!({"content": null, "reasoning": "hm"}), ""),
        ] {
            let choice = json!({"message": message, "finish_reason": "stop"});
            let body = json!({"model": "m-1", "choices": [choice], "error": null,
                "usage": {"prompt_tokens": 3, "completion_tokens": 9}});
            let answer = whole(OpenaiChat, &body).unwrap();
            assert_eq!(answer.text, text, "{message}");
            assert_eq!((answer.input_tokens, answer.output_tokens), (Some(3), Some(9)));
            let events = [json!({"choices": [{"delta": message}]}), end("stop")];
            assert_eq!(streamed(OpenaiChat, &events).unwrap().text, text, "{message}");
        }
        let function = json!({"name": "report", "arguments": "{\"word\":\"x\"}"});
        let message = json!({"tool_calls": [{"id": "1", "function": function}]});
        let answer = whole(OpenaiChat, &json!({"choices": [{"message": message}]})).unwrap();
        assert_eq!(answer.calls, [call("report", r#"{"word":"x"}"#)]);
    }

    #[test]
    fn an_error_in_the_middle_ends_it() {
        let error = json!({"error": {"code": 502, "message": "Provider returned error"}});
        let fault = streamed(OpenaiChat, &[delta(json!({"content": "a"})), error]).unwrap_err();
        assert_eq!(fault, told("502", "Provider returned error"));
    }
}
