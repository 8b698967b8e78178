//! All rows: the built-in table, overlaid by the user's.

use std::cell::OnceCell;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::provider::{Provider, keys};

const BUILT_IN: &str = include_str!("../providers.json");

/// Where a row comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    BuiltIn,
    Config,
}

/// All rows: the built-in ones, overlaid key by key by `providers` of config.json.
/// Nothing is parsed before the first question.
pub struct Providers {
    overlay: Box<dyn Fn() -> Result<Map<String, Value>>>,
    rows: OnceCell<Vec<(Provider, Origin)>>,
    warn: fn(&str),
}

impl Providers {
    /// `overlay` reads the `providers` object of config.json; `warn` tells of unknown keys.
    pub fn new(
        overlay: impl Fn() -> Result<Map<String, Value>> + 'static,
        warn: fn(&str),
    ) -> Providers {
        Providers { overlay: Box::new(overlay), rows: OnceCell::new(), warn }
    }

    /// Every row, sorted by id.
    pub fn all(&self) -> Result<&[(Provider, Origin)]> {
        if let Some(rows) = self.rows.get() {
            return Ok(rows);
        }
        let rows = assemble((self.overlay)()?, self.warn)?;
        Ok(self.rows.get_or_init(|| rows))
    }

    /// By id, else by alias.
    pub fn find(&self, name: &str) -> Result<Option<&Provider>> {
        let rows = self.all()?;
        let by_id = rows.iter().find(|(row, _)| row.id == name);
        let found =
            by_id.or_else(|| rows.iter().find(|(r, _)| r.aliases.iter().any(|a| a == name)));
        Ok(found.map(|(row, _)| row))
    }

    /// Like `find`; an unknown name is an error that shows the way to the list.
    pub fn get(&self, name: &str) -> Result<&Provider> {
        self.find(name)?.ok_or_else(|| Error::Usage {
            what: format!("no provider is called {name}"),
            next: Some("keyfob provider list".to_owned()),
        })
    }
}

fn built_in() -> Result<Vec<Value>> {
    serde_json::from_str(BUILT_IN).map_err(|e| Error::failed(format!("the built-in table: {e}")))
}

/// Whether the name belongs to a built-in row, as id or as alias.
pub fn is_built_in(name: &str) -> bool {
    let names = |row: &Value| {
        row["id"] == name
            || row["aliases"].as_array().is_some_and(|all| all.iter().any(|a| a == name))
    };
    built_in().is_ok_and(|rows| rows.iter().any(names))
}

fn assemble(mut overlay: Map<String, Value>, warn: fn(&str)) -> Result<Vec<(Provider, Origin)>> {
    let mut rows = Vec::new();
    for mut row in built_in()? {
        let id = row["id"].as_str().unwrap_or_default().to_owned();
        if let Some(changes) = overlay.remove(&id) {
            warn_of_unknown_keys(&id, &changes, warn);
            merge(&mut row, changes);
        }
        rows.push((Provider::from_value(&id, row)?, Origin::BuiltIn));
    }
    for (id, row) in overlay {
        warn_of_unknown_keys(&id, &row, warn);
        rows.push((Provider::from_value(&id, row)?, Origin::Config));
    }
    rows.sort_by(|(a, _), (b, _)| a.id.cmp(&b.id));
    Ok(rows)
}

fn warn_of_unknown_keys(id: &str, row: &Value, warn: fn(&str)) {
    let known = keys::of::<Provider>();
    let given = row.as_object().into_iter().flat_map(Map::keys);
    // `provider list --json` adds `origin`, and its output may be pasted back.
    for key in given.filter(|key| !known.contains(&key.as_str()) && *key != "origin") {
        warn(&format!("config.json: providers.{id} has an unknown key {key}"));
    }
}

/// Objects merge key by key, at any depth; everything else is replaced.
fn merge(base: &mut Value, changes: Value) {
    match (base, changes) {
        (Value::Object(base), Value::Object(changes)) => {
            for (key, value) in changes {
                merge(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, changes) => *base = changes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::Way;
    use serde_json::json;

    fn table(overlay: Value) -> Providers {
        let overlay = overlay.as_object().cloned().unwrap_or_default();
        Providers::new(move || Ok(overlay.clone()), |_| ())
    }

    #[test]
    fn built_in_rows_are_sound() {
        let rows = assemble(Map::new(), |text| panic!("{text}")).expect("rows parse");
        for row in built_in().unwrap() {
            warn_of_unknown_keys("built-in", &row, |text| panic!("{text}"));
        }
        let ids: Vec<_> = rows.iter().map(|(row, _)| row.id.clone()).collect();
        let file_order: Vec<_> =
            built_in().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect();
        assert_eq!(ids, file_order, "providers.json is sorted by id");
        let mut names = Vec::new();
        for (row, _) in &rows {
            names.push(row.id.clone());
            names.extend(row.aliases.clone());
            lint(row);
        }
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count, "ids and aliases are unique");
    }

    fn lint(row: &Provider) {
        let id = &row.id;
        assert!(!row.title.is_empty() && !row.ways.is_empty(), "{id}: title and a way in");
        assert!(!row.sources.is_empty() && row.checked.is_some(), "{id}: source and date");
        let urls = serde_json::to_string(row).unwrap();
        let urls = urls.replace("http://localhost:", "");
        assert!(!urls.contains("http://"), "{id}: https everywhere");
        for way in &row.ways {
            match way {
                Way::ApiKey => {
                    assert!(row.api.is_some() && !row.env.is_empty(), "{id}: base and variable");
                    assert!(row.docs.is_some(), "{id}: where the key comes from");
                }
                Way::Browser => {
                    assert!(row.authorize_url.is_some() && row.token_url.is_some(), "{id}");
                    assert!(row.client_id.is_some() || row.own_client, "{id}: a client");
                    assert!(!row.scopes.is_empty(), "{id}: scopes");
                }
                Way::Device => {
                    assert!(row.device_url.is_some() && row.token_url.is_some(), "{id}");
                    assert!(row.client_id.is_some(), "{id}: a client");
                }
            }
        }
    }

    #[test]
    fn a_row_is_overridden_key_by_key() {
        let url = "http://127.0.0.1:1/token";
        let providers = table(json!({"claude": {"token_url": url, "redirect": {"path": "/x"}}}));
        let row = providers.get("anthropic").unwrap();
        assert_eq!(row.token_url.as_deref(), Some(url));
        assert_eq!(row.redirect.path, "/x");
        assert_eq!(row.redirect.host, "localhost", "the rest of the object stays");
    }

    #[test]
    fn a_users_row_stands_beside_the_built_in_ones() {
        let providers = table(json!({"mine": {"issuer": "https://id.example"}}));
        assert_eq!(providers.get("mine").unwrap().redirect.host, "127.0.0.1");
        assert_eq!(providers.get("nobody").unwrap_err().exit_code(), 2);
    }

    #[test]
    fn published_secrets_are_joined_and_never_listed() {
        let providers = table(json!({}));
        let row = providers.get("gemini").unwrap();
        assert!(row.published_secret().unwrap().expose().len() > 30);
        assert!(!serde_json::to_string(row).unwrap().contains("client_secret"));
    }
}
