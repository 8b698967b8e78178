//! The lock of an account: held, freed by a kill, switched off, and one for each account.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::idp::{Fault, Times};
use crate::token::place::{EXPIRED_S, FRESH_S, ME, Place, STALE_S, text};

const AT_ONCE: Duration = Duration::from_secs(4);
/// `--timeout 1`, the ten seconds on top, and a slow machine.
const LOCK_LIMIT: Duration = Duration::from_secs(25);

/// Holds the account's lock as another keyfob would, until it is dropped.
fn held(lock_file: &Path) -> File {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let file = options.open(lock_file).expect("the folder is there");
    fs::set_permissions(lock_file, fs::Permissions::from_mode(0o600)).expect("our own");
    file.try_lock().expect("nobody else holds it");
    file
}

#[test]
fn a_held_lock_ends_the_wait_with_the_holder_s_process_id() {
    let place = Place::new();
    let alive = place.signed_in_as("alive@example.com", STALE_S);
    place.signed_in(EXPIRED_S);
    let before = place.bytes();
    let _held = held(&place.lock_file());
    let alive_file = place.home.account_file(place.provider, "alive@example.com");
    let _also_held = held(&alive_file.with_extension("lock"));
    let begun = Instant::now();
    // They wait side by side.
    let waiting = ["token", "refresh"]
        .map(|verb| place.home.cmd(&[verb, "my-idp/me@example.com", "--timeout", "1"]).spawn());
    let living = place.token_of("alive@example.com").arg("--timeout").arg("1").spawn();
    for child in waiting {
        let output = child.wait(LOCK_LIMIT);
        output.code(5).stdout_is("").stderr_has("me@example.com.lock");
        output.stderr_has(&format!("process {} holds it", std::process::id()));
    }
    let output = living.wait(LOCK_LIMIT);
    output.ok().stdout_is(&format!("{}\n", alive.access_token));
    output.stderr_has("keyfob: warning: ");
    assert!(begun.elapsed() < LOCK_LIMIT);
    assert_eq!(place.idp.requests().len(), 0);
    assert_eq!(place.bytes(), before);
}

#[test]
fn a_held_lock_keeps_nobody_from_a_fresh_token() {
    let place = Place::new();
    let grant = place.signed_in(FRESH_S);
    let _held = held(&place.lock_file());
    let running = place.token().spawn();
    running.wait(AT_ONCE).ok().stdout_is(&format!("{}\n", grant.access_token));
}

/// The lock is not taken when the account turns out to be fresh while waiting for it.
#[test]
fn one_who_waits_takes_what_appears_in_the_file() {
    let place = Place::new();
    place.signed_in(EXPIRED_S);
    let _held = held(&place.lock_file());
    let running = place.token().spawn();
    // Nothing shows that it waits already; either way it must find the new credential.
    thread::sleep(Duration::from_millis(150));
    let newer = place.signed_in(FRESH_S);
    running.wait(AT_ONCE).ok().stdout_is(&format!("{}\n", newer.access_token));
    assert_eq!(place.idp.requests().len(), 0);
}

#[test]
fn a_killed_holder_frees_the_lock_at_once() {
    let place = Place::new();
    place.signed_in(EXPIRED_S);
    place.idp.fault("token_refresh", Fault::Hang, Times::Once);
    let holder = place.token().spawn();
    place.idp.wait_for("token_refresh", 1);
    let waiting: Vec<_> = (0..3).map(|_| place.token().spawn()).collect();
    let begun = Instant::now();
    holder.kill("KILL");
    let outputs: Vec<_> = waiting.into_iter().map(|child| child.wait(AT_ONCE)).collect();
    assert!(begun.elapsed() < AT_ONCE);
    let wanted = format!("{}\n", text(&place.stored(), "access_token"));
    for output in outputs {
        output.ok().stdout_is(&wanted);
    }
    assert_eq!(place.refreshes(), 2);
}

#[test]
fn accounts_are_renewed_side_by_side() {
    let place = Place::new();
    let names = ["a@example.com", "b@example.com", "c@example.com"];
    for name in names {
        place.signed_in_as(name, EXPIRED_S);
    }
    place.idp.fault("token_refresh", Fault::Delay(1500), Times::Always);
    let running = names.map(|name| place.token_of(name).spawn());
    place.idp.wait_for("token_refresh", 3);
    for child in running {
        child.wait(Duration::from_secs(20)).ok();
    }
    let at: Vec<_> = place.idp.requests_to("token_refresh").iter().map(|r| r.at).collect();
    let spread = at.iter().max().expect("three").duration_since(*at.iter().min().expect("three"));
    assert!(spread < Duration::from_millis(1500), "one after the other: {spread:?}");
}

/// A login waits for a refresh of the same account, and its credential is the one that stays.
#[test]
fn a_login_during_a_refresh_wins() {
    let place = Place::new();
    place.signed_in(EXPIRED_S);
    let callback = place.callback(ME);
    place.idp.fault("token_refresh", Fault::Delay(1200), Times::Once);
    let refreshing = place.token().spawn();
    place.idp.wait_for("token_refresh", 1);
    let login = place.home.cmd(&["login", "--callback-url", &callback]).run();
    let refreshed = refreshing.wait(Duration::from_secs(20));
    login.ok();
    refreshed.ok();
    let stored = place.stored();
    let refreshed = refreshed.line();
    assert_ne!(text(&stored, "access_token"), refreshed, "the login was written last");
    assert!(place.idp.accepts_refresh(text(&stored, "refresh_token")));
    place.token().run().ok().stdout_is(&format!("{}\n", text(&stored, "access_token")));
}

/// What was signed out does not come back with the answer of a refresh that was under way.
#[test]
fn a_logout_during_a_refresh_is_final() {
    let place = Place::new();
    place.signed_in(EXPIRED_S);
    place.idp.fault("token_refresh", Fault::Delay(1200), Times::Once);
    let refreshing = place.token().spawn();
    place.idp.wait_for("token_refresh", 1);
    place.home.cmd(&["logout", "my-idp"]).run().ok();
    let refreshed = refreshing.wait(Duration::from_secs(20));
    refreshed.check(matches!(refreshed.status, Some(0 | 4)), "a token or a clean no");
    assert!(!place.file().exists(), "{}", place.home.listing());
    place.token().run().code(4);
    // No refresh token of this sign-in works any more: the one that was current was revoked.
    let revoked = place.idp.requests_to("revoke");
    assert_eq!(revoked.len(), 1, "{}", place.idp.counters());
}

/// For file systems that cannot lock (DESIGN.md 3.12): it goes on, and warns each time.
#[test]
fn keyfob_lock_off_goes_on_without_a_lock_and_warns() {
    let place = Place::new();
    place.signed_in(EXPIRED_S);
    let _held = held(&place.lock_file());
    let running = place.token().env("KEYFOB_LOCK", "off").spawn();
    let output = running.wait(AT_ONCE);
    output.ok().stdout_is(&format!("{}\n", text(&place.stored(), "access_token")));
    output.stderr_has("keyfob: warning: ").stderr_has("KEYFOB_LOCK");
    assert_eq!(place.refreshes(), 1);
}

#[test]
fn a_symlink_in_the_lock_s_place_is_refused() {
    let place = Place::new();
    place.signed_in(EXPIRED_S);
    let target = place.home.work().join("target");
    std::os::unix::fs::symlink(&target, place.lock_file()).expect("our own folder");
    let output = place.token().run();
    output.code(5).stdout_is("").stderr_has("me@example.com.lock").stderr_has("symlink");
    assert!(!target.exists());
    assert_eq!(place.idp.requests().len(), 0);
}
