//! Microsoft Entra ID for an application with a certificate: a signed assertion in place of a secret
//! (RFC 7523 section 2.2).

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SecureRandom;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::protocol::entra::Application;
use crate::protocol::sign::{self, Algorithm};
use crate::secret::Secret;
use crate::time::Timestamp;

/// What an application with a certificate says in place of a secret: `pem` holds the certificate and its
/// key. `random` makes it unlike any other. Err says in words what is wrong with the file.
/// learn.microsoft.com/entra/identity-platform/certificate-credentials (2026-11-22).
pub fn assertion(
    app: &Application,
    pem: &Secret,
    random: &dyn SecureRandom,
    now: Timestamp,
) -> Result<Secret, String> {
    let thumbprint = thumbprint(pem).ok_or("holds no certificate in PEM form")?;
    let key = sign::rsa_key(pem).map_err(|why| format!("holds a key that {why}"))?;
    let mut id = [0; 16];
    random.fill(&mut id).map_err(|_| "cannot be used: the system gives no random bytes")?;
    let header = json!({"x5t#S256": thumbprint});
    let claims = json!({
        "aud": app.token_url,
        "iss": app.client_id,
        "sub": app.client_id,
        "jti": URL_SAFE_NO_PAD.encode(id),
        "nbf": now.plus(-60).0,
        "exp": now.plus(600).0,
    });
    sign::signed_jwt(Algorithm::Ps256, &header, &claims, &key, random)
}

/// The SHA-256 thumbprint of the first certificate of a PEM text, as `x5t#S256` wants it (RFC 7515
/// section 4.1.8). None: there is no certificate.
fn thumbprint(pem: &Secret) -> Option<String> {
    let (_, rest) = pem.expose().split_once("-----BEGIN CERTIFICATE-----")?;
    let (body, _) = rest.split_once("-----END CERTIFICATE-----")?;
    let body: String = body.chars().filter(|c| !c.is_whitespace()).collect();
    let der = STANDARD.decode(body).ok()?;
    Some(URL_SAFE_NO_PAD.encode(Sha256::digest(der)))
}
