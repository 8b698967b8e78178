//! A pending login is used once, whoever comes.

use crate::login::demo::{Demo, LIMIT};
use crate::support::browser::{self, approve};
use crate::support::idp::{Fault, Times};
use crate::support::sandbox::write_private;

const PROCESSES: usize = 6;
const ROUNDS: usize = 4;

#[test]
fn of_many_processes_with_one_callback_exactly_one_asks_and_succeeds() {
    let demo = Demo::new();
    for round in 1..=ROUNDS {
        let callback = approve(&demo.print_url(&[])).location;
        let spawn = |_| demo.login(&["--callback-url", &callback]).spawn();
        let all: Vec<_> = (0..PROCESSES).map(spawn).collect();
        let outputs: Vec<_> = all.into_iter().map(|process| process.wait(LIMIT)).collect();
        let good = outputs.iter().filter(|output| output.status == Some(0)).count();
        let reports: Vec<_> = outputs.iter().map(|output| output.report()).collect();
        assert_eq!(good, 1, "{}", reports.join("\n"));
        for output in outputs.iter().filter(|output| output.status != Some(0)) {
            output.code(6).stdout_is("");
        }
        assert_eq!(demo.idp.count("token_exchange"), round);
        assert_eq!(demo.pending_files().len(), 0);
    }
    assert_eq!(demo.idp.count("code_reuse"), 0);
    demo.idp.assert_content();
}

#[test]
fn while_one_process_finishes_the_login_another_is_told_so() {
    let demo = Demo::new();
    let callback = approve(&demo.print_url(&[])).location;
    demo.idp.fault("token_exchange", Fault::Delay(500), Times::Once);
    let first = demo.login(&["--callback-url", &callback]).spawn();
    demo.idp.wait_for("token_exchange", 1);
    let second = demo.finish(&callback);
    second.code(6).stdout_is("").stderr_has("another process");
    first.wait(LIMIT).ok();
    assert_eq!(demo.idp.count("token_exchange"), 1);
}

#[test]
fn a_waiting_terminal_and_another_process_with_one_callback_both_succeed_with_one_request() {
    let demo = Demo::new();
    for round in 1..=ROUNDS {
        let waiting = demo.wait(&[]);
        let callback = waiting.approve();
        let other = demo.login(&["--callback-url", &callback.location]).spawn();
        // The port may be gone already, when the other process was first.
        let _ = browser::request("GET", &callback.location, &[], "");
        waiting.process.wait(LIMIT).ok().stdout_is("");
        let other = other.wait(LIMIT);
        other.check(matches!(other.status, Some(0 | 6)), "done, or told that it is done");
        assert_eq!(demo.idp.count("token_exchange"), round);
    }
    demo.idp.assert_content();
}

#[test]
fn a_terminal_that_came_second_takes_over_when_the_first_process_fails_for_now() {
    let demo = Demo::new();
    let waiting = demo.wait(&["--wait", "8"]);
    let callback = waiting.approve();
    demo.idp.fault("token_exchange", Fault::Hang, Times::Once);
    let other = demo.login(&["--callback-url", &callback.location, "--timeout", "1"]).spawn();
    demo.idp.wait_for("token_exchange", 1);
    let browser = std::thread::spawn(move || callback.follow().status);
    other.wait(LIMIT).code(3);
    waiting.process.wait(LIMIT).ok().stdout_is("");
    assert_eq!(browser.join().unwrap(), 200);
    assert_eq!(demo.account_files().len(), 1);
}

#[test]
fn two_waiting_logins_of_one_person_both_learn_that_they_are_done() {
    let demo = Demo::new();
    let waiting = [demo.wait(&[]), demo.wait(&[])];
    let callbacks: Vec<_> = waiting.iter().map(|waiting| waiting.approve().location).collect();
    let spawn = |callback: &String| demo.login(&["--callback-url", callback]).spawn();
    let others: Vec<_> = callbacks.iter().map(spawn).collect();
    for other in others {
        other.wait(LIMIT).ok();
    }
    for waiting in waiting {
        waiting.process.wait(LIMIT).ok().stdout_is("").stderr_has("me@example.com");
    }
    demo.idp.assert_content();
}

#[test]
fn a_login_whose_finisher_was_killed_is_listed_and_can_be_finished_or_cancelled() {
    let demo = Demo::new();
    for is_cancelled in [false, true] {
        let object = demo.login(&["demo", "--print-auth-url", "--json"]).run().ok().json();
        let callback = approve(object["auth_url"].as_str().unwrap()).location;
        demo.idp.reset_records();
        demo.idp.fault("token_exchange", Fault::Hang, Times::Once);
        let finisher = demo.login(&["--callback-url", &callback]).spawn();
        demo.idp.wait_for("token_exchange", 1);
        finisher.kill("KILL");
        finisher.wait(LIMIT);
        let list = demo.sandbox.cmd(&["pending", "list", "--json"]).run().ok().json();
        assert_eq!(list["pending"][0]["login_id"], object["login_id"]);
        if is_cancelled {
            let login_id = object["login_id"].as_str().unwrap();
            demo.sandbox.cmd(&["pending", "cancel", login_id]).run().ok();
            demo.finish(&callback).code(6).stdout_is("");
        } else {
            demo.finish(&callback).ok();
        }
    }
}

#[test]
fn a_login_whose_account_is_on_disk_is_not_sent_again_though_its_file_was_left_behind() {
    let demo = Demo::new();
    let callback = approve(&demo.print_url(&[])).location;
    let file = demo.pending_files().remove(0);
    let left_behind = demo.sandbox.read(&file);
    demo.finish(&callback).ok();
    // As if the finisher had died between writing the account and removing the login.
    write_private(&file, &left_behind);
    demo.finish(&callback).code(6).stdout_is("").stderr_has("already used");
    assert_eq!(demo.idp.count("token_exchange"), 1, "a code used twice takes its tokens back");
    assert_eq!(demo.pending_files().len(), 0);
}

#[test]
fn a_terminal_takes_over_from_a_finisher_that_was_killed() {
    let demo = Demo::new();
    let waiting = demo.wait(&["--wait", "8"]);
    let callback = waiting.approve();
    demo.idp.fault("token_exchange", Fault::Hang, Times::Once);
    let finisher = demo.login(&["--callback-url", &callback.location]).spawn();
    demo.idp.wait_for("token_exchange", 1);
    finisher.kill("KILL");
    finisher.wait(LIMIT);
    assert_eq!(callback.follow().status, 200);
    waiting.process.wait(LIMIT).ok().stdout_is("");
}
