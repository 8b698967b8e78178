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

/// Of a message only: the thoughts of a model have parts with texts, too.
fn text(answer: &mut Answer, item: &Value) {
    let parts = item["content"].as_array().filter(|_| item["type"] == "message");
    for part in parts.into_iter().flatten() {
        let text = part["text"].as_str().or(part["refusal"].as_str());
        answer.text.push_str(text.unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::chat::tests::{call, prompt, streamed, told, tool, whole};
    use crate::provider::Dialect::OpenaiResponses;

    #[test]
    fn the_request_always_has_instructions_and_stores_nothing() {
        let (path, query, body) = ask(&prompt(true), &[], None);
        assert_eq!((path.as_str(), query.len()), ("/responses", 0));
        let content = json!([{"type": "input_text", "text": "hi"}]);
        let message = json!({"type": "message", "role": "user", "content": content});
        let wanted = json!({"model": "m/1", "instructions": "", "input": [message],
            "stream": true, "store": false});
        assert_eq!(body, wanted);
        let (_, _, body) = ask(&prompt(false), &["a", "b"], Some(&tool()));
        assert_eq!((&body["instructions"], &body["stream"]), (&json!("a\n\nb"), &json!(false)));
        let wanted = json!([{"type": "function", "name": "report", "description": "Reports.",
            "parameters": {"type": "object"}, "strict": false}]);
        assert_eq!(body["tools"], wanted);
    }

    fn message(text: &str) -> Value {
        let content = json!([{"type": "output_text", "text": text}]);
        json!({"type": "message", "role": "assistant", "content": content})
    }

    fn function_call(name: &str, arguments: &str) -> Value {
        json!({"type": "function_call", "call_id": "1", "name": name, "arguments": arguments})
    }

    fn thought() -> Value {
        let content = json!([{"type": "reasoning_text", "text": "hm"}]);
        json!({"type": "reasoning", "summary": [], "content": content})
    }

    fn done(item: &Value) -> Value {
        json!({"type": "response.output_item.done", "item": item})
    }

    fn text_delta(text: &str) -> Value {
        json!({"type": "response.output_text.delta", "delta": text})
    }

    fn created() -> Value {
        json!({"type": "response.created",
            "response": {"model": "m-1", "status": "in_progress", "error": null}})
    }

    fn completed() -> Value {
        let usage = json!({"input_tokens": 3, "output_tokens": 9});
        json!({"type": "response.completed", "response": {"model": "m-1", "status": "completed",
            "error": null, "incomplete_details": null, "usage": usage}})
    }

    #[test]
    fn a_stream_brings_text_and_calls_and_no_thoughts() {
        let events = [
            created(),
            json!({"type": "response.reasoning_text.delta", "delta": "hm"}),
            json!({"type": "response.reasoning_summary_text.delta", "delta": "hm"}),
            done(&thought()),
            text_delta("Grüß "),
            text_delta("dich"),
            done(&message("Grüß dich")),
            json!({"type": "response.function_call_arguments.delta", "delta": "{}"}),
            done(&function_call("a", "{\"word\":\"ä\"}")),
            done(&function_call("b", "{}")),
            completed(),
        ];
        let answer = streamed(OpenaiResponses, &events).unwrap();
        assert_eq!(answer.text, "Grüß dich");
        assert_eq!(answer.calls, [call("a", "{\"word\":\"ä\"}"), call("b", "{}")]);
        assert_eq!((answer.input_tokens, answer.output_tokens), (Some(3), Some(9)));
        assert_eq!(answer.model.as_deref(), Some("m-1"));
        assert_eq!(answer.stop_reason.as_deref(), Some("completed"));
        assert_eq!(streamed(OpenaiResponses, &events[..10]).unwrap_err(), Fault::Cut);
    }

    #[test]
    fn items_may_come_whole() {
        let events = [created(), done(&thought()), done(&message("hi")), completed()];
        assert_eq!(streamed(OpenaiResponses, &events).unwrap().text, "hi");
    }

    #[test]
    fn a_refusal_is_a_text() {
        let delta = json!({"type": "response.refusal.delta", "delta": "No."});
        let item = json!({"type": "message", "content": [{"type": "refusal", "refusal": "No."}]});
        let answer = streamed(OpenaiResponses, &[delta, done(&item), completed()]).unwrap();
        assert_eq!(answer.text, "No.");
        let body = json!({"status": "completed", "output": [item]});
        assert_eq!(whole(OpenaiResponses, &body).unwrap().text, "No.");
    }

    #[test]
    fn a_whole_answer_says_the_same() {
        let output = json!([thought(), message("hi"), function_call("report", "{}")]);
        let body = json!({"model": "m-1", "status": "incomplete", "error": null, "output": output,
            "incomplete_details": {"reason": "max_output_tokens"},
            "usage": {"input_tokens": 3, "output_tokens": 9}});
        let answer = whole(OpenaiResponses, &body).unwrap();
        assert_eq!((answer.text.as_str(), &answer.calls[..]), ("hi", &[call("report", "{}")][..]));
        assert_eq!(answer.stop_reason.as_deref(), Some("max_output_tokens"));
        assert_eq!((answer.input_tokens, answer.output_tokens), (Some(3), Some(9)));
    }

    #[test]
    fn both_ways_to_fail_are_told() {
        let error = json!({"code": "server_error", "message": "Oops."});
        let failed = json!({"type": "response.failed",
            "response": {"status": "failed", "error": error}});
        let event = json!({"type": "error", "code": "server_error", "message": "Oops."});
        for last in [failed, event] {
            let fault = streamed(OpenaiResponses, &[created(), text_delta("a"), last]);
            assert_eq!(fault.unwrap_err(), told("server_error", "Oops."));
        }
        let body = json!({"status": "failed", "error": error, "output": []});
        assert_eq!(whole(OpenaiResponses, &body).unwrap_err(), told("server_error", "Oops."));
    }
}
