//! Every way to fail: the exit code, an empty stdout, one line of JSON where it was asked for.

use serde_json::{Value, json};

use super::run_raw;
use crate::provider::Desk;
use crate::support::command::{Cmd, Output};
use crate::support::idp::{Fault, Times};
use crate::support::sandbox::{Sandbox, set_mode, write_private};

const ME: &str = "me@example.com";

/// Checks one failure as a person sees it and as a script does. `shows` is for the commands whose
/// own shape tells of failures too (CLI.md section 10).
#[track_caller]
fn fails(cmd: impl Fn() -> Cmd, code: i32, name: &str, shows: bool) {
    let person = cmd().run();
    person.code(code).stderr_has("keyfob: ").stderr_lacks("\"version\"");
    person.stderr_lacks("panicked").stderr_lacks("backtrace").stderr_lacks("\u{1b}");
    let script = cmd().arg("--json").run();
    script.code(code);
    if !shows {
        person.stdout_is("");
        script.stdout_is("");
    }
    let last = script.stderr.lines().last().unwrap_or_default();
    script.check(last.starts_with("{\"version\":1,\"error\":{"), "the version first");
    let error = script.error_json();
    let keys: Vec<_> = error.as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["code", "exit", "message", "try"]);
    assert_eq!((&error["exit"], &error["code"]), (&json!(code), &json!(name)), "{error}");
    let message = error["message"].as_str().expect("a message");
    assert!(!message.is_empty() && !message.starts_with("keyfob"), "{message}");
    // People read the same, with the command to run on a line of its own.
    script.stderr_has(&format!("keyfob: {message}\n"));
    match &error["try"] {
        Value::Null => script.stderr_lacks("  try: "),
        next => script.stderr_has(&format!("\n  try: {}\n", next.as_str().expect("a command"))),
    };
}

#[test]
fn usage_errors() {
    let desk = Desk::ready();
    for words in [
        "",
        "exec",
        "exec mine",
        "nosuch",
        "login",
        "login --no-input",
        "login nobody",
        "login Bad/Name",
        "login claude",
        "login google",
        "login mine --print-auth-url --callback-url x",
        "login --callback-url nonsense",
        "login --auth-code x",
        "logout",
        "logout nobody",
        "pending",
        "pending cancel",
        "pending nosuch",
        "provider",
        "provider add",
        "provider add claude --issuer https://x.example",
        "provider add BAD --issuer https://x.example",
        "provider remove nobody",
        "provider show nobody",
        "refresh",
        "refresh nobody",
        "status nobody",
        "token",
        "token nobody",
        "token mine extra",
        "use",
        "use mine",
        "doctor extra",
        "version extra",
    ] {
        println!("{words}");
        let output = desk.cmd(words).run();
        output.code(2).stdout_is("").stderr_has("keyfob: ").stderr_lacks("panicked");
        // Where `--json` is no flag, that is what is wrong; it is still answered in JSON.
        let script = desk.cmd(words).arg("--json").run();
        script.code(2).stdout_is("");
        assert_eq!(script.error_json()["exit"], 2, "{words}");
    }
}

#[test]
fn an_unknown_flag_or_a_bad_value_is_exit_2_everywhere() {
    let desk = Desk::ready();
    for command in [
        "doctor",
        "exec mine --json",
        "login mine",
        "logout mine",
        "pending list",
        "pending cancel x",
        "provider add x",
        "provider list",
        "provider remove x",
        "provider show mine",
        "refresh mine",
        "status",
        "token mine",
        "use mine/x",
        "version",
    ] {
        for flag in ["--nosuch", "--nosuch=1", "-x", "--", "--json=yes"] {
            if flag == "--" && command.starts_with("exec") {
                continue;
            }
            if flag == "--" {
                desk.cmd(&format!("{command} -- a b c")).run().code(2).stdout_is("");
                continue;
            }
            let output = desk.cmd(&format!("{command} {flag}")).run();
            output.code(2).stdout_is("").stderr_lacks("panicked");
        }
    }
    for words in [
        "login mine --wait abc",
        "login mine --wait -1",
        "login mine --wait 1.5",
        "login mine --wait",
        "login mine --callback-port 65536",
        "login mine --callback-port x",
        "token mine --min-ttl x",
        "token mine --min-ttl",
        "token mine --timeout x",
        "status --timeout -5",
        "refresh mine --timeout 1s",
        "login mine --callback-url",
    ] {
        println!("{words}");
        desk.cmd(words).run().code(2).stdout_is("").stderr_lacks("panicked");
    }
    assert!(!desk.sandbox.home().join("pending").exists());
}

#[test]
fn every_try_line_of_a_usage_error_works() {
    let desk = Desk::ready();
    for words in [
        "",
        "nosuch",
        "help nosuch",
        "nosuch --flag",
        "login --nosuch",
        "provider",
        "provider nosuch",
        "provider add",
        "pending",
        "pending nosuch",
        "pending cancel",
        "token",
        "use mine",
        "refresh",
        "status nobody",
        "--nosuch",
    ] {
        let error = desk.cmd(words).run();
        error.code(2);
        let next = error.stderr.lines().find_map(|line| line.strip_prefix("  try: keyfob"));
        let next = next.unwrap_or_else(|| panic!("no next step: {}", error.report()));
        println!("{words} → {next}");
        let status = desk.cmd(next).run().status;
        assert!(matches!(status, Some(0 | 4)), "{words} → keyfob{next}: {status:?}");
    }
}

/// The slip of a person with an address on the clipboard: the code stays out of the message.
#[test]
fn a_pasted_address_is_not_repeated() {
    let desk = Desk::ready();
    let address = "http://localhost:1455/auth/callback?code=marker-code&state=marker-state";
    for words in ["login", "token", "logout", "refresh", "status", "use", "nosuch", "login mine"] {
        for text in [address, "marker-code#marker-state"] {
            let output = desk.cmd(words).arg(text).run();
            output.code(2).stdout_is("").stderr_lacks("marker");
        }
    }
    desk.cmd("login --callback-url nonsense-marker").run().code(2).stderr_lacks("marker");
    desk.cmd("login mine --auth-code").arg("marker <>").run().stderr_lacks("marker");
    desk.cmd("login --login-id marker --callback-url").arg(address).run().stderr_lacks("code");
}

#[test]
fn every_class_of_failure_tells_itself_in_json() {
    let desk = Desk::ready();
    let url = desk.begin();
    let callback = crate::support::browser::approve(&url).location;
    let finish = || desk.cmd("login --callback-url -").stdin(callback.clone());
    let at = |words: &'static str| {
        let desk = &desk;
        move || desk.cmd(words)
    };

    // 4: sign-in needed.
    for words in ["token mine", "token mine/me", "logout mine", "refresh mine", "token claude"] {
        fails(at(words), 4, "sign_in_needed", false);
    }
    fails(at("status"), 4, "sign_in_needed", true);
    // 2: a question would be needed.
    fails(at("login"), 2, "prompt_needed", false);
    fails(at("login claude"), 2, "prompt_needed", false);
    fails(at("use mine --nosuch"), 2, "usage", false);
    // 3: temporary.
    desk.idp.fault("token_exchange", Fault::Status(503), Times::Count(2));
    fails(finish, 3, "temporary", false);
    desk.sit_down(ME, -10);
    desk.idp.fault("token_refresh", Fault::Drop, Times::Always);
    fails(at("token mine"), 3, "temporary", false);
    fails(at("refresh mine"), 3, "temporary", true);
    fails(at("provider add x --issuer http://127.0.0.1:1 --client-id y"), 3, "temporary", false);
    desk.idp.clear_faults();
    // 1: an answer without sense.
    desk.idp.fault("token_refresh", Fault::Html(200), Times::Always);
    fails(at("token mine"), 1, "unreadable", false);
    desk.idp.clear_faults();
    fails(at("provider add x --issuer http://example.com --client-id y"), 1, "failed", false);
    // 1: refused; the login is spent, so the second time it is 6.
    desk.idp.fault("token_exchange", Fault::oauth_error("invalid_grant", 400), Times::Always);
    let refused = desk.cmd("login --json --callback-url -").stdin(callback.clone()).run();
    assert_eq!(refused.code(1).error_json()["code"], "refused");
    fails(finish, 6, "pending", false);
    fails(at("login mine --no-browser --wait 0"), 6, "pending", false);
    // 5: the store.
    let file = desk.sandbox.account_file("mine", ME);
    set_mode(&file, 0o644);
    fails(at("token mine"), 5, "store", false);
    fails(at("refresh mine"), 5, "store", true);
    set_mode(&file, 0o600);
    write_private(&file, "{");
    fails(at("token mine"), 5, "store", false);
    write_private(&desk.sandbox.home().join("config.json"), "{");
    for words in ["provider list", "provider show mine", "login mine"] {
        fails(at(words), 5, "store", false);
    }
}

/// What stands behind `--` is the child's.
#[test]
fn a_childs_flag_is_not_ours() {
    let desk = Desk::ready();
    for flag in ["--json", "--help", "--version", "--timeout=x"] {
        let output = desk.cmd(&format!("exec nobody -- true {flag}")).run();
        output.code(2).stdout_is("").stderr_has("nobody").stderr_lacks("\"version\"");
        let output = desk.cmd(&format!("exec --json nobody -- true {flag}")).run();
        assert_eq!(output.code(2).error_json()["exit"], 2);
    }
}

#[test]
fn an_argument_that_is_no_text_is_exit_2() {
    let sandbox = Sandbox::new();
    for arguments in [
        &[b"\xff".as_slice()][..],
        &[b"token", b"\xff\xfe"],
        &[b"login", b"--callback-url", b"http://x/?code=\xff"],
    ] {
        let output = run_raw(&sandbox, arguments);
        output.code(2).stdout_is("").stderr_has("UTF-8").stderr_lacks("panicked");
    }
    for arguments in
        [&[b"token".as_slice(), b"\xff", b"--json"][..], &[b"status", b"--json", b"\xff"]]
    {
        let output: Output = run_raw(&sandbox, arguments);
        assert_eq!(output.code(2).error_json()["exit"], 2);
    }
}
