//! The token endpoint: exchange (RFC 6749 section 4.1.3), refresh (section 6), and the answer.

use serde_json::Value;
use ureq::http::Request;

use crate::account::OauthClient;
use crate::credential::Tokens;
use crate::endpoint;
use crate::error::Result;
use crate::protocol::oauth_error::OauthError;
use crate::protocol::{form, jwt, request};
use crate::provider::{Provider, Quirk};
use crate::secret::Secret;
use crate::text;
use crate::time::Timestamp;

/// Ten years: a longer lifetime is a mistake, and sums with it must not overflow.
const LONGEST_LIFETIME_S: i64 = 10 * 365 * 86_400;

/// What the endpoint answered.
#[derive(Debug)]
pub enum Answer {
    /// New tokens, and the whole answer for `identity`.
    Granted(Box<Granted>),
    /// No, in OAuth's words.
    Refused(OauthError),
    /// Trouble on the server's side: worth another try.
    TryLater(String),
    /// Not an answer of the protocol; the text says what it was instead.
    Unreadable(String),
}

#[derive(Debug)]
pub struct Granted {
    pub tokens: Tokens,
    /// The answer without its tokens.
    pub rest: Value,
}

/// What the exchange needs to know of one login.
pub struct Exchange<'a> {
    pub code: &'a Secret,
    pub redirect_uri: &'a str,
    pub verifier: &'a Secret,
    pub state: &'a Secret,
}

/// The request that turns a code into tokens.
pub fn exchange(row: &Provider, client: &OauthClient, login: &Exchange) -> Result<Request<Secret>> {
    let mut pairs = vec![
        ("grant_type", "authorization_code"),
        ("code", login.code.expose()),
        ("redirect_uri", login.redirect_uri),
        ("code_verifier", login.verifier.expose()),
    ];
    if row.has_quirk(Quirk::StateInTokenRequest) {
        pairs.push(("state", login.state.expose()));
    }
    post(row, client, pairs)
}

/// The request that renews tokens. No scope is sent: the grant keeps the one it has.
pub fn refresh(row: &Provider, client: &OauthClient, token: &Secret) -> Result<Request<Secret>> {
    let pairs = vec![("grant_type", "refresh_token"), ("refresh_token", token.expose())];
    post(row, client, pairs)
}

/// A token request with the row's own parameters.
pub fn post<'a>(
    row: &'a Provider,
    client: &'a OauthClient,
    mut pairs: Vec<(&'a str, &'a str)>,
) -> Result<Request<Secret>> {
    let url = row.need(&row.token_url, "token_url")?;
    endpoint::check("the token endpoint", url)?;
    pairs.extend(row.token_params.iter().map(|(key, value)| (key.as_str(), value.as_str())));
    request::post_as_client(url, row.token_body, row.client_auth, client, pairs)
}

/// Reads an answer. The status decides first (429 and 5xx are temporary whatever the body says),
/// then an error in the body, at any status: some servers say no with 200. `sent` are the secrets
/// of the request, which must not come back in the server's words.
pub fn parse(
    status: u16,
    content_type: &str,
    body: &Secret,
    sent: &[&Secret],
    now: Timestamp,
) -> Answer {
    let body = body.expose();
    if status == 429 || status == 408 || status >= 500 {
        return Answer::TryLater(format!("status {status}"));
    }
    let answer = if content_type.ends_with("x-www-form-urlencoded") {
        let pairs = form::decode_pairs(body);
        Some(pairs.into_iter().map(|(k, v)| (k, Value::String(v))).collect())
    } else {
        serde_json::from_str::<Value>(body).ok().filter(Value::is_object)
    };
    let Some(answer) = answer else {
        return Answer::Unreadable(describe(status, content_type, body));
    };
    if let Some(error) = OauthError::from_json(&answer).map(|error| error.without(sent)) {
        return if error.is_temporary() {
            Answer::TryLater(error.code)
        } else {
            Answer::Refused(error)
        };
    }
    let what = || Answer::Unreadable(format!("status {status} without an access token"));
    if (200..300).contains(&status) { granted(answer, now).unwrap_or_else(what) } else { what() }
}

fn granted(mut answer: Value, now: Timestamp) -> Option<Answer> {
    let object = answer.as_object_mut()?;
    let mut secret = |key: &str| match object.remove(key) {
        Some(Value::String(text)) if is_token(&text) => Some(Secret::new(text)),
        _ => None,
    };
    let access_token = secret("access_token")?;
    let (refresh_token, id_token) = (secret("refresh_token"), secret("id_token"));
    let expires_at = lifetime_s(object.get("expires_in"))
        .map(|seconds| now.plus(seconds))
        .or_else(|| jwt::expires_at(&access_token));
    let word = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
    let token_type = match text::harmless(word("token_type"), 40) {
        given if given.is_empty() || given.eq_ignore_ascii_case("bearer") => "Bearer".to_owned(),
        given => given,
    };
    let scopes = match object.get("scope") {
        Some(Value::String(scope)) => scope.split([' ', ',']).map(str::to_owned).collect(),
        Some(Value::Array(all)) => {
            all.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        }
        _ => Vec::new(),
    };
    let scopes = scopes.iter().map(|s: &String| text::harmless(s, 200)).filter(|s| !s.is_empty());
    let scopes = scopes.collect();
    let tokens = Tokens { access_token, refresh_token, id_token, token_type, expires_at, scopes };
    Some(Answer::Granted(Box::new(Granted { tokens, rest: answer })))
}

/// A token must fit a header and a line of output.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
}

/// `expires_in` as a number or a string of one. None when missing or senseless (negative, not
/// a number), so that the token's own `exp` can speak; capped at ten years.
pub fn lifetime_s(value: Option<&Value>) -> Option<i64> {
    let seconds = match value? {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    (seconds >= 0.0).then(|| (seconds as i64).min(LONGEST_LIFETIME_S))
}

fn describe(status: u16, content_type: &str, body: &str) -> String {
    let kind = match body.trim_start() {
        "" => "nothing".to_owned(),
        text if content_type.contains("html") || text.starts_with('<') => {
            "a web page instead of JSON".to_owned()
        }
        text if text.starts_with('{') => "JSON that breaks off or is malformed".to_owned(),
        _ => format!("{} bytes that are no JSON object", body.len()),
    };
    format!("{kind} (status {status})")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn read(status: u16, body: &str) -> Answer {
        parse(status, "application/json", &Secret::new(body), &[], NOW)
    }

    fn tokens(body: &str) -> Tokens {
        match read(200, body) {
            Answer::Granted(granted) => granted.tokens,
            other => panic!("{body}: {other:?}"),
        }
    }

    #[test]
    fn the_rfcs_own_answer_is_read() {
        // RFC 6749 section 5.1.
        let tokens = tokens(
            r#"{"access_token":"2YotnFZFEjr1zCsicMWpAA","token_type":"example","expires_in":3600,
                "refresh_token":"tGzv3JOkF0XG5Qx2TlKWIA","example_parameter":"example_value"}"#,
        );
        assert_eq!(tokens.access_token.expose(), "2YotnFZFEjr1zCsicMWpAA");
        assert_eq!(tokens.refresh_token.unwrap().expose(), "tGzv3JOkF0XG5Qx2TlKWIA");
        assert_eq!(
            (tokens.token_type.as_str(), tokens.expires_at),
            ("example", Some(NOW.plus(3600)))
        );
    }

    #[test]
    fn odd_lifetimes_are_understood() {
        for (written, seconds) in [
            ("3600", Some(3600)),
            ("\"3600\"", Some(3600)),
            ("3599.6", Some(3599)),
            ("0", Some(0)),
            ("1e300", Some(LONGEST_LIFETIME_S)),
            ("-5", None),
            ("\"soon\"", None),
            ("null", None),
            ("[]", None),
        ] {
            let body = format!(r#"{{"access_token":"a","expires_in":{written}}}"#);
            assert_eq!(tokens(&body).expires_at, seconds.map(|s| NOW.plus(s)), "{written}");
        }
        // Without expires_in the access token's own `exp` counts: {"exp":2000000}.
        let jwt = r#"{"access_token":"e30.eyJleHAiOjIwMDAwMDB9.x"}"#;
        assert_eq!(tokens(jwt).expires_at, Some(Timestamp(2_000_000)));
    }

    #[test]
    fn answers_fall_into_their_classes() {
        let refused = |status, body| matches!(read(status, body), Answer::Refused(_));
        let later = |status, body| matches!(read(status, body), Answer::TryLater(_));
        let unreadable = |status, body| matches!(read(status, body), Answer::Unreadable(_));
        assert!(refused(400, r#"{"error":"invalid_grant"}"#));
        assert!(refused(200, r#"{"error":"bad_verification_code"}"#));
        assert!(refused(401, r#"{"error":{"code":"refresh_token_reused"}}"#));
        assert!(later(500, "<html>"));
        assert!(later(429, r#"{"error":"invalid_grant"}"#));
        assert!(later(400, r#"{"error":"temporarily_unavailable"}"#));
        assert!(unreadable(200, "<html>"));
        assert!(unreadable(403, "<!DOCTYPE html>"));
        assert!(unreadable(200, ""));
        assert!(unreadable(200, r#"{"access_token":"abc"#));
        assert!(unreadable(200, "{}"));
        assert!(unreadable(200, r#"["access_token"]"#));
        assert!(unreadable(200, r#"{"access_token":7}"#));
        assert!(unreadable(200, r#"{"access_token":"a\nb"}"#));
        assert!(unreadable(404, r#"{"access_token":"a"}"#));
    }

    #[test]
    fn a_form_answer_is_read_too() {
        let body = Secret::new("access_token=gho_x&scope=read%3Auser&token_type=bearer");
        let answer = parse(200, "application/x-www-form-urlencoded", &body, &[], NOW);
        let Answer::Granted(granted) = answer else { panic!("{answer:?}") };
        assert_eq!(granted.tokens.access_token.expose(), "gho_x");
        assert_eq!(granted.tokens.token_type, "Bearer");
        assert_eq!(granted.tokens.scopes, ["read:user"]);
    }

    #[test]
    fn the_rest_of_an_answer_holds_no_token() {
        let answer = read(200, r#"{"access_token":"a","refresh_token":"b","id_token":"c","x":1}"#);
        let Answer::Granted(granted) = answer else { panic!() };
        assert_eq!(granted.rest.to_string(), r#"{"x":1}"#);
    }
}
