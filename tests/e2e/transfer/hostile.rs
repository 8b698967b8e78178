//! Files made to hurt: nothing is written outside the store, and nothing in it that the next command
//! chokes on.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::{Value, json};

use super::{account, import};
use crate::support::sandbox::{Sandbox, make_private_dir};
use crate::support::tool;

/// Refused, and the machine is as it was.
#[track_caller]
fn refuses(text: &str) {
    let home = Sandbox::new();
    let output = import(&home, &[], text).run();
    output.code(2).stdout_is("").stderr_has("keyfob: ").stderr_lacks("panicked");
    output.stderr_lacks("marker");
    let plain = |c: char| c == '\n' || !c.is_control();
    output.check(output.stderr.chars().all(plain), "no control characters");
    output.check(output.stderr.len() < 1000, "a short message");
    assert_eq!(home.files(&home.user_home()), Vec::<std::path::PathBuf>::new());
    assert_eq!(home.files(&home.work()), Vec::<std::path::PathBuf>::new());
}

fn named(provider: &str, name: &str) -> String {
    account(provider, name, "api_key", &json!({"access_token": "marker-secret"})).to_string()
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    for provider in [
        "..",
        ".",
        "",
        "/",
        "../x",
        "a/b",
        "a\\b",
        "/etc",
        "A",
        "é",
        "a b",
        "a\u{0}",
        "-x",
        ".x",
        "a\nb",
        "\u{1b}[0m",
        &"a".repeat(65),
    ] {
        refuses(&named(provider, "default"));
    }
    for name in ["", "\u{0}", "a\nb", "\u{1b}[31mred", "\u{202e}x", "a\tb", &"n".repeat(5000), " "]
    {
        refuses(&named("groq", name));
    }
}

/// Names that are good, however they look: one file each, in the provider's folder.
#[test]
fn odd_names_stay_in_their_folder() {
    let odd = [
        "../../../evil",
        "..",
        ".",
        ".hidden",
        "a/b",
        "/etc/passwd",
        "~",
        "%2e%2e",
        "con",
        "me+x@example.com",
        "ünï",
        "a~b",
        "x.json",
        "x.lock",
        "*",
    ];
    let home = Sandbox::new();
    for name in odd {
        let output = import(&home, &[], &named("groq", name)).run();
        output.ok();
        let shown = home.cmd(&["token", &format!("groq/{name}")]).run();
        shown.ok().stdout_is("marker-secret\n");
    }
    let folder = home.home().join("accounts/groq");
    let files = home.files(&home.user_home());
    let accounts = files.iter().filter(|path| path.extension().is_some_and(|e| e == "json"));
    let accounts: Vec<_> = accounts.collect();
    assert_eq!(accounts.len(), odd.len(), "{files:?}");
    for path in accounts {
        assert_eq!(path.parent(), Some(folder.as_path()), "{path:?}");
        assert_eq!(home.mode(path), 0o600);
    }
    for path in files.iter().filter(|path| !path.starts_with(&folder)) {
        assert!(path.ends_with("audit.jsonl"), "{path:?}");
    }
    assert_eq!(home.files(&home.work()), Vec::<std::path::PathBuf>::new());
    let status = home.cmd(&["status", "--json"]).run().ok().json();
    assert_eq!(status["accounts"].as_array().map(Vec::len), Some(odd.len()));
}

#[test]
fn the_name_given_is_read_like_any_other() {
    let home = Sandbox::new();
    for name in ["", "\u{1b}[0m", "a\nb", &"x".repeat(200)] {
        let output = import(&home, &["--account", name], &named("groq", "default")).run();
        output.code(2).stdout_is("");
    }
    import(&home, &["--account", "../../x"], &named("groq", "default")).run().ok();
    let files = home.files(&home.home().join("accounts/groq"));
    assert!(files.iter().any(|path| path.extension().is_some_and(|e| e == "json")), "{files:?}");
}

#[test]
fn what_is_no_account_is_refused() {
    let good: Value = serde_json::from_str(&named("groq", "default")).unwrap();
    let with = |key: &str, value: Value| {
        let mut changed = good.clone();
        changed[key] = value;
        changed.to_string()
    };
    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    for text in [
        "{}",
        "[]",
        "null",
        "7",
        "\"text\"",
        "{",
        "\u{0}\u{1}",
        "not json at all",
        &deep,
        &with("provider", json!(7)),
        &with("account", json!(["default"])),
        &with("account", json!(null)),
        &with("kind", json!("magic")),
        &with("kind", json!(null)),
        &with("version", json!(2)),
        &with("version", json!("1")),
        &with("version", json!(-1)),
        &with("access_token", json!(7)),
        &with("access_token", json!("")),
        &with("access_token", json!({"a": "marker"})),
        &with("expires_at", json!("soon")),
        &with("expires_at", json!(1e300)),
        &with("scopes", json!("a b")),
        &with("identity", json!("me")),
        &with("extra", json!([])),
        &with("attributes", json!("x")),
        &with("login_ids", json!("x")),
        &with("kind", json!("service_account")),
        &format!("{}{}", named("groq", "default"), named("groq", "second")),
    ] {
        refuses(text);
    }
}

/// Longer than any account, also without an end.
#[test]
fn a_file_too_long_is_not_read_to_its_end() {
    let home = Sandbox::new();
    let big =
        account("groq", "default", "api_key", &json!({"extra": {"x": "y".repeat(3_000_000)}}));
    let file = home.work().join("big.json");
    fs::write(&file, big.to_string()).unwrap();
    home.cmd(&["import", &file.display().to_string()]).run().code(2).stderr_has("no JSON");
    import(&home, &[], &big.to_string()).run().code(2).stderr_has("no JSON");
    let limit = "ulimit -v 400000; exec keyfob import /dev/zero";
    tool::run(&home, &["sh", "-c", limit], "").code(2).stderr_has("no JSON");
    home.cmd(&["import", &home.work().display().to_string()]).run().code(2).stderr_has("directory");
    assert!(!home.home().exists(), "{}", home.listing());
}

#[test]
fn a_symlink_in_the_store_is_not_followed() {
    let home = Sandbox::new();
    let target = home.work().join("target");
    fs::write(&target, "untouched").unwrap();
    make_private_dir(&home.home());
    make_private_dir(&home.home().join("accounts"));
    make_private_dir(&home.home().join("accounts/groq"));
    symlink(&target, home.account_file("groq", "default")).unwrap();
    let output = import(&home, &["--replace"], &named("groq", "default")).run();
    output.code(5).stdout_is("").stderr_has("symlink").stderr_lacks("marker");
    assert_eq!(home.read(&target), "untouched");
}

/// Text from outside that later commands show.
#[test]
fn what_is_shown_later_is_harmless() {
    let home = Sandbox::new();
    let evil = "\u{1b}]0;owned\u{7}\u{1b}[31m\u{202e}x\n\r";
    let change = json!({"identity": {"email": evil, "subject": evil, "organization": evil},
        "attributes": {"note": evil, "priority": evil}, "scopes": [evil],
        "extra": {"instance": evil, "api_base": evil, "project": evil},
        "refused": {"code": evil, "at": "2026-01-01T00:00:00Z"}});
    let text = account("groq", "default", "api_key", &change).to_string();
    let output = import(&home, &[], &text).run();
    let plain = |output: &crate::support::command::Output| {
        let plain = |c: char| c == '\n' || (!c.is_control() && c != '\u{202e}');
        let both = format!("{}{}", output.stdout, output.stderr);
        output.check(both.chars().all(plain), "plain text on both streams");
        output.check(!output.stderr.contains("panicked"), "no panic");
    };
    plain(&output);
    let identity = home.read_account("groq", "default")["identity"].clone();
    assert_eq!(identity["email"], "]0;owned [31m x", "{identity}");
    for words in [
        &["status"][..],
        &["status", "--check"],
        &["account", "set", "groq", "priority=1"],
        &["audit"],
        &["refresh", "groq"],
        &["doctor", "--offline"],
        &["logout", "groq"],
    ] {
        plain(&home.cmd(words).run());
    }
}
