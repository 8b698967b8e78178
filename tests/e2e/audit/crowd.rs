//! Many processes at once, and no torn line.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{lines, trail, with_key};
use crate::support::tool;

const PROCESSES: usize = 50;
const LINES_EACH: usize = 200;

/// Fifty shells, each with two hundred calls; every line whole, every line there.
#[test]
fn ten_thousand_lines_of_fifty_processes_are_all_whole() {
    let sandbox = with_key();
    let script = format!(
        "i=0; while [ $i -lt {LINES_EACH} ]; do keyfob token groq || exit 1; i=$((i+1)); done"
    );
    let begin = Instant::now();
    let children: Vec<_> = (0..PROCESSES)
        .map(|_| {
            let mut command = Command::new("sh");
            command.args(["-c", &script]).env_clear().env("PATH", tool::path());
            command.env("KEYFOB_HOME", sandbox.home()).env("HOME", sandbox.user_home());
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
            command.spawn().expect("a shell")
        })
        .collect();
    let pids: Vec<u64> = children.iter().map(|child| u64::from(child.id())).collect();
    for child in children {
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    println!("{:?} for {} calls", begin.elapsed(), PROCESSES * LINES_EACH);
    let lines = lines(&sandbox);
    assert_eq!(lines.len(), PROCESSES * LINES_EACH);
    for pid in pids {
        let own = lines.iter().filter(|line| line["pid"] == pid).count();
        assert_eq!(own, LINES_EACH, "of process {pid}");
    }
    let shown = sandbox.cmd(&["audit", "--json"]).run();
    let events = shown.ok().stderr_lacks("cannot be read").json()["events"].clone();
    assert_eq!(events.as_array().map(Vec::len), Some(PROCESSES * LINES_EACH));
}

/// The file is put aside while everybody writes: nothing is lost but what was there before.
#[test]
fn nothing_is_lost_when_the_file_is_put_aside() {
    let sandbox = with_key();
    let filler = "{\"at\":\"2026-01-01T00:00:00Z\",\"event\":\"login\",\"provider\":\"x\",\"account\":\"y\"}\n";
    let count = 8 * 1024 * 1024 / filler.len();
    crate::support::sandbox::write_private(&trail(&sandbox), &filler.repeat(count - 20));
    let script = "for i in 1 2 3 4 5 6 7 8 9 10; do keyfob token groq || exit 1; done";
    let children: Vec<_> = (0..20)
        .map(|_| {
            let mut command = Command::new("sh");
            command.args(["-c", script]).env_clear().env("PATH", tool::path());
            command.env("KEYFOB_HOME", sandbox.home()).env("HOME", sandbox.user_home());
            command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("a shell")
        })
        .collect();
    let deadline = Instant::now() + Duration::from_secs(60);
    for mut child in children {
        assert!(child.wait().expect("it ends").success() && Instant::now() < deadline);
    }
    let aside = trail(&sandbox).with_extension("jsonl.1");
    let (old, new) = (sandbox.read(&aside), sandbox.read(&trail(&sandbox)));
    let handed_out = |text: &str| text.lines().filter(|line| line.contains("hand_out")).count();
    assert_eq!(handed_out(&old) + handed_out(&new), 200);
    assert!(handed_out(&new) > 0 && old.len() > 8 * 1024 * 1024);
    assert_eq!((sandbox.mode(&aside), sandbox.mode(&trail(&sandbox))), (0o600, 0o600));
    let shown = sandbox.cmd(&["audit", "--json"]).run().ok().json();
    assert_eq!(shown["events"].as_array().map(Vec::len), Some(count - 20 + 200));
}
