//! Nothing is wrong, nothing is changed, and hardly anything is asked.

use std::fs;

use serde_json::json;

use super::{doctor, faults, findings, offline, only};
use crate::support::idp::{Dialect, Idp};
use crate::support::sandbox::{Sandbox, oauth_account};
use crate::token::place::{EXPIRED_S, FRESH_S, ME, MY_IDP, Place, row_of};

#[test]
fn an_empty_home_is_healthy_and_is_not_made() {
    let sandbox = Sandbox::new();
    for words in [&["doctor"][..], &["doctor", "--json"], &["doctor", "--offline", "--json"]] {
        let output = sandbox.cmd(words).run();
        output.ok();
        assert!(output.stdout.contains("is not there yet") && output.stderr.is_empty());
        assert!(!sandbox.home().exists(), "{}", sandbox.listing());
    }
    only(&sandbox.cmd(&["doctor", "--json"]).run(), &[]);
}

#[test]
fn a_home_without_accounts_asks_nobody() {
    let place = Place::new();
    only(&doctor(&place).run(), &[]);
    assert_eq!(place.idp.requests().len(), 0);
}

/// An expired token with a refresh token is as good as any.
#[test]
fn a_healthy_machine_has_no_fault_and_nothing_is_changed() {
    for ttl_s in [FRESH_S, EXPIRED_S] {
        let place = Place::new();
        let grant = place.signed_in(ttl_s);
        let before = (place.bytes(), place.home.listing());
        let output = doctor(&place).run();
        only(&output, &[]);
        let all = findings(&output);
        for check in ["home", "space", "locks", "config", "host", "clock", "account", "ports"] {
            assert!(all.iter().any(|finding| finding["code"] == check), "{check}: {all:?}");
        }
        assert_eq!((place.bytes(), place.home.listing()), before, "nothing is left behind");
        assert!(place.idp.accepts_refresh(&grant.refresh_token));

        let requests = place.idp.requests();
        assert_eq!(requests.len(), 1, "{requests:?}");
        let wanted = concat!("keyfob/", env!("CARGO_PKG_VERSION"));
        assert_eq!((requests[0].method.as_str(), requests[0].path.as_str()), ("HEAD", "/"));
        assert_eq!(requests[0].header("user-agent"), Some(wanted));
        assert_eq!((requests[0].header("authorization"), requests[0].query.as_str()), (None, ""));
        place.idp.assert_content();
    }
}

#[test]
fn offline_asks_nobody_and_looks_at_all_else() {
    let place = Place::new();
    place.signed_in_with(
        FRESH_S,
        &json!({"refused": {"code": "gone", "at": "2026-01-01T00:00:00Z"}}),
    );
    let output = offline(&place).run();
    only(&output, &[("account_refused", "error")]);
    assert!(findings(&output).iter().all(|finding| finding["code"] != "host"));
    assert_eq!(place.idp.requests().len(), 0);
}

#[test]
fn each_server_is_asked_once_however_many_accounts_it_has() {
    let place = Place::new();
    let other = Idp::start(Dialect::oidc());
    place
        .home
        .write_config(&json!({"providers": {MY_IDP: row_of(&place.idp), "other": row_of(&other)}}));
    place.signed_in(FRESH_S);
    place.signed_in_as("you@example.com", FRESH_S);
    let account = oauth_account("other", ME, &other.grant(), FRESH_S);
    place.home.write_account("other", ME, &account);
    only(&doctor(&place).run(), &[]);
    assert_eq!((place.idp.requests().len(), other.requests().len()), (1, 1));
}

/// A provider that is run at many addresses is asked at that of the account.
#[test]
fn an_account_at_an_instance_is_asked_there() {
    let place = Place::new();
    let elsewhere = Idp::start(Dialect::oidc());
    let mut row = row_of(&place.idp);
    row["instance"] = json!({"row": {"token_url": "{instance}/token"}});
    place.home.write_config(&json!({"providers": {MY_IDP: row}}));
    place.signed_in_with(FRESH_S, &json!({"extra": {"instance": elsewhere.origin()}}));
    only(&doctor(&place).run(), &[]);
    assert_eq!((place.idp.requests().len(), elsewhere.requests().len()), (0, 1));
}

#[test]
fn people_read_one_line_for_what_is_well_and_three_for_what_is_not() {
    let place = Place::new();
    place.signed_in(FRESH_S);
    let well = place.home.cmd(&["doctor"]).run();
    well.ok().stderr_lacks("keyfob");
    assert!(well.stdout.lines().all(|line| line.starts_with("ok      ")), "{}", well.report());
    fs::write(place.file(), "{").expect("ours");
    let ill = place.home.cmd(&["doctor"]).run();
    ill.code(1).stderr_has("keyfob: 1 problem found: account_damaged\n");
    ill.stderr_has("\n  try: keyfob login my-idp/me@example.com\n");
    let told = "error   my-idp/me@example.com is damaged (account_damaged)\n        cause: it is no \
                JSON from line 1 on\n        fix: keyfob login my-idp/me@example.com\n";
    ill.check(ill.stdout.contains(told), "what, cause and fix");
}

#[test]
fn several_faults_are_told_at_once() {
    let place = Place::new();
    place.signed_in(FRESH_S);
    fs::write(place.file(), "{").expect("ours");
    let output = offline(&place).env("KEYFOB_CA_FILE", "/nowhere").env("KEYFOB_LOCK", "off").run();
    only(
        &output,
        &[("lock_off", "warning"), ("ca_file_unreadable", "error"), ("account_damaged", "error")],
    );
    let message = output.error_json()["message"].clone();
    assert_eq!(message, "2 problems found: ca_file_unreadable and account_damaged");
    assert_eq!(faults(&output).len(), 3);
}

#[test]
fn a_bad_call_is_a_usage_error() {
    let sandbox = Sandbox::new();
    for words in [&["doctor", "x"][..], &["doctor", "--timeout", "x"], &["doctor", "--nosuch"]] {
        sandbox.cmd(words).run().code(2).stdout_is("").stderr_has("keyfob: ");
    }
}
