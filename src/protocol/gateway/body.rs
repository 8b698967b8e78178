//! The body of a prompt. Only its outermost level is looked at, and what is not replaced stays as the
//! caller wrote it, byte by byte.

use std::borrow::Cow;
use std::ops::Range;

use serde::de::IgnoredAny;
use serde_json::{Deserializer, Value};

use crate::protocol::gateway::route::Route;

/// A JSON object, and where its members' values stand.
pub struct Body {
    text: String,
    members: Vec<(String, Range<usize>)>,
}

impl Body {
    /// None: no JSON object, or one that says a thing twice, of which another parser might take the
    /// other one.
    pub fn parse(text: String) -> Option<Body> {
        let members = members(&text)?;
        let mut names: Vec<_> = members.iter().map(|(name, _)| name).collect();
        names.sort();
        let is_doubled = names.windows(2).any(|pair| pair[0] == pair[1]);
        (!is_doubled).then_some(Body { text, members })
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// A member as it stands there.
    pub fn raw(&self, name: &str) -> Option<&str> {
        let (_, range) = self.members.iter().find(|(known, _)| known == name)?;
        self.text.get(range.clone())
    }

    fn value(&self, name: &str) -> Option<Value> {
        serde_json::from_str(self.raw(name)?).ok()
    }

    /// A member that is a text and not an empty one.
    pub fn word(&self, name: &str) -> Option<String> {
        match self.value(name)? {
            Value::String(word) if !word.is_empty() => Some(word),
            _ => None,
        }
    }

    pub fn model(&self) -> Option<String> {
        self.word("model")
    }

    pub fn is_streamed(&self) -> bool {
        self.raw("stream") == Some("true")
    }

    /// The text with these members, each a JSON text, in place of what they were or added.
    pub fn with(&self, changes: &[(&str, String)]) -> String {
        let mut changed = self.text.clone();
        let mut places: Vec<_> = changes
            .iter()
            .map(|(name, value)| {
                let known = self.members.iter().find(|(known, _)| known == name);
                (known.map(|(_, range)| range.clone()), *name, value)
            })
            .collect();
        // From the end, so that what is before stays where it was.
        places.sort_by_key(|(range, ..)| std::cmp::Reverse(range.as_ref().map_or(0, |r| r.start)));
        for (range, name, value) in places {
            if let Some(range) = range {
                changed.replace_range(range, value);
                continue;
            }
            let Some(open) = changed.find('{') else { continue };
            let comma = if self.members.is_empty() { "" } else { "," };
            changed.insert_str(open + 1, &format!("{}:{value}{comma}", Value::from(name)));
        }
        changed
    }
}

/// The members of a JSON object: names, and where the values stand.
pub fn members(text: &str) -> Option<Vec<(String, Range<usize>)>> {
    serde_json::from_str::<IgnoredAny>(text).ok()?;
    const BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];
    let mut rest = text.trim_start_matches(BLANKS).strip_prefix('{')?;
    let mut found = Vec::new();
    loop {
        rest = rest.trim_start_matches(|c| c == ',' || BLANKS.contains(&c));
        if rest.starts_with('}') {
            return Some(found);
        }
        let mut names = Deserializer::from_str(rest).into_iter::<Cow<str>>();
        let name = names.next()?.ok()?.into_owned();
        rest = rest.get(names.byte_offset()..)?.trim_start_matches(BLANKS).strip_prefix(':')?;
        rest = rest.trim_start_matches(BLANKS);
        let mut values = Deserializer::from_str(rest).into_iter::<IgnoredAny>();
        values.next()?.ok()?;
        let (begin, length) = (text.len() - rest.len(), values.byte_offset());
        found.push((name, begin..begin + length));
        rest = rest.get(length..)?;
    }
}

/// A name for the conversation that a prompt belongs to, where the dialect or its clients have one: what
/// a provider remembers of it (its prompt cache, a stored answer) is with one account. Sources: Anthropic's
/// `metadata.user_id`, OpenAI's `prompt_cache_key`, `previous_response_id` and `conversation`, Google's
/// `cachedContent`; headers of Claude Code and Codex.
pub fn conversation<'a>(
    route: &Route,
    body: &Body,
    header: impl Fn(&str) -> Option<&'a str>,
) -> Option<String> {
    let by_header = |names: &[&str]| names.iter().find_map(|name| header(name)).map(str::to_owned);
    let found = match route {
        Route::CountTokens | Route::Messages => by_header(&["x-claude-code-session-id"])
            .or_else(|| Some(body.value("metadata")?["user_id"].as_str()?.to_owned())),
        Route::Responses => body
            .word("prompt_cache_key")
            .or_else(|| body.word("conversation"))
            .or_else(|| Some(body.value("conversation")?["id"].as_str()?.to_owned()))
            .or_else(|| by_header(&["session_id", "session-id", "conversation_id"]))
            .or_else(|| body.word("previous_response_id")),
        Route::ChatCompletions => {
            body.word("prompt_cache_key").or_else(|| by_header(&["session_id", "x-session-id"]))
        }
        Route::Generate { .. } => body.word("cachedContent"),
        Route::Embeddings
        | Route::GoogleModel(_)
        | Route::GoogleModels
        | Route::Model(_)
        | Route::Models => None,
    };
    found.or_else(|| by_header(&["x-session-affinity"])).filter(|name| name.len() <= 1024)
}

/// The id of an answer of Responses, whole or streamed, if it stands in these first bytes.
pub fn response_id(beginning: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(beginning);
    let (_, after) = text.split_once("\"id\"")?;
    let after = after.trim_start().strip_prefix(':')?;
    let mut ids = Deserializer::from_str(after).into_iter::<String>();
    ids.next()?.ok().filter(|id| !id.is_empty() && id.len() <= 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(text: &str) -> Body {
        Body::parse(text.to_owned()).unwrap()
    }

    #[test]
    fn only_what_is_replaced_changes() {
        let text =
            "\n{ \"a\" : [1.50e1, {\"model\":\"x\"}],\t\"model\":\"m\\u0031\" ,\"stream\": true}\n";
        let found = body(text);
        assert_eq!(found.model().as_deref(), Some("m1"));
        assert!(found.is_streamed());
        let changed =
            found.with(&[("model", "\"long/name\"".to_owned()), ("store", "false".to_owned())]);
        let wanted = text
            .replace("\"m\\u0031\"", "\"long/name\"")
            .replace("{ \"a\"", "{\"store\":false, \"a\"");
        assert_eq!(changed, wanted);
        assert_eq!(body("{}").with(&[("a", "1".to_owned())]), "{\"a\":1}");
    }

    #[test]
    fn what_is_no_single_object_is_refused() {
        for text in [
            "",
            "[]",
            "7",
            "{",
            "{\"a\":1,}",
            "{\"a\":1}{}",
            "{\"model\":\"a\",\"model\":\"b\"}",
            "{\"model\":\"a\",\"mod\\u0065l\":\"b\"}",
        ] {
            assert!(Body::parse(text.to_owned()).is_none(), "{text}");
        }
        assert_eq!(body("{\"model\":7}").model(), None);
        assert_eq!(body("{\"model\":\"\"}").model(), None);
    }

    #[test]
    fn a_conversation_has_a_name_in_each_dialect() {
        let nothing = |_: &str| None;
        let named = |route: &Route, text: &str| conversation(route, &body(text), nothing);
        let user = r#"{"metadata":{"user_id":"u_session_1"}}"#;
        assert_eq!(named(&Route::Messages, user).as_deref(), Some("u_session_1"));
        let cached = r#"{"prompt_cache_key":"k","previous_response_id":"r"}"#;
        assert_eq!(named(&Route::Responses, cached).as_deref(), Some("k"));
        assert_eq!(named(&Route::ChatCompletions, cached).as_deref(), Some("k"));
        let stored = r#"{"previous_response_id":"resp_1"}"#;
        assert_eq!(named(&Route::Responses, stored).as_deref(), Some("resp_1"));
        let object = r#"{"conversation":{"id":"c"}}"#;
        assert_eq!(named(&Route::Responses, object).as_deref(), Some("c"));
        assert_eq!(named(&Route::Messages, "{}"), None);
        let header = |name: &str| (name == "session_id").then_some("s");
        let found = conversation(&Route::Responses, &body("{}"), header);
        assert_eq!(found.as_deref(), Some("s"));
    }

    #[test]
    fn an_answer_says_its_id_first() {
        let of = |text: &str| response_id(text.as_bytes());
        let whole = "{\n  \"id\": \"resp_1\",\n  \"output\":[{\"id\":\"msg_1\"}]";
        assert_eq!(of(whole).as_deref(), Some("resp_1"));
        let event = "event: response.created\ndata: {\"response\":{\"id\":\"resp_2\",\"object\"";
        assert_eq!(of(event).as_deref(), Some("resp_2"));
        for text in ["", "{\"id\"", "{\"id\": \"resp_", "{\"id\": 7}", "{\"id\":\"\"}"] {
            assert_eq!(of(text), None, "{text}");
        }
    }
}
