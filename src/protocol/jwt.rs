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
    fn what_is_no_jwt_has_no_claims() {
        for text in ["", "opaque", "a.b", "a.b.c", "a.b.c.d", "e30.W10.x"] {
            assert!(claims(&Secret::new(text)).is_none(), "{text}");
        }
        assert_eq!(expires_at(&token(r#"{"exp":"soon"}"#)), None);
        assert_eq!(expires_at(&token(r#"{"exp":-5}"#)), None);
    }
}
