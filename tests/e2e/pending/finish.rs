//! `--callback-url`: the second half, in whatever process.

use serde_json::json;

use crate::login::demo::{Demo, LIMIT, with_state};
use crate::login::paste::SHAPES;
use crate::support::browser::approve;
use crate::support::idp::{Dialect, Idp};
use crate::support::sandbox::in_seconds;

#[test]
fn every_shape_of_a_callback_finishes_the_login() {
    let demo = Demo::new();
    for (name, shape) in SHAPES {
        let text = shape(&approve(&demo.print_url(&[])));
        let output = demo.finish(&text);
        output.check(output.status == Some(0), name).stdout_is("").stderr_has("me@example.com");
    }
    assert_eq!(demo.idp.count("token_exchange"), SHAPES.len());
    assert_eq!(demo.pending_files().len(), 0);
    demo.idp.assert_content();
}

#[test]
fn a_dash_reads_the_callback_from_stdin() {
    let demo = Demo::new();
    let callback = approve(&demo.print_url(&[]));
    let text = format!("\r\n <{}>\r\n\r\n", callback.location.replace("&state", "\r\n&state"));
    let output = demo.login(&["--callback-url", "-"]).stdin(text).run();
    output.ok().stdout_is("").stderr_has("me@example.com").stderr_lacks(&callback.code());
    demo.idp.assert_content();
}

#[test]
fn the_provider_may_be_named_and_must_then_be_the_right_one() {
    let demo = Demo::new();
    let callback = approve(&demo.print_url(&[])).location;
    let output = demo.login(&["openai", "--callback-url", &callback]).run();
    output.code(2).stdout_is("").stderr_has("demo");
    assert_eq!(demo.idp.count("token_exchange"), 0);
    demo.login(&["demo", "--callback-url", &callback]).run().ok();
    demo.idp.assert_content();
}

#[test]
fn an_account_named_at_the_end_must_be_the_one_of_the_beginning() {
    let demo = Demo::new();
    let begun = demo.login(&["demo/work", "--print-auth-url"]).run();
    let callback = approve(begun.ok().line());
    let output = demo.login(&["demo/home", "--callback-url", &callback.location]).run();
    output.check(output.status != Some(0), "a refusal: it is not the login of demo/home");
    assert_eq!(demo.account_files().len(), 0);
    demo.login(&["demo/work", "--callback-url", &callback.location]).run().ok();
    assert!(demo.sandbox.account_file("demo", "work").exists());
}

#[test]
fn a_login_begun_without_a_name_may_be_named_at_the_end() {
    let demo = Demo::new();
    let callback = approve(&demo.print_url(&[])).location;
    demo.login(&["demo/work", "--callback-url", &callback]).run().ok();
    assert!(demo.sandbox.account_file("demo", "work").exists());
    assert_eq!(demo.account_files().len(), 1);
}

#[test]
fn replacing_and_not_asking_may_be_said_at_the_end() {
    let demo = Demo::new();
    let begin = || demo.login(&["demo/work", "--print-auth-url"]).run().ok().line().to_string();
    demo.finish(&approve(&begin()).location).ok();
    demo.next_person("you@example.com", "user-2");
    demo.finish(&approve(&begin()).location).code(1).stderr_has("--replace");
    demo.idp.reset_records();
    let callback = approve(&begin()).location;
    demo.login(&["--callback-url", &callback, "--replace", "--no-verify"]).run().ok();
    let account = demo.sandbox.read_account("demo", "work");
    assert_eq!(account["identity"]["email"], "you@example.com");
    assert_eq!(demo.idp.count("userinfo"), 0);
    demo.idp.assert_content();
}

#[test]
fn a_person_expected_at_the_end_only_is_expected_all_the_same() {
    let demo = Demo::new();
    let callback = approve(&demo.print_url(&[]));
    let arguments = ["--callback-url", &callback.location, "--expect", "you@example.com"];
    let output = demo.login(&arguments).run();
    output.check(output.status != Some(0), "a refusal: me@example.com signed in").stdout_is("");
    assert_eq!(demo.account_files().len(), 0);
}

#[test]
fn a_person_expected_at_the_beginning_is_still_expected_at_the_end() {
    let demo = Demo::new();
    let url = demo.print_url(&["--expect", "you@example.com"]);
    demo.finish(&approve(&url).location).code(1).stdout_is("").stderr_has("you@example.com");
    assert_eq!(demo.account_files().len(), 0);
    assert_eq!(demo.pending_files().len(), 0, "its code is spent");
}

#[test]
fn a_second_use_is_exit_6_and_says_that_it_was_used() {
    let demo = Demo::new();
    let callback = approve(&demo.print_url(&[])).location;
    demo.finish(&callback).ok();
    let output = demo.login(&["--callback-url", &callback, "--json"]).run();
    output.code(6).stdout_is("").stderr_has("already used").stderr_has("demo/me@example.com");
    assert_eq!(output.error_json()["exit"], 6);
    assert_eq!(demo.idp.count("token_exchange"), 1);
    let tokens = demo.sandbox.read_account("demo", "me@example.com");
    assert!(demo.idp.accepts_access(tokens["access_token"].as_str().unwrap()), "still good");
}

#[test]
fn an_unknown_state_is_exit_6() {
    let demo = Demo::new();
    let callback = approve(&demo.print_url(&[]));
    let strange = with_state(&callback, "another-login-another-login-another-login");
    demo.finish(&strange).code(6).stdout_is("").stderr_has("unknown").stderr_has("try: keyfob");
    assert_eq!(demo.idp.count("token_exchange"), 0);
    demo.finish(&callback.location).ok();
}

#[test]
fn an_expired_login_is_exit_6_with_the_command_to_start_again() {
    let demo = Demo::new();
    let callback = approve(&demo.print_url(&[])).location;
    demo.edit_pending(&json!({"expires_at": in_seconds(-5)}));
    let output = demo.finish(&callback);
    output.code(6).stdout_is("").stderr_has("expired").stderr_has("try: keyfob login demo");
    assert_eq!(demo.idp.count("token_exchange"), 0);
}

#[test]
fn what_is_no_callback_is_a_usage_error_and_costs_nothing() {
    let demo = Demo::new();
    let url = demo.print_url(&[]);
    let callback = approve(&url);
    let stateless = format!("code={}", callback.code());
    for text in ["hello", "", "http://127.0.0.1/callback", "?state=x", &url, &stateless] {
        let output = demo.login(&["--callback-url", "-"]).stdin(text).run();
        output.check(output.status == Some(2), text).stdout_is("").stderr_lacks(&callback.code());
    }
    assert_eq!(demo.idp.count("token_exchange"), 0);
    demo.finish(&callback.location).ok();
}

#[test]
fn several_logins_of_one_provider_are_finished_in_any_order() {
    let demo = Demo::new();
    let urls = [demo.print_url(&[]), demo.print_url(&[]), demo.print_url(&[])];
    assert_eq!(demo.pending_files().len(), 3);
    for (number, at) in [(2, 1), (3, 2), (1, 0)] {
        let email = format!("p{number}@example.com");
        demo.next_person(&email, &format!("user-{number}"));
        demo.finish(&approve(&urls[at]).location).ok().stderr_has(&email);
    }
    assert_eq!(demo.account_files().len(), 3);
    assert_eq!(demo.pending_files().len(), 0);
    demo.idp.assert_content();
}

#[test]
fn a_later_edit_of_the_settings_does_not_change_where_the_code_goes() {
    let demo = Demo::new();
    let callback = approve(&demo.print_url(&[])).location;
    let elsewhere = Idp::start(Dialect::oidc());
    let mut config = demo.sandbox.read_config();
    config["providers"]["demo"]["token_url"] = json!(elsewhere.url("/token"));
    config["providers"]["demo"]["client_id"] = json!("somebody-else");
    config["providers"]["demo"]["userinfo_url"] = json!(elsewhere.url("/userinfo"));
    demo.sandbox.write_config(&config);
    demo.finish(&callback).ok();
    assert!(elsewhere.requests().is_empty(), "{}", elsewhere.counters());
    assert_eq!(demo.idp.count("token_exchange"), 1);
    demo.idp.assert_content();
}

#[test]
fn a_login_survives_the_provider_being_removed_meanwhile() {
    let demo = Demo::new();
    let callback = approve(&demo.print_url(&[])).location;
    demo.sandbox.write_config(&json!({}));
    demo.finish(&callback).ok();
}

#[test]
fn a_killed_terminal_leaves_a_login_that_another_process_finishes() {
    let demo = Demo::new();
    let waiting = demo.wait(&[]);
    let callback = waiting.approve().location;
    waiting.process.kill("KILL");
    let output = waiting.process.wait(LIMIT);
    output.check(output.signal == Some(9), "killed");
    demo.finish(&callback).ok().stdout_is("");
    assert_eq!(demo.pending_files().len(), 0);
    demo.idp.assert_content();
}

#[test]
fn a_refusal_in_the_callback_ends_the_login_and_shows_why() {
    let demo = Demo::new();
    let state = approve(&demo.print_url(&[])).state();
    let refusal = |state: &str| {
        format!("http://x/?error=access_denied&error_description=no%1b%5b2J+way&state={state}")
    };
    demo.finish(&refusal("a-foreign-state")).code(6).stdout_is("");
    assert_eq!(demo.pending_files().len(), 1, "a stranger's refusal ends nothing");
    let output = demo.finish(&refusal(&state));
    output.code(1).stdout_is("").stderr_has("way (access_denied)").stderr_lacks("\u{1b}");
    assert_eq!(demo.pending_files().len(), 0);
    demo.finish(&refusal(&state)).code(6);
}
