//! How `run` is called.

use super::*;
use crate::support::idp::encoding::{jwt, now_s};
use crate::support::model_api::{Fault, What, When};

#[test]
fn a_dash_reads_the_prompt_from_stdin() {
    let home = Home::of(&["groq/default"]);
    let text = "Review this:\n\n  +1 ä\n";
    for words in [&["run", "groq", "-"][..], &["run", "groq", "--task", "-"]] {
        home.api().forget();
        home.cmd(words).stdin(text).run().ok().stdout_is("Hello, wörld ☀!\n");
        assert_eq!(home.api().said().prompt, text, "as it was typed");
    }
    home.api().forget();
    home.say("run groq -").stdin(" \n").run().code(2).stderr_has("stdin holds no prompt");
    let both = ["run", "codemie", "-", "--jwt-token", "-"];
    home.cmd(&both).stdin("x").run().code(2).stdout_is("").stderr_has("  try: keyfob run codemie");
    assert_eq!(home.api().connections(), 2);
    home.is_content();
}

#[test]
fn a_task_is_a_prompt_by_another_name() {
    let home = Home::of(&["groq/default"]);
    home.cmd(&["run", "groq", "--task", "Say hello"]).run().ok().stdout_is("Hello, wörld ☀!\n");
    assert_eq!(home.api().said().prompt, "Say hello");
    let both = home.cmd(&["run", "groq", "one", "--task", "two"]).run();
    both.code(2).stdout_is("").stderr_has("\n  try: keyfob run --help\n");
    let neither = home.cmd(&["run", "groq"]).run();
    neither.code(2).stdout_is("").stderr_has("\n  try: keyfob run groq \"Say hello\"\n");
    assert_eq!(home.api().connections(), 1);
    home.is_content();
}

#[test]
fn silence_is_kept_whatever_happens() {
    let home = Home::of(&["groq/default"]);
    let quiet = |words: &str, code: i32| {
        let output = home.say(words).env("KEYFOB_LOG", "trace").run();
        output.code(code).check(output.stderr.is_empty(), "nothing on stderr");
    };
    quiet("run groq hello --silent", 0);
    for (fault, code) in [
        (Fault::Expired, 4),
        (Fault::Refused, 1),
        (Fault::WrongModel, 1),
        (Fault::Status(503), 3),
        (Fault::Cut, 3),
        (Fault::Html(403), 1),
    ] {
        home.api().clear_faults();
        home.api().fault(When::Asked, fault);
        quiet("run groq hello --silent", code);
        quiet("run groq hello --silent --json", code);
    }
    quiet("run groq --silent", 2);
    quiet("run claude hello --silent", 4);
    quiet("run no-such-provider hello --silent", 2);
    home.is_content();
}

#[test]
fn a_token_on_the_spot_goes_where_the_flag_says() {
    let home = Home::of(&["codemie/jwt"]);
    let Seat { api, secret, .. } = &home.seats[0];
    let bare = Home::empty();
    for words in ["hello", "--task hello --silent"] {
        api.forget();
        let line = format!("run codemie --jwt-token - --base-url {} {words}", api.origin());
        let output = bare.say(&line).stdin(format!("{secret}\n")).run();
        output.ok().stdout_is("Hello, wörld ☀!\n").check(output.stderr.is_empty(), "quiet");
        assert_eq!(api.said().prompt, "hello");
    }
    let line = format!("run codemie hello --json --jwt-token {secret} --base-url {}", api.origin());
    let answer = bare.say(&line).run().ok().json();
    assert_eq!(answer["account"], serde_json::Value::Null, "no account of the store");
    assert!(!bare.sandbox.home().join("accounts").exists(), "nothing is kept");

    let other = jwt(&serde_json::json!({"exp": now_s() + 3000, "sub": "other"}));
    let line = format!("run codemie hello --jwt-token - --base-url {}", api.origin());
    let output = bare.say(&line).stdin(other).run();
    output.code(4).stdout_is("").stderr_has("\n  try: keyfob run codemie --jwt-token -\n");
    home.is_content();
}

#[test]
fn an_unknown_provider_and_an_unknown_account_are_told_apart() {
    let home = Home::of(&["groq/default"]);
    home.say("run nosuch hello").run().check(true, "").stderr_has("nosuch");
    home.say("run groq/other hello").run().code(4).stdout_is("").stderr_has("  try: keyfob login");
    home.say("run google hello").run().code(4).stdout_is("");
    home.say("run groq/default hello").run().ok();
    assert_eq!(home.api().seen(What::Prompt).len(), 1);
    home.is_content();
}
