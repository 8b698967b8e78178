//! A wait that is cut short.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use super::demo::{Demo, LIMIT, free_port};
use crate::support::browser;
use crate::support::idp::{Fault, Times};

const AT_ONCE: Duration = Duration::from_secs(1);

#[test]
fn an_interrupted_wait_frees_its_port_and_leaves_the_login_to_be_finished() {
    for signal in ["INT", "TERM", "HUP"] {
        let demo = Demo::new();
        let port = free_port();
        let waiting = demo.wait(&["--callback-port", &port.to_string()]);
        let callback = waiting.approve();
        waiting.process.kill(signal);
        let output = waiting.process.wait(AT_ONCE);
        let by_signal = output.signal.map(|number| 128 + number);
        let status = output.status.or(by_signal);
        let wanted = [("INT", 130), ("TERM", 143), ("HUP", 129)];
        let wanted = wanted.iter().find(|(name, _)| *name == signal).map(|(_, code)| *code);
        output.check(status == wanted, signal).stdout_is("");
        assert!(TcpListener::bind(("127.0.0.1", port)).is_ok(), "the port is free");
        assert_eq!(demo.pending_files().len(), 1);
        demo.finish(&callback.location).ok().stdout_is("");
        demo.idp.assert_content();
    }
}

#[test]
fn an_interrupt_during_the_exchange_ends_it_at_once_and_leaves_the_login_to_be_finished() {
    let demo = Demo::new();
    let waiting = demo.wait(&[]);
    let callback = waiting.approve();
    // The issuer never carries the request out, so the code stays good.
    demo.idp.fault("token_exchange", Fault::Hang, Times::Once);
    let location = callback.location.clone();
    let browser = std::thread::spawn(move || browser::request("GET", &location, &[], ""));
    demo.idp.wait_for("token_exchange", 1);
    waiting.process.kill("INT");
    let output = waiting.process.wait(AT_ONCE);
    output.check(output.status == Some(130) || output.signal == Some(2), "interrupted");
    let _ = browser.join().unwrap();
    demo.finish(&callback.location).ok();
}

#[test]
fn nobody_coming_in_time_is_exit_6_with_the_command_to_start_again() {
    let demo = Demo::new();
    let start = Instant::now();
    let output = demo.login(&["demo/work", "--no-browser", "--wait", "1", "--json"]).run();
    output.code(6).stdout_is("").stderr_has("within 1 s").stderr_has("try: keyfob login demo/work");
    assert_eq!(output.error_json()["exit"], 6);
    let took = start.elapsed();
    assert!((AT_ONCE..Duration::from_secs(3)).contains(&took), "{took:?}");
}

#[test]
fn a_login_whose_terminal_gave_up_can_still_be_finished_elsewhere() {
    let demo = Demo::new();
    let waiting = demo.wait(&["--wait", "1"]);
    let callback = waiting.approve();
    waiting.process.wait(LIMIT).code(6).stdout_is("");
    demo.finish(&callback.location).ok();
    demo.idp.assert_content();
}
