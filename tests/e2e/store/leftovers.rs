//! What killed processes leave behind is swept by the next login, and nothing else is.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::support::sandbox::write_private;
use crate::token::place::{FRESH_S, Place};

fn begin_a_login(place: &Place) {
    place.home.cmd(&["login", "my-idp", "--print-auth-url"]).run().ok();
}

/// A temp file as a killed refresh leaves it.
fn temp_of(place: &Place) -> PathBuf {
    let name = format!("{}.tmp-00112233aabbccdd", place.file().display());
    let path = PathBuf::from(name);
    write_private(&path, "{\"access_token\": \"half");
    path
}

fn lock(path: &Path) -> File {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let file = options.open(path).expect("the folder is there");
    file.try_lock().expect("nobody else holds it");
    file
}

fn make_old(path: &Path) {
    let file = File::options().write(true).open(path).expect("it is there");
    let hours_ago = SystemTime::now() - Duration::from_secs(3 * 3600);
    file.set_modified(hours_ago).expect("it is ours");
}

#[test]
fn a_temp_file_goes_with_the_next_login_once_its_account_s_lock_is_free() {
    let place = Place::new();
    place.signed_in(FRESH_S);
    let before = place.bytes();
    let temp = temp_of(&place);
    let held = lock(&place.lock_file());
    begin_a_login(&place);
    assert!(temp.exists(), "its owner is still at work\n{}", place.home.listing());
    drop(held);
    begin_a_login(&place);
    assert!(!temp.exists(), "{}", place.home.listing());
    assert_eq!(place.bytes(), before);
}

#[test]
fn an_old_temp_file_goes_though_no_lock_tells_of_its_owner() {
    let place = Place::new();
    place.signed_in(FRESH_S);
    let temp = temp_of(&place);
    let of_config = place.home.home().join("config.json.tmp-00112233aabbccdd");
    write_private(&of_config, "{");
    begin_a_login(&place);
    assert!(temp.exists() && of_config.exists(), "too young\n{}", place.home.listing());
    make_old(&temp);
    make_old(&of_config);
    begin_a_login(&place);
    assert!(!temp.exists() && !of_config.exists(), "{}", place.home.listing());
    place.token().run().ok();
}

/// Reading is not sweeping: `token` never removes a thing.
#[test]
fn token_sweeps_nothing() {
    let place = Place::new();
    place.signed_in(FRESH_S);
    let temp = temp_of(&place);
    make_old(&temp);
    place.token().run().ok();
    assert!(temp.exists());
}

/// A name that looks like an unfinished write is a name all the same.
#[test]
fn an_account_with_an_odd_name_is_no_left_over() {
    let place = Place::new();
    for account in ["ci.tmp-runner", "me.json.tmp-1", "x.json.tmp-00112233aabbccdd", "a.lock"] {
        let grant = place.signed_in_as(account, FRESH_S);
        let file = place.home.account_file(place.provider, account);
        make_old(&file);
        begin_a_login(&place);
        assert!(file.exists(), "{account} was swept\n{}", place.home.listing());
        place.token_of(account).run().ok().stdout_is(&format!("{}\n", grant.access_token));
    }
}

#[test]
fn what_is_none_of_keyfob_s_stays() {
    let place = Place::new();
    place.signed_in(FRESH_S);
    let folder = place.file().parent().expect("a folder").to_path_buf();
    let mine = [
        folder.join("notes.txt"),
        folder.join("me@example.com.json.bak"),
        place.home.home().join("README"),
    ];
    for path in &mine {
        write_private(path, "mine");
        make_old(path);
    }
    begin_a_login(&place);
    place.sign_in("me@example.com").ok();
    for path in &mine {
        assert_eq!(fs::read(path).ok().as_deref(), Some(&b"mine"[..]), "{}", path.display());
    }
    let status = place.home.cmd(&["status", "--json"]).run().ok().json();
    assert_eq!(status["accounts"].as_array().map(Vec::len), Some(1), "{status}");
}
