//! Many processes at once on one account.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::running::Running;
use crate::support::sandbox::write_private;
use crate::token::place::{EXPIRED_S, FRESH_S, Place, STALE_S, text};

const LIMIT: Duration = Duration::from_secs(30);

fn crowd(place: &Place, count: usize) -> Vec<Running> {
    (0..count).map(|_| place.token().spawn()).collect()
}

#[test]
fn two_hundred_processes_share_one_refresh() {
    for ttl_s in [EXPIRED_S, STALE_S] {
        let place = Place::new();
        place.signed_in(ttl_s);
        let begun = Instant::now();
        let running = crowd(&place, 200);
        let outputs: Vec<_> = running.into_iter().map(|child| child.wait(LIMIT)).collect();
        println!("200 processes, {ttl_s} s left: {:?}", begun.elapsed());
        let wanted = format!("{}\n", text(&place.stored(), "access_token"));
        for output in &outputs {
            output.ok().stdout_is(&wanted);
            output.check(output.stderr.is_empty(), "not a word");
        }
        assert_eq!(place.refreshes(), 1, "{}", place.idp.counters());
        assert!(place.idp.accepts_refresh(text(&place.stored(), "refresh_token")));
        assert!(place.temp_files().is_empty(), "{}", place.home.listing());
        assert!(begun.elapsed() < LIMIT);
        place.idp.assert_content();
    }
}

/// However short the life of what the first one got, the others take it.
#[test]
fn a_crowd_shares_a_token_that_lives_for_seconds() {
    let place = Place::new();
    place.signed_in(EXPIRED_S);
    place.idp.set_access_lifetime(20);
    let running = crowd(&place, 30);
    let outputs: Vec<_> = running.into_iter().map(|child| child.wait(LIMIT)).collect();
    let wanted = format!("{}\n", text(&place.stored(), "access_token"));
    for output in &outputs {
        output.ok().stdout_is(&wanted);
    }
    assert_eq!(place.refreshes(), 1, "{}", place.idp.counters());
}

#[test]
fn a_crowd_asks_once_when_the_answer_is_no() {
    let place = Place::new();
    place.signed_in_with(EXPIRED_S, &json!({"refresh_token": "rt_of_another_life"}));
    let running = crowd(&place, 50);
    for child in running {
        let output = child.wait(LIMIT);
        output.code(4).stdout_is("");
        output.stderr_has("\n  try: keyfob login my-idp/me@example.com\n");
    }
    assert_eq!(place.refreshes(), 1, "{}", place.idp.counters());
    place.idp.assert_content();
}

/// Every renewal replaces the file by a rename; whoever reads at that moment has the old one or the
/// new one, and no error.
#[test]
fn a_file_that_is_replaced_while_it_is_read_is_read_all_the_same() {
    let place = Place::new();
    let grant = place.signed_in(FRESH_S);
    let file = place.file();
    let twins = ["one", "two"].map(|name| place.home.work().join(name));
    for twin in &twins {
        write_private(twin, &place.home.read(&file));
    }
    let next = place.home.work().join("next");
    let (begun, is_over) = (Instant::now(), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            for twin in twins.iter().cycle() {
                fs::hard_link(twin, &next).expect("both are ours");
                fs::rename(&next, &file).expect("both are ours");
                if is_over.load(Ordering::Relaxed) || begun.elapsed() > LIMIT {
                    return;
                }
            }
        });
        let running = crowd(&place, 100);
        let outputs: Vec<_> = running.into_iter().map(|child| child.wait(LIMIT)).collect();
        is_over.store(true, Ordering::Relaxed);
        for output in outputs {
            output.ok().stdout_is(&format!("{}\n", grant.access_token));
        }
    });
}
