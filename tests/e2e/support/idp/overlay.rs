//! The config.json that points provider rows at this issuer.

use serde_json::{Map, Value, json};

use super::dialect::path_and_query;

const URL_KEYS: [&str; 11] = [
    "authorize_url",
    "device_page_url",
    "device_poll_url",
    "device_redirect_uri",
    "device_url",
    "issuer",
    "register_url",
    "revoke_url",
    "token_url",
    "userinfo_url",
    "validate_url",
];

/// `rows` is the whole answer of `provider list --json`, or its list of providers.
pub fn overlay(origin: &str, rows: &Value) -> Value {
    let rows = rows.get("providers").unwrap_or(rows).as_array().cloned().unwrap_or_default();
    let mut providers = Map::new();
    for row in &rows {
        let mut keys = Map::new();
        for key in URL_KEYS {
            if row[key].is_string() {
                keys.insert(key.into(), moved(origin, &row[key]));
            }
        }
        let hosted = &row["redirect"]["hosted"]["url"];
        if hosted.is_string() {
            keys.insert("redirect".into(), json!({"hosted": {"url": moved(origin, hosted)}}));
        }
        if let Some(urls) = row["code_assist"]["urls"].as_array() {
            let urls: Vec<Value> = urls.iter().map(|url| moved(origin, url)).collect();
            keys.insert("code_assist".into(), json!({"urls": urls}));
        }
        if row["api_token"]["url"].is_string() {
            let url = moved(origin, &row["api_token"]["url"]);
            keys.insert("api_token".into(), json!({"url": url}));
        }
        if row["api"].is_object() {
            let api = api(origin, &row["api"]);
            if !api.is_empty() {
                keys.insert("api".into(), Value::Object(api));
            }
        }
        if row["instance"]["row"].is_object() {
            let there = moved_within(origin, &row["instance"]["row"]);
            keys.insert("instance".into(), json!({"row": there}));
        }
        if let (Some(id), false) = (row["id"].as_str(), keys.is_empty()) {
            providers.insert(id.into(), Value::Object(keys));
        }
    }
    json!({"providers": providers})
}

fn api(origin: &str, api: &Value) -> Map<String, Value> {
    let mut keys = Map::new();
    if api["base"].is_string() {
        keys.insert("base".into(), moved(origin, &api["base"]));
    }
    if let Some(bases) = api["key_bases"].as_object() {
        // The same server by another name, so that a test can tell them apart.
        let other = origin.replace("127.0.0.1", "localhost");
        let bases = bases.iter().map(|(start, base)| (start.clone(), moved(&other, base)));
        keys.insert("key_bases".into(), Value::Object(bases.collect()));
    }
    keys
}

/// All addresses in it.
fn moved_within(origin: &str, value: &Value) -> Value {
    match value {
        Value::String(text) if text.contains("://") => moved(origin, value),
        Value::Object(map) => {
            map.iter().map(|(key, value)| (key.clone(), moved_within(origin, value))).collect()
        }
        other => other.clone(),
    }
}

/// What stands for a host that is known later stays: `{instance}` has a scheme of its own, so that
/// a host below it becomes the instance itself; any other is on this machine too.
fn moved(origin: &str, url: &Value) -> Value {
    let text = url.as_str().unwrap_or_default();
    let (path, query) = path_and_query(text);
    let question = if query.is_empty() { "" } else { "?" };
    let host = text.split_once("://").map_or("", |(_, rest)| rest);
    let host = host.split(['/', '?']).next().unwrap_or_default();
    if text.starts_with("{instance}") {
        url.clone()
    } else if host.contains("{host}") {
        json!(format!("{{instance}}{path}{question}{query}"))
    } else if host.starts_with('{') && host.ends_with('}') {
        json!(format!("http://{host}{path}{question}{query}"))
    } else {
        json!(format!("{origin}{path}{question}{query}"))
    }
}
