//! The standard set of the rows with a code typed on any other machine. The issuer measures the time
//! between the polls and complains of haste; the rows wait side by side.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{LIMIT, Seat, built_in_rows, has_way, names};
use crate::support::command::Output;
use crate::support::idp::{Fault, Times};

const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:device_code";

fn over_every_device_row(test: impl Fn(&Seat) + Sync) {
    let rows: Vec<_> = built_in_rows().iter().filter(|row| has_way(row, "device")).collect();
    assert!(rows.len() >= 5, "{rows:?}");
    let test = &test;
    let failed: Vec<_> = std::thread::scope(|scope| {
        let at = rows.iter().map(|row| {
            let running = scope.spawn(move || {
                let seat = Seat::of((*row).clone());
                test(&seat);
                seat.idp.assert_content();
            });
            (&row["id"], running)
        });
        let all: Vec<_> = at.collect();
        all.into_iter().filter_map(|(id, one)| one.join().is_err().then_some(id)).collect()
    });
    assert!(failed.is_empty(), "{failed:?}, see above");
}

fn is_openai(seat: &Seat) -> bool {
    seat.idp.dialect().device.as_ref().is_some_and(|rule| rule.openai.is_some())
}

/// The first process; what it printed.
#[track_caller]
fn begin(seat: &Seat) -> Value {
    seat.cmd("login {} --device --print-auth-url --json").run().ok().json()
}

/// One question.
#[track_caller]
fn ask(seat: &Seat) -> Output {
    seat.cmd("login {} --complete --wait 0").run()
}

fn gaps(seat: &Seat) -> Vec<f64> {
    let polls = seat.idp.requests_to("device_poll");
    polls.windows(2).map(|pair| (pair[1].at - pair[0].at).as_secs_f64()).collect()
}

/// What a poll costs is not added to the wait.
#[track_caller]
fn assert_gaps(seat: &Seat, wanted_s: &[f64]) {
    let gaps = gaps(seat);
    let fits = |(gap, wanted): (&f64, &f64)| (wanted - 0.1..wanted + 0.9).contains(gap);
    let all_fit = gaps.len() == wanted_s.len() && gaps.iter().zip(wanted_s).all(fits);
    assert!(all_fit, "{}: {gaps:?}, wanted {wanted_s:?}", seat.id());
}

#[track_caller]
fn assert_nothing_left(seat: &Seat) {
    let home = seat.sandbox.home();
    let pending = seat.sandbox.files(&home.join("pending"));
    assert!(pending.is_empty(), "{}: {pending:?}", seat.id());
    let accounts = seat.sandbox.files(&home.join("accounts"));
    let is_account = |file: &&std::path::PathBuf| file.extension().is_some_and(|e| e == "json");
    assert_eq!(accounts.iter().filter(is_account).count(), 0, "{}: {accounts:?}", seat.id());
}

#[test]
fn one_process_begins_another_asks_and_a_third_ends_signed_in() {
    over_every_device_row(|seat| {
        let begun = begin(seat);
        let user_code = seat.user_code();
        assert_eq!(begun["user_code"], user_code);
        assert_eq!(begun["provider"], seat.id());
        assert_eq!(begun["complete_with"], format!("keyfob login {} --complete", seat.id()));
        let url = begun["auth_url"].as_str().expect("an address");
        assert!(url.starts_with(seat.idp.origin()), "{url}");
        assert_eq!((seat.idp.count("device_start"), seat.idp.count("device_poll")), (1, 0));

        ask(seat).code(6).stdout_is("").stderr_has("still waiting");
        assert_eq!(seat.idp.count("device_poll"), 1, "asked once");
        seat.idp.approve_device(&user_code);
        let completed = seat.cmd("login {} --complete --json").run();
        let done = completed.ok().json();
        assert_gaps(seat, &[1.0]);
        assert_eq!((&done["status"], &done["kind"]), (&json!("ok"), &json!("oauth")));
        completed.stderr_lacks("warning");

        let account = seat.account();
        assert_eq!(account["account"], done["account"]);
        assert_eq!(account["issued_by"], seat.idp.origin());
        let token = seat.cmd("token {}").run();
        assert_eq!(*seat.handed_out(&account), token.ok().line());
        assert!(seat.takes(token.line()));
        let first = seat.cmd("token {} --base").run();
        assert_eq!(account["access_token"], first.ok().line());
        assert_eq!(seat.idp.count("userinfo"), usize::from(seat.has("userinfo_url")));
        assert_eq!(seat.idp.count("api_token"), usize::from(seat.has_second_token()));
        ask(seat).code(6).stdout_is("");
        assert!(seat.sandbox.files(&seat.sandbox.home().join("pending")).is_empty());
    });
}

#[test]
fn each_request_has_what_the_row_says_and_nothing_else() {
    over_every_device_row(|seat| {
        begin(seat);
        seat.idp.approve_device(&seat.user_code());
        ask(seat).ok();
        let start = seat.only("device_start");
        let poll = seat.only("device_poll");
        for request in [&start, &poll] {
            assert_eq!(request.header("accept"), Some("application/json"));
            assert!(request.header("authorization").is_none());
        }
        if is_openai(seat) {
            assert_eq!(names(&start), ["client_id"]);
            assert_eq!(names(&poll), ["device_auth_id", "user_code"]);
            assert_eq!(seat.idp.count("token_exchange"), 1);
            return;
        }
        let scopes = seat.row["scopes"].as_array().cloned().unwrap_or_default();
        let scopes: Vec<_> = scopes.iter().filter_map(Value::as_str).collect();
        let mut at_start = vec![];
        let mut at_poll = vec!["grant_type", "device_code"];
        if !scopes.is_empty() {
            at_start.push("scope");
            assert_eq!(start.param("scope"), Some(scopes.join(" ")));
        }
        if seat.idp.dialect().device.as_ref().is_some_and(|rule| rule.pkce) {
            at_start.extend(["code_challenge", "code_challenge_method"]);
            at_poll.push("code_verifier");
        }
        assert_eq!(names(&start), seat.with_client(&at_start), "{}", seat.id());
        assert_eq!(names(&poll), seat.with_client(&at_poll), "{}", seat.id());
        assert_eq!(poll.param("grant_type").as_deref(), Some(GRANT_TYPE));
    });
}

#[test]
fn a_terminal_that_waits_is_signed_in_when_the_person_approves() {
    over_every_device_row(|seat| {
        let login = seat.cmd("login {} --device --no-browser").spawn();
        login.stderr_line_containing("code: ", LIMIT);
        let user_code = seat.user_code();
        seat.idp.wait_for("device_pending", 2);
        seat.idp.approve_device(&user_code);
        let output = login.wait(LIMIT);
        output.ok().stdout_is("").stderr_has(&user_code).stderr_has("signed in");
        output.stderr_has("approve only if you started this");
        output.stderr_lacks(&seat.idp.devices()[0].device_code);
        assert_gaps(seat, &[1.0, 1.0]);
        let account = seat.account();
        assert!(seat.takes(seat.handed_out(&account).as_str().expect("a token")));
    });
}

/// The second process is told to slow down; the third keeps to it (RFC 8628 section 3.5: by 5 s,
/// or to what the server names).
#[test]
fn slowing_down_is_obeyed_to_the_second_across_processes() {
    for (named_s, wanted_s) in [(None, 6.0), (Some(2), 2.0)] {
        over_every_device_row(|seat| {
            begin(seat);
            seat.idp.approve_device(&seat.user_code());
            // OpenAI's endpoint knows no such answer: 403 and 404 are all it says before the end.
            if is_openai(seat) {
                return;
            }
            seat.idp.slow_down_next(1, named_s);
            let begun = Instant::now();
            ask(seat).code(6).stdout_is("");
            assert!(begun.elapsed() < Duration::from_secs(2), "asked once, no wait");
            seat.cmd("login {} --complete").run().ok();
            assert_gaps(seat, &[wanted_s]);
        });
    }
}

#[test]
fn a_code_that_ran_out_ends_the_login() {
    over_every_device_row(|seat| {
        begin(seat);
        seat.idp.expire_device(&seat.user_code());
        let output = ask(seat);
        output.code(6).stdout_is("").stderr_has("ran out");
        output.stderr_has(&format!("\n  try: keyfob login {} --device\n", seat.id()));
        assert_nothing_left(seat);
        ask(seat).code(6).stdout_is("");
        assert_eq!(seat.idp.count("device_poll"), 1);
    });
}

#[test]
fn a_person_who_declines_ends_the_login() {
    over_every_device_row(|seat| {
        begin(seat);
        seat.idp.deny_device(&seat.user_code());
        let output = seat.cmd("login {} --complete --json").run();
        output.code(1).stdout_is("").stderr_has("access_denied");
        assert_eq!(output.error_json()["exit"], 1);
        assert_nothing_left(seat);
        ask(seat).code(6).stdout_is("");
        assert_eq!(seat.idp.count("device_poll"), 1);
    });
}

#[test]
fn a_question_put_off_by_the_server_is_asked_again() {
    over_every_device_row(|seat| {
        begin(seat);
        seat.idp.approve_device(&seat.user_code());
        for fault in [Fault::Status(503), Fault::Drop] {
            seat.idp.fault("device_poll", fault, Times::Once);
            ask(seat).code(3).stdout_is("");
        }
        ask(seat).ok();
        // A server in trouble is asked less and less often.
        assert_gaps(seat, &[2.0, 4.0]);
    });
}

#[test]
fn a_start_that_is_refused_or_put_off_leaves_nothing() {
    over_every_device_row(|seat| {
        let refused = Fault::oauth_error("unauthorized_client", 400);
        for (fault, code) in [(Fault::Status(503), 3), (Fault::Drop, 3), (refused, 1)] {
            seat.idp.fault("device_start", fault, Times::Once);
            let output = seat.cmd("login {} --device --print-auth-url").run();
            output.code(code).stdout_is("");
            assert_nothing_left(seat);
        }
    });
}

/// GitHub says no with 200, at both endpoints.
#[test]
fn a_no_with_200_is_a_no() {
    let seat = Seat::named("copilot");
    let disabled = Fault::oauth_error("device_flow_disabled", 200);
    seat.idp.fault("device_start", disabled.clone(), Times::Once);
    let output = seat.cmd("login {} --device --print-auth-url").run();
    output.code(1).stdout_is("").stderr_has("device_flow_disabled");
    begin(&seat);
    seat.idp.fault("device_poll", disabled, Times::Once);
    ask(&seat).code(1).stdout_is("").stderr_has("device_flow_disabled");
    assert_nothing_left(&seat);
    begin(&seat);
    ask(&seat).code(6);
    assert_eq!(seat.idp.count("device_pending"), 1, "not yet, said with 200");
    seat.idp.assert_content();
}

/// Qwen names the address of its API with the tokens, and may name another one later.
#[test]
fn the_address_of_the_api_comes_with_the_tokens() {
    let seat = Seat::named("qwen");
    seat.sign_in();
    let host = seat.idp.origin().trim_start_matches("http://").to_owned();
    assert_eq!(seat.account()["extra"], json!({"resource_url": host}));
    let base = || seat.cmd("token {} --json").run().ok().json()["api_base"].clone();
    assert_eq!(base(), format!("http://{host}/v1"));
    let moved = Fault::Patch(json!({"resource_url": "dashscope.example.com/compatible-mode/v1"}));
    seat.idp.fault("token_refresh", moved, Times::Once);
    seat.cmd("refresh {}").run().ok();
    assert_eq!(base(), "http://dashscope.example.com/compatible-mode/v1");
    // Nothing said is nothing changed.
    seat.idp.fault("token_refresh", Fault::Patch(json!({"resource_url": null})), Times::Once);
    seat.cmd("refresh {}").run().ok();
    assert_eq!(base(), "http://dashscope.example.com/compatible-mode/v1");
    seat.idp.assert_content();
}

/// The key comes first at xAI, and stays beside a sign-in.
#[test]
fn a_row_with_keys_and_codes_asks_for_the_flag() {
    let seat = Seat::named("xai");
    let key = "xai-0123456789abcdef";
    let bare = seat.cmd("login {} --no-input").run();
    bare.code(2).stdout_is("").stderr_has("--api-key-stdin");
    assert!(seat.idp.requests().is_empty());
    seat.sign_in();
    seat.cmd("login xai/key --api-key-stdin").stdin(key).run().ok();
    seat.cmd("token xai/key").run().ok().stdout_is(&format!("{key}\n"));
    let account = seat.sandbox.read_account("xai", super::EMAIL);
    assert_eq!(seat.cmd("token xai/me@example.com").run().ok().line(), account["access_token"]);
    seat.idp.assert_content();
}

/// Kimi and Qwen never say who signed in, so nobody can tell a second person from the first.
#[test]
fn a_sign_in_of_nobody_known_says_that_it_takes_the_place_of_another() {
    let seat = Seat::named("kimi");
    for is_second in [false, true] {
        begin(&seat);
        seat.idp.approve_device(&seat.user_code());
        let output = ask(&seat).ok().clone();
        let says = output.stderr.contains("takes the place of an earlier sign-in");
        output.check(says == is_second, "a warning at the second sign-in, and none at the first");
    }
}
