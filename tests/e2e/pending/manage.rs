//! `keyfob pending`: what is under way, and how to end it.

use serde_json::json;

use crate::login::demo::{Demo, LIMIT, keys};
use crate::support::browser::approve;
use crate::support::sandbox::{in_seconds, write_private};

#[test]
fn the_list_shows_each_login_under_way() {
    let demo = Demo::new();
    demo.sandbox.cmd(&["pending", "list"]).run().ok().stdout_is("");
    demo.sandbox
        .cmd(&["pending", "list", "--json"])
        .run()
        .ok()
        .stdout_is("{\"version\":1,\"pending\":[]}\n");
    let url = demo.login(&["demo/work", "--print-auth-url"]).run().line().to_string();
    let output = demo.sandbox.cmd(&["pending", "list", "--json"]).run();
    let object = output.ok().json();
    assert_eq!(keys(&output.stdout), ["version", "pending"]);
    let login = &object["pending"][0];
    let login_id = login["login_id"].as_str().unwrap();
    assert_eq!(login["provider"], "demo");
    assert_eq!(login["account"], "work");
    assert_eq!(login["kind"], "browser");
    assert_eq!(login["auth_url"], json!(url));
    assert_eq!(login["user_code"], json!(null));
    let wanted = [
        "account",
        "auth_url",
        "created_at",
        "expires_at",
        "kind",
        "login_id",
        "provider",
        "user_code",
    ];
    let found: Vec<_> = login.as_object().unwrap().keys().cloned().collect();
    assert_eq!(found, wanted);
    for (key, range) in [
        ("created_at", in_seconds(-10)..=in_seconds(0)),
        ("expires_at", in_seconds(590)..=in_seconds(600)),
    ] {
        assert!(range.contains(&login[key].as_str().unwrap().to_string()), "{key}: {login}");
    }
    let output = demo.sandbox.cmd(&["pending", "list"]).run();
    output.ok().check(output.stdout.contains(login_id), "the id for people too");
    output.check(output.stdout.contains("demo/work"), "whose login it is");
}

#[test]
fn the_list_leaves_out_what_expired_and_holds_no_secret() {
    let demo = Demo::new();
    demo.print_url(&[]);
    demo.edit_pending(&json!({"expires_at": in_seconds(-1)}));
    demo.sandbox.cmd(&["pending", "list"]).run().ok().stdout_is("");
    demo.print_url(&[]);
    let verifier = demo.sandbox.read_json(&demo.pending_files()[0])["verifier"].clone();
    let output = demo.sandbox.cmd(&["pending", "list", "--json"]).run();
    output.ok().check(!output.stdout.contains(verifier.as_str().unwrap()), "no verifier");
}

#[test]
fn a_damaged_pending_file_hides_no_other_login() {
    let demo = Demo::new();
    let url = demo.print_url(&[]);
    let folder = demo.sandbox.home().join("pending");
    write_private(&folder.join("0123456789abcdef.json"), "{\"vers");
    write_private(&folder.join("notes.json"), "");
    let object = demo.sandbox.cmd(&["pending", "list", "--json"]).run().ok().json();
    assert_eq!(object["pending"].as_array().unwrap().len(), 1);
    demo.login(&["demo", "--auth-code", &approve(&url).code()]).run().ok();
}

#[test]
fn a_cancelled_login_cannot_be_finished() {
    let demo = Demo::new();
    let object = demo.login(&["demo", "--print-auth-url", "--json"]).run().ok().json();
    let callback = approve(object["auth_url"].as_str().unwrap()).location;
    let login_id = object["login_id"].as_str().unwrap();
    demo.sandbox.cmd(&["pending", "cancel", login_id]).run().ok().stdout_is("");
    assert_eq!(demo.pending_files().len(), 0);
    demo.finish(&callback).code(6).stdout_is("").stderr_has("cancelled");
    demo.sandbox.cmd(&["pending", "cancel", login_id]).run().code(6).stdout_is("");
    assert_eq!(demo.idp.count("token_exchange"), 0);
}

#[test]
fn every_login_can_be_cancelled_at_once() {
    let demo = Demo::new();
    (0..3).for_each(|_| drop(demo.print_url(&[])));
    demo.sandbox.cmd(&["pending", "cancel", "--all"]).run().ok().stdout_is("");
    assert_eq!(demo.pending_files().len(), 0);
    demo.sandbox.cmd(&["pending", "cancel", "--all"]).run().ok();
}

#[test]
fn what_to_cancel_must_be_named() {
    let demo = Demo::new();
    demo.print_url(&[]);
    demo.sandbox.cmd(&["pending", "cancel"]).run().code(2).stdout_is("").stderr_has("--all");
    for id in ["../config", "nobody", "0123456789abcdef"] {
        demo.sandbox.cmd(&["pending", "cancel", id]).run().code(6).stdout_is("");
    }
    assert_eq!(demo.pending_files().len(), 1);
    assert!(demo.sandbox.home().join("config.json").exists());
}

#[test]
fn a_cancelled_login_ends_the_terminal_that_waits_for_it() {
    let demo = Demo::new();
    let waiting = demo.wait(&[]);
    let other = demo.wait(&[]);
    let object = demo.sandbox.cmd(&["pending", "list", "--json"]).run().ok().json();
    let all = object["pending"].as_array().unwrap();
    let mine = all.iter().find(|login| login["auth_url"] == json!(waiting.url)).unwrap();
    demo.sandbox.cmd(&["pending", "cancel", mine["login_id"].as_str().unwrap()]).run().ok();
    let output = waiting.process.wait(LIMIT);
    output.code(1).stdout_is("").stderr_has("cancelled").stderr_has("try: keyfob login demo");
    other.sign_in().ok();
}
