//! JSON-RPC messages as MCP has them (modelcontextprotocol.io, revisions 2025-11-25 and 2026-07-28,
//! read 2026-11): what a message is, and errors of our own. Nothing is serialised anew that came from
//! a peer, save the id of an error.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::protocol::json_text::{elements, value};

pub use crate::protocol::json_text::one_line;

/// No valid message.
pub const INVALID_REQUEST: i64 = -32600;
/// What a peer says to a method that it does not have.
pub const METHOD_NOT_FOUND: i64 = -32601;

// MCP keeps -32000 to -32099 for itself, and JSON-RPC all from -32768 to -32000; whoever reads ours
// must not take them for the server's.

/// Nobody is signed in, and nobody can be asked now.
pub const SIGN_IN_NEEDED: i64 = -31001;
/// The sign-in was refused, cannot be made or cannot be trusted, or the server refuses its own token.
pub const SIGN_IN_FAILED: i64 = -31002;
/// The server says 403: a scope is missing, or something else.
pub const NOT_ALLOWED: i64 = -31003;
/// No connection, or a server that says "not now": 429 and 5xx.
pub const UNREACHABLE: i64 = -31004;
/// No answer in time.
pub const NO_ANSWER: i64 = -31005;
/// The connection broke before the answer; what was asked for may have been done.
pub const CONNECTION_LOST: i64 = -31006;
/// The session ended at the server, and a new one could not be begun.
pub const SESSION_LOST: i64 = -31007;
/// What answers is no MCP server, or breaks its rules.
pub const NOT_MCP: i64 = -31008;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Notification,
    Request,
    Response,
}

/// A valid message. `id` is a string or an integer, and None in a notification and in an error that
/// answers nothing readable; `line` is the text as it came, on one line.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    pub kind: Kind,
    pub id: Option<Value>,
    pub method: Option<String>,
    pub value: Value,
    pub line: String,
}

impl Message {
    /// Nobody's: what comes on a stream that answers nothing is compared with it.
    pub fn nobody() -> Message {
        let (value, line) = (Value::Null, String::new());
        Message { kind: Kind::Notification, id: None, method: None, value, line }
    }
}

#[derive(Debug, PartialEq)]
pub enum Parsed {
    /// The valid messages of an array, at least one; revision 2025-03-26 alone has such.
    Batch(Vec<Message>),
    /// JSON, but no message; `id` where one can be read, so that it can be answered.
    Invalid {
        id: Option<Value>,
        why: &'static str,
    },
    Message(Box<Message>),
    NoJson,
}

/// A text from a peer, with or without the line end.
pub fn parse(line: &str) -> Parsed {
    let Some(line) = one_line(line) else { return Parsed::NoJson };
    if line.starts_with('[') {
        return batch(&line);
    }
    match message(line) {
        Ok(message) => Parsed::Message(Box::new(message)),
        Err((id, why)) => Parsed::Invalid { id, why },
    }
}

fn batch(line: &str) -> Parsed {
    let elements = elements(line);
    let messages: Vec<_> = elements.into_iter().filter_map(|text| message(text).ok()).collect();
    if messages.is_empty() {
        return Parsed::Invalid { id: None, why: "a batch without a valid message" };
    }
    Parsed::Batch(messages)
}

/// Err: the id as far as there is one, and what is wrong.
fn message(line: String) -> Result<Message, (Option<Value>, &'static str)> {
    /// What is read of a message that cannot be taken apart.
    #[derive(Deserialize)]
    struct Shell {
        id: Option<Value>,
    }
    let Some(value) = value(&line) else {
        let id = serde_json::from_str(&line).ok().and_then(|shell: Shell| shell.id);
        return Err((id, "a message nested too deep, or with a number too large"));
    };
    let Value::Object(object) = &value else {
        return Err((None, "neither a message nor a batch"));
    };
    let given = object.get("id").filter(|id| !id.is_null());
    let id = given.and_then(exact);
    let has_method = object.contains_key("method");
    let method = object.get("method").and_then(Value::as_str).map(str::to_owned);
    let refuse = |why| Err((given.cloned(), why));
    if object.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return refuse("a message without \"jsonrpc\": \"2.0\"");
    }
    if given.is_some() && id.is_none() {
        return refuse("an id that is neither a string nor an integer");
    }
    if has_method && method.is_none() {
        return refuse("a method that is no string");
    }
    let kind = match (&method, &id) {
        (Some(_), Some(_)) => Kind::Request,
        (Some(_), None) if object.contains_key("id") => {
            return refuse("a request whose id is null");
        }
        (Some(_), None) => Kind::Notification,
        (None, _) if object.contains_key("error") => Kind::Response,
        (None, Some(_)) if object.contains_key("result") => Kind::Response,
        (None, _) => return refuse("neither a request nor an answer to one"),
    };
    Ok(Message { kind, id, method, value, line })
}

/// A valid id, written as one: 1.0 is 1. None: no valid id.
fn exact(id: &Value) -> Option<Value> {
    /// From here on a float does not know each integer.
    const LIMIT: f64 = 9_007_199_254_740_992.0;
    match id {
        Value::Number(number) if number.is_f64() => {
            let float = number.as_f64().filter(|f| f.fract() == 0.0 && f.abs() < LIMIT)?;
            Some(Value::from(float as i64))
        }
        Value::Number(_) | Value::String(_) => Some(id.clone()),
        Value::Array(_) | Value::Bool(_) | Value::Null | Value::Object(_) => None,
    }
}

/// An error answer of our own, on one line. `data` is best made by `data`.
pub fn error(id: &Value, code: i64, message: &str, data: Value) -> String {
    let error = json!({"code": code, "message": format!("keyfob: {message}"), "data": data});
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#)
}

/// What an error of ours says to programs: a word for its kind, the HTTP status behind it, the command
/// that helps, and the wait that the server asked for.
pub fn data(
    kind: &str,
    status: Option<u16>,
    next: Option<&str>,
    retry_after_s: Option<u64>,
) -> Value {
    json!({
        "source": "keyfob",
        "kind": kind,
        "status": status,
        "try": next,
        "retry_after": retry_after_s,
    })
}

/// Whether a message is the answer to the request with this id.
pub fn is_answer_to(value: &Value, id: &Value) -> bool {
    value.get("method").is_none() && value.get("id").and_then(exact).is_some_and(|its| its == *id)
}

/// The body of an HTTP error as the answer to the request with this id, on one line: as it came if it
/// has that id, and with it if it has none. None: no JSON-RPC error, or another's.
pub fn with_id(text: &str, id: &Value) -> Option<String> {
    let line = one_line(text)?;
    let mut value = value(&line)?;
    let is_error = value.get("jsonrpc").and_then(Value::as_str) == Some("2.0")
        && value.get("method").is_none()
        && value["error"]["code"].is_number();
    if !is_error {
        return None;
    }
    match value.get("id") {
        None | Some(Value::Null) => {
            value.as_object_mut()?.insert("id".to_owned(), id.clone());
            Some(value.to_string())
        }
        Some(_) => is_answer_to(&value, id).then_some(line),
    }
}

/// The id near the beginning of a request that was cut off: one that stands before its `params`.
pub fn id_at_start(cut: &str) -> Option<Value> {
    let head = cut.split_once("\"params\"").map_or("", |(head, _)| head);
    value(&format!("{}}}", head.trim_end().strip_suffix(',')?))?.get("id").and_then(exact)
}

/// The revision that a message of the stateless era carries.
pub fn meta_version(message: &Value) -> Option<&str> {
    message.get("params")?.get("_meta")?.get("io.modelcontextprotocol/protocolVersion")?.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid(line: &str) -> Message {
        match parse(line) {
            Parsed::Message(message) => *message,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn messages_are_told_apart_by_method_and_id() {
        let big = Some(json!(9_007_199_254_740_993_u64));
        for (line, kind, id) in [
            (r#"{"jsonrpc":"2.0","id":1,"method":"m"}"#, Kind::Request, Some(json!(1))),
            (r#"{"jsonrpc":"2.0","id":"1","method":"m"}"#, Kind::Request, Some(json!("1"))),
            (r#"{"jsonrpc":"2.0","id":-3.0,"method":"m"}"#, Kind::Request, Some(json!(-3))),
            (r#"{"jsonrpc":"2.0","id":9007199254740993,"result":{}}"#, Kind::Response, big),
            (r#"{"jsonrpc":"2.0","method":"m"}"#, Kind::Notification, None),
            (r#"{"jsonrpc":"2.0","id":0,"error":{}}"#, Kind::Response, Some(json!(0))),
            (r#"{"jsonrpc":"2.0","id":null,"error":{}}"#, Kind::Response, None),
            (r#"{"jsonrpc":"2.0","error":{}}"#, Kind::Response, None),
        ] {
            let message = valid(line);
            assert_eq!((message.kind, message.id), (kind, id), "{line}");
            assert_eq!(message.method.is_some(), kind != Kind::Response);
            assert_eq!(message.line, line);
        }
    }

    #[test]
    fn what_is_no_message_says_why_and_for_whom() {
        for (line, id) in [
            (r#"{"id":1,"method":"m"}"#, Some(json!(1))),
            (r#"{"jsonrpc":"1.0","id":"a","method":"m"}"#, Some(json!("a"))),
            (r#"{"jsonrpc":"2.0","id":2,"method":7}"#, Some(json!(2))),
            (r#"{"jsonrpc":"2.0","id":3}"#, Some(json!(3))),
            (r#"{"jsonrpc":"2.0","id":1.5,"method":"m"}"#, Some(json!(1.5))),
            (r#"{"jsonrpc":"2.0","id":null,"method":"m"}"#, None),
            (r#"{"jsonrpc":"2.0","result":{}}"#, None),
            ("{}", None),
            ("7", None),
            ("[]", None),
            (r#"[7,{"jsonrpc":"2.0"}]"#, None),
        ] {
            match parse(line) {
                Parsed::Invalid { id: read, .. } => assert_eq!(read, id, "{line}"),
                other => panic!("{line}: {other:?}"),
            }
        }
        let deep = format!(r#"{{"id":4,"x":{}{}}}"#, "[".repeat(9000), "]".repeat(9000));
        for line in [deep.as_str(), r#"{"jsonrpc":"2.0","id":4,"method":"m","x":1e400}"#] {
            assert!(matches!(parse(line), Parsed::Invalid { id: Some(id), .. } if id == 4));
        }
        for line in ["", " \r\n", "hello", "{", r#"{"jsonrpc":"2.0"} {}"#, "{'a':1}", "\u{feff}{}"]
        {
            assert_eq!(parse(line), Parsed::NoJson, "{line}");
        }
    }

    #[test]
    fn text_stays_as_it_came_on_one_line() {
        let text =
            "{\r\n\t\"jsonrpc\":\"2.0\",\n\"method\" : \"m\\n\",\"n\":1.50e1,\"b\":1,\"a\":2}\r\n";
        let line = r#"{  	"jsonrpc":"2.0", "method" : "m\n","n":1.50e1,"b":1,"a":2}"#;
        assert_eq!(one_line(text).as_deref(), Some(line));
        let message = valid(text);
        assert_eq!((message.line.as_str(), message.method.as_deref()), (line, Some("m\n")));
        assert_eq!((one_line("{} {}"), one_line("\"a\nb\"")), (None, None));
    }

    #[test]
    fn a_batch_is_its_messages_as_they_came() {
        let line =
            r#" [ {"jsonrpc":"2.0","method":"a,]"} ,7,{"jsonrpc":"2.0","id":1.0,"result":[ ]}]"#;
        let Parsed::Batch(messages) = parse(line) else { panic!("no batch") };
        let lines: Vec<_> = messages.iter().map(|message| message.line.as_str()).collect();
        let wanted =
            [r#"{"jsonrpc":"2.0","method":"a,]"}"#, r#"{"jsonrpc":"2.0","id":1.0,"result":[ ]}"#];
        assert_eq!(lines, wanted);
    }

    #[test]
    fn errors_of_ours_are_known_as_ours() {
        let data = data("sign_in", Some(401), Some("keyfob login URL"), None);
        let line = error(&json!("a\nb"), SIGN_IN_NEEDED, "sign-in\nneeded", data);
        assert_eq!(
            line,
            r#"{"jsonrpc":"2.0","id":"a\nb","error":{"code":-31001,"data":{"kind":"sign_in","#
                .to_owned()
                + r#""retry_after":null,"source":"keyfob","status":401,"try":"keyfob login URL"},"#
                + r#""message":"keyfob: sign-in\nneeded"}}"#
        );
    }

    #[test]
    fn an_answer_has_the_very_id() {
        for (text, is_answer) in [
            (r#"{"id":1,"result":{}}"#, true),
            (r#"{"id":1.0,"result":{}}"#, true),
            (r#"{"id":"1","result":{}}"#, false),
            (r#"{"id":1,"method":"ping"}"#, false),
            (r#"{"id":null,"error":{}}"#, false),
        ] {
            let value = serde_json::from_str(text).unwrap();
            assert_eq!(is_answer_to(&value, &json!(1)), is_answer, "{text}");
        }
    }

    #[test]
    fn an_error_without_an_id_gets_ours() {
        let ours = r#"{"error":{"code":-32001},"id":7,"jsonrpc":"2.0"}"#;
        for (text, wanted) in [
            (r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32001}}"#, Some(ours)),
            (r#"{"jsonrpc":"2.0","error":{"code":-32001}}"#, Some(ours)),
            (
                "{\"jsonrpc\":\"2.0\",\n\"id\":7,\"error\":{\"code\":1e0}}",
                Some(r#"{"jsonrpc":"2.0", "id":7,"error":{"code":1e0}}"#),
            ),
            (r#"{"jsonrpc":"2.0","id":8,"error":{"code":-32001}}"#, None),
            (r#"{"jsonrpc":"2.0","id":7,"result":{}}"#, None),
            (r#"{"error":{"code":404,"message":"x"}}"#, None),
            (r#"{"error":"invalid_token"}"#, None),
            ("[]", None),
            ("Not Found", None),
        ] {
            assert_eq!(with_id(text, &json!(7)).as_deref(), wanted, "{text}");
        }
    }

    #[test]
    fn a_cut_request_may_show_its_id() {
        for (cut, wanted) in [
            (r#"{"jsonrpc":"2.0","id":7,"method":"m", "params":{"x":"aaa"#, Some(json!(7))),
            (r#"{"id":"a","params":["#, Some(json!("a"))),
            (r#"{"jsonrpc":"2.0","method":"m","params":{"id":7,"x":"aaa"#, None),
            (r#"{"method":"m","x":"aaa"#, None),
            ("aaa", None),
        ] {
            assert_eq!(id_at_start(cut), wanted, "{cut}");
        }
    }

    #[test]
    fn the_era_is_in_the_message() {
        let meta = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28"});
        let modern = json!({"method": "initialize", "params": {"_meta": meta}});
        assert_eq!(meta_version(&modern), Some("2026-07-28"));
        for other in [json!({"method": "ping", "params": {"_meta": 7}}), json!([])] {
            assert_eq!(meta_version(&other), None);
        }
    }
}
