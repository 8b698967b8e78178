//! CodeMie's sign-in: the instance's proxy signs the browser in, and the instance hands the session's
//! cookies to a loopback address. Source: facts of codemie-ai/codemie (rest_api/routers/auth.py) and
//! codemie-ai/codemie-code (sso.auth.ts).

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde_json::Value;

use crate::account::Identity;
use crate::protocol::callback::{Callback, Outcome};
use crate::protocol::{form, jwt};
use crate::secret::Secret;
use crate::text;
use crate::time::Timestamp;

/// The cookie whose value is a JWT, on instances with sign-ins of their own.
const JWT_COOKIE: &str = "codemie_access_token";

/// A whole address, or its query: `token=` (older: `auth=`, `data=`) with the session in base64.
/// None: no such callback.
pub fn parse_callback(pasted: &str) -> Option<Callback> {
    let text: String = pasted.chars().filter(|c| !c.is_whitespace() && !c.is_control()).collect();
    let text = text.trim_matches(|c: char| "\"'<>`“”‘’«»".contains(c)).replace("&amp;", "&");
    let query = text.split_once('?').map_or(text.as_str(), |(_, query)| query);
    let query = query.split('#').next().unwrap_or_default();
    let values: BTreeMap<_, _> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
    let found = ["token", "auth", "data"].iter().filter_map(|name| values.get(name));
    // The base64 is not escaped, so a `+` of it means itself, also where a browser made it a space.
    let found = found.map(|value| form::decode(&value.replace('+', "%2B")).replace(' ', "+"));
    let session = found.map(Secret::new).find(|session| cookies(session).is_some())?;
    Some(Callback { state: None, iss: None, outcome: Outcome::Code(session) })
}

/// Whether this comes of an instance that signs people in by itself: it hands out no session.
pub fn is_of_local_sign_in(pasted: &str) -> bool {
    let text: String = pasted.chars().filter(|c| !c.is_whitespace()).collect();
    let value = text.split(['?', '&']).find_map(|pair| pair.strip_prefix("token="));
    let value = value.and_then(|value| value.split(['&', '#']).next()).map(form::decode);
    let bytes = value.and_then(|value| STANDARD.decode(value).ok()).unwrap_or_default();
    let answer: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    answer.get("provider").is_some_and(|provider| provider == "local")
        && answer.get("cookies").is_none()
}

/// Why there is no session in a text, in words for the person.
pub fn why_none(pasted: &str) -> &'static str {
    if is_of_local_sign_in(pasted) {
        "this instance signs people in by itself and hands out no session; store a token of it"
    } else {
        "this holds no session; copy the whole address"
    }
}

/// The port a pasted address was sent to, which tells logins under way apart. None: a query alone.
pub fn port(pasted: &str) -> Option<u16> {
    let text: String = pasted.chars().filter(|c| !c.is_whitespace()).collect();
    let address = text.split('?').next()?;
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let authority = rest.split('/').next()?;
    authority.rsplit_once(':')?.1.parse().ok()
}

/// The cookies of a callback, by name. None when there are none, or one that no header can carry.
fn cookies(session: &Secret) -> Option<BTreeMap<String, String>> {
    let text = session.expose().trim();
    let bytes = STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text)).ok()?;
    let session: Value = serde_json::from_slice(&bytes).ok()?;
    let cookies = session.get("cookies")?.as_object()?.iter();
    let cookies = cookies.map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
    let cookies: BTreeMap<_, _> = cookies.collect::<Option<_>>()?;
    let all_fit = cookies.iter().all(|(name, value)| is_name(name) && is_value(value));
    (all_fit && !cookies.is_empty()).then_some(cookies)
}

/// RFC 6265 section 4.1.1.
fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

fn is_value(value: &str) -> bool {
    value.bytes().all(|b| b.is_ascii_graphic() && !b"\",;\\".contains(&b))
        || (value.len() > 1
            && value.starts_with('"')
            && value.ends_with('"')
            && is_value(&value[1..value.len() - 1]))
}

/// The session of a callback as the value of a Cookie header, and its end where it says so.
pub fn header(session: &Secret) -> Option<(Secret, Option<Timestamp>)> {
    let cookies = cookies(session)?;
    let expires_at = expiry_of_jwt(&cookies);
    Some((join(&cookies), expires_at))
}

fn expiry_of_jwt(cookies: &BTreeMap<String, String>) -> Option<Timestamp> {
    jwt::expires_at(&Secret::new(cookies.get(JWT_COOKIE)?.as_str()))
}

fn join(cookies: &BTreeMap<String, String>) -> Secret {
    let pairs: Vec<_> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
    Secret::new(pairs.join("; "))
}

/// The session after an answer's `Set-Cookie` headers: rotated values take the place of old ones. The
/// time is the end the instance named; None when it named none. Cookies that are new are not ours to
/// keep: load balancers and trackers set them.
pub fn rotated(
    header: &Secret,
    set_cookies: &[Secret],
    now: Timestamp,
) -> (Secret, Option<Timestamp>) {
    let pairs = header.expose().split("; ").filter_map(|pair| pair.split_once('='));
    let mut cookies: BTreeMap<_, _> =
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let stems: Vec<_> = cookies.keys().map(|name| stem(name).to_owned()).collect();
    let mut ends: Vec<Timestamp> = Vec::new();
    for line in set_cookies {
        let mut parts = line.expose().split(';').map(str::trim);
        let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else {
            continue;
        };
        // A proxy cuts a long value in two: `_oauth2_proxy_0`, `_oauth2_proxy_1`.
        if !stems.iter().any(|known| known == stem(name)) || !is_name(name) || !is_value(value) {
            continue;
        }
        let end = end(parts, now);
        if value.is_empty() || end.is_some_and(|end| end <= now) {
            cookies.remove(name);
            continue;
        }
        cookies.insert(name.to_owned(), value.to_owned());
        ends.extend(end);
    }
    if cookies.is_empty() {
        // Whoever gives a good answer and takes the session away is not believed: we have no other.
        return (header.clone(), None);
    }
    let expires_at = ends.into_iter().min().or_else(|| expiry_of_jwt(&cookies));
    (join(&cookies), expires_at)
}

fn stem(name: &str) -> &str {
    name.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('_')
}

/// RFC 6265 section 4.1.2: `Max-Age` goes before `Expires`.
fn end<'a>(attributes: impl Iterator<Item = &'a str>, now: Timestamp) -> Option<Timestamp> {
    let (mut max_age, mut expires) = (None, None);
    for attribute in attributes {
        let Some((name, value)) = attribute.split_once('=') else { continue };
        match name.trim().to_ascii_lowercase().as_str() {
            "max-age" => max_age = value.trim().parse::<i64>().ok(),
            "expires" => expires = Timestamp::parse_http(value.trim()),
            _ => {}
        }
    }
    max_age.map(|seconds| now.plus(seconds.clamp(0, 10 * 365 * 86_400))).or(expires)
}

/// Whether an answer is a sign-in page in disguise: the proxy sends one with 200, or a redirect.
pub fn is_signed_out(status: u16, content_type: &str, body: &Secret) -> bool {
    let is_page = content_type.contains("html") || body.expose().trim_start().starts_with('<');
    matches!(status, 300..=399 | 401 | 403) || ((200..300).contains(&status) && is_page)
}

/// The value of `VITE_API_URL` in the instance's `config.js`.
pub fn api_url(config_js: &str) -> Option<String> {
    let rest = config_js.split_once("VITE_API_URL")?.1.trim_start_matches(['"', '\'']).trim_start();
    let rest = rest.strip_prefix([':', '='])?.trim_start();
    let quote = rest.chars().next().filter(|c| ['"', '\''].contains(c))?;
    let value = rest[1..].split(quote).next()?;
    Some(value.trim_end_matches('/').to_owned()).filter(|value| !value.is_empty())
}

/// Who is signed in, and where they may work.
#[derive(Debug, PartialEq, Eq)]
pub struct User {
    pub identity: Identity,
    /// Regular and administered projects together, sorted.
    pub projects: Vec<String>,
}

/// The answer of `GET /v1/user`; None when it is no such answer.
pub fn parse_user(body: &Secret) -> Option<User> {
    let answer: Value = serde_json::from_str(body.expose()).ok()?;
    let word = |key: &str| {
        let word = text::harmless(answer.get(key)?.as_str()?, 128);
        (!word.is_empty()).then_some(word)
    };
    let array = |key: &str| answer.get(key).and_then(Value::as_array);
    let regular = array("applications")?;
    let admin = array("applications_admin").or_else(|| array("applicationsAdmin"));
    let mut projects: Vec<_> = regular
        .iter()
        .chain(admin.into_iter().flatten())
        .filter_map(|name| Some(text::harmless(name.as_str()?, 128)))
        .filter(|name| !name.is_empty())
        .collect();
    projects.sort_by_key(|name| name.to_lowercase());
    projects.dedup();
    let identity = Identity {
        email: word("email").or_else(|| word("username")),
        subject: word("user_id").or_else(|| word("id")),
        ..Identity::default()
    };
    Some(User { identity, projects })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn session(cookies: Value) -> String {
        STANDARD.encode(json!({"provider": "keycloak", "cookies": cookies}).to_string())
    }

    #[test]
    fn every_pasted_shape_is_read() {
        let good = session(json!({"_oauth2_proxy": "a|b>>?\u{7e}", "x": "y"}));
        assert!(good.contains('+') || good.contains('/') || good.contains('='), "{good}");
        for text in [
            format!("http://localhost:1234/auth?token={good}"),
            format!("  \"http://localhost:1234/auth?token={good}\"\n"),
            format!("token={}", good.replace('+', "%20")),
            format!("?x=1&auth={good}"),
            format!("http://localhost/auth?token={}#top", form::encode(&good)),
        ] {
            assert!(parse_callback(&text).is_some(), "{text}");
        }
        for text in [
            String::new(),
            good.clone(),
            "token=".to_owned(),
            "token=!!!".to_owned(),
            format!("token={}", STANDARD.encode(r#"{"provider":"local"}"#)),
            format!("token={}", session(json!({}))),
            format!("token={}", session(json!({"a": "b\r\nX: y"}))),
            format!("token={}", session(json!({"a b": "c"}))),
        ] {
            assert_eq!(parse_callback(&text), None, "{text}");
        }
        let local =
            format!("http://localhost/auth?token={}", STANDARD.encode(r#"{"provider":"local"}"#));
        assert!(is_of_local_sign_in(&local) && !is_of_local_sign_in(&format!("token={good}")));
        assert_eq!(port("http://localhost:1234/auth?token=x"), Some(1234));
        assert_eq!(port("<localhost:1234/\n auth?token=x>"), Some(1234));
        for bare in
            ["token=x", "?token=x", "token=a/b+c=", "http://localhost/auth?token=http://x:1/"]
        {
            assert_eq!(port(bare), None, "{bare}");
        }
    }

    #[test]
    fn the_end_is_what_the_instance_says() {
        let jwt = format!("e30.{}.x", URL_SAFE.encode(r#"{"exp":1000600}"#).trim_end_matches('='));
        let (header, end) =
            header(&Secret::new(session(json!({JWT_COOKIE: jwt, "a": "b"})))).unwrap();
        assert_eq!(end, Some(NOW.plus(600)));
        assert!(header.expose().starts_with("a=b; codemie_access_token=e30."));
        let (_, unknown) = super::header(&Secret::new(session(json!({"a": "b"})))).unwrap();
        assert_eq!(unknown, None, "no guess");
    }

    #[test]
    fn rotated_cookies_take_the_place_of_old_ones() {
        let old = Secret::new("_oauth2_proxy_0=a; _oauth2_proxy_1=b; other=c");
        let set = |lines: &[&str]| lines.iter().map(|line| Secret::new(*line)).collect::<Vec<_>>();
        let lines = set(&[
            "_oauth2_proxy_0=A; Path=/; Max-Age=3600; HttpOnly",
            "_oauth2_proxy_1=; Max-Age=0",
            "_oauth2_proxy_2=C; Expires=Mon, 12 Jan 1970 15:46:40 GMT",
            "tracker=x",
            "nonsense",
        ]);
        let (new, end) = rotated(&old, &lines, NOW);
        assert_eq!(new.expose(), "_oauth2_proxy_0=A; _oauth2_proxy_2=C; other=c");
        assert_eq!(end, Some(NOW.plus(3600)));
        let (same, end) = rotated(&old, &[], NOW);
        assert_eq!((same.expose(), end), (old.expose(), None));
        let gone = set(&["_oauth2_proxy_0=; Max-Age=0", "_oauth2_proxy_1=x; Max-Age=0", "other="]);
        assert_eq!(rotated(&old, &gone, NOW).0.expose(), old.expose(), "none is no session");
    }

    #[test]
    fn a_sign_in_page_is_recognised() {
        let out = |status, kind: &str, body: &str| is_signed_out(status, kind, &Secret::new(body));
        assert!(out(200, "text/html", "<html>") && out(200, "", " <!DOCTYPE"));
        assert!(out(302, "", "") && out(401, "application/json", "{}") && out(403, "", ""));
        assert!(!out(200, "application/json", "{}") && !out(503, "text/html", "<html>"));
    }

    #[test]
    fn the_api_url_is_found() {
        for (text, url) in [
            (r#"window.x = {VITE_API_URL: "https://x/api/", b: 1}"#, Some("https://x/api")),
            (r#"{"VITE_API_URL":"/api"}"#, Some("/api")),
            (r#"VITE_API_URL: """#, None),
            ("nothing", None),
            ("VITE_API_URL", None),
        ] {
            assert_eq!(api_url(text).as_deref(), url, "{text}");
        }
    }

    #[test]
    fn projects_are_the_union() {
        let body = r#"{"user_id":"7","username":"me@example.com","applications":["b","A"],
            "applications_admin":["b","c"]}"#;
        let user = parse_user(&Secret::new(body)).unwrap();
        assert_eq!(user.projects, ["A", "b", "c"]);
        assert_eq!(user.identity.name(), Some("me@example.com"));
        assert_eq!(parse_user(&Secret::new(r#"{"username":"x"}"#)), None);
    }
}
