//! JSON Web Tokens signed with a private key (RFC 7515, RS256): how a machine proves who it is
//! without sending a secret.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SecureRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::{Value, json};

use crate::secret::Secret;

/// The first private key of a PEM text (RFC 7468), in PKCS#8 or PKCS#1. Lines may end in LF, CRLF, the
/// two characters `\n` that a JSON string copied by hand has, or in spaces. Err says in words what is
/// wrong with the key, as the end of a sentence about it, and shows none of it.
pub fn rsa_key(pem: &Secret) -> Result<RsaKeyPair, String> {
    let text = pem.expose().replace("\\r", "").replace("\\n", "\n");
    let (label, body) = private_key(&text)?;
    if label == "ENCRYPTED PRIVATE KEY" || body.contains("ENCRYPTED") {
        return Err("is encrypted with a passphrase; keyfob takes none".to_owned());
    }
    let body: String = body.chars().filter(|c| !c.is_whitespace()).collect();
    let der = STANDARD.decode(body).map_err(|_| "is damaged: its base64 is broken".to_owned())?;
    let read = match label {
        "PRIVATE KEY" => RsaKeyPair::from_pkcs8(&der),
        "RSA PRIVATE KEY" => RsaKeyPair::from_der(&der),
        "EC PRIVATE KEY" => return Err(NOT_RSA.to_owned()),
        _ => return Err("is of a kind that is unknown here; an RSA key is wanted".to_owned()),
    };
    read.map_err(|why| match why.to_string().as_str() {
        "WrongAlgorithm" => NOT_RSA.to_owned(),
        "TooSmall" => "is too short: 2048 bits are the least".to_owned(),
        "TooLarge" => "is too long: 4096 bits are the most".to_owned(),
        _ => "is damaged: it is no RSA key".to_owned(),
    })
}

const NOT_RSA: &str = "is no RSA key; RS256 wants one";

/// Label and body of the first block that is a private key: certificates may stand before it.
fn private_key(text: &str) -> Result<(&str, &str), String> {
    let mut rest = text;
    let mut others = 0;
    while let Some((_, block)) = rest.split_once("-----BEGIN ") {
        let broken = || "is damaged: it breaks off before its END line".to_owned();
        let (label, after) = block.split_once("-----").ok_or_else(broken)?;
        let (body, after) = after.split_once("-----END ").ok_or_else(broken)?;
        if label.ends_with("PRIVATE KEY") {
            return Ok((label, body));
        }
        others += 1;
        rest = after;
    }
    Err(match others {
        0 => "is no PEM text, which begins with -----BEGIN PRIVATE KEY-----".to_owned(),
        _ => "is missing: there is PEM text, but no private key in it".to_owned(),
    })
}

/// A JWT in the compact form of RFC 7515 section 7.1, signed with RS256. `more` is an object of header
/// fields beside `alg` and `typ`: `kid`, `x5t`.
pub fn signed_jwt(
    more: &Value,
    claims: &Value,
    key: &RsaKeyPair,
    random: &dyn SecureRandom,
) -> Result<Secret, String> {
    let mut header = json!({"alg": "RS256", "typ": "JWT"});
    for (name, value) in more.as_object().into_iter().flatten() {
        header[name] = value.clone();
    }
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&header), part(claims));
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, random, signed.as_bytes(), &mut signature)
        .map_err(|_| "cannot sign".to_owned())?;
    Ok(Secret::new(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))))
}

/// A signature of a good key is proven end to end: no private key lies in the tree.
#[cfg(test)]
mod tests {
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};

    use super::*;

    fn why(pem: &str) -> String {
        let error = rsa_key(&Secret::new(pem)).unwrap_err();
        let quoted = pem.split_whitespace().find(|word| word.len() > 12 && error.contains(*word));
        assert_eq!(quoted, None, "{error}");
        error
    }

    fn block(label: &str, body: &str) -> String {
        format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
    }

    #[test]
    fn what_is_wrong_with_a_key_is_said_without_showing_it() {
        let random = SystemRandom::new();
        let ec = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let ec = STANDARD.encode(ec.as_ref());
        let certificate = block("CERTIFICATE", "MIIB");
        let rubbish = STANDARD.encode("hunter2hunter2hunter2");
        for (pem, word) in [
            (String::new(), "no PEM"),
            ("hunter2".to_owned(), "no PEM"),
            (certificate.clone(), "no private key"),
            ("-----BEGIN PRIVATE KEY-----\nMIIE".to_owned(), "breaks off"),
            ("-----BEGIN PRIVATE KEY".to_owned(), "breaks off"),
            (block("PRIVATE KEY", "hunter2!"), "base64"),
            (block("PRIVATE KEY", &rubbish), "damaged"),
            (block("RSA PRIVATE KEY", &rubbish), "damaged"),
            (block("PRIVATE KEY", ""), "damaged"),
            (block("PRIVATE KEY", &ec), "no RSA key"),
            (certificate + &block("EC PRIVATE KEY", &ec), "no RSA key"),
            (block("ENCRYPTED PRIVATE KEY", &rubbish), "passphrase"),
            (block("RSA PRIVATE KEY", "Proc-Type: 4,ENCRYPTED\n\nMIIE"), "passphrase"),
            (block("OPENSSH PRIVATE KEY", &rubbish), "unknown"),
        ] {
            assert!(why(&pem).contains(word), "{pem}: {}", why(&pem));
        }
    }

    #[test]
    fn line_ends_are_taken_as_they_come() {
        let random = SystemRandom::new();
        let ec = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pem = block("PRIVATE KEY", &STANDARD.encode(ec.as_ref()));
        for end in ["\n", "\r\n", "\\n", "\\r\\n", "  ", " \n\t"] {
            // Understood down to the algorithm.
            assert_eq!(why(&pem.replace('\n', end)), NOT_RSA, "{end:?}");
        }
    }
}
