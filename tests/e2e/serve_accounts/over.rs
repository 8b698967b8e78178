//! Another account answers, until the first byte is out.

use std::time::{Duration, Instant};

use serde_json::json;

use super::kit::{CHAT, GOOGLE, Kit, MESSAGES, Prompt, RESPONSES, chat, rest, words};
use crate::support::many_api::{Does, Says};
use crate::support::sandbox::in_seconds;
use crate::support::tls::DeadPort;

/// Asks until the bad one had its turn; the good one answers each time.
#[track_caller]
fn goes_over(provider: &str, does: &Does, prompt: &Prompt) {
    let kit = Kit::new();
    kit.keys(provider, &["bad", "good"]);
    kit.api.does("bad", does.clone());
    let serving = kit.serve();
    for _ in 0..3 {
        assert_eq!(serving.answered_by(prompt), "good", "{does:?} of {provider}");
    }
    assert!(kit.api.count("bad") > 0 && kit.api.count("good") == 3, "{does:?}");
    let models: Vec<_> = kit.api.asked().into_iter().map(|asked| asked.body).collect();
    assert!(models.iter().all(|body| *body == models[0]), "the same prompt: {models:#?}");
}

#[test]
fn whatever_is_the_accounts_fault_another_one_answers() {
    for does in [
        Does::HangUp,
        Does::Limit(Says::Nothing),
        Does::Page(200),
        Does::Page(401),
        Does::Page(403),
        Does::Page(503),
        Does::Refuse(401, "invalid token"),
        Does::Refuse(402, "Insufficient credits"),
        Does::Refuse(403, "Your account is blocked"),
        Does::Refuse(403, "quota_exceeded"),
        Does::Refuse(408, "timeout"),
        Does::Refuse(500, "oops"),
        Does::Refuse(502, "bad gateway"),
        Does::Refuse(503, "unavailable"),
        Does::Refuse(529, "Overloaded"),
    ] {
        goes_over(CHAT, &does, &chat());
    }
}

#[test]
fn a_stream_that_ends_before_its_first_byte_is_answered_by_another() {
    for provider in [CHAT, GOOGLE, MESSAGES, RESPONSES] {
        for does in [Does::HangUp, Does::HangUpAfterHead, Does::BeginWithError, Does::Page(200)] {
            goes_over(provider, &does, &Prompt::to(provider, "m").streamed());
        }
    }
}

#[test]
fn a_provider_that_is_silent_for_too_long_is_left_for_another() {
    let kit = Kit::with(json!({"upstream_timeout": 1}));
    kit.keys(CHAT, &["bad", "good"]);
    kit.api.does("bad", Does::Hold);
    let serving = kit.serve();
    let begun = Instant::now();
    for _ in 0..2 {
        assert_eq!(serving.answered_by(&chat()), "good");
    }
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    assert!(kit.api.count("bad") > 0);
}

#[test]
fn the_callers_own_fault_is_told_as_it_is_and_nobody_else_is_asked() {
    for (provider, status, said) in [
        (CHAT, 400, "max_tokens is too large"),
        (CHAT, 404, "The model `m` does not exist"),
        (CHAT, 409, "conflict"),
        (CHAT, 413, "too large"),
        (CHAT, 422, "Field required"),
        (MESSAGES, 400, "messages: at least one message is required"),
        (GOOGLE, 400, "Invalid value at 'contents'"),
    ] {
        let kit = Kit::new();
        kit.keys(provider, &["a", "b"]);
        for name in ["a", "b"] {
            kit.api.does(name, Does::Refuse(status, said));
        }
        let serving = kit.serve();
        let page = serving.ask(&Prompt::to(provider, "m"));
        assert_eq!((page.status, words(&page).as_str()), (status, said), "{page:#?}");
        assert_eq!(kit.api.asked().len(), 1, "{status}");
        // It says nothing about the account.
        kit.api.does("a", Does::Answer);
        kit.api.does("b", Does::Answer);
        assert_eq!(serving.ask(&Prompt::to(provider, "m")).status, 200);
    }
}

#[test]
fn a_stream_that_breaks_in_the_middle_is_nobody_elses() {
    for provider in [CHAT, GOOGLE, MESSAGES, RESPONSES] {
        let kit = Kit::new();
        kit.keys(provider, &["a", "b"]);
        kit.api.does("a", Does::BreakMidStream);
        kit.api.does("b", Does::BreakMidStream);
        let serving = kit.serve();
        let answer = rest(serving.begin(&Prompt::to(provider, "m").streamed()));
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("data: "), "{answer}");
        // The caller can tell that it is no end.
        assert!(!answer.ends_with("0\r\n\r\n"), "{answer}");
        assert_eq!(kit.api.asked().len(), 1, "{provider}");
    }
}

#[test]
fn when_all_answer_with_an_error_the_caller_gets_the_last_as_it_is() {
    for (provider, status) in [(CHAT, 500), (MESSAGES, 529), (GOOGLE, 503), (RESPONSES, 502)] {
        let kit = Kit::new();
        kit.keys(provider, &["a", "b"]);
        kit.api.does("a", Does::Refuse(status, "it is a"));
        kit.api.does("b", Does::Refuse(status, "it is b"));
        let serving = kit.serve();
        let page = serving.ask(&Prompt::to(provider, "m"));
        let last = kit.api.order().pop().expect("one was asked");
        assert_eq!((page.status, words(&page)), (status, format!("it is {last}")), "{page:#?}");
        assert_eq!(kit.api.asked().len(), 2);
        // A provider that is down for a moment does not keep its accounts out.
        kit.api.does("a", Does::Answer);
        assert_eq!(serving.answered_by(&Prompt::to(provider, "m")), "a");
    }
}

#[test]
fn when_no_connection_holds_the_caller_is_told_of_every_account() {
    for provider in [CHAT, GOOGLE, MESSAGES, RESPONSES] {
        for does in [Does::HangUp, Does::HangUpAfterHead, Does::BeginWithError] {
            let kit = Kit::new();
            kit.keys(provider, &["a", "b"]);
            kit.api.does("a", does.clone());
            kit.api.does("b", does.clone());
            let serving = kit.serve();
            let page = serving.ask(&Prompt::to(provider, "m").streamed());
            assert_eq!(page.status, 502, "{does:?}: {page:#?}");
            assert_eq!(page.header("content-type"), Some("application/json"));
            let said = words(&page);
            for name in ["a", "b"] {
                assert!(said.contains(&format!("{provider}/{name}: ")), "{said}");
                assert!(!said.contains("key-"), "{said}");
            }
            assert_eq!(kit.api.asked().len(), 2);
        }
    }
}

#[test]
fn an_address_where_nobody_listens_costs_no_answer() {
    let dead = DeadPort::new();
    let kit = Kit::new();
    kit.keys(CHAT, &["good"]);
    let mut config = kit.config(json!({}));
    config["providers"]["gone"] = json!({
        "ways": ["api_key"],
        "api": {"base": format!("http://{}/v1", dead.address()), "dialect": "openai_chat"},
    });
    kit.home.write_config(&config);
    let gone = json!({"version": 1, "provider": "gone", "account": "g", "kind": "api_key",
        "access_token": "key-gone", "created_at": in_seconds(-60)});
    kit.home.write_account("gone", "g", &gone);
    let serving = kit.serve();
    for _ in 0..4 {
        assert_eq!(serving.answered_by(&chat()), "good");
    }
    let page = serving.ask(&Prompt::to(CHAT, "gone/m"));
    assert_eq!((page.status, words(&page).contains("gone/g: ")), (502, true), "{page:#?}");
}

/// The names behind an alias stand in for each other in their order.
#[test]
fn the_next_name_of_an_alias_answers_while_the_first_cannot() {
    let best = json!([format!("{CHAT}/large"), "second/small"]);
    let kit = Kit::with(json!({"aliases": {"best": best}}));
    kit.keys(CHAT, &["a", "b"]);
    let mut config = kit.config(json!({"aliases": {"best": best}}));
    config["providers"]["second"] = config["providers"][CHAT].clone();
    kit.home.write_config(&config);
    kit.key_with("second", "c", json!({}));
    let serving = kit.serve();
    let prompt = Prompt::to(CHAT, "best");
    kit.api.does_first("a", [Does::Answer, Does::Limit(Says::RetryAfter("1"))]);
    kit.api.does_first("b", [Does::Answer, Does::Refuse(500, "oops")]);
    let who: Vec<_> = (0..3).map(|_| serving.answered_by(&prompt)).collect();
    assert_eq!(who, ["a", "b", "c"]);
    // Back as soon as one of the first can.
    assert_eq!(serving.answered_by(&prompt), "b");
    let models: Vec<_> = kit.api.asked().into_iter().map(|asked| asked.model).collect();
    assert_eq!(models, ["large", "large", "large", "large", "small", "large"]);
}

/// A server closes what is idle, and may do so while the next prompt is on its way.
#[test]
fn a_connection_that_was_kept_and_ended_costs_no_answer() {
    let kit = Kit::new();
    kit.keys(CHAT, &["one"]);
    kit.api.does("one", Does::AnswerAndKeep);
    let serving = kit.serve();
    for _ in 0..5 {
        assert_eq!(serving.answered_by(&chat()), "one");
    }
    assert_eq!(kit.api.count("one"), 5);
    // One that ends a new connection is not asked twice.
    kit.api.does("one", Does::HangUp);
    kit.api.forget();
    let page = serving.ask(&chat());
    assert!(page.status == 502 && kit.api.count("one") <= 1, "{page:#?}");
    kit.api.forget();
    assert_eq!((serving.ask(&chat()).status, kit.api.count("one")), (502, 1));
}
