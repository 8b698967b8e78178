use argh::{ArgsInfo, FromArgs};
use serde_json::{Value, json};

use crate::account::AccountRef;
use crate::commands::hand_out::{Asked, HandOut};
use crate::commands::{App, Object};
use crate::error::Result;
use crate::flows::models::{self, Listed};
use crate::term;
use crate::time::Timestamp;

/// Lists the models that a credential may use, as its API tells them.
#[derive(ArgsInfo, FromArgs)]
#[argh(
    subcommand,
    name = "models",
    help_triggers("-h", "--help"),
    example = "keyfob models openrouter\nkeyfob models codemie --jwt-token - --base-url URL",
    note = "A token given with --jwt-token goes before one in the provider's variable, and\n\
            that before what is stored. What is stored is sent to its own provider only.\n\
            The API is always asked; when it cannot be reached, the last list is shown."
)]
pub struct Models {
    /// whose: PROVIDER or PROVIDER/ACCOUNT
    #[argh(positional)]
    account: AccountRef,

    /// where the API is, for a token given on the spot
    #[argh(option, arg_name = "url")]
    base_url: Option<String>,

    /// a JWT to use instead of what is stored; - reads stdin
    #[argh(option, arg_name = "token")]
    jwt_token: Option<String>,

    /// print one JSON object
    #[argh(switch)]
    json: bool,

    /// longest wait for one network request, 30 by default
    #[argh(option, arg_name = "seconds")]
    timeout: Option<u64>,
}

pub fn run(args: &Models) -> Result<()> {
    let app = App::new(args.timeout)?;
    let asked = Asked {
        jwt: args.jwt_token.as_deref(),
        base_url: args.base_url.as_deref(),
        ..Asked::of(&args.account)
    };
    let listed = app.using(&asked, "models", |found| list(found, &app))?;
    if let Some((asked_at, error)) = &listed.remembered {
        let when = asked_at.in_words(Timestamp::now());
        term::warn(&format!("{error}; this is the list of {when}"));
    }
    let models = listed.models;
    if args.json {
        let models: Vec<Value> =
            models.iter().map(|model| json!({"id": model.id, "label": model.label})).collect();
        return term::print(&Object::new().with("models", models).to_string());
    }
    if models.is_empty() {
        term::say("no models are open to this account");
        return Ok(());
    }
    term::print(&models.iter().map(|model| model.id.as_str()).collect::<Vec<_>>().join("\n"))
}

fn list(found: &HandOut, app: &App) -> Result<Listed> {
    let row = &*found.row(app)?;
    if found.is_stored {
        return models::list_and_remember(&found.account, row, &app.client, &app.store);
    }
    let models = models::list(&found.account, row, &app.client, &app.store)?;
    Ok(Listed { models, remembered: None })
}
