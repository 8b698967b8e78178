//! What a person pastes at the terminal.

use std::time::{Duration, Instant};

use super::demo::{Demo, LIMIT, Waiting, with_state};
use crate::support::browser::{self, Redirect};

type Shape = fn(&Redirect) -> String;

/// Every shape of CLI.md section 3, with what mail programs and terminals add.
pub const SHAPES: [(&str, Shape); 14] = [
    ("whole URL", |back| back.location.clone()),
    ("bare host and path", |back| without_scheme(back)),
    ("query with its sign", |back| format!("?{}", back.query())),
    ("query", |back| back.query().to_string()),
    ("query the other way round", |back| format!("state={}&code={}", back.state(), back.code())),
    ("code and state", |back| format!("{}#{}", back.code(), back.state())),
    ("spaces", |back| format!("  \t {}  ", back.location)),
    ("double quotes", |back| format!("\"{}\"", back.location)),
    ("single quotes", |back| format!("'{}'", back.query())),
    ("angle brackets", |back| format!("<{}>", back.location)),
    ("HTML", |back| back.location.replace('&', "&amp;")),
    ("broken lines", |back| broken(&back.location, "\r\n")),
    ("broken and indented lines", |back| broken(&without_scheme(back), "\n    ")),
    ("a fragment after it", |back| format!("{}#_=_", back.location)),
];

fn without_scheme(back: &Redirect) -> String {
    back.location.trim_start_matches("http://").to_string()
}

fn broken(text: &str, line_end: &str) -> String {
    let pieces: Vec<_> = text.as_bytes().chunks(40).map(String::from_utf8_lossy).collect();
    pieces.join(line_end)
}

#[test]
fn every_shape_of_a_pasted_callback_is_taken() {
    let demo = Demo::new();
    let mut all: Vec<_> = SHAPES.iter().map(|shape| (shape, demo.wait(&[]))).collect();
    for ((_, shape), waiting) in &mut all {
        let text = shape(&waiting.approve());
        waiting.paste(&text);
    }
    for ((name, _), waiting) in all {
        let output = waiting.process.wait(LIMIT);
        output.check(output.status == Some(0), name).stdout_is("");
    }
    assert_eq!(demo.idp.count("token_exchange"), SHAPES.len());
    demo.idp.assert_content();
}

#[test]
fn a_paste_without_a_line_end_is_taken_when_stdin_ends() {
    let demo = Demo::new();
    let mut waiting = demo.wait(&[]);
    let callback = waiting.approve();
    waiting.process.write_stdin(callback.query());
    waiting.process.close_stdin();
    waiting.process.wait(LIMIT).ok();
}

#[test]
fn the_end_of_stdin_ends_the_pasting_and_not_the_wait() {
    let demo = Demo::new();
    let by_port = Waiting::start(demo.login(&["demo", "--no-browser"]).stdin(""));
    let by_process = Waiting::start(demo.login(&["demo", "--no-browser"]).stdin(""));
    let by_default = Waiting::start(demo.login(&["demo"]).env("BROWSER", "/bin/true").stdin(""));
    by_port.sign_in().ok().stdout_is("");
    by_default.sign_in().ok().stdout_is("");
    demo.finish(&by_process.approve().location).ok();
    by_process.process.wait(LIMIT).ok().stdout_is("");
    demo.idp.assert_content();
}

#[test]
fn rubbish_and_another_logins_callback_are_named_and_the_right_one_still_counts() {
    let demo = Demo::new();
    let (mut waiting, other) = (demo.wait(&[]), demo.wait(&[]));
    let callback = waiting.approve();
    waiting.paste("hello?");
    waiting.process.stderr_line_containing("holds no code", LIMIT);
    waiting.paste(&other.approve().location);
    waiting.process.stderr_line_containing("another sign-in attempt", LIMIT);
    waiting.paste(&format!("code={}", callback.code()));
    waiting.process.stderr_line_containing("lacks the state", LIMIT);
    assert_eq!(demo.idp.count("token_exchange"), 0);
    waiting.paste(&callback.location);
    let output = waiting.process.wait(LIMIT);
    output.ok().stdout_is("").stderr_lacks(&callback.code()).stderr_lacks("hello?");
    demo.idp.assert_content();
}

#[test]
fn a_pasted_refusal_ends_the_login_only_with_its_state() {
    let demo = Demo::new();
    let mut waiting = demo.wait(&[]);
    let state = waiting.approve().state();
    let refusal = |state: &str| {
        format!("http://x/cb?error=access_denied&error_description=ask+your+admin&state={state}")
    };
    waiting.paste(&refusal("a-foreign-state"));
    waiting.process.stderr_line_containing("another sign-in attempt", LIMIT);
    waiting.paste(&refusal(&state));
    let output = waiting.process.wait(LIMIT);
    output.code(1).stdout_is("").stderr_has("ask your admin (access_denied)");
    assert_eq!(demo.pending_files().len(), 0);
    assert_eq!(demo.account_files().len(), 0);
}

#[test]
fn a_paste_and_a_callback_at_once_spend_the_code_once() {
    let demo = Demo::new();
    for _ in 0..3 {
        let mut waiting = demo.wait(&[]);
        let callback = waiting.approve();
        waiting.paste(&callback.location);
        // Whether the port is still open depends on who was first.
        let _ = browser::request("GET", &callback.location, &[], "");
        waiting.process.wait(LIMIT).ok();
    }
    assert_eq!(demo.idp.count("token_exchange"), 3);
    demo.idp.assert_content();
}

#[test]
fn a_state_that_is_almost_right_is_wrong() {
    let demo = Demo::new();
    let mut waiting = demo.wait(&[]);
    let callback = waiting.approve();
    let state = callback.state();
    waiting.paste(&with_state(&callback, &state[..state.len() - 1]));
    waiting.process.stderr_line_containing("another sign-in attempt", LIMIT);
    assert_eq!(demo.idp.count("token_exchange"), 0);
    waiting.paste(&callback.location);
    waiting.process.wait(LIMIT).ok();
}

#[test]
fn a_flood_on_stdin_does_not_drown_the_callback() {
    let demo = Demo::new();
    let mut waiting = demo.wait(&["--wait", "15"]);
    let callback = waiting.approve();
    let icon = format!("http://{}/favicon.ico", waiting.authority());
    std::thread::scope(|scope| {
        // `yes | keyfob login`: blocks when nobody reads on, and ends with the process.
        scope.spawn(|| waiting.process.write_stdin("y\n".repeat(8 * 1024 * 1024)));
        let flooded = Instant::now();
        while flooded.elapsed() < Duration::from_secs(1) {
            assert_eq!(browser::get(&icon).status, 404);
        }
        assert_eq!(callback.follow().status, 200);
        assert!(flooded.elapsed() < Duration::from_secs(5), "{:?}", flooded.elapsed());
    });
    waiting.process.wait(LIMIT).ok().stdout_is("");
}
