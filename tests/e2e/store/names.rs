//! Account names of all kinds become file names and come back.

use crate::token::place::{EXPIRED_S, FRESH_S, Place, text};

const NAMES: [&str; 16] = [
    "..",
    ".",
    ".hidden",
    "a/b",
    "../../../etc/passwd",
    "a b",
    "имя",
    "😀",
    "it's \"me\"",
    "a%2Fb",
    "%",
    "auth0|12",
    "-flag",
    "~root",
    "$(touch x)",
    "me@example.com.json",
];

#[test]
fn odd_account_names_become_file_names_and_come_back_in_status() {
    let place = Place::new();
    let folder = place.home.home().join("accounts").join("my-idp");
    for name in NAMES {
        let output = place.sign_in(name);
        output.ok();
        let file = place.home.account_file(place.provider, name);
        output.check(file.is_file(), &format!("{name}: {}", file.display()));
        output.check(file.parent() == Some(folder.as_path()), "in the provider's folder");
        let base = file.file_name().and_then(|name| name.to_str()).expect("plain ASCII");
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "%@+_-.".contains(c);
        output.check(base.chars().all(is_plain) && !base.starts_with('.'), base);
        let stored = place.home.read_account(place.provider, name);
        assert_eq!(stored["account"], name);
        let token = place.token_of(name).run();
        token.ok().stdout_is(&format!("{}\n", text(&stored, "access_token")));
    }
    let status = place.home.cmd(&["status", "--json"]).run().ok().json();
    let mut listed: Vec<&str> = status["accounts"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|account| text(account, "account"))
        .collect();
    let mut wanted = NAMES.to_vec();
    listed.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(listed, wanted);
    let files = place.home.files(&place.home.home());
    assert!(files.iter().all(|file| !file.ends_with("etc/passwd")), "{}", place.home.listing());
}

#[test]
fn odd_names_are_renewed_under_locks_of_their_own() {
    let place = Place::new();
    for name in NAMES {
        place.signed_in_as(name, EXPIRED_S);
        let output = place.token_of(name).run();
        let stored = place.home.read_account(place.provider, name);
        output.ok().stdout_is(&format!("{}\n", text(&stored, "access_token")));
    }
    assert_eq!(place.refreshes(), NAMES.len());
    let locks = place.home.files(&place.home.home());
    let locks = locks.iter().filter(|file| file.extension().is_some_and(|e| e == "lock")).count();
    assert_eq!(locks, NAMES.len(), "{}", place.home.listing());
    place.idp.assert_content();
}

#[test]
fn names_that_cannot_be_typed_are_a_wrong_call() {
    let place = Place::new();
    place.signed_in(FRESH_S);
    let long = "x".repeat(200);
    for name in ["\u{1b}[31mred", "two\nlines", "", "\u{202e}txt", long.as_str()] {
        let output = place.token_of(name).run();
        output.code(2).stdout_is("");
        output.check(!output.stderr.contains(['\u{1b}', '\u{202e}']), "made harmless");
    }
}

/// The longest names that may be typed either work or are refused in words; 255 bytes is what a
/// file system takes.
#[test]
fn a_name_too_long_for_a_file_is_refused_before_the_browser() {
    let place = Place::new();
    place.sign_in(&"x".repeat(128)).ok();
    let who = format!("my-idp/{}", "ж".repeat(128));
    let output = place.home.cmd(&["login", &who, "--print-auth-url"]).run();
    output.stdout_is("").stderr_has("keyfob: ").stderr_lacks("panicked");
    output.check(matches!(output.status, Some(2 | 5)), "refused");
}
