//! Who cools down, for how long, and what the caller hears when nobody is left.

use std::time::{Duration, Instant};

use serde_json::json;

use super::kit::{
    ASSIST, CHAT, GOOGLE, Kit, MESSAGES, Prompt, RESPONSES, SIGNED, chat, is_apart, rest,
    retry_after, words,
};
use crate::support::many_api::{Does, Says};

/// How long an account cools down that says this, as its own caller is told.
#[track_caller]
fn wait(provider: &str, says: Says) -> u64 {
    let kit = Kit::new();
    kit.keys(provider, &["one"]);
    kit.api.does("one", Does::Limit(says));
    let serving = kit.serve();
    let page = serving.ask(&Prompt::to(provider, "m"));
    assert_eq!(page.status, 429, "{page:#?}");
    let wait_s = retry_after(&page);
    let again = serving.ask(&Prompt::to(provider, "m"));
    assert_eq!((again.status, kit.api.count("one")), (429, 1), "{says:?}");
    wait_s
}

#[test]
fn the_wait_is_what_the_provider_says() {
    for (provider, says, wanted) in [
        (CHAT, Says::RetryAfter("7"), 7..=7),
        (CHAT, Says::RetryAfterMs(4_500), 4..=5),
        (MESSAGES, Says::Unified(50), 48..=50),
        (RESPONSES, Says::ResetsIn(40), 38..=40),
        (GOOGLE, Says::RetryInfo("12.5s"), 12..=13),
        (CHAT, Says::Words("Rate limit reached. Please try again in 6s."), 6..=6),
        (GOOGLE, Says::Words("Your quota will reset after 1m2s."), 61..=62),
    ] {
        let found = wait(provider, says);
        assert!(wanted.contains(&found), "{says:?}: {found}");
    }
}

/// A clock that is a little off, a header that was rounded down: the account is left alone all the same.
#[test]
fn a_wait_that_is_over_already_is_no_wait_that_was_said() {
    for (provider, says) in [
        (CHAT, Says::RetryAfter("0")),
        (CHAT, Says::RetryAfterMs(0)),
        (RESPONSES, Says::ResetsIn(-5)),
        (MESSAGES, Says::Unified(-5)),
    ] {
        let kit = Kit::new();
        kit.keys(provider, &["one"]);
        kit.api.does("one", Does::Limit(says));
        let serving = kit.serve();
        for _ in 0..3 {
            let page = serving.ask(&Prompt::to(provider, "m"));
            assert_eq!((page.status, retry_after(&page)), (429, 1), "{says:?}: {page:#?}");
        }
        assert_eq!(kit.api.count("one"), 1, "{says:?}");
    }
}

#[test]
fn no_cool_down_lasts_longer_than_the_settings_allow() {
    let kit = Kit::with(json!({"max_cooldown": 2}));
    kit.keys(RESPONSES, &["one"]);
    kit.api.does_first("one", [Does::Limit(Says::ResetsIn(21 * 86_400))]);
    let serving = kit.serve();
    let prompt = Prompt::to(RESPONSES, "m");
    let page = serving.ask(&prompt);
    assert_eq!((page.status, retry_after(&page)), (429, 2), "{page:#?}");
    serving.ask_until("an answer", &prompt, |page| page.status == 200);
    let asked = kit.api.asked();
    assert!(asked.len() == 2 && is_apart(asked[0].at, asked[1].at, 2_000));
    // Half an hour where nothing is set.
    let usual = wait(RESPONSES, Says::ResetsIn(21 * 86_400));
    assert!((1_799..=1_800).contains(&usual), "{usual}");
}

#[test]
fn without_a_word_the_wait_doubles_until_a_good_answer() {
    let kit = Kit::new();
    kit.keys(CHAT, &["one"]);
    let nothing = || Does::Limit(Says::Nothing);
    kit.api.does_first("one", [nothing(), nothing(), nothing(), Does::Answer, nothing()]);
    let serving = kit.serve();
    for wanted in [1, 2, 4] {
        let page = serving.ask_until("the account is asked", &chat(), {
            let before = kit.api.count("one");
            let api = &kit.api;
            move |_| api.count("one") > before
        });
        assert_eq!((page.status, retry_after(&page)), (429, wanted), "{page:#?}");
    }
    serving.ask_until("an answer", &chat(), |page| page.status == 200);
    let asked = kit.api.asked();
    for (at, ms) in [(0, 1_000), (1, 2_000), (2, 4_000)] {
        assert!(is_apart(asked[at].at, asked[at + 1].at, ms), "after {at}");
    }
    let page = serving.ask(&chat());
    assert_eq!((page.status, retry_after(&page)), (429, 1), "forgotten: {page:#?}");
}

/// They were on their way together, and none of them learned what the first one did not.
#[test]
fn requests_that_meet_the_same_limit_at_once_count_as_one() {
    let kit = Kit::new();
    kit.keys(CHAT, &["one"]);
    kit.api.does("one", Does::HoldRefusal(429, "slow down"));
    let serving = kit.serve();
    let all: Vec<_> = (0..6).map(|_| serving.begin(&chat())).collect();
    kit.api.holds(6);
    kit.api.release();
    for stream in all {
        let answer = rest(stream).to_lowercase();
        assert!(answer.contains("\r\nretry-after: 1\r\n"), "{answer}");
    }
    let page = serving.ask_until("it is asked again", &chat(), |_| kit.api.count("one") > 6);
    assert_eq!((page.status, retry_after(&page)), (429, 2), "{page:#?}");
}

#[test]
fn an_account_cools_down_for_one_model_and_answers_for_others() {
    let kit = Kit::new();
    kit.keys(CHAT, &["one"]);
    kit.api.plays("one", |asked| match asked.model.as_str() {
        "busy" => Does::Limit(Says::RetryAfter("60")),
        _ => Does::Answer,
    });
    let serving = kit.serve();
    for _ in 0..2 {
        assert_eq!(serving.ask(&Prompt::to(CHAT, "busy")).status, 429);
        assert_eq!(serving.answered_by(&Prompt::to(CHAT, "idle")), "one");
    }
    let models: Vec<_> = kit.api.asked().into_iter().map(|asked| asked.model).collect();
    assert_eq!(models, ["busy", "idle", "idle"]);
}

#[test]
fn limits_of_a_subscription_or_a_purse_hold_for_every_model() {
    for (provider, does) in [
        (MESSAGES, Does::Limit(Says::Unified(60))),
        (RESPONSES, Does::Limit(Says::ResetsIn(60))),
        (CHAT, Does::Refuse(402, "Insufficient credits")),
    ] {
        let kit = Kit::new();
        kit.keys(provider, &["one"]);
        kit.api.does("one", does.clone());
        let serving = kit.serve();
        assert_eq!(serving.ask(&Prompt::to(provider, "m")).status, 429, "{does:?}");
        let page = serving.ask(&Prompt::to(provider, "another"));
        assert_eq!((page.status, kit.api.count("one")), (429, 1), "{does:?}");
    }
}

/// A long answer that was under way when the limit came says nothing about it.
#[test]
fn an_answer_begun_before_a_cool_down_does_not_end_it() {
    let kit = Kit::new();
    kit.keys(CHAT, &["one"]);
    kit.api.does_first("one", [Does::Hold, Does::Limit(Says::RetryAfter("60"))]);
    let serving = kit.serve();
    let long = serving.begin(&chat().streamed());
    kit.api.holds(1);
    assert_eq!(serving.ask(&chat()).status, 429);
    kit.api.release();
    assert!(rest(long).contains("[DONE]"));
    for _ in 0..3 {
        assert_eq!(serving.ask(&chat()).status, 429);
    }
    assert_eq!(kit.api.count("one"), 2);
}

#[test]
fn when_all_cool_down_the_caller_is_told_in_its_own_shape_who_and_how_long() {
    for (provider, shape) in [
        (CHAT, json!({"type": "rate_limit_error", "code": "rate_limit_exceeded"})),
        (RESPONSES, json!({"type": "rate_limit_error", "code": "rate_limit_exceeded"})),
        (MESSAGES, json!({"type": "rate_limit_error"})),
        (GOOGLE, json!({"code": 429, "status": "RESOURCE_EXHAUSTED"})),
    ] {
        let kit = Kit::new();
        kit.keys(provider, &["a", "b", "c"]);
        kit.api.does("a", Does::Limit(Says::RetryAfter("50")));
        kit.api.does("b", Does::Limit(Says::RetryAfter("20")));
        kit.api.does("c", Does::Limit(Says::Words("Slow down, try again in 40s")));
        let serving = kit.serve();
        let page = serving.ask(&Prompt::to(provider, "m"));
        assert_eq!(page.status, 429, "{page:#?}");
        assert!((19..=20).contains(&retry_after(&page)), "{page:#?}");
        assert_eq!(page.header("content-type"), Some("application/json"));
        let body = page.json();
        assert_eq!(body.get("type").is_some(), provider == MESSAGES, "{body}");
        for (key, wanted) in shape.as_object().expect("an object") {
            assert_eq!(&body["error"][key], wanted, "{provider} {key}: {body}");
        }
        let said = words(&page);
        for state in ["a: cooling down", "b: cooling down", "c: cooling down", "Slow down"] {
            assert!(said.contains(state), "{said}");
        }
        assert!(said.contains(&format!("{provider}/a")) && said.contains("429"), "{said}");
        assert_eq!(kit.api.asked().len(), 3);
    }
}

#[test]
fn when_all_are_turned_away_the_caller_is_told_how_to_sign_in() {
    let kit = Kit::new();
    kit.keys(CHAT, &["key"]);
    kit.signed_in("me", 3_000);
    kit.api.expire("key");
    kit.api.does("me", Does::Refuse(401, "token revoked"));
    let serving = kit.serve();
    for _ in 0..3 {
        let page = serving.ask(&chat());
        assert_eq!(page.status, 503, "{page:#?}");
        let said = words(&page);
        for wanted in ["keyfob login chat/key", "keyfob login signed/me"] {
            assert!(said.contains(wanted), "{wanted} in {said}");
        }
    }
    // A key once, a sign-in again with its new token; then nobody for a while.
    assert_eq!((kit.api.count("key"), kit.api.count("me"), kit.api.renewals("me")), (1, 2, 1));

    // Whoever signs in again is asked at once.
    kit.api.does("me", Does::Answer);
    kit.signed_in("me", 3_000);
    let begun = Instant::now();
    serving.ask_until("an answer", &chat(), |page| page.status == 200);
    assert!(begun.elapsed() < super::kit::SOON);
}

#[test]
fn a_sign_in_that_was_refused_for_good_is_named_with_its_cure() {
    let kit = Kit::new();
    kit.signed_in("me", -60);
    kit.api.renews("me", crate::support::many_api::Renews::Refuses);
    let serving = kit.serve();
    for _ in 0..3 {
        let page = serving.ask(&chat());
        assert_eq!(page.status, 503, "{page:#?}");
        assert!(words(&page).contains("keyfob login signed/me"), "{page:#?}");
    }
    assert_eq!((kit.api.renewals("me"), kit.api.asked().len()), (1, 0));
    assert_eq!(kit.stored("me")["refused"]["code"], "invalid_grant");
    kit.home.cmd(&["token", SIGNED]).run().code(4);
}

#[test]
fn code_assist_errors_are_read_as_googles() {
    let kit = Kit::new();
    for name in ["a", "b"] {
        kit.signed_in_with(ASSIST, name, 3_000, json!({"extra": {"project_id": "p"}}));
    }
    kit.api.does("a", Does::Limit(Says::RetryInfo("30s")));
    let serving = kit.serve();
    for _ in 0..4 {
        assert_eq!(serving.ask(&Prompt::to(ASSIST, "m")).status, 200);
    }
    assert_eq!((kit.api.count("a"), kit.api.count("b")), (1, 4));
    let asked = kit.api.asked();
    assert!(asked.iter().all(|one| one.project.as_deref() == Some("p")), "{asked:#?}");
}

#[test]
fn a_request_waits_for_the_end_of_a_cool_down_where_the_settings_say_so() {
    let kit = Kit::with(json!({"max_retry_interval": 5}));
    kit.keys(CHAT, &["one"]);
    let short = || Does::Limit(Says::RetryAfterMs(700));
    kit.api.does_first("one", [short(), short(), Does::Answer]);
    let serving = kit.serve();
    assert_eq!(serving.answered_by(&chat()), "one");
    let asked = kit.api.asked();
    assert_eq!(asked.len(), 3);
    assert!(is_apart(asked[0].at, asked[1].at, 700) && is_apart(asked[1].at, asked[2].at, 700));

    // Longer than that is not waited for.
    kit.api.does_first("one", [Does::Limit(Says::RetryAfter("6"))]);
    let begun = Instant::now();
    let page = serving.ask(&chat());
    assert_eq!((page.status, retry_after(&page)), (429, 6));
    assert!(begun.elapsed() < Duration::from_secs(3));
}

#[test]
fn nobody_is_asked_for_a_caller_that_left_while_it_waited() {
    let kit = Kit::with(json!({"max_retry_interval": 20}));
    kit.keys(CHAT, &["one", "other"]);
    kit.api.does_first("one", [Does::Limit(Says::RetryAfter("2"))]);
    let serving = kit.serve_for(&["chat/one"]);
    let leaving = serving.begin(&chat());
    super::kit::eventually("the first prompt", super::kit::LIMIT, || {
        (kit.api.count("one") == 1).then_some(())
    });
    drop(leaving);
    // A later one waits for the same end; when it was answered, the first one's time had come too.
    assert_eq!(serving.answered_by(&chat()), "one");
    assert_eq!(serving.answered_by(&chat()), "one");
    assert_eq!(kit.api.asked().len(), 3);
}
