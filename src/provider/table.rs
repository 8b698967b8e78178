//! All rows: the built-in table, overlaid by the user's.

use std::sync::OnceLock;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::provider::{Provider, keys, wrong_row};

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
    overlay: Box<dyn Fn() -> Result<Map<String, Value>> + Send + Sync>,
    table: OnceLock<Table>,
    warn: fn(&str),
}

impl Providers {
    /// `overlay` reads the `providers` object of config.json; `warn` tells of unknown keys.
    pub fn new(
        overlay: impl Fn() -> Result<Map<String, Value>> + Send + Sync + 'static,
        warn: fn(&str),
    ) -> Providers {
        Providers { overlay: Box::new(overlay), table: OnceLock::new(), warn }
    }

    fn table(&self) -> Result<&Table> {
        if let Some(table) = self.table.get() {
            return Ok(table);
        }
        let table = assemble((self.overlay)()?, self.warn)?;
        Ok(self.table.get_or_init(|| table))
    }

    /// Every row that can be read, sorted by id.
    pub fn readable(&self) -> Result<&[(Provider, Origin)]> {
        Ok(&self.table()?.rows)
    }

    /// Every row, sorted by id; one that cannot be read is an error.
    pub fn all(&self) -> Result<&[(Provider, Origin)]> {
        let table = self.table()?;
        match table.wrong.first() {
            Some((id, row)) => Err(wrong_row(id, row)),
            None => Ok(&table.rows),
        }
    }

    /// An error for each row that cannot be read.
    pub fn unreadable(&self) -> Result<Vec<Error>> {
        Ok(self.table()?.wrong.iter().map(|(id, row)| wrong_row(id, row)).collect())
    }

    /// A provider of config.json, and a key of it that means nothing.
    pub fn unknown_keys(&self) -> Result<&[(String, String)]> {
        Ok(&self.table()?.unknown_keys)
    }

    /// By id, else by alias. A row that cannot be read is an error for its own provider alone.
    pub fn find(&self, name: &str) -> Result<Option<&Provider>> {
        let table = self.table()?;
        if let Some((id, row)) = table.wrong.iter().find(|(id, _)| id == name) {
            return Err(wrong_row(id, row));
        }
        let mut rows = table.rows.iter().map(|(row, _)| row);
        let by_id = rows.clone().find(|row| row.id == name);
        Ok(by_id.or_else(|| rows.find(|row| row.aliases.iter().any(|alias| alias == name))))
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

/// The rows as read, and those that cannot be: one slip in config.json must not lock every account.
struct Table {
    rows: Vec<(Provider, Origin)>,
    wrong: Vec<(String, Value)>,
    /// A provider, and a key of it.
    unknown_keys: Vec<(String, String)>,
}

impl Table {
    fn add(&mut self, id: String, row: Value, origin: Origin) {
        match Provider::from_value(&id, &row) {
            Some(row) => self.rows.push((row, origin)),
            None => self.wrong.push((id, row)),
        }
    }
}

fn assemble(mut overlay: Map<String, Value>, warn: fn(&str)) -> Result<Table> {
    let mut table = Table { rows: Vec::new(), wrong: Vec::new(), unknown_keys: Vec::new() };
    for mut row in built_in()? {
        let id = row["id"].as_str().unwrap_or_default().to_owned();
        if let Some(changes) = overlay.remove(&id) {
            table.unknown_keys.extend(unknown_keys(&id, &changes));
            merge(&mut row, changes);
        }
        table.add(id, row, Origin::BuiltIn);
    }
    for (id, row) in overlay {
        table.unknown_keys.extend(unknown_keys(&id, &row));
        table.add(id, row, Origin::Config);
    }
    for (id, key) in &table.unknown_keys {
        warn(&format!("config.json: providers.{id} has an unknown key {key}"));
    }
    table.rows.sort_by(|(a, _), (b, _)| a.id.cmp(&b.id));
    Ok(table)
}

fn unknown_keys(id: &str, row: &Value) -> Vec<(String, String)> {
    let known = keys::of::<Provider>();
    let given = row.as_object().into_iter().flat_map(Map::keys);
    // `provider list --json` adds `origin`, and its output may be pasted back.
    let unknown = given.filter(|key| !known.contains(&key.as_str()) && *key != "origin");
    unknown.map(|key| (id.to_owned(), key.clone())).collect()
}

/// Objects merge key by key, at any depth; everything else is replaced.
pub fn merge(base: &mut Value, changes: Value) {
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
        let table = assemble(Map::new(), |text| panic!("{text}")).expect("rows parse");
        assert!(table.wrong.is_empty(), "every row can be read");
        let rows = table.rows;
        for row in built_in().unwrap() {
            assert_eq!(unknown_keys("built-in", &row), []);
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
                Way::Bearer => assert!(row.jwt_env.is_some(), "{id}: a variable"),
                Way::Cookie => {
                    assert!(row.authorize_url.is_some() && row.userinfo_url.is_some(), "{id}");
                    assert!(row.instance.is_some(), "{id}: an address of its own");
                }
                Way::Entra | Way::ServiceAccount => {
                    assert!(!row.scopes.is_empty() && row.docs.is_some(), "{id}: scopes, docs");
                }
                Way::Tool => assert!(row.tool.is_some(), "{id}: a tool"),
                Way::ApiKey => {
                    assert!(row.api.is_some() && !row.env.is_empty(), "{id}: base and variable");
                    assert!(row.docs.is_some(), "{id}: where the key comes from");
                }
                Way::Browser => {
                    assert!(row.authorize_url.is_some() && row.token_url.is_some(), "{id}");
                    assert!(row.client_id.is_some() || row.own_client, "{id}: a client");
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
    fn a_wrong_row_is_the_trouble_of_its_provider_alone() {
        let providers = table(json!({"mine": {"token_url": 7}, "claude": {"scopes": "all"}}));
        assert!(providers.get("mine").is_err() && providers.get("claude").is_err());
        assert_eq!(providers.get("chatgpt").unwrap().id, "openai");
        assert!(providers.all().is_err());
        assert!(providers.readable().unwrap().iter().all(|(row, _)| row.id != "claude"));
    }

    #[test]
    fn published_secrets_are_joined_and_never_listed() {
        let providers = table(json!({}));
        let row = providers.get("gemini").unwrap();
        assert!(row.published_secret().unwrap().expose().len() > 30);
        assert!(!serde_json::to_string(row).unwrap().contains("client_secret"));
    }
}
