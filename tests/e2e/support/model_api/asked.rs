//! What was asked, checked against what the vendor documents: nothing missing, nothing foreign.

use serde_json::{Map, Value};

use super::{Door, Speech, What};
use crate::support::idp::Request;

/// A prompt, whatever API it came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    pub model: String,
    pub prompt: String,
    pub system: String,
    pub tool: Option<Offered>,
    pub is_streamed: bool,
    pub wants_usage: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Offered {
    pub name: String,
    pub schema: Value,
}

const ALWAYS: [&str; 9] = [
    "accept",
    "accept-encoding",
    "connection",
    "content-length",
    "content-type",
    "host",
    "user-agent",
    "transfer-encoding",
    "expect",
];

type Checked<T> = Result<T, String>;

/// What the request is for, and what a prompt says. The credential's value is not judged here.
pub fn understand(door: &Door, request: &Request) -> Checked<(What, Option<Said>)> {
    headers(door, request)?;
    let target = match request.query.as_str() {
        "" => request.path.clone(),
        query => format!("{}?{query}", request.path),
    };
    if request.method == "GET" {
        wants("a body of a GET", &request.body, "")?;
        header(request, "accept", "application/json")?;
        if request.header("content-type").is_some() {
            return Err("a GET with a content type".into());
        }
        if door.models.as_deref() == Some(&target) {
            return Ok((What::Models, None));
        }
        let is_known = door.free.iter().any(|(path, _)| *path == target);
        return if is_known { Ok((What::Free, None)) } else { Err(format!("GET {target}")) };
    }
    wants("the method", &request.method, "POST")?;
    header(request, "content-type", "application/json")?;
    let body: Value = serde_json::from_str(&request.body).map_err(|e| format!("no JSON: {e}"))?;
    let said = match door.speech {
        Speech::Anthropic => anthropic(&body)?,
        Speech::Chat => chat(&body)?,
        Speech::CodeAssist => code_assist(door, &body, request)?,
        Speech::Gemini => gemini(&body, request, &door.model)?,
        Speech::Responses => responses(&body)?,
    };
    path(door, request, said.is_streamed)?;
    wants("the model", &said.model, &door.model)?;
    if door.stream_only && !said.is_streamed {
        return Err("Stream must be set to true".into());
    }
    let accept = if said.is_streamed { "text/event-stream" } else { "application/json" };
    header(request, "accept", accept)?;
    if said.prompt.is_empty() {
        return Err("the prompt is empty".into());
    }
    let what = if said.tool.is_some() { What::Tool } else { What::Prompt };
    Ok((what, Some(said)))
}

fn headers(door: &Door, request: &Request) -> Checked<()> {
    for (name, value) in &door.headers {
        header(request, name, value)?;
    }
    let mut names: Vec<_> = request.headers.iter().map(|(name, _)| name.to_lowercase()).collect();
    names.sort();
    for pair in names.windows(2) {
        if pair[0] == pair[1] {
            return Err(format!("{} was sent twice", pair[0]));
        }
    }
    for name in &names {
        let is_ours = *name == door.credential || door.headers.iter().any(|(ours, _)| ours == name);
        if !is_ours && !ALWAYS.contains(&name.as_str()) {
            return Err(format!("a foreign header: {name}"));
        }
    }
    match request.header(&door.credential) {
        Some(_) => Ok(()),
        None => Err(format!("no {} header", door.credential)),
    }
}

fn path(door: &Door, request: &Request, is_streamed: bool) -> Checked<()> {
    let method = match (door.speech, is_streamed) {
        (Speech::CodeAssist | Speech::Gemini, true) => ":streamGenerateContent",
        (Speech::CodeAssist | Speech::Gemini, false) => ":generateContent",
        _ => "",
    };
    wants("the path", &request.path, &format!("{}{method}", door.prompts))?;
    let mut query = Vec::new();
    if method.starts_with(":stream") {
        query.push(("alt".to_owned(), "sse".to_owned()));
    }
    query.extend(door.query.iter().cloned());
    let found = request.query_params()?.0;
    if found == query { Ok(()) } else { Err(format!("the query is {found:?}, not {query:?}")) }
}

fn anthropic(body: &Value) -> Checked<Said> {
    let must = ["max_tokens", "messages", "model", "stream"];
    let body = object("the body", body, &must, &["system", "tools"])?;
    if !body["max_tokens"].as_u64().is_some_and(|limit| (1..=8192).contains(&limit)) {
        return Err(format!("max_tokens is {}", body["max_tokens"]));
    }
    let message = only("messages", &body["messages"])?;
    let message = object("a message", message, &["content", "role"], &[])?;
    wants("the role", &text(&message["role"])?, "user")?;
    let mut system = Vec::new();
    for block in list(body.get("system"))? {
        let block = object("a system block", block, &["text", "type"], &[])?;
        wants("the block's type", &text(&block["type"])?, "text")?;
        system.push(text(&block["text"])?);
    }
    let mut tool = None;
    for found in list(body.get("tools"))? {
        let found = object("a tool", found, &["description", "input_schema", "name"], &[])?;
        tool = Some(offered(found, "input_schema")?);
    }
    Ok(Said {
        model: text(&body["model"])?,
        prompt: text(&message["content"])?,
        system: system.join("|"),
        tool,
        is_streamed: flag(&body["stream"])?,
        wants_usage: true,
    })
}

fn chat(body: &Value) -> Checked<Said> {
    let body =
        object("the body", body, &["messages", "model", "stream"], &["stream_options", "tools"])?;
    let mut messages = list(body.get("messages"))?;
    let user = messages.pop().ok_or("no messages")?;
    let of = |role: &str, message: &Value| -> Checked<String> {
        let message = object("a message", message, &["content", "role"], &[])?;
        wants("the role", &text(&message["role"])?, role)?;
        text(&message["content"])
    };
    let system =
        messages.iter().map(|message| of("system", message)).collect::<Checked<Vec<_>>>()?;
    if system.len() > 1 {
        return Err("two system messages".into());
    }
    let is_streamed = flag(&body["stream"])?;
    if let Some(options) = body.get("stream_options") {
        let options = object("stream_options", options, &["include_usage"], &[])?;
        if !is_streamed || options["include_usage"] != true {
            return Err("stream_options out of place".into());
        }
    }
    let mut tool = None;
    for found in list(body.get("tools"))? {
        let found = object("a tool", found, &["function", "type"], &[])?;
        wants("the tool's type", &text(&found["type"])?, "function")?;
        let must = ["description", "name", "parameters"];
        tool = Some(offered(object("a function", &found["function"], &must, &[])?, "parameters")?);
    }
    Ok(Said {
        model: text(&body["model"])?,
        prompt: of("user", user)?,
        system: system.concat(),
        tool,
        is_streamed,
        wants_usage: !is_streamed || body.contains_key("stream_options"),
    })
}

fn responses(body: &Value) -> Checked<Said> {
    let must = ["input", "instructions", "model", "store", "stream"];
    let body = object("the body", body, &must, &["tools"])?;
    if body["store"] != false {
        return Err("store must be false".into());
    }
    let item = only("input", &body["input"])?;
    let item = object("an item", item, &["content", "role", "type"], &[])?;
    wants("the item's type", &text(&item["type"])?, "message")?;
    wants("the role", &text(&item["role"])?, "user")?;
    let part = object("a part", only("content", &item["content"])?, &["text", "type"], &[])?;
    wants("the part's type", &text(&part["type"])?, "input_text")?;
    let mut tool = None;
    for found in list(body.get("tools"))? {
        let must = ["description", "name", "parameters", "strict", "type"];
        let found = object("a tool", found, &must, &[])?;
        wants("the tool's type", &text(&found["type"])?, "function")?;
        // Strict schemas need every property required and nothing else allowed.
        if found["strict"] != false {
            return Err("a schema that is not strict is called so".into());
        }
        tool = Some(offered(found, "parameters")?);
    }
    Ok(Said {
        model: text(&body["model"])?,
        prompt: text(&part["text"])?,
        system: text(&body["instructions"])?,
        tool,
        is_streamed: flag(&body["stream"])?,
        wants_usage: true,
    })
}

fn code_assist(door: &Door, body: &Value, request: &Request) -> Checked<Said> {
    let must = ["model", "project", "request", "user_prompt_id"];
    let envelope = object("the envelope", body, &must, &[])?;
    let project = door.project.as_deref().unwrap_or_default();
    wants("the project", &text(&envelope["project"])?, project)?;
    if text(&envelope["user_prompt_id"])?.len() < 8 {
        return Err("user_prompt_id says nothing".into());
    }
    let mut inner = envelope["request"].clone();
    let session = inner.as_object_mut().and_then(|inner| inner.remove("session_id"));
    if session.is_none_or(|id| id.as_str().is_none_or(|id| id.len() < 8)) {
        return Err("no session_id".into());
    }
    gemini(&inner, request, &text(&envelope["model"])?)
}

/// The model stands in the path, which is checked elsewhere.
fn gemini(body: &Value, request: &Request, model: &str) -> Checked<Said> {
    let body = object("the body", body, &["contents"], &["systemInstruction", "tools"])?;
    let content = only("contents", &body["contents"])?;
    let content = object("a content", content, &["parts", "role"], &[])?;
    wants("the role", &text(&content["role"])?, "user")?;
    let part = object("a part", only("parts", &content["parts"])?, &["text"], &[])?;
    let mut system = Vec::new();
    if let Some(instruction) = body.get("systemInstruction") {
        let instruction = object("systemInstruction", instruction, &["parts"], &[])?;
        for part in list(instruction.get("parts"))? {
            system.push(text(&object("a part", part, &["text"], &[])?["text"])?);
        }
    }
    let mut tool = None;
    for found in list(body.get("tools"))? {
        let found = object("a tool", found, &["functionDeclarations"], &[])?;
        let function = only("functionDeclarations", &found["functionDeclarations"])?;
        let must = ["description", "name", "parameters"];
        tool = Some(offered(object("a function", function, &must, &[])?, "parameters")?);
    }
    Ok(Said {
        model: model.to_owned(),
        prompt: text(&part["text"])?,
        system: system.join("|"),
        tool,
        is_streamed: request.path.ends_with(":streamGenerateContent"),
        wants_usage: true,
    })
}

fn offered(tool: &Map<String, Value>, schema: &str) -> Checked<Offered> {
    let name = text(&tool["name"])?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || name.len() > 64 || !name.chars().all(is_plain) {
        return Err(format!("no name for a tool: {name:?}"));
    }
    if text(&tool["description"])?.is_empty() {
        return Err("a tool without a description".into());
    }
    let schema = object("the schema", &tool[schema], &["properties", "type"], &["required"])?;
    wants("the schema's type", &text(&schema["type"])?, "object")?;
    Ok(Offered { name, schema: Value::Object(schema.clone()) })
}

fn wants(what: &str, found: &str, wanted: &str) -> Checked<()> {
    if found == wanted { Ok(()) } else { Err(format!("{what} is {found:?}, not {wanted:?}")) }
}

fn header(request: &Request, name: &str, wanted: &str) -> Checked<()> {
    wants(name, request.header(name).unwrap_or_default(), wanted)
}

fn text(value: &Value) -> Checked<String> {
    value.as_str().map(str::to_owned).ok_or_else(|| format!("{value} is no text"))
}

fn flag(value: &Value) -> Checked<bool> {
    value.as_bool().ok_or_else(|| format!("{value} is no truth value"))
}

/// Absent is empty, but empty is wrong: the APIs refuse empty lists.
fn list(value: Option<&Value>) -> Checked<Vec<&Value>> {
    let Some(value) = value else { return Ok(Vec::new()) };
    let list: Vec<_> =
        value.as_array().ok_or_else(|| format!("{value} is no list"))?.iter().collect();
    if list.is_empty() { Err("an empty list".into()) } else { Ok(list) }
}

fn only<'a>(what: &str, value: &'a Value) -> Checked<&'a Value> {
    match value.as_array().map(Vec::as_slice) {
        Some([one]) => Ok(one),
        _ => Err(format!("{what} is not one: {value}")),
    }
}

/// An object with these keys, perhaps with those, and with no other.
fn object<'a>(
    what: &str,
    value: &'a Value,
    must: &[&str],
    may: &[&str],
) -> Checked<&'a Map<String, Value>> {
    let map = value.as_object().ok_or_else(|| format!("{what} is {value}"))?;
    let missing: Vec<_> = must.iter().filter(|key| !map.contains_key(**key)).collect();
    let is_known = |key: &str| must.contains(&key) || may.contains(&key);
    let foreign: Vec<_> = map.keys().filter(|key| !is_known(key)).collect();
    if missing.is_empty() && foreign.is_empty() {
        return Ok(map);
    }
    Err(format!("{what} lacks {missing:?}, and {foreign:?} do not belong there"))
}
