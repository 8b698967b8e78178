//! At a terminal of 40 columns.

use base64::Engine;

use super::demo::{Demo, LIMIT, eventually, param};
use crate::support::browser;
use crate::support::command::Cmd;
use crate::support::running::Running;

/// Starts the command at a terminal and waits for its sign-in URL.
fn at_terminal(demo: &Demo, command: Cmd) -> (Running, String) {
    let process = command.pty().spawn();
    let url = process.stdout_line_containing(&demo.idp.url("/authorize?"), LIMIT);
    (process, url)
}

#[test]
fn the_url_is_unbroken_on_a_narrow_terminal() {
    let demo = Demo::new();
    let (process, url) = at_terminal(&demo, demo.login(&["demo", "--no-browser"]));
    assert!(url.len() > 200 && url.starts_with("http://"), "alone on its line: {url}");
    assert!(param(&url, "code_challenge_method").is_some_and(|method| method == "S256"));
    assert_eq!(browser::follow(&url).status, 200);
    let output = process.wait(LIMIT);
    output.ok().check(output.stdout.contains(&format!("\n{url}\r\n")), "the URL in one piece");
    demo.idp.assert_content();
}

#[test]
fn the_wait_counts_down_and_takes_what_is_typed() {
    let demo = Demo::new();
    let (mut process, url) = at_terminal(&demo, demo.login(&["demo", "--no-browser"]));
    eventually("the countdown", || process.stdout().contains("waiting 9:"));
    process.write_stdin(format!("{}\n", browser::approve(&url).location));
    let output = process.wait(LIMIT);
    output.ok().check(output.stdout.contains("me@example.com"), "who signed in");
    demo.idp.assert_content();
}

#[test]
fn nothing_is_coloured_where_colour_is_not_wanted() {
    let demo = Demo::new();
    for (name, value) in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let command = demo.login(&["demo", "--no-browser", "--qr", "--copy"]).env(name, value);
        let (process, url) = at_terminal(&demo, command);
        browser::follow(&url);
        let output = process.wait(LIMIT);
        output.ok().check(!output.stdout.contains('\u{1b}'), &format!("no escape ({name})"));
    }
}

#[test]
fn the_url_is_put_on_the_clipboard_of_the_terminal() {
    let demo = Demo::new();
    let (process, url) = at_terminal(&demo, demo.login(&["demo", "--no-browser", "--copy"]));
    browser::follow(&url);
    let output = process.wait(LIMIT);
    let encoded = base64::engine::general_purpose::STANDARD.encode(&url);
    let sequence = format!("\u{1b}]52;c;{encoded}\u{7}");
    output.ok().check(output.stdout.contains(&sequence), "OSC 52 with the URL");
}

#[test]
fn without_a_provider_there_is_a_numbered_choice() {
    let demo = Demo::new();
    let list = demo.sandbox.cmd(&["provider", "list", "--json"]).run().ok().json();
    let rows = list["providers"].as_array().unwrap();
    let number = 1 + rows.iter().position(|row| row["id"] == "demo").unwrap();
    for answer in [number.to_string(), "demo".into()] {
        let mut process = demo.login(&["--no-browser"]).pty().spawn();
        let line = process.stdout_line_containing(" demo", LIMIT);
        assert!(line.trim_start().starts_with(&number.to_string()), "{line}");
        process.write_stdin(format!("{answer}\n"));
        let url = process.stdout_line_containing(&demo.idp.url("/authorize?"), LIMIT);
        browser::follow(&url);
        process.wait(LIMIT).ok();
    }
}

#[test]
fn no_choice_is_offered_when_no_input_is_wanted() {
    let demo = Demo::new();
    demo.login(&["--no-browser", "--no-input"]).pty().run().code(2);
}

#[test]
fn ctrl_c_ends_the_wait_with_130() {
    let demo = Demo::new();
    let (mut process, url) = at_terminal(&demo, demo.login(&["demo", "--no-browser"]));
    process.write_stdin("\u{3}");
    process.wait(LIMIT).code(130);
    demo.finish(&browser::approve(&url).location).ok();
}

#[test]
fn ctrl_d_ends_the_pasting_and_not_the_wait() {
    let demo = Demo::new();
    let (mut process, url) = at_terminal(&demo, demo.login(&["demo", "--no-browser"]));
    process.write_stdin("\u{4}");
    browser::follow(&url);
    process.wait(LIMIT).ok();
}
