//! What killed processes leave behind is swept by the next login, and nothing else is.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::support::idp::{Fault, Times};
use crate::support::running::Running;
use crate::support::sandbox::write_private;
use crate::token::place::{EXPIRED_S, FRESH_S, Place};

fn begin_a_login(place: &Place) {
    place.home.cmd(&["login", "my-idp", "--print-auth-url"]).run().ok();
}

/// A refresh that waits for an answer which never comes, and its temp file.
fn hanging(place: &Place) -> (Running, PathBuf) {
    place.signed_in(EXPIRED_S);
    place.idp.fault("token_refresh", Fault::Hang, Times::Once);
    let running = place.token().spawn();
    place.idp.wait_for("token_refresh", 1);
    let files = place.temp_files();
    assert_eq!(files.len(), 1, "{}", place.home.listing());
    (running, files.into_iter().next().expect("one"))
}

/// What such a refresh leaves when it is killed.
fn left_over(place: &Place) -> PathBuf {
    let (running, temp) = hanging(place);
    drop(running);
    assert!(temp.exists(), "{}", place.home.listing());
    temp
}

fn make_old(path: &Path) {
    let file = File::options().write(true).open(path).expect("it is there");
    let hours_ago = SystemTime::now() - Duration::from_secs(3 * 3600);
    file.set_modified(hours_ago).expect("it is ours");
}

#[test]
fn a_temp_file_goes_with_the_next_login_once_its_account_s_lock_is_free() {
    let place = Place::new();
    let (running, temp) = hanging(&place);
    let before = place.bytes();
    begin_a_login(&place);
    assert!(temp.exists(), "its owner is still at work\n{}", place.home.listing());
    drop(running);
    begin_a_login(&place);
    assert!(!temp.exists(), "{}", place.home.listing());
    assert_eq!(place.bytes(), before);
}

#[test]
fn an_old_temp_file_goes_though_no_lock_tells_of_its_owner() {
    let place = Place::new();
    let temp = left_over(&place);
    fs::remove_file(place.lock_file()).expect("the refresh made it");
    begin_a_login(&place);
    assert!(temp.exists(), "too young\n{}", place.home.listing());
    make_old(&temp);
    begin_a_login(&place);
    assert!(!temp.exists(), "{}", place.home.listing());
    place.token().run().ok();
}

/// Reading is not sweeping: `token` never removes a thing.
#[test]
fn token_sweeps_nothing() {
    let place = Place::new();
    let temp = left_over(&place);
    make_old(&temp);
    place.signed_in(FRESH_S);
    place.token().run().ok();
    place.home.cmd(&["status"]).run().ok();
    assert!(temp.exists());
}

/// A name that looks like an unfinished write is a name all the same.
#[test]
fn an_account_with_an_odd_name_is_no_left_over() {
    let place = Place::new();
    for account in ["ci.tmp-runner", "me.json.tmp-1", "x.json~00112233aabbccdd", "a.lock"] {
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
