//! How a credential travels: where to, and with which headers.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use ureq::http::Request;
use ureq::http::header::{HeaderName, HeaderValue};

use crate::account::Account;
use crate::credential::Credential;
use crate::endpoint;
use crate::error::{Error, Result};
use crate::provider::Provider;
use crate::secret::Secret;

/// The base of the API for this account: the one its provider named, else the row's, filled with the
/// account's facts. None when nobody named one. `row` is the row at the account's instance.
pub fn api_base(account: &Account, row: &Provider) -> Option<String> {
    if let Some(base) = account.fact("api_base") {
        return Some(base.to_owned());
    }
    let api = row.api.as_ref()?;
    if let Credential::ApiKey(key) = &account.credential {
        let mut others = api.key_bases.iter();
        if let Some((_, base)) = others.find(|(start, _)| key.expose().starts_with(*start)) {
            return Some(base.clone());
        }
    }
    let mut base = api.base.clone();
    if account.fact("location") == Some("global") {
        // Google's place without a region has no region in its host's name.
        base = base.replace("{location}-", "");
    }
    while let Some((before, rest)) = base.split_once('{') {
        let (key, after) = rest.split_once('}')?;
        // A fact may be a whole address where the row wants a host.
        let fact = account.fact(key)?;
        let fact = fact.strip_prefix("https://").unwrap_or(fact).trim_end_matches('/');
        let fact = if after.starts_with("/v1") { fact.trim_end_matches("/v1") } else { fact };
        base = format!("{before}{fact}{after}");
    }
    (!base.is_empty()).then_some(base)
}

/// The base, or an error that says how to name one.
pub fn need_base(account: &Account, row: &Provider) -> Result<String> {
    let base = api_base(account, row).ok_or_else(|| {
        Error::usage(format!("where is the API of {}? nobody named its address", row.id))
            .or_try(format!("keyfob models {} --base-url URL", row.id))
    })?;
    endpoint::check("the API", &base)?;
    Ok(base)
}

/// Puts the account's credential, and what else the row adds, on a request to the API.
pub fn attach(request: &mut Request<Secret>, account: &Account, row: &Provider) -> Result<()> {
    for (name, value) in headers(account, row) {
        let wrong = || Error::failed(format!("provider {}: header {name} is malformed", row.id));
        let header = HeaderName::try_from(&name).map_err(|_| wrong())?;
        let mut value =
            HeaderValue::from_str(value.as_str().unwrap_or_default()).map_err(|_| wrong())?;
        value.set_sensitive(true);
        request.headers_mut().insert(header, value);
    }
    Ok(())
}

/// Header names to values, the handed-out secret included. A header whose fact the account lacks is
/// left out.
pub fn headers(account: &Account, row: &Provider) -> Map<String, Value> {
    let (name, value) = credential_header(account, row);
    let mut headers = Map::new();
    headers.insert(name, Value::from(value));
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

/// The one header that carries the secret.
pub fn credential_header(account: &Account, row: &Provider) -> (String, String) {
    let secret = account.secret().expose();
    let key_header = row.api.as_ref().and_then(|api| api.key_header.as_deref());
    let is_user = row.api.as_ref().is_some_and(|api| api.key_as_user);
    let (name, value) = match (&account.credential, key_header) {
        (Credential::ApiKey(_), None) if is_user => {
            ("Authorization", format!("Basic {}", STANDARD.encode(format!("{secret}:"))))
        }
        (Credential::ApiKey(_), Some(name)) => (name, secret.to_owned()),
        (Credential::Cookie(..), _) => ("Cookie", secret.to_owned()),
        (Credential::Oauth(tokens), _) if account.api_token.is_none() => {
            ("Authorization", format!("{} {secret}", tokens.token_type))
        }
        _ => ("Authorization", format!("Bearer {secret}")),
    };
    (name.to_owned(), value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::AccountId;
    use crate::provider::Api;
    use crate::time::Timestamp;

    fn account(credential: Credential) -> Account {
        let id = AccountId { provider: "x".to_owned(), account: "a".to_owned() };
        Account::new(id, credential, Timestamp(0))
    }

    #[test]
    fn the_base_is_the_accounts_own_or_the_rows() {
        let mut row = Provider::named("x").unwrap();
        row.api = Some(Api::at("https://{host}/v1"));
        let mut one = account(Credential::ApiKey(Secret::new("sk-cp-1")));
        assert_eq!(api_base(&one, &row), None, "a fact is missing");
        for host in ["x.example", "https://x.example/v1/", "https://x.example"] {
            one.extra.insert("host".to_owned(), Value::from(host));
            assert_eq!(api_base(&one, &row).as_deref(), Some("https://x.example/v1"), "{host}");
        }
        let other = ("sk-cp-".to_owned(), "https://cn.example/v1".to_owned());
        row.api.as_mut().unwrap().key_bases.extend([other]);
        assert_eq!(api_base(&one, &row).as_deref(), Some("https://cn.example/v1"));
        one.extra.insert("api_base".to_owned(), Value::from("https://y.example"));
        assert_eq!(api_base(&one, &row).as_deref(), Some("https://y.example"));
    }

    #[test]
    fn the_place_without_a_region_has_a_host_without_one() {
        let mut row = Provider::named("x").unwrap();
        row.api = Some(Api::at("https://{location}-api.example/v1/{location}"));
        let mut one = account(Credential::ApiKey(Secret::new("s")));
        for (location, base) in [
            ("us-east1", "https://us-east1-api.example/v1/us-east1"),
            ("global", "https://api.example/v1/global"),
        ] {
            one.extra.insert("location".to_owned(), Value::from(location));
            assert_eq!(api_base(&one, &row).as_deref(), Some(base));
        }
        row.api = Some(Api::at("https://gateway.example/{location}"));
        assert_eq!(api_base(&one, &row).as_deref(), Some("https://gateway.example/global"));
    }

    #[test]
    fn each_kind_has_its_header() {
        let mut row = Provider::named("x").unwrap();
        row.api = Some(Api { key_header: Some("x-api-key".to_owned()), ..Api::default() });
        let secret = Secret::new("s");
        let key = headers(&account(Credential::ApiKey(secret.clone())), &row);
        assert_eq!(key["x-api-key"], "s");
        let cookie = headers(&account(Credential::Cookie(secret.clone(), None)), &row);
        assert_eq!(cookie["Cookie"], "s");
        let bearer = headers(&account(Credential::Bearer(secret, None)), &row);
        assert_eq!(bearer["Authorization"], "Bearer s");
    }
}
