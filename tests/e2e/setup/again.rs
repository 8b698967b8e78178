//! Run again, it changes only what is answered.

use super::*;
use crate::support::browser;

/// Signed in to `demo`, with a key of `groq`; the default is `demo`.
fn settled() -> Demo {
    let demo = demo();
    demo.sandbox.write_oauth("demo", "me@example.com", &demo.idp.grant(), 3600);
    let login = demo.sandbox.cmd(&["login", "groq", "--api-key-stdin"]).stdin(KEY);
    login.run().ok();
    let mut config = demo.sandbox.read_config();
    config["default"] = json!({"provider": "demo"});
    config["mine"] = json!({"kept": [1, 2]});
    demo.sandbox.write_config(&config);
    demo
}

#[test]
fn empty_answers_change_no_byte() {
    let demo = settled();
    let before = contents(&demo.sandbox);
    let mut wizard = Wizard::start(setup(&demo.sandbox, &[]));
    let there = wizard.answers(WHICH, "demo groq");
    assert!(there.contains("signed in: demo/me@example.com and groq/default"), "{there}");
    wizard.answers("demo is signed in as me@example.com; sign in again? [y/N] ", "");
    wizard.hears("demo: ok");
    wizard.answers("groq/default has a key; store one again? [y/N] ", "");
    wizard.hears("groq: ok");
    wizard.answers(&format!("{DEFAULT}keeps demo) "), "");
    wizard.hears("default provider: demo");
    wizard.ends(0);
    assert_eq!(contents(&demo.sandbox), before);
    assert!(demo.idp.count("token_exchange") == 0 && demo.idp.count("token_refresh") == 0);
}

#[test]
fn no_provider_changes_nothing_at_all() {
    let sandbox = Sandbox::new();
    let mut wizard = Wizard::start(setup(&sandbox, &[]));
    wizard.answers(WHICH, "");
    wizard.hears("nothing was changed");
    wizard.ends(0);
    assert!(!sandbox.home().exists(), "{}", sandbox.listing());

    let demo = settled();
    let before = contents(&demo.sandbox);
    let mut wizard = Wizard::start(setup(&demo.sandbox, &[]));
    wizard.answers(WHICH, "  ");
    wizard.ends(0);
    assert_eq!(contents(&demo.sandbox), before);
}

#[test]
fn only_the_default_is_changed_when_only_that_is_answered() {
    let demo = settled();
    let accounts = |demo: &Demo| {
        let mut all = contents(&demo.sandbox);
        all.retain(|(file, _)| file.contains("/accounts/"));
        all
    };
    let (before, mut config) = (accounts(&demo), demo.sandbox.read_config());
    let mut wizard = Wizard::start(setup(&demo.sandbox, &["groq"]));
    wizard.answers("store one again? [y/N] ", "n");
    wizard.answers(DEFAULT, "nosuch");
    wizard.hears("not one of the 2");
    wizard.answers(DEFAULT, "2");
    wizard.ends(0);
    config["default"]["provider"] = json!("groq");
    assert_eq!(demo.sandbox.read_config(), config, "what keyfob does not know stays");
    assert_eq!(accounts(&demo), before);
    default_is(&demo.sandbox, "groq");
}

#[test]
fn a_yes_signs_in_again() {
    let demo = settled();
    let old = token(&demo.sandbox, "demo");
    let config = demo.sandbox.read_config();
    let mut wizard = Wizard::start(setup(&demo.sandbox, &["demo"]));
    wizard.answers("sign in again? [y/N] ", "y");
    wizard.answers(WAY, "1");
    assert_eq!(browser::follow(&address(&demo, &mut wizard)).status, 200);
    wizard.answers(DEFAULT, "");
    wizard.ends(0);
    let new = token(&demo.sandbox, "demo");
    assert!(new != old && demo.idp.accepts_access(&new));
    assert_eq!(demo.sandbox.read_config(), config);
}

#[test]
fn one_that_works_and_is_the_default_raises_no_question() {
    let sandbox = Sandbox::new();
    sandbox.cmd(&["login", "groq", "--api-key-stdin"]).stdin(KEY).run().ok();
    sandbox.write_config(&json!({"default": {"provider": "groq"}}));
    let before = contents(&sandbox);
    let mut wizard = Wizard::start(setup(&sandbox, &["groq"]));
    wizard.answers("store one again? [y/N] ", "");
    let output = wizard.ends(0);
    output.check(!output.stdout.contains(DEFAULT), "nothing to choose");
    assert_eq!(contents(&sandbox), before);
}

/// An account of a provider that was removed is no candidate, and a default that is gone is kept
/// until another one is named.
#[test]
fn only_providers_that_are_known_can_be_the_default() {
    let sandbox = Sandbox::new();
    sandbox.cmd(&["login", "groq", "--api-key-stdin"]).stdin(KEY).run().ok();
    let account = sandbox.read_account("groq", "default");
    let mut gone = account.clone();
    gone["provider"] = json!("gone");
    sandbox.write_account("gone", "default", &gone);
    sandbox.write_config(&json!({"default": {"provider": "gone"}}));
    for (answer, default) in [("", "gone"), ("1", "groq")] {
        let mut wizard = Wizard::start(setup(&sandbox, &["groq"]));
        wizard.answers("store one again? [y/N] ", "");
        let shown = wizard.answers(&format!("{DEFAULT}keeps gone) "), answer);
        assert!(shown.contains("  1  groq\r\n") && !shown.contains("  2  "), "{shown}");
        wizard.ends(0);
        assert_eq!(default_of(&sandbox), default);
    }
}
