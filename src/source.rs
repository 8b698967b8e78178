//! Where other tools keep credentials, as rows of data: paths, pointers, and what each thing found
//! there is to us.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::error::{Error, Result};

const TABLE: &str = include_str!("sources.json");

/// The variables of those rows that go before the store (`variables_first`).
pub const FIRST_VARIABLES: [&str; 3] = ["COPILOT_GITHUB_TOKEN", "GH_TOKEN", "GITHUB_TOKEN"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    /// Under which names a store of many providers keeps each of them, by our provider id.
    names: BTreeMap<String, BTreeMap<String, Vec<String>>>,
    sources: Vec<Source>,
}

/// One store of another tool. The order in the file is the order of the search.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    pub id: String,
    pub title: String,
    /// The command of the tool that brings a fresh sign-in.
    #[serde(default)]
    pub run: Option<String>,
    /// Where its file is: the first place whose variable is set, as the tool itself looks nowhere
    /// else then. `$NAME/rest`, or `~/rest`.
    #[serde(default)]
    pub files: Vec<String>,
    /// Where a newer version keeps what we cannot read.
    #[serde(default)]
    pub databases: Vec<String>,
    /// A program and its arguments, which print the token.
    #[serde(default)]
    pub command: Vec<String>,
    /// Variables that hold the token itself. They are given to us by whoever starts us, so they need
    /// no consent.
    #[serde(default)]
    pub variables: Vec<String>,
    /// The variables go before an account of our own, as the vendor's tool has it.
    #[serde(default)]
    pub variables_first: bool,
    /// Lines that begin with `//` are no JSON.
    #[serde(default)]
    pub comment_lines: bool,
    pub holds: Vec<Entry>,
    /// Why a file may hold nothing.
    #[serde(default)]
    pub if_empty: Option<String>,
    #[serde(rename = "references")]
    _references: Vec<String>,
}

/// What one provider has there.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Our provider id; empty until `names` is filled in.
    #[serde(default)]
    pub provider: String,
    /// Every provider of this list of `names` in place of `provider` and `at`.
    #[serde(default)]
    names: Option<String>,
    /// JSON pointers to the object; the first that is usable counts.
    #[serde(default = "whole_document")]
    pub at: Vec<String>,
    #[serde(default)]
    pub search: Search,
    #[serde(default)]
    pub kind: Kind,
    /// Texts that must stand at these pointers.
    #[serde(default)]
    pub only_if: BTreeMap<String, String>,
    /// Pointers below the object, as all that follow.
    pub token: Vec<String>,
    /// Seconds or milliseconds since 1970, or RFC 3339; else the token's own `exp`.
    #[serde(default)]
    pub expires: Vec<String>,
    #[serde(default)]
    pub zero_is_never: bool,
    /// The second token, where the provider's API wants one, and its expiry.
    #[serde(default)]
    pub api_token: Option<String>,
    #[serde(default)]
    pub api_expires: Option<String>,
    #[serde(default)]
    pub id_token: Option<String>,
    /// Who it is, where no token says so.
    #[serde(default)]
    pub name: Option<String>,
    /// Facts for the account's `extra`.
    #[serde(default)]
    pub facts: BTreeMap<String, String>,
    /// How a token that the provider takes begins.
    #[serde(default)]
    pub starts: Vec<String>,
    /// The value may be `!command` (never run) or `$VARIABLE`.
    #[serde(default)]
    pub indirect: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    ApiKey,
    #[default]
    Token,
}

/// How the object is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Search {
    /// At `at`.
    #[default]
    At,
    /// `copilotTokens` by the user who signed in last.
    CopilotCli,
    /// Under a key that is the host, or `HOST:CLIENT`.
    HostKeys,
}

fn whole_document() -> Vec<String> {
    vec![String::new()]
}

/// Every source, in the order of the search.
pub fn table() -> Result<Vec<Source>> {
    let table: Table = serde_json::from_str(TABLE)
        .map_err(|e| Error::failed(format!("the built-in table of sources: {e}")))?;
    let mut sources = table.sources;
    for source in &mut sources {
        source.holds = source.holds.iter().flat_map(|e| spread(e, &table.names)).collect();
    }
    Ok(sources)
}

/// One entry for each provider of the list it names.
fn spread(entry: &Entry, names: &BTreeMap<String, BTreeMap<String, Vec<String>>>) -> Vec<Entry> {
    let Some(list) = &entry.names else { return vec![entry.clone()] };
    let pointer = |name: &String| format!("/{}", name.replace('~', "~0").replace('/', "~1"));
    let each = names.get(list).into_iter().flatten().map(|(provider, names)| Entry {
        provider: provider.clone(),
        at: names.iter().map(pointer).collect(),
        ..entry.clone()
    });
    each.collect()
}

impl Source {
    /// Whether a credential of this provider may be there.
    pub fn may_hold(&self, provider: &str) -> bool {
        self.holds.iter().any(|entry| entry.provider == provider)
    }

    /// Whether it is the store of one provider's own tool.
    pub fn is_dedicated(&self) -> bool {
        self.holds.len() <= 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::Providers;

    #[test]
    fn the_variables_that_go_first_are_those_of_the_table() {
        let table = table().unwrap();
        let first = table.iter().filter(|source| source.variables_first);
        let names: Vec<_> = first.flat_map(|source| source.variables.clone()).collect();
        assert_eq!(names, FIRST_VARIABLES);
    }

    #[test]
    fn the_table_is_sound() {
        let providers = Providers::new(|| Ok(serde_json::Map::new()), |text| panic!("{text}"));
        let sources = table().unwrap();
        let mut ids = Vec::new();
        for source in &sources {
            ids.push(source.id.clone());
            assert!(!source._references.is_empty(), "{}: where this comes from", source.id);
            assert!(!source.holds.is_empty(), "{}", source.id);
            for entry in &source.holds {
                let row = providers.find(&entry.provider).unwrap();
                let row = row.unwrap_or_else(|| panic!("{}: {}", source.id, entry.provider));
                assert_eq!(row.id, entry.provider, "{}: an alias", source.id);
                let pointers = entry.at.iter().chain(&entry.token).chain(&entry.expires);
                let pointers = pointers.chain(entry.only_if.keys()).chain(entry.facts.values());
                for pointer in pointers {
                    assert!(pointer.is_empty() || pointer.starts_with('/'), "{pointer}");
                }
            }
            for place in source.files.iter().chain(&source.databases) {
                assert!(place.starts_with('$') || place.starts_with("~/"), "{place}");
            }
        }
        let count = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), count, "ids are unique");
        assert!(sources.iter().filter(|s| s.may_hold("groq")).count() >= 2, "names are spread");
    }
}
