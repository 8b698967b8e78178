//! What does not work is told, and the rest goes on.

use super::*;
use crate::support::browser;
use crate::support::idp::{Fault, Times};

#[test]
fn a_failed_sign_in_goes_on_with_the_next() {
    let demo = demo();
    demo.idp.fault("token_exchange", Fault::oauth_error("access_denied", 400), Times::Always);
    let mut wizard = Wizard::start(setup(&demo.sandbox, &["demo", "deepseek", "groq"]));
    wizard.answers(WAY, "browser");
    browser::follow(&address(&demo, &mut wizard));
    wizard.hears("demo: that did not work (exit 1)");
    wizard.answers(HIDDEN, "short");
    wizard.hears("deepseek: that did not work (exit 2)");
    wizard.answers(HIDDEN, KEY);
    wizard.hears("groq: ok");
    wizard.hears("groq becomes the default provider");
    wizard.hears("demo: not ready; try: keyfob login demo\r\n");
    wizard.hears("deepseek: not ready; try: keyfob login deepseek\r\n");
    wizard.hears("groq: ready");
    wizard.hears("keyfob: 2 of 3 are not ready");
    wizard.ends(1);
    default_is(&demo.sandbox, "groq");
    assert_eq!(token(&demo.sandbox, "groq"), KEY);
    assert_eq!(demo.account_files(), [demo.sandbox.account_file("groq", "default")]);
}

#[test]
fn the_exit_code_is_that_of_the_first_failure() {
    let sandbox = Sandbox::new();
    let mut wizard = Wizard::start(setup(&sandbox, &["kimi", "groq"]));
    wizard.answers(WAY, "");
    wizard.hears("kimi: kimi: nobody is signed in\r\n  try: keyfob login kimi\r\n");
    wizard.answers(HIDDEN, "short");
    let output = wizard.ends(4);
    output.check(output.stdout.contains("2 of 2 are not ready"), "how many");
    output.check(!output.stdout.contains("next: "), "nothing to go on with");
    assert!(!sandbox.home().join("config.json").exists(), "no default");
}

/// Terms that are not accepted end the login of this provider alone.
#[test]
fn a_no_to_the_terms_is_a_failure_of_that_provider() {
    let demo = demo();
    let mut wizard = Wizard::start(setup(&demo.sandbox, &["claude", "groq"]));
    wizard.answers("sign in all the same? [y/N] ", "");
    wizard.hears("claude: that did not work (exit 1)");
    wizard.answers(HIDDEN, KEY);
    wizard.ends(1);
    default_is(&demo.sandbox, "groq");
}

#[test]
fn an_account_that_does_not_work_is_told_with_its_next_step() {
    let demo = demo();
    demo.sandbox.write_oauth("demo", "me@example.com", &demo.idp.grant(), -10);
    demo.idp.fault("token_refresh", Fault::oauth_error("invalid_grant", 400), Times::Always);
    let mut wizard = Wizard::start(setup(&demo.sandbox, &["demo"]));
    wizard.answers("sign in again? [y/N] ", "");
    wizard.hears("demo: demo/me@example.com: ");
    wizard.hears("  try: keyfob login demo/me@example.com\r\n");
    wizard.hears("demo: not ready; try: keyfob login demo/me@example.com");
    wizard.ends(4);
    assert_eq!(default_of(&demo.sandbox), Value::Null);
}

#[test]
fn an_issuer_out_of_reach_is_temporary() {
    let demo = demo();
    demo.sandbox.write_oauth("demo", "me@example.com", &demo.idp.grant(), -10);
    demo.idp.fault("token_refresh", Fault::Drop, Times::Always);
    let mut wizard = Wizard::start(setup(&demo.sandbox, &["demo", "--timeout", "5"]));
    wizard.answers("sign in again? [y/N] ", "n");
    wizard.ends(3);
}

#[test]
fn a_damaged_account_can_be_signed_in_again() {
    let sandbox = Sandbox::new();
    sandbox.write_account("groq", "default", &json!([1]));
    let mut wizard = Wizard::start(setup(&sandbox, &["groq"]));
    wizard.answers("the file of groq/default is damaged", "y");
    wizard.answers(HIDDEN, KEY);
    wizard.hears("groq: ok");
    wizard.ends(0);
    assert_eq!(token(&sandbox, "groq"), KEY);
}

/// Settings that cannot be read are nothing to build on.
#[test]
fn damaged_settings_end_it_at_once() {
    let sandbox = Sandbox::new();
    sandbox.write_config(&json!([1]));
    let before = contents(&sandbox);
    let output = setup(&sandbox, &[]).run();
    output.code(5).check(!output.stdout.contains(WHICH), "no question");
    assert_eq!(contents(&sandbox), before);
}
