//! Google's generateContent (ai.google.dev/api/generate-content), bare and in the envelope of Code
//! Assist (google-gemini/gemini-cli, packages/core/src/code_assist/converter.ts).

use serde_json::{Value, json};

use crate::protocol::chat::{Answer, Ask, Call, Tool, keep, word};
use crate::protocol::form;

type Asked<'a> = (String, Vec<(&'a str, &'a str)>, Value);

pub fn ask<'a>(ask: &Ask, path: Option<&str>, system: &[&str], tool: Option<&Tool>) -> Asked<'a> {
    let model = form::encode(ask.model.strip_prefix("models/").unwrap_or(ask.model));
    let path = path.unwrap_or("/models/{model}").replace("{model}", &model);
    let (method, query) = method(ask);
    (format!("{path}{method}"), query, contents(ask, system, tool))
}

pub fn ask_code_assist<'a>(
    ask: &Ask,
    project: Option<&str>,
    system: &[&str],
    tool: Option<&Tool>,
) -> Asked<'a> {
    let mut request = contents(ask, system, tool);
    request["session_id"] = json!(ask.id);
    let mut body = json!({"model": ask.model, "user_prompt_id": ask.id, "request": request});
    if let Some(project) = project {
        body["project"] = json!(project);
    }
    let (method, query) = method(ask);
    (method.to_owned(), query, body)
}

fn method<'a>(ask: &Ask) -> (&'static str, Vec<(&'a str, &'a str)>) {
    match ask.is_streamed {
        true => (":streamGenerateContent", vec![("alt", "sse")]),
        false => (":generateContent", Vec::new()),
    }
}

fn contents(ask: &Ask, system: &[&str], tool: Option<&Tool>) -> Value {
    let mut body = json!({"contents": [{"role": "user", "parts": [{"text": ask.prompt}]}]});
    if !system.is_empty() {
        let parts: Vec<_> = system.iter().map(|text| json!({"text": text})).collect();
        body["systemInstruction"] = json!({"parts": parts});
    }
    if let Some(Tool { name, description, parameters }) = tool {
        let function = json!({"name": name, "description": description, "parameters": parameters});
        body["tools"] = json!([{"functionDeclarations": [function]}]);
    }
    body
}

pub fn take(answer: &mut Answer, event: &Value) {
    let candidate = &event["candidates"][0];
    for part in candidate["content"]["parts"].as_array().into_iter().flatten() {
        if part["thought"] == true {
            continue;
        }
        answer.text.push_str(part["text"].as_str().unwrap_or_default());
        let call = &part["functionCall"];
        if let Some(name) = word(&call["name"]) {
            let arguments = call.get("args").map_or("{}".to_owned(), Value::to_string);
            answer.calls.push(Call { name, arguments });
        }
    }
    let blocked = word(&event["promptFeedback"]["blockReason"]);
    keep(&mut answer.stop_reason, word(&candidate["finishReason"]).or(blocked));
    keep(&mut answer.model, word(&event["modelVersion"]));
    let usage = &event["usageMetadata"];
    keep(&mut answer.input_tokens, usage["promptTokenCount"].as_u64());
    keep(&mut answer.output_tokens, usage["candidatesTokenCount"].as_u64());
    answer.is_complete |= answer.stop_reason.is_some();
}

pub fn whole(answer: &mut Answer, body: &Value) -> bool {
    take(answer, body);
    body["candidates"].is_array() || answer.is_complete
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::chat::Fault;
    use crate::protocol::chat::tests::{call, prompt, streamed, told, tool, whole};
    use crate::provider::Dialect::{CodeAssist, GeminiGenerateContent};

    #[test]
    fn the_method_says_whether_it_streams() {
        let sse = vec![("alt", "sse")];
        let (path, query, body) = ask(&prompt(true), None, &[], None);
        assert_eq!((path.as_str(), query), ("/models/m%2F1:streamGenerateContent", sse.clone()));
        let wanted = json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}]});
        assert_eq!(body, wanted);
        let named = Ask { model: "models/g-1", ..prompt(false) };
        let (path, query, _) = ask(&named, Some("/publishers/x/models/{model}"), &[], None);
        assert_eq!(path, "/publishers/x/models/g-1:generateContent");
        assert_eq!(query, []);
        let (path, query, _) = ask_code_assist(&prompt(true), None, &[], None);
        assert_eq!((path.as_str(), query), (":streamGenerateContent", sse));
    }

    #[test]
    fn system_texts_and_a_tool_stand_beside_the_contents() {
        let (_, _, body) = ask(&prompt(false), None, &["a", "b"], Some(&tool()));
        assert_eq!(body["systemInstruction"], json!({"parts": [{"text": "a"}, {"text": "b"}]}));
        let function =
            json!({"name": "report", "description": "Reports.", "parameters": {"type": "object"}});
        assert_eq!(body["tools"], json!([{"functionDeclarations": [function]}]));
    }

    #[test]
    fn code_assist_puts_it_in_an_envelope() {
        let (path, _, body) = ask_code_assist(&prompt(false), Some("p-1"), &["a"], None);
        assert_eq!(path, ":generateContent");
        let request = json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}],
            "systemInstruction": {"parts": [{"text": "a"}]}, "session_id": "id-1"});
        let wanted =
            json!({"model": "m/1", "user_prompt_id": "id-1", "project": "p-1", "request": request});
        assert_eq!(body, wanted);
        let (_, _, body) = ask_code_assist(&prompt(false), None, &[], None);
        assert!(body.get("project").is_none(), "{body}");
    }

    fn parts(parts: Value) -> Value {
        json!({"candidates": [{"content": {"role": "model", "parts": parts}}]})
    }

    fn end() -> Value {
        json!({"candidates": [{"finishReason": "STOP"}], "modelVersion": "g-1",
            "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 9}})
    }

    #[test]
    fn a_stream_brings_text_and_calls_and_no_thoughts() {
        let events = [
            parts(json!([{"text": "hm", "thought": true}])),
            parts(json!([{"text": "Grüß "}, {"text": "dich"}])),
            parts(json!([{"functionCall": {"name": "a", "args": {"word": "ä"}}}])),
            parts(json!([{"functionCall": {"name": "b"}, "thoughtSignature": "xx"}])),
            end(),
        ];
        let wrapped = events.clone().map(|event| json!({"response": event, "traceId": "1"}));
        for (dialect, events) in [(GeminiGenerateContent, &events), (CodeAssist, &wrapped)] {
            let answer = streamed(dialect, events).unwrap();
            assert_eq!(answer.text, "Grüß dich");
            assert_eq!(answer.calls, [call("a", "{\"word\":\"ä\"}"), call("b", "{}")]);
            assert_eq!((answer.input_tokens, answer.output_tokens), (Some(3), Some(9)));
            assert_eq!(answer.model.as_deref(), Some("g-1"));
            assert_eq!(answer.stop_reason.as_deref(), Some("STOP"));
            assert_eq!(streamed(dialect, &events[..4]).unwrap_err(), Fault::Cut);
        }
        assert_eq!(streamed(CodeAssist, &events).unwrap_err(), Fault::Cut, "no envelope");
    }

    #[test]
    fn a_whole_answer_says_the_same() {
        let mut body = parts(json!([{"text": "hm", "thought": true}, {"text": "hi"}]));
        body["candidates"][0]["finishReason"] = json!("MAX_TOKENS");
        let wrapped = json!({"response": body});
        for (dialect, body) in [(GeminiGenerateContent, body), (CodeAssist, wrapped)] {
            let answer = whole(dialect, &body).unwrap();
            assert_eq!(answer.text, "hi");
            assert_eq!(answer.stop_reason.as_deref(), Some("MAX_TOKENS"));
        }
    }

    #[test]
    fn a_blocked_prompt_is_an_answer_without_text() {
        let blocked = json!({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}});
        let streamed = streamed(GeminiGenerateContent, std::slice::from_ref(&blocked));
        for answer in [streamed, whole(GeminiGenerateContent, &blocked)] {
            let answer = answer.unwrap();
            assert_eq!(answer.text, "");
            assert_eq!(answer.stop_reason.as_deref(), Some("PROHIBITED_CONTENT"));
        }
    }

    #[test]
    fn an_error_in_the_middle_ends_it() {
        let error = json!({"error": {"code": 503, "status": "UNAVAILABLE", "message": "Later."}});
        let wanted = told("UNAVAILABLE", "Later.");
        for last in [json!([error]), error] {
            for dialect in [GeminiGenerateContent, CodeAssist] {
                let fault = streamed(dialect, std::slice::from_ref(&last)).unwrap_err();
                assert_eq!(fault, wanted, "{last}");
            }
        }
    }
}
