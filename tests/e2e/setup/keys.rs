//! Keys: those of the environment, those typed, and those nobody needs.

use super::*;

#[test]
fn a_key_of_the_environment_is_taken_over() {
    let sandbox = Sandbox::new();
    let mut wizard = Wizard::start(setup(&sandbox, &[]).env("GROQ_API_KEY", KEY));
    let there = wizard.answers(WHICH, "groq");
    assert!(there.contains("keys in the environment: GROQ_API_KEY (groq)"), "{there}");
    wizard.answers("GROQ_API_KEY is set: store its key? [y/N] ", "y");
    wizard.hears("running: keyfob login groq --api-key-stdin\r\n");
    wizard.hears("groq: ok\r\n");
    wizard.hears("groq becomes the default provider");
    wizard.ends(0);
    assert_eq!(token(&sandbox, "groq"), KEY, "without the variable");
    is_private(&sandbox);
}

#[test]
fn a_no_leaves_the_variable_in_use() {
    let sandbox = Sandbox::new();
    for answer in ["", "n"] {
        let mut wizard = Wizard::start(setup(&sandbox, &["groq"]).env("GROQ_API_KEY", KEY));
        wizard.answers("store its key? [y/N] ", answer);
        wizard.hears("groq: ok, by GROQ_API_KEY");
        wizard.ends(0);
        assert!(!sandbox.home().join("accounts").exists());
    }
    default_is(&sandbox, "groq");
}

/// A provider with another way in offers that one too.
#[test]
fn a_key_of_the_environment_is_no_reason_not_to_sign_in() {
    let sandbox = Sandbox::new();
    let mut wizard = Wizard::start(setup(&sandbox, &["kimi"]).env("KIMI_API_KEY", KEY));
    wizard.answers("KIMI_API_KEY is set: store its key? [y/N] ", "");
    let ways = wizard.answers("way in (number or name; empty leaves KIMI_API_KEY in use): ", "");
    assert!(ways.contains("device") && !ways.contains("api_key"), "{ways}");
    wizard.hears("kimi: ok, by KIMI_API_KEY");
    wizard.ends(0);
}

#[test]
fn a_variable_without_a_key_is_told_and_not_taken() {
    let sandbox = Sandbox::new();
    let mut wizard = Wizard::start(setup(&sandbox, &[]).env("GROQ_API_KEY", "a b"));
    let there = wizard.answers(WHICH, "groq");
    assert!(there.contains("warning: GROQ_API_KEY is set, but holds no key"), "{there}");
    wizard.answers(HIDDEN, KEY);
    wizard.ends(0);
}

/// A key is not the first way in, so the wizard itself asks for it.
#[test]
fn a_key_for_a_provider_with_several_ways() {
    let demo = demo();
    let mut wizard = Wizard::start(setup(&demo.sandbox, &["kimi"]));
    wizard.answers(WAY, "api_key");
    wizard.answers(HIDDEN, KEY);
    wizard.hears("running: keyfob login kimi --api-key-stdin\r\n");
    wizard.hears("kimi: ok");
    wizard.ends(0);
    assert_eq!(token(&demo.sandbox, "kimi"), KEY);
    is_private(&demo.sandbox);
}

/// Its installation has an address of its own, which a login with a key on stdin cannot ask for.
#[test]
fn a_key_for_an_installation_of_ones_own() {
    let demo = demo();
    let mut wizard = Wizard::start(setup(&demo.sandbox, &["azure"]));
    wizard.answers(WAY, "api_key");
    wizard.answers(HIDDEN, KEY);
    wizard.answers("address of Azure OpenAI: ", &demo.idp.url("/openai"));
    wizard.hears("running: keyfob login azure --api-key-stdin --url ");
    wizard.hears("azure: ok");
    wizard.ends(0);
    let output = demo.sandbox.cmd(&["token", "azure", "--json"]).run();
    assert_eq!(output.ok().json()["api_base"], demo.idp.url("/openai/v1"));
}

#[test]
fn a_server_of_this_machine_needs_no_key() {
    let sandbox = Sandbox::new();
    let mut wizard = Wizard::start(setup(&sandbox, &["ollama"]));
    wizard.answers("it needs no key; store one all the same? [y/N] ", "");
    wizard.hears("ollama: ok, no key is needed");
    wizard.ends(0);
    assert_eq!(default_of(&sandbox), "ollama");
    let mut wizard = Wizard::start(setup(&sandbox, &["ollama"]));
    wizard.answers("store one all the same? [y/N] ", "y");
    wizard.answers(HIDDEN, KEY);
    wizard.ends(0);
    assert_eq!(token(&sandbox, "ollama"), KEY);
}

/// An API of one's own, added before.
#[test]
fn an_added_provider_is_in_the_list() {
    let demo = demo();
    let base = demo.idp.url("/v1");
    let add = ["provider", "add", "my.api", "--base-url", &base, "--model", "m"];
    demo.sandbox.cmd(&add).run().ok();
    let mut wizard = Wizard::start(setup(&demo.sandbox, &[]));
    let list = wizard.answers(WHICH, "my.api");
    assert!(list.contains(" my.api"), "{list}");
    wizard.answers(HIDDEN, KEY);
    wizard.hears("my.api becomes the default provider");
    wizard.ends(0);
    default_is(&demo.sandbox, "my.api");
    assert_eq!(token(&demo.sandbox, "my.api"), KEY);
}
