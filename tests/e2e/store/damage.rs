//! Damaged files are named, never overwritten, and never taken for missing ones.

use std::fs;

use serde_json::{Value, json};

use crate::support::sandbox::{set_mode, write_private};
use crate::token::place::{FRESH_S, ME, Place, text};
use crate::token::shell::{as_nobody, as_somebody, give_away, is_root, sandbox_root};

/// Ways for the file of `me@example.com` to be broken: a name, and its bytes.
fn damages(place: &Place) -> Vec<(&'static str, Vec<u8>)> {
    place.signed_in(FRESH_S);
    let whole = place.stored();
    let with = |key: &str, value: Value| {
        let mut changed = whole.clone();
        changed[key] = value;
        changed.to_string().into_bytes()
    };
    let without = |key: &str| {
        let mut changed = whole.clone();
        changed.as_object_mut().expect("an object").remove(key);
        changed.to_string().into_bytes()
    };
    vec![
        ("truncated", place.bytes()[..10].to_vec()),
        ("its last byte lost", place.bytes()[..place.bytes().len() - 1].to_vec()),
        ("empty", Vec::new()),
        ("blank", b" \n".to_vec()),
        ("binary", (0..=255).collect()),
        ("NUL", vec![0; 400]),
        ("a list", b"[]".to_vec()),
        ("null", b"null".to_vec()),
        ("an empty object", b"{}".to_vec()),
        ("two objects", [place.bytes(), place.bytes()].concat()),
        ("not UTF-8", b"{\"version\":1,\"provider\":\"\xff\"}".to_vec()),
        ("a token that is a number", with("access_token", json!(7))),
        ("a token that is empty", with("access_token", json!(""))),
        ("a token that is null", with("access_token", Value::Null)),
        ("no token", without("access_token")),
        ("an expiry that is no time", with("expires_at", json!("tomorrow"))),
        ("an expiry that is a number", with("expires_at", json!(1_700_000_000))),
        ("scopes that are a number", with("scopes", json!(3))),
        ("a kind nobody knows", with("kind", json!("magic"))),
        ("no kind", without("kind")),
        ("a version of tomorrow", with("version", json!(2))),
        ("no version", without("version")),
        ("another provider", with("provider", json!("openai"))),
        ("deep", format!("{}{}", "[".repeat(5000), "]".repeat(5000)).into_bytes()),
    ]
}

#[test]
fn a_damaged_account_is_named_with_its_cause_and_its_bytes_stay() {
    let place = Place::new();
    for (what, bytes) in damages(&place) {
        fs::write(place.file(), &bytes).expect("ours");
        for verb in ["token", "refresh"] {
            let output = place.home.cmd(&[verb, "my-idp"]).run();
            output.check(output.status == Some(5), &format!("{what}: exit 5"));
            output.stdout_is("").stderr_has("me@example.com.json: ").stderr_lacks("panicked");
            output.stderr_has("\n  try: keyfob login my-idp/me@example.com\n");
            assert_eq!(place.bytes(), bytes, "{what}");
        }
        let status = place.home.cmd(&["status", "--json"]).run();
        let account = &status.code(4).json()["accounts"][0];
        assert_eq!(account["state"], "damaged", "{what}: {account}");
        assert_eq!(place.bytes(), bytes, "{what}");
    }
    assert_eq!(place.idp.requests().len(), 0);
}

#[test]
fn a_damaged_account_leaves_the_others_alone() {
    let place = Place::new();
    let other = place.signed_in_as("other@example.com", FRESH_S);
    place.signed_in(FRESH_S);
    write_private(&place.file(), "{");
    let output = place.token_of("other@example.com").run();
    output.ok().stdout_is(&format!("{}\n", other.access_token));
    let refreshed = place.home.cmd(&["refresh", "--all", "--json"]).run();
    let object = refreshed.code(5).json();
    assert_eq!(object["refreshed"][0]["account"], "other@example.com");
    assert_eq!(object["failed"][0]["code"], "store");
}

/// NEEDS 3 (c).
#[test]
fn a_login_over_a_damaged_file_sets_its_bytes_aside() {
    for damage in ["{\"access_token\": \"rt_preci", "", "\0\0\0"] {
        for account in ["my-idp", "my-idp/me@example.com"] {
            let place = Place::new();
            place.signed_in(FRESH_S);
            write_private(&place.file(), damage);
            let begun = place.home.cmd(&["login", account, "--print-auth-url"]).run();
            let callback = crate::support::browser::approve(begun.ok().line()).location;
            let output = place.home.cmd(&["login", "--callback-url", &callback]).run();
            output.ok().stderr_has("damaged");
            assert!(place.idp.accepts_refresh(text(&place.stored(), "refresh_token")));
            let folder = place.file().parent().expect("a folder").to_path_buf();
            let is_aside = |path: &std::path::PathBuf| {
                *path != place.file() && path.extension().is_none_or(|e| e != "lock")
            };
            let aside: Vec<_> = place.home.files(&folder).into_iter().filter(is_aside).collect();
            assert_eq!(aside.len(), 1, "{}", place.home.listing());
            assert_eq!(place.home.read(&aside[0]), damage);
            assert_eq!(place.home.mode(&aside[0]), 0o600);
            output.stderr_has(&aside[0].display().to_string());
            let status = place.home.cmd(&["status", "--json"]).run().ok().json();
            assert_eq!(status["accounts"].as_array().map(Vec::len), Some(1), "{status}");
            place.token().run().ok();
        }
    }
}

#[test]
fn a_second_damaged_file_does_not_take_the_place_of_the_first() {
    let place = Place::new();
    for damage in ["{first", "{second"] {
        place.signed_in(FRESH_S);
        write_private(&place.file(), damage);
        place.sign_in(ME).ok();
    }
    let folder = place.file().parent().expect("a folder").to_path_buf();
    let texts: Vec<_> = place.home.files(&folder).iter().map(|f| place.home.read(f)).collect();
    for damage in ["{first", "{second"] {
        assert!(texts.iter().any(|text| text == damage), "{}", place.home.listing());
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named_and_stays() {
    let place = Place::new();
    place.signed_in(FRESH_S);
    let before = place.bytes();
    set_mode(&place.file(), 0o000);
    for verb in ["token", "refresh"] {
        let output = as_somebody(&place.home, &[verb, "my-idp"]);
        output.code(5).stdout_is("").stderr_has("me@example.com.json: permission denied");
    }
    set_mode(&place.file(), 0o600);
    assert_eq!(place.bytes(), before);
    assert_eq!(place.idp.requests().len(), 0);
}

/// An unreadable folder is no empty one.
#[test]
fn a_folder_that_cannot_be_read_is_not_nobody_signed_in() {
    let place = Place::new();
    place.signed_in(FRESH_S);
    let folder = place.file().parent().expect("a folder").to_path_buf();
    for closed in [folder.clone(), folder.parent().expect("accounts").to_path_buf()] {
        set_mode(&closed, 0o000);
        let output = as_somebody(&place.home, &["token", "my-idp"]);
        output.code(5).stdout_is("").stderr_has("permission denied");
        output.stderr_has("accounts");
        set_mode(&closed, 0o700);
    }
    as_somebody(&place.home, &["token", "my-idp"]).ok();
}

#[test]
fn an_account_of_another_user_is_refused_or_read_but_never_taken_over() {
    if !is_root() {
        println!("skipped: only root can give files away");
        return;
    }
    let place = Place::new();
    place.signed_in(FRESH_S);
    give_away(&sandbox_root(&place.home));
    std::os::unix::fs::chown(place.file(), Some(0), Some(0)).expect("root may");
    let before = place.bytes();
    let output = as_nobody(&place.home, &["token", "my-idp"]);
    output.code(5).stdout_is("").stderr_has("permission denied");
    assert_eq!(place.bytes(), before);
}

#[test]
fn damaged_settings_are_named_where_they_are_needed_and_stay() {
    let place = Place::new();
    place.signed_in(-60);
    let config = place.home.home().join("config.json");
    for damage in ["", "{", "[]", "\0", "{\"providers\":"] {
        write_private(&config, damage);
        for arguments in [
            &["token", "my-idp"][..],
            &["refresh", "my-idp"],
            &["use", "my-idp/me@example.com"],
            &["login", "my-idp", "--print-auth-url"],
        ] {
            let output = place.home.cmd(arguments).run();
            output.code(5).stdout_is("").stderr_has("config.json: ");
            assert_eq!(place.home.read(&config), damage);
        }
    }
    assert_eq!(place.idp.requests().len(), 0);
}
