//! What flags and arguments are refused, and what travels to the issuer.

use super::demo::{Demo, LIMIT, param};

#[test]
fn without_a_provider_and_a_terminal_it_is_a_usage_error() {
    let demo = Demo::new();
    for arguments in [&[][..], &["--no-browser"], &["--print-auth-url"], &["--no-input"]] {
        let output = demo.login(arguments).run();
        output.code(2).stdout_is("").stderr_has("try: keyfob login PROVIDER");
    }
}

#[test]
fn an_unknown_provider_is_a_usage_error_that_shows_the_list() {
    let demo = Demo::new();
    let output = demo.login(&["nobody", "--json"]).run();
    output.code(2).stdout_is("").stderr_has("nobody").stderr_has("keyfob provider list");
    assert_eq!(output.error_json()["exit"], 2);
}

#[test]
fn names_that_are_no_names_are_usage_errors() {
    let demo = Demo::new();
    for name in ["../demo", "demo/", "/demo", "Demo", "demo/a\u{1b}b", "", "demo/ x"] {
        demo.login(&[name, "--print-auth-url"]).run().code(2).stdout_is("");
    }
    assert_eq!(demo.pending_files().len(), 0);
}

#[test]
fn flags_that_contradict_each_other_are_usage_errors() {
    let demo = Demo::new();
    let pairs: [&[&str]; 6] = [
        &["demo", "--print-auth-url", "--callback-url", "x"],
        &["demo", "--print-auth-url", "--auth-code", "x"],
        &["demo", "--auth-code", "x", "--callback-url", "x"],
        &["demo", "--scope", "a", "--access-tier", "full"],
        &["demo", "--wait", "soon"],
        &["demo", "--callback-port", "65536"],
    ];
    for arguments in pairs {
        demo.login(arguments).run().code(2).stdout_is("");
    }
    assert_eq!(demo.pending_files().len(), 0);
}

#[test]
fn no_input_reads_nothing_from_stdin_and_still_waits() {
    let demo = Demo::new();
    let mut waiting = demo.wait(&["--no-input"]);
    let callback = waiting.approve();
    waiting.paste("state=x&code=y");
    waiting.paste(&callback.location);
    assert_eq!(callback.follow().status, 200, "the paste was not what ended it");
    waiting.process.wait(LIMIT).ok().stderr_lacks("not taken");
    demo.idp.assert_content();
}

#[test]
fn hint_prompt_and_scope_reach_the_issuer() {
    let demo = Demo::new();
    let arguments =
        ["--login-hint", "me+x@example.com", "--prompt", "select_account", "--scope", "openid a:b"];
    let object = demo.wait(&[&arguments[..], &["--json"]].concat()).sign_in().ok().json();
    let request = &demo.idp.requests_to("authorize")[0];
    let asked = |name: &str| request.query_param(name).unwrap_or_default();
    assert_eq!(asked("login_hint"), "me+x@example.com");
    assert_eq!(asked("prompt"), "select_account");
    assert_eq!(asked("scope"), "openid a:b");
    assert_eq!(object["scopes"], serde_json::json!(["openid", "a:b"]));
    demo.idp.assert_content();
}

#[test]
fn a_prompt_asked_for_replaces_the_rows_own() {
    let demo = Demo::built_in("gemini");
    let arguments = ["gemini", "--print-auth-url", "--accept-terms"];
    let own = demo.login(&arguments).run().ok().line().to_string();
    assert_eq!(param(&own, "prompt").as_deref(), Some("consent"));
    let asked = demo.login(&[&arguments[..], &["--prompt", "login"]].concat()).run();
    let asked = asked.ok().line().to_string();
    assert_eq!(param(&asked, "prompt").as_deref(), Some("login"));
    assert_eq!(asked.matches("prompt=").count(), 1);
}

#[test]
fn every_login_draws_a_new_state_and_verifier() {
    let demo = Demo::new();
    let (first, second) = (demo.print_url(&[]), demo.print_url(&[]));
    for name in ["state", "code_challenge"] {
        assert_ne!(param(&first, name), param(&second, name), "{name}");
        assert_eq!(param(&first, name).unwrap().len(), 43, "{name} is 256 bits in base64url");
    }
}
