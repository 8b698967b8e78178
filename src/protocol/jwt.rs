//! The claims of a JWT, unverified: for display and expiry only, never to decide trust.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::secret::Secret;
use crate::time::Timestamp;

/// The payload object; None when the text is no JWT.
pub fn claims(token: &Secret) -> Option<Value> {
    let mut parts = token.expose().split('.');
    let (_header, payload) = (parts.next()?, parts.next()?);
    parts.next()?;
    if parts.next().is_some() {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    serde_json::from_slice(&bytes).ok().filter(Value::is_object)
}

/// Whether the text has the form of a JWT (RFC 7519 section 3): three parts in base64url, of which the
/// first two are JSON objects. Err says which part is wrong; nothing is verified, as we have no key.
pub fn check_form(text: &str) -> Result<(), String> {
    let parts: Vec<_> = text.split('.').collect();
    if parts.len() != 3 {
        return Err(format!("a JWT has three parts between dots, this has {}", parts.len()));
    }
    for (name, part) in [("header", parts[0]), ("payload", parts[1])] {
        let bytes = URL_SAFE_NO_PAD.decode(part.trim_end_matches('='));
        let bytes = bytes.map_err(|_| format!("the {name} of this JWT is not base64url"))?;
        let value: Option<Value> = serde_json::from_slice(&bytes).ok();
        if !value.is_some_and(|value| value.is_object()) {
            return Err(format!("the {name} of this JWT is no JSON object"));
        }
    }
    let is_base64url = |c: char| c.is_ascii_alphanumeric() || "-_=".contains(c);
    if !parts[2].chars().all(is_base64url) {
        return Err("the signature of this JWT is not base64url".to_owned());
    }
    Ok(())
}

/// The `exp` claim, RFC 7519 section 4.1.4.
pub fn expires_at(token: &Secret) -> Option<Timestamp> {
    let exp = claims(token)?.get("exp")?.as_f64()?;
    // A value past 10^11 cannot be seconds of this era: some issuers write milliseconds.
    let seconds = if exp > 1e11 { exp / 1000.0 } else { exp };
    (seconds > 0.0).then(|| Timestamp(0).plus(seconds as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(payload: &str) -> Secret {
        Secret::new(format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(payload)))
    }

    #[test]
    fn claims_are_read() {
        let token = token(r#"{"exp":1798761599,"email":"me@example.com"}"#);
        assert_eq!(claims(&token).unwrap()["email"], "me@example.com");
        assert_eq!(expires_at(&token), Some(Timestamp(1_798_761_599)));
    }

    #[test]
    fn the_wrong_part_is_named() {
        // RFC 7519 section 3.1.
        let good = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQog\
                    Imh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert_eq!(check_form(good), Ok(()));
        for (text, word) in [
            ("", "three parts"),
            ("e30.e30", "three parts"),
            ("e30.e30.x.y", "three parts"),
            ("!.e30.x", "header"),
            ("e30.!.x", "payload"),
            ("W10.e30.x", "header"),
            ("e30.W10.x", "payload"),
            ("e30.e30.x y", "signature"),
        ] {
            assert!(check_form(text).unwrap_err().contains(word), "{text}");
        }
    }

    #[test]
    fn what_is_no_jwt_has_no_claims() {
        for text in ["", "opaque", "a.b", "a.b.c", "a.b.c.d", "e30.W10.x"] {
            assert!(claims(&Secret::new(text)).is_none(), "{text}");
        }
        assert_eq!(expires_at(&token(r#"{"exp":"soon"}"#)), None);
        assert_eq!(expires_at(&token(r#"{"exp":-5}"#)), None);
    }
}
