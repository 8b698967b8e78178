//! APIs that answer in another form than the route they stand behind: Code Assist puts Gemini's requests
//! and answers into an envelope (google-gemini/gemini-cli, packages/core/src/code_assist/converter.ts), and
//! some APIs of Responses answer in streams only.

use serde_json::{Value, json};

use crate::protocol::gateway::body::{self, Body};
use crate::protocol::sse;

/// What has to be done to an answer on its way to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Envelope {
    None,
    /// `{"response": …}` around each event and around a whole answer.
    CodeAssist,
    /// A stream, of which the caller wants the end alone.
    LastOfStream,
}

/// A Gemini body as Code Assist wants it. `id` names the prompt.
pub fn wrap(body: &Body, model: &str, project: Option<&str>, id: &str) -> String {
    let mut outer = format!("{{\"model\":{},\"user_prompt_id\":{}", json!(model), json!(id));
    if let Some(project) = project {
        outer.push_str(&format!(",\"project\":{}", json!(project)));
    }
    format!("{outer},\"request\":{}}}", body.text().trim())
}

/// The same for counting tokens, which knows neither project nor prompt.
pub fn wrap_count(body: &Body, model: &str) -> String {
    let contents = body.raw("contents").unwrap_or("[]");
    let model = json!(format!("models/{model}"));
    format!("{{\"request\":{{\"model\":{model},\"contents\":{contents}}}}}")
}

/// What is in the envelope; another answer as it is.
pub fn inside(text: &str) -> &str {
    let members = body::members(text).unwrap_or_default();
    let inner = members.into_iter().find(|(name, _)| name == "response");
    inner.and_then(|(_, range)| text.get(range)).unwrap_or(text)
}

/// The events of a stream without their envelopes. None: an event is too long.
pub fn out_of_events(decoder: &mut sse::Decoder, piece: &[u8]) -> Option<Vec<u8>> {
    let events = decoder.feed(piece)?;
    let mut out = Vec::new();
    for event in events.iter().filter(|event| !event.data.is_empty()) {
        // The data of an event may be several lines; JSON does not mind which.
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(inside(&event.data).replace('\n', " ").as_bytes());
        out.extend_from_slice(b"\r\n\r\n");
    }
    Some(out)
}

/// The answer that a stream of Responses ends with, if one of these events does: its status and body.
pub fn last_of_stream(events: &[sse::Event]) -> Option<(u16, String)> {
    events.iter().find_map(|event| {
        let data: Value = serde_json::from_str(&event.data).ok()?;
        match data["type"].as_str()? {
            "response.completed" | "response.incomplete" => {
                Some((200, data["response"].to_string()))
            }
            "response.failed" => {
                let error = &data["response"]["error"];
                Some((502, json!({"error": error}).to_string()))
            }
            "error" => Some((502, json!({"error": data}).to_string())),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_goes_into_its_envelope_as_it_is() {
        let body = Body::parse(" {\"contents\": [1.0] } ".to_owned()).unwrap();
        assert_eq!(
            wrap(&body, "m", Some("p"), "i"),
            r#"{"model":"m","user_prompt_id":"i","project":"p","request":{"contents": [1.0] }}"#
        );
        assert_eq!(wrap_count(&body, "m"), r#"{"request":{"model":"models/m","contents":[1.0]}}"#);
    }

    #[test]
    fn answers_come_out_of_their_envelopes() {
        assert_eq!(inside(r#"{"traceId":"t","response":{"a": 1.0}}"#), r#"{"a": 1.0}"#);
        assert_eq!(inside(r#"{"error":{}}"#), r#"{"error":{}}"#);
        let mut decoder = sse::Decoder::default();
        let first = out_of_events(&mut decoder, b"data: {\"response\":{\"a\":1}}\n\ndata: {\"resp");
        assert_eq!(first.unwrap(), b"data: {\"a\":1}\r\n\r\n");
        let second = out_of_events(&mut decoder, b"onse\":{\"a\":2}}\n\n");
        assert_eq!(second.unwrap(), b"data: {\"a\":2}\r\n\r\n");
    }

    #[test]
    fn a_stream_ends_in_its_answer() {
        let mut decoder = sse::Decoder::default();
        let mut feed = |text: &str| last_of_stream(&decoder.feed(text.as_bytes()).unwrap());
        assert_eq!(feed("data: {\"type\":\"response.created\"}\n\n"), None);
        let end = "data: {\"type\":\"response.completed\",\"response\":{\"id\":\"r\"}}\n\n";
        assert_eq!(feed(end), Some((200, r#"{"id":"r"}"#.to_owned())));
    }
}
