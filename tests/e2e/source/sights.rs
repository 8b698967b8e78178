//! What is looked at is not opened, and what is read is not told.

use std::fs::{File, FileTimes};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use serde_json::json;

use super::{CLAUDE, CODEX, Home, claude, codex, jwt, millis};
use crate::support::command::Output;

/// Every command that looks for sources.
const LOOKS: [&str; 6] = [
    "source list",
    "source list --json",
    "status",
    "status --json",
    "token claude",
    "source trust claude-code",
];

/// Reading moves the time of last access when it lies before that of the last change, on any mount
/// that keeps it at all.
fn set_atime_back(path: &Path) -> i64 {
    let day_ago = SystemTime::now() - Duration::from_secs(86_400);
    File::open(path).unwrap().set_times(FileTimes::new().set_accessed(day_ago)).unwrap();
    path.metadata().unwrap().atime()
}

#[test]
fn nothing_is_opened_before_consent() {
    let home = Home::new();
    let file = home.put(CLAUDE, &claude("sk-ant-oat01-abc", 3600));
    let before = set_atime_back(&file);
    for words in LOOKS {
        home.run(words);
        assert_eq!(file.metadata().unwrap().atime(), before, "{words}");
    }
    home.trust("claude-code");
    home.run("token claude").ok();
    let is_seen = file.metadata().unwrap().atime() != before;
    assert!(is_seen || is_noatime(), "reading moves the time, so looking does not read");
}

/// There the test above proves nothing.
fn is_noatime() -> bool {
    std::fs::read_to_string("/proc/mounts").is_ok_and(|mounts| mounts.contains("noatime"))
}

/// A writer waits at a pipe until somebody opens it for reading, even for a moment.
#[test]
fn a_pipe_in_its_place_meets_no_reader() {
    let home = Home::new();
    let file = home.put(CLAUDE, &claude("sk-ant-oat01-abc", 3600));
    home.trust("claude-code");
    std::fs::remove_file(&file).unwrap();
    let made = Command::new("mkfifo").arg("-m").arg("600").arg(&file).status();
    assert!(made.unwrap().success());
    let script = format!("exec 3>'{}'; echo opened", file.display());
    let mut writer =
        Command::new("sh").args(["-c", &script]).stdout(Stdio::piped()).spawn().unwrap();
    for words in LOOKS {
        let out = home.run(words);
        out.check(out.status != Some(0) || !words.starts_with("token"), "no token");
        assert!(writer.try_wait().unwrap().is_none(), "{words} opened it");
    }
    assert_eq!(home.row(&file)["state"], "refused");
    writer.kill().unwrap();
    writer.wait().unwrap();
}

#[test]
fn no_secret_is_ever_told() {
    let home = Home::new();
    let access = jwt(3600, json!({}));
    home.put(CLAUDE, &claude("sk-ant-oat01-marker-0123456789", 3600));
    home.put(CODEX, &codex(&access));
    let opencode = json!({
        "groq": {"type": "api", "key": "gsk_marker_0123456789"},
        "xai": {"type": "oauth", "refresh": "xai-refresh-marker", "access": "xai-access-marker", "expires": millis(-9)},
    });
    home.put(".local/share/opencode/auth.json", &opencode.to_string());
    let secrets = ["marker", "never-shown", &access, "another-thing", "eyJhbGciOiJub25lIn0"];
    let check = |out: &Output, streams: &[&str]| {
        for secret in secrets {
            for text in streams {
                assert!(!text.contains(secret), "{secret} in {}", out.report());
            }
        }
    };
    let loud = |words: &str| home.cmd(words).env("KEYFOB_LOG", "trace").run();
    for name in ["claude-code", "codex", "opencode"] {
        let out = loud(&format!("source trust {name} --yes"));
        check(&out, &[&out.stdout, &out.stderr]);
    }
    for words in [
        "source list",
        "source list --json",
        "status",
        "status --json",
        "status xai",
        "token xai",
        "token xai --json",
        "refresh claude",
        "source forget codex",
        "source trust codex",
    ] {
        let out = loud(words);
        check(&out, &[&out.stdout, &out.stderr]);
    }
    home.trust("codex");
    for words in ["token claude", "token groq --json", "token openai --header", "env openai"] {
        let out = loud(words);
        check(out.ok(), &[&out.stderr]);
        assert!(!out.stdout.contains("never-shown"), "{}", out.stdout);
    }
    for file in home.sandbox.files(&home.sandbox.home()) {
        let text = home.sandbox.read(&file);
        for secret in secrets {
            assert!(!text.contains(secret), "{secret} in {}: {text}", file.display());
        }
    }
}
