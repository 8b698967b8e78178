//! A session is renewed by using it: rotated cookies are kept, and an ended one needs the person.

use std::thread;

use serde_json::{Value, json};

use super::{Lab, next_command};
use crate::login::demo::{LIMIT, Waiting};
use crate::support::codemie::{Away, jar};
use crate::support::sandbox::in_seconds;

fn ways_of_ending() -> [Away; 5] {
    [
        Away::Page,
        Away::To("https://idp.example/auth?client_id=codemie".to_owned()),
        Away::To("/oauth2/start?rd=%2F".to_owned()),
        Away::Status(401),
        Away::Status(403),
    ]
}

#[test]
fn rotated_cookies_are_kept() {
    let lab = Lab::signed_in();
    lab.instance.world().rotate = Some("Max-Age=3600".to_owned());
    let before = lab.account();
    let output = lab.run("refresh", &["--json"]);
    let after = lab.account();
    assert_eq!(after["access_token"], lab.instance.newest_session());
    assert_ne!(after["access_token"], before["access_token"]);
    assert_eq!(output.ok().json()["refreshed"][0]["expires_at"], after["expires_at"]);
    let end = after["expires_at"].as_str().unwrap();
    assert!((in_seconds(3_590)..=in_seconds(3_600)).contains(&end.to_owned()), "{end}");
    assert_eq!(lab.sandbox.mode(&lab.file()), 0o600);
    for fact in ["identity", "extra", "created_at", "issued_by"] {
        assert_eq!(after[fact], before[fact], "{fact}");
    }
    // What was rotated away is no longer good, what is on disk is.
    lab.run("refresh", &[]).ok().stderr_has("refreshed").stderr_lacks("session-");
    let asked = lab.instance.asked();
    let asked: Vec<_> = asked.iter().map(|request| request.path.as_str()).collect();
    assert_eq!(asked, ["/code-assistant-api/v1/user"; 2], "one question each");
}

#[test]
fn a_session_in_several_cookies_is_rotated_as_a_whole() {
    let lab = Lab::new();
    {
        let mut world = lab.instance.world();
        (world.pieces, world.rotate) = (3, Some("Path=/".to_owned()));
        world.forwarded = jar("codemie_access_token=kept");
    }
    lab.sign_in_to(&lab.instance);
    for _ in 0..3 {
        lab.run("refresh", &[]).ok();
    }
    let kept = lab.account()["access_token"].as_str().unwrap().to_owned();
    assert_eq!(kept, format!("{}; codemie_access_token=kept", lab.instance.newest_session()));
    assert_eq!(lab.account()["expires_at"], Value::Null);
}

#[test]
fn the_date_of_a_cookie_is_its_end_as_well() {
    let lab = Lab::signed_in();
    lab.instance.world().rotate = Some("Expires=Fri, 01 Jan 2100 00:00:00 GMT".to_owned());
    lab.run("refresh", &[]).ok();
    assert_eq!(lab.account()["expires_at"], "2100-01-01T00:00:00Z");
    lab.instance.world().rotate =
        Some("Expires=Fri, 01 Jan 2100 00:00:00 GMT; Max-Age=60".to_owned());
    lab.run("refresh", &[]).ok();
    let end = lab.account()["expires_at"].as_str().unwrap().to_owned();
    assert!(end <= in_seconds(60), "Max-Age goes first: {end}");
}

#[test]
fn an_ended_session_of_any_shape_needs_the_person_and_keeps_its_cookies() {
    for away in ways_of_ending() {
        let lab = Lab::signed_in();
        let before = lab.account();
        lab.instance.end_sessions(away.clone());
        let output = lab.run("refresh", &[]);
        let next = format!("try: keyfob login {}\n", lab.id());
        output.check(output.status == Some(4), &format!("{away:?}")).stdout_is("");
        output.stderr_has(&next).stderr_lacks("session-");
        assert_eq!(lab.account()["access_token"], before["access_token"], "{away:?}");
        assert_eq!(lab.account()["extra"], before["extra"], "{away:?}");
        let asked = lab.instance.asked().len();
        assert_eq!(asked, 1, "{away:?}");
        lab.run("refresh", &[]).code(4).stderr_has(&next);
        lab.run("status", &["--check"]);
        assert_eq!(lab.instance.asked().len(), asked, "nobody asks again after {away:?}");
        let status = lab.run("status", &["--json"]);
        assert_eq!(status.code(4).json()["accounts"][0]["state"], "refused", "{away:?}");
    }
}

/// `status` says that it cannot be used, and so does everybody else.
#[test]
fn a_session_known_to_be_over_is_not_handed_out() {
    for expires_at in [Value::Null, json!(in_seconds(3_600))] {
        let lab = Lab::signed_in();
        lab.edit_account(&json!({"expires_at": expires_at}));
        lab.instance.end_sessions(Away::Page);
        lab.run("refresh", &[]).code(4);
        let next = format!("try: keyfob login {}\n", lab.id());
        lab.run("token", &[]).code(4).stdout_is("").stderr_has(&next);
        lab.run("exec", &["--", "true"]).code(4);
        lab.run("models", &[]).code(4).stderr_has(&next);
        lab.run("status", &[]).code(4);
        assert_eq!(lab.instance.asked().len(), 1, "nobody asks again");
    }
}

#[test]
fn the_next_command_after_an_ended_session_works_as_it_stands() {
    let lab = Lab::signed_in();
    lab.instance.end_sessions(Away::Page);
    let mut next = next_command(&lab.run("refresh", &[]));
    next.push("--no-browser".to_owned());
    let next: Vec<_> = next.iter().map(String::as_str).collect();
    let waiting = Waiting::start(lab.sandbox.cmd(&next));
    assert!(waiting.url.starts_with(&lab.instance.origin()), "{}", waiting.url);
    lab.person(&waiting.url).follow();
    waiting.process.wait(LIMIT).ok();
    assert_eq!(lab.account()["access_token"], lab.instance.newest_session());
    assert_eq!(lab.account()["refused"], Value::Null);
    assert_eq!(lab.account_files().len(), 1);
    lab.run("refresh", &[]).ok();
}

#[test]
fn an_instance_in_trouble_is_no_ended_session() {
    let lab = Lab::signed_in();
    let before = lab.sandbox.read(&lab.file());
    for status in [500, 502, 503, 504, 429] {
        lab.instance.world().broken = Some(status);
        lab.run("refresh", &[]).code(3).stdout_is("").stderr_has(&status.to_string());
        assert_eq!(lab.sandbox.read(&lab.file()), before, "{status}");
        lab.run("token", &[]).ok().stdout_is(&format!("{}\n", lab.instance.newest_session()));
    }
    lab.instance.world().broken = None;
    lab.run("refresh", &[]).ok();
}

#[test]
fn a_session_past_its_end_is_tried_before_the_person_is_asked() {
    let lab = Lab::signed_in();
    lab.instance.world().rotate = Some("Max-Age=900".to_owned());
    lab.edit_account(&json!({"expires_at": in_seconds(-60)}));
    let shown = lab.run("token", &[]).ok().line().to_owned();
    assert_eq!(shown, lab.instance.newest_session());
    assert_eq!(lab.instance.asked().len(), 1);
    lab.run("token", &[]).ok();
    assert_eq!(lab.instance.asked().len(), 1, "fresh now");

    // It works, whatever was said of its end; and then nobody knows its end.
    lab.instance.world().rotate = None;
    lab.edit_account(&json!({"expires_at": in_seconds(-60)}));
    lab.run("token", &[]).ok();
    assert_eq!(lab.account()["expires_at"], Value::Null);

    lab.edit_account(&json!({"expires_at": in_seconds(-60)}));
    lab.instance.end_sessions(Away::Page);
    let next = format!("try: keyfob login {}\n", lab.id());
    lab.run("token", &[]).code(4).stdout_is("").stderr_has(&next);
}

#[test]
fn ten_refreshes_at_once_lose_nothing() {
    let lab = Lab::signed_in();
    {
        let mut world = lab.instance.world();
        (world.pieces, world.rotate) = (1, Some("Max-Age=3600".to_owned()));
    }
    thread::scope(|scope| {
        let all: Vec<_> = (0..10).map(|_| scope.spawn(|| lab.run("refresh", &[]))).collect();
        for one in all {
            one.join().unwrap().ok();
        }
    });
    assert_eq!(lab.account()["access_token"], lab.instance.newest_session());
    assert_eq!(lab.account()["refused"], Value::Null);
    let asked = lab.instance.asked();
    assert!((1..=10).contains(&asked.len()), "{}", asked.len());
    let mut cookies: Vec<_> = asked.iter().map(|request| &request.cookie).collect();
    cookies.dedup();
    assert_eq!(cookies.len(), asked.len(), "no session was shown twice");
    lab.run("refresh", &[]).ok();
    assert_eq!(lab.account_files().len(), 1);
}

#[test]
fn cookies_that_are_taken_away_leave_an_account_that_can_be_read() {
    let lab = Lab::signed_in();
    let before = lab.account()["access_token"].clone();
    lab.instance.world().rotate = Some("Max-Age=0".to_owned());
    lab.run("refresh", &[]);
    let status = lab.run("status", &["--json"]).json();
    assert_ne!(status["accounts"][0]["state"], "damaged");
    assert_eq!(lab.account()["access_token"], before, "better than none");
}

#[test]
fn what_people_noted_on_the_account_outlives_a_refresh_and_a_login() {
    let lab = Lab::signed_in();
    lab.edit_account(&json!({"attributes": {"note": "mine"}, "of_tomorrow": [1]}));
    lab.instance.world().rotate = Some("Path=/".to_owned());
    lab.run("refresh", &[]).ok();
    assert_eq!(lab.account()["attributes"]["note"], "mine");
    lab.sign_in_to(&lab.instance);
    assert_eq!(lab.account()["attributes"]["note"], "mine");
    assert_eq!(lab.account()["of_tomorrow"], json!([1]));
}
