//! Building the requests of this folder: one place for bodies, headers and client authentication.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use ureq::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, COOKIE, HeaderValue};
use ureq::http::{Method, Request};

use crate::account::OauthClient;
use crate::error::{Error, Result};
use crate::protocol::form;
use crate::provider::{Body, ClientAuth};
use crate::secret::Secret;

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

/// A GET without a body; the bearer token is marked sensitive.
pub fn get(url: &str, bearer: Option<&Secret>) -> Result<Request<Secret>> {
    bare(Method::GET, url, bearer, None, Secret::new(""))
}

/// A HEAD: only to see who answers, and when.
pub fn head(url: &str) -> Result<Request<Secret>> {
    bare(Method::HEAD, url, None, None, Secret::new(""))
}

/// A GET with the value of a Cookie header.
pub fn get_with_cookies(url: &str, cookies: &Secret) -> Result<Request<Secret>> {
    let mut request = get(url, None)?;
    request.headers_mut().insert(COOKIE, sensitive(cookies.expose())?);
    Ok(request)
}

/// A POST of a JSON value.
pub fn post_json(url: &str, bearer: Option<&Secret>, body: &Value) -> Result<Request<Secret>> {
    bare(Method::POST, url, bearer, Some(JSON), Secret::new(body.to_string()))
}

/// A POST of a JSON text.
pub fn post_json_text(url: &str, text: Secret) -> Result<Request<Secret>> {
    bare(Method::POST, url, None, Some(JSON), text)
}

/// A POST of a form that proves its sender by what is in it.
pub fn post_form(url: &str, pairs: &[(&str, &str)]) -> Result<Request<Secret>> {
    bare(Method::POST, url, None, Some(FORM), Secret::new(form::encode_pairs(pairs)))
}

/// A POST of parameters as form or JSON, with the client authenticated as the row says
/// (RFC 6749 section 2.3.1; the Basic user name and password are form-encoded first).
pub fn post_as_client<'a>(
    url: &str,
    body: Body,
    auth: ClientAuth,
    client: &'a OauthClient,
    mut pairs: Vec<(&'a str, &'a str)>,
) -> Result<Request<Secret>> {
    let secret = client.secret.as_ref().map_or("", Secret::expose);
    if auth != ClientAuth::Basic {
        pairs.push(("client_id", &client.id));
    }
    if matches!(auth, ClientAuth::Post | ClientAuth::PostAndBasic) && !secret.is_empty() {
        pairs.push(("client_secret", secret));
    }
    let (content_type, text) = match body {
        Body::Form => (FORM, form::encode_pairs(&pairs)),
        Body::Json => {
            let object: Map<String, Value> =
                pairs.iter().map(|&(k, v)| (k.to_owned(), Value::from(v))).collect();
            (JSON, Value::Object(object).to_string())
        }
    };
    let mut request = bare(Method::POST, url, None, Some(content_type), Secret::new(text))?;
    if matches!(auth, ClientAuth::Basic | ClientAuth::PostAndBasic) {
        let value = sensitive(&format!("Basic {}", basic(client).expose()))?;
        request.headers_mut().insert(AUTHORIZATION, value);
    }
    Ok(request)
}

/// The credentials of HTTP Basic, RFC 7617.
pub fn basic(client: &OauthClient) -> Secret {
    let secret = client.secret.as_ref().map_or("", Secret::expose);
    let pair = format!("{}:{}", form::encode(&client.id), form::encode(secret));
    Secret::new(STANDARD.encode(pair))
}

/// A request with what all have. The bearer token is marked sensitive.
pub fn bare(
    method: Method,
    url: &str,
    bearer: Option<&Secret>,
    content_type: Option<&'static str>,
    body: Secret,
) -> Result<Request<Secret>> {
    let mut request = Request::builder()
        .method(method)
        .uri(url)
        .body(body)
        .map_err(|_| Error::failed("that is no address a request can go to"))?;
    let headers = request.headers_mut();
    headers.insert(ACCEPT, HeaderValue::from_static(JSON));
    if let Some(content_type) = content_type {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    if let Some(token) = bearer {
        headers.insert(AUTHORIZATION, sensitive(&format!("Bearer {}", token.expose()))?);
    }
    Ok(request)
}

/// A header value that `Debug` hides.
pub fn sensitive(value: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_str(value)
        .map_err(|_| Error::failed("the credential holds characters that no header can carry"))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> OauthClient {
        OauthClient { id: "me:too".to_owned(), secret: Some(Secret::new("s&p")) }
    }

    fn body(auth: ClientAuth, body: Body) -> Request<Secret> {
        post_as_client("https://x/token", body, auth, &client(), vec![("code", "a b")]).unwrap()
    }

    #[test]
    fn the_client_authenticates_as_the_row_says() {
        let text = |auth| body(auth, Body::Form).body().expose().to_owned();
        assert_eq!(text(ClientAuth::None), "code=a%20b&client_id=me%3Atoo");
        assert_eq!(text(ClientAuth::Post), "code=a%20b&client_id=me%3Atoo&client_secret=s%26p");
        assert_eq!(text(ClientAuth::Basic), "code=a%20b");
        let basic = body(ClientAuth::Basic, Body::Form);
        // `me%3Atoo:s%26p` in base64.
        assert_eq!(basic.headers()[AUTHORIZATION], "Basic bWUlM0F0b286cyUyNnA=");
    }

    #[test]
    fn a_json_body_is_one_object() {
        let request = body(ClientAuth::None, Body::Json);
        assert_eq!(request.body().expose(), r#"{"client_id":"me:too","code":"a b"}"#);
        assert_eq!(request.headers()[CONTENT_TYPE], JSON);
    }

    #[test]
    fn a_printed_request_hides_its_secrets() {
        let shown = format!(
            "{:?} {:?}",
            body(ClientAuth::Basic, Body::Form),
            get("https://x/", Some(&Secret::new("hunter2"))).unwrap()
        );
        assert!(!shown.contains("a%20b") && !shown.contains("hunter2") && !shown.contains("bWUl"));
    }
}
