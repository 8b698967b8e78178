//! JSON of which the text must stay as it is: the parser looks, and changes nothing.

use serde::de::IgnoredAny;
use serde_json::{Deserializer, Value};

/// The text on one line without blanks around it, if it is one JSON value. Raw line ends stand only
/// between the parts of a value, never within a string, so nothing changes its meaning.
pub fn one_line(text: &str) -> Option<String> {
    let text = text.trim_matches([' ', '\t', '\r', '\n']);
    // Takes any depth, and strings that hold half a character.
    serde_json::from_str::<IgnoredAny>(text).ok()?;
    Some(text.replace(['\r', '\n'], " "))
}

/// The elements of an array that is valid JSON, each as it stands there.
pub fn elements(array: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = &array[1..];
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let mut values = Deserializer::from_str(rest).into_iter::<IgnoredAny>();
        let Some(Ok(IgnoredAny)) = values.next() else { return found };
        let (element, after) = rest.split_at(values.byte_offset());
        found.push(element.to_owned());
        rest = after;
    }
}

/// Valid JSON taken apart, as far as 128 levels and numbers of 64 bits go.
pub fn value(text: &str) -> Option<Value> {
    let value = serde_json::from_str(text);
    value.or_else(|_| serde_json::from_str(&whole_characters(text))).ok()
}

/// The text with U+FFFD for each escape that is half a character, which `JSON.stringify` writes of a
/// string cut in the wrong place, and which this parser refuses.
fn whole_characters(text: &str) -> String {
    let unit = |text: &str| {
        let digits = text.strip_prefix("\\u")?.get(..4)?;
        u16::from_str_radix(digits, 16).ok()
    };
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let taken = match unit(rest) {
            Some(0xd800..=0xdbff) if matches!(unit(&rest[6..]), Some(0xdc00..=0xdfff)) => 12,
            Some(0xd800..=0xdfff) => {
                out.push('\u{fffd}');
                rest = &rest[6..];
                continue;
            }
            Some(_) => 6,
            // An escape has a second letter, and it is ASCII: the text is valid JSON.
            None => 2.min(rest.len()),
        };
        out.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_become_blanks() {
        let text = "\t{\r\n\"a\" :\n1.50e1,\"b\":\"\\n\"}\r\n";
        assert_eq!(one_line(text).as_deref(), Some(r#"{  "a" : 1.50e1,"b":"\n"}"#));
        for text in ["{} {}", "\"a\nb\"", "", "\u{feff}{}"] {
            assert_eq!(one_line(text), None, "{text:?}");
        }
    }

    #[test]
    fn half_a_character_is_no_reason_to_refuse() {
        let text = r#""\\ud83d \ud83d \ud83d\ude00 \ude00 \ud83dx\ud83d""#;
        assert_eq!(one_line(text).as_deref(), Some(text));
        let wanted = "\\ud83d \u{fffd} \u{1f600} \u{fffd} \u{fffd}x\u{fffd}";
        assert_eq!(value(text), Some(Value::from(wanted)));
    }

    #[test]
    fn elements_are_cut_where_they_end() {
        let array = r#"[ {"a":"]," } ,7, "x" ,[[1],2 ],null]"#;
        assert_eq!(elements(array), [r#"{"a":"]," }"#, "7", r#""x""#, "[[1],2 ]", "null"]);
        assert!(elements("[ ]").is_empty());
    }
}
