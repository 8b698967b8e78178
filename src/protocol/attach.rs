//! How a credential travels: the headers an API request needs.

use serde_json::{Map, Value};

use crate::account::{Account, Credential};
use crate::provider::Provider;

/// Header names to values, the credential included. A header whose fact the account lacks is left
/// out.
pub fn headers(account: &Account, row: &Provider) -> Map<String, Value> {
    let Credential::Oauth(tokens) = &account.credential;
    let bearer = format!("{} {}", tokens.token_type, tokens.access_token.expose());
    let mut headers = Map::new();
    headers.insert("Authorization".to_owned(), Value::from(bearer));
    let Some(api) = &row.api else { return headers };
    for (name, value) in &api.headers {
        headers.insert(name.clone(), Value::from(value.as_str()));
    }
    for (name, key) in &api.extra_headers {
        if let Some(value) = account.extra.get(key) {
            headers.insert(name.clone(), value.clone());
        }
    }
    headers
}
