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
