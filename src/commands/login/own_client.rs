//! Which OAuth client signs in: the person's own, from flags or remembered, else the row's.

use std::fs;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::account::OauthClient;
use crate::commands::App;
use crate::commands::login::Login;
use crate::error::{Error, Result};
use crate::provider::Provider;
use crate::secret::Secret;
use crate::term::prompt;
use crate::text;

/// No client file is larger.
const LIMIT_BYTES: u64 = 64 * 1024;

/// The client of this login. One given by flags is remembered: its id in the provider's row, its
/// secret beside it.
pub fn find(row: &Provider, args: &Login, app: &App) -> Result<OauthClient> {
    if let Some(client) = from_flags(args, row)? {
        remember(&row.id, &client, app)?;
        return Ok(client);
    }
    let Some(id) = row.client_id.clone() else { return Err(missing(row)) };
    let secret = match row.published_secret() {
        Some(secret) => Some(secret),
        None => app.store.config()?.client_secret(&row.id),
    };
    Ok(OauthClient { id, secret })
}

fn missing(row: &Provider) -> Error {
    let what = format!("{} needs an OAuth client of your own", row.id);
    Error::usage(what).or_try(format!("keyfob login {} --client-json FILE", row.id))
}

fn from_flags(args: &Login, row: &Provider) -> Result<Option<OauthClient>> {
    match (&args.client_json, &args.client_id, args.client_secret_stdin) {
        (Some(_), Some(_), _) | (Some(_), _, true) => {
            Err(Error::usage("--client-json holds id and secret, so it stands alone"))
        }
        (Some(path), None, false) => read_json(path).map(Some),
        (None, None, false) => Ok(None),
        (None, Some(id), false) => Ok(Some(OauthClient { id: id.clone(), secret: None })),
        (None, given, true) => {
            let id = given.clone().or_else(|| row.client_id.clone());
            let id = id.ok_or_else(|| Error::usage("--client-secret-stdin needs --client-id"))?;
            let secret = Secret::new(prompt::piped("client secret")?);
            Ok(Some(OauthClient { id, secret: Some(secret) }))
        }
    }
}

/// Google's download `{"installed"|"web": {"client_id", "client_secret"}}`, or the inner object.
fn read_json(path: &str) -> Result<OauthClient> {
    #[derive(Deserialize)]
    struct Client {
        client_id: String,
        client_secret: Option<Secret>,
    }
    let unreadable = |cause: String| Error::usage(format!("cannot read {path}: {cause}"));
    let text = if path == "-" {
        prompt::piped("client JSON")?
    } else {
        let length = fs::metadata(path).map_err(|e| unreadable(text::cause(&e)))?.len();
        if length > LIMIT_BYTES {
            return Err(unreadable("it is too large for a client file".to_owned()));
        }
        fs::read_to_string(path).map_err(|e| unreadable(text::cause(&e)))?
    };
    let wrong =
        || unreadable("it holds no client_id; download the JSON of a desktop client".to_owned());
    let whole: Value = serde_json::from_str(&text).map_err(|_| wrong())?;
    let inner = whole.get("installed").or_else(|| whole.get("web")).unwrap_or(&whole).clone();
    let client: Client = serde_json::from_value(inner).map_err(|_| wrong())?;
    Ok(OauthClient { id: client.client_id, secret: client.client_secret })
}

fn remember(provider: &str, client: &OauthClient, app: &App) -> Result<()> {
    app.store.change_config(|config| {
        let mut row = config.providers().remove(provider).unwrap_or_else(|| json!({}));
        row["client_id"] = Value::from(client.id.as_str());
        config.set("providers", provider, row);
        match &client.secret {
            Some(secret) => config.set("client_secrets", provider, Value::from(secret.expose())),
            None => {
                config.unset("client_secrets", provider);
            }
        }
    })
}
