//! The file itself: its mode, its size, and what may lie in its place.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

use super::{events, lines, trail, with_key};
use crate::support::sandbox::{Sandbox, set_mode, write_private};
use crate::token::shell::{NOBODY, as_nobody, as_somebody, give_away, is_root, sandbox_root};

const OLD: &str =
    "{\"at\":\"2026-01-01T00:00:00Z\",\"event\":\"login\",\"provider\":\"x\",\"account\":\"y\"}\n";

#[test]
fn it_is_for_the_owner_alone_whatever_the_umask() {
    for mask in ["000", "022", "077"] {
        let sandbox = with_key();
        sandbox.cmd(&["token", "groq"]).umask(mask).run().ok();
        assert_eq!(sandbox.mode(&trail(&sandbox)), 0o600, "umask {mask}");
    }
}

#[test]
fn a_symlink_is_not_followed() {
    let sandbox = with_key();
    let target = sandbox.work().join("target");
    for exists in [false, true] {
        if exists {
            fs::write(&target, "untouched").unwrap();
        }
        let _ = fs::remove_file(trail(&sandbox));
        symlink(&target, trail(&sandbox)).unwrap();
        let output = sandbox.cmd(&["token", "groq"]).env("KEYFOB_LOG", "debug").run();
        output.ok().stdout_is("gsk-marker-0123456789\n").stderr_has("the audit trail");
        assert_eq!(target.exists(), exists);
        assert!(!exists || sandbox.read(&target) == "untouched");
        sandbox.cmd(&["audit"]).run().code(5).stdout_is("").stderr_has("symlink");
    }
}

/// What cannot be written keeps nobody from a credential.
#[test]
fn what_lies_in_its_place_fails_no_command() {
    let sandbox = with_key();
    fs::create_dir(trail(&sandbox)).unwrap();
    sandbox.cmd(&["token", "groq"]).run().ok().stdout_is("gsk-marker-0123456789\n");
    fs::remove_dir(trail(&sandbox)).unwrap();
    let made = std::process::Command::new("mkfifo").arg(trail(&sandbox)).status();
    assert!(made.is_ok_and(|status| status.success()));
    let output = sandbox.cmd(&["token", "groq"]).run();
    output.ok().stdout_is("gsk-marker-0123456789\n");
    output.check(output.stderr.is_empty(), "nothing said");
    sandbox.cmd(&["audit"]).run().code(5).stderr_has("not a regular file");
}

#[test]
fn a_home_that_cannot_be_written_fails_no_command() {
    let sandbox = with_key();
    set_mode(&sandbox.home(), 0o500);
    let output = as_somebody(&sandbox, &["token", "groq"]);
    output.ok().stdout_is("gsk-marker-0123456789\n");
    output.check(output.stderr.is_empty(), "nothing said");
    let output = as_somebody(&sandbox, &["exec", "groq", "--", "true"]);
    output.ok();
    assert!(!trail(&sandbox).exists());
}

#[test]
fn a_big_file_is_put_aside_once() {
    let sandbox = with_key();
    let big = OLD.repeat(8 * 1024 * 1024 / OLD.len() + 1);
    write_private(&trail(&sandbox), &big);
    sandbox.cmd(&["token", "groq"]).run().ok();
    let aside = trail(&sandbox).with_extension("jsonl.1");
    assert!(!trail(&sandbox).exists(), "the line that was too much went with it");
    assert!(sandbox.read(&aside).starts_with(&big) && sandbox.mode(&aside) == 0o600);
    sandbox.cmd(&["token", "groq"]).run().ok();
    assert_eq!(events(&sandbox), ["hand_out"]);
    // Both are read, the older first.
    let shown = sandbox.cmd(&["audit", "--json"]).run().ok().json();
    let all = shown["events"].as_array().unwrap();
    assert_eq!(all.len(), big.lines().count() + 2);
    assert_eq!(
        (&all[0]["event"], &all[all.len() - 1]["event"]),
        (&"login".into(), &"hand_out".into())
    );
    // The next big one takes its place: no third file.
    write_private(&trail(&sandbox), &big);
    sandbox.cmd(&["token", "groq"]).run().ok();
    let left = sandbox.files(&sandbox.home());
    let named = |path: &&std::path::PathBuf| path.display().to_string().contains("audit.jsonl");
    assert_eq!(left.iter().filter(named).count(), 1, "{left:?}");
}

#[test]
fn a_small_file_stays() {
    let sandbox = with_key();
    write_private(&trail(&sandbox), OLD);
    sandbox.cmd(&["token", "groq"]).run().ok();
    assert_eq!(events(&sandbox), ["login", "hand_out"]);
    assert!(sandbox.read(&trail(&sandbox)).starts_with(OLD), "only added to");
}

/// Others may have looked: the command that shows it says so.
#[test]
fn a_file_that_others_can_read_is_refused() {
    let sandbox = with_key();
    write_private(&trail(&sandbox), OLD);
    set_mode(&trail(&sandbox), 0o644);
    let output = sandbox.cmd(&["audit"]).run();
    output.code(5).stdout_is("").stderr_has("try: chmod 600");
}

/// `sudo keyfob`: the owner's own events go on in the same file.
#[test]
fn root_leaves_it_to_the_owner_of_the_home() {
    if !is_root() {
        println!("skipped: only root works in homes of others");
        return;
    }
    let sandbox = with_key();
    give_away(&sandbox_root(&sandbox));
    sandbox.cmd(&["token", "groq"]).run().ok();
    assert_eq!(fs::metadata(trail(&sandbox)).unwrap().uid(), NOBODY);
    as_nobody(&sandbox, &["token", "groq"]).ok();
    as_nobody(&sandbox, &["audit"]).ok();
    assert_eq!(lines(&sandbox).len(), 2);
}

/// A name chosen by the calling program is text from outside.
#[test]
fn a_callers_name_is_made_harmless() {
    let sandbox = Sandbox::new();
    let key = sandbox.cmd(&["login", "groq", "--api-key-stdin"]).stdin("gsk-0123456789");
    key.run().ok();
    let script = "printf '\\033[31m\"\\n' >/proc/self/comm; keyfob token groq; true";
    crate::support::tool::run(&sandbox, &["bash", "-c", script], "").ok();
    let all = lines(&sandbox);
    let by = all[1]["by"].as_str().unwrap();
    assert!(!by.contains(char::is_control), "{by:?}");
    let shown = sandbox.cmd(&["audit"]).run();
    shown.ok().check(!shown.stdout.contains('\u{1b}'), "no escape on the terminal");
}
