//! `--auth-code`: a code alone, without its address.

use crate::login::demo::Demo;
use crate::support::browser::approve;

/// Begins a login as JSON; its id and URL.
fn begin(demo: &Demo, account: &str) -> (String, String) {
    let object = demo.login(&[account, "--print-auth-url", "--json"]).run().ok().json();
    let text = |key: &str| object[key].as_str().unwrap().to_string();
    (text("login_id"), text("auth_url"))
}

#[test]
fn a_code_alone_finishes_the_only_login_of_its_provider() {
    let demo = Demo::new();
    let (_, url) = begin(&demo, "demo");
    let code = approve(&url).code();
    let output = demo.login(&["demo", "--auth-code", &code]).run();
    output.ok().stdout_is("").stderr_has("me@example.com");
    demo.idp.assert_content();
}

#[test]
fn a_code_with_its_state_finds_its_login_among_several() {
    let demo = Demo::new();
    let (_, url) = begin(&demo, "demo");
    begin(&demo, "demo");
    let callback = approve(&url);
    let both = format!(" '{}#{}' ", callback.code(), callback.state());
    demo.login(&["demo", "--auth-code", &both]).run().ok();
    assert_eq!(demo.pending_files().len(), 1);
    demo.idp.assert_content();
}

#[test]
fn a_code_on_stdin_stays_out_of_the_process_list() {
    let demo = Demo::new();
    let (_, url) = begin(&demo, "demo");
    let code = approve(&url).code();
    let output = demo.login(&["demo", "--auth-code", "-"]).stdin(format!("{code}\n")).run();
    output.ok().stdout_is("").stderr_lacks(&code);
}

#[test]
fn a_code_needs_its_provider() {
    let demo = Demo::new();
    begin(&demo, "demo");
    let output = demo.login(&["--auth-code", "x"]).run();
    output.code(2).stdout_is("").stderr_has("try: keyfob login PROVIDER --auth-code -");
}

#[test]
fn with_several_logins_under_way_a_code_alone_is_a_usage_error_naming_them() {
    let demo = Demo::new();
    let ((first, url), (second, _)) = (begin(&demo, "demo"), begin(&demo, "demo"));
    let code = approve(&url).code();
    let output = demo.login(&["demo", "--auth-code", &code]).run();
    output.code(2).stdout_is("").stderr_has(&first).stderr_has(&second).stderr_has("--login-id");
    assert_eq!(demo.idp.count("token_exchange"), 0);
    let arguments = ["demo", "--auth-code", &code, "--login-id", &first];
    demo.login(&arguments).run().ok().stdout_is("");
    assert_eq!(demo.pending_files().len(), 1, "the other one is still under way");
    demo.idp.assert_content();
}

#[test]
fn a_name_tells_logins_of_one_provider_apart() {
    let demo = Demo::new();
    let ((_, url), _) = (begin(&demo, "demo/work"), begin(&demo, "demo/home"));
    let code = approve(&url).code();
    demo.login(&["demo/work", "--auth-code", &code]).run().ok();
    assert!(demo.sandbox.account_file("demo", "work").exists());
}

#[test]
fn without_a_login_under_way_a_code_is_exit_6() {
    let demo = Demo::new();
    let output = demo.login(&["demo", "--auth-code", "x"]).run();
    output.code(6).stdout_is("").stderr_has("try: keyfob login demo");
    demo.login(&["nobody", "--auth-code", "x"]).run().code(2);
}

#[test]
fn ids_that_are_no_ids_are_unknown_and_no_paths() {
    let demo = Demo::new();
    begin(&demo, "demo");
    for id in ["", "../config", "0123456789abcdef", "0123456789ABCDEF0", "*"] {
        let output = demo.login(&["demo", "--auth-code", "x", "--login-id", id]).run();
        output.check(output.status == Some(6), id).stdout_is("");
    }
    assert_eq!(demo.pending_files().len(), 1);
    assert_eq!(demo.idp.count("token_exchange"), 0);
}

#[test]
fn a_login_named_by_id_does_not_take_another_logins_callback() {
    let demo = Demo::new();
    let ((_, url), (other, _)) = (begin(&demo, "demo"), begin(&demo, "demo"));
    let callback = approve(&url);
    let arguments = ["--callback-url", &callback.location, "--login-id", &other];
    demo.login(&arguments).run().code(6).stdout_is("");
    assert_eq!(demo.idp.count("token_exchange"), 0);
    demo.finish(&callback.location).ok();
}
