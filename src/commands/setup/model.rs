//! The model to use when nobody names one, where the provider has several.

use serde::Deserialize;
use serde_json::Value;

use crate::account::AccountRef;
use crate::commands::App;
use crate::commands::child;
use crate::commands::setup::choice;
use crate::error::Result;
use crate::term;
use crate::text;

/// More are not shown; they can be named all the same.
const SHOWN: usize = 30;
/// A question that nobody has to answer is worth no long wait.
const TIMEOUT_S: u64 = 10;

/// What `keyfob models --json` prints.
#[derive(Deserialize)]
struct Answer {
    models: Vec<Model>,
}

#[derive(Deserialize)]
struct Model {
    id: String,
    #[serde(default)]
    label: Option<String>,
}

pub fn choose(account: &AccountRef, timeout_s: Option<u64>, app: &App) -> Result<()> {
    let models = models(account, timeout_s);
    if models.len() < 2 {
        return Ok(());
    }
    let current = app.providers.get(&account.provider)?.model.as_deref();
    for (at, model) in models.iter().take(SHOWN).enumerate() {
        let label = model.label.as_deref().filter(|label| *label != model.id);
        let label = label.map_or(String::new(), |label| format!("  {}", text::harmless(label, 60)));
        term::say(&format!("{:3}  {}{label}", at + 1, model.id));
    }
    if models.len() > SHOWN {
        term::say(&format!("     and {} more", models.len() - SHOWN));
    }
    let keeps = current.map_or("empty leaves it open".to_owned(), |id| format!("empty keeps {id}"));
    let ids: Vec<_> = models.into_iter().map(|model| model.id).collect();
    let picked = choice::pick(&format!("model (number or name; {keeps}): "), &ids)?;
    let Some(model) = picked.map(|at| ids[at].as_str()).filter(|id| Some(*id) != current) else {
        return Ok(());
    };
    app.store.change_config(|config| {
        let path = ["providers", &account.provider, "model"].map(str::to_owned);
        config.set_path(&path, Value::from(model));
    })
}

/// Empty where the provider does not tell.
fn models(account: &AccountRef, timeout_s: Option<u64>) -> Vec<Model> {
    let arguments = ["models", &account.to_string(), "--json"].map(str::to_owned);
    let output = child::output(&arguments, timeout_s.or(Some(TIMEOUT_S)));
    let answer = output.and_then(|bytes| serde_json::from_slice::<Answer>(&bytes).ok());
    let mut models = answer.map_or(Vec::new(), |answer| answer.models);
    // An id with a blank was something else before it was made harmless.
    let is_id = |id: &str| !id.is_empty() && !id.contains(' ') && text::harmless(id, 200) == id;
    models.retain(|model| is_id(&model.id));
    models
}
