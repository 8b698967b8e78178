//! A fresh credential costs one file read; how fresh it has to be.

use serde_json::json;

use super::place::{FRESH_S, Place, STALE_S, text};
use super::shell::as_somebody;
use crate::support::sandbox::{in_seconds, set_mode, write_private};

#[test]
fn a_fresh_token_is_printed_alone_without_a_request_or_a_lock() {
    let place = Place::new();
    let grant = place.signed_in(FRESH_S);
    let before = place.bytes();
    let output = place.token().run();
    output.ok().stdout_is(&format!("{}\n", grant.access_token));
    output.check(output.stderr.is_empty(), "nothing on stderr");
    output.check(!place.lock_file().exists(), "no lock file");
    assert_eq!(place.bytes(), before);
    assert_eq!(place.idp.requests().len(), 0);
}

#[test]
fn a_fresh_token_comes_from_a_folder_nobody_can_write_to() {
    let place = Place::new();
    let grant = place.signed_in(FRESH_S);
    let folder = place.file().parent().expect("a folder").to_path_buf();
    for folder in [folder.as_path(), folder.parent().expect("accounts"), &place.home.home()] {
        set_mode(folder, 0o500);
    }
    let output = as_somebody(&place.home, &["token", place.provider]);
    output.ok().stdout_is(&format!("{}\n", grant.access_token));
    output.check(!place.lock_file().exists(), "no lock file");
}

#[test]
fn damaged_settings_do_not_keep_the_only_account_from_its_token() {
    let place = Place::new();
    let grant = place.signed_in(FRESH_S);
    let config = place.home.home().join("config.json");
    for damage in ["", "{", "[]", "{\"providers\": 7", "\u{0}\u{0}"] {
        write_private(&config, damage);
        place.token().run().ok().stdout_is(&format!("{}\n", grant.access_token));
        assert_eq!(place.home.read(&config), damage);
    }
    place.signed_in_as("other@example.com", FRESH_S);
    write_private(&config, "{");
    let output = place.token().run();
    output.code(5).stdout_is("").stderr_has("config.json");
    let named = place.token_of("me@example.com").run();
    named.ok().stdout_is(&format!("{}\n", grant.access_token));
}

/// Sixty seconds or a tenth of the lifetime, whichever is smaller (CLI.md section 4).
#[test]
fn the_margin_is_a_minute_or_a_tenth_of_the_lifetime() {
    for (lifetime_s, left_s, is_fresh) in [
        (3600, 90, true),
        (3600, 50, false),
        (86_400, 90, true),
        (86_400, 50, false),
        (300, 48, true),
        (300, 20, false),
        (600, 50, false),
    ] {
        let place = Place::new();
        let refreshed_at = in_seconds(left_s - lifetime_s);
        let old = place.signed_in_with(left_s, &json!({"refreshed_at": refreshed_at}));
        let output = place.token().run();
        let is_old = output.ok().line() == old.access_token;
        output.check(is_old == is_fresh, &format!("{left_s} of {lifetime_s} s: {is_fresh}"));
        assert_eq!(place.refreshes(), usize::from(!is_fresh), "{left_s} of {lifetime_s} s");
    }
}

#[test]
fn a_token_without_an_expiry_is_handed_out() {
    let place = Place::new();
    let grant = place.signed_in_with(FRESH_S, &json!({"expires_at": null}));
    place.token().run().ok().stdout_is(&format!("{}\n", grant.access_token));
    assert_eq!(place.idp.requests().len(), 0);
}

/// The least a file written by hand may hold (CLI.md section 4 has the whole shape).
#[test]
fn a_file_written_by_hand_may_leave_much_out() {
    let place = Place::new();
    let least = json!({"version": 1, "provider": place.provider, "account": "by-hand",
                       "kind": "oauth", "access_token": "at_by_hand"});
    place.home.write_account(place.provider, "by-hand", &least);
    place.token().run().ok().stdout_is("at_by_hand\n");
    assert_eq!(place.idp.requests().len(), 0);
}

/// What was written in the future was written by a wrong clock, so its expiry proves nothing.
#[test]
fn a_credential_from_the_future_is_renewed() {
    let place = Place::new();
    let changes =
        json!({"refreshed_at": in_seconds(86_400), "expires_at": in_seconds(86_400 + 3600)});
    let old = place.signed_in_with(FRESH_S, &changes);
    let output = place.token().run();
    output.check(output.ok().line() != old.access_token, "another token");
    assert_eq!(place.refreshes(), 1);
    place.token().run().ok().stdout_is(&output.stdout);
    assert_eq!(place.refreshes(), 1, "now it is fresh");
}

#[test]
fn a_token_that_lives_long_enough_for_min_ttl_costs_no_request() {
    let place = Place::new();
    let grant = place.signed_in(600);
    let output = place.token().arg("--min-ttl").arg("300").run();
    output.ok().stdout_is(&format!("{}\n", grant.access_token));
    assert_eq!(place.idp.requests().len(), 0);
}

#[test]
fn min_ttl_renews_a_token_that_is_fresh_but_too_short() {
    let place = Place::new();
    let old = place.signed_in(600);
    let output = place.token().arg("--min-ttl=1200").run();
    output.check(output.ok().line() != old.access_token, "another token");
    assert_eq!(place.refreshes(), 1);
    place.idp.assert_content();
}

#[test]
fn a_provider_that_gives_less_than_min_ttl_is_temporary_and_nothing_is_handed_out() {
    let place = Place::new();
    place.signed_in(600);
    place.idp.set_access_lifetime(500);
    let output = place.token().arg("--min-ttl").arg("1200").run();
    output.code(3).stdout_is("").stderr_has("keyfob: ");
    output.stderr_has("8 min").stderr_has("20 min");
    let stored = place.stored();
    assert!(place.idp.accepts_refresh(text(&stored, "refresh_token")), "{stored}");
    let output = place.token().run();
    output.ok().stdout_is(&format!("{}\n", text(&stored, "access_token")));
}

#[test]
fn min_ttl_without_a_refresh_token_needs_a_sign_in() {
    let place = Place::new();
    let grant = place.signed_in_with(600, &json!({"refresh_token": null}));
    let output = place.token().arg("--min-ttl").arg("1200").run();
    output.code(4).stdout_is("").stderr_has("  try: keyfob login my-idp/me@example.com\n");
    assert_eq!(place.idp.requests().len(), 0);
    place.token().run().ok().stdout_is(&format!("{}\n", grant.access_token));
}

#[test]
fn min_ttl_is_a_number_of_seconds() {
    let place = Place::new();
    place.signed_in(FRESH_S);
    for wrong in ["20m", "-1", "", "soon"] {
        let output = place.token().arg("--min-ttl").arg(wrong).run();
        output.code(2).stdout_is("").stderr_has("--min-ttl");
    }
}

/// CLI.md section 4: exit 4 is for what expired without a refresh; until then it is usable.
#[test]
fn a_token_that_cannot_be_renewed_is_handed_out_while_it_lives() {
    let place = Place::new();
    let grant = place.signed_in_with(STALE_S, &json!({"refresh_token": null}));
    let output = place.token().run();
    output.ok().stdout_is(&format!("{}\n", grant.access_token));
    assert_eq!(place.idp.requests().len(), 0);
}

#[test]
fn an_expired_token_that_cannot_be_renewed_needs_a_sign_in() {
    let place = Place::new();
    place.signed_in_with(-60, &json!({"refresh_token": null}));
    let before = place.bytes();
    let output = place.token().run();
    output.code(4).stdout_is("").stderr_has("  try: keyfob login my-idp/me@example.com\n");
    assert_eq!(place.bytes(), before);
    assert_eq!(place.idp.requests().len(), 0);
}
