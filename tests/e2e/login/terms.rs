//! Providers whose terms restrict the sign-in (CLI.md section 9).

use super::demo::{Demo, LIMIT, Waiting, param};
use crate::support::browser;

#[test]
fn off_a_terminal_the_terms_need_their_flag_and_nothing_is_begun_without() {
    let demo = Demo::built_in("claude");
    let ways: [&[&str]; 3] = [
        &["claude", "--print-auth-url"],
        &["claude", "--no-browser"],
        &["anthropic", "--no-input", "--json"],
    ];
    for arguments in ways {
        let output = demo.login(arguments).run();
        output.code(2).stdout_is("").stderr_has("--accept-terms").stderr_has("terms");
        output.stderr_has("API key");
    }
    assert_eq!(demo.pending_files().len(), 0);
    assert!(demo.idp.requests().is_empty());
}

#[test]
fn accepted_terms_are_remembered_and_shown_only_once() {
    let demo = Demo::built_in("claude");
    let config = demo.sandbox.read_config();
    let first = demo.login(&["claude", "--accept-terms"]).env("BROWSER", "/bin/true");
    let first = Waiting::start(first).sign_in();
    first.ok().stdout_is("").stderr_has("Anthropic's terms").stderr_has("me@example.com");
    let remembered = demo.sandbox.read_config();
    assert_eq!(remembered["providers"], config["providers"], "the rest of the file stays");
    assert!(remembered.to_string().contains("terms"), "{remembered}");
    let again = Waiting::start(demo.login(&["claude"]).env("BROWSER", "/bin/true")).sign_in();
    again.ok().stdout_is("").stderr_lacks("Anthropic's terms");
    demo.idp.assert_content();
}

#[test]
fn the_terms_of_one_provider_say_nothing_about_another() {
    let demo = Demo::built_in("claude");
    demo.login(&["claude", "--print-auth-url", "--accept-terms"]).run().ok();
    demo.login(&["gemini", "--print-auth-url"]).run().code(2).stderr_has("--accept-terms");
}

#[test]
fn at_a_terminal_a_yes_goes_on_and_anything_else_ends_it() {
    let demo = Demo::built_in("claude");
    let ask = || {
        let process = demo.login(&["claude"]).env("BROWSER", "/bin/true").pty().spawn();
        process.stdout_line_containing("permitted instead", LIMIT);
        process
    };
    for answer in ["n\n", "\n", "yeah\n"] {
        let mut process = ask();
        process.write_stdin(answer);
        process.wait(LIMIT).code(1);
        assert_eq!(demo.pending_files().len(), 0, "{answer:?}");
    }
    let mut process = ask();
    process.write_stdin("y\n");
    let url = process.stdout_line_containing(&demo.idp.url("/oauth/authorize?"), LIMIT);
    assert!(param(&url, "redirect_uri").is_some_and(|uri| uri.starts_with("http://localhost:")));
    assert_eq!(browser::follow(&url).status, 200);
    process.wait(LIMIT).ok();
    demo.idp.assert_content();
}
