//! `reset`, and files that are not as they should be.

use std::fs;
use std::path::PathBuf;

use super::{bytes, config, home, refused, run};
use crate::login::demo::{LIMIT, eventually};
use crate::support::sandbox::{Sandbox, set_mode, write_private};

fn backups(sandbox: &Sandbox) -> Vec<PathBuf> {
    let mut files = sandbox.files(&sandbox.home());
    files.retain(|file| file.display().to_string().contains("config.json.backup-"));
    files
}

/// The settings are empty, and this is what was there.
#[track_caller]
fn is_reset(sandbox: &Sandbox, before: &[u8], stderr: &str) {
    assert_eq!(sandbox.read_config(), serde_json::json!({}));
    let kept = backups(sandbox);
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!(fs::read(&kept[0]).expect("a copy"), before);
    for file in [&kept[0], &sandbox.home().join("config.json")] {
        assert_eq!(sandbox.mode(file), 0o600);
    }
    assert!(stderr.contains(&kept[0].display().to_string()), "{stderr}");
    let name = kept[0].display().to_string();
    let seconds = name.rsplit_once('-').map(|(_, seconds)| seconds.parse::<u64>());
    assert!(seconds.is_some_and(|seconds| seconds.is_ok_and(|at| at > 1_700_000_000)), "{name}");
}

#[test]
fn reset_empties_the_settings_and_keeps_a_copy_and_the_accounts() {
    let sandbox = home();
    let account = sandbox.write_account("mine", "me", &serde_json::json!({"version": 1}));
    let before = bytes(&sandbox);
    let output = config(&sandbox, &["reset", "--yes"]).umask("000").run();
    output.ok().stdout_is("");
    is_reset(&sandbox, &before, &output.stderr);
    assert!(account.exists(), "accounts stay");
    run(&sandbox, &["list"]).ok().stdout_is("");
}

#[test]
fn a_damaged_file_can_be_reset_and_nothing_else() {
    let damaged: [&[u8]; 3] = [b"{\"providers\": {", b"[1]", b"\xff\x00"];
    for content in damaged {
        let sandbox = home();
        let file = sandbox.home().join("config.json");
        fs::write(&file, content).expect("written");
        for words in [
            &["list"][..],
            &["list", "--json"],
            &["get", "default.provider"],
            &["set", "default.provider", "claude"],
            &["unset", "default.provider"],
        ] {
            refused(&sandbox, words, 5).stderr_has("config.json");
        }
        run(&sandbox, &["path"]).ok();
        let output = run(&sandbox, &["reset", "--yes"]);
        is_reset(&sandbox, content, &output.ok().stderr);
    }
}

#[test]
fn two_resets_within_a_second_keep_two_copies() {
    let sandbox = home();
    for number in 0..4 {
        write_private(&sandbox.home().join("config.json"), &format!("{{\"n\": {number}}}"));
        run(&sandbox, &["reset", "--yes"]).ok();
    }
    let mut kept: Vec<_> = backups(&sandbox).iter().map(|file| sandbox.read(file)).collect();
    kept.sort();
    assert_eq!(kept, ["{\"n\": 0}", "{\"n\": 1}", "{\"n\": 2}", "{\"n\": 3}"]);
}

#[test]
fn nothing_is_reset_where_nothing_is_set() {
    let sandbox = Sandbox::new();
    run(&sandbox, &["reset", "--yes"]).ok().stdout_is("").stderr_has("no settings");
    assert!(!sandbox.home().exists());
    sandbox.write_config(&serde_json::json!({}));
    run(&sandbox, &["reset", "--yes"]).ok();
    assert!(backups(&sandbox).is_empty());
}

#[test]
fn off_a_terminal_reset_needs_its_flag() {
    let sandbox = home();
    refused(&sandbox, &["reset"], 2).stderr_has("  try: keyfob config reset --yes\n");
    let yes = config(&sandbox, &["reset"]).stdin("y\n").run();
    yes.code(2);
    assert!(backups(&sandbox).is_empty());
}

#[test]
fn at_a_terminal_reset_asks() {
    for (answer, code) in [("\n", 1), ("n\n", 1), ("\u{4}", 1), ("\u{3}", 130), ("y\n", 0)] {
        let sandbox = home();
        let before = bytes(&sandbox);
        let mut process = config(&sandbox, &["reset"]).pty().spawn();
        eventually("the question", || process.stdout().contains("[y/N] "));
        process.write_stdin(answer);
        let output = process.wait(LIMIT);
        output.code(code);
        if code == 0 {
            is_reset(&sandbox, &before, &output.stdout);
        } else {
            assert_eq!(bytes(&sandbox), before, "{answer:?}");
            assert!(backups(&sandbox).is_empty());
        }
    }
}

#[test]
fn a_symlink_and_an_open_file_are_refused() {
    let all: [&[&str]; 5] = [
        &["list"],
        &["get", "default.provider"],
        &["set", "default.provider", "claude"],
        &["unset", "default.provider"],
        &["reset", "--yes"],
    ];
    let sandbox = home();
    let file = sandbox.home().join("config.json");
    set_mode(&file, 0o644);
    for words in all {
        refused(&sandbox, words, 5).stderr_has("  try: chmod 600 ");
    }
    set_mode(&file, 0o600);
    let elsewhere = sandbox.work().join("elsewhere.json");
    fs::rename(&file, &elsewhere).expect("moved");
    std::os::unix::fs::symlink(&elsewhere, &file).expect("a symlink");
    for words in all {
        refused(&sandbox, words, 5).stderr_has("symlink");
    }
    assert!(backups(&sandbox).is_empty() && file.is_symlink());
}
