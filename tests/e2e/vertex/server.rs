//! The endpoint is as strict as it says, or the other tests prove nothing.

use ring::rand::SystemRandom;
use ring::signature::RSA_PKCS1_SHA256;
use serde_json::{Value, json};

use super::{EMAIL, KEY_ID, Seat};
use crate::support::agent::{KEYFOB, VISITOR};
use crate::support::browser;
use crate::support::google_token::SCOPE;
use crate::support::idp::encoding::{base64url, encode, now_s};
use crate::support::rsa_key::RsaKey;

const FORM: &str = "application/x-www-form-urlencoded";

fn signed(header: &Value, claims: &Value, key: &RsaKey) -> String {
    let part = |value: &Value| base64url(value.to_string().as_bytes());
    let text = format!("{}.{}", part(header), part(claims));
    let pair = key.pair();
    let mut signature = vec![0; pair.public().modulus_len()];
    let random = SystemRandom::new();
    pair.sign(&RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature).expect("a signature");
    format!("{text}.{}", base64url(&signature))
}

fn header() -> Value {
    json!({"alg": "RS256", "typ": "JWT", "kid": KEY_ID})
}

fn claims(seat: &Seat) -> Value {
    let issued = now_s() - 10;
    json!({"iss": EMAIL, "scope": SCOPE, "aud": seat.google.url(), "iat": issued,
           "exp": issued + 3600})
}

fn ask(seat: &Seat, assertion: &str, headers: &[(&str, &str)]) -> Value {
    let grant_type = encode("urn:ietf:params:oauth:grant-type:jwt-bearer");
    let body = format!("grant_type={grant_type}&assertion={assertion}");
    browser::request("POST", &seat.google.url(), headers, &body).expect("an answer").json()
}

#[test]
fn each_claim_and_header_field_is_checked() {
    let seat = Seat::new();
    let headers = [("Content-Type", FORM), ("User-Agent", KEYFOB)];
    let good = signed(&header(), &claims(&seat), RsaKey::one());
    assert!(ask(&seat, &good, &headers)["access_token"].is_string());
    seat.google.assert_content();

    for (key, value) in [
        ("scope", json!("openid")),
        ("aud", json!("https://oauth2.googleapis.com/token")),
        ("iat", json!(now_s() - 100)),
        ("iat", json!(now_s() + 100)),
        ("exp", json!(now_s() + 7200)),
        ("exp", json!("soon")),
        ("sub", json!("me@example.com")),
    ] {
        let mut claims = claims(&seat);
        claims[key] = value;
        let answer = ask(&seat, &signed(&header(), &claims, RsaKey::one()), &headers);
        assert_eq!(answer["error"], "invalid_request", "{claims}");
        assert_eq!(seat.google.complaints().len(), 1, "{claims}");
    }
    for (key, value) in [("alg", "none"), ("typ", "at+jwt"), ("kid", "another"), ("x5t", "x")] {
        let mut header = header();
        header[key] = json!(value);
        ask(&seat, &signed(&header, &claims(&seat), RsaKey::one()), &headers);
        assert_eq!(seat.google.complaints().len(), 1, "{header}");
    }
    for wrong in
        [[("Content-Type", "application/json"), headers[1]], [headers[0], ("User-Agent", VISITOR)]]
    {
        ask(&seat, &good, &wrong);
        assert_eq!(seat.google.complaints().len(), 1, "{wrong:?}");
    }
}

#[test]
fn the_signature_is_verified() {
    let seat = Seat::new();
    let headers = [("Content-Type", FORM), ("User-Agent", KEYFOB)];
    let good = signed(&header(), &claims(&seat), RsaKey::one());
    let foreign = signed(&header(), &claims(&seat), RsaKey::other());
    let (text, _) = good.rsplit_once('.').expect("three parts");
    let (_, signature) = foreign.rsplit_once('.').expect("three parts");
    for wrong in [foreign.clone(), format!("{text}.{signature}"), format!("{text}.")] {
        let answer = ask(&seat, &wrong, &headers);
        assert_eq!(answer["error_description"], "Invalid JWT Signature.", "{wrong}");
    }
    seat.google.forget(EMAIL);
    assert_eq!(ask(&seat, &good, &headers)["error"], "invalid_grant");
    seat.google.assert_content();
}
