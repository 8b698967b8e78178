//! How a credential travels: the headers an API request needs.

use serde_json::{Map, Value};

use crate::account::Credential;
use crate::provider::Provider;

/// Header names to values, the credential included. A header whose fact the account lacks is left
/// out. `extra` are the facts of the account.
pub fn headers(
    credential: &Credential,
    extra: &Map<String, Value>,
    row: &Provider,
) -> Map<String, Value> {
    let secret = credential.secret().expose();
    let key_header = row.api.as_ref().and_then(|api| api.key_header.as_deref());
    let (name, value) = match (credential, key_header) {
        (Credential::ApiKey(_), Some(name)) => (name, secret.to_owned()),
        (Credential::ApiKey(_), None) | (Credential::Bearer(..), _) => {
            ("Authorization", format!("Bearer {secret}"))
        }
        (Credential::Oauth(tokens), _) => {
            ("Authorization", format!("{} {secret}", tokens.token_type))
        }
    };
    let mut headers = Map::new();
    headers.insert(name.to_owned(), Value::from(value));
    let Some(api) = &row.api else { return headers };
    for (name, value) in &api.headers {
        headers.insert(name.clone(), Value::from(value.as_str()));
    }
    for (name, key) in &api.extra_headers {
        if let Some(value) = extra.get(key) {
            headers.insert(name.clone(), value.clone());
        }
    }
    headers
}
