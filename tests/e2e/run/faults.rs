//! What an API says in place of an answer, and what that means for the person.

use super::*;
use crate::support::model_api::{Fault, When};

/// Every fault over every API: exit code, stdout, and what is tried next.
#[track_caller]
fn each(fault: &Fault, code: i32, next: &str, says: &str) {
    let home = Home::of(&ALL);
    for Seat { name, api, .. } in &home.seats {
        println!("{name} {fault:?}");
        api.fault(When::Asked, fault.clone());
        let provider = name.split_once('/').expect("a name").0;
        let next = next.replace("{}", provider);
        // A session at a proxy is over when it says 403, and Entra has nobody here to renew it.
        let is_over = *fault == Fault::Refused && name.starts_with("codemie/");
        let (code, next) = if is_over { (4, format!("login {name}")) } else { (code, next) };
        let nobody = *fault == Fault::Expired && name == "azure/entra";
        let says = match (is_over, nobody) {
            (true, _) => "does not accept the ",
            (_, true) => "nothing here gives a token",
            _ => says,
        };
        let output = home.cmd(&["run", name, "Say hello"]).run();
        output.code(code).stdout_is("").stderr_has(says);
        output.stderr_has(&format!("\n  try: keyfob {next}"));
        let told = home.cmd(&["run", name, "Say hello", "--json"]).run();
        let error = told.code(code).stdout_is("").error_json();
        assert_eq!(error["exit"], code, "{name}");
        let tried = error["try"].as_str().unwrap_or_default();
        assert!(tried.starts_with(&format!("keyfob {next}")), "{name}: {tried:?}");
        for text in [&output.stderr, &told.stderr] {
            home.tells_nothing(text);
            assert!(!text.contains('\u{1b}'), "{text:?}");
        }
    }
    home.is_content();
}

#[test]
fn a_credential_that_ended_wants_a_sign_in() {
    each(&Fault::Expired, 4, "login {}", "does not accept the ");
}

#[test]
fn an_account_that_may_not_is_told_so() {
    each(&Fault::Refused, 1, "auth-test {}", "does not have permission to use this resource");
}

#[test]
fn a_quota_that_is_used_up_is_told_from_a_bad_credential() {
    let says = "signing in again will not help";
    each(&Fault::NoQuota(None), 3, "status {}", says);
    each(&Fault::NoQuota(Some(77)), 3, "status {}", "asked to wait 77 s");
    each(&Fault::Unpaid, 1, "status {}", says);
}

#[test]
fn a_model_nobody_knows_leads_to_the_list() {
    each(&Fault::WrongModel, 1, "models {}", "for this account");
}

#[test]
fn a_server_in_trouble_is_temporary() {
    for status in [500, 502, 503, 529] {
        each(&Fault::Status(status), 3, "auth-test {}", &format!("(status {status})"));
    }
}

#[test]
fn a_credential_in_the_answer_is_not_repeated() {
    each(&Fault::Echo(400), 1, "auth-test {}", "refused the prompt");
}

/// A page is no answer, and to a session it says that the session is over.
#[test]
fn a_page_is_no_answer() {
    for status in [200, 403] {
        let home = Home::of(&ALL);
        for Seat { name, api, .. } in &home.seats {
            println!("{name} {status}");
            api.fault(When::Asked, Fault::Html(status));
            let output = home.cmd(&["run", name, "Say hello"]).run();
            let is_session = name.starts_with("codemie/");
            output.code(if is_session { 4 } else { 1 }).stdout_is("");
            output.stderr_lacks("<html>").stderr_lacks("firewall");
            output.stderr_has("\n  try: keyfob ");
            home.tells_nothing(&output.stderr);
        }
        home.is_content();
    }
}

#[test]
fn an_error_in_the_middle_of_a_stream_is_an_error() {
    let home = Home::of(&ALL);
    for Seat { name, api, .. } in &home.seats {
        println!("{name}");
        api.fault(When::Asked, Fault::Overloaded);
        let output = home.cmd(&["run", name, "Say hello"]).run();
        output.code(3).stdout_is("Hello\n").stderr_has("verloaded").stderr_has("\n  try: keyfob ");
    }
    home.is_content();
}

#[test]
fn the_log_at_full_volume_holds_no_secret_and_no_prompt() {
    let home = Home::of(&ALL);
    for Seat { name, api, .. } in &home.seats {
        for fault in [None, Some(Fault::Echo(400)), Some(Fault::Expired)] {
            api.clear_faults();
            fault.into_iter().for_each(|fault| api.fault(When::Asked, fault));
            let words = ["run", name, "PROMPT-0123456789", "--system", "SYSTEM-0123456789"];
            let output = home.cmd(&words).env("KEYFOB_LOG", "trace").run();
            output.stderr_has("debug: POST 127.0.0.1:").stderr_lacks("-0123456789");
            output.stderr_lacks("wörld");
            home.tells_nothing(&output.stderr);
        }
    }
    home.is_content();
}

#[test]
fn nobody_at_the_address_is_temporary() {
    let mut home = Home::of(&["groq/default"]);
    let seat = home.seats.remove(0);
    drop(seat);
    home.say("run groq hello").run().code(3).stdout_is("").stderr_has("cannot reach 127.0.0.1");
}

#[test]
fn a_damaged_store_is_named() {
    let home = Home::of(&["groq/default"]);
    std::fs::write(home.sandbox.account_file("groq", "default"), "{").expect("a file");
    home.say("run groq hello").run().code(5).stdout_is("").stderr_has("default.json");
    assert_eq!(home.api().connections(), 0);
}
