//! Who says the callback comes from whom (RFC 9207).

use serde_json::json;

use crate::login::demo::{Demo, LIMIT};
use crate::support::browser::{self, approve};
use crate::support::idp::Dialect;

/// An issuer that names itself in each callback, and a row that knows it does.
fn promising() -> Demo {
    let mut dialect = Dialect::oidc();
    dialect.iss_in_callback = true;
    Demo::with(dialect, |idp| json!({"issuer": idp.origin(), "iss_in_callback": true}))
}

#[test]
fn the_right_issuer_is_taken() {
    let demo = promising();
    let callback = approve(&demo.print_url(&[]));
    assert_eq!(callback.param("iss").as_deref(), Some(demo.idp.origin()));
    demo.finish(&callback.location).ok();
    demo.wait(&[]).sign_in().ok();
    demo.idp.assert_content();
}

#[test]
fn a_callback_of_another_issuer_is_refused_and_the_login_stays() {
    let demo = promising();
    let url = demo.print_url(&[]);
    demo.idp.set_callback_iss(Some("https://evil.example"));
    let output = demo.finish(&approve(&url).location);
    output.code(1).stdout_is("").stderr_has("https://evil.example");
    assert_eq!(demo.idp.count("token_exchange"), 0);
    demo.idp.set_callback_iss(None);
    demo.finish(&approve(&url).location).ok();
}

#[test]
fn a_callback_without_the_promised_issuer_is_refused_and_the_login_stays() {
    let demo = promising();
    let callback = approve(&demo.print_url(&[]));
    let without = callback.location.split("&iss=").next().unwrap();
    demo.finish(without).code(1).stdout_is("");
    assert_eq!(demo.idp.count("token_exchange"), 0);
    demo.finish(&callback.location).ok();
}

#[test]
fn a_waiting_login_takes_no_other_issuer_either() {
    let demo = promising();
    let waiting = demo.wait(&[]);
    demo.idp.set_callback_iss(Some("https://evil.example"));
    assert_eq!(waiting.approve().follow().status, 400);
    demo.idp.set_callback_iss(None);
    let callback = waiting.approve();
    let without = callback.location.split("&iss=").next().unwrap();
    assert_eq!(browser::get(without).status, 400);
    assert_eq!(demo.idp.count("token_exchange"), 0);
    assert_eq!(callback.follow().status, 200);
    waiting.process.wait(LIMIT).ok();
}

#[test]
fn what_the_metadata_promises_is_held_to_when_the_login_ends() {
    let mut dialect = Dialect::oidc();
    dialect.iss_in_callback = true;
    let demo = Demo::with(
        dialect,
        |idp| json!({"issuer": idp.origin(), "authorize_url": null, "token_url": null}),
    );
    let callback = approve(&demo.print_url(&[]));
    let without = callback.location.split("&iss=").next().unwrap();
    demo.finish(without).code(1);
    demo.finish(&callback.location).ok();
    demo.idp.assert_content();
}

#[test]
fn an_issuer_that_promised_nothing_may_stay_silent() {
    let demo = Demo::with(Dialect::oidc(), |idp| json!({"issuer": idp.origin()}));
    demo.finish(&approve(&demo.print_url(&[])).location).ok();
}
