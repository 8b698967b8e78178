//! The section `serve` of config.json.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::account::AccountId;
use crate::error::{Error, Result};
use crate::protocol::mcp_relay::SignIn;
use crate::secret::Secret;
use crate::store::Config;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Routing {
    /// The first account until it cools down.
    FillFirst,
    #[default]
    RoundRobin,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct Settings {
    pub listen: Option<String>,
    pub routing: Routing,
    /// A conversation stays with its account.
    pub session_affinity: bool,
    /// Another name for a model, or for several that stand in for each other in their order.
    pub aliases: BTreeMap<String, Names>,
    pub excluded_models: Excluded,
    /// So many accounts are asked for one request; 0: all.
    pub max_retry_credentials: usize,
    /// So many seconds a request may wait for the end of a cool-down; 0: none.
    pub max_retry_interval: u64,
    /// No cool-down lasts longer, in seconds, whatever a provider says.
    pub max_cooldown: u64,
    pub switch_project: bool,
    pub switch_preview_model: bool,
    /// Model to the previews that stand in for it.
    pub preview_models: BTreeMap<String, Vec<String>>,
    /// A stream that says nothing for so many seconds gets a comment.
    pub keepalive: u64,
    /// So many seconds a provider may take for its answer to begin, and be silent within it.
    pub upstream_timeout: u64,
    pub max_body_mb: u64,
    pub max_connections: usize,
    /// Further names under which clients may reach us.
    pub hosts: Vec<String>,
    pub management_key: Option<Secret>,
    pub management_remote: bool,
    /// Origins of MCP servers in private networks that the relay may go to.
    pub mcp_private_origins: Vec<String>,
    /// How MCP clients hear of an authorization server.
    pub mcp_sign_in: SignIn,
    /// Further request headers that go on to providers.
    pub pass_headers: Vec<String>,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

/// One name, or several in their order.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Names {
    One(String),
    Several(Vec<String>),
}

/// Patterns for all accounts, or by PROVIDER and PROVIDER/ACCOUNT.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Excluded {
    All(Vec<String>),
    By(BTreeMap<String, Vec<String>>),
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            listen: None,
            routing: Routing::RoundRobin,
            session_affinity: true,
            aliases: BTreeMap::new(),
            excluded_models: Excluded::default(),
            max_retry_credentials: 0,
            max_retry_interval: 0,
            max_cooldown: 1_800,
            switch_project: false,
            switch_preview_model: false,
            preview_models: BTreeMap::new(),
            keepalive: 15,
            upstream_timeout: 600,
            max_body_mb: 64,
            max_connections: 4_096,
            hosts: Vec::new(),
            management_key: None,
            management_remote: false,
            mcp_private_origins: Vec::new(),
            mcp_sign_in: SignIn::default(),
            pass_headers: Vec::new(),
            unknown: Map::new(),
        }
    }
}

impl Default for Excluded {
    fn default() -> Excluded {
        Excluded::All(Vec::new())
    }
}

impl Settings {
    /// Err names the key that is not of the type it has to be; `warn` hears of keys that mean nothing.
    pub fn of(config: &Config, warn: impl Fn(&str)) -> Result<Settings> {
        let section = config.get_path(&["serve".to_owned()]).cloned().unwrap_or_default();
        let Value::Object(section) = section else {
            return if section.is_null() { Ok(Settings::default()) } else { Err(wrong("serve")) };
        };
        let read = |section: Map<String, Value>| serde_json::from_value(Value::Object(section));
        let settings: Settings = read(section.clone()).map_err(|_| {
            let is_wrong = |(name, value): &(&String, &Value)| {
                read(Map::from_iter([((*name).clone(), (*value).clone())])).is_err()
            };
            let culprit = section.iter().find(is_wrong).map(|(name, _)| format!("serve.{name}"));
            wrong(&culprit.unwrap_or_else(|| "serve".to_owned()))
        })?;
        for name in settings.unknown.keys() {
            warn(&format!("config.json: serve has an unknown key {name}"));
        }
        Ok(settings)
    }

    /// The names that stand behind one, in their order.
    pub fn behind<'a>(&'a self, name: &'a str) -> Vec<&'a str> {
        match self.aliases.get(name) {
            None => vec![name],
            Some(Names::One(one)) => vec![one],
            Some(Names::Several(several)) => several.iter().map(String::as_str).collect(),
        }
    }

    pub fn is_excluded(&self, id: &AccountId, model: &str) -> bool {
        let matches = |patterns: &Vec<String>| patterns.iter().any(|one| is_like(one, model));
        match &self.excluded_models {
            Excluded::All(patterns) => matches(patterns),
            Excluded::By(by) => {
                let of = |name: &str| by.get(name).is_some_and(matches);
                of(&id.provider) || of(&id.to_string())
            }
        }
    }
}

fn wrong(key: &str) -> Error {
    Error::failed(format!("config.json: {key} is not of the type it has to be"))
        .or_try("keyfob config path")
}

/// Whether a name fits a pattern in which `*` stands for anything; letters are as good as capitals.
pub fn is_like(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.to_lowercase(), name.to_lowercase());
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut left) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<_> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = left.find(part) else { return false };
        left = &left[at + part.len()..];
    }
    left.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Result<Settings> {
        Settings::of(&Config::parse(text.as_bytes()).unwrap(), |_| ())
    }

    #[test]
    fn patterns_match_as_people_expect() {
        for (pattern, yes, no) in [
            ("gemini-2.5-*", "gemini-2.5-pro", "gemini-3-pro"),
            ("*-preview", "Gemini-3-Preview", "gemini-3-preview-1"),
            ("*", "x", "-"),
            ("a*b*c", "a1b2c", "a1c2b"),
            ("exact", "exact", "exactly"),
            ("a*a", "aa", "a"),
        ] {
            assert!(is_like(pattern, yes), "{pattern} {yes}");
            assert!(pattern == "*" || !is_like(pattern, no), "{pattern} {no}");
        }
    }

    #[test]
    fn a_wrong_key_is_named() {
        let error = settings(r#"{"serve":{"routing":"by-luck"}}"#).unwrap_err();
        assert!(error.to_string().contains("serve.routing"), "{error}");
        let found = settings(r#"{"serve":{"aliases":{"a":"x/m","b":["x/m","y/m"]}}}"#).unwrap();
        assert_eq!(found.behind("b"), ["x/m", "y/m"]);
        assert_eq!((found.behind("a"), found.behind("c")), (vec!["x/m"], vec!["c"]));
        assert!(settings("{}").unwrap().session_affinity);
    }

    #[test]
    fn exclusions_are_for_all_or_by_account() {
        let id = AccountId { provider: "p".to_owned(), account: "a".to_owned() };
        let all = settings(r#"{"serve":{"excluded_models":["*-x"]}}"#).unwrap();
        assert!(all.is_excluded(&id, "m-x") && !all.is_excluded(&id, "m"));
        let by = settings(r#"{"serve":{"excluded_models":{"p/a":["m*"],"q":["*"]}}}"#).unwrap();
        assert!(by.is_excluded(&id, "m-x") && !by.is_excluded(&id, "n"));
    }
}
