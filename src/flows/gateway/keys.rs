//! The keys of the gateway's clients: made, known again by their hash, taken back.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::account::AccountRef;
use crate::error::{Error, Result};
use crate::flows::random;
use crate::net::serve::Head;
use crate::protocol::form;
use crate::secret::Secret;
use crate::store::{ClientKey, Store};
use crate::text;
use crate::time::Timestamp;

/// By which a key is known for one of ours, by people and by scanners for leaked secrets.
const BEGIN: &str = "kf-";

/// A new key, of which only the hash is kept.
pub fn make(name: &str, providers: Vec<String>) -> Result<(ClientKey, Secret)> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
    if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
        return Err(Error::usage("a key is named with letters, digits, `-`, `_`, `.` and `@`"));
    }
    for named in &providers {
        named.parse::<AccountRef>().map_err(Error::usage)?;
    }
    let key = format!("{BEGIN}{}", URL_SAFE_NO_PAD.encode(random::bytes::<32>()?));
    let (name, sha256, created_at) = (name.to_owned(), hash(&key), Timestamp::now());
    Ok((ClientKey { name, sha256, providers, created_at }, Secret::new(key)))
}

/// Makes one and keeps it; a name that is taken is an error.
pub fn add(name: &str, providers: Vec<String>, store: &Store) -> Result<Secret> {
    let (kept, key) = make(name, providers)?;
    store.change_client_keys(|keys| {
        if keys.iter().any(|known| known.name == kept.name) {
            let what = format!("there is a key named {name} already");
            return Err(Error::usage(what).or_try(format!("keyfob serve key remove {name}")));
        }
        keys.push(kept);
        Ok(())
    })?;
    Ok(key)
}

pub fn remove(name: &str, store: &Store) -> Result<()> {
    store.change_client_keys(|keys| {
        let before = keys.len();
        keys.retain(|known| known.name != name);
        if keys.len() == before {
            let what = format!("no key is named {}", text::harmless(name, 64));
            return Err(Error::usage(what).or_try("keyfob serve key list"));
        }
        Ok(())
    })
}

pub fn hash(key: &str) -> String {
    text::hex(&Sha256::digest(key.as_bytes()))
}

/// Whether two texts are the same, in a time that says nothing of where they differ.
pub fn is_same(a: &str, b: &str) -> bool {
    let differences = a.bytes().zip(b.bytes()).fold(0, |all, (a, b)| all | (a ^ b));
    a.len() == b.len() && std::hint::black_box(differences) == 0
}

/// What a request presents as keys, wherever the clients of each API put theirs.
pub fn presented(head: &Head) -> Vec<Secret> {
    let bearer = head.header_values("authorization").map(bearer);
    let named = head.header_values("x-api-key").chain(head.header_values("x-goog-api-key"));
    let query = form::decode_pairs(&head.query).into_iter().filter(|(name, _)| name == "key");
    let all = bearer.chain(named).map(Secret::new).chain(query.map(|(_, key)| Secret::new(key)));
    all.filter(|key| !key.is_empty()).collect()
}

/// The token of an Authorization header, as it stands there if the scheme is another one.
pub fn bearer(value: &str) -> &str {
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        _ => value,
    }
}

/// The client that presented one of these. All are compared with all, whichever fits.
pub fn find<'a>(presented: &[Secret], known: &'a [ClientKey]) -> Option<&'a ClientKey> {
    let mut found = None;
    for key in presented {
        let hash = hash(key.expose());
        for one in known {
            if is_same(&hash, &one.sha256) {
                found = Some(one);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_again_and_no_other() {
        let (kept, key) = make("a", Vec::new()).unwrap();
        let (other, _) = make("b", Vec::new()).unwrap();
        assert!(key.expose().starts_with("kf-") && key.expose().len() > 40);
        assert!(!kept.sha256.contains(key.expose()));
        let known = [other, kept];
        let wrong = Secret::new(format!("{}x", key.expose()));
        assert_eq!(find(&[wrong.clone(), key], &known).map(|k| k.name.as_str()), Some("a"));
        assert!(find(&[wrong], &known).is_none() && find(&[], &known).is_none());
    }

    #[test]
    fn the_same_is_the_same() {
        assert!(is_same("", "") && is_same("ab", "ab"));
        assert!(!is_same("ab", "abc") && !is_same("ab", "ac"));
        assert_eq!((bearer("Bearer x"), bearer("bearer  x"), bearer("x")), ("x", "x", "x"));
    }

    #[test]
    fn names_are_plain() {
        for name in ["", "a b", "a/b", "ä", "a\n"] {
            assert!(make(name, Vec::new()).is_err(), "{name:?}");
        }
        assert!(make("a", vec!["Not A Provider".to_owned()]).is_err());
    }
}
