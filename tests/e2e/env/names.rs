//! Names: those no shell exports, those that are none, and values that no environment holds.

use serde_json::{Map, Value, json};

use super::with;
use crate::support::tool;

fn exporting(names: &[&str]) -> crate::support::sandbox::Sandbox {
    let exports = names.iter().map(|name| ((*name).to_owned(), json!("=token")));
    with(exports.collect(), Map::new())
}

#[test]
fn a_name_that_begins_with_a_digit_goes_to_exec_alone() {
    let sandbox = exporting(&["2FA_KEY", "GOOD"]);
    for shell in ["sh", "fish"] {
        let output = sandbox.cmd(&["env", "odd", "--shell", shell]).run();
        output.ok().stderr_has("2FA_KEY begins with a digit").stderr_has("keyfob exec");
        output.check(!output.stdout.contains("2FA_KEY"), "not in the text");
        output.check(output.stdout.lines().count() == 1, "the other one is there");
    }
    for (shell, line) in [
        ("powershell", "${env:2FA_KEY} = 'sk-plain-0123456789'"),
        ("dotenv", "2FA_KEY=sk-plain-0123456789"),
        ("json", "\"2FA_KEY\":\"sk-plain-0123456789\""),
    ] {
        let output = sandbox.cmd(&["env", "odd", "--shell", shell]).run();
        output.ok().check(output.stdout.contains(line), line);
        output.stderr_lacks("warning");
    }
    let child = sandbox.cmd(&["exec", "odd", "--", "env"]).run();
    child.ok().check(child.stdout.contains("2FA_KEY=sk-plain-0123456789\n"), "exec has it");
}

/// A name is never quoted, so it would be evaluated.
#[test]
fn what_is_no_name_is_left_out() {
    let evil =
        ["X;touch mark;Y", "A B", "$(touch mark)", "`touch mark`", "é", "X\nY", "}; touch mark; {"];
    let sandbox = exporting(&[&evil[..], &["GOOD"]].concat());
    for shell in ["sh", "fish", "powershell", "dotenv"] {
        let output = sandbox.cmd(&["env", "odd", "--shell", shell]).run();
        output.ok().stderr_has("it is left out");
        output.check(output.stdout.lines().count() == 1, "one line");
        output.check(output.stdout.contains("GOOD"), "the good one");
        let plain = |c: char| c == '\n' || !c.is_control();
        output.check(output.stderr.chars().all(plain), "no control characters");
    }
    tool::run(&sandbox, &["sh", "-c", "eval \"$(keyfob env odd)\""], "").ok();
    assert!(!sandbox.work().join("mark").exists());
}

#[test]
fn what_no_environment_holds_is_left_out() {
    let mut exports = Map::from_iter([
        ("NUL".to_owned(), json!("=nul")),
        ("GOOD".to_owned(), json!("=token")),
        (String::new(), json!("x")),
        ("A=B".to_owned(), json!("x")),
    ]);
    exports.insert("N\0L".to_owned(), json!("x"));
    let facts: Map<String, Value> = json!({"nul": "a\u{0}b"}).as_object().unwrap().clone();
    let sandbox = with(exports, facts);
    let output = sandbox.cmd(&["env", "odd"]).run();
    output.ok().stdout_is("export GOOD='sk-plain-0123456789'\n");
    let child = sandbox.cmd(&["exec", "odd", "--", "sh", "-c", "echo \"$GOOD\""]).run();
    child.ok().stdout_is("sk-plain-0123456789\n");
}

/// A row without `exports`: a name of the provider's id.
#[test]
fn a_row_that_names_no_variable_has_one_by_its_id() {
    let sandbox = with(Map::new(), Map::new());
    sandbox
        .cmd(&["env", "odd"])
        .run()
        .ok()
        .stdout_is("export ODD_ACCESS_TOKEN='sk-plain-0123456789'\n");
    let row = json!({"ways": ["api_key"]});
    sandbox.write_config(&json!({"providers": {"my-idp.v2": row}}));
    sandbox.write_account(
        "my-idp.v2",
        "default",
        &super::key("my-idp.v2", "sk-1234567890", &json!({})),
    );
    let output = sandbox.cmd(&["env", "my-idp.v2"]).run();
    output.ok().stdout_is("export MY_IDP_V2_ACCESS_TOKEN='sk-1234567890'\n");
}
