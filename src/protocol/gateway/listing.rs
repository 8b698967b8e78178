//! Lists of models as the clients of each API read them.

use serde_json::{Value, json};

/// Whose way of listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Anthropic,
    Google,
    Openai,
}

/// A model as it can be asked for here, and the provider that has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    pub id: String,
    pub label: String,
    pub owner: String,
}

pub fn all(style: Style, models: &[Listed]) -> Value {
    let entries: Vec<_> = models.iter().map(|model| one(style, model)).collect();
    match style {
        Style::Anthropic => json!({
            "data": entries,
            "has_more": false,
            "first_id": models.first().map(|model| &model.id),
            "last_id": models.last().map(|model| &model.id),
        }),
        Style::Google => json!({"models": entries}),
        Style::Openai => json!({"object": "list", "data": entries}),
    }
}

pub fn one(style: Style, model: &Listed) -> Value {
    let Listed { id, label, owner } = model;
    match style {
        Style::Anthropic => json!({
            "type": "model", "id": id, "display_name": label, "created_at": "1970-01-01T00:00:00Z",
        }),
        Style::Google => json!({
            "name": format!("models/{id}"),
            "displayName": label,
            "supportedGenerationMethods": ["generateContent", "countTokens"],
        }),
        Style::Openai => json!({"id": id, "object": "model", "created": 0, "owned_by": owner}),
    }
}
