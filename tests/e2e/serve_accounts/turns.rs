//! Whose turn it is.

use std::thread;

use serde_json::json;

use super::kit::{CHAT, Kit, MESSAGES, Prompt, SIGNED, SOON, chat, eventually, listed, words};
use crate::support::many_api::{Does, Says};

fn limit() -> Does {
    Does::Limit(Says::RetryAfter("60"))
}

#[test]
fn accounts_take_turns_and_each_gets_as_much_as_the_others() {
    let kit = Kit::new();
    kit.keys(CHAT, &["a", "b"]);
    kit.signed_in("c", 3_000);
    let serving = kit.serve();
    let order: Vec<_> = (0..9).map(|_| serving.answered_by(&chat())).collect();
    assert_eq!((&order[..3], &order[3..6]), (&order[3..6], &order[6..]), "{order:?}");
    kit.api.forget();
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| (0..10).for_each(|_| drop(serving.answered_by(&chat()))));
        }
    });
    assert_eq!(["a", "b", "c"].map(|name| kit.api.count(name)), [20, 20, 20]);
}

/// The turns of one that cannot answer are shared by the others.
#[test]
fn turns_stay_even_beside_an_account_that_fails() {
    let kit = Kit::new();
    kit.keys(CHAT, &["a", "b", "broken"]);
    kit.api.does("broken", Does::Refuse(500, "oops"));
    let serving = kit.serve();
    (0..30).for_each(|_| drop(serving.answered_by(&chat())));
    let (a, b) = (kit.api.count("a"), kit.api.count("b"));
    assert!(a + b == 30 && a.abs_diff(b) <= 10, "{a} and {b}");
    assert!(kit.api.count("broken") <= 15);
}

#[test]
fn fill_first_stays_with_one_account_until_it_cools_down() {
    let kit = Kit::with(json!({"routing": "fill-first"}));
    kit.keys(CHAT, &["a", "b", "c"]);
    let serving = kit.serve();
    let three = || [0; 3].map(|_| serving.answered_by(&chat()));
    assert_eq!(three(), ["a"; 3]);
    kit.api.does_first("a", [Does::Limit(Says::RetryAfter("1"))]);
    assert_eq!(serving.answered_by(&chat()), "b");
    eventually("the first one's turn again", SOON, || {
        let who = serving.answered_by(&chat());
        assert_ne!(who, "c");
        (who == "a").then_some(())
    });
    assert_eq!(three(), ["a"; 3]);
}

#[test]
fn the_higher_priority_goes_first_and_may_change_while_it_runs() {
    let kit = Kit::new();
    kit.keys(CHAT, &["none"]);
    kit.key_with(CHAT, "low", json!({"attributes": {"priority": "-1"}}));
    kit.key_with(CHAT, "high", json!({"attributes": {"priority": "10"}}));
    kit.key_with(CHAT, "peer", json!({"attributes": {"priority": 10}}));
    let serving = kit.serve();
    (0..6).for_each(|_| drop(serving.answered_by(&chat())));
    assert_eq!(["high", "peer", "none", "low"].map(|name| kit.api.count(name)), [3, 3, 0, 0]);
    kit.api.does("high", limit());
    kit.api.does("peer", limit());
    assert_eq!(serving.answered_by(&chat()), "none");
    kit.api.does("none", limit());
    assert_eq!(serving.answered_by(&chat()), "low");

    let kit = Kit::new();
    kit.keys(CHAT, &["a", "b"]);
    let serving = kit.serve();
    kit.home.cmd(&["account", "set", "chat/b", "priority=5"]).run().ok();
    eventually("b alone", SOON, || {
        let both = [0; 2].map(|_| serving.answered_by(&chat()));
        (both == ["b", "b"]).then_some(())
    });
    kit.home.cmd(&["account", "set", "chat/a", "priority=6"]).run().ok();
    eventually("a alone", SOON, || {
        let both = [0; 2].map(|_| serving.answered_by(&chat()));
        (both == ["a", "a"]).then_some(())
    });
    kit.home.cmd(&["account", "set", "chat/a", "disabled=true"]).run().ok();
    eventually("b alone", SOON, || (serving.answered_by(&chat()) == "b").then_some(()));
}

#[test]
fn a_key_that_is_bound_to_accounts_reaches_no_others() {
    let kit = Kit::new();
    kit.keys(CHAT, &["a", "b"]);
    kit.signed_in("c", 3_000);
    kit.keys(MESSAGES, &["m"]);
    let serving = kit.serve_for(&["chat/b"]);
    (0..4).for_each(|_| assert_eq!(serving.answered_by(&chat()), "b"));
    // Not even where its own can do nothing.
    kit.api.does("b", limit());
    let page = serving.ask(&chat());
    let said = words(&page);
    assert_eq!(page.status, 429, "{page:#?}");
    assert!(
        said.contains("chat/b") && !said.contains("chat/a") && !said.contains(SIGNED),
        "{said}"
    );
    let page = serving.ask(&Prompt::to(CHAT, "signed/m"));
    assert!(page.status != 200, "{page:#?}");
    let page = serving.ask(&Prompt::to(MESSAGES, "m"));
    assert_eq!((page.status, words(&page).contains("chat/b")), (400, true), "{page:#?}");
    assert_eq!(["a", "c", "m"].map(|name| kit.api.count(name)), [0; 3]);

    // A provider's name is good for each of its accounts, and a second key is another one.
    let other = kit.home.cmd(&["serve", "key", "add", "two", "--provider", CHAT]).run();
    let wide = super::kit::Serving { key: other.ok().line().to_owned(), ..serving };
    eventually("the new key is known", SOON, || (wide.ask(&chat()).status == 200).then_some(()));
    assert_eq!((kit.api.count("a") > 0, kit.api.count("c")), (true, 0));
}

#[test]
fn no_more_accounts_are_asked_than_the_settings_allow() {
    for (most, wanted) in [(1, 1), (2, 2), (0, 4), (9, 4)] {
        let kit = Kit::with(json!({"max_retry_credentials": most}));
        let names = ["a", "b", "c", "d"];
        kit.keys(CHAT, &names);
        names.iter().for_each(|name| kit.api.does(name, Does::Refuse(500, "oops")));
        let serving = kit.serve();
        let page = serving.ask(&chat());
        assert_eq!((page.status, words(&page).as_str()), (500, "oops"), "{page:#?}");
        assert_eq!(kit.api.asked().len(), wanted, "{most}");
    }
}

/// A list of models may fail where prompts do not.
#[test]
fn an_account_whose_list_of_models_did_not_come_takes_its_turns() {
    let kit = Kit::new();
    kit.keys(CHAT, &["a", "b"]);
    kit.signed_in("other", 3_000);
    kit.api.lists(&["m"]);
    kit.api.lists_nothing_for("b");
    kit.api.lists_nothing_for("other");
    let serving = kit.serve();
    listed(&serving, "m");
    (0..6).for_each(|_| drop(serving.answered_by(&chat())));
    // Another provider need not have it.
    assert_eq!(["a", "b"].map(|name| kit.api.count(name)), [3, 3]);
    kit.api.does("a", limit());
    assert_eq!(serving.answered_by(&chat()), "b");
}
