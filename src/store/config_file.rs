//! config.json: settings and provider overlays. People edit it, so what keyfob does not know
//! stays as it is.

use serde_json::{Map, Value};

use crate::secret::Secret;

/// The file as a JSON object. Keys: `providers` (rows and overlays), `client_secrets` (a user's
/// own OAuth client secrets by provider), `defaults` (account by provider), `accepted_terms`
/// (time by provider).
#[derive(Clone, Default)]
pub struct Config(Map<String, Value>);

impl Config {
    /// Err says in words what is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Config, String> {
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(object)) => Ok(Config(object)),
            Ok(_) => Err("it is not a JSON object".to_owned()),
            Err(e) => Err(format!("it is no JSON at line {}, column {}", e.line(), e.column())),
        }
    }

    pub fn render(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut bytes = serde_json::to_vec_pretty(&self.0)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// The rows and overlays by provider id.
    pub fn providers(&self) -> Map<String, Value> {
        self.0.get("providers").and_then(Value::as_object).cloned().unwrap_or_default()
    }

    /// The text at `section.key`.
    pub fn get(&self, section: &str, key: &str) -> Option<&str> {
        self.0.get(section)?.get(key)?.as_str()
    }

    /// A user's own client secret for a provider.
    pub fn client_secret(&self, provider: &str) -> Option<Secret> {
        self.get("client_secrets", provider).map(Secret::new)
    }

    /// Puts a value at `section.key`; a section of another type is replaced.
    pub fn set(&mut self, section: &str, key: &str, value: Value) {
        let slot = self.0.entry(section).or_insert(Value::Null);
        if !slot.is_object() {
            *slot = Value::Object(Map::new());
        }
        slot[key] = value;
    }

    /// Removes `section.key`, and the section when nothing else is in it.
    pub fn unset(&mut self, section: &str, key: &str) -> Option<Value> {
        let object = self.0.get_mut(section)?.as_object_mut()?;
        let removed = object.remove(key);
        if object.is_empty() {
            self.0.remove(section);
        }
        removed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unknown_stays() {
        let mut config = Config::parse(br#"{"mine":[1],"defaults":{"a":"b"}}"#).unwrap();
        config.set("defaults", "c", Value::from("d"));
        config.unset("defaults", "a");
        assert_eq!(config.get("defaults", "c"), Some("d"));
        config.unset("defaults", "c");
        let rendered = String::from_utf8(config.render().unwrap()).unwrap();
        assert_eq!(rendered.split_whitespace().collect::<String>(), r#"{"mine":[1]}"#);
        assert!(Config::parse(b"{").is_err());
        assert!(Config::parse(b"[]").is_err());
    }
}
