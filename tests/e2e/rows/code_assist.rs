//! Google Code Assist: the project a sign-in works in. The sign-in holds whatever comes of it.

use serde_json::{Value, json};

use super::{EMAIL, LIMIT, Seat, row_named};
use crate::support::command::Output;
use crate::support::idp::{CodeAssist, Dialect, Fault, Idp, Times};

const PROJECT: (&str, &str) = ("GOOGLE_CLOUD_PROJECT", "my-own-project");

/// Signs in where the service is in this state; the account is on disk in any case.
fn sign_in(id: &str, state: CodeAssist, env: Option<(&str, &str)>) -> (Seat, Output) {
    let seat = Seat::named(id);
    seat.idp.set_code_assist(state);
    seat.idp.set_onboard_polls(0);
    let output = finish(&seat, env);
    seat.idp.assert_content();
    (seat, output)
}

fn finish(seat: &Seat, env: Option<(&str, &str)>) -> Output {
    let mut finishing = seat.finishing(&seat.begin());
    if let Some((name, value)) = env {
        finishing = finishing.env(name, value);
    }
    let output = finishing.run();
    output.ok().stdout_is("").stderr_has(EMAIL);
    assert!(seat.idp.accepts_access(seat.account()["access_token"].as_str().expect("a token")));
    output
}

fn project(seat: &Seat) -> Option<String> {
    seat.account()["extra"]["project_id"].as_str().map(str::to_owned)
}

#[test]
fn a_project_may_be_an_object() {
    for id in ["antigravity", "gemini"] {
        let (seat, output) = sign_in(id, CodeAssist::ReadyObject, None);
        output.stderr_lacks("warning");
        assert_eq!(project(&seat).as_deref(), Some("demo-project"));
    }
}

#[test]
fn an_account_without_a_project_is_signed_up_for_one() {
    let (seat, output) = sign_in("gemini", CodeAssist::NeedsOnboarding, None);
    output.stderr_lacks("warning");
    assert_eq!(project(&seat).as_deref(), Some("demo-project"));
    let asked: Value = serde_json::from_str(&seat.only("code_assist_onboard").body).unwrap();
    assert_eq!(asked["tierId"], "free-tier");
}

/// The sign-up is a long-running operation: asked for again after five seconds.
#[test]
fn a_sign_up_that_takes_its_time_is_waited_for() {
    let seat = Seat::named("gemini");
    seat.idp.set_code_assist(CodeAssist::NeedsOnboarding);
    seat.idp.set_onboard_polls(1);
    finish(&seat, None).stderr_lacks("warning");
    assert_eq!(seat.idp.count("code_assist_poll"), 1);
    assert_eq!(project(&seat).as_deref(), Some("demo-project"));
    seat.idp.assert_content();
}

/// Its row says that nobody is signed up.
#[test]
fn antigravity_signs_nobody_up() {
    let (seat, output) = sign_in("antigravity", CodeAssist::NeedsOnboarding, None);
    output.stderr_has("warning");
    assert_eq!((project(&seat), seat.idp.count("code_assist_onboard")), (None, 0));
}

#[test]
fn a_project_of_the_persons_own_is_named_by_a_variable() {
    for id in ["antigravity", "gemini"] {
        let (seat, output) = sign_in(id, CodeAssist::NeedsProject, None);
        output.stderr_has("warning").stderr_has("GOOGLE_CLOUD_PROJECT");
        assert_eq!(project(&seat), None);
        for name in [PROJECT.0, "GOOGLE_CLOUD_PROJECT_ID"] {
            let (seat, output) = sign_in(id, CodeAssist::NeedsProject, Some((name, PROJECT.1)));
            output.stderr_lacks("warning");
            assert_eq!(project(&seat).as_deref(), Some(PROJECT.1));
            let asked: Value = serde_json::from_str(&seat.only("code_assist_load").body).unwrap();
            assert_eq!(asked["cloudaicompanionProject"], PROJECT.1);
        }
    }
}

#[test]
fn a_project_number_is_no_project_id() {
    let number = Some((PROJECT.0, "123456789"));
    let (seat, output) = sign_in("gemini", CodeAssist::NeedsProject, number);
    output.stderr_has("warning").stderr_has("GOOGLE_CLOUD_PROJECT").stderr_has("number");
    assert_eq!(project(&seat), None);
}

#[test]
fn an_account_that_is_turned_away_is_told_why() {
    for id in ["antigravity", "gemini"] {
        let (seat, output) = sign_in(id, CodeAssist::Ineligible, None);
        output.stderr_has("warning").stderr_has("this account has no licence");
        assert_eq!(project(&seat), None);
        let (_, output) = sign_in(id, CodeAssist::Validation, None);
        output.stderr_has("https://accounts.google.com/validate");
    }
}

#[test]
fn trouble_at_the_service_is_a_warning() {
    for fault in [
        Fault::Status(500),
        Fault::Status(403),
        Fault::Html(200),
        Fault::Drop,
        Fault::json(200, &json!([])),
    ] {
        println!("{fault:?}");
        let seat = Seat::named("gemini");
        seat.idp.fault("code_assist_load", fault, Times::Always);
        finish(&seat, None).stderr_has("warning: no project yet");
        assert_eq!(project(&seat), None);
    }
}

/// The row names three services.
#[test]
fn the_next_service_is_asked_when_one_is_down() {
    let seat = Seat::named("antigravity");
    seat.idp.fault("code_assist_load", Fault::Status(503), Times::Count(2));
    finish(&seat, None).stderr_lacks("warning");
    assert_eq!(seat.idp.count("code_assist_load"), 3);
    assert_eq!(project(&seat).as_deref(), Some("demo-project"));
    seat.idp.assert_content();
}

/// The account is there before the project is known, and others may work with it.
#[test]
fn what_becomes_of_the_account_meanwhile_stays() {
    for words in ["refresh {}", "logout {} --keep-token"] {
        let row = row_named("gemini");
        // So that an older refresh token is of no use.
        let mut dialect = Dialect::from_row(&row, None);
        dialect.rotates = true;
        let seat = Seat::at(row, Idp::start(dialect));
        seat.idp.fault("code_assist_load", Fault::Delay(1500), Times::Once);
        let login = seat.finishing(&seat.begin()).spawn();
        seat.idp.wait_for("code_assist_load", 1);
        seat.cmd(words).run().ok();
        let output = login.wait(LIMIT);
        if words.starts_with("logout") {
            assert!(!seat.sandbox.account_file("gemini", EMAIL).exists(), "it does not come back");
            output.stderr_has("signed out");
        } else {
            output.ok().stderr_lacks("warning");
            let token = seat.account()["refresh_token"].clone();
            assert!(seat.idp.accepts_refresh(token.as_str().expect("a token")));
            assert_eq!(project(&seat).as_deref(), Some("demo-project"));
        }
    }
}

/// `--no-verify` skips the question who signed in.
#[test]
fn no_verify_asks_nobody_who_signed_in() {
    let seat = Seat::named("gemini");
    let url = seat.cmd("login {} --print-auth-url --accept-terms --no-verify").run();
    seat.finishing(url.ok().line()).run().ok();
    assert_eq!(seat.idp.count("userinfo"), 0);
}
