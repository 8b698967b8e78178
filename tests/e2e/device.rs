//! Signing in with a code typed on another machine (RFC 8628; CLI.md section 3; NEEDS 6).
//!
//! The issuer measures the pace of the polls and complains of haste.

mod begin;
mod cancel;
mod elsewhere;
mod hostile;
mod openai;
mod outcome;
mod pace;
mod poll;
mod ways;

use std::time::Duration;

use serde_json::{Value, json};

use crate::login::demo::Demo;
use crate::support::command::{Cmd, Output};
use crate::support::idp::{Dialect, Idp};
use crate::support::running::Running;

const LIMIT: Duration = Duration::from_secs(30);

/// An issuer with a device endpoint, known as `demo`; its browser sign-in is there too.
fn demo() -> Demo {
    demo_with(Dialect::oidc(), |_| json!({}))
}

/// `changes` replace keys of the row; `null` removes one.
fn demo_with(dialect: Dialect, changes: impl FnOnce(&Idp) -> Value) -> Demo {
    Demo::with(dialect, |idp| {
        let mut row = json!({"ways": ["browser", "device"], "device_url": idp.url("/device")});
        if let Value::Object(changes) = changes(idp) {
            changes.into_iter().for_each(|(key, value)| row[key] = value);
        }
        row
    })
}

/// Nothing but the device flow.
fn device_only() -> Demo {
    demo_with(Dialect::oidc(), |_| json!({"ways": ["device"], "authorize_url": null}))
}

/// A login begun and left to itself.
struct Begun {
    login_id: String,
    user_code: String,
    url: String,
}

impl Begun {
    #[track_caller]
    fn of(demo: &Demo, account: &str) -> Self {
        let begin = demo.login(&[account, "--device", "--print-auth-url", "--json"]).run();
        let object = begin.ok().json();
        let text = |key: &str| object[key].as_str().unwrap_or_default().to_string();
        Begun { login_id: text("login_id"), user_code: text("user_code"), url: text("auth_url") }
    }
}

/// `keyfob login demo --complete …`
fn completing(demo: &Demo, more: &[&str]) -> Cmd {
    demo.login(&[&["demo", "--complete"], more].concat())
}

/// Asks once.
#[track_caller]
fn ask(demo: &Demo) -> Output {
    completing(demo, &["--wait", "0"]).run()
}

/// A terminal that shows its code and polls.
struct Polling {
    process: Running,
    user_code: String,
    url: String,
}

impl Polling {
    #[track_caller]
    fn start(demo: &Demo, more: &[&str]) -> Self {
        Self::of(demo, demo.login(&[&["demo", "--device"], more].concat()))
    }

    #[track_caller]
    fn of(demo: &Demo, command: Cmd) -> Self {
        let process = command.spawn();
        let url = process.auth_url();
        Polling { process, user_code: last_code(demo), url }
    }

    #[track_caller]
    fn approved(self, demo: &Demo) -> Output {
        demo.idp.approve_device(&self.user_code);
        self.process.wait(LIMIT)
    }
}

/// The user code of the newest login.
#[track_caller]
fn last_code(demo: &Demo) -> String {
    demo.idp.devices().last().expect("a device login").user_code.clone()
}

/// The seconds between the polls so far.
fn gaps(demo: &Demo) -> Vec<f64> {
    let polls = demo.idp.requests_to("device_poll");
    polls.windows(2).map(|pair| (pair[1].at - pair[0].at).as_secs_f64()).collect()
}

/// Nobody polls more often than it was told to, and what a poll costs is not added to the wait.
#[track_caller]
fn assert_gaps(demo: &Demo, wanted_s: &[f64]) {
    let gaps = gaps(demo);
    let fits = |(gap, wanted): (&f64, &f64)| (wanted - 0.1..wanted + 0.9).contains(gap);
    let all_fit = gaps.len() == wanted_s.len() && gaps.iter().zip(wanted_s).all(fits);
    assert!(all_fit, "{gaps:?}, wanted {wanted_s:?}");
}
