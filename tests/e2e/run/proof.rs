//! `auth-test`: from the file to the model's answer, of every account at once.

use std::time::Instant;

use serde_json::{Value, json};

use super::*;
use crate::support::command::Output;
use crate::support::model_api::{Fault, What, When};
use crate::support::sandbox::in_seconds;

const STEPS: [&str; 4] = ["discovery", "refresh", "smoke", "tool_smoke"];
/// No free call shows these, so their second step is left out while the token is good by the clock.
const UNSHOWN: [&str; 2] = ["azure/entra", "vertex/robot"];

/// Everything on stdout, one object for each account.
#[track_caller]
pub fn results(output: &Output) -> Vec<Value> {
    let answer = output.json();
    output.check(output.stdout.starts_with("{\"version\":1,\"results\":["), "version first");
    answer["results"].as_array().expect("results").clone()
}

/// The outcomes in the order of the steps; every step says something.
#[track_caller]
pub fn outcomes(result: &Value) -> [&str; 4] {
    let steps = result["steps"].as_array().expect("steps");
    let names: Vec<_> = steps.iter().map(|step| step["step"].as_str().unwrap_or("")).collect();
    assert_eq!(names, STEPS, "{result}");
    for step in steps {
        assert!(step["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{step}");
        let has_failed = step["outcome"] == "failed";
        assert_eq!(step["try"].is_string(), has_failed, "a next step for what failed: {step}");
    }
    [0, 1, 2, 3].map(|at| steps[at]["outcome"].as_str().expect("an outcome"))
}

#[test]
fn all_that_is_configured_is_proven_at_once() {
    let mut home = Home::of(&ALL);
    home.add_mail();
    let (variable, secret) = home.add_variable();
    let cmd = home.say("auth-test --all-configured --json").env(variable, &secret);
    let output = cmd.run();
    output.ok().check(output.stderr.is_empty(), "a quiet stderr");
    let results = results(&output);
    let name = |result: &Value| {
        let account = result["account"].as_str().unwrap_or("-");
        format!("{}/{account}", result["provider"].as_str().unwrap_or("-"))
    };
    let mut wanted: Vec<_> = ALL.map(String::from).to_vec();
    let after_gemini = wanted.iter().position(|name| name.starts_with("groq/")).expect("groq");
    wanted.insert(after_gemini, "google/me@example.com".to_owned());
    wanted.push("mistral/-".to_owned());
    assert_eq!(results.iter().map(name).collect::<Vec<_>>(), wanted, "in order");
    for result in &results {
        let name = name(result);
        let refresh = if UNSHOWN.contains(&name.as_str()) { "skipped" } else { "ok" };
        let asked = if name.starts_with("google/") { "skipped" } else { "ok" };
        assert_eq!(outcomes(result), ["ok", refresh, asked, asked], "{result:#}");
    }
    for seat in &home.seats {
        let is_asked = usize::from(!seat.name.starts_with("google/"));
        let seen = |what: What| seat.api.seen(what).len();
        assert_eq!((seen(What::Prompt), seen(What::Tool)), (is_asked, is_asked), "{}", seat.name);
        if let Some(idp) = &seat.idp {
            assert_eq!(idp.count("token_refresh"), 0, "{}: nothing is rotated", seat.name);
        }
    }
    home.tells_nothing(&output.stdout);
    home.is_content();
}

#[test]
fn without_a_name_all_are_meant() {
    let home = Home::of(&["groq/default", "openai-api/default"]);
    let output = home.say("auth-test").run();
    let rows: Vec<_> = output.ok().stdout.lines().collect();
    assert_eq!(rows.len(), 8, "one row a step: {rows:#?}");
    for row in rows {
        let words: Vec<_> = row.split_whitespace().collect();
        assert!(["groq/default", "openai-api/default"].contains(&words[0]), "{row}");
        assert!(STEPS.contains(&words[1]) && words[2] == "ok", "{row}");
    }
    let both = home.say("auth-test groq --all-configured").run();
    both.code(2).stdout_is("").stderr_has("\n  try: keyfob auth-test --help\n");
    home.is_content();
}

#[test]
fn a_good_token_is_not_rotated_and_a_stale_one_is_renewed_once() {
    for name in ["claude/me@example.com", "gemini/me@example.com", "openai/me@example.com"] {
        for (is_stale, is_ended, renewals) in
            [(false, false, 0), (true, false, 1), (false, true, 1)]
        {
            println!("{name} stale {is_stale} ended {is_ended}");
            let home = Home::of(&[name]);
            let idp = home.seats[0].idp.as_ref().expect("an issuer");
            if is_stale {
                home.amend(name, &json!({"expires_at": in_seconds(-60)}));
            }
            if is_ended {
                idp.expire_access_tokens();
            }
            let output = home.cmd(&["auth-test", name, "--json"]).run();
            let result = &results(output.ok())[0];
            assert_eq!(outcomes(result), ["ok"; 4], "{result:#}");
            let says = result["steps"][1]["detail"].as_str().expect("a detail");
            assert_eq!(says.starts_with("renewed"), renewals == 1, "{says}");
            assert_eq!(idp.count("token_refresh"), renewals);
            home.is_content();
        }
    }
}

#[test]
fn mail_has_its_token_checked_and_no_prompt() {
    let mut home = Home::empty();
    home.add_mail();
    let output = home.say("auth-test google --json").run();
    let result = &results(output.ok())[0];
    assert_eq!(outcomes(result), ["ok", "ok", "skipped", "skipped"], "{result:#}");
    let why = result["steps"][2]["detail"].as_str().expect("a reason");
    assert!(why.contains("no model API"), "{why}");
    assert_eq!(home.seats[0].idp.as_ref().expect("an issuer").count("userinfo"), 1);
    home.is_content();
}

#[test]
fn the_tool_can_be_left_out() {
    let home = Home::of(&["groq/default"]);
    let output = home.say("auth-test groq --no-tool-smoke --json").run();
    let result = &results(output.ok())[0];
    assert_eq!(outcomes(result), ["ok", "ok", "ok", "skipped"], "{result:#}");
    assert_eq!(home.api().seen(What::Tool).len(), 0);
    home.is_content();
}

#[test]
fn the_model_can_be_named() {
    let home = Home::of(&["groq/default"]);
    home.api().change_door(|door| door.model = "other-model".to_owned());
    home.say("auth-test groq --model other-model").run().ok();
    home.is_content();
}

#[test]
fn nothing_to_test_wants_a_sign_in() {
    let home = Home::empty();
    for words in ["auth-test", "auth-test --all-configured"] {
        home.say(words).run().code(4).stdout_is("").stderr_has("\n  try: keyfob setup\n");
    }
    let output = home.say("auth-test --json").run();
    assert_eq!(output.code(4).stdout_is("").error_json()["code"], "sign_in_needed");

    let output = home.say("auth-test groq --json").run();
    let result = &results(output.code(4))[0];
    assert_eq!(outcomes(result), ["failed", "skipped", "skipped", "skipped"], "{result:#}");
    assert_eq!(result["account"], Value::Null);
    let next = result["steps"][0]["try"].as_str().expect("a next step");
    assert!(next.starts_with("keyfob login groq"), "{next}");
    home.say("auth-test nosuch").run().code(2);
}

/// Each asks three times, and each answer takes 300 ms.
#[test]
fn many_accounts_are_proven_at_the_same_time() {
    let names = [
        "anthropic-api/default",
        "azure/key",
        "claude/me@example.com",
        "gemini-api/default",
        "groq/default",
        "my.llm/default",
        "openai-api/default",
        "xai/default",
    ];
    let home = Home::of(&names);
    home.seats.iter().for_each(|seat| seat.api.fault(When::Any, Fault::Delay(300)));
    let began = Instant::now();
    let output = home.say("auth-test --all-configured --json").run();
    let took = began.elapsed();
    output.ok();
    let asked: usize = home.seats.iter().map(|seat| seat.api.connections()).sum();
    assert!(asked >= 23, "{asked} requests");
    assert!(took >= Duration::from_millis(900), "{took:?}");
    assert!(took < Duration::from_millis(300) * u32::try_from(asked).expect("few") / 2, "{took:?}");
    home.is_content();
}

#[test]
fn an_account_is_shown_as_soon_as_it_is_done() {
    let home = Home::of(&["anthropic-api/default", "groq/default"]);
    home.seat("anthropic-api/default").api.fault(When::Asked, Fault::Delay(1500));
    let mut child = home.say("auth-test --all-configured").spawn();
    let row = child.stdout_line_containing("groq/default           tool_smoke", LIMIT);
    assert!(row.contains("  ok "), "{row}");
    assert!(!child.has_ended() && !child.stdout().contains("anthropic-api"), "the other goes on");
    let output = child.wait(LIMIT);
    assert_eq!(output.ok().stdout.lines().count(), 8);
    home.is_content();
}

#[test]
fn a_key_in_a_variable_is_proven_like_any_other() {
    let mut home = Home::empty();
    let (variable, secret) = home.add_variable();
    for words in ["auth-test mistral --json", "auth-test --all-configured --json"] {
        let output = home.say(words).env(variable, &secret).run();
        let result = &results(output.ok())[0];
        assert_eq!(outcomes(result), ["ok"; 4], "{result:#}");
        let says = result["steps"][0]["detail"].as_str().expect("a detail");
        assert!(says.contains(variable), "{says}");
        home.tells_nothing(&output.stdout);
    }
    let output = home.say("auth-test mistral --json").env(variable, "sk-other-0123456789").run();
    let result = &results(output.code(4))[0];
    assert_eq!(outcomes(result), ["ok", "failed", "skipped", "skipped"], "{result:#}");
    assert_eq!(result["steps"][1]["try"], format!("export {variable}=… with a new one"));
    home.is_content();
}
