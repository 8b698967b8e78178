//! What a server answered.

use ureq::http::{HeaderMap, header, response};

use crate::error::{Error, Result};
use crate::secret::Secret;
use crate::time::Timestamp;

pub(super) const BODY_LIMIT_BYTES: u64 = 1024 * 1024;

/// What a server answered, whatever its status. `content_type` is lower case and without
/// parameters, `body` lossy UTF-8; `too_long` says that the body
/// of an error answer was cut at 1 MiB.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub content_type: String,
    pub retry_after_s: Option<u64>,
    /// The server's clock as it answered: `Date`, plus the `Age` that a cache between adds
    /// (RFC 9111, 5.1).
    pub date: Option<Timestamp>,
    /// The `Set-Cookie` headers.
    pub set_cookies: Vec<Secret>,
    pub body: Secret,
    pub too_long: bool,
    /// Each marked as sensitive, so that Debug shows the names alone.
    headers: HeaderMap,
}

impl Reply {
    /// The first header of this name that is plain ASCII.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.header_values(name).into_iter().next()
    }

    /// All headers of this name that are plain ASCII, in their order.
    pub fn header_values(&self, name: &str) -> Vec<&str> {
        self.headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect()
    }

    /// Every header that is plain ASCII, its name in lower case.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.headers.iter();
        all.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
    }

    /// The error of an answer that says "not now", whatever else is in it: 429 and 5xx.
    pub fn not_now(&self, host: &str) -> Option<Error> {
        let is_trouble = self.status == 429 || self.status >= 500;
        is_trouble.then(|| Error::Temporary {
            what: format!("{host} answered {} just now", self.status),
            retry_after_s: self.retry_after_s,
            next: None,
        })
    }
}

pub(super) fn not_too_long(reply: Reply, host: String) -> Result<Reply> {
    if reply.too_long && reply.status < 400 {
        return Err(Error::unreadable(host, "more than 1 MiB"));
    }
    Ok(reply)
}

impl Reply {
    /// The whole of it, of which at most 1 MiB and one byte were read.
    pub(super) fn with_body(self, bytes: &[u8]) -> Reply {
        let too_long = bytes.len() as u64 > BODY_LIMIT_BYTES;
        Reply { body: Secret::new(String::from_utf8_lossy(bytes)), too_long, ..self }
    }
}

/// An answer of which nothing is known any more.
pub(super) fn none() -> Reply {
    Reply {
        status: 0,
        content_type: String::new(),
        retry_after_s: None,
        date: None,
        set_cookies: Vec::new(),
        body: Secret::new(""),
        too_long: false,
        headers: HeaderMap::new(),
    }
}

/// All but the body.
pub(super) fn head(mut parts: response::Parts) -> Reply {
    for value in parts.headers.values_mut() {
        value.set_sensitive(true);
    }
    let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let media_type = text(header::CONTENT_TYPE).and_then(|value| value.split(';').next());
    let cookies = parts.headers.get_all(header::SET_COOKIE).iter();
    let cookies = cookies.filter_map(|value| value.to_str().ok());
    Reply {
        status: parts.status.as_u16(),
        content_type: media_type.unwrap_or_default().trim().to_ascii_lowercase(),
        retry_after_s: retry_after_s(&parts.headers),
        date: date(&parts.headers),
        set_cookies: cookies.map(Secret::new).collect(),
        body: Secret::new(""),
        too_long: false,
        headers: parts.headers,
    }
}

/// Seconds, or an HTTP date measured from the answer's own Date, as the server's clock
/// need not be ours (RFC 9110, 10.2.3). None if it makes no sense.
fn retry_after_s(headers: &HeaderMap) -> Option<u64> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let wait = text(header::RETRY_AFTER)?;
    if !wait.is_empty() && wait.bytes().all(|b| b.is_ascii_digit()) {
        return wait.parse().ok();
    }
    let date = Timestamp::parse_http(text(header::DATE)?)?;
    let distance_s = Timestamp::parse_http(wait)?.since(date);
    Some(u64::try_from(distance_s).unwrap_or(0))
}

fn date(headers: &HeaderMap) -> Option<Timestamp> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let age_s = text(header::AGE).and_then(|age| age.parse::<u32>().ok()).unwrap_or(0);
    Timestamp::parse_http(text(header::DATE)?).map(|date| date.plus(i64::from(age_s)))
}

#[cfg(test)]
mod tests {
    use ureq::http::Response;

    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        for (wait, date, seconds) in [
            ("120", None, Some(120)),
            (" 0 ", None, Some(0)),
            ("-1", None, None),
            ("+5", None, None),
            ("1.5", None, None),
            ("", None, None),
            ("soon", Some(date), None),
            ("99999999999999999999999", None, None),
            ("Sun, 06 Nov 1994 08:51:37 GMT", Some(date), Some(120)),
            ("Mon, 07 Nov 1994 08:49:37 GMT", Some(date), Some(86_400)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(date), Some(0)),
            ("Sun, 06 Nov 1994 08:51:37 GMT", None, None),
            ("Sun, 06 Nov 1994 08:51:37 GMT", Some("now"), None),
            ("Sun, 06 Nov 1994 08:51:37 CET", Some(date), None),
            ("Sun, 06 Xyz 1994 08:51:37 GMT", Some(date), None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, wait.parse().unwrap());
            if let Some(date) = date {
                headers.insert(header::DATE, date.parse().unwrap());
            }
            assert_eq!(retry_after_s(&headers), seconds, "{wait}");
        }
        assert_eq!(retry_after_s(&HeaderMap::new()), None);
    }

    #[test]
    fn headers_are_at_hand_and_not_in_debug() {
        let response = Response::builder()
            .header("WWW-Authenticate", "Bearer hunter2")
            .header("www-authenticate", "Basic hunter2")
            .header("Mcp-Session-Id", "hunter2")
            .header("X", [0xe4].as_slice());
        let reply = head(response.body(()).unwrap().into_parts().0);
        let challenges = reply.header_values("WWW-AUTHENTICATE");
        assert_eq!(challenges, ["Bearer hunter2", "Basic hunter2"]);
        assert_eq!(reply.header("mcp-session-id"), Some("hunter2"));
        assert_eq!((reply.header("x"), reply.header("no such: header")), (None, None));
        let shown = format!("{reply:?}");
        assert!(shown.contains("mcp-session-id") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn a_date_out_of_a_cache_has_an_age() {
        let mut headers = HeaderMap::new();
        assert_eq!(date(&headers), None);
        headers.insert(header::DATE, "Sun, 06 Nov 1994 08:49:37 GMT".parse().unwrap());
        assert_eq!(date(&headers), Some(Timestamp(784_111_777)));
        for (age, seconds) in [("60", 60), ("-1", 0), ("soon", 0)] {
            headers.insert(header::AGE, age.parse().unwrap());
            assert_eq!(date(&headers), Some(Timestamp(784_111_777 + seconds)), "{age}");
        }
    }
}
