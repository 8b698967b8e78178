//! Servers that mean harm with what a person is shown.

use serde_json::{Value, json};

use super::{Begun, Polling, ask, demo};
use crate::support::idp::{Fault, Times};

fn bad_urls() -> Vec<String> {
    let mut all: Vec<String> = [
        "javascript:alert(1)",
        "javascript://127.0.0.1/%0aalert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "http://example.com/device",
        "http://127.0.0.1.evil.example/",
        "https://user:password@example.com/device",
        "https://a\nb/device",
        "https://example.com/\u{1b}]52;c;AAAA\u{7}",
        "https://example.com/\u{202e}moc.elgoog",
        "https://example.com/a b",
        "https://example.com/$(touch x)`touch y`",
        "--help",
        "-flag",
        "/activate",
        "example.com/device",
        "https://",
        "https:///x",
    ]
    .map(String::from)
    .to_vec();
    all.push(format!("https://example.com/{}", "x".repeat(20_000)));
    all.push(format!("https://example.com/{}", "x".repeat(1_000_000)));
    all
}

#[test]
fn a_hostile_page_is_neither_shown_nor_opened() {
    let demo = demo();
    let note = demo.sandbox.work().join("opened");
    let browser = format!("touch {}", note.display());
    for url in bad_urls() {
        for key in ["verification_uri", "verification_uri_complete"] {
            let other = if key == "verification_uri" { "verification_uri_complete" } else { "" };
            println!("{key}: {:.80}", format!("{url:?}"));
            let patch = Fault::Patch(json!({key: url, other: null}));
            demo.idp.fault("device_start", patch, Times::Once);
            let command = demo.login(&["demo", "--device", "--wait", "1"]);
            let output = command.env("BROWSER", &browser).run();
            output.code(1).stdout_is("").stderr_lacks("password@").stderr_lacks("approve only");
            let shown = output.stderr.lines().any(|line| line.trim() == url);
            output.check(!shown, "the address is not shown as one to open");
            output.check(output.stderr.len() < 2000, "no wall of text");
            let controls = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
            output.check(!output.stderr.contains(controls), "no control characters");
            output.check(demo.pending_files().is_empty(), "nothing is under way");
        }
    }
    assert!(!note.exists(), "nothing was opened");
    assert_eq!(demo.idp.count("device_poll"), 0);
    demo.idp.assert_content();
}

#[test]
fn a_user_code_is_made_harmless_and_short() {
    let demo = demo();
    let codes = [
        ("AB\u{1b}[2J\u{7}CD\r\nEF", "AB"),
        ("\u{202e}WXYZ\u{2066}", "WXYZ"),
        ("A\nkeyfob: signed in to demo as me\nB", "A keyfob"),
        (&"M".repeat(100_000), "MMMM"),
    ];
    for (code, start) in codes {
        println!("{:.40}", format!("{code:?}"));
        let patch = Fault::Patch(json!({"user_code": code, "verification_uri_complete": null}));
        demo.idp.fault("device_start", patch.clone(), Times::Once);
        let output = demo.login(&["demo", "--device", "--print-auth-url", "--json"]).run();
        let object = output.ok().json();
        let shown = object["user_code"].as_str().unwrap();
        assert!(shown.starts_with(start) && shown.chars().count() <= 64, "{shown:?}");
        assert!(!shown.contains(|c: char| c.is_control() || ('\u{202a}'..'\u{2070}').contains(&c)));
        let line = output.stderr.lines().find(|line| line.contains(start)).unwrap_or_default();
        output.check(line.contains(shown) && line.len() < 200, "the code in one short line");
        let list = demo.sandbox.cmd(&["pending", "list", "--json"]).run().ok().json();
        assert_eq!(list["pending"][0]["user_code"], object["user_code"]);
        // The login works all the same: only the person types the code.
        demo.idp.approve_device(&super::last_code(&demo));
        ask(&demo).ok();
    }
    for code in ["", " ", "\u{7}"] {
        demo.idp.fault("device_start", Fault::Patch(json!({"user_code": code})), Times::Once);
        demo.login(&["demo", "--device"]).run().code(1).stdout_is("");
    }
    demo.idp.assert_content();
}

#[test]
fn an_endless_answer_is_cut_off() {
    let demo = demo();
    let endless = json!({"device_code": "d", "user_code": "u", "x": "y".repeat(5_000_000)});
    demo.idp.fault("device_start", Fault::json(200, &endless), Times::Once);
    let output = demo.login(&["demo", "--device"]).run();
    output.check(matches!(output.status, Some(1 | 3)), "refused").stdout_is("");
    let begun = Begun::of(&demo, "demo");
    demo.idp.fault("device_poll", Fault::json(400, &endless), Times::Once);
    let output = ask(&demo);
    output.check(matches!(output.status, Some(1 | 3)), "refused").stdout_is("");
    demo.idp.approve_device(&begun.user_code);
    ask(&demo).ok();
}

#[test]
fn a_refusals_text_is_made_harmless() {
    let demo = demo();
    let text = "no\u{1b}]0;x\u{7} way\r\nkeyfob: signed in";
    let fault = Fault::json(400, &json!({"error": "access_denied", "error_description": text}));
    for role in ["device_start", "device_poll"] {
        demo.idp.fault(role, fault.clone(), Times::Once);
        let output = if role == "device_start" {
            demo.login(&["demo", "--device"]).run()
        } else {
            Begun::of(&demo, "demo");
            ask(&demo)
        };
        output.code(1).stdout_is("").stderr_has("way").stderr_lacks("\u{1b}").stderr_lacks("\u{7}");
        output.check(!output.stderr.lines().any(|l| l.starts_with("keyfob: signed in")), role);
    }
}

#[test]
fn what_is_odd_in_the_device_code_is_sent_back_as_it_came() {
    let demo = demo();
    let answer = json!({
        "device_code": "a+b/c=d&e %f\u{e9}",
        "user_code": "ABCD",
        "verification_uri": "https://example.com/device",
        "expires_in": 60,
        "interval": 1,
    });
    demo.idp.fault("device_start", Fault::json(200, &answer), Times::Always);
    demo.idp.fault("device_poll", Fault::oauth_error("expired_token", 400), Times::Always);
    let command = demo.login(&["demo", "--device"]).env("NO_BROWSER", "1");
    let process = command.spawn();
    assert_eq!(process.auth_url(), "https://example.com/device");
    process.wait(super::LIMIT).code(6);
    let poll = &demo.idp.requests_to("device_poll")[0];
    assert_eq!(poll.param("device_code").map(Value::from), Some(answer["device_code"].clone()));
}

#[test]
fn a_browser_is_opened_on_the_good_page_and_not_with_no_browser() {
    let demo = demo();
    let note = demo.sandbox.work().join("opened");
    let script = demo.sandbox.work().join("browser.sh");
    std::fs::write(&script, format!("printf %s \"$1\" > {}\n", note.display())).unwrap();
    let browser = format!("sh {}", script.display());
    let command = demo.login(&["demo", "--device", "--no-browser"]).env("BROWSER", &browser);
    let polling = Polling::of(&demo, command);
    demo.idp.wait_for("device_pending", 1);
    assert!(!note.exists());
    polling.approved(&demo).ok();
    let polling = Polling::of(&demo, demo.login(&["demo", "--device"]).env("BROWSER", &browser));
    let url = polling.url.clone();
    polling.approved(&demo).ok();
    assert_eq!(demo.sandbox.read(&note), url);
}
