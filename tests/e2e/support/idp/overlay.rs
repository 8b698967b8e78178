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
        if row["api"]["base"].is_string() {
            keys.insert("api".into(), json!({"base": moved(origin, &row["api"]["base"])}));
        }
        if let (Some(id), false) = (row["id"].as_str(), keys.is_empty()) {
            providers.insert(id.into(), Value::Object(keys));
        }
    }
    json!({"providers": providers})
}

fn moved(origin: &str, url: &Value) -> Value {
    let (path, query) = path_and_query(url.as_str().unwrap_or_default());
    let question = if query.is_empty() { "" } else { "?" };
    json!(format!("{origin}{path}{question}{query}"))
}
