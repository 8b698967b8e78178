//! How a command behind a gateway of its own ends, and what is left then.

use std::fs;
use std::net::TcpStream;

use serde_json::json;

use super::{Inside, LIMIT, home};
use crate::login::demo::eventually;
use crate::serve::upstream::Upstream;
use crate::support::command::Output;
use crate::support::sandbox::Sandbox;

fn exec(sandbox: &Sandbox, words: &[&str]) -> Output {
    sandbox.cmd(&[&["exec", "--gateway", "openai-chat"], words].concat()).run()
}

#[test]
fn the_status_of_the_command_is_ours() {
    let upstream = Upstream::good();
    let sandbox = home(&upstream);
    for status in [0, 1, 7, 255] {
        let output = exec(&sandbox, &["--", "sh", "-c", &format!("exit {status}")]);
        output.code(status).stdout_is("").check(output.stderr.is_empty(), "nothing said");
    }
    for (signal, status) in [("HUP", 129), ("INT", 130), ("KILL", 137), ("TERM", 143)] {
        exec(&sandbox, &["--", "sh", "-c", &format!("kill -s {signal} $$")]).code(status);
    }
    let missing = exec(&sandbox, &["--", "no-such-program-at-all"]);
    missing.code(127).stdout_is("").stderr_has("cannot run no-such-program-at-all");
    let file = sandbox.work().join("plain");
    fs::write(&file, "text").expect("a file");
    exec(&sandbox, &["--", file.to_str().expect("a path")]).code(126);
    let told = exec(&sandbox, &["--json", "--", "/no/such/program"]);
    assert_eq!(told.code(127).error_json()["exit"], 127);
}

#[test]
fn the_streams_the_folder_and_the_words_are_the_callers() {
    let upstream = Upstream::good();
    let sandbox = home(&upstream);
    let script = "cat; pwd; printf '%s|' \"$@\"; echo told >&2";
    let tail = ["--", "sh", "-c", script, "x", "--a=b", "--", "--json", ""];
    let words = [&["exec", "--gateway", "openai-chat"], &tail[..]].concat();
    let output = sandbox.cmd(&words).stdin("typed\n").run();
    let folder = fs::canonicalize(sandbox.work()).expect("a folder");
    output.ok().stdout_is(&format!("typed\n{}\n--a=b|--|--json||", folder.display()));
    output.check(output.stderr == "told\n", "the command's stderr alone");
}

#[test]
fn the_gateway_is_gone_when_the_command_is() {
    let upstream = Upstream::good();
    let sandbox = home(&upstream);
    let inside = Inside::start(&sandbox, &["openai-chat"]);
    inside.prompt("m").is(200);
    let host = inside.host();
    assert!(TcpStream::connect(&host).is_ok());
    inside.end();
    assert!(TcpStream::connect(&host).is_err(), "somebody still listens at {host}");
    // Also when it was ended from outside, with an answer in the middle.
    let inside = Inside::start(&sandbox, &["openai-chat"]);
    let host = inside.host();
    let _open = TcpStream::connect(&host).expect("it listens");
    inside.running.kill("KILL");
    inside.running.wait(LIMIT);
    assert!(TcpStream::connect(&host).is_err(), "somebody still listens at {host}");
}

#[test]
fn a_signal_to_keyfob_reaches_the_command() {
    let upstream = Upstream::good();
    let sandbox = home(&upstream);
    for (signal, status) in [("TERM", 143), ("HUP", 129)] {
        let script = "echo ready; exec sleep 60";
        let words = ["exec", "--gateway", "openai-chat", "--", "sh", "-c", script];
        let running = sandbox.cmd(&words).spawn();
        running.stdout_line_containing("ready", LIMIT);
        running.kill(signal);
        running.wait(LIMIT).code(status);
        let script = format!(
            "trap 'echo caught; exit 9' {signal}; echo ready; while :; do sleep 0.05; done"
        );
        let words = ["exec", "--gateway", "openai-chat", "--", "sh", "-c", &script];
        let running = sandbox.cmd(&words).spawn();
        running.stdout_line_containing("ready", LIMIT);
        running.kill(signal);
        running.wait(LIMIT).code(9).stdout_is("ready\ncaught\n");
    }
}

/// A command may have reasons to go on, and its gateway goes on with it.
#[test]
fn a_command_that_ignores_a_signal_keeps_its_gateway() {
    let upstream = Upstream::good();
    let sandbox = home(&upstream);
    let mark = sandbox.work().join("caught");
    let script = format!("trap 'touch {}' TERM; ", mark.display());
    let again = "env; echo own pid $$; while :; do read -r line && exit 0; done";
    let words = ["exec", "--gateway", "openai-chat", "--", "sh", "-c", &(script + again)];
    let mut running = sandbox.cmd(&words).spawn();
    running.stdout_line_containing("own pid", LIMIT);
    let out = running.stdout();
    let base = out.lines().find_map(|line| line.strip_prefix("OPENAI_BASE_URL=http://"));
    let host = base.expect("a base").trim_end_matches("/v1").to_owned();
    for _ in 0..3 {
        let _ = fs::remove_file(&mark);
        running.kill("TERM");
        eventually("the signal", || mark.exists());
        assert!(TcpStream::connect(&host).is_ok(), "the gateway went first");
    }
    running.write_stdin("now\n");
    running.wait(LIMIT).ok();
}

/// The terminal sends it to both; the gateway leaves it to the command.
#[test]
fn ctrl_c_at_the_terminal_is_the_commands() {
    let upstream = Upstream::good();
    let sandbox = home(&upstream);
    let script = "trap 'echo caught; exit 9' INT; echo ready; while :; do sleep 0.05; done";
    let words = ["exec", "--gateway", "openai-chat", "--", "sh", "-c", script];
    let mut running = sandbox.cmd(&words).pty().spawn();
    running.stdout_line_containing("ready", LIMIT);
    running.write_stdin("\u{3}");
    let output = running.wait(LIMIT);
    output.code(9).check(output.stdout.contains("caught"), "the command caught it");
}

/// Which signals of `wanted` a process started with ignored.
fn ignored(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    u64::from_str_radix(line.unwrap_or_default().trim(), 16).expect("a set of signals")
}

/// `nohup` and a shell's `&` mean the command.
#[test]
fn signals_that_were_ignored_stay_ignored_in_the_command() {
    let upstream = Upstream::good();
    let sandbox = home(&upstream);
    let binary = env!("CARGO_BIN_EXE_keyfob");
    let script = "trap '' HUP INT; exec \"$0\" exec --gateway openai-chat -- cat /proc/self/status";
    let output = crate::support::tool::run(&sandbox, &["sh", "-c", script, binary], "");
    let set = ignored(&output.ok().stdout);
    assert_eq!(set & 0b11, 0b11, "HUP and INT: {set:b}");
    // And a broken pipe still ends it.
    assert_eq!(set & (1 << 12), 0, "PIPE: {set:b}");
    let usual = exec(&sandbox, &["--", "cat", "/proc/self/status"]);
    assert_eq!(ignored(&usual.ok().stdout) & 0b100_0000_0000_0111, 0);
    let blocked = usual.stdout.lines().find_map(|line| line.strip_prefix("SigBlk:"));
    assert_eq!(blocked.map(str::trim), Some("0000000000000000"));
}

/// An answer that is under way when the command ends is nobody's any more.
#[test]
fn the_end_of_the_command_does_not_wait_for_answers() {
    let upstream = Upstream::start(|_, out| {
        out.events()?;
        out.event(json!({"n": 1}))?;
        loop {
            std::thread::sleep(std::time::Duration::from_millis(20));
            out.event("more")?;
        }
    });
    let sandbox = home(&upstream);
    let inside = Inside::start(&sandbox, &["openai-chat"]);
    let mut client = crate::serve::client::Client::to(&inside.host());
    let body = r#"{"model":"m","messages":[],"stream":true}"#;
    client.say(format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: {}\r\nx-api-key: {}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        inside.host(),
        inside.key(),
        body.len()
    ));
    assert_eq!(client.head().expect("a head").status, 200);
    client.chunks_until("\"n\"");
    let began = std::time::Instant::now();
    inside.end();
    assert!(began.elapsed() < std::time::Duration::from_secs(5), "{:?}", began.elapsed());
    upstream.saw_it_go(LIMIT);
}
