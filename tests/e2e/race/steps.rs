//! A kill in front of every single step of a refresh and of a login; and each step failing.

use std::fs;

use serde_json::{Value, json};

use super::shim::{Shim, Trace};
use crate::support::command::Output;
use crate::support::sandbox::write_private;
use crate::token::place::{EXPIRED_S, FRESH_S, Place, text};

/// More calls than any command makes.
const MOST_STEPS: usize = 300;
const SIGKILL: i32 = 9;
const OTHER: &str = "other@example.com";

/// Everything below the home is for its owner alone.
fn assert_private(place: &Place, what: &str) {
    for file in place.home.files(&place.home.home()) {
        let mode = place.home.mode(&file);
        assert_eq!(mode & 0o177, 0, "{what}: {}\n{}", file.display(), place.home.listing());
    }
}

/// The account file is byte for byte the old one, or, once it was renamed, a whole new one.
fn check_file(place: &Place, account: &str, before: &str, is_renamed: bool, what: &str) -> Value {
    let file = place.home.account_file(place.provider, account);
    let after = place.home.read(&file);
    assert_eq!(after != before, is_renamed, "{what}");
    let stored = place.home.read_json(&file);
    if is_renamed {
        assert!(place.idp.accepts_refresh(text(&stored, "refresh_token")), "{what}: {stored}");
    }
    stored
}

/// What one refresh that did not go through has to leave; whether the answer was lost.
fn check_refresh(
    place: &Place,
    account: &str,
    before: &str,
    output: &Output,
    trace: &Trace,
) -> (bool, bool) {
    let what = trace.what();
    let file = place.home.account_file(place.provider, account);
    let is_renamed = trace.has_done("rename", Some(&file));
    let was_asked = trace.has_done("send", None);
    check_file(place, account, before, is_renamed, &what);
    output.check(output.stdout.is_empty() || is_renamed, &format!("{what}: shown too early"));
    output.stderr_lacks("panicked");
    assert_private(place, &what);
    let next = place.token_of(account).run();
    let is_lost = next.status == Some(4);
    next.check(next.status == Some(0) || (is_lost && was_asked && !is_renamed), &what);
    if is_lost {
        next.stdout_is("").stderr_has("  try: keyfob login my-idp/step");
    } else {
        let stored = place.home.read_account(place.provider, account);
        next.stdout_is(&format!("{}\n", text(&stored, "access_token")));
    }
    (is_renamed, is_lost)
}

#[test]
fn a_kill_at_every_step_of_a_refresh_leaves_the_old_or_the_new_credential() {
    let place = Place::new();
    let Some(shim) = Shim::build(&place.home.work()) else { return };
    let other = place.signed_in_as(OTHER, FRESH_S);
    let other_file = place.home.account_file(place.provider, OTHER);
    let other_before = place.home.read(&other_file);
    let (mut renewed, mut lost) = (0, 0);
    for step in 1..MOST_STEPS {
        let account = format!("step{step}@example.com");
        place.signed_in_as(&account, EXPIRED_S);
        let before = place.home.read(&place.home.account_file(place.provider, &account));
        let output = shim.kill(step, place.token_of(&account)).run();
        let Some(trace) = shim.trace(step) else { return };
        if output.signal != Some(SIGKILL) {
            output.ok();
            println!("{} steps, {renewed} after the rename, {lost} with a lost answer", step - 1);
            assert!(step > 20 && renewed > 0 && lost > 0, "{step}, {renewed}, {lost}");
            sweeps_what_the_dead_left(&place);
            return;
        }
        let (is_renamed, is_lost) = check_refresh(&place, &account, &before, &output, &trace);
        renewed += usize::from(is_renamed);
        lost += usize::from(is_lost);
        assert_eq!(place.home.read(&other_file), other_before, "{}", trace.what());
        let output = place.token_of(OTHER).run();
        output.ok().stdout_is(&format!("{}\n", other.access_token));
    }
    panic!("more than {MOST_STEPS} steps");
}

fn sweeps_what_the_dead_left(place: &Place) {
    assert!(!place.temp_files().is_empty(), "some kill left an unfinished write");
    place.home.cmd(&["login", "my-idp", "--print-auth-url"]).run().ok();
    assert!(place.temp_files().is_empty(), "{}", place.home.listing());
}

#[test]
fn a_failure_at_every_step_of_a_refresh_is_told_in_words_and_loses_no_account() {
    let place = Place::new();
    let Some(shim) = Shim::build(&place.home.work()) else { return };
    for step in 1..MOST_STEPS {
        let account = format!("step{step}@example.com");
        place.signed_in_as(&account, EXPIRED_S);
        let before = place.home.read(&place.home.account_file(place.provider, &account));
        let output = shim.fail(step, place.token_of(&account)).run();
        let Some(trace) = shim.trace(step) else { return };
        if trace.len() < step {
            output.ok();
            return;
        }
        let is_clean = match output.status {
            Some(0) => output.stdout.lines().count() == 1,
            // A last attempt to write to stdout may succeed where the one before failed.
            Some(1 | 3 | 5) => {
                let is_over = output.stdout.is_empty() || trace.what().contains("write");
                is_over && output.stderr.starts_with("keyfob: ")
            }
            _ => false,
        };
        output.check(is_clean, &trace.what());
        check_refresh(&place, &account, &before, &output, &trace);
    }
    panic!("more than {MOST_STEPS} steps");
}

#[test]
fn a_kill_at_every_step_of_a_refused_refresh_leaves_the_credential() {
    let place = Place::new();
    let Some(shim) = Shim::build(&place.home.work()) else { return };
    for step in 1..MOST_STEPS {
        let changes = json!({"refresh_token": "rt_of_another_life"});
        place.signed_in_with(EXPIRED_S, &changes);
        let _ = fs::remove_file(place.lock_file());
        let before = place.stored();
        let output = shim.kill(step, place.token()).run();
        let Some(trace) = shim.trace(step) else { return };
        if output.signal != Some(SIGKILL) {
            output.code(4);
            return;
        }
        let what = trace.what();
        let after = place.stored();
        for key in ["access_token", "refresh_token", "expires_at", "refreshed_at"] {
            assert_eq!(after[key], before[key], "{what}");
        }
        let is_renamed = trace.has_done("rename", Some(&place.file()));
        assert_eq!(after["refused"].is_object(), is_renamed, "{what}");
        assert_private(&place, &what);
        let next = place.token().run();
        next.check(next.status == Some(4), &what);
        next.stdout_is("").stderr_has("  try: keyfob login my-idp/me@example.com\n");
    }
    panic!("more than {MOST_STEPS} steps");
}

#[test]
fn a_kill_at_every_step_of_a_first_login_leaves_no_account_or_a_whole_one() {
    kill_logins(false);
}

#[test]
fn a_kill_at_every_step_of_a_further_login_leaves_the_old_or_the_new_credential() {
    kill_logins(true);
}

fn kill_logins(has_account: bool) {
    let place = Place::new();
    let Some(shim) = Shim::build(&place.home.work()) else { return };
    for step in 1..MOST_STEPS {
        let account = format!("step{step}@example.com");
        let file = place.home.account_file(place.provider, &account);
        if has_account {
            place.signed_in_as(&account, FRESH_S);
        }
        let before = fs::read_to_string(&file).unwrap_or_default();
        let callback = place.callback(&account);
        let finish = ["login", "--callback-url", &callback];
        let output = shim.kill(step, place.home.cmd(&finish)).run();
        let Some(trace) = shim.trace(step) else { return };
        if output.signal != Some(SIGKILL) {
            output.ok();
            println!("{} steps", step - 1);
            assert!(step > 25, "only {step} steps: the shim misses calls");
            return;
        }
        let what = trace.what();
        let is_renamed = trace.has_done("rename", Some(&file));
        assert_private(&place, &what);
        let next = place.token_of(&account).run();
        if has_account || is_renamed {
            let stored = check_file(&place, &account, &before, is_renamed, &what);
            next.check(next.status == Some(0), &what);
            next.stdout_is(&format!("{}\n", text(&stored, "access_token")));
        } else {
            assert!(!file.exists(), "{what}");
            next.check(next.status == Some(4), &what);
        }
        // What is not finished can be finished now, unless the code was spent; what is finished
        // says so, and its code is not sent again: that would take the new tokens back.
        let again = place.home.cmd(&finish).run();
        again.stderr_lacks("panicked");
        let was_asked = trace.has_done("send", None);
        match again.status {
            Some(0) => again.check(!is_renamed, &what),
            Some(1) => again.check(!is_renamed && was_asked, &what),
            _ => again.check(again.status == Some(6) && was_asked, &what),
        };
        if is_renamed {
            let stored = place.home.read_account(place.provider, &account);
            assert!(place.idp.accepts_refresh(text(&stored, "refresh_token")), "{what}");
        }
        forget_everything(&place);
    }
    panic!("more than {MOST_STEPS} steps");
}

/// A login looks at every account and every login under way; the next one begins without them.
fn forget_everything(place: &Place) {
    for folder in ["accounts", "pending"] {
        fs::remove_dir_all(place.home.home().join(folder)).expect("it is ours");
    }
}

#[test]
fn a_failure_at_every_step_of_a_login_is_told_in_words_and_loses_no_account() {
    let place = Place::new();
    let Some(shim) = Shim::build(&place.home.work()) else { return };
    for step in 1..MOST_STEPS {
        let account = format!("step{step}@example.com");
        let file = place.home.account_file(place.provider, &account);
        place.signed_in_as(&account, FRESH_S);
        let before = place.home.read(&file);
        let callback = place.callback(&account);
        let finish = ["login", "--callback-url", &callback];
        let output = shim.fail(step, place.home.cmd(&finish)).run();
        let Some(trace) = shim.trace(step) else { return };
        if trace.len() < step {
            output.ok();
            return;
        }
        let what = trace.what();
        let is_clean = match output.status {
            Some(0) => true,
            Some(1 | 3 | 5) => output.stderr.contains("keyfob: "),
            // Nothing was touched: the same call can be made again.
            Some(6) => place.home.cmd(&finish).run().status == Some(0),
            _ => false,
        };
        output.check(is_clean, &what);
        if output.status == Some(6) {
            forget_everything(&place);
            continue;
        }
        output.stdout_is("").stderr_lacks("panicked");
        let is_renamed = trace.has_done("rename", Some(&file));
        output.check(output.status != Some(0) || is_renamed, &format!("{what}: success said"));
        let stored = check_file(&place, &account, &before, is_renamed, &what);
        assert_private(&place, &what);
        let next = place.token_of(&account).run();
        next.check(next.status == Some(0), &what);
        next.stdout_is(&format!("{}\n", text(&stored, "access_token")));
        forget_everything(&place);
    }
    panic!("more than {MOST_STEPS} steps");
}

/// Every renewal replaces the file by a rename: whoever reads at that moment has the old one or the
/// new one, and no error.
#[test]
fn a_file_replaced_in_the_middle_of_reading_it_is_read_all_the_same() {
    let place = Place::new();
    let Some(shim) = Shim::build(&place.home.work()) else { return };
    let newer = place.signed_in(FRESH_S);
    let by = place.home.work().join("newer");
    write_private(&by, &place.home.read(&place.file()));
    place.signed_in(FRESH_S);
    let output = shim.swap(&by, &place.file(), place.token()).run();
    if shim.trace(0).is_none() {
        return;
    }
    output.check(!by.exists(), "the files were swapped");
    output.ok().stdout_is(&format!("{}\n", newer.access_token));
}

/// Network homes: what such a file system says to flock, by errno.
#[test]
fn a_file_system_that_cannot_lock_is_told_with_the_way_round_it() {
    for (name, errno) in [("ENOLCK", 37), ("ENOSYS", 38), ("EOPNOTSUPP", 95)] {
        let place = Place::new();
        let Some(shim) = Shim::build(&place.home.work()) else { return };
        place.signed_in(EXPIRED_S);
        let before = place.bytes();
        let output = shim.fail_all("flock", errno, place.token()).run();
        if shim.trace(0).is_none() {
            return;
        }
        output.check(output.status == Some(5), name);
        output.stdout_is("").stderr_has("me@example.com.lock").stderr_has("KEYFOB_LOCK=off");
        assert_eq!(place.idp.requests().len(), 0, "{name}");
        assert_eq!(place.bytes(), before, "{name}");
        let off = shim.fail_all("flock", errno, place.token()).env("KEYFOB_LOCK", "off").run();
        off.ok().stdout_is(&format!("{}\n", text(&place.stored(), "access_token")));
    }
}
