//! The second token of a provider whose API does not take the first one: GitHub's Copilot (short-lived,
//! with the base of the person's plan) and iFlow (a key).

use serde_json::Value;
use ureq::http::Request;
use ureq::http::header::{AUTHORIZATION, HeaderName, HeaderValue};

use crate::credential::Minted;
use crate::endpoint;
use crate::error::{Error, Result};
use crate::protocol::{form, request, token};
use crate::provider::{ApiToken, Provider, Quirk};
use crate::secret::Secret;
use crate::text;
use crate::time::Timestamp;

/// One answer of the endpoint.
#[derive(Debug)]
pub enum Answer {
    Granted {
        minted: Minted,
        api_base: Option<String>,
    },
    /// The first token is not good any more.
    Unauthorized,
    /// No, in the provider's words: the plan does not allow it.
    Refused(String),
    TryLater(String),
    Unreadable(String),
}

/// The request, with the first token where the row wants it.
pub fn request(bought: &ApiToken, base: &Secret) -> Result<Request<Secret>> {
    endpoint::check("the address of the API token", &bought.url)?;
    let Some(name) = &bought.query else {
        let mut request = request::get(&bought.url, Some(base))?;
        let word = format!("{} {}", bought.scheme, base.expose());
        request.headers_mut().insert(AUTHORIZATION, request::sensitive(&word)?);
        for (name, value) in &bought.headers {
            let wrong = |_| Error::failed(format!("api_token.headers: {name} is malformed"));
            let header = HeaderName::try_from(name).map_err(|_| wrong(()))?;
            let value = HeaderValue::from_str(value).map_err(|_| wrong(()))?;
            request.headers_mut().insert(header, value);
        }
        return Ok(request);
    };
    let separator = if bought.url.contains('?') { '&' } else { '?' };
    let pair = form::encode_pairs(&[(name.as_str(), base.expose())]);
    request::get(&format!("{}{separator}{pair}", bought.url), None)
}

/// Reads the answer by the row's pointers. `base` must not come back in the provider's words.
pub fn parse(
    row: &Provider,
    bought: &ApiToken,
    status: u16,
    body: &Secret,
    base: &Secret,
    now: Timestamp,
) -> Answer {
    if status == 429 || status >= 500 {
        return Answer::TryLater(format!("status {status}"));
    }
    if status == 401 {
        return Answer::Unauthorized;
    }
    let answer: Value = serde_json::from_str(body.expose()).unwrap_or(Value::Null);
    if !(200..300).contains(&status) {
        return Answer::Refused(why(status, &answer, base));
    }
    let word = |path: &String| answer.pointer(path).and_then(Value::as_str);
    let is_token = |word: &&str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_graphic());
    let Some(found) = word(&bought.token).filter(is_token) else {
        // iFlow says no with 200 and no key.
        return match answer {
            Value::Object(_) => Answer::Refused(why(status, &answer, base)),
            _ => Answer::Unreadable(format!("no token (status {status})")),
        };
    };
    let seconds = |path: &Option<String>| token::lifetime_s(answer.pointer(path.as_ref()?));
    // The seconds to go do not depend on this machine's clock; the minute is what a renewal may take.
    let renew_at = seconds(&bought.refresh_in).map(|seconds| now.plus(seconds + 60));
    let ends_at = bought.expires_at.as_ref().and_then(|path| answer.pointer(path)?.as_i64());
    let expires_at = renew_at.or(ends_at.map(Timestamp));
    let named = bought.api_base.as_ref().and_then(word).map(str::to_owned);
    let in_token = || row.has_quirk(Quirk::ProxyInApiToken).then(|| proxy(found)).flatten();
    let api_base = named.or_else(in_token).map(|base| base.trim_end_matches('/').to_owned());
    let api_base = api_base.filter(|base| endpoint::check("the API's base", base).is_ok());
    Answer::Granted { minted: Minted { token: Secret::new(found), expires_at }, api_base }
}

/// `…;proxy-ep=proxy.business.githubcopilot.com;…` means `https://api.business.githubcopilot.com`.
fn proxy(token: &str) -> Option<String> {
    let host = token.split(';').find_map(|part| part.strip_prefix("proxy-ep="))?;
    Some(format!("https://api.{}", host.strip_prefix("proxy.")?))
}

/// GitHub: `{"error_details": {"title", "message"}}` or `{"message"}`; iFlow: `{"message"}`.
fn why(status: u16, answer: &Value, base: &Secret) -> String {
    let paths = ["/error_details/message", "/error_details/title", "/message", "/error"];
    let said = paths.iter().find_map(|path| answer.pointer(path)?.as_str());
    let said = text::harmless(said.unwrap_or_default(), 300).replace(base.expose(), "…");
    if said.is_empty() { format!("status {status}") } else { format!("{said} (status {status})") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn bought() -> ApiToken {
        serde_json::from_str(
            r#"{"url": "https://x.example/t", "scheme": "token", "token": "/token",
                "expires_at": "/expires_at", "refresh_in": "/refresh_in",
                "api_base": "/endpoints/api"}"#,
        )
        .unwrap()
    }

    fn read(status: u16, body: &str) -> Answer {
        let mut row = Provider::named("x").unwrap();
        row.quirks.push(Quirk::ProxyInApiToken);
        parse(&row, &bought(), status, &Secret::new(body), &Secret::new("ghu_1"), NOW)
    }

    fn granted(body: &str) -> (Option<Timestamp>, Option<String>) {
        match read(200, body) {
            Answer::Granted { minted, api_base } => (minted.expires_at, api_base),
            other => panic!("{body}: {other:?}"),
        }
    }

    #[test]
    fn expiry_and_base_are_read() {
        let whole = r#"{"token":"tid=1","expires_at":1001800,"refresh_in":1500,
            "endpoints":{"api":"https://api.business.example/"}}"#;
        let base = Some("https://api.business.example".to_owned());
        assert_eq!(granted(whole), (Some(NOW.plus(1560)), base));
        let bare = r#"{"token":"tid=1;proxy-ep=proxy.ind.example;x=2","expires_at":1001800}"#;
        let base = Some("https://api.ind.example".to_owned());
        assert_eq!(granted(bare), (Some(NOW.plus(1800)), base));
        let unsafe_base = r#"{"token":"t","endpoints":{"api":"http://evil.example"}}"#;
        assert_eq!(granted(unsafe_base), (None, None));
    }

    #[test]
    fn answers_fall_into_their_classes() {
        assert!(matches!(read(401, "{}"), Answer::Unauthorized));
        assert!(matches!(read(503, ""), Answer::TryLater(_)));
        assert!(matches!(read(429, ""), Answer::TryLater(_)));
        assert!(matches!(read(200, "<html>"), Answer::Unreadable(_)));
        let no = r#"{"error_details":{"message":"no Copilot for ghu_1\u001b[2J"}}"#;
        let Answer::Refused(why) = read(403, no) else { panic!() };
        assert_eq!(why, "no Copilot for … [2J (status 403)");
    }

    #[test]
    fn the_first_token_travels_as_the_row_says() {
        let base = Secret::new("a b");
        let headers = request(&bought(), &base).unwrap();
        assert_eq!(headers.headers()[AUTHORIZATION], "token a b");
        let mut query = bought();
        query.query = Some("accessToken".to_owned());
        let request = request(&query, &base).unwrap();
        assert_eq!(request.uri(), "https://x.example/t?accessToken=a%20b");
        assert!(request.headers().get(AUTHORIZATION).is_none());
    }
}
