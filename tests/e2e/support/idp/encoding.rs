//! Percent-encoding read strictly, base64url, random text, dates.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

/// Decoded name and value pairs in the order they came; no name twice.
#[derive(Clone, Debug, Default)]
pub struct Params(pub Vec<(String, String)>);

impl Params {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The value, or "" when it is absent: both are refused where a value is required.
    pub fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }
}

/// Reads a query or a form. An error says what is malformed: a broken escape, a character that had
/// to be escaped, bytes that are no UTF-8, a name given twice (RFC 6749 section 3.1 forbids it).
pub fn params(text: &str) -> Result<Params, String> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for piece in text.split('&').filter(|piece| !piece.is_empty()) {
        let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
        let (name, value) = (decode(name)?, decode(value)?);
        if pairs.iter().any(|(n, _)| *n == name) {
            return Err(format!("parameter {name} given twice"));
        }
        pairs.push((name, value));
    }
    Ok(Params(pairs))
}

pub fn decode(text: &str) -> Result<String, String> {
    let bytes = text.as_bytes();
    let mut out = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'%' => {
                let pair =
                    text.get(at + 1..at + 3).filter(|h| h.bytes().all(|b| b.is_ascii_hexdigit()));
                let pair = pair.ok_or_else(|| format!("broken percent escape in {text:?}"))?;
                out.push(u8::from_str_radix(pair, 16).unwrap_or_default());
                at += 2;
            }
            b'+' => out.push(b' '),
            byte if byte.is_ascii_alphanumeric() || b"-._~!$'()*,;:@/?=".contains(&byte) => {
                out.push(byte);
            }
            byte => return Err(format!("byte {byte:#04x} has to be escaped in {text:?}")),
        }
        at += 1;
    }
    String::from_utf8(out).map_err(|_| format!("escapes of {text:?} are no UTF-8"))
}

/// Escapes everything but RFC 3986's unreserved characters.
pub fn encode(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte as char);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

pub fn escape_html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

pub fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The `id:secret` of a Basic header, each half form-decoded as RFC 6749 section 2.3.1 asks.
pub fn basic(header: &str) -> Option<(String, String)> {
    let bytes = STANDARD.decode(header.strip_prefix("Basic ")?).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (id, secret) = text.split_once(':')?;
    Some((decode(id).ok()?, decode(secret).ok()?))
}

/// base64url(SHA-256(text)): PKCE's S256.
pub fn s256(text: &str) -> String {
    base64url(&Sha256::digest(text.as_bytes()))
}

pub fn random_text() -> String {
    let mut bytes = [0; 24];
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    base64url(&bytes)
}

/// Well-formed but signed by nobody: the signature is a digest, and clients must not care.
pub fn jwt(claims: &serde_json::Value) -> String {
    let head = base64url(br#"{"alg":"RS256","kid":"test","typ":"JWT"}"#);
    let body = base64url(claims.to_string().as_bytes());
    let signature = s256(&format!("{head}.{body}"));
    format!("{head}.{body}.{signature}")
}

pub fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970").as_secs()
}

/// Now, as a Date header has it.
pub fn http_date() -> String {
    http_date_at(now_s())
}

/// Unix seconds, as a Date header has them.
pub fn http_date_at(now: u64) -> String {
    let (year, month, day) = civil(now / 86_400);
    let weekday = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"][(now / 86_400 % 7) as usize];
    let names =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (hour, minute, second) = (now / 3600 % 24, now / 60 % 60, now % 60);
    let month = names[month as usize - 1];
    format!("{weekday}, {day:02} {month} {year} {hour:02}:{minute:02}:{second:02} GMT")
}

/// Year, month and day of a day counted from 1970-01-01.
/// Source: howardhinnant.github.io/date_algorithms.html
pub fn civil(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let era = z / 146_097;
    let doe = z % 146_097;
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + u64::from(month <= 2), month, doy - (153 * mp + 2) / 5 + 1)
}
