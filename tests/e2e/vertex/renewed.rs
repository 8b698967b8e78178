//! The token is kept until it is stale, traded anew by one process alone, and a no is a no.

use serde_json::{Value, json};

use super::{EMAIL, KEY_ID, Seat};
use crate::login::demo::LIMIT;
use crate::support::google_token::Twist;
use crate::support::rsa_key::RsaKey;

const STALE_S: i64 = 30;
const EXPIRED_S: i64 = -100;

#[test]
fn a_token_is_kept_until_it_is_stale() {
    let seat = Seat::signed_in();
    let first = seat.google.last_token();
    for _ in 0..3 {
        assert_eq!(seat.token(), first);
    }
    seat.say("exec vertex -- true").ok();
    assert_eq!(seat.google.count(), 1, "the one of the login");
}

#[test]
fn a_stale_or_expired_token_is_traded_anew() {
    for left_s in [STALE_S, EXPIRED_S] {
        let seat = Seat::with_left(left_s);
        let before = seat.stored();
        let old = seat.google.last_token();
        let new = seat.token();
        assert_eq!(new, seat.google.last_token());
        assert_ne!(new, old);
        let mut after = seat.stored();
        assert_eq!(after["access_token"], new);
        for key in ["access_token", "expires_at", "refreshed_at"] {
            assert_ne!(after[key], before[key], "{key}");
            after[key] = before[key].clone();
        }
        assert_eq!(after, before, "all else stays");
        assert_eq!(seat.sandbox.mode(&seat.file()), 0o600);
        assert_eq!(seat.token(), new);
        assert_eq!(seat.google.count(), 2);
        seat.google.assert_content();
    }
}

#[test]
fn a_longer_life_can_be_asked_for() {
    let seat = Seat::with_left(1000);
    let old = seat.google.last_token();
    assert_eq!(seat.say("token vertex --min-ttl 900").ok().line(), old);
    assert_eq!(seat.google.count(), 1);
    assert_ne!(seat.say("token vertex --min-ttl 1100").ok().line(), old);
    assert_eq!(seat.google.count(), 2);
    let beyond = seat.say("token vertex --min-ttl 7200");
    beyond.code(3).stdout_is("").stderr_has("gives no longer than");
    seat.google.assert_content();
}

#[test]
fn a_refresh_renews_whatever_the_clock_says() {
    let seat = Seat::signed_in();
    let old = seat.google.last_token();
    seat.say("refresh vertex").ok().stdout_is("").stderr_has(EMAIL);
    assert_ne!(seat.google.last_token(), old);
    assert_eq!(seat.stored()["access_token"], seat.google.last_token());
    let all = seat.say("refresh --all --json").ok().json();
    assert_eq!(all["refreshed"][0]["account"], EMAIL);
    assert_eq!(seat.google.count(), 3);
}

#[test]
fn ten_processes_share_one_request() {
    let seat = Seat::with_left(EXPIRED_S);
    seat.google.twist([Twist::Delay(500)]);
    let running: Vec<_> = (0..10).map(|_| seat.spawn_token()).collect();
    for child in running {
        let output = child.wait(LIMIT);
        seat.tells_nothing(&output);
        output.ok().stdout_is(&format!("{}\n", seat.google.last_token()));
    }
    assert_eq!(seat.google.count(), 2, "the login's and one more");
    seat.google.assert_content();
}

#[test]
fn an_answer_without_a_lifetime_is_not_kept_for_ever() {
    let seat = Seat::with_left(EXPIRED_S);
    seat.google.twist([Twist::Patch(json!({"expires_in": null, "token_type": null}))]);
    seat.token();
    let status = seat.say("status vertex").ok().stdout.clone();
    assert!(status.contains("in 59 min") || status.contains("in 60 min"), "{status}");
}

// ---- no

#[test]
fn a_key_refused_for_good_is_not_shown_again() {
    for said in [
        "account not found",
        "Invalid JWT Signature",
        "unauthorized_client",
        "invalid_client",
        "disabled_client",
        "deleted_client",
    ] {
        let seat = Seat::with_left(EXPIRED_S);
        let before = seat.stored();
        match said {
            "account not found" => seat.google.forget(EMAIL),
            "Invalid JWT Signature" => seat.google.know(EMAIL, Some(KEY_ID), RsaKey::other()),
            code => seat.google.twist([Twist::refusal(code, "")]),
        }
        let output = seat.say("token vertex");
        output.code(4).stdout_is("").stderr_has("refused for good").stderr_has(said);
        output.stderr_has(&format!("  try: keyfob login vertex/{EMAIL}\n"));
        let mut after = seat.stored();
        assert!(after["refused"]["code"].is_string(), "{said}");
        after.as_object_mut().expect("an object").remove("refused");
        assert_eq!(after, before, "{said}");
        for words in ["token vertex", "refresh vertex", "exec vertex -- env"] {
            seat.say(words).code(4).stdout_is("");
        }
        assert_eq!(seat.google.count(), 2, "{said}: nobody asks again");
        let status = seat.say("status vertex --json");
        assert_eq!(status.code(4).json()["accounts"][0]["state"], "refused", "{said}");
    }
}

#[test]
fn a_login_with_a_new_key_ends_a_refusal() {
    let seat = Seat::with_left(EXPIRED_S);
    seat.google.know(EMAIL, Some(KEY_ID), RsaKey::other());
    seat.say("token vertex").code(4);
    let mut file = seat.key_file();
    file["private_key"] = json!(RsaKey::other().pem());
    seat.run(seat.login_with(&file)).ok();
    assert_eq!(seat.stored()["refused"], Value::Null);
    assert_eq!(seat.token(), seat.google.last_token());
    seat.google.assert_content();
}

#[test]
fn a_new_key_that_came_meanwhile_wins_over_a_refusal() {
    let seat = Seat::with_left(EXPIRED_S);
    seat.google.know(EMAIL, Some(KEY_ID), RsaKey::other());
    seat.google.twist([Twist::Delay(800)]);
    let running = seat.spawn_token();
    seat.google.wait_for(2);
    // Put there by hand: a login would wait for the lock.
    seat.change(|account| {
        account["service_account"]["private_key"] = json!(RsaKey::other().pem());
        account["access_token"] = json!("ya29.by-hand");
        account["expires_at"] = json!(crate::support::sandbox::in_seconds(3000));
    });
    let output = running.wait(LIMIT);
    output.ok().stdout_is("ya29.by-hand\n");
    assert_eq!(seat.stored()["refused"], Value::Null);
}

/// The row's scopes are wrong, say; a new key would be refused just so.
#[test]
fn a_refusal_of_the_request_is_not_noted() {
    let seat = Seat::with_left(EXPIRED_S);
    let before = seat.stored();
    for _ in 0..2 {
        seat.google.twist([Twist::refusal("invalid_scope", "Bad scope")]);
        seat.say("token vertex").code(1).stdout_is("").stderr_has("Bad scope (invalid_scope)");
    }
    assert_eq!(seat.stored(), before);
    seat.say("token vertex").ok();
}

#[test]
fn a_wrong_clock_is_said_and_not_noted() {
    let seat = Seat::with_left(EXPIRED_S);
    let before = seat.stored();
    seat.google.twist([Twist::clock()]);
    let output = seat.say("token vertex");
    output.code(1).stdout_is("").stderr_has("this machine's clock is off").stderr_has(EMAIL);
    assert_eq!(seat.stored(), before);
    assert_eq!(seat.token(), seat.google.last_token(), "asked again, as the clock was set");
}

// ---- not now

#[test]
fn a_token_that_lives_is_handed_out_when_the_endpoint_is_in_trouble() {
    let twists = || [Twist::Answer(503, json!({})), Twist::Drop, Twist::clock()];
    let seat = Seat::with_left(STALE_S);
    let before = seat.stored();
    let old = seat.google.last_token();
    seat.google.twist(twists());
    for _ in twists() {
        let output = seat.say("token vertex");
        output.ok().stdout_is(&format!("{old}\n")).stderr_has("the old token is still good");
    }
    assert_eq!(seat.stored(), before);
    // Once it is dead there is nothing to hand out.
    let seat = Seat::with_left(EXPIRED_S);
    seat.google.twist([Twist::Answer(503, json!({})), Twist::Drop]);
    for _ in 0..2 {
        seat.say("token vertex").code(3).stdout_is("");
    }
    seat.say("token vertex").ok();
    // A refused key's token is handed out while it lives, and nobody asks a second time.
    let seat = Seat::with_left(STALE_S);
    seat.google.forget(EMAIL);
    for _ in 0..2 {
        seat.say("token vertex").ok().stderr_has("refused");
    }
    assert_eq!(seat.google.count(), 2);
}

#[test]
fn an_assertion_does_not_come_back_in_the_words_of_the_server() {
    let seat = Seat::with_left(EXPIRED_S);
    seat.google.twist([Twist::Echo]);
    seat.say("token vertex").code(4).stderr_has("Invalid JWT: …");
    let text = seat.sandbox.read(&seat.file());
    for request in seat.google.requests() {
        let assertion = request.param("assertion").expect("an assertion");
        assert!(!text.contains(&assertion[..40]), "{text}");
    }
    seat.google.twist([Twist::Echo]);
    seat.run(seat.login()).code(1).stderr_has("Invalid JWT: …");
}

#[test]
fn a_stored_key_that_was_damaged_needs_a_login() {
    for (change, word) in [
        (json!({"private_key": "-----BEGIN PRIVATE KEY-----\nhunter2"}), "breaks off"),
        (json!({"type": "authorized_user"}), "a person's"),
        (json!({"token_uri": "http://example.com/token"}), "plain http"),
    ] {
        let seat = Seat::with_left(EXPIRED_S);
        seat.change(|account| {
            for (key, value) in change.as_object().expect("an object") {
                account["service_account"][key] = value.clone();
            }
        });
        let output = seat.say("token vertex");
        output.code(4).stdout_is("").stderr_has("the stored key file").stderr_has(word);
        output.stderr_lacks("hunter2").stderr_has("  try: keyfob login vertex/");
        assert_eq!(seat.google.count(), 1);
    }
}
