//! A full disk and a read-only one, on a small file system of their own. Root may mount; where
//! that is not permitted the tests say so and end.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::sandbox::{make_private_dir, set_mode};
use crate::token::place::{EXPIRED_S, FRESH_S, ME, Place, STALE_S, text};
use crate::token::shell::as_somebody;

/// Big enough for a refresh while it is empty.
const SIZE: &str = "size=512k";

/// A tmpfs over the whole home of a place; goes before the sandbox does.
struct Disk {
    at: PathBuf,
}

impl Disk {
    /// Mounted over KEYFOB_HOME, config.json carried along.
    fn over(place: &Place) -> Option<Self> {
        let at = place.home.home();
        let config = place.home.read_config();
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", SIZE, "tmpfs"]).arg(&at).output();
        match mounted {
            Ok(output) if output.status.success() => {}
            other => {
                println!("skipped: a tmpfs cannot be mounted here ({other:?})");
                return None;
            }
        }
        let disk = Disk { at };
        make_private_dir(&disk.at);
        place.home.write_config(&config);
        Some(disk)
    }

    /// Not a byte of room is left.
    fn fill(&self) {
        let mut file = File::create(self.at.join("filler")).expect("there is room");
        let piece = [b'x'; 4096];
        while file.write_all(&piece).is_ok() {}
        while file.write_all(b"x").is_ok() {}
        set_mode(&self.at.join("filler"), 0o600);
        let full = fs::write(self.at.join("probe"), "x");
        assert!(full.is_err(), "the disk is full");
        let _ = fs::remove_file(self.at.join("probe"));
    }

    fn empty(&self) {
        fs::remove_file(self.at.join("filler")).expect("the filler is there");
    }

    fn remount(&self, how: &str) {
        let how = format!("remount,{how}");
        let done = Command::new("mount").args(["-o", &how]).arg(&self.at).status();
        assert!(done.is_ok_and(|status| status.success()), "{how}");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}

#[test]
fn a_full_disk_is_found_before_the_refresh_token_is_spent() {
    let place = Place::new();
    let Some(disk) = Disk::over(&place) else { return };
    place.signed_in(EXPIRED_S);
    let before = place.bytes();
    disk.fill();
    for verb in ["token", "refresh"] {
        let output = place.home.cmd(&[verb, "my-idp"]).run();
        output.code(5).stdout_is("").stderr_has("no space left on device");
        output.stderr_has("me@example.com.json");
        assert_eq!(place.bytes(), before);
        assert_eq!(place.idp.requests().len(), 0);
        assert!(place.temp_files().is_empty(), "{}", place.home.listing());
    }
    disk.empty();
    let output = place.token().run();
    output.ok().stdout_is(&format!("{}\n", text(&place.stored(), "access_token")));
    assert_eq!(place.refreshes(), 1);
}

/// Room for a file, but not for the largest answer that makes sense.
#[test]
fn a_nearly_full_disk_is_found_before_the_refresh_token_is_spent() {
    let place = Place::new();
    let Some(disk) = Disk::over(&place) else { return };
    place.signed_in(EXPIRED_S);
    let before = place.bytes();
    disk.fill();
    let filler = File::options().write(true).open(disk.at.join("filler")).expect("it is there");
    let length = filler.metadata().expect("it is there").len();
    filler.set_len(length - 8192).expect("it shrinks");
    let output = place.token().run();
    output.code(5).stdout_is("").stderr_has("no space left on device");
    assert_eq!(place.bytes(), before);
    assert_eq!(place.idp.requests().len(), 0);
    assert!(place.temp_files().is_empty(), "{}", place.home.listing());
}

#[test]
fn a_fresh_token_needs_no_room() {
    let place = Place::new();
    let Some(disk) = Disk::over(&place) else { return };
    let grant = place.signed_in(FRESH_S);
    disk.fill();
    place.token().run().ok().stdout_is(&format!("{}\n", grant.access_token));
}

/// CLI.md section 4: a still valid token is handed out when the refresh failed for now.
#[test]
fn a_living_token_is_handed_out_though_the_disk_is_full() {
    let place = Place::new();
    let Some(disk) = Disk::over(&place) else { return };
    let grant = place.signed_in(STALE_S);
    disk.fill();
    let output = place.token().run();
    output.ok().stdout_is(&format!("{}\n", grant.access_token));
    output.stderr_has("keyfob: warning: ").stderr_has("no space left");
    assert_eq!(place.idp.requests().len(), 0);
}

#[test]
fn a_login_on_a_full_disk_keeps_the_pending_login() {
    let place = Place::new();
    let Some(disk) = Disk::over(&place) else { return };
    let callback = place.callback(ME);
    let finish = ["login", "--callback-url", &callback];
    disk.fill();
    let output = place.home.cmd(&finish).run();
    output.code(5).stdout_is("").stderr_has("no space left on device");
    assert_eq!(place.idp.count("token_exchange"), 0, "the code is not spent");
    assert!(place.temp_files().is_empty(), "{}", place.home.listing());
    disk.empty();
    place.home.cmd(&finish).run().ok();
    place.token().run().ok();
}

#[test]
fn a_login_cannot_begin_on_a_full_disk() {
    let place = Place::new();
    let Some(disk) = Disk::over(&place) else { return };
    disk.fill();
    let output = place.home.cmd(&["login", "my-idp", "--print-auth-url"]).run();
    output.code(5).stdout_is("").stderr_has("no space left on device");
    assert!(place.temp_files().is_empty(), "{}", place.home.listing());
}

#[test]
fn a_read_only_disk_gives_fresh_tokens_and_spends_none() {
    let place = Place::new();
    let Some(disk) = Disk::over(&place) else { return };
    let fresh = place.signed_in_as("fresh@example.com", FRESH_S);
    place.signed_in(EXPIRED_S);
    let before = place.bytes();
    disk.remount("ro");
    let output = place.token_of("fresh@example.com").run();
    output.ok().stdout_is(&format!("{}\n", fresh.access_token));
    for verb in ["token", "refresh"] {
        let output = place.home.cmd(&[verb, "my-idp/me@example.com"]).run();
        output.code(5).stdout_is("").stderr_has("read-only").stderr_has("me@example.com");
    }
    assert_eq!(place.bytes(), before);
    assert_eq!(place.idp.requests().len(), 0);
    disk.remount("rw");
    place.token_of(ME).run().ok();
}

/// The same for a folder whose mode forbids writing.
#[test]
fn a_folder_that_cannot_be_written_to_gives_fresh_tokens_and_spends_none() {
    for has_lock in [false, true] {
        let place = Place::new();
        let fresh = place.signed_in_as("fresh@example.com", FRESH_S);
        place.signed_in(EXPIRED_S);
        if has_lock {
            fs::write(place.lock_file(), "").expect("ours");
            set_mode(&place.lock_file(), 0o600);
        }
        let before = place.bytes();
        let folder = place.file().parent().expect("a folder").to_path_buf();
        set_mode(&folder, 0o500);
        let output = as_somebody(&place.home, &["token", "my-idp/fresh@example.com"]);
        output.ok().stdout_is(&format!("{}\n", fresh.access_token));
        for verb in ["token", "refresh"] {
            let output = as_somebody(&place.home, &[verb, "my-idp/me@example.com"]);
            output.code(5).stdout_is("").stderr_has("permission denied");
        }
        assert_eq!(place.bytes(), before);
        assert_eq!(place.idp.requests().len(), 0);
    }
}

/// A file mounted over the account's, as `docker run -v FILE:FILE` does. Unmounted before the
/// sandbox goes.
struct BoundFile(PathBuf);

impl BoundFile {
    fn over(file: &Path, source: &Path) -> Option<Self> {
        fs::copy(file, source).expect("both are ours");
        set_mode(source, 0o600);
        let mounted = Command::new("mount").arg("--bind").args([source, file]).output();
        match mounted {
            Ok(output) if output.status.success() => Some(BoundFile(file.to_path_buf())),
            other => {
                println!("skipped: a file cannot be mounted here ({other:?})");
                None
            }
        }
    }
}

impl Drop for BoundFile {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_login_and_a_logout_over_a_file_that_is_mounted_alone_spend_and_revoke_nothing() {
    let place = Place::new();
    place.signed_in(FRESH_S);
    let source = place.home.work().join("of-the-host.json");
    let Some(_bound) = BoundFile::over(&place.file(), &source) else { return };
    for words in [
        &["login", "my-idp", "--print-auth-url"][..],
        &["login", &format!("my-idp/{ME}"), "--print-auth-url"],
        &["logout", "my-idp"],
    ] {
        let output = place.home.cmd(words).run();
        output.code(5).stdout_is("").stderr_has("mount its folder instead");
    }
    assert_eq!(place.idp.requests().len(), 0, "{}", place.idp.counters());
    place.token().run().ok();
}

/// NEEDS 8: no rename can replace such a file, so a refresh writes the host's file, or fails
/// before the token is spent.
#[test]
fn an_account_file_that_is_mounted_alone_never_costs_its_refresh_token() {
    let place = Place::new();
    place.signed_in(EXPIRED_S);
    let source = place.home.work().join("of-the-host.json");
    let Some(_bound) = BoundFile::over(&place.file(), &source) else { return };
    let output = place.token().run();
    let host = place.home.read_json(&source);
    let is_good = place.idp.accepts_refresh(text(&host, "refresh_token"));
    output.check(is_good, "a refresh token that still works");
    if output.status != Some(0) {
        output.code(5).stdout_is("").stderr_has("me@example.com.json");
        assert_eq!(place.idp.requests().len(), 0);
    }
}
