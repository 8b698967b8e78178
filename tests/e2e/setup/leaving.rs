//! Nobody there, and somebody who leaves.

use super::*;

const COMMANDS: [&str; 3] = [
    "`keyfob login PROVIDER`",
    "`keyfob login PROVIDER --api-key-stdin`",
    "`keyfob config set default.provider PROVIDER`",
];

#[test]
fn off_a_terminal_the_commands_that_do_the_same_are_named() {
    let sandbox = Sandbox::new();
    let output = sandbox.cmd(&["setup"]).stdin("groq\n").run();
    output.code(2).stdout_is("");
    for command in COMMANDS {
        output.stderr_has(command);
    }
    let output = sandbox.cmd(&["setup", "groq"]).run();
    output.code(2).stderr_has("`keyfob login groq --api-key-stdin`");
    output.stderr_has("  try: keyfob login groq\n");
    let script = sandbox.cmd(&["setup", "--json"]).run();
    assert_eq!(script.code(2).error_json()["exit"], 2);
    let output = setup(&sandbox, &["--no-input"]).run();
    output.code(2).check(!output.stdout.contains(WHICH), "no question");
    for command in COMMANDS {
        output.check(output.stdout.contains(command), command);
    }
    assert!(!sandbox.home().exists());
}

#[test]
fn an_unknown_provider_is_a_usage_error_before_any_question() {
    let sandbox = Sandbox::new();
    let output = setup(&sandbox, &["groq", "nosuch"]).run();
    output.code(2).check(!output.stdout.contains("running"), "nothing is begun");
    assert!(!sandbox.home().exists());
}

/// Ends the wizard at the question with these keys: nothing half-written stays.
#[track_caller]
fn leaves(question: &str, before: &[(&str, &str)], keys: &str, code: i32) -> Output {
    let demo = demo();
    let mut wizard = Wizard::start(setup(&demo.sandbox, &[]).env("GROQ_API_KEY", KEY));
    for (question, answer) in before {
        wizard.answers(question, answer);
    }
    wizard.hears(question);
    let settled = contents(&demo.sandbox);
    wizard.process.write_stdin(keys);
    let output = wizard.ends(code);
    let mut after = contents(&demo.sandbox);
    after.retain(|(file, _)| !file.ends_with(".lock"));
    let mut settled = settled;
    settled.retain(|(file, _)| !file.ends_with(".lock"));
    assert_eq!(after, settled, "{question}");
    is_private(&demo.sandbox);
    output
}

#[test]
fn ctrl_c_at_any_question_is_130() {
    leaves(WHICH, &[], "\u{3}", 130);
    leaves(WHICH, &[], "groq\u{3}", 130);
    leaves("store its key? [y/N] ", &[(WHICH, "groq")], "\u{3}", 130);
    leaves(WAY, &[(WHICH, "demo")], "\u{3}", 130);
    leaves(HIDDEN, &[(WHICH, "deepseek")], "\u{3}", 130);
    leaves(HIDDEN, &[(WHICH, "deepseek")], &format!("{KEY}\u{3}"), 130);
    leaves(HIDDEN, &[(WHICH, "kimi"), (WAY, "api_key")], "\u{3}", 130);
    let stored = [(WHICH, "deepseek groq"), (HIDDEN, KEY), ("store its key? [y/N] ", "")];
    leaves(DEFAULT, &stored, "\u{3}", 130);
}

/// The login is a child at the same terminal; with it the wizard ends too.
#[test]
fn ctrl_c_during_a_sign_in_is_130() {
    let demo = demo();
    let mut wizard = Wizard::start(setup(&demo.sandbox, &["demo", "groq"]));
    wizard.answers(WAY, "browser");
    address(&demo, &mut wizard);
    wizard.hears("paste here: ");
    wizard.process.write_stdin("\u{3}");
    let output = wizard.ends(130);
    output.check(!output.stdout.contains("running: keyfob login groq"), "nothing more is begun");
    assert!(demo.account_files().is_empty());
}

#[test]
fn the_end_of_input_stops_the_asking() {
    let at = |question: &str, before: &[(&str, &str)]| {
        let output = leaves(question, before, "\u{4}", 2);
        output.check(output.stdout.contains("the input ended"), "it says so");
    };
    at(WHICH, &[]);
    at("store its key? [y/N] ", &[(WHICH, "groq")]);
    at(WAY, &[(WHICH, "demo")]);
    at(DEFAULT, &[(WHICH, "deepseek groq"), (HIDDEN, KEY), ("store its key? [y/N] ", "")]);
}
