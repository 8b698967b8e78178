//! Who signed in: from the id token, the token answer or userinfo, by the row's JSON pointers.

use serde_json::{Map, Value, json};
use ureq::http::Request;
use ureq::http::header::{HeaderName, HeaderValue};

use crate::account::Identity;
use crate::credential::Tokens;
use crate::endpoint;
use crate::error::{Error, Result};
use crate::protocol::{form, jwt, request};
use crate::provider::{Provider, Quirk};
use crate::secret::Secret;
use crate::text;

/// The request to the row's userinfo endpoint (OpenID Connect Core section 5.3); None when the
/// row has none.
pub fn userinfo(row: &Provider, token: &Secret) -> Result<Option<Request<Secret>>> {
    let Some(url) = &row.userinfo_url else { return Ok(None) };
    endpoint::check("the userinfo endpoint", url)?;
    let mut request = if row.has_quirk(Quirk::TokenInQuery) {
        let pair = form::encode_pairs(&[("accessToken", token.expose())]);
        request::get(&format!("{url}?{pair}"), None)?
    } else {
        request::get(url, Some(token))?
    };
    for (name, value) in &row.userinfo_headers {
        let wrong = || Error::failed(format!("provider {}: header {name} is malformed", row.id));
        let name = HeaderName::try_from(name).map_err(|_| wrong())?;
        request.headers_mut().insert(name, HeaderValue::from_str(value).map_err(|_| wrong())?);
    }
    Ok(Some(request))
}

/// What is known about the person, and the row's further facts for `extra`. `answer` is the
/// token answer without its tokens; `userinfo` is Null when nobody was asked.
pub fn identify(
    row: &Provider,
    tokens: &Tokens,
    answer: &Value,
    userinfo: &Value,
) -> (Identity, Map<String, Value>) {
    let claims = |token: Option<&Secret>| token.and_then(jwt::claims).unwrap_or(Value::Null);
    let known = json!({
        "id_token": claims(tokens.id_token.as_ref()),
        "access_token": claims(Some(&tokens.access_token)),
        "answer": answer,
        "userinfo": userinfo,
    });
    let find = |paths: &[String]| {
        let mut found = paths.iter().filter_map(|path| match known.pointer(path)? {
            Value::String(text) => Some(text::harmless(text, 128)).filter(|text| !text.is_empty()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        });
        found.next()
    };
    let identity = Identity {
        email: find(&row.identity.email),
        subject: find(&row.identity.subject),
        organization: find(&row.identity.organization),
        unknown: Map::new(),
    };
    let extra = row.identity.extra.iter();
    let extra = extra.filter_map(|(key, paths)| Some((key.clone(), Value::String(find(paths)?))));
    (identity, extra.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> Tokens {
        // {"sub":"42","email":"me@example.com","https://x/auth":{"acc":"A1"}}
        let claims = "eyJzdWIiOiI0MiIsImVtYWlsIjoibWVAZXhhbXBsZS5jb20iLCJodHRwczovL3gvYXV0aCI6eyJhY2MiOiJBMSJ9fQ";
        Tokens {
            access_token: Secret::new("opaque"),
            refresh_token: None,
            id_token: Some(Secret::new(format!("e30.{claims}.x"))),
            token_type: "Bearer".to_owned(),
            expires_at: None,
            scopes: Vec::new(),
        }
    }

    #[test]
    fn the_first_pointer_that_finds_text_wins() {
        let mut row = Provider::named("x").unwrap();
        row.identity.email.insert(0, "/answer/account/email".to_owned());
        row.identity.organization.push("/userinfo/org".to_owned());
        let path = "/id_token/https:~1~1x~1auth/acc".to_owned();
        row.identity.extra.insert("account_id".to_owned(), vec![path]);
        let (identity, extra) = identify(&row, &tokens(), &json!({}), &json!({"org": "Acme\u{7}"}));
        assert_eq!(identity.email.as_deref(), Some("me@example.com"));
        assert_eq!(identity.subject.as_deref(), Some("42"));
        assert_eq!(identity.organization.as_deref(), Some("Acme"));
        assert_eq!(extra["account_id"], "A1");
        let answer = json!({"account": {"email": "you@example.com"}});
        let (identity, _) = identify(&row, &tokens(), &answer, &Value::Null);
        assert_eq!(identity.email.as_deref(), Some("you@example.com"));
    }
}
