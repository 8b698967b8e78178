//! From nothing to a default that works.

use super::*;
use crate::support::browser;
use crate::support::sandbox::write_private;

#[test]
fn a_key_typed_in_an_empty_home_becomes_a_working_default() {
    let sandbox = Sandbox::new();
    let mut wizard = Wizard::start(setup(&sandbox, &[]));
    let list = wizard.answers(WHICH, "groq");
    assert!(list.contains("groq") && !list.contains("signed in:"), "{list}");
    wizard.hears("running: keyfob login groq\r\n");
    wizard.answers(HIDDEN, KEY);
    wizard.hears("groq: ok\r\n");
    wizard.hears("groq becomes the default provider");
    wizard.hears("default provider: groq");
    wizard.hears("next: keyfob token groq, or keyfob exec groq -- COMMAND");
    wizard.ends(0);
    assert_eq!(token(&sandbox, "groq"), KEY);
    default_is(&sandbox, "groq");
    is_private(&sandbox);
    assert_eq!(sandbox.mode(&sandbox.home()), 0o700);
}

#[test]
fn a_sign_in_and_a_key_in_one_run() {
    let demo = demo();
    let mut wizard = Wizard::start(setup(&demo.sandbox, &[]));
    wizard.answers(WHICH, "demo groq");
    wizard.answers(WAY, "browser");
    wizard.hears("running: keyfob login demo\r\n");
    let url = address(&demo, &mut wizard);
    assert_eq!(browser::follow(&url).status, 200);
    wizard.hears("signed in to demo as me@example.com");
    wizard.hears("demo: ok");
    wizard.hears("running: keyfob login groq\r\n");
    wizard.answers(HIDDEN, KEY);
    wizard.hears("groq: ok");
    let choice = wizard.answers(&format!("{DEFAULT}sets none) "), "groq");
    assert!(choice.contains("  1  demo\r\n") && choice.contains("  2  groq\r\n"), "{choice}");
    wizard.hears("demo: ready\r\ngroq: ready\r\ndefault provider: groq");
    wizard.ends(0);
    default_is(&demo.sandbox, "groq");
    assert_eq!(token(&demo.sandbox, "groq"), KEY);
    assert!(demo.idp.accepts_access(&token(&demo.sandbox, "demo")));
    is_private(&demo.sandbox);
    demo.idp.assert_content();
}

#[test]
fn a_code_typed_on_another_machine() {
    let demo = demo();
    let mut wizard = Wizard::start(setup(&demo.sandbox, &["demo"]));
    let ways = wizard.answers(WAY, "2");
    assert!(ways.contains("  1  browser") && ways.contains("  2  device"), "{ways}");
    wizard.hears("running: keyfob login demo --device\r\n");
    wizard.hears("code: ");
    let code = wizard.hears("\r\n");
    demo.idp.approve_device(&code);
    wizard.hears("demo: ok");
    wizard.hears("demo becomes the default provider");
    wizard.ends(0);
    default_is(&demo.sandbox, "demo");
    assert!(demo.idp.accepts_access(&token(&demo.sandbox, "demo")));
    is_private(&demo.sandbox);
    demo.idp.assert_content();
}

/// The terms are asked for by the login itself, and remembered by it.
#[test]
fn terms_are_asked_for_on_the_way() {
    let demo = Demo::built_in("claude");
    let mut wizard = Wizard::start(setup(&demo.sandbox, &["anthropic"]));
    wizard.hears("running: keyfob login claude\r\n");
    wizard.answers("sign in all the same? [y/N] ", "y");
    let start = demo.idp.url("/oauth/authorize?");
    wizard.hears(&start);
    let url = format!("{start}{}", wizard.hears("\r\n"));
    assert_eq!(browser::follow(&url).status, 200);
    wizard.hears("claude becomes the default provider");
    wizard.ends(0);
    default_is(&demo.sandbox, "claude");
    let config = demo.sandbox.read_config();
    assert!(config["accepted_terms"]["claude"].is_string(), "{config}");
    demo.idp.assert_content();
}

/// Names, aliases, numbers and accounts; said twice is meant once.
#[test]
fn a_provider_is_named_in_every_way() {
    let sandbox = Sandbox::new();
    let mut wizard = Wizard::start(setup(&sandbox, &[]));
    let list = wizard.hears(WHICH);
    let cell = list.find("  deepseek ").expect("deepseek is listed");
    let number = list[..cell].rsplit(' ').next().expect("a number").to_owned();
    assert!(number.parse::<usize>().is_ok_and(|number| number > 14), "{number}");
    // Sign-ins come first, one a line.
    let at = |text: &str| list.find(text).unwrap_or_else(|| panic!("{text} in {list}"));
    assert!(at("  1  antigravity") < at(" claude ") && at(" claude ") < at("302ai"));
    assert!(list.contains("Claude (Anthropic subscription) (browser)\r\n"), "{list}");
    wizard.process.write_stdin(format!("pplx, {number} groq/work groq/work\n"));
    for name in ["perplexity", "deepseek", "groq/work"] {
        wizard.hears(&format!("running: keyfob login {name}\r\n"));
        wizard.answers(HIDDEN, KEY);
        wizard.hears(&format!("{name}: ok"));
    }
    wizard.answers(DEFAULT, "3");
    wizard.ends(0);
    default_is(&sandbox, "perplexity");
    assert_eq!(sandbox.read_account("groq", "work")["access_token"], KEY);
}

#[test]
fn an_unknown_word_is_asked_again() {
    let sandbox = Sandbox::new();
    let mut wizard = Wizard::start(setup(&sandbox, &[]));
    wizard.answers(WHICH, "groq nosuch");
    wizard.hears("not in the list: nosuch");
    for word in ["0", "999", "-1", "GROQ", "claude; rm"] {
        wizard.answers(WHICH, word);
        wizard.hears("not in the list: ");
    }
    wizard.answers(WHICH, "groq");
    wizard.answers(HIDDEN, KEY);
    wizard.ends(0);
    assert_eq!(token(&sandbox, "groq"), KEY);
}

/// Its owner has no client for everyone; the path is typed where no shell reads it.
#[test]
fn a_client_of_ones_own_is_asked_for() {
    let demo = Demo::built_in("google");
    let client = json!({"installed": {"client_id": "own-client", "client_secret": "own-secret"}});
    write_private(&demo.sandbox.user_home().join("client.json"), &client.to_string());
    let mut wizard = Wizard::start(setup(&demo.sandbox, &["google"]));
    let question = "JSON file of your own OAuth client (empty if you have none): ";
    wizard.answers(question, "~/client.json");
    wizard.hears("running: keyfob login google --client-json /");
    let start = demo.idp.url("/o/oauth2/");
    wizard.hears(&start);
    let url = format!("{start}{}", wizard.hears("\r\n"));
    assert_eq!(browser::follow(&url).status, 200);
    let output = wizard.ends(0);
    output.check(!output.stdout.contains("own-secret"), "the secret is not shown");
    default_is(&demo.sandbox, "google");
    demo.idp.assert_content();

    let sandbox = Sandbox::new();
    let mut wizard = Wizard::start(setup(&sandbox, &["google"]));
    wizard.answers(question, "");
    wizard.hears("try: keyfob login google --client-json FILE");
    wizard.ends(2);
}
