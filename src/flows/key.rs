//! Storing a key or a bearer token instead of signing in.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::account::{Account, AccountId};
use crate::credential::Credential;
use crate::error::{Error, Result};
use crate::flows::caller;
use crate::flows::keep::SignedIn;
use crate::protocol::jwt;
use crate::secret::Secret;
use crate::store::{Found, Store};
use crate::time::Timestamp;

/// A key longer than this is something else.
const LONGEST_BYTES: usize = 8 * 1024;
const LOCK_LIMIT: Duration = Duration::from_secs(40);

/// A pasted key without what came along with it: spaces, invisible marks, quotes, `export NAME=`.
/// Err says in words what is wrong, and never shows the key.
pub fn clean(pasted: &str) -> Result<Credential> {
    let invisible = |c: char| {
        c.is_whitespace() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
    };
    let quote = |c: char| "\"'`“”‘’".contains(c);
    let mut key = pasted.trim_matches(|c| invisible(c) || quote(c));
    key = key.strip_prefix("export ").unwrap_or(key).trim_start_matches(invisible);
    if let Some((name, value)) = key.split_once('=') {
        let is_variable = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        // `ABC==` is the end of a key in base 32 or 64, and no variable.
        let is_value = value.chars().any(|c| c != '=');
        let is_name = !name.is_empty() && name.chars().all(is_variable);
        if is_name && (is_value || name.contains('_')) {
            key = value;
        }
    }
    key = key.strip_prefix("Bearer ").unwrap_or(key);
    let key = key.trim_end_matches([';', ',']).trim_matches(|c| invisible(c) || quote(c));
    let what = if key.len() < 8 {
        "that is too short for a key"
    } else if key.bytes().all(|byte| byte.is_ascii_digit()) {
        "that is a number, not a key"
    } else if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        "a key holds neither spaces nor special characters; was more pasted than the key?"
    } else if key.len() > LONGEST_BYTES {
        "that is too long for a key"
    } else if key.contains(quote) {
        "a key holds no quotes; was more pasted than the key?"
    } else if key.contains("://") {
        "that is an address, not a key"
    } else {
        return Ok(Credential::ApiKey(Secret::new(key)));
    };
    Err(Error::usage(what))
}

/// A pasted JWT, with the expiry it claims. It is never verified: keyfob has no key for that.
pub fn bearer(pasted: &str) -> Result<Credential> {
    let text: String = pasted.chars().filter(|c| !c.is_whitespace()).collect();
    let text = text.trim_matches(|c: char| "\"'`".contains(c));
    let text = text.strip_prefix("Bearer").unwrap_or(text);
    jwt::check_form(text).map_err(Error::usage)?;
    let token = Secret::new(text);
    let expires_at = jwt::expires_at(&token);
    if expires_at.is_some_and(|at| at <= Timestamp::now()) {
        let when = expires_at.map_or(String::new(), |at| at.in_words(Timestamp::now()));
        return Err(Error::failed(format!("this token expired {when}")));
    }
    Ok(Credential::Bearer(token, expires_at))
}

/// Writes the key as the account's credential, with the provider's facts of it; what people noted on an older one stays.
/// A sign-in of the same name goes only with `replace`: its refresh token would be lost.
pub fn store(
    id: AccountId,
    credential: Credential,
    extra: Map<String, Value>,
    replace: bool,
    store: &Store,
) -> Result<SignedIn> {
    let mut warnings = Vec::new();
    let now = Timestamp::now();
    store.sweep(now);
    let mut account = Account::new(id, credential, now);
    account.extra = extra;
    let _lock = store.lock_account(&account.id, LOCK_LIMIT)?;
    match store.find_account(&account.id)? {
        Found::Account(old) if old.credential.oauth().is_some() && !replace => {
            let what = format!("{} is a sign-in; this would take its place", account.id);
            let next = format!("{} --replace", account.id.login_command());
            return Err(Error::failed(what).or_try(next));
        }
        Found::Account(old) => {
            account.created_at = old.created_at;
            account.attributes = old.attributes;
            account.unknown = old.unknown;
        }
        Found::Damaged(why) => {
            let aside = store.set_aside(&account.id, now)?.display().to_string();
            warnings.push(format!("the old file was damaged ({why}); it is kept as {aside}"));
        }
        Found::Missing => {}
    }
    let space = store.reserve_account(&account.id)?;
    let path = store.write_account(&account, space)?;
    store.audit("login", &account.id, caller::name(), now);
    Ok(SignedIn { account, path, warnings, elsewhere: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pasted_keys_are_cleaned() {
        for pasted in [
            "sk-abc_1234",
            "  sk-abc_1234\r\n",
            "\"sk-abc_1234\"",
            "\u{feff}sk-abc_1234\u{200b}",
            "export OPENAI_API_KEY=sk-abc_1234",
            "OPENAI_API_KEY='sk-abc_1234'",
            "export 302AI_API_KEY=\"sk-abc_1234\"\n",
            "Bearer sk-abc_1234",
            "export X=\"sk-abc_1234\";",
        ] {
            assert_eq!(clean(pasted).unwrap().secret().expose(), "sk-abc_1234", "{pasted:?}");
        }
        for key in ["abcdef==", "ABCDEFGH234567AB===="] {
            assert_eq!(clean(key).unwrap().secret().expose(), key, "an encoded key keeps its end");
        }
    }

    #[test]
    fn what_is_no_key_is_refused_unseen() {
        for pasted in [
            "",
            "1",
            "12345678901",
            "sk-abc 1234",
            "https://x.example/k",
            "ключключ",
            "\"K\":\"sk-abc_1234\"",
        ] {
            let error = clean(pasted).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            assert!(pasted.len() < 2 || !error.to_string().contains(pasted), "{error}");
        }
    }
}
