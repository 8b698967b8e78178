//! What people do to accounts while the gateway uses and renews them.

use std::fs;
use std::time::Duration;

use serde_json::json;

use super::kit::{CHAT, Kit, LIMIT, SIGNED, SOON, chat, eventually, rest};
use crate::support::many_api::Does;

/// Seconds left of an hour's token that is due.
const DUE_S: i64 = 200;

/// The old key is turned away after the new one came: that says nothing about the new one.
#[test]
fn a_key_that_was_replaced_while_it_was_turned_away_is_not_held_against_the_new_one() {
    let kit = Kit::new();
    kit.keys(CHAT, &["one"]);
    kit.api.does_first("one", [Does::HoldRefusal(401, "revoked")]);
    let serving = kit.serve();
    let late = serving.begin(&chat());
    kit.api.holds(1);
    kit.api.knows("key-new", "new");
    kit.key_is(CHAT, "one", "key-new", json!({}));
    eventually("the new key is used", SOON, || {
        (serving.answered_by(&chat()) == "new").then_some(())
    });
    kit.api.release();
    let answer = rest(late);
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("from new"), "{answer}");
    assert_eq!(serving.answered_by(&chat()), "new");
}

#[test]
fn what_a_person_sets_while_a_token_is_renewed_is_kept_with_the_new_token() {
    let kit = Kit::new();
    let old = kit.signed_in("one", DUE_S);
    kit.api.renews_slowly(Duration::from_millis(1_500));
    let _serving = kit.serve();
    kit.api.is_renewing(1);
    kit.home.cmd(&["account", "set", "signed/one", "note=mine", "priority=7"]).run().ok();
    let stored = eventually("the new token", LIMIT, || {
        Some(kit.stored("one")).filter(|stored| stored["access_token"] != json!(old.access_token))
    });
    assert_eq!(stored["attributes"], json!({"note": "mine", "priority": "7"}));
    assert_eq!((kit.api.renewals("one"), kit.api.reused()), (1, 0));
}

#[test]
fn an_account_that_is_logged_out_while_it_is_renewed_stays_out() {
    let kit = Kit::new();
    kit.signed_in("one", DUE_S);
    kit.signed_in("other", DUE_S);
    kit.api.renews_slowly(Duration::from_millis(1_500));
    let serving = kit.serve();
    kit.api.is_renewing(2);
    kit.home.cmd(&["logout", &format!("{SIGNED}/one")]).run().ok();
    let other = kit.home.account_file(SIGNED, "other");
    fs::remove_file(&other).expect("it is there");
    eventually("both renewals", LIMIT, || {
        (kit.api.renewals("one") == 1 && kit.api.renewals("other") == 1).then_some(())
    });
    // A later pass renews what came later: by then the others are long done.
    let later = kit.signed_in("later", DUE_S);
    eventually("a later renewal", LIMIT, || {
        (kit.stored("later")["access_token"] != json!(later.access_token)).then_some(())
    });
    fs::remove_file(kit.home.account_file(SIGNED, "later")).expect("it is there");
    serving.ask_until("nobody is left", &chat(), |page| page.status == 400);
    assert!(!kit.home.account_file(SIGNED, "one").exists());
    assert!(!other.exists(), "{}", kit.home.listing());
}
