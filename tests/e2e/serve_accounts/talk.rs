//! A conversation and its account: what a provider remembers of it is with that account.

use serde_json::{Value, json};

use super::kit::{
    CHAT, GOOGLE, Kit, MESSAGES, Prompt, RESPONSES, SIGNED, SOON, Serving, eventually, rest,
};
use crate::support::many_api::{Does, Says};

const NAMES: [&str; 3] = ["a", "b", "c"];

/// A way to name a conversation in a dialect.
type Named = fn(Prompt, &str) -> Prompt;

const WAYS: [(&str, &str, Named); 11] = [
    (MESSAGES, "user id", |prompt, name| prompt.with("metadata", json!({"user_id": name}))),
    (MESSAGES, "session", |prompt, name| prompt.header("X-Claude-Code-Session-Id", name)),
    (RESPONSES, "cache key", |prompt, name| prompt.with("prompt_cache_key", json!(name))),
    (RESPONSES, "conversation", |prompt, name| prompt.with("conversation", json!(name))),
    (RESPONSES, "its id", |prompt, name| prompt.with("conversation", json!({"id": name}))),
    (RESPONSES, "session", |prompt, name| prompt.header("session_id", name)),
    (RESPONSES, "an answer", |prompt, name| prompt.with("previous_response_id", json!(name))),
    (CHAT, "cache key", |prompt, name| prompt.with("prompt_cache_key", json!(name))),
    (CHAT, "session", |prompt, name| prompt.header("X-Session-Id", name)),
    (CHAT, "affinity", |prompt, name| prompt.header("X-Session-Affinity", name)),
    (GOOGLE, "cache", |prompt, name| prompt.with("cachedContent", json!(name))),
];

#[test]
fn a_conversation_stays_on_its_account_until_that_cools_down() {
    for (provider, what, named) in WAYS {
        let kit = Kit::new();
        kit.keys(provider, &NAMES);
        let serving = kit.serve();
        let of = |name: &str| named(Prompt::to(provider, "m"), name);
        let who = serving.answered_by(&of("one"));
        let other = serving.answered_by(&of("two"));
        assert_ne!(who, other, "{provider}, {what}");
        for _ in 0..3 {
            assert_eq!(serving.answered_by(&of("one")), who, "{provider}, {what}");
            assert_eq!(serving.answered_by(&of("two")), other, "{provider}, {what}");
            serving.answered_by(&Prompt::to(provider, "m"));
        }
        kit.api.does_first(&who, [Does::Limit(Says::RetryAfter("60"))]);
        let next = serving.answered_by(&of("one"));
        assert_ne!(next, who, "{provider}, {what}");
        for _ in 0..3 {
            assert_eq!(serving.answered_by(&of("one")), next, "{provider}, {what}");
            assert_eq!(serving.answered_by(&of("two")), other, "{provider}, {what}");
        }
    }
}

#[test]
fn conversations_take_turns_where_the_settings_say_so() {
    for (provider, what, named) in WAYS {
        let kit = Kit::with(json!({"session_affinity": false}));
        kit.keys(provider, &NAMES);
        let serving = kit.serve();
        (0..6).for_each(|_| drop(serving.ask(&named(Prompt::to(provider, "m"), "one"))));
        assert_eq!(NAMES.map(|name| kit.api.count(name)), [2; 3], "{provider}, {what}");
    }
}

#[test]
fn one_clients_conversations_say_nothing_about_anothers() {
    let kit = Kit::new();
    kit.keys(CHAT, &NAMES);
    let serving = kit.serve();
    let prompt = Prompt::to(CHAT, "m").with("prompt_cache_key", json!("k"));
    let first = serving.answered_by(&prompt);
    let key = kit.home.cmd(&["serve", "key", "add", "two"]).run().ok().line().to_owned();
    let other = Serving { key, ..serving };
    let second = eventually("the new key is known", SOON, || {
        let page = other.ask(&prompt);
        page.header("x-account").map(str::to_owned)
    });
    assert_ne!(first, second);
}

/// The id of an answer of Responses, streamed or whole.
fn id_of(body: &str) -> String {
    let first = body.split("data: ").nth(1).and_then(|rest| rest.lines().next()).unwrap_or(body);
    let value: Value = serde_json::from_str(first).unwrap_or_else(|e| panic!("{e}: {body}"));
    let id = value["response"]["id"].as_str().or(value["id"].as_str());
    id.unwrap_or_else(|| panic!("no id in {body}")).to_owned()
}

/// Only the account that gave an answer has it: each turn names the one before.
#[test]
fn an_answer_that_is_gone_on_from_leads_to_the_account_that_gave_it() {
    for is_streamed in [false, true] {
        let kit = Kit::new();
        kit.keys(RESPONSES, &NAMES);
        let serving = kit.serve();
        let prompt = || match is_streamed {
            true => Prompt::to(RESPONSES, "m").streamed(),
            false => Prompt::to(RESPONSES, "m"),
        };
        let first = serving.ask(&prompt());
        let who = first.header("x-account").expect("an account").to_owned();
        let mut id = id_of(&first.body);
        for turn in 0..5 {
            let page = serving.ask(&prompt().with("previous_response_id", json!(id)));
            assert_eq!(page.header("x-account"), Some(who.as_str()), "{turn} {is_streamed}");
            id = id_of(&page.body);
            serving.answered_by(&prompt());
        }
    }
}

/// A tool that asks several things at once for one conversation.
#[test]
fn prompts_of_a_conversation_that_come_at_once_go_to_one_account() {
    let kit = Kit::new();
    kit.keys(MESSAGES, &NAMES);
    NAMES.iter().for_each(|name| kit.api.does_first(name, [Does::Hold]));
    let serving = kit.serve();
    let prompt = Prompt::to(MESSAGES, "m").streamed().with("metadata", json!({"user_id": "u"}));
    let long = serving.begin(&prompt);
    kit.api.holds(1);
    let who = kit.api.order()[0].clone();
    for _ in 0..3 {
        assert_eq!(serving.answered_by(&prompt), who);
    }
    kit.api.release();
    assert!(rest(long).contains("message_stop"));
}

/// A tool that uses two models of two providers in one conversation.
#[test]
fn a_conversation_with_two_providers_has_an_account_at_each() {
    let kit = Kit::new();
    kit.keys(CHAT, &NAMES);
    ["x", "y", "z"].iter().for_each(|name| drop(kit.signed_in(name, 3_000)));
    let serving = kit.serve();
    let of = |model: &str| Prompt::to(CHAT, model).with("prompt_cache_key", json!("k"));
    let large = serving.answered_by(&of("chat/large"));
    let small = serving.answered_by(&of(&format!("{SIGNED}/small")));
    for _ in 0..4 {
        assert_eq!(serving.answered_by(&of("chat/large")), large);
        assert_eq!(serving.answered_by(&of(&format!("{SIGNED}/small"))), small);
    }
}

/// What was cached with one account is not there with another, which says so.
#[test]
fn a_conversation_is_not_tied_to_an_account_that_had_no_answer() {
    let kit = Kit::new();
    kit.keys(GOOGLE, &["a", "b"]);
    kit.api.does("a", Does::Refuse(404, "CachedContent not found"));
    let serving = kit.serve();
    let prompt = Prompt::to(GOOGLE, "m").with("cachedContent", json!("cachedContents/1"));
    let statuses: Vec<_> = (0..6).map(|_| serving.ask(&prompt).status).collect();
    // At most once where it is not, then where it is.
    assert!(statuses[1..].iter().all(|status| *status == 200), "{statuses:?}");
}
