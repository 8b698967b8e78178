//! What is shown when a login begins.

use serde_json::{Value, json};

use super::{Begun, Polling, demo, last_code};
use crate::login::demo::{Demo, keys};
use crate::support::idp::{Fault, Times};
use crate::support::sandbox::in_seconds;

const WARNING: &str = "approve only if you started this";

/// The URL stands alone on its line, and the code on one that has nothing of the URL.
#[track_caller]
fn assert_shown(stderr: &str, url: &str, user_code: &str) {
    assert!(stderr.lines().any(|line| line == url), "{url} alone on its line:\n{stderr}");
    let has_code = |line: &str| line.contains(user_code) && !line.contains("://");
    assert!(stderr.lines().any(has_code), "{user_code} on a line of its own:\n{stderr}");
    assert!(stderr.contains(WARNING), "{stderr}");
}

fn print(demo: &Demo, more: &[&str]) -> Value {
    let arguments = ["demo", "--device", "--print-auth-url", "--json"];
    demo.login(&[&arguments, more].concat()).run().ok().json()
}

#[test]
fn a_terminal_shows_page_and_code_and_ends_signed_in() {
    let demo = demo();
    let both = [true, false].map(|has_complete| {
        demo.idp.shape_device(|shape| shape.has_complete = has_complete);
        let polling = Polling::start(&demo, &[]);
        let plain = demo.idp.url("/activate");
        let complete = format!("{plain}?user_code={}", polling.user_code);
        assert_eq!(polling.url, if has_complete { complete } else { plain });
        demo.idp.approve_device(&polling.user_code);
        polling
    });
    for Polling { process, user_code, url } in both {
        let output = process.wait(super::LIMIT);
        output.ok().stdout_is("").stderr_has("signed in").stderr_has("me@example.com");
        assert_shown(&output.stderr, &url, &user_code);
        output.stderr_has("keyfob login demo --complete");
        for device in demo.idp.devices() {
            output.stderr_lacks(&device.device_code);
        }
    }
    assert_eq!(demo.account_files().len(), 1);
    assert_eq!(demo.pending_files().len(), 0);
    demo.idp.assert_content();
}

#[test]
fn the_address_is_printed_alone_and_nothing_is_opened() {
    let demo = demo();
    let note = demo.sandbox.work().join("opened");
    let browser = format!("touch {}", note.display());
    for flag in ["--device", "--device-auth", "--device-code"] {
        let command = demo.login(&["demo", flag, "--print-auth-url"]).env("BROWSER", &browser);
        let output = command.run();
        let user_code = last_code(&demo);
        let url = demo.idp.url(&format!("/activate?user_code={user_code}"));
        output.ok().stdout_is(&format!("{url}\n"));
        output.stderr_has(&user_code).stderr_has(WARNING);
        output.stderr_has("keyfob login demo --complete");
    }
    demo.idp.shape_device(|shape| shape.has_complete = false);
    let output = demo.login(&["demo", "--device", "--print-auth-url"]).run();
    output.ok().stdout_is(&format!("{}\n", demo.idp.url("/activate")));
    assert!(!note.exists());
    assert_eq!((demo.idp.count("device_poll"), demo.idp.count("device_page")), (0, 0));
    assert_eq!(demo.pending_files().len(), 4);
    for file in demo.pending_files() {
        assert_eq!(demo.sandbox.mode(&file), 0o600);
    }
    demo.idp.assert_content();
}

#[test]
fn the_address_as_json_has_the_keys_of_the_contract() {
    let demo = demo();
    let arguments = ["demo/work", "--device", "--print-auth-url", "--json"];
    let output = demo.login(&arguments).run();
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
    let user_code = last_code(&demo);
    assert_eq!(object["version"], 1);
    assert_eq!(object["status"], "pending");
    assert_eq!((&object["provider"], &object["account"]), (&json!("demo"), &json!("work")));
    let url = demo.idp.url(&format!("/activate?user_code={user_code}"));
    assert_eq!((&object["auth_url"], &object["user_code"]), (&json!(url), &json!(user_code)));
    assert_eq!(object["redirect_uri"], Value::Null);
    assert_eq!(object["complete_with"], "keyfob login demo/work --complete");
    let range = in_seconds(590)..=in_seconds(600);
    assert!(range.contains(&object["expires_at"].as_str().unwrap().into()), "{object}");
    output.stderr_has(&user_code).stderr_has(WARNING);
    assert_eq!(print(&demo, &[])["complete_with"], "keyfob login demo --complete");
}

#[test]
fn every_spelling_of_the_answer_is_understood() {
    let demo = demo();
    let plain = demo.idp.url("/activate");
    let other = demo.idp.url("/other");
    let patches = [
        (json!({}), None),
        (json!({"verification_uri_complete": null}), Some(&plain)),
        (json!({"verification_uri_complete": ""}), Some(&plain)),
        (json!({"verification_url": plain, "verification_uri": null}), None),
        // A server in transition sends both.
        (json!({"verification_url": plain, "verification_uri_complete": null}), Some(&plain)),
        (json!({"verification_uri_complete": other}), Some(&other)),
        (json!({"interval": "7"}), None),
        (json!({"interval": null}), None),
        (json!({"interval": "soon"}), None),
        (json!({"interval": 1.5}), None),
        (json!({"expires_in": "600"}), None),
        (json!({"message": "To sign in, use a browser", "interval": 0}), None),
    ];
    for (patch, url) in patches {
        println!("{patch}");
        demo.idp.fault("device_start", Fault::Patch(patch), Times::Once);
        let object = print(&demo, &[]);
        let complete = format!("{plain}?user_code={}", last_code(&demo));
        assert_eq!(object["auth_url"], *url.unwrap_or(&complete));
        assert_eq!(object["user_code"], last_code(&demo));
    }
    demo.idp.shape_device(|shape| shape.is_old_spelling = true);
    let object = print(&demo, &[]);
    assert_eq!(object["auth_url"], format!("{plain}?user_code={}", last_code(&demo)));
    demo.idp.assert_content();
}

#[test]
fn a_lifetime_that_is_missing_or_mad_is_made_sensible() {
    let demo = demo();
    for lifetime in [Value::Null, json!(9e18), json!(u64::MAX), json!("99999999999999999999")] {
        println!("{lifetime}");
        let patch = json!({"expires_in": lifetime});
        demo.idp.fault("device_start", Fault::Patch(patch), Times::Once);
        let object = print(&demo, &[]);
        let expires_at = object["expires_at"].as_str().unwrap();
        assert!(*expires_at > *in_seconds(60), "{object}");
        assert!(expires_at.len() == in_seconds(0).len(), "a date of this era: {object}");
    }
}

#[test]
fn a_qr_code_does_not_take_the_user_codes_place() {
    let demo = demo();
    let output = demo.login(&["demo", "--device", "--print-auth-url", "--qr"]).run();
    output.ok().stderr_has(&last_code(&demo)).stderr_has("█").stderr_has(WARNING);
}

#[test]
fn the_list_of_logins_shows_page_and_code() {
    let demo = demo();
    let begun = Begun::of(&demo, "demo/work");
    let polling = Polling::start(&demo, &[]);
    let list = demo.sandbox.cmd(&["pending", "list", "--json"]).run().ok().json();
    let all = list["pending"].as_array().unwrap();
    assert_eq!(all.len(), 2, "{list}");
    for (user_code, url, account) in [
        (&begun.user_code, &begun.url, json!("work")),
        (&polling.user_code, &polling.url, Value::Null),
    ] {
        let login = all.iter().find(|login| login["user_code"] == **user_code);
        let login = login.unwrap_or_else(|| panic!("no {user_code} in {list}"));
        assert_eq!(login["kind"], "device");
        assert_eq!((&login["auth_url"], &login["account"]), (&json!(url), &account));
        assert_eq!(login["provider"], "demo");
    }
    assert!(all.iter().any(|login| login["login_id"] == begun.login_id), "{list}");
    let shown = demo.sandbox.cmd(&["pending", "list"]).run();
    shown.ok().check(shown.stdout.contains(&begun.login_id), "the id for people too");
    for device in demo.idp.devices() {
        shown.check(!shown.stdout.contains(&device.device_code), "no device code");
        assert!(!list.to_string().contains(&device.device_code));
    }
}

#[test]
fn trouble_at_the_start_is_told_and_leaves_nothing() {
    let demo = demo();
    let refused = |code: &str, status: u16| Fault::oauth_error(code, status);
    let cases = [
        (Fault::Status(500), 3, "500"),
        (Fault::Html(503), 3, "503"),
        (Fault::RetryAfter(429, "7".into()), 3, "7 s"),
        (Fault::Drop, 3, ""),
        (Fault::Hang, 3, ""),
        (refused("invalid_scope", 400), 1, "invalid_scope"),
        (refused("unauthorized_client", 400), 1, "try: keyfob login demo --no-browser"),
        (refused("device_flow_disabled", 200), 1, "device_flow_disabled"),
        (Fault::Status(404), 1, "404"),
        (Fault::Html(200), 1, ""),
        (Fault::Empty, 1, ""),
        (Fault::Truncated, 1, ""),
        (Fault::Patch(json!({"device_code": null})), 1, ""),
        (Fault::Patch(json!({"device_code": ""})), 1, ""),
        (Fault::Patch(json!({"user_code": null})), 1, ""),
        (Fault::Patch(json!({"user_code": 7})), 1, ""),
        (Fault::Patch(json!({"verification_uri": null, "verification_uri_complete": null})), 1, ""),
        (Fault::Patch(json!({"verification_uri": "", "verification_uri_complete": ""})), 1, ""),
        (Fault::Redirect("http://127.0.0.1:1/".into()), 1, ""),
    ];
    for (fault, code, said) in cases {
        let name = format!("{fault:?}");
        demo.idp.fault("device_start", fault, Times::Once);
        let output = demo.login(&["demo", "--device", "--timeout", "1"]).run();
        output.check(output.status == Some(code), &format!("exit {code} ({name})"));
        output.stdout_is("").stderr_has(said).stderr_lacks("panicked").stderr_lacks(WARNING);
        output.check(demo.pending_files().is_empty(), &name);
    }
    demo.idp.assert_content();
}
