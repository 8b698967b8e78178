//! config.json: settings and provider overlays. People edit it, so what keyfob does not know
//! stays as it is.

use serde_json::{Map, Value};

use crate::secret::Secret;

/// What the file may hold: `providers` (rows and overlays), `client_secrets` (a user's own OAuth
/// client secrets by provider), `default` (`provider`: the one to use when none is named),
/// `defaults` (account by provider), `accepted_terms` (time by provider), `serve` (the gateway's).
pub const SECTIONS: [&str; 6] =
    ["accepted_terms", "client_secrets", "default", "defaults", "providers", "serve"];

/// What is shown in place of a secret.
const MASK: &str = "…";

/// The file as a JSON object.
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

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The way down that a dotted key means. Names may hold dots themselves, so the longest one
    /// that is there is meant; a provider's may also be one of `known`.
    pub fn path(&self, key: &str, known: &[&str]) -> Vec<String> {
        let (section, mut rest) = key.split_once('.').unwrap_or((key, ""));
        let mut path = vec![section.to_owned()];
        let mut here = self.0.get(section);
        while !rest.is_empty() {
            let is_provider = section == "providers" && path.len() == 1;
            let is_start = |name: &&str| {
                rest.strip_prefix(name).is_some_and(|end| end.is_empty() || end.starts_with('.'))
            };
            let there = here.and_then(Value::as_object).into_iter().flat_map(Map::keys);
            let names =
                there.map(String::as_str).chain(known.iter().copied().filter(|_| is_provider));
            let longest = names.filter(is_start).max_by_key(|name| name.len());
            // The other sections hold one value for each provider; of the gateway's settings some hold
            // one for each model.
            let is_flat = match section {
                "providers" => false,
                "serve" => path.len() > 1,
                _ => SECTIONS.contains(&section),
            };
            let first = if is_flat { rest } else { rest.split('.').next().unwrap_or(rest) };
            let name = longest.unwrap_or(first).to_owned();
            rest = rest.get(name.len() + 1..).unwrap_or_default();
            here = here.and_then(|here| here.get(&name));
            path.push(name);
        }
        path
    }

    pub fn get_path(&self, path: &[String]) -> Option<&Value> {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(self.0.get(first)?, |here, name| here.get(name))
    }

    /// Puts a value at a path; what stands in its way and is no object is replaced.
    pub fn set_path(&mut self, path: &[String], value: Value) {
        let Some((last, parents)) = path.split_last() else { return };
        let mut here = &mut self.0;
        for name in parents {
            let slot = here.entry(name).or_insert(Value::Null);
            if !slot.is_object() {
                *slot = Value::Object(Map::new());
            }
            let Value::Object(object) = slot else { return };
            here = object;
        }
        here.insert(last.clone(), value);
    }

    /// Removes what is at a path, and the objects around it that are empty then.
    pub fn unset_path(&mut self, path: &[String]) -> Option<Value> {
        unset(&mut self.0, path)
    }

    /// Every setting by its dotted key, sorted, secrets masked.
    pub fn flatten(&self) -> Vec<(String, Value)> {
        let mut all = Vec::new();
        flatten(&Value::Object(self.masked()), "", &mut all);
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        all
    }

    /// The whole object, secrets masked.
    pub fn masked(&self) -> Map<String, Value> {
        let masked = |(name, value): (&String, &Value)| {
            (name.clone(), masked(value, std::slice::from_ref(name)))
        };
        self.0.iter().map(masked).collect()
    }
}

fn unset(object: &mut Map<String, Value>, path: &[String]) -> Option<Value> {
    let (first, rest) = path.split_first()?;
    if rest.is_empty() {
        return object.remove(first);
    }
    let inner = object.get_mut(first)?.as_object_mut()?;
    let removed = unset(inner, rest)?;
    if inner.is_empty() {
        object.remove(first);
    }
    Some(removed)
}

fn flatten(value: &Value, key: &str, all: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(object) if !object.is_empty() => {
            for (name, value) in object {
                let dot = if key.is_empty() { "" } else { "." };
                flatten(value, &format!("{key}{dot}{name}"), all);
            }
        }
        _ if key.is_empty() => {}
        leaf => all.push((key.to_owned(), leaf.clone())),
    }
}

/// The value at a path with every secret in it masked.
pub fn masked(value: &Value, path: &[String]) -> Value {
    match value {
        Value::Object(object) => {
            let inner = object.iter().map(|(name, value)| {
                (name.clone(), masked(value, &[path, std::slice::from_ref(name)].concat()))
            });
            Value::Object(inner.collect())
        }
        leaf if is_secret(leaf, path) => Value::from(MASK),
        leaf => leaf.clone(),
    }
}

/// Whether a value that is no object looks like a secret, by its place or by itself. A mask too many
/// hides a setting, one too few shows a password.
pub fn is_secret(value: &Value, path: &[String]) -> bool {
    // The name of a provider says nothing about what stands below it.
    let mut names =
        path.iter().map(String::as_str).skip(if path[0] == "providers" { 2 } else { 1 });
    match value {
        Value::Array(all) if all.iter().any(|one| is_secret(one, path)) => true,
        Value::Array(_) | Value::Bool(_) | Value::Null | Value::Object(_) => false,
        Value::Number(_) => path[0] == "client_secrets" || names.any(is_secret_name),
        Value::String(text) => {
            // JSON pointers, and what a variable is filled with.
            let is_place = text.is_empty() || text.starts_with(['/', '=']);
            let is_named = path[0] == "client_secrets" || names.any(is_secret_name);
            (is_named && !is_place) || looks_secret(text)
        }
    }
}

fn is_secret_name(name: &str) -> bool {
    const WORDS: [&str; 10] = [
        "access_token",
        "api_key",
        "apikey",
        "authorization",
        "cookie",
        "management_key",
        "passw",
        "private_key",
        "refresh_token",
        "secret",
    ];
    const HARMLESS_ENDS: [&str; 3] = ["_env", "_uri", "_url"];
    let name = name.to_ascii_lowercase().replace('-', "_");
    let is_harmless = HARMLESS_ENDS.iter().any(|end| name.ends_with(end));
    !is_harmless && (name == "token" || WORDS.iter().any(|word| name.contains(word)))
}

/// How keys and tokens begin, and an address with a password in it.
fn looks_secret(text: &str) -> bool {
    const STARTS: [&str; 14] = [
        "-----BEGIN",
        "AIza",
        "Basic ",
        "Bearer ",
        "GOCSPX-",
        "eyJ",
        "gho_",
        "ghp_",
        "ghu_",
        "github_pat_",
        "gsk_",
        "hf_",
        "sk-",
        "ya29.",
    ];
    const SHORTEST_BYTES: usize = 16;
    let authority = text.split_once("://").and_then(|(_, rest)| rest.split(['/', '?', '#']).next());
    authority.is_some_and(|authority| authority.contains('@'))
        || (text.len() >= SHORTEST_BYTES && STARTS.iter().any(|start| text.starts_with(start)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

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

    fn config(value: Value) -> Config {
        Config::parse(value.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_dotted_key_finds_names_with_dots() {
        let config = config(json!({
            "providers": {"my": {"idp": 1}, "my.idp": {"api": {"headers": {"x.y": "z"}}}},
            "mine": {"a.b": {"c": 1}},
        }));
        for (key, wanted) in [
            ("providers.my.idp.token_url", "providers my.idp token_url"),
            ("providers.my.other", "providers my other"),
            ("providers.my.idpx", "providers my idpx"),
            ("providers.my.idp.api.headers.x.y", "providers my.idp api headers x.y"),
            ("providers.x.ai.model", "providers x.ai model"),
            ("providers.x.aim", "providers x aim"),
            ("defaults.my.idp", "defaults my.idp"),
            ("default.provider", "default provider"),
            ("client_secrets.a.b.c", "client_secrets a.b.c"),
            ("mine.a.b.c", "mine a.b c"),
            ("mine", "mine"),
        ] {
            assert_eq!(config.path(key, &["x.ai", "x"]).join(" "), wanted, "{key}");
        }
    }

    #[test]
    fn a_value_is_put_found_and_removed() {
        let mut config = config(json!({"mine": [1], "defaults": "x"}));
        let path = |words: &str| words.split(' ').map(str::to_owned).collect::<Vec<_>>();
        config.set_path(&path("providers my.idp api base"), json!("https://x.example"));
        config.set_path(&path("providers my.idp api"), json!({"base": "https://y.example"}));
        config.set_path(&path("defaults my.idp"), json!("me"));
        let base = path("providers my.idp api base");
        assert_eq!(config.get_path(&base), Some(&json!("https://y.example")));
        assert_eq!(config.get("defaults", "my.idp"), Some("me"));
        assert_eq!(config.unset_path(&path("providers my.idp nothing")), None);
        assert_eq!(config.unset_path(&base), Some(json!("https://y.example")));
        assert_eq!(config.get_path(&path("providers")), None, "nothing empty stays");
        assert_eq!(config.get_path(&path("mine")), Some(&json!([1])));
    }

    #[test]
    fn every_setting_is_listed_sorted() {
        let config = config(json!({
            "providers": {"b": {"scopes": ["x"], "api": {}}, "a": {"token_url": "https://t"}},
            "default": {"provider": "a"}, "empty": {},
        }));
        let lines: Vec<_> = config.flatten().iter().map(|(k, v)| format!("{k}={v}")).collect();
        let wanted = [
            r#"default.provider="a""#,
            "empty={}",
            r#"providers.a.token_url="https://t""#,
            "providers.b.api={}",
            r#"providers.b.scopes=["x"]"#,
        ];
        assert_eq!(lines, wanted);
        assert!(Config::default().flatten().is_empty());
    }

    #[test]
    fn secrets_are_masked_and_nothing_else() {
        let hidden = json!({
            "client_secrets": {"mine": "hunter2", "other": 7},
            "providers": {"a": {
                "client_secret": ["hunter2", "hunter3"],
                "api": {"headers": {"Authorization": "hunter2", "x-api-key": "hunter2"}},
                "token_params": {"client_secret": "hunter2", "password": "hunter2"},
                "note": "sk-hunter2hunter2hunter2",
                "docs": "https://me:hunter2@x.example",
            }},
            "mine": {"api_key": "hunter2"},
        });
        for (key, value) in config(hidden).flatten() {
            assert_eq!(value, json!("…"), "{key}");
        }
        let shown = json!({
            "providers": {"my-secret-idp": {
                "token_url": "https://x.example/token",
                "token_body": "form",
                "api_token": {"url": "https://x.example", "token": "/token"},
                "api": {"key_header": "x-api-key"},
                "exports": {"X_API_KEY": "=token"},
                "jwt_env": "X_JWT",
                "own_client": true,
            }},
            "defaults": {"a": "me@example.com"},
        });
        for (key, value) in config(shown).flatten() {
            assert_ne!(value, json!("…"), "{key}");
        }
    }
}
