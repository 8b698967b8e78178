//! Where a credential is used, and what is spoken there.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a model API speaks, named after the API and not after who runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// Anthropic's Messages.
    AnthropicMessages,
    /// Google's Code Assist: Gemini's, in an envelope that names the project.
    CodeAssist,
    /// Google's generateContent and streamGenerateContent.
    GeminiGenerateContent,
    /// OpenAI's Chat Completions, which nearly everybody else has too.
    OpenaiChat,
    /// OpenAI's Responses.
    OpenaiResponses,
}

/// The API of a row. What shapes a request here is for what each API documents of itself.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default)]
pub struct Api {
    /// Empty where it comes with the account. `{location}` and `{project_id}` stand for facts of it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub base: String,
    /// Variables that put another base in its place for keys, and what belongs behind their value.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub base_env: BTreeMap<String, String>,
    /// Keys that begin so belong to another base.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub key_bases: BTreeMap<String, String>,
    /// None: it takes no prompts.
    pub dialect: Option<Dialect>,
    /// What else is spoken there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<Also>,
    /// Where prompts go below the base, with `{model}` for the model, if not where the dialect has it
    /// (of Gemini's the part before the method).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// It answers in streams only.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub stream_only: bool,
    /// The header that takes a key as it is; without it a key is a bearer token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_header: Option<String>,
    /// A key is the user name of HTTP Basic, with an empty password (Cursor).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub key_as_user: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Header name to the key of the account's `extra` that fills it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub extra_headers: BTreeMap<String, String>,
    /// Parameters of every prompt's query.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub query: BTreeMap<String, String>,
    /// A text that goes before the person's own system text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// A tool's name to the one it has on the wire, both ways.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tool_names: BTreeMap<String, String>,
}

/// A further dialect of an API, for keys: vendors offer theirs under a second address, too.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Also {
    pub dialect: Dialect,
    /// A path below the API's base, or an address of its own; empty: the base itself.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub base: String,
    /// The header that takes a key as it is; without it a key is a bearer token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_header: Option<String>,
}

impl Default for Api {
    fn default() -> Api {
        Api {
            base: String::new(),
            base_env: BTreeMap::new(),
            key_bases: BTreeMap::new(),
            dialect: Some(Dialect::OpenaiChat),
            also: Vec::new(),
            path: None,
            stream_only: false,
            key_header: None,
            key_as_user: false,
            headers: BTreeMap::new(),
            extra_headers: BTreeMap::new(),
            query: BTreeMap::new(),
            system: None,
            tool_names: BTreeMap::new(),
        }
    }
}

impl Api {
    /// The same API in another of its dialects, at its address; `base` is that of the first one.
    pub fn speaking(&self, also: &Also, base: &str) -> Api {
        let there = if also.base.contains("://") { String::new() } else { base.to_owned() };
        Api {
            base: format!("{there}{}", also.base),
            dialect: Some(also.dialect),
            also: Vec::new(),
            path: None,
            stream_only: false,
            key_header: also.key_header.clone(),
            ..self.clone()
        }
    }

    /// An API that takes a bearer token and nothing else.
    pub fn at(base: &str) -> Api {
        Api { base: base.to_owned(), ..Api::default() }
    }
}
