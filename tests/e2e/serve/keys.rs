//! `serve key`: keys are shown once, kept as hashes, and listed by name.

use std::fs;

use serde_json::json;

use super::kit::{Gateway, LIMIT, Setup};
use super::upstream::Upstream;
use crate::support::sandbox::{Sandbox, write_private};

/// All that lies below KEYFOB_HOME.
fn everything(sandbox: &Sandbox) -> String {
    let files = sandbox.files(&sandbox.home());
    files
        .iter()
        .map(|file| String::from_utf8_lossy(&fs::read(file).unwrap()).into_owned())
        .collect()
}

#[test]
fn a_key_is_printed_once_and_kept_as_a_hash() {
    let sandbox = Sandbox::new();
    let added = sandbox.cmd(&["serve", "key", "add", "laptop"]).run();
    let key = added.ok().stderr_lacks("kf-").line().to_owned();
    assert!(key.starts_with("kf-") && key.len() > 40, "{key}");
    let all = everything(&sandbox);
    assert!(!all.contains(&key) && !all.contains(&key[3..]), "the key is on the disk");
    let file = sandbox.home().join("serve/keys.json");
    let kept = sandbox.read_json(&file);
    assert_eq!(kept["keys"][0]["name"], "laptop");
    assert_eq!(kept["keys"][0]["sha256"].as_str().map(str::len), Some(64));
    assert_eq!(sandbox.mode(&file), 0o600);
    assert_eq!(sandbox.mode(&sandbox.home().join("serve")), 0o700);
    assert_eq!(sandbox.mode(&sandbox.home()), 0o700);
    let listed = sandbox.cmd(&["serve", "key", "list"]).run();
    listed.ok().check(!listed.stdout.contains("kf-"), "no key in the list");
    listed.check(listed.stdout.contains("laptop"), "its name in the list");
    listed.check(listed.stdout.contains("all accounts"), "what it is good for");
}

/// A umask that lets everybody read changes nothing.
#[test]
fn the_file_of_keys_is_private_whatever_the_umask() {
    let sandbox = Sandbox::new();
    sandbox.cmd(&["serve", "key", "add", "a"]).umask("000").run().ok();
    assert_eq!(sandbox.mode(&sandbox.home().join("serve/keys.json")), 0o600);
    assert_eq!(sandbox.mode(&sandbox.home().join("serve")), 0o700);
}

#[test]
fn keys_are_made_listed_and_removed_in_json_too() {
    let sandbox = Sandbox::new();
    let run = |words: &str| {
        let words: Vec<_> = words.split(' ').collect();
        sandbox.cmd(&[&["serve", "key"][..], &words[..]].concat()).run()
    };
    let empty = run("list --json");
    assert_eq!(empty.ok().json()["keys"], json!([]));
    run("list").ok().stdout_is("").stderr_has("keyfob serve key add NAME");
    let one = run("add ci --provider claude/ci --provider groq --json");
    let one = one.ok().stderr_lacks("kf-").json();
    assert_eq!((&one["version"], &one["name"]), (&json!(1), &json!("ci")));
    assert_eq!(one["providers"], json!(["claude/ci", "groq"]));
    assert!(one["key"].as_str().is_some_and(|key| key.starts_with("kf-")), "{one}");
    let two = run("add laptop --json").ok().json();
    assert_ne!(one["key"], two["key"]);
    let listed = run("list --json");
    let listed = listed.ok().json();
    let names: Vec<_> = listed["keys"].as_array().unwrap().iter().map(|key| &key["name"]).collect();
    assert_eq!(names, [&json!("ci"), &json!("laptop")]);
    assert_eq!(listed["keys"][0]["providers"], json!(["claude/ci", "groq"]));
    assert!(listed["keys"][0]["created_at"].as_str().is_some_and(|at| at.ends_with('Z')));
    assert!(!listed.to_string().contains("sha256") && !listed.to_string().contains("kf-"));
    assert_eq!(run("remove ci --json").ok().json()["removed"], "ci");
    run("remove laptop").ok().stdout_is("");
    assert_eq!(run("list --json").ok().json()["keys"], json!([]));
}

#[test]
fn a_name_that_is_taken_or_unknown_or_no_name_is_refused() {
    let sandbox = Sandbox::new();
    let run = |words: &[&str]| sandbox.cmd(&[&["serve", "key"][..], words].concat()).run();
    run(&["add", "a"]).ok();
    let before = everything(&sandbox);
    run(&["add", "a"]).code(2).stdout_is("").stderr_has("keyfob serve key remove a");
    let again = run(&["add", "a", "--json"]);
    again.code(2).stdout_is("");
    assert_eq!(again.error_json()["code"], "usage");
    run(&["remove", "b"]).code(2).stderr_has("keyfob serve key list");
    let long = "x".repeat(65);
    for name in ["", " ", "a b", "a/b", "../a", "ä", "a\nb", "a\u{1b}[31m", "a:b", &long] {
        let output = run(&["add", name]);
        output.code(2).stdout_is("").stderr_lacks("\u{1b}");
    }
    for provider in ["Not A Provider", "/", "a/", ""] {
        run(&["add", "x", "--provider", provider]).code(2).stdout_is("");
    }
    run(&["add"]).code(2).stdout_is("");
    assert_eq!(everything(&sandbox), before, "nothing was changed");
    run(&["add", &"x".repeat(64)]).ok();
    run(&["add", "me@host_1.x-y"]).ok();
}

#[test]
fn twenty_keys_made_at_once_are_all_kept() {
    let sandbox = Sandbox::new();
    let all: Vec<_> = (0..20)
        .map(|at| sandbox.cmd(&["serve", "key", "add", &format!("k{at}")]).spawn())
        .collect();
    for one in all {
        one.wait(LIMIT).ok();
    }
    let listed = sandbox.cmd(&["serve", "key", "list", "--json"]).run();
    assert_eq!(listed.ok().json()["keys"].as_array().map(Vec::len), Some(20));
}

#[test]
fn the_first_start_makes_a_key_and_the_second_does_not() {
    let upstream = Upstream::good();
    let gateway = Gateway::before(&upstream);
    let key = gateway.key.clone();
    assert!(key.starts_with("kf-"), "{key}");
    // As soon as it is shown.
    gateway.is_well();
    let stderr = gateway.running.stderr();
    assert!(stderr.starts_with(&format!("listening on http://127.0.0.1:{}\n", gateway.port)));
    assert_eq!(stderr.matches(&key).count(), 1, "{stderr}");
    assert!(!everything(&gateway.sandbox).contains(&key[3..]));
    let listed = gateway.cmd("serve key list --json").run();
    assert_eq!(listed.ok().json()["keys"][0]["name"], "default");
    let sandbox = Sandbox::new();
    sandbox.cmd(&["serve", "key", "add", "mine"]).run().ok();
    let second = Setup { sandbox, ..Setup::empty() }.start();
    assert_eq!(second.key, "");
    let output = second.stop();
    output.ok().stdout_is("").stderr_lacks("kf-");
}

/// No key of a client, nor of an account, is ever said, whatever is asked for.
#[test]
fn nothing_that_is_said_holds_a_key() {
    let upstream = Upstream::good();
    let gateway = Setup::with(&upstream).env("KEYFOB_LOG", "debug").start();
    gateway.is_well();
    gateway.ask(&gateway.get(&format!("/v1/models?key={}", gateway.key))).is(200);
    gateway.ask(&gateway.get("/nowhere")).is(404);
    gateway
        .ask(&gateway.get("/v1/models").but("Authorization", "Bearer kf-wrong-0123456789"))
        .is(401);
    let key = gateway.key.clone();
    let output = gateway.stop();
    output.ok().stdout_is("");
    assert_eq!(output.stderr.matches(&key).count(), 1, "{}", output.stderr);
    output.stderr_lacks(super::kit::SECRET).stderr_lacks("kf-wrong");
}

/// A file that cannot be read lets nobody in, and is not written anew.
#[test]
fn a_damaged_file_of_keys_is_told_and_left_alone() {
    let sandbox = Sandbox::new();
    sandbox.cmd(&["serve", "key", "add", "a"]).run().ok();
    let file = sandbox.home().join("serve/keys.json");
    write_private(&file, "{\"version\":1,\"keys\":[{\"na");
    for words in [
        &["serve", "--listen", "127.0.0.1:0"][..],
        &["serve", "key", "list"],
        &["serve", "key", "add", "b"],
        &["serve", "key", "remove", "a"],
    ] {
        let output = sandbox.cmd(words).run();
        output.check(output.status.is_some_and(|code| code != 0), "a failure");
        output.stdout_is("").stderr_has("keys.json").stderr_has("\n  try: ").stderr_lacks("kf-");
    }
    assert_eq!(sandbox.read(&file), "{\"version\":1,\"keys\":[{\"na");
}
