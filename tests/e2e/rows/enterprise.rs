//! Copilot at a GitHub that an enterprise runs: one sign-in, one host.

use serde_json::{Value, json};

use super::second_token::LOGIN;
use super::{Seat, row_named};
use crate::support::command::Output;
use crate::support::idp::{Dialect, Fault, Idp, Times};
use crate::support::sandbox::in_seconds;

/// github.com is the seat's own issuer; the enterprise's is another.
struct Enterprise {
    seat: Seat,
    idp: Idp,
}

impl Enterprise {
    fn new() -> Self {
        let idp = Idp::start(Dialect::from_row(&row_named("copilot"), None));
        Enterprise { seat: Seat::named("copilot"), idp }
    }

    fn host(&self) -> &str {
        self.idp.origin().trim_start_matches("http://")
    }

    /// `user-1@127.0.0.1:4321`.
    fn name(&self) -> String {
        format!("{LOGIN}@{}", self.host())
    }

    fn account(&self) -> Value {
        self.seat.sandbox.read_account("copilot", &self.name())
    }

    /// The person approves at the enterprise.
    #[track_caller]
    fn sign_in(&self, words: &str) -> Output {
        self.seat.cmd(words).arg("--print-auth-url").run().ok();
        self.idp.approve_device(&self.idp.devices().last().expect("a login").user_code);
        let output = self.seat.cmd("login {} --complete").run();
        output.ok();
        output
    }

    #[track_caller]
    fn signed_in() -> Self {
        let enterprise = Self::new();
        enterprise.sign_in(&format!("login {{}} --url {}/", enterprise.idp.origin()));
        enterprise
    }

    fn expire(&self) {
        let mut account = self.account();
        account["refreshed_at"] = json!(in_seconds(-1900));
        account["extra"]["api_token_expires_at"] = json!(in_seconds(-100));
        self.seat.sandbox.write_account("copilot", &self.name(), &account);
    }

    #[track_caller]
    fn token(&self) -> Output {
        self.seat.cmd(&format!("token copilot/{}", self.name())).run()
    }
}

#[test]
fn it_is_a_host_of_its_own() {
    let there = Enterprise::signed_in();
    let account = there.account();
    assert_eq!(account["account"], there.name());
    assert_eq!(account["extra"]["instance"], there.idp.origin());
    assert_eq!(account["issued_by"], there.idp.origin());
    assert_eq!(account["identity"]["subject"], LOGIN);
    let token = there.seat.cmd("token {} --json").run().ok().json();
    assert_eq!(token["token"], account["extra"]["api_token"]);
    assert_eq!(token["api_base"], there.idp.url("/business"));
    assert!(there.idp.accepts_api_token(token["token"].as_str().expect("a token")));
    for role in ["device_start", "device_poll", "userinfo", "api_token"] {
        assert_eq!(there.idp.count(role), 1, "{role}");
    }
    assert_eq!(there.seat.idp.counters(), json!({}), "github.com hears of nothing");
    there.idp.assert_content();
}

/// Without a word in the answer the API is the enterprise's own.
#[test]
fn its_api_is_there_too() {
    let there = Enterprise::new();
    let patch = json!({"endpoints": null, "token": "tid=1;exp=2;8kp=1:mac"});
    there.idp.fault("api_token", Fault::Patch(patch), Times::Once);
    there.sign_in(&format!("login {{}} --url {}", there.idp.origin()));
    let token = there.seat.cmd("token {} --json").run().ok().json();
    assert_eq!(token["api_base"], there.idp.origin());
}

#[test]
fn its_token_is_renewed_there() {
    let there = Enterprise::signed_in();
    let before = there.account();
    there.expire();
    let token = there.token();
    assert!(there.idp.accepts_api_token(token.ok().line()));
    assert_eq!(there.idp.count("api_token"), 2);
    there.seat.cmd("refresh {}").run().ok();
    assert_eq!(there.idp.count("api_token"), 3);
    let after = there.account();
    for kept in ["access_token", "identity", "issued_by"] {
        assert_eq!(before[kept], after[kept], "{kept}");
    }
    assert_eq!(after["extra"]["instance"], there.idp.origin());
    assert_eq!(there.seat.idp.counters(), json!({}));
    there.idp.assert_content();
}

#[test]
fn a_check_asks_there_and_nowhere_else() {
    let there = Enterprise::signed_in();
    let status = there.seat.cmd("status --check --json").run();
    assert_eq!(status.ok().stderr_lacks("warning").json()["accounts"][0]["state"], "valid");
    assert_eq!((there.idp.count("userinfo"), there.idp.count("api_token")), (2, 1));
    assert_eq!(there.seat.idp.counters(), json!({}), "github.com never sees the token");
    there.idp.assert_content();
}

/// The same person at both: two accounts, each with its own host.
#[test]
fn the_public_one_stands_beside_it() {
    let there = Enterprise::signed_in();
    there.seat.cmd("login {} --print-auth-url").run().ok();
    there.seat.idp.approve_device(&there.seat.user_code());
    there.seat.cmd("login {} --complete").run().ok();
    let public = there.seat.sandbox.read_account("copilot", LOGIN);
    assert_eq!(public["extra"].get("instance"), None);
    assert_eq!(public["issued_by"], there.seat.idp.origin());
    let token = there.seat.cmd("token copilot/user-1").run();
    assert!(there.seat.idp.accepts_api_token(token.ok().line()));
    assert!(there.idp.accepts_api_token(there.token().ok().line()));
    there.seat.cmd("refresh copilot --all").run().ok();
    assert_eq!((there.idp.count("api_token"), there.seat.idp.count("api_token")), (2, 2));
    there.idp.assert_content();
    there.seat.idp.assert_content();
}

/// Who signs in to a named account again is sent where it lives.
#[test]
fn a_second_login_knows_where_the_account_lives() {
    let there = Enterprise::signed_in();
    let name = there.name();
    there.sign_in(&format!("login copilot/{name}"));
    assert_eq!(there.idp.count("device_start"), 2);
    assert_eq!(there.seat.idp.counters(), json!({}));
    assert!(there.idp.accepts_api_token(there.token().ok().line()));
}

#[test]
fn a_refusal_there_names_the_account_there() {
    let there = Enterprise::signed_in();
    there.expire();
    there.idp.expire_access_tokens();
    for _ in 0..2 {
        let output = there.token();
        output.code(4).stdout_is("");
        output.stderr_has(&format!("\n  try: keyfob login copilot/{}\n", there.name()));
    }
    assert_eq!(there.idp.count("api_token"), 2, "one at the login, one that was refused");
    assert_eq!(there.seat.idp.counters(), json!({}));
}

/// Neither a changed row nor a changed file takes a token to another host.
#[test]
fn a_token_stays_with_its_host() {
    let there = Enterprise::signed_in();
    let thief = Seat::named("copilot");
    there.expire();
    let is_kept = || {
        there.token().code(4).stdout_is("").stderr_has("another server");
        assert_eq!(thief.idp.counters(), json!({}));
        assert_eq!(there.idp.count("api_token"), 1, "the one of the login");
    };
    let own = there.seat.sandbox.read_config();
    let mut config = own.clone();
    config["providers"]["copilot"]["instance"]["row"]["token_url"] =
        json!(thief.idp.url("/login/oauth/access_token"));
    there.seat.sandbox.write_config(&config);
    is_kept();
    there.seat.sandbox.write_config(&own);
    let mut account = there.account();
    account["extra"]["instance"] = json!(thief.idp.origin());
    there.seat.sandbox.write_account("copilot", &there.name(), &account);
    is_kept();
    account["extra"].as_object_mut().expect("facts").remove("instance");
    there.seat.sandbox.write_account("copilot", &there.name(), &account);
    is_kept();
    assert_eq!(there.seat.idp.counters(), json!({}));
}

#[test]
fn a_logout_there_says_the_same_as_anywhere() {
    let there = Enterprise::signed_in();
    let output = there.seat.cmd("logout {} --json").run();
    let removed = output.ok().json()["removed"][0].clone();
    assert_eq!(removed["account"], there.name());
    assert_eq!(removed["revoked"], Value::Null);
    let warning = removed["warning"].as_str().expect("nothing is revoked there");
    assert!(warning.contains("no revocation endpoint"), "{warning}");
    assert!(!there.seat.sandbox.account_file("copilot", &there.name()).exists());
    assert_eq!(there.seat.idp.counters(), json!({}));
}

#[test]
fn an_address_that_is_unsafe_or_none_is_refused_before_anything_is_sent() {
    let there = Enterprise::new();
    for url in ["http://ghe.example.com", "ftp://ghe.example.com", "https://me:pw@ghe.example.com"]
    {
        let output = there.seat.cmd(&format!("login {{}} --url {url}")).run();
        output.check(matches!(output.status, Some(1 | 2)), url).stdout_is("");
        output.stderr_lacks("pw@");
    }
    assert!(!there.seat.sandbox.home().join("pending").exists());
    assert_eq!(there.seat.idp.counters(), json!({}));
    // A provider with one address for everyone takes none.
    let output = Seat::named("kimi").cmd("login {} --url https://x.example.com").run();
    output.code(2).stdout_is("").stderr_has("--url");
}
