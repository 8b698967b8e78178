//! An issuer in trouble: what keeps the pending login, and what ends it.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::login::demo::{Demo, LIMIT};
use crate::support::browser::approve;
use crate::support::idp::{Fault, Times};

/// The login fails with this code and stays; the same callback works once the trouble is over.
#[track_caller]
fn assert_kept(faults: Vec<Fault>, code: i32) {
    for fault in faults {
        let demo = Demo::new();
        let callback = approve(&demo.print_url(&[]));
        let name = format!("{fault:?}");
        demo.idp.fault("token_exchange", fault, Times::Once);
        let output = demo.login(&["--callback-url", &callback.location, "--timeout", "1"]).run();
        output.check(output.status == Some(code), &format!("exit code {code} ({name})"));
        output.stdout_is("").stderr_lacks(&callback.code()).stderr_lacks(&callback.state());
        assert_eq!(demo.pending_files().len(), 1, "{name}");
        assert_eq!(demo.account_files().len(), 0, "{name}");
        let again = demo.finish(&callback.location);
        again.check(again.status == Some(0), &format!("the same callback works ({name})"));
        demo.idp.assert_content();
    }
}

#[test]
fn a_temporary_failure_keeps_the_login() {
    assert_kept(
        vec![
            Fault::Status(500),
            Fault::Status(502),
            Fault::Status(503),
            Fault::Html(503),
            Fault::RetryAfter(429, "1".into()),
            Fault::oauth_error("temporarily_unavailable", 400),
            Fault::Drop,
        ],
        3,
    );
}

#[test]
fn an_issuer_that_never_answers_is_given_up_in_time_and_keeps_the_login() {
    let start = Instant::now();
    assert_kept(vec![Fault::Hang], 3);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[test]
fn an_answer_that_makes_no_sense_keeps_the_login() {
    assert_kept(
        vec![
            Fault::Html(200),
            Fault::Html(403),
            Fault::Empty,
            Fault::Truncated,
            Fault::Redirect("http://127.0.0.1:9/token".into()),
            Fault::json(200, &json!({"token_type": "Bearer"})),
            Fault::body(200, "application/json", "x".repeat(2 * 1024 * 1024)),
        ],
        1,
    );
}

#[test]
fn a_failure_that_may_pass_names_the_command_that_tries_again() {
    let demo = Demo::new();
    let callback = approve(&demo.print_url(&[])).location;
    demo.idp.fault("token_exchange", Fault::RetryAfter(429, "7".into()), Times::Once);
    let output = demo.login(&["--callback-url", &callback, "--json"]).run();
    output.code(3).stdout_is("").stderr_has("7 s");
    output.stderr_has("try: keyfob login --callback-url -");
    assert_eq!(output.error_json()["try"], "keyfob login --callback-url -");
}

#[test]
fn a_code_refused_for_good_ends_the_login() {
    for code in ["invalid_grant", "invalid_client", "unauthorized_client"] {
        let demo = Demo::new();
        let callback = approve(&demo.print_url(&[])).location;
        demo.idp.fault("token_exchange", Fault::oauth_error(code, 400), Times::Once);
        let output = demo.finish(&callback);
        output.code(1).stdout_is("").stderr_has(code).stderr_has("try: keyfob login demo");
        assert_eq!(demo.pending_files().len(), 0);
        demo.finish(&callback).code(6).stdout_is("");
        assert_eq!(demo.idp.count("token_exchange"), 1);
    }
}

#[test]
fn a_code_spent_by_an_answer_that_was_lost_is_refused_the_second_time() {
    let demo = Demo::new();
    let callback = approve(&demo.print_url(&[])).location;
    demo.idp.fault("token_exchange", Fault::DropAfterWork, Times::Once);
    demo.finish(&callback).code(3).stdout_is("");
    demo.finish(&callback).code(1).stdout_is("").stderr_has("try: keyfob login demo");
    assert_eq!(demo.account_files().len(), 0);
    assert_eq!(demo.pending_files().len(), 0);
}

#[test]
fn an_answer_that_came_apart_is_temporary_and_never_half_stored() {
    let demo = Demo::new();
    let callback = approve(&demo.print_url(&[])).location;
    demo.idp.fault("token_exchange", Fault::CutShort, Times::Once);
    demo.finish(&callback).code(3).stdout_is("");
    let left = demo.sandbox.files(&demo.sandbox.home().join("accounts"));
    assert!(left.is_empty(), "no account, no temporary file: {left:?}");
}

#[test]
fn a_slow_answer_is_waited_for() {
    let demo = Demo::new();
    let callback = approve(&demo.print_url(&[])).location;
    demo.idp.fault("token_exchange", Fault::Trickle(1), Times::Once);
    demo.finish(&callback).ok();
}

#[test]
fn a_temporary_failure_elsewhere_does_not_end_a_waiting_terminal() {
    let demo = Demo::new();
    let waiting = demo.wait(&[]);
    let callback = waiting.approve();
    demo.idp.fault("token_exchange", Fault::Status(503), Times::Count(3));
    for _ in 0..3 {
        demo.finish(&callback.location).code(3);
    }
    assert_eq!(callback.follow().status, 200);
    waiting.process.wait(LIMIT).ok();
}

#[test]
fn a_store_that_cannot_be_written_is_found_before_the_code_is_spent() {
    let demo = Demo::new();
    let callback = approve(&demo.print_url(&[])).location;
    // A file where the folder of accounts has to be.
    let accounts = demo.sandbox.home().join("accounts");
    std::fs::write(&accounts, "").unwrap();
    let output = demo.finish(&callback);
    output.code(5).stdout_is("").stderr_has(&accounts.display().to_string());
    assert_eq!(demo.idp.count("token_exchange"), 0);
    assert_eq!(demo.pending_files().len(), 1);
    std::fs::remove_file(&accounts).unwrap();
    demo.finish(&callback).ok();
}
