//! `--print-auth-url`: the URL now, the rest later.

use serde_json::{Value, json};

use crate::login::demo::{Demo, free_port, keys, param, port_of};
use crate::support::browser::approve;
use crate::support::sandbox::{Sandbox, in_seconds, set_mode, write_private};

#[test]
fn stdout_is_the_url_and_nothing_else() {
    let demo = Demo::new();
    let output = demo.login(&["demo", "--print-auth-url"]).run();
    let url = output.ok().line();
    assert!(url.starts_with(&demo.idp.url("/authorize?")), "{url}");
    output.stdout_is(&format!("{url}\n")).stderr_has("keyfob login --callback-url -");
    output.stderr_lacks("\u{1b}");
    assert_eq!(demo.pending_files().len(), 1);
    demo.finish(&approve(url).location).ok();
    demo.idp.assert_content();
}

#[test]
fn the_json_object_is_the_one_of_the_contract() {
    let demo = Demo::new();
    let output = demo.login(&["demo", "--print-auth-url", "--json"]).run();
    let object = output.ok().json();
    let wanted = [
        "version",
        "status",
        "provider",
        "account",
        "login_id",
        "auth_url",
        "redirect_uri",
        "user_code",
        "expires_at",
        "complete_with",
    ];
    assert_eq!(keys(&output.stdout), wanted);
    let url = object["auth_url"].as_str().unwrap();
    assert_eq!(object["version"], 1);
    assert_eq!(object["status"], "pending");
    assert_eq!(object["provider"], "demo");
    assert_eq!(object["account"], Value::Null);
    assert_eq!(object["redirect_uri"], json!(param(url, "redirect_uri")));
    assert_eq!(object["user_code"], Value::Null);
    assert_eq!(object["complete_with"], "keyfob login --callback-url -");
    let expires = object["expires_at"].as_str().unwrap();
    assert!((in_seconds(590)..=in_seconds(600)).contains(&expires.to_string()), "{expires}");
    let file =
        demo.sandbox.home().join(format!("pending/{}.json", object["login_id"].as_str().unwrap()));
    assert!(file.exists());
    let state = param(url, "state").unwrap();
    assert!(!file.display().to_string().contains(&state), "the state is no file name");
}

#[test]
fn the_name_given_is_the_account_of_the_object() {
    let demo = Demo::new();
    let object = demo.login(&["demo/work", "--print-auth-url", "--json"]).run().ok().json();
    assert_eq!(object["account"], "work");
    let callback = approve(object["auth_url"].as_str().unwrap());
    let done = demo.login(&["--callback-url", &callback.location, "--json"]).run().ok().json();
    assert_eq!(done["account"], "work");
    assert_eq!(done["email"], "me@example.com");
}

#[test]
fn the_redirect_names_the_first_registered_port_or_one_that_is_free() {
    let (first, second) = (free_port(), free_port());
    let demo = Demo::with_redirect(&json!({"ports": [first, second]}));
    assert_eq!(port_of(&demo.print_url(&[])), first);
    let any = Demo::new();
    assert_ne!(port_of(&any.print_url(&[])), 0);
    assert_eq!(port_of(&any.print_url(&["--callback-port", "4711"])), 4711);
}

#[test]
fn a_longer_wait_is_a_longer_life() {
    let demo = Demo::new();
    let object = demo.login(&["demo", "--print-auth-url", "--json", "--wait", "3600"]).run().json();
    let expires = object["expires_at"].as_str().unwrap();
    assert!((in_seconds(3590)..=in_seconds(3600)).contains(&expires.to_string()), "{expires}");
}

#[test]
fn the_pending_login_is_private_under_the_widest_umask() {
    let demo = Demo::new();
    let home = demo.sandbox.home();
    demo.login(&["demo", "--print-auth-url"]).umask("000").run().ok();
    assert_eq!(demo.sandbox.mode(&demo.pending_files()[0]), 0o600);
    assert_eq!(demo.sandbox.mode(&home.join("pending")), 0o700);
}

#[test]
fn a_home_that_did_not_exist_is_made_private_under_the_widest_umask() {
    let sandbox = Sandbox::new();
    let arguments = ["login", "claude", "--print-auth-url", "--accept-terms"];
    sandbox.cmd(&arguments).umask("000").run().ok();
    let home = sandbox.home();
    for folder in [home.clone(), home.join("pending")] {
        assert_eq!(sandbox.mode(&folder), 0o700, "{}", folder.display());
    }
    let files = sandbox.files(&home);
    assert!(files.len() >= 2, "the login and the accepted terms: {files:?}");
    for file in files {
        assert_eq!(sandbox.mode(&file), 0o600, "{}", file.display());
    }
}

#[test]
fn stale_logins_are_swept_when_a_login_starts() {
    let demo = Demo::new();
    demo.print_url(&[]);
    demo.edit_pending(&json!({"expires_at": in_seconds(-1)}));
    let stale = demo.pending_files();
    demo.print_url(&[]);
    let left = demo.pending_files();
    assert!(left.len() == 1 && left != stale, "{left:?}");
}

#[test]
fn stale_logins_are_swept_when_a_login_ends() {
    let demo = Demo::new();
    let url = demo.print_url(&[]);
    let stale = demo.sandbox.home().join("pending/0123456789abcdef.json");
    let mut pending = demo.sandbox.read_json(&demo.pending_files()[0]);
    pending["login_id"] = json!("0123456789abcdef");
    pending["expires_at"] = json!(in_seconds(-1));
    write_private(&stale, &pending.to_string());
    demo.finish(&approve(&url).location).ok();
    assert_eq!(demo.pending_files().len(), 0);
}

#[test]
fn a_pending_login_others_can_read_is_refused_with_the_cure() {
    let demo = Demo::new();
    let url = demo.print_url(&[]);
    let file = &demo.pending_files()[0];
    set_mode(file, 0o644);
    let callback = approve(&url).location;
    let output = demo.finish(&callback);
    output.code(5).stdout_is("").stderr_has(&format!("chmod 600 {}", file.display()));
    set_mode(file, 0o600);
    demo.finish(&callback).ok();
}
