//! Tokens that are renewed before anybody needs it, each once.

use std::time::{Duration, Instant};

use serde_json::json;

use super::kit::{CHAT, Kit, LIMIT, Prompt, SIGNED, SOON, chat, eventually};
use crate::support::many_api::Renews;
use crate::support::sandbox::in_seconds;

/// A pass every five seconds, and what a machine under load adds.
const PASS: Duration = Duration::from_secs(10);
/// Seconds left of an hour's token that nobody would renew who needs it now, but the gateway does.
const DUE_S: i64 = 200;
const NOT_DUE_S: i64 = 3_000;

#[track_caller]
fn renewed(kit: &Kit, account: &str, times: usize) {
    eventually(&format!("{account} is renewed"), PASS, || {
        (kit.api.renewals(account) >= times).then_some(())
    });
}

/// Waits until the file has a token that was not there before.
#[track_caller]
fn written(kit: &Kit, account: &str, old: &str) -> String {
    eventually(&format!("a new token of {account}"), PASS, || {
        let token = kit.stored(account)["access_token"].as_str().expect("a token").to_owned();
        (token != old).then_some(token)
    })
}

#[test]
fn a_token_about_to_expire_is_renewed_before_anybody_needs_it() {
    let kit = Kit::new();
    let due = kit.signed_in("due", DUE_S);
    let good = kit.signed_in("good", NOT_DUE_S);
    let serving = kit.serve();
    let token = written(&kit, "due", &due.access_token);
    // The old one is no longer used from here on.
    kit.api.expire("due");
    kit.api.knows(&token, "due");
    for _ in 0..4 {
        serving.answered_by(&chat());
    }
    assert!(kit.api.asked_of("due").iter().all(|asked| asked.credential == token));
    assert_eq!((kit.api.renewals("due"), kit.api.renewals("good")), (1, 0));
    assert_eq!(kit.stored("good")["access_token"], json!(good.access_token));
}

#[test]
fn it_is_renewed_once_whoever_else_uses_it_meanwhile() {
    let kit = Kit::new();
    // Stale for everybody: requests, commands and the background all want to renew it.
    kit.signed_in("one", 30);
    kit.api.renews_slowly(Duration::from_millis(300));
    let serving = kit.serve();
    let account = format!("{SIGNED}/one");
    let commands: Vec<_> = (0..6).map(|_| kit.home.cmd(&["token", &account]).spawn()).collect();
    let begun: Vec<_> = (0..6).map(|_| serving.begin(&chat())).collect();
    for stream in begun {
        let answer = super::kit::rest(stream);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    let token = kit.stored("one")["access_token"].as_str().expect("a token").to_owned();
    for command in commands {
        command.wait(LIMIT).ok().stdout_is(&format!("{token}\n"));
    }
    assert_eq!((kit.api.renewals("one"), kit.api.reused()), (1, 0));
}

#[test]
fn a_row_says_how_long_before_its_end_a_token_is_renewed() {
    let kit = Kit::new();
    let mut config = kit.config(json!({}));
    config["providers"][SIGNED]["refresh_lead_s"] = json!(600);
    kit.home.write_config(&config);
    // Not due by the usual five minutes.
    let early = kit.signed_in("early", 500);
    kit.signed_in("later", 700);
    let _serving = kit.serve();
    written(&kit, "early", &early.access_token);
    assert_eq!((kit.api.renewals("early"), kit.api.renewals("later")), (1, 0));
}

/// A later pass renews what came later, and leaves alone what failed.
#[test]
fn a_renewal_that_failed_is_not_tried_again_soon() {
    let kit = Kit::new();
    kit.signed_in("failing", DUE_S);
    kit.api.renews("failing", Renews::Fails(500));
    let serving = kit.serve();
    renewed(&kit, "failing", 1);
    let later = kit.signed_in("later", DUE_S);
    written(&kit, "later", &later.access_token);
    for _ in 0..6 {
        serving.answered_by(&chat());
    }
    assert_eq!((kit.api.renewals("failing"), kit.api.renewals("later")), (1, 1));
    assert!(kit.api.count("failing") >= 2, "its token is good for a while");
    assert!(kit.stored("failing")["refused"].is_null());
    let said = serving.running.stderr_line_containing("signed/failing", SOON);
    assert!(!said.contains("rt-"), "{said}");
}

#[test]
fn a_refusal_ends_the_renewals_until_somebody_signs_in_again() {
    let kit = Kit::new();
    kit.signed_in("out", DUE_S);
    kit.api.renews("out", Renews::Refuses);
    let serving = kit.serve();
    renewed(&kit, "out", 1);
    eventually("the refusal is noted", SOON, || {
        (kit.stored("out")["refused"]["code"] == "invalid_grant").then_some(())
    });
    let later = kit.signed_in("later", DUE_S);
    written(&kit, "later", &later.access_token);
    assert_eq!(kit.api.renewals("out"), 1, "a pass went by");

    // A new sign-in, whose tokens the gateway has not seen.
    kit.api.renews("out", Renews::Well);
    let again = kit.signed_in("out", NOT_DUE_S);
    let begun = Instant::now();
    let prompt = Prompt::to(CHAT, "m");
    eventually("it serves again", SOON, || (serving.answered_by(&prompt) == "out").then_some(()));
    println!("serves again after {:?}", begun.elapsed());
    assert_eq!(kit.api.asked_of("out").last().expect("asked").credential, again.access_token);
    assert_eq!(kit.api.renewals("out"), 1);
}

#[test]
fn twenty_tokens_that_expire_at_once_are_all_renewed_but_not_all_at_once() {
    let kit = Kit::new();
    let names: Vec<String> = (0..20).map(|number| format!("n{number:02}")).collect();
    let old: Vec<_> = names.iter().map(|name| kit.signed_in(name, DUE_S)).collect();
    // So long that all that are let go at once are seen at once.
    kit.api.renews_slowly(Duration::from_secs(1));
    let _serving = kit.serve();
    for (name, grant) in names.iter().zip(&old) {
        written(&kit, name, &grant.access_token);
    }
    let most = kit.api.most_renewals_at_once();
    assert!((8..=16).contains(&most), "{most} at once");
    assert!(names.iter().all(|name| kit.api.renewals(name) == 1) && kit.api.reused() == 0);
}

#[test]
fn what_another_process_renewed_is_used_and_not_renewed_again() {
    let kit = Kit::new();
    kit.signed_in("one", NOT_DUE_S);
    let serving = kit.serve();
    assert_eq!(serving.answered_by(&chat()), "one");
    kit.api.expire("one");
    kit.home.cmd(&["refresh", &format!("{SIGNED}/one")]).run().ok();
    // At once, and with the file long read.
    for _ in 0..3 {
        assert_eq!(serving.answered_by(&chat()), "one");
    }
    let token = kit.stored("one")["access_token"].clone();
    eventually("the old token is gone from use", SOON, || {
        serving.answered_by(&chat());
        let last = kit.api.asked().pop().expect("asked").credential;
        (token == last).then_some(())
    });
    assert_eq!((kit.api.renewals("one"), kit.api.reused()), (1, 0));
}

/// Whoever asks meanwhile is answered by another account, and the issuer is asked once.
#[test]
fn an_issuer_that_is_down_holds_nobody_up() {
    let kit = Kit::new();
    kit.keys(CHAT, &["good"]);
    kit.signed_in("one", NOT_DUE_S);
    let serving = kit.serve();
    kit.api.renews("one", Renews::Fails(503));
    kit.api.renews_slowly(Duration::from_secs(1));
    kit.api.expire("one");
    let begun = Instant::now();
    let all: Vec<_> = (0..12).map(|_| serving.begin(&chat())).collect();
    for stream in all {
        let answer = super::kit::rest(stream);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    assert!(begun.elapsed() < Duration::from_secs(4), "one after the other: {:?}", begun.elapsed());
    assert_eq!(kit.api.renewals("one"), 1);
    // A moment later it is asked again.
    kit.api.renews("one", Renews::Well);
    eventually("the account answers", SOON, || {
        (serving.answered_by(&chat()) == "one").then_some(())
    });
    assert_eq!((kit.api.renewals("one"), kit.api.reused()), (2, 0));
}

/// In its last minute a token is as good as before, whatever the issuer does.
#[test]
fn a_token_that_nobody_renews_is_used_to_its_end_without_a_delay() {
    let kit = Kit::new();
    kit.signed_in("one", 40);
    kit.api.renews("one", Renews::Fails(503));
    let serving = kit.serve();
    for _ in 0..20 {
        assert_eq!(serving.answered_by(&chat()), "one");
    }
    // Of the background, of the list of models, and of the requests.
    let renewals = kit.api.renewals("one");
    assert!(renewals <= 4, "{renewals} renewals");
}

/// What has no token to renew it with is left alone.
#[test]
fn a_token_without_successor_is_used_to_its_end() {
    let kit = Kit::new();
    kit.signed_in_with(SIGNED, "bare", DUE_S, json!({"refresh_token": null}));
    kit.signed_in_with(SIGNED, "gone", -5, json!({"refresh_token": null}));
    let later = kit.signed_in("later", DUE_S);
    let serving = kit.serve();
    written(&kit, "later", &later.access_token);
    let who: Vec<_> = (0..4).map(|_| serving.answered_by(&chat())).collect();
    assert!(who.contains(&"bare".to_owned()) && !who.contains(&"gone".to_owned()), "{who:?}");
    assert_eq!((kit.api.renewals("bare"), kit.api.renewals("gone")), (0, 0));
    assert!(kit.stored("bare")["expires_at"].as_str() < Some(in_seconds(DUE_S + 1).as_str()));
}
