//! What the browser shows at the end.

use crate::support::browser::{self, Page};
use crate::support::idp::{Fault, Times};

use super::demo::{Demo, LIMIT};

/// One small HTML page that loads nothing, runs nothing and is not kept.
#[track_caller]
fn assert_self_contained(page: &Page) {
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(page.header("cache-control"), Some("no-store"));
    assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    let policy = page.header("content-security-policy").unwrap_or_default();
    assert!(policy.contains("default-src 'none'"), "{policy}");
    let body = page.body.to_ascii_lowercase();
    assert!(body.starts_with("<!doctype html>"), "{body}");
    for outside in ["http:", "https:", "src=", "href=", "url(", "@import", "<script", "<img"] {
        assert!(!body.contains(outside), "{outside} in {body}");
    }
}

#[test]
fn the_page_of_success_names_the_person_and_nothing_secret() {
    let demo = Demo::new();
    let waiting = demo.wait(&[]);
    let callback = waiting.approve();
    let page = callback.follow();
    waiting.process.wait(LIMIT).ok();
    assert_eq!(page.status, 200);
    assert_self_contained(&page);
    assert!(page.body.contains("me@example.com") && page.body.contains("demo"), "{}", page.body);
    let account = demo.sandbox.read_account("demo", "me@example.com");
    let token = account["access_token"].as_str().unwrap();
    for secret in [token, &callback.code(), &callback.state()] {
        assert!(!page.body.contains(secret), "{}", page.body);
    }
}

#[test]
fn the_page_of_a_refused_code_shows_what_the_issuer_said_as_text() {
    let demo = Demo::new();
    let body =
        r#"{"error":"invalid_grant","error_description":"<script>alert(1)</script> \"gone\""}"#;
    demo.idp.fault("token_exchange", Fault::body(400, "application/json", body), Times::Once);
    let waiting = demo.wait(&[]);
    let page = waiting.approve().follow();
    assert_eq!(page.status, 400);
    assert_self_contained(&page);
    assert!(page.body.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "{}", page.body);
    let output = waiting.process.wait(LIMIT);
    output.code(1).stdout_is("").stderr_has("invalid_grant").stderr_has("try: keyfob login demo");
}

#[test]
fn the_page_of_a_refusal_shows_its_description_as_text() {
    let demo = Demo::new();
    let waiting = demo.wait(&[]);
    let state = waiting.approve().state();
    let page = browser::get(&format!(
        "http://{}/callback?error=%3Cb%3E&error_description=%3Cscript%3Ealert(1)%3C%2Fscript%3E&state={state}",
        waiting.authority()
    ));
    assert_eq!(page.status, 400);
    assert_self_contained(&page);
    assert!(page.body.contains("&lt;script&gt;"), "{}", page.body);
    waiting.process.wait(LIMIT).code(1);
}

#[test]
fn every_other_page_is_self_contained_too() {
    let demo = Demo::new();
    let waiting = demo.wait(&[]);
    for target in ["/", "/favicon.ico", "/callback", "/callback?code=x&state=<script>"] {
        assert_self_contained(&browser::get(&format!("http://{}{target}", waiting.authority())));
    }
    waiting.sign_in().ok();
}

#[test]
fn a_name_full_of_html_and_escapes_stays_text_everywhere() {
    let demo = Demo::new();
    demo.next_person("<script>\u{1b}[31m/../x\u{202e}@example.com", "user-9");
    let waiting = demo.wait(&[]);
    let page = waiting.approve().follow();
    assert_eq!(page.status, 200);
    assert_self_contained(&page);
    let output = waiting.process.wait(LIMIT);
    output.ok().stdout_is("").stderr_lacks("\u{1b}").stderr_lacks("\u{202e}");
    let files = demo.account_files();
    let folder = demo.sandbox.home().join("accounts/demo");
    assert!(files.len() == 1 && files[0].parent() == Some(&folder), "{files:?}");
    demo.sandbox.cmd(&["token", "demo"]).run().ok();
}
