//! The second token, when there is trouble: refused, put off, or asked of the wrong server.

use serde_json::{Value, json};

use super::second_token::{LOGIN, OLD, bytes, copilot, second, sit};
use super::{LIMIT, Seat};
use crate::support::command::Output;
use crate::support::idp::{Fault, Times};
use crate::support::sandbox::in_seconds;

/// Nobody at GitHub knows the first token.
fn doomed(ttl_s: i64) -> Seat {
    let seat = Seat::named("copilot");
    sit(&seat, "ghu_of_another_life_0123456789", ttl_s);
    seat
}

fn is_sign_in(output: &Output) {
    output.code(4).stdout_is("");
    output.stderr_has("\n  try: keyfob login copilot/user-1\n");
}

#[test]
fn a_401_needs_a_sign_in_and_is_asked_for_once() {
    let seat = doomed(-10);
    let before = seat.account();
    is_sign_in(&seat.cmd("token {}").run());
    let after = seat.account();
    assert_eq!(after["refused"]["code"], "unauthorized");
    for (key, value) in before.as_object().expect("an object") {
        if key != "identity" {
            assert_eq!(after[key], *value, "{key}");
        }
    }
    assert_eq!(after["identity"]["subject"], before["identity"]["subject"]);
    let noted = bytes(&seat);
    for words in ["token {}", "refresh {}", "token copilot/user-1"] {
        is_sign_in(&seat.cmd(words).run());
    }
    assert_eq!(bytes(&seat), noted);
    assert_eq!(seat.idp.count("api_token"), 1, "nobody asks again");
    let status = seat.cmd("status --json").run();
    assert_eq!(status.code(4).json()["accounts"][0]["state"], "refused");

    seat.sign_in();
    assert_eq!(seat.account()["refused"], Value::Null);
    assert!(seat.idp.accepts_api_token(seat.cmd("token {}").run().ok().line()));
    seat.idp.assert_content();
}

#[test]
fn a_crowd_asks_once_when_the_answer_is_401() {
    let seat = doomed(-10);
    seat.idp.fault("api_token", Fault::Delay(200), Times::Once);
    let running: Vec<_> = (0..20).map(|_| seat.cmd("token {}").spawn()).collect();
    for child in running {
        is_sign_in(&child.wait(LIMIT));
    }
    assert_eq!(seat.idp.count("api_token"), 1, "{}", seat.idp.counters());
}

#[test]
fn a_living_one_is_handed_out_in_spite_of_a_401() {
    let seat = doomed(30);
    for call in ["first", "second"] {
        println!("{call}");
        let output = seat.cmd("token {}").run();
        output.ok().stdout_is(&format!("{OLD}\n")).stderr_has("keyfob: warning: ");
    }
    assert_eq!(seat.idp.count("api_token"), 1);
}

#[test]
fn a_403_is_told_in_the_provider_s_words_and_the_sign_in_stays() {
    let seat = copilot(-10);
    let before = bytes(&seat);
    let first = seat.account()["access_token"].as_str().expect("a token").to_owned();
    let message = format!("No access,\u{1b}[2J\u{7} {first}\nsays GitHub");
    let details = json!({"error_details": {"title": "Sign up", "message": message}});
    let bare = json!({"message": "Resource not accessible by integration"});
    for (fault, said) in [
        (Fault::json(403, &details), "says GitHub"),
        (Fault::json(403, &json!({"error_details": {"title": "Sign up"}})), "Sign up"),
        (Fault::json(403, &bare), "Resource not accessible by integration"),
        (Fault::json(404, &json!({"message": "Not Found"})), "Not Found"),
        (Fault::Html(403), "403"),
    ] {
        seat.idp.fault("api_token", fault, Times::Once);
        let output = seat.cmd("token {}").env("KEYFOB_LOG", "trace").run();
        output.code(1).stdout_is("").stderr_has(said);
        output.stderr_lacks("\u{1b}").stderr_lacks("\u{7}").stderr_lacks(&first);
        assert_eq!(bytes(&seat), before, "the sign-in stays as it is");
    }
    seat.cmd("token {} --base").run().ok().stdout_is(&format!("{first}\n"));
    // The person signed up meanwhile.
    assert!(seat.idp.accepts_api_token(seat.cmd("token {}").run().ok().line()));
}

#[test]
fn a_login_without_a_plan_is_kept_and_told() {
    let seat = Seat::named("copilot");
    seat.idp.set_plan(false);
    let login = seat.sign_in();
    login.stderr_has("warning").stderr_has("No access to GitHub Copilot found.");
    login.stderr_has("signed in");
    let account = seat.account();
    assert_eq!(account["extra"]["api_token"], Value::Null);
    assert_eq!(seat.cmd("token {} --base").run().ok().line(), account["access_token"]);
    seat.cmd("token {}").run().code(1).stdout_is("").stderr_has("No access to GitHub Copilot");
    seat.idp.set_plan(true);
    assert!(seat.idp.accepts_api_token(seat.cmd("token {}").run().ok().line()));
    seat.idp.assert_content();
}

/// A login is a login, whatever becomes of the second token.
#[test]
fn a_login_during_an_outage_gets_its_second_token_later() {
    for fault in [Fault::Status(503), Fault::Drop, Fault::Html(200), Fault::json(401, &json!({}))] {
        println!("{fault:?}");
        let seat = Seat::named("copilot");
        seat.idp.fault("api_token", fault, Times::Once);
        seat.sign_in().stderr_has("warning");
        assert_eq!(seat.account()["refused"], Value::Null);
        assert!(seat.idp.accepts_api_token(seat.cmd("token {}").run().ok().line()));
    }
}

fn outages() -> Vec<Fault> {
    vec![
        Fault::Status(503),
        Fault::RetryAfter(429, "7".into()),
        Fault::Html(502),
        Fault::Drop,
        Fault::DropAfterWork,
        Fault::CutShort,
    ]
}

#[test]
fn an_outage_is_temporary_while_the_old_one_is_dead() {
    let seat = copilot(-10);
    let before = bytes(&seat);
    for fault in outages() {
        println!("{fault:?}");
        let waits = matches!(fault, Fault::RetryAfter(..));
        seat.idp.fault("api_token", fault, Times::Once);
        let output = seat.cmd("token {} --json").run();
        output.code(3).stdout_is("");
        assert_eq!(output.error_json()["exit"], 3);
        output.check(!waits || output.stderr.contains("7 s"), "when to come again");
        assert_eq!(bytes(&seat), before);
    }
    seat.cmd("token {}").run().ok();
}

#[test]
fn a_living_one_is_handed_out_with_a_warning_in_an_outage() {
    let seat = copilot(30);
    let before = bytes(&seat);
    for fault in outages() {
        println!("{fault:?}");
        seat.idp.fault("api_token", fault, Times::Once);
        let output = seat.cmd("token {}").run();
        output.ok().stdout_is(&format!("{OLD}\n")).stderr_has("keyfob: warning: ");
        assert_eq!(bytes(&seat), before);
    }
    seat.idp.fault("api_token", Fault::Status(503), Times::Once);
    seat.cmd("refresh {}").run().code(3);
    seat.cmd("token {}").run().ok().stderr_lacks("warning");
    assert_ne!(second(&seat), OLD);
}

#[test]
fn an_answer_without_a_token_is_an_error_and_changes_nothing() {
    let seat = copilot(-10);
    let before = bytes(&seat);
    let none = |value: Value| Fault::Patch(json!({"token": value}));
    let faults = [
        none(json!("")),
        none(json!("two words")),
        none(json!("tid=1\u{1b}[2J")),
        none(json!(7)),
        none(Value::Null),
        Fault::Html(200),
        Fault::Empty,
        Fault::Truncated,
        Fault::json(200, &json!([])),
    ];
    for fault in faults {
        println!("{fault:?}");
        seat.idp.fault("api_token", fault, Times::Once);
        let output = seat.cmd("token {}").run();
        output.check(matches!(output.status, Some(1 | 3)), "no token").stdout_is("");
        output.stderr_lacks("\u{1b}");
        assert_eq!(bytes(&seat), before);
    }
    seat.cmd("token {}").run().ok();
}

#[test]
fn a_redirect_takes_no_token_elsewhere() {
    let (seat, thief) = (copilot(-10), Seat::named("copilot"));
    let there = thief.idp.url("/copilot_internal/v2/token");
    seat.idp.fault("api_token", Fault::Redirect(there), Times::Once);
    let output = seat.cmd("token {}").run();
    output.check(output.status != Some(0), "no token").stdout_is("");
    assert_eq!(thief.idp.counters(), json!({}));
}

/// Where another server is named for the sign-in, its token stays here.
#[test]
fn a_first_token_is_shown_to_its_own_server_only() {
    let (seat, thief) = (copilot(-10), Seat::named("copilot"));
    let own = seat.sandbox.read_config();
    seat.sandbox.write_config(&thief.sandbox.read_config());
    for words in ["token {}", "refresh {}"] {
        seat.cmd(words).run().code(4).stdout_is("").stderr_has("another server");
    }
    seat.cmd("status {} --check").run().stderr_has("another server");
    assert_eq!(thief.idp.counters(), json!({}));
    assert_eq!(seat.idp.count("api_token"), 0);
    // A fresh one is not shown there either.
    seat.amend(json!({"refreshed_at": in_seconds(0),
        "extra": {"api_token_expires_at": in_seconds(1500)}}));
    seat.cmd("status {} --check").run().stderr_has("another server");
    assert_eq!(thief.idp.counters(), json!({}));
    // Nobody refused anything: with its own row again it works.
    seat.sandbox.write_config(&own);
    seat.cmd("token {}").run().ok();
}

/// iFlow says no with 200.
#[test]
fn iflow_without_a_key_is_told_in_its_own_words() {
    let seat = Seat::named("iflow");
    seat.sign_in();
    seat.amend(json!({"extra": {"api_token": null}}));
    seat.idp.set_plan(false);
    let before = bytes(&seat);
    seat.cmd("token {}").run().code(1).stdout_is("").stderr_has("this person has no key");
    assert_eq!(bytes(&seat), before);
    seat.cmd("token {} --base").run().ok();
    seat.idp.assert_content();
}

#[test]
fn a_first_token_that_cannot_be_renewed_any_more_needs_a_sign_in() {
    let seat = Seat::named("iflow");
    seat.sign_in();
    seat.amend(json!({"extra": {"api_token": null}}));
    let fault = Fault::json(401, &json!({"message": "no"}));
    seat.idp.fault("api_token", fault, Times::Always);
    seat.cmd("token {}").run().code(4).stdout_is("");
    assert_eq!(seat.account()["refused"]["code"], "unauthorized");
    let seen = seat.idp.requests().len();
    seat.cmd("token {}").run().code(4).stdout_is("");
    assert_eq!(seat.idp.requests().len(), seen, "nobody asks again");
}

#[test]
fn no_secret_is_logged() {
    for id in ["copilot", "iflow"] {
        let seat = Seat::named(id);
        let mut said = vec![seat.sign_in().stderr.clone()];
        let mut secrets = vec![];
        let learn = |secrets: &mut Vec<String>| {
            let account = seat.account();
            let texts = [&account["access_token"], &account["extra"]["api_token"]];
            secrets.extend(texts.iter().filter_map(|text| text.as_str()).map(str::to_owned));
        };
        learn(&mut secrets);
        for words in ["refresh {}", "token {}", "token {} --base", "status --check", "logout {}"] {
            if words != "logout {}" {
                learn(&mut secrets);
            }
            let output = seat.cmd(words).env("KEYFOB_LOG", "trace").run();
            output.ok();
            output.check(!words.starts_with("refresh") || output.stderr.contains("GET"), "a log");
            said.push(output.stderr.clone());
        }
        assert!(secrets.len() >= 4);
        for secret in &secrets {
            let ends = [&secret[..16], &secret[secret.len() - 14..]];
            let leaks = said.iter().any(|text| ends.iter().any(|end| text.contains(end)));
            assert!(!leaks, "{id}: {secret}\n{}", said.join("\n"));
        }
    }
    let seat = Seat::named("copilot");
    let login = seat.cmd("login {} --no-browser").env("KEYFOB_LOG", "trace").spawn();
    login.stderr_line_containing("code: ", LIMIT);
    seat.idp.approve_device(&seat.user_code());
    let output = login.wait(LIMIT);
    output.ok().stderr_has(LOGIN);
    let account = seat.account();
    for secret in [&account["access_token"], &account["extra"]["api_token"]] {
        output.stderr_lacks(secret.as_str().expect("a secret"));
    }
    output.stderr_lacks(&seat.idp.devices()[0].device_code);
}
