//! `auth-test` names the link that is broken: for each fault the step that fails, what is tried next,
//! and the exit code; the steps before are proven, those after are left out.

use serde_json::{Value, json};

use super::proof::{outcomes, results};
use super::*;
use crate::support::idp::{Fault as Trouble, Times};
use crate::support::model_api::{Fault, When};

/// How far it comes: the step that fails.
#[derive(Clone, Copy, Debug, PartialEq)]
enum At {
    Refresh,
    Smoke,
    Tool,
}

/// The account's second step while nothing is wrong with it.
fn refresh(name: &str) -> &'static str {
    if ["azure/entra", "vertex/robot"].contains(&name) { "skipped" } else { "ok" }
}

#[track_caller]
fn breaks(home: &Home, name: &str, at: At, code: i32) -> Value {
    let output = home.cmd(&["auth-test", name, "--json"]).run();
    let result = results(output.code(code))[0].clone();
    let wanted = match at {
        At::Refresh => ["ok", "failed", "skipped", "skipped"],
        At::Smoke => ["ok", refresh(name), "failed", "skipped"],
        At::Tool => ["ok", refresh(name), "ok", "failed"],
    };
    assert_eq!(outcomes(&result), wanted, "{name}: {result:#}");
    let error = output.error_json();
    assert_eq!(error["exit"], code, "the first failure decides");
    for text in [&output.stdout, &output.stderr] {
        home.tells_nothing(text);
        assert!(!text.contains("<html>") && !text.contains("\\u001b"), "{text}");
    }
    result
}

/// Over every API: the prompts meet the fault, and free calls do not.
#[track_caller]
fn each(when: When, fault: &Fault, at: At, code: i32) {
    let home = Home::of(&ALL);
    for Seat { name, api, .. } in &home.seats {
        println!("{name} {fault:?}");
        api.fault(when, fault.clone());
        // A session at a proxy is over when it answers 403 or a page.
        let ends_session = matches!(fault, Fault::Refused | Fault::Html(_));
        let code = if ends_session && name.starts_with("codemie/") { 4 } else { code };
        breaks(&home, name, at, code);
    }
    home.is_content();
}

#[test]
fn a_prompt_that_is_turned_away_fails_there() {
    each(When::Asked, &Fault::Expired, At::Smoke, 4);
    each(When::Asked, &Fault::Refused, At::Smoke, 1);
}

#[test]
fn a_quota_that_is_used_up_fails_the_prompt() {
    each(When::Asked, &Fault::NoQuota(None), At::Smoke, 3);
    each(When::Asked, &Fault::NoQuota(Some(30)), At::Smoke, 3);
    each(When::Asked, &Fault::Unpaid, At::Smoke, 1);
}

#[test]
fn a_model_nobody_knows_fails_the_prompt() {
    each(When::Asked, &Fault::WrongModel, At::Smoke, 1);
}

#[test]
fn a_page_fails_the_prompt() {
    each(When::Asked, &Fault::Html(200), At::Smoke, 1);
    each(When::Asked, &Fault::Html(403), At::Smoke, 1);
}

#[test]
fn a_stream_that_breaks_off_fails_the_prompt() {
    each(When::Asked, &Fault::Cut, At::Smoke, 3);
    each(When::Asked, &Fault::Ended, At::Smoke, 3);
    each(When::Asked, &Fault::Overloaded, At::Smoke, 3);
}

#[test]
fn a_stream_that_never_ends_fails_the_prompt() {
    let home = Home::of(&["groq/default"]);
    for (fault, code) in [(Fault::Stalled, 3), (Fault::Mute, 3), (Fault::Endless, 1)] {
        home.api().clear_faults();
        home.api().fault(When::Asked, fault);
        let output = home.say("auth-test groq --json --timeout 1").run();
        let result = &results(output.code(code))[0];
        assert_eq!(outcomes(result), ["ok", "ok", "failed", "skipped"], "{result:#}");
    }
    home.is_content();
}

#[test]
fn a_server_in_trouble_fails_the_prompt() {
    each(When::Asked, &Fault::Status(503), At::Smoke, 3);
    each(When::Asked, &Fault::Echo(400), At::Smoke, 1);
}

#[test]
fn an_answer_that_is_another_fails_the_prompt() {
    each(When::Asked, &Fault::NoMark, At::Smoke, 1);
    // What the model says is shown, but not what it was shown.
    let home = Home::of(&["groq/default"]);
    let Seat { name, api, secret, .. } = &home.seats[0];
    api.says(&["you sent ", secret]);
    api.fault(When::Asked, Fault::NoMark);
    let result = breaks(&home, name, At::Smoke, 1);
    let says = result["steps"][2]["detail"].as_str().expect("a detail");
    assert!(says.contains("you sent"), "{says}");
    home.is_content();
}

#[test]
fn a_tool_that_is_not_called_fails_the_last_step() {
    each(When::Tool, &Fault::NoTool, At::Tool, 1);
    each(When::Tool, &Fault::WrongTool, At::Tool, 1);
    each(When::Tool, &Fault::BrokenArguments, At::Tool, 1);
}

#[test]
fn trouble_with_the_tool_alone_fails_the_last_step() {
    each(When::Tool, &Fault::Expired, At::Tool, 4);
    each(When::Tool, &Fault::Cut, At::Tool, 3);
    each(When::Tool, &Fault::Status(503), At::Tool, 3);
}

#[test]
fn a_key_that_is_turned_away_fails_the_probe() {
    let names = [
        "anthropic-api/default",
        "azure/key",
        "codemie/jwt",
        "gemini-api/default",
        "groq/default",
        "my.llm/default",
        "openai-api/default",
        "xai/default",
    ];
    let home = Home::of(&names);
    for Seat { name, api, .. } in &home.seats {
        println!("{name}");
        api.fault(When::Any, Fault::Expired);
        let result = breaks(&home, name, At::Refresh, 4);
        let next = result["steps"][1]["try"].as_str().expect("a next step");
        assert!(next.starts_with(&format!("keyfob login {name} --")), "{next}");
        assert_eq!(api.connections(), 1, "no prompt is sent");
    }
    home.is_content();
}

#[test]
fn a_sign_in_that_cannot_be_renewed_fails_the_probe() {
    for name in ["claude/me@example.com", "gemini/me@example.com", "openai/me@example.com"] {
        for (trouble, code) in
            [(Trouble::oauth_error("invalid_grant", 400), 4), (Trouble::Status(503), 3)]
        {
            println!("{name} {code}");
            let home = Home::of(&[name]);
            let idp = home.seats[0].idp.as_ref().expect("an issuer");
            idp.expire_access_tokens();
            idp.fault("token_refresh", trouble, Times::Always);
            let result = breaks(&home, name, At::Refresh, code);
            assert!(result["steps"][1]["try"].is_string());
        }
    }
}

/// A free call that fails for other reasons says nothing about the credential.
#[test]
fn a_free_call_in_trouble_leaves_the_prompt_to_prove_it() {
    for fault in [Fault::Status(503), Fault::Html(200), Fault::Status(404), Fault::Mute] {
        let home = Home::of(&["groq/default", "openai/me@example.com"]);
        for Seat { name, api, .. } in &home.seats {
            println!("{name} {fault:?}");
            api.fault(When::Models, fault.clone());
            let output = home.cmd(&["auth-test", name, "--json", "--timeout", "1"]).run();
            let result = &results(output.ok())[0];
            assert_eq!(outcomes(result), ["ok", "skipped", "ok", "ok"], "{result:#}");
        }
        home.is_content();
    }
}

#[test]
fn a_file_that_cannot_be_read_fails_the_discovery() {
    let home = Home::of(&["groq/default"]);
    std::fs::write(home.sandbox.account_file("groq", "default"), "{").expect("a file");
    let output = home.say("auth-test groq --json").run();
    let result = &results(output.code(5))[0];
    assert_eq!(outcomes(result), ["failed", "skipped", "skipped", "skipped"], "{result:#}");
    assert_eq!(home.api().connections(), 0);
}

/// One that fails does not stop the others, and the first in order decides.
#[test]
fn one_failure_among_many_is_the_outcome() {
    let home = Home::of(&["anthropic-api/default", "groq/default", "openai-api/default"]);
    home.seat("groq/default").api.fault(When::Asked, Fault::Status(503));
    home.seat("openai-api/default").api.fault(When::Any, Fault::Expired);
    let output = home.say("auth-test --all-configured --json").run();
    let all = results(output.code(3));
    let found: Vec<_> = all.iter().map(outcomes).collect();
    assert_eq!(
        found,
        [["ok"; 4], ["ok", "ok", "failed", "skipped"], ["ok", "failed", "skipped", "skipped"],]
    );
    let output = home.say("auth-test --all-configured").run();
    output.code(3).check(output.stdout.matches("\n  try: keyfob ").count() == 2, "a try for each");
    home.is_content();
}

#[test]
fn without_a_model_it_says_how_to_name_one() {
    let home = Home::of(&["groq/default"]);
    home.configure("providers/groq/model", json!(null));
    home.api().has_models(&[]);
    let output = home.say("auth-test groq --json").run();
    let result = &results(output.code(2))[0];
    assert_eq!(outcomes(result), ["ok", "ok", "failed", "skipped"], "{result:#}");
    assert_eq!(result["steps"][2]["try"], "keyfob config set providers.groq.model MODEL");
    home.is_content();
}
