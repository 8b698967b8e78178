//! The models an API offers: OpenAI's list, Codex's, Anthropic's, Google's, Cursor's and
//! CodeMie's.

use serde_json::Value;
use ureq::http::Request;

use crate::account::Account;
use crate::error::{Error, Result};
use crate::protocol::{attach, request};
use crate::provider::{Provider, Way};
use crate::secret::Secret;
use crate::text;

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Model {
    pub id: String,
    pub label: String,
}

/// Where the row's API lists its models: its `models`, else what every OpenAI-compatible API has.
/// None: it has no list that we know of.
pub fn url(account: &Account, row: &Provider) -> Result<String> {
    let usual = row.ways.contains(&Way::ApiKey).then_some("/models");
    let path = row.models.as_deref().or(usual).ok_or_else(|| {
        let what = format!("{} has no list of models that keyfob can read", row.id);
        Error::failed(what).or_try(format!("keyfob provider show {}", row.id))
    })?;
    let base = attach::need_base(account, row)?;
    Ok(format!("{base}{path}"))
}

/// The request, with the account's credential on it.
pub fn request(url: &str, account: &Account, row: &Provider) -> Result<Request<Secret>> {
    let mut request = request::get(url, None)?;
    attach::attach(&mut request, account, row)?;
    Ok(request)
}

/// The list, sorted by id; None when the answer is none.
pub fn parse(body: &Secret) -> Option<Vec<Model>> {
    let answer: Value = serde_json::from_str(body.expose()).ok()?;
    let found = match &answer {
        Value::Array(all) => all,
        other => ["data", "models"].iter().find_map(|key| other.get(key)?.as_array())?,
    };
    let mut models: Vec<_> = found.iter().filter_map(model).collect();
    models.sort();
    models.dedup();
    Some(models)
}

fn model(entry: &Value) -> Option<Model> {
    let word = |keys: &[&str]| {
        let mut words = keys.iter().filter_map(|key| entry.get(key)?.as_str());
        words.find(|word| !word.is_empty()).map(|word| text::harmless(word, 200))
    };
    // Google's ids carry the name of their collection.
    let plain = |id: &str| id.strip_prefix("models/").unwrap_or(id).to_owned();
    let id = match entry {
        Value::String(id) => plain(&text::harmless(id, 200)),
        _ => plain(&word(&["id", "slug", "base_name", "deployment_name", "label", "name"])?),
    };
    let label =
        word(&["label", "display_name", "displayName", "name"]).unwrap_or_else(|| id.clone());
    (!id.is_empty()).then_some(Model { id, label })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_of_list_is_read() {
        let ids = |body: &str| {
            let models = parse(&Secret::new(body));
            models.map(|all| all.into_iter().map(|model| model.id).collect::<Vec<_>>())
        };
        let list = Some(vec!["a".to_owned(), "b".to_owned()]);
        for body in [
            r#"{"object":"list","data":[{"id":"b"},{"id":"a"},{"id":"a"}]}"#,
            r#"{"models":["b","models/a"]}"#,
            r#"[{"base_name":"a","label":"A"},{"deployment_name":"b","enabled":false},{}]"#,
        ] {
            assert_eq!(ids(body), list, "{body}");
        }
        assert_eq!(ids("{}"), None);
        assert_eq!(ids("<html>"), None);
        assert_eq!(ids("[]"), Some(Vec::new()));
    }
}
