//! Faults of the home: modes, owners, links, leftovers, room, locks, sign-ins under way.

use std::fs::{self, File};
use std::os::unix::fs::{chown, symlink};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use serde_json::json;

use super::{doctor, fault, findings, offline, only, text};
use crate::race::shim::Shim;
use crate::support::command::Output;
use crate::support::sandbox::{in_seconds, make_private_dir, set_mode, write_private};
use crate::token::place::{FRESH_S, Place};
use crate::token::shell::{NOBODY, as_somebody, is_root};

fn healthy() -> Place {
    let place = Place::new();
    place.signed_in(FRESH_S);
    place
}

fn as_owner(place: &Place) -> Output {
    as_somebody(&place.home, &["doctor", "--json", "--offline"])
}

/// Pastes the fix, which must leave no fault.
#[track_caller]
fn mended_by(fix: &str, place: &Place) {
    let status = Command::new("sh").args(["-c", fix]).status().expect("sh runs");
    assert!(status.success(), "{fix}");
    only(&offline(place).run(), &[]);
}

#[test]
fn open_folders_are_errors_where_others_may_write_and_warnings_where_they_may_look() {
    for (folder, code) in
        [("", "home_mode"), ("accounts", "folder_mode"), ("accounts/my-idp", "folder_mode")]
    {
        for (mode, severity) in [(0o777, "error"), (0o720, "error"), (0o755, "warning")] {
            let place = healthy();
            let folder = place.home.home().join(folder);
            set_mode(&folder, mode);
            let output = offline(&place).run();
            only(&output, &[(code, severity)]);
            let found = fault(&output, code);
            assert!(text(&found, "cause").contains(&format!("{mode:03o}")), "{found}");
            assert_eq!(place.home.mode(&folder), mode, "doctor changes nothing");
            mended_by(text(&found, "fix"), &place);
        }
    }
}

#[test]
fn open_files_are_told_with_the_chmod_to_run() {
    for (name, severity) in [
        ("accounts/my-idp/me@example.com.json", "error"),
        ("config.json", "error"),
        ("accounts/my-idp/me@example.com.lock", "warning"),
    ] {
        let place = healthy();
        let file = place.home.home().join(name);
        if !file.exists() {
            write_private(&file, "");
        }
        set_mode(&file, 0o644);
        let output = offline(&place).run();
        only(&output, &[("file_mode", severity)]);
        let found = fault(&output, "file_mode");
        assert!(text(&found, "what").contains(&file.display().to_string()), "{found}");
        mended_by(text(&found, "fix"), &place);
    }
}

/// People may keep notes beside our files.
#[test]
fn other_files_in_the_home_are_nobodys_business() {
    let place = healthy();
    fs::write(place.home.home().join("notes.txt"), "x").expect("ours");
    set_mode(&place.home.home().join("notes.txt"), 0o644);
    only(&offline(&place).run(), &[]);
}

#[test]
fn a_symlink_in_place_of_a_file_is_told() {
    for target in ["target", "nowhere"] {
        let place = healthy();
        let target = place.home.work().join(target);
        fs::rename(place.file(), place.home.work().join("target")).expect("ours");
        symlink(&target, place.file()).expect("ours");
        let output = offline(&place).run();
        only(&output, &[("file_symlink", "error")]);
        assert!(place.file().is_symlink());
    }
}

#[test]
fn a_pipe_in_place_of_a_file_is_told_at_once() {
    let place = healthy();
    fs::remove_file(place.file()).expect("ours");
    assert!(Command::new("mkfifo").arg(place.file()).status().expect("it runs").success());
    let output = offline(&place).spawn().wait(Duration::from_secs(20));
    only(&output, &[("file_special", "error")]);
}

#[test]
fn a_file_of_another_user_is_told() {
    if !is_root() {
        println!("skipped: only root can give files away");
        return;
    }
    let place = healthy();
    chown(place.file(), Some(NOBODY), Some(NOBODY)).expect("root may");
    let output = offline(&place).run();
    only(&output, &[("file_owner", "error")]);
    let found = fault(&output, "file_owner");
    assert!(text(&found, "cause").contains(&NOBODY.to_string()), "{found}");
}

#[test]
fn an_old_unfinished_write_is_told_and_a_new_one_is_not() {
    let place = healthy();
    let file = place.file().with_file_name("me@example.com.json~0011223344556677");
    write_private(&file, "half");
    only(&offline(&place).run(), &[]);
    let hour_ago = SystemTime::now() - Duration::from_secs(3600);
    let open = File::options().write(true).open(&file).expect("ours");
    open.set_modified(hour_ago).expect("ours");
    let output = offline(&place).run();
    only(&output, &[("temp_leftover", "warning")]);
    assert!(file.exists(), "doctor sweeps nothing");
    mended_by(text(&fault(&output, "temp_leftover"), "fix"), &place);
}

#[test]
fn a_folder_that_cannot_be_read_is_told() {
    let place = healthy();
    set_mode(&place.home.home().join("accounts/my-idp"), 0o000);
    only(&as_owner(&place), &[("folder_unreadable", "error")]);
}

#[test]
fn an_account_that_cannot_be_read_is_told() {
    let place = healthy();
    set_mode(&place.file(), 0o000);
    only(&as_owner(&place), &[("account_unreadable", "error")]);
}

#[test]
fn a_home_that_is_no_folder_is_told() {
    let place = Place::new();
    let file = place.home.work().join("file");
    fs::write(&file, "x").expect("ours");
    for bad in [file.clone(), file.join("below")] {
        let output = offline(&place).env("KEYFOB_HOME", &bad.display().to_string()).run();
        only(&output, &[("home_unusable", "error")]);
    }
    let link = place.home.work().join("link");
    symlink("/nowhere/at/all", &link).expect("ours");
    let output = offline(&place).env("KEYFOB_HOME", &link.display().to_string()).run();
    only(&output, &[("home_unusable", "error")]);
}

#[test]
fn a_folder_in_which_nothing_can_be_written_or_locked_is_told() {
    let place = healthy();
    let folder = place.home.home().join("accounts/my-idp");
    set_mode(&folder, 0o500);
    let output = as_owner(&place);
    only(&output, &[("folder_unwritable", "error"), ("lock_unavailable", "error")]);
    let found = fault(&output, "lock_unavailable");
    assert!(text(&found, "cause").contains("permission denied"), "{found}");
    assert_eq!(text(&found, "fix"), format!("chmod 700 {}", folder.display()));
    set_mode(&folder, 0o700);
    only(&as_owner(&place), &[]);
}

/// As on some network file systems.
#[test]
fn a_file_system_that_cannot_lock_is_told_with_the_way_round_it() {
    let place = healthy();
    let Some(shim) = Shim::build(&place.home.work()) else { return };
    const ENOLCK: i32 = 37;
    let output = shim.fail_all("flock", ENOLCK, offline(&place)).run();
    if shim.trace(0).is_none() {
        return;
    }
    let found = super::faults(&output);
    assert!(found.iter().all(|found| found["code"] == "lock_unavailable"), "{found:?}");
    assert!(text(&found[0], "cause").contains("no locks available"), "{}", found[0]);
    assert!(text(&found[0], "fix").starts_with("export KEYFOB_LOCK=off"), "{}", found[0]);
    assert_eq!(place.temp_files(), Vec::<std::path::PathBuf>::new());
    only(&offline(&place).env("KEYFOB_LOCK", "off").run(), &[("lock_off", "warning")]);
}

#[test]
fn a_lock_that_hangs_names_its_holder() {
    let place = healthy();
    write_private(&place.lock_file(), "");
    let file = File::options().write(true).open(place.lock_file()).expect("ours");
    file.try_lock().expect("nobody else holds it");
    let output = offline(&place).run();
    only(&output, &[("lock_held", "warning")]);
    let holder = format!("process {} holds it", std::process::id());
    assert!(text(&fault(&output, "lock_held"), "cause").contains(&holder), "{}", output.report());
    drop(file);
    only(&offline(&place).run(), &[]);
}

#[test]
fn a_full_disk_is_told() {
    let place = Place::new();
    let config = place.home.read_config();
    let at = place.home.home();
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=512k", "tmpfs"]).arg(&at).output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        println!("skipped: a tmpfs cannot be mounted here");
        return;
    }
    let _unmount = Unmount(&at);
    set_mode(&at, 0o700);
    place.home.write_config(&config);
    only(&offline(&place).run(), &[]);
    let filler = at.join("filler");
    let _ = fs::write(&filler, vec![b'x'; 1 << 20]);
    let output = offline(&place).run();
    let found = fault(&output, "disk_full");
    assert!(text(&found, "cause").contains("no space left"), "{found}");
    only(&output, &[("disk_full", "error")]);
}

struct Unmount<'a>(&'a Path);

impl Drop for Unmount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn a_sign_in_that_waits_is_well_and_one_whose_time_is_over_is_told() {
    let place = healthy();
    place.home.cmd(&["login", "my-idp", "--print-auth-url"]).run().ok();
    let output = doctor(&place).run();
    only(&output, &[]);
    let waiting = |finding: &serde_json::Value| finding["code"] == "pending_waiting";
    assert!(findings(&output).iter().any(waiting), "{}", output.report());

    let file = place.home.files(&place.home.home().join("pending")).remove(0);
    let mut login = place.home.read_json(&file);
    login["expires_at"] = json!(in_seconds(-5));
    write_private(&file, &login.to_string());
    let output = offline(&place).run();
    only(&output, &[("pending_stale", "warning")]);
    let fix = text(&fault(&output, "pending_stale"), "fix").to_owned();
    let words: Vec<_> = fix.split(' ').skip(1).collect();
    place.home.cmd(&words).run().ok();
    only(&offline(&place).run(), &[]);

    write_private(&file, "{}");
    let output = offline(&place).run();
    only(&output, &[("pending_stale", "warning")]);
    mended_by(text(&fault(&output, "pending_stale"), "fix"), &place);
}

#[test]
fn a_consent_that_no_longer_fits_is_told_and_left_as_it_is() {
    let place = Place::new();
    place.signed_in(FRESH_S);
    let codex = place.home.user_home().join(".codex");
    make_private_dir(&codex);
    let file = codex.join("auth.json");
    write_private(&file, r#"{"OPENAI_API_KEY":"sk-marker-0123456789"}"#);
    place.home.cmd(&["source", "trust", "codex", "--yes"]).run().ok();
    only(&offline(&place).run(), &[]);
    let trust = place.home.read(&place.home.home().join("trust.json"));

    let other = codex.join("other.json");
    std::fs::rename(&file, &other).expect("a rename");
    only(&offline(&place).run(), &[("trust_changed", "warning")]);
    std::os::unix::fs::symlink(&other, &file).expect("a symlink");
    let output = offline(&place).run();
    only(&output, &[("trust_changed", "warning")]);
    assert!(text(&fault(&output, "trust_changed"), "cause").contains("symlink"));
    assert_eq!(place.home.read(&place.home.home().join("trust.json")), trust);
    let fix = text(&fault(&output, "trust_changed"), "fix").to_owned();
    place.home.cmd(&fix.split(' ').skip(1).collect::<Vec<_>>()).run().ok();
    only(&offline(&place).run(), &[]);

    write_private(&place.home.home().join("trust.json"), "{");
    only(&offline(&place).run(), &[("trust_unreadable", "error")]);
}
