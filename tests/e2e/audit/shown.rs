//! `audit`: what it shows, since when, and what it says of lines it cannot read.

use serde_json::json;

use super::{trail, with_key};
use crate::support::sandbox::{Sandbox, in_seconds, make_private_dir, write_private};

fn line(event: &str, ago_s: i64) -> String {
    let line = json!({"at": in_seconds(-ago_s), "event": event, "provider": "p",
        "account": "me@example.com", "by": "cron", "pid": 42});
    format!("{line}\n")
}

fn with(text: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    make_private_dir(&sandbox.home());
    write_private(&trail(&sandbox), text);
    sandbox
}

#[test]
fn a_line_an_event_oldest_first() {
    let text = [line("login", 7200), line("hand_out", 60), line("logout", 5)].concat();
    let sandbox = with(&text);
    let output = sandbox.cmd(&["audit"]).run();
    let lines: Vec<_> = output.ok().stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{}", output.report());
    let first = format!("{}  login     p/me@example.com  by cron (42)", in_seconds(-7200));
    assert_eq!(lines[0][20..], first[20..]);
    assert!(lines[1].contains("  hand_out  p/me") && lines[2].contains("  logout    p/me"));
    output.check(output.stderr.is_empty(), "nothing on stderr");
    let shown = sandbox.cmd(&["audit", "--json"]).run();
    assert!(shown.ok().stdout.starts_with("{\"version\":1,\"events\":["), "{}", shown.stdout);
    let events = &shown.json()["events"];
    assert_eq!(events.as_array().map(Vec::len), Some(3));
    assert_eq!((&events[0]["event"], &events[0]["by"]), (&json!("login"), &json!("cron")));
}

#[test]
fn since_leaves_out_what_is_older() {
    let text = [line("login", 90_000), line("refresh", 7200), line("hand_out", 100)].concat();
    let sandbox = with(&text);
    let count = |since: &str| {
        let output = sandbox.cmd(&["audit", "--json", "--since", since]).run();
        output.ok().json()["events"].as_array().map(Vec::len)
    };
    let cases = [("30s", 0), ("5m", 1), ("3h", 2), ("1d", 2), ("2d", 3), ("1w", 3)];
    for (since, wanted) in cases {
        assert_eq!(count(since), Some(wanted), "{since}");
    }
    assert_eq!(count(&in_seconds(-8000)), Some(2));
    assert_eq!(count("2020-01-01T00:00:00+02:00"), Some(3));
    for wrong in ["yesterday", "5", "-5m", "2026-11-22", "h", "99999999999999999999d"] {
        let output = sandbox.cmd(&["audit", "--since", wrong]).run();
        output.code(2).stdout_is("").stderr_has("try: keyfob audit --since 2h");
    }
}

#[test]
fn lines_that_cannot_be_read_are_counted() {
    let torn = &line("refresh", 50)[..40];
    let text = format!(
        "{}not json\n{{\"event\":7}}\n{torn}\n\n{}[]\n{torn}",
        line("login", 100),
        line("logout", 10),
    );
    let sandbox = with(&text);
    let output = sandbox.cmd(&["audit", "--json"]).run();
    assert_eq!(output.ok().json()["events"].as_array().map(Vec::len), Some(2));
    output.stderr_has("5 lines of the trail cannot be read");
    let one = with(&format!("{torn}\n"));
    let output = one.cmd(&["audit"]).run();
    output.ok().stdout_is("").stderr_has("1 line of the trail cannot be read");
    // Bytes that are no text.
    let binary = with("");
    std::fs::write(trail(&binary), b"\xff\xfe\n\x00\n").unwrap();
    binary.cmd(&["audit"]).run().ok().stderr_has("2 lines");
}

/// A damaged end does not swallow the next event for good: it costs one line at most.
#[test]
fn events_go_on_after_damage() {
    let sandbox = with_key();
    write_private(&trail(&sandbox), &line("login", 100)[..30]);
    sandbox.cmd(&["token", "groq"]).run().ok();
    sandbox.cmd(&["token", "groq"]).run().ok();
    let output = sandbox.cmd(&["audit", "--json"]).run();
    assert_eq!(output.ok().json()["events"].as_array().map(Vec::len), Some(1));
    output.stderr_has("1 line of the trail");
}

#[test]
fn nothing_yet_is_no_failure() {
    let sandbox = Sandbox::new();
    let output = sandbox.cmd(&["audit"]).run();
    output.ok().stdout_is("").stderr_has("nothing happened");
    sandbox.cmd(&["audit", "--json"]).run().ok().stdout_is("{\"version\":1,\"events\":[]}\n");
    assert!(!sandbox.home().exists(), "looking writes nothing");
}

/// Whoever wrote the file by hand: the terminal is safe.
#[test]
fn text_of_the_file_is_made_harmless() {
    let evil = json!({"at": in_seconds(-5), "event": "\u{1b}[31mlogin", "provider": "p\nq",
        "account": "\u{202e}a", "by": "\u{1b}]0;x\u{7}", "pid": 1});
    let sandbox = with(&format!("{evil}\n"));
    let output = sandbox.cmd(&["audit"]).run();
    let plain = |c: char| c == '\n' || (!c.is_control() && c != '\u{202e}');
    output.ok().check(output.stdout.chars().all(plain), "plain text");
    output.check(output.stdout.lines().count() == 1, "one line");
}
