//! How often a login asks (RFC 8628 section 3.5), in one process and in several.

use std::time::Instant;

use serde_json::json;

use super::{Begun, LIMIT, Polling, ask, assert_gaps, completing, demo};
use crate::support::idp::{Fault, Interval, Times};

/// A login that is approved after so many polls; the seconds between them all.
fn paced(interval: Interval, slow_downs: &[Option<u64>], polls: usize, wanted_s: &[f64]) {
    let demo = demo();
    demo.idp.shape_device(|shape| shape.interval = interval);
    slow_downs.iter().for_each(|named| demo.idp.slow_down_next(1, *named));
    let polling = Polling::start(&demo, &[]);
    demo.idp.wait_for("device_pending", polls);
    polling.approved(&demo).ok();
    assert_gaps(&demo, wanted_s);
    demo.idp.assert_content();
}

/// Qwen's way.
fn slowed_down_with_429() {
    let demo = demo();
    let slow = Fault::json(429, &json!({"error": "slow_down", "interval": 3}));
    demo.idp.fault("device_poll", slow, Times::Once);
    let polling = Polling::start(&demo, &[]);
    demo.idp.wait_for("device_poll", 1);
    polling.approved(&demo).ok();
    assert_gaps(&demo, &[3.0]);
}

#[test]
fn the_interval_and_every_change_of_it_is_obeyed_to_the_second() {
    std::thread::scope(|scope| {
        scope.spawn(|| paced(Interval::Absent, &[], 1, &[5.0]));
        scope.spawn(|| paced(Interval::Text(2), &[], 3, &[2.0; 3]));
        scope.spawn(|| paced(Interval::Number(1), &[], 4, &[1.0; 4]));
        scope.spawn(|| paced(Interval::Number(1), &[None], 1, &[6.0]));
        scope.spawn(|| paced(Interval::Number(1), &[Some(3)], 2, &[3.0; 2]));
        // A smaller value is no slowing down.
        scope.spawn(|| paced(Interval::Number(1), &[Some(1)], 1, &[6.0]));
        scope.spawn(slowed_down_with_429);
    });
}

#[test]
fn a_server_that_names_its_pause_gets_it() {
    let demo = demo();
    demo.idp.shape_device(|shape| shape.interval = Interval::Number(1));
    demo.idp.fault("device_poll", Fault::RetryAfter(429, "4".into()), Times::Once);
    let polling = Polling::start(&demo, &[]);
    demo.idp.wait_for("device_poll", 1);
    polling.approved(&demo).ok();
    assert_gaps(&demo, &[4.0]);
}

#[test]
fn asking_once_again_and_again_is_not_asking_too_often() {
    let demo = demo();
    let begun = Begun::of(&demo, "demo");
    let deadline = Instant::now() + LIMIT;
    for _ in 0..2 {
        ask(&demo).code(6);
    }
    demo.idp.approve_device(&begun.user_code);
    while ask(&demo).status != Some(0) {
        assert!(Instant::now() < deadline);
    }
    demo.idp.assert_content();
}

#[test]
fn a_later_process_keeps_to_what_an_earlier_one_was_told() {
    let demo = demo();
    let begun = Begun::of(&demo, "demo");
    demo.idp.slow_down_next(1, Some(2));
    completing(&demo, &["--wait", "1"]).run().code(6);
    assert_eq!(demo.idp.count("device_poll"), 1);
    demo.idp.approve_device(&begun.user_code);
    completing(&demo, &["--wait", "8"]).run().ok();
    assert_gaps(&demo, &[2.0]);
    demo.idp.assert_content();
}
