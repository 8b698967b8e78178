//! Text as it comes, and an end in the middle: by the server, the person, or the reader.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Instant;

use super::*;
use crate::support::model_api::{Fault, What, When};

/// The child starts it reads its first line and is timed; a shared machine needs some room.
const AT_ONCE: Duration = Duration::from_millis(50);

/// When each byte came to the end of a pipe that is read at once.
fn arrivals(home: &Home, name: &str) -> Vec<(Instant, String)> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_keyfob"))
        .args(["run", name, "Say hello"])
        .env_clear()
        .env("HOME", home.sandbox.user_home())
        .env("KEYFOB_HOME", home.sandbox.home())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the product starts");
    let mut stdout = child.stdout.take().expect("stdout is piped");
    let mut arrived = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(count @ 1..) = stdout.read(&mut piece) {
        let text = String::from_utf8_lossy(&piece[..count]).into_owned();
        arrived.push((Instant::now(), text));
    }
    assert!(child.wait().expect("it ends").success());
    arrived
}

/// One of each way of speaking. A machine that is busy for a moment proves nothing, so the best of
/// three counts.
#[test]
fn each_piece_is_shown_within_50_ms_of_being_sent() {
    let names = [
        "anthropic-api/default",
        "gemini/me@example.com",
        "gemini-api/default",
        "groq/default",
        "openai/me@example.com",
    ];
    let home = Home::of(&names);
    for Seat { name, api, .. } in &home.seats {
        api.says(&["one ", "two ", "three ", "four"]);
        api.fault(When::Asked, Fault::Slow(100));
        let mut slowest = Vec::new();
        for _ in 0..3 {
            api.forget();
            let arrived = arrivals(&home, name);
            let texts: Vec<_> = arrived.iter().map(|(_, text)| text.as_str()).collect();
            assert_eq!(texts, ["one ", "two ", "three ", "four", "\n"], "{name}: one by one");
            let sent = api.sent();
            assert!(sent.windows(2).all(|two| two[1] - two[0] >= Duration::from_millis(90)));
            let late = arrived.iter().zip(&sent).map(|((at, _), sent)| *at - *sent);
            slowest.push(late.max().expect("pieces"));
            if slowest.last().is_some_and(|late| *late < AT_ONCE) {
                break;
            }
        }
        assert!(slowest.iter().any(|late| *late < AT_ONCE), "{name}: {slowest:?}");
    }
    home.is_content();
}

#[test]
fn an_interrupt_ends_the_request_at_once() {
    let home = Home::of(&["anthropic-api/default"]);
    let (name, api) = ("anthropic-api", home.api());
    for fault in [Fault::Stalled, Fault::Slow(100), Fault::Mute] {
        println!("{fault:?}");
        api.forget();
        api.clear_faults();
        let is_mute = fault == Fault::Mute;
        api.fault(When::Asked, fault);
        let child = home.cmd(&["run", name, "Say hello"]).spawn();
        if is_mute {
            api.was_asked(What::Prompt, LIMIT);
        } else {
            api.has_sent(1, LIMIT);
        }
        let asked_to = Instant::now();
        child.kill("INT");
        let output = child.wait(LIMIT);
        let is_interrupt = output.status == Some(130) || output.signal == Some(2);
        output.check(is_interrupt, "interrupted");
        let seen = api.saw_it_go(LIMIT);
        assert!(seen - asked_to < Duration::from_millis(500), "{:?}", seen - asked_to);
        output.check(!output.stderr.contains("panicked"), "no panic");
    }
    home.is_content();
}

#[test]
fn a_reader_that_goes_away_ends_it_without_an_error() {
    let home = Home::of(&["groq/default"]);
    let api = home.api();
    api.says(&["word "; 40]);
    api.fault(When::Asked, Fault::Slow(50));
    let script = "\"$0\" run groq hello | head -c 4; echo \" ${PIPESTATUS[0]}\"";
    let began = Instant::now();
    let output = Command::new("bash")
        .args(["-c", script, env!("CARGO_BIN_EXE_keyfob")])
        .env("HOME", home.sandbox.user_home())
        .env("KEYFOB_HOME", home.sandbox.home())
        .output()
        .expect("bash is there");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "word 0\n");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(began.elapsed() < Duration::from_millis(1500), "it did not read to the end");
    api.saw_it_go(LIMIT);
    home.is_content();
}

#[test]
fn there_is_one_newline_at_the_end() {
    let home = Home::of(&["groq/default"]);
    for (said, shown) in [
        (&["one"][..], "one\n"),
        (&["one\n"], "one\n"),
        (&["one\n\n"], "one\n\n"),
        (&["one\n", "two"], "one\ntwo\n"),
    ] {
        home.api().says(said);
        home.say("run groq hello").run().ok().stdout_is(shown);
        home.say("run groq hello --no-stream").run().ok().stdout_is(shown);
    }
    home.is_content();
}

#[test]
fn an_answer_without_text_is_said_to_be_one() {
    let home = Home::of(&["groq/default"]);
    home.api().says(&[]);
    let output = home.say("run groq hello").run();
    output.ok().stdout_is("").stderr_has("answered with no text (stop)");
    let output = home.say("run groq hello --silent").run();
    output.ok().stdout_is("").check(output.stderr.is_empty(), "nothing on stderr");
    let answer = home.say("run groq hello --json").run().ok().json();
    assert_eq!(answer["text"], "");
    home.is_content();
}

/// Lines, tabs and every script pass; what plays with a terminal does not.
#[test]
fn text_cannot_play_with_the_terminal() {
    let home = Home::of(&["groq/default"]);
    let said =
        ["a\u{1b}[2J\u{1b}]0;title\u{7}b\tc\r\n", "\u{202e}d\u{2066}e\u{9b}31m", "日本\u{0}語"];
    home.api().says(&said);
    let shown = "a[2J]0;titleb\tc\nde31m日本語\n";
    home.say("run groq hello").run().ok().stdout_is(shown);
    home.say("run groq hello --no-stream").run().ok().stdout_is(shown);
    let answer = home.say("run groq hello --json").run().ok().json();
    assert_eq!(answer["text"], shown.trim_end());
    home.is_content();
}

#[test]
fn a_stream_that_breaks_off_is_temporary_after_the_text_that_came() {
    let home = Home::of(&ALL);
    for Seat { name, api, .. } in &home.seats {
        for fault in [Fault::Cut, Fault::Ended] {
            println!("{name} {fault:?}");
            api.clear_faults();
            api.fault(When::Asked, fault);
            let output = home.cmd(&["run", name, "hello"]).run();
            output.code(3).stdout_is("Hello\n").stderr_has("keyfob: ");
            let output = home.cmd(&["run", name, "hello", "--json"]).run();
            let error = output.code(3).stdout_is("").error_json();
            assert_eq!((&error["code"], &error["exit"]), (&"temporary".into(), &3.into()));
        }
    }
    home.is_content();
}

#[test]
fn a_silence_is_borne_for_as_long_as_the_timeout_says() {
    let home = Home::of(&["groq/default"]);
    home.api().fault(When::Asked, Fault::Stalled);
    let began = Instant::now();
    let output = home.say("run groq hello --timeout 1").run();
    output.code(3).stdout_is("Hello\n").stderr_has("keyfob: the answer of http://127.0.0.1:");
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(4), "{took:?}");

    home.api().clear_faults();
    home.api().fault(When::Asked, Fault::Mute);
    let began = Instant::now();
    home.say("run groq hello --timeout 1").run().code(3).stdout_is("");
    assert!(began.elapsed() < Duration::from_secs(4));

    // Longer than the time-out altogether, and never silent for that long.
    home.api().clear_faults();
    home.api().says(&["word "; 6]);
    home.api().fault(When::Asked, Fault::Slow(300));
    home.say("run groq hello --timeout 1").run().ok();
    home.is_content();
}

#[test]
fn an_endless_event_is_given_up() {
    let home = Home::of(&["groq/default"]);
    home.api().fault(When::Asked, Fault::Endless);
    let output = home.say("run groq hello").run();
    output.code(1).stdout_is("Hello\n").stderr_has("an event too long");
    home.api().saw_it_go(LIMIT);
    home.is_content();
}
