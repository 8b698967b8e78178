//! What revision 2026-07-28 of MCP repeats of a message in the headers of its request
//! (modelcontextprotocol.io, basic/transports/streamable-http, "Request Metadata", read 2026-11).

use std::collections::{BTreeMap, HashSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::protocol::jsonrpc;
use crate::text::harmless;

const ANNOTATION: &str = "x-mcp-header";

/// The headers that a message of any era is posted with; servers of older revisions pass over those
/// that they do not know. None for an answer.
pub fn headers(message: &Value, annotations: &Annotations) -> Vec<(String, String)> {
    let mut headers = Vec::new();
    let mut add = |name: &str, value: &str| headers.push((name.to_owned(), encode(value)));
    let Some(method) = message.get("method").and_then(Value::as_str) else { return headers };
    add("Mcp-Method", method);
    let param = |name| message.get("params").and_then(|params| params.get(name));
    let source = match method {
        "prompts/get" | "tools/call" => param("name"),
        "resources/read" => param("uri"),
        _ => None,
    };
    let name = source.and_then(Value::as_str);
    if let Some(name) = name {
        add("Mcp-Name", name);
    }
    if let Some(version) = jsonrpc::meta_version(message) {
        add("MCP-Protocol-Version", version);
    }
    if method == "tools/call"
        && let Some(arguments) = param("arguments")
        && let Some(mirrored) = name.and_then(|tool| annotations.tools.get(tool))
    {
        for Mirrored { header, path } in mirrored {
            let value = path.iter().try_fold(arguments, |value, key| value.get(key));
            if let Some(text) = value.and_then(as_text) {
                add(header, &text);
            }
        }
    }
    headers
}

/// A value as a header holds it: plain where that is possible and cannot be mistaken, else in Base64.
pub fn encode(value: &str) -> String {
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let bytes = value.as_bytes();
    let is_plain = bytes.iter().all(|b| matches!(b, b'\t' | b' '..=b'~'))
        && !is_blank(bytes.first())
        && !is_blank(bytes.last());
    let looks_encoded = value.starts_with("=?base64?") && value.ends_with("?=");
    if is_plain && !looks_encoded {
        return value.to_owned();
    }
    format!("=?base64?{}?=", STANDARD.encode(value))
}

/// A string, an integer or a boolean as text; the rest has no header, null included.
fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::Bool(is_true) => Some(is_true.to_string()),
        // 42.0 is an integer to JSON Schema.
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() => (float.fract() == 0.0).then(|| format!("{float:.0}")),
            _ => Some(number.to_string()),
        },
        Value::String(text) => Some(text.clone()),
        Value::Array(_) | Value::Null | Value::Object(_) => None,
    }
}

/// Which arguments of which tools a server wants in headers.
#[derive(Debug, Default)]
pub struct Annotations {
    tools: BTreeMap<String, Vec<Mirrored>>,
}

/// `Mcp-Param-…`, and where its value stands in the arguments.
#[derive(Debug)]
struct Mirrored {
    header: String,
    path: Vec<String>,
}

impl Annotations {
    /// Reads the `result` of a `tools/list`, of which there may be one for each page; a tool's newest
    /// description counts. A tool whose annotation breaks the rules is taken out, as the revision wants
    /// it; gives a line for each that says which and why. Without such a tool, nothing is changed.
    pub fn learn(&mut self, result: &mut Value) -> Vec<String> {
        let mut faults = Vec::new();
        let Some(tools) = result.get_mut("tools").and_then(Value::as_array_mut) else {
            return faults;
        };
        tools.retain(|tool| {
            let name = tool.get("name").and_then(Value::as_str).unwrap_or_default();
            self.tools.remove(name);
            match annotated(tool) {
                Ok(mirrored) => {
                    if !mirrored.is_empty() {
                        self.tools.insert(name.to_owned(), mirrored);
                    }
                    true
                }
                Err(why) => {
                    faults.push(format!("tool {}: {why}", harmless(name, 100)));
                    false
                }
            }
        });
        faults
    }
}

fn annotated(tool: &Value) -> Result<Vec<Mirrored>, String> {
    let Some(schema) = tool.get("inputSchema") else { return Ok(Vec::new()) };
    let mut search = Search::default();
    search.schema(schema, Some(&mut Vec::new()))?;
    let mut seen = HashSet::new();
    for mirrored in &search.found {
        if !seen.insert(mirrored.header.to_ascii_lowercase()) {
            return Err(format!("{} stands for two arguments", mirrored.header));
        }
    }
    Ok(search.found)
}

#[derive(Default)]
struct Search {
    found: Vec<Mirrored>,
}

impl Search {
    /// `path` leads to the value that the schema describes; None once it cannot be told without
    /// weighing the arguments, so that no annotation may follow.
    fn schema(&mut self, schema: &Value, mut path: Option<&mut Vec<String>>) -> Result<(), String> {
        let fields = match schema {
            Value::Array(schemas) => {
                return schemas.iter().try_for_each(|schema| self.schema(schema, None));
            }
            Value::Object(fields) => fields,
            Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => return Ok(()),
        };
        if let Some(annotation) = fields.get(ANNOTATION) {
            let path = path.as_deref().filter(|path| !path.is_empty());
            let path = path.ok_or("an annotation that is not reached through properties alone")?;
            self.found.push(Mirrored { header: header(annotation, fields)?, path: path.clone() });
        }
        for (key, value) in fields {
            match (key.as_str(), value) {
                // Examples and the like: data, whatever it looks like.
                (ANNOTATION | "const" | "default" | "enum" | "examples", _) => {}
                // What stands here are names, to which schemas belong.
                ("properties", Value::Object(named)) => {
                    for (name, schema) in named {
                        match &mut path {
                            Some(path) => {
                                path.push(name.clone());
                                self.schema(schema, Some(path))?;
                                path.pop();
                            }
                            None => self.schema(schema, None)?,
                        }
                    }
                }
                (
                    "$defs" | "definitions" | "dependentSchemas" | "patternProperties",
                    Value::Object(named),
                ) => named.values().try_for_each(|schema| self.schema(schema, None))?,
                (_, schema) => self.schema(schema, None)?,
            }
        }
        Ok(())
    }
}

/// The name of the header for an annotated property.
fn header(annotation: &Value, property: &Map<String, Value>) -> Result<String, String> {
    // RFC 9110, 5.6.2.
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    let name = annotation.as_str().unwrap_or_default();
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err("an annotation that is no name of a header".to_owned());
    }
    let kind = property.get("type").and_then(Value::as_str);
    if !matches!(kind, Some("boolean" | "integer" | "string")) {
        return Err(format!("{} is for no string, integer or boolean", harmless(name, 100)));
    }
    Ok(format!("Mcp-Param-{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tool(name: &str, schema: Value) -> Value {
        json!({"name": name, "inputSchema": schema})
    }

    fn shown(message: &Value, annotations: &Annotations) -> Vec<String> {
        let headers = headers(message, annotations).into_iter();
        headers.map(|(name, value)| format!("{name}: {value}")).collect()
    }

    #[test]
    fn values_are_plain_or_unmistakable() {
        for (value, wanted) in [
            ("us-west1", "us-west1"),
            ("", ""),
            ("a\tb c", "a\tb c"),
            ("Hello, 世界", "=?base64?SGVsbG8sIOS4lueVjA==?="),
            (" padded ", "=?base64?IHBhZGRlZCA=?="),
            ("padded\t", "=?base64?cGFkZGVkCQ==?="),
            ("line1\nline2", "=?base64?bGluZTEKbGluZTI=?="),
            ("a\u{7f}", "=?base64?YX8=?="),
            ("=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="),
            ("=?BASE64?literal?=", "=?BASE64?literal?="),
            ("=?base64?literal", "=?base64?literal"),
        ] {
            assert_eq!(encode(value), wanted, "{value:?}");
        }
    }

    #[test]
    fn each_method_has_its_headers() {
        let meta = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28"});
        for (message, wanted) in [
            (json!({"method": "ping"}), vec!["Mcp-Method: ping"]),
            (
                json!({"method": "tools/call", "params": {"name": "ä", "_meta": meta}}),
                vec![
                    "Mcp-Method: tools/call",
                    "Mcp-Name: =?base64?w6Q=?=",
                    "MCP-Protocol-Version: 2026-07-28",
                ],
            ),
            (
                json!({"method": "prompts/get", "params": {"name": "p", "uri": "u"}}),
                vec!["Mcp-Method: prompts/get", "Mcp-Name: p"],
            ),
            (
                json!({"method": "resources/read", "params": {"name": "p", "uri": "file:///u"}}),
                vec!["Mcp-Method: resources/read", "Mcp-Name: file:///u"],
            ),
            (
                json!({"method": "resources/list", "params": {"name": "p"}}),
                vec!["Mcp-Method: resources/list"],
            ),
            (json!({"method": "tools/call", "params": [7]}), vec!["Mcp-Method: tools/call"]),
            (json!({"id": 1, "result": {"name": "x"}}), vec![]),
        ] {
            assert_eq!(shown(&message, &Annotations::default()), wanted, "{message}");
        }
    }

    #[test]
    fn annotated_arguments_are_repeated() {
        let schema = json!({"type": "object", "properties": {
            "where": {"type": "string", "x-mcp-header": "Region"},
            "x-mcp-header": {"type": "string", "default": {"x-mcp-header": 7}},
            "deep": {"type": "object", "properties": {
                "count": {"type": "integer", "x-mcp-header": "Count"},
                "dry": {"type": "boolean", "x-mcp-header": "Dry"}}}}});
        let mut annotations = Annotations::default();
        let mut result = json!({"tools": [tool("a", schema)], "nextCursor": "2"});
        let before = result.clone();
        assert!(annotations.learn(&mut result).is_empty());
        let mut more = json!({"tools": [tool("b", json!({"type": "object"})), {"name": "c"}]});
        assert!(annotations.learn(&mut more).is_empty());
        assert_eq!(result, before);

        for (arguments, wanted) in [
            (
                json!({"where": "ö", "deep": {"count": -7, "dry": false}}),
                &[
                    "Mcp-Param-Count: -7",
                    "Mcp-Param-Dry: false",
                    "Mcp-Param-Region: =?base64?w7Y=?=",
                ][..],
            ),
            (json!({"where": null, "deep": {"count": 42.0}}), &["Mcp-Param-Count: 42"]),
            (json!({"where": ["x"], "deep": {"count": 1.5}}), &[]),
            (json!({"count": 1, "Region": "x", "deep": 7}), &[]),
        ] {
            let call = |tool: &str| json!({"method": "tools/call", "params": {"name": tool, "arguments": arguments}});
            let mut told = shown(&call("a"), &annotations).split_off(2);
            told.sort();
            assert_eq!(told, wanted, "{arguments}");
            assert_eq!(shown(&call("b"), &annotations).len(), 2);
        }
        let mut newer = json!({"tools": [tool("a", json!({}))]});
        annotations.learn(&mut newer);
        assert!(annotations.tools.is_empty(), "the newest description counts");
    }

    #[test]
    fn a_tool_with_a_bad_annotation_is_taken_out() {
        let property = |kind: Value, header: Value| json!({"properties": {"x": {"type": kind, "x-mcp-header": header}}});
        let good = json!({"type": "string", "x-mcp-header": "H"});
        for schema in [
            property(json!("string"), json!("")),
            property(json!("string"), json!("a b")),
            property(json!("string"), json!("a\r\nb")),
            property(json!("string"), json!("a:b")),
            property(json!("string"), json!("ä")),
            property(json!("string"), json!(7)),
            property(json!("string"), Value::Null),
            property(json!("number"), json!("H")),
            property(json!("object"), json!("H")),
            property(json!(["string", "null"]), json!("H")),
            property(Value::Null, json!("H")),
            json!({"type": "string", "x-mcp-header": "H"}),
            json!({"properties": {"a": good, "b": {"type": "string", "x-mcp-header": "h"}}}),
            json!({"properties": {"a": {"type": "array", "items": good}}}),
            json!({"properties": {"a": {"items": {"properties": {"b": good}}}}}),
            json!({"anyOf": [{"properties": {"a": good}}]}),
            json!({"if": {"properties": {"a": good}}}),
            json!({"$defs": {"x": good}, "properties": {"a": {"$ref": "#/$defs/x"}}}),
            json!({"patternProperties": {"^x": good}}),
        ] {
            let mut result = json!({"tools": [
                {"name": "before"}, tool("bad\u{1b}[2J", schema.clone()), {"name": "after"}]});
            let mut annotations = Annotations::default();
            let faults = annotations.learn(&mut result);
            assert_eq!(
                result,
                json!({"tools": [{"name": "before"}, {"name": "after"}]}),
                "{schema}"
            );
            assert!(faults.len() == 1 && faults[0].starts_with("tool bad [2J: "), "{faults:?}");
            assert!(annotations.tools.is_empty());
        }
        for mut result in [json!({"tools": 7}), json!({}), json!([])] {
            assert!(Annotations::default().learn(&mut result).is_empty());
        }
    }
}
