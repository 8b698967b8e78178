//! A credential that is turned away before its time is renewed once, and the prompt is sent again.

use super::*;
use crate::support::model_api::{Fault, What, When};
use crate::support::sandbox::in_seconds;

const SIGNED_IN: [&str; 3] =
    ["claude/me@example.com", "gemini/me@example.com", "openai/me@example.com"];

fn refreshes(seat: &Seat) -> usize {
    seat.idp.as_ref().expect("an issuer").count("token_refresh")
}

#[test]
fn a_token_turned_away_is_renewed_once_and_the_prompt_sent_again() {
    for name in SIGNED_IN {
        let home = Home::of(&[name]);
        let seat = &home.seats[0];
        seat.idp.as_ref().expect("an issuer").expire_access_tokens();
        let output = home.cmd(&["run", name, "hello"]).run();
        output.ok().stdout_is("Hello, wörld ☀!\n").check(output.stderr.is_empty(), "quiet");
        assert_eq!((refreshes(seat), seat.api.seen(What::Prompt).len()), (1, 2), "{name}");
        let (provider, account) = name.split_once('/').expect("a name");
        let stored = home.sandbox.read_account(provider, account);
        assert_ne!(stored["access_token"], seat.secret.as_str(), "the new one is kept");
        home.is_content();
    }
}

#[test]
fn one_that_is_turned_away_for_ever_is_renewed_once_and_no_more() {
    for name in SIGNED_IN {
        let home = Home::of(&[name]);
        let seat = &home.seats[0];
        seat.api.fault(When::Asked, Fault::Expired);
        let output = home.cmd(&["run", name, "hello"]).run();
        output.code(4).stdout_is("").stderr_has("\n  try: keyfob login ");
        assert_eq!((refreshes(seat), seat.api.seen(What::Prompt).len()), (1, 2), "{name}");
        home.is_content();
    }
}

#[test]
fn a_stale_token_is_renewed_before_it_is_sent() {
    for name in SIGNED_IN {
        let home = Home::of(&[name]);
        let seat = &home.seats[0];
        let (provider, account) = name.split_once('/').expect("a name");
        let mut stored = home.sandbox.read_account(provider, account);
        stored["expires_at"] = in_seconds(-60).into();
        home.sandbox.write_account(provider, account, &stored);
        home.cmd(&["run", name, "hello"]).run().ok();
        assert_eq!((refreshes(seat), seat.api.seen(What::Prompt).len()), (1, 1), "{name}");
        home.is_content();
    }
}

/// What was shown cannot be taken back, so the prompt is not sent again.
#[test]
fn nothing_is_shown_twice() {
    let home = Home::of(&["claude/me@example.com", "openai/me@example.com", "groq/default"]);
    for Seat { name, api, .. } in &home.seats {
        api.fault(When::Asked, Fault::ThrownOut);
        let output = home.cmd(&["run", name, "hello"]).run();
        output.code(4).stdout_is("Hello\n").stderr_has("\n  try: keyfob login ");
        assert_eq!(api.seen(What::Prompt).len(), 1, "{name}");
        assert!(home.seat(name).idp.as_ref().is_none_or(|idp| idp.count("token_refresh") == 0));
    }
    home.is_content();
}

/// So is that of a service account, which has a key to buy a new one with.
#[test]
fn a_minted_token_turned_away_is_minted_anew() {
    let home = Home::of(&["vertex/robot"]);
    home.api().fault_once(When::Asked, Fault::Expired);
    home.say("run vertex hello").run().ok().stdout_is("Hello, wörld ☀!\n");
    let google = home.seats[0].google.as_ref().expect("an issuer");
    assert_eq!((google.count(), home.api().seen(What::Prompt).len()), (1, 2));
    home.is_content();
}

/// What is not a refusal of the credential renews nothing.
#[test]
fn other_errors_renew_nothing() {
    let home = Home::of(&["claude/me@example.com"]);
    let seat = &home.seats[0];
    for fault in [
        Fault::Refused,
        Fault::NoQuota(None),
        Fault::Status(500),
        Fault::WrongModel,
        Fault::Html(403),
        Fault::Overloaded,
        Fault::Cut,
    ] {
        seat.api.clear_faults();
        seat.api.fault(When::Asked, fault.clone());
        let output = home.say("run claude hello").run();
        output.check(output.status != Some(0) && output.status != Some(4), "no sign-in is wanted");
    }
    assert_eq!((refreshes(seat), seat.api.seen(What::Prompt).len()), (0, 7));
    home.is_content();
}

#[test]
fn a_key_turned_away_is_asked_for_anew() {
    let home = Home::of(&["groq/default", "codemie/jwt", "codemie/session"]);
    for (name, next) in [
        ("groq/default", "keyfob login groq/default --api-key-stdin"),
        ("codemie/jwt", "keyfob login codemie/jwt --jwt-token -"),
        ("codemie/session", "keyfob login codemie/session"),
    ] {
        let api = &home.seat(name).api;
        api.fault(When::Asked, Fault::Expired);
        let output = home.cmd(&["run", name, "hello"]).run();
        output.code(4).stdout_is("").stderr_has(&format!("\n  try: {next}\n"));
        assert_eq!(api.seen(What::Prompt).len(), 1 + usize::from(name == "codemie/session"));
    }
    home.is_content();
}
