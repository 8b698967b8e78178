//! The second token: Copilot's, which lives for half an hour, and iFlow's key. What goes well; see
//! `second_trouble` for the rest.

use std::time::Duration;

use serde_json::{Value, json};

use super::{EMAIL, LIMIT, Seat};
use crate::support::idp::{Fault, Times};
use crate::support::sandbox::{in_seconds, oauth_account};

/// GitHub's name of the person, which is the account's.
pub const LOGIN: &str = "user-1";
pub const OLD: &str = "tid=old;exp=1;proxy-ep=proxy.individual.githubcopilot.com;8kp=1:mac-of-old";

/// At Copilot without a login, the second token good for so many seconds.
pub fn copilot(ttl_s: i64) -> Seat {
    let seat = Seat::named("copilot");
    sit(&seat, &seat.idp.grant().access_token, ttl_s);
    seat
}

/// Writes the account with this first token.
pub fn sit(seat: &Seat, first: &str, ttl_s: i64) {
    let mut account = oauth_account(seat.id(), LOGIN, &seat.idp.grant(), ttl_s);
    account["access_token"] = json!(first);
    account["refresh_token"] = Value::Null;
    account["expires_at"] = Value::Null;
    account["identity"] = json!({"email": null, "subject": LOGIN});
    account["issued_by"] = json!(seat.idp.origin());
    account["refreshed_at"] = json!(in_seconds(ttl_s - 1800));
    account["extra"] = json!({"api_token": OLD, "api_token_expires_at": in_seconds(ttl_s)});
    seat.sandbox.write_account(seat.id(), LOGIN, &account);
}

pub fn second(seat: &Seat) -> String {
    let account = seat.account();
    account["extra"]["api_token"].as_str().expect("a second token").to_owned()
}

pub fn bytes(seat: &Seat) -> String {
    seat.sandbox.read(&seat.sandbox.account_file(seat.id(), &seat.name()))
}

#[test]
fn a_login_brings_both_and_each_has_its_flag() {
    let seat = Seat::named("copilot");
    seat.sign_in().stderr_has(LOGIN).stderr_lacks("warning");
    let account = seat.account();
    assert_eq!((&account["account"], &account["kind"]), (&json!(LOGIN), &json!("oauth")));
    assert_eq!(account["identity"]["subject"], LOGIN);
    let first = account["access_token"].as_str().expect("GitHub's token");
    assert!(first.starts_with("ghu_") && account["refresh_token"].is_null(), "{account}");
    assert_eq!(account["expires_at"], Value::Null);
    assert_eq!(account["extra"]["api_base"], seat.idp.url("/business"));
    let second = second(&seat);
    assert!(seat.idp.accepts_api_token(&second));
    seat.cmd("token {}").run().ok().stdout_is(&format!("{second}\n"));
    seat.cmd("token {} --base").run().ok().stdout_is(&format!("{first}\n"));

    let asked = seat.only("api_token");
    assert_eq!(asked.header("authorization"), Some(&*format!("token {first}")));
    assert!(asked.header("user-agent").is_some_and(|agent| agent.starts_with("keyfob/")));
    // 1,500 s until it should be renewed, and the minute that a renewal may take.
    let expires_at = account["extra"]["api_token_expires_at"].as_str().expect("a time");
    let range = in_seconds(1540)..=in_seconds(1560);
    assert!(range.contains(&expires_at.to_owned()), "{expires_at}");
    seat.idp.assert_content();
}

#[test]
fn a_request_to_the_api_needs_what_json_says() {
    let seat = copilot(900);
    let token = seat.cmd("token {} --json").run().ok().json();
    assert_eq!(token["token"], OLD);
    assert_eq!(token["kind"], "oauth");
    assert_eq!(token["expires_at"], in_seconds_of(&seat));
    assert_eq!(token["headers"]["Authorization"], format!("Bearer {OLD}"));
    for (name, value) in seat.row["api"]["headers"].as_object().expect("headers") {
        assert_eq!(token["headers"][name], *value);
    }
    let first = seat.account()["access_token"].clone();
    let base = seat.cmd("token {} --base --json").run().ok().json();
    assert_eq!((&base["token"], &base["expires_at"]), (&first, &Value::Null));
    let child = seat.cmd("exec {} -- sh -c").arg("echo $COPILOT_GITHUB_TOKEN").run();
    assert_eq!(child.ok().line(), first);
    assert!(seat.idp.requests().is_empty(), "{}", seat.idp.counters());
}

fn in_seconds_of(seat: &Seat) -> Value {
    seat.account()["extra"]["api_token_expires_at"].clone()
}

/// `endpoints.api`, else `proxy-ep=` in the token, else the row's; none that is unsafe.
#[test]
fn the_api_is_where_the_answer_says() {
    let seat = Seat::named("copilot");
    let own = seat.sandbox.read_config()["providers"]["copilot"]["api"]["base"].clone();
    let plain = "tid=1;exp=2;8kp=1:mac";
    let api = |url: &str| json!({"endpoints": {"api": url}, "token": plain});
    let cases = [
        (json!({}), json!(seat.idp.url("/business"))),
        (api("https://api.enterprise.example.com/"), json!("https://api.enterprise.example.com")),
        (json!({"endpoints": null}), json!("https://api.business.githubcopilot.com")),
        (json!({"endpoints": {"proxy": "x"}, "token": plain}), own.clone()),
        (json!({"endpoints": 7, "token": plain}), own.clone()),
        (api("http://evil.example.com"), own.clone()),
        (api("javascript:alert(1)"), own.clone()),
        (api("https://me:pw@evil.example.com"), own.clone()),
        (api("file:///etc/passwd"), own.clone()),
        (api(""), own.clone()),
        (json!({"endpoints": null, "token": "tid=1;proxy-ep=evil.example.com;x=1"}), own.clone()),
        (json!({"endpoints": null, "token": "tid=1;proxy-ep=proxy.a b;x=1"}), own.clone()),
        (json!({"endpoints": null, "token": "tid=1;proxy-ep=proxy.u@evil.example;x=1"}), own),
    ];
    for (patch, wanted) in cases {
        println!("{patch}");
        sit(&seat, &seat.idp.grant().access_token, -10);
        let is_token = patch["token"].as_str().is_none_or(|token| !token.contains(' '));
        seat.idp.fault("api_token", Fault::Patch(patch), Times::Once);
        let token = seat.cmd("token {} --json").run();
        if is_token {
            assert_eq!(token.ok().json()["api_base"], wanted);
        } else {
            token.code(1).stdout_is("");
        }
    }
    seat.idp.assert_content();
}

#[test]
fn a_stale_one_is_renewed_by_one_request() {
    for ttl_s in [-10, 30] {
        let seat = copilot(ttl_s);
        let before = seat.account();
        let token = seat.cmd("token {}").run();
        let token = token.ok().stderr_lacks("warning").line();
        assert!(seat.idp.accepts_api_token(token) && token != OLD);
        let after = seat.account();
        assert_eq!(after["extra"]["api_token"], token);
        for kept in ["access_token", "scopes", "created_at", "expires_at"] {
            assert_eq!(before[kept], after[kept], "{kept}");
        }
        assert_eq!(before["identity"]["subject"], after["identity"]["subject"]);
        assert_eq!(seat.cmd("token {}").run().ok().line(), token);
        assert_eq!(seat.idp.counters()["api_token"], 1);
        assert_eq!(seat.idp.requests().len(), 1, "{}", seat.idp.counters());
        seat.idp.assert_content();
    }
}

#[test]
fn twenty_processes_share_one_request() {
    let seat = copilot(-10);
    seat.idp.fault("api_token", Fault::Delay(300), Times::Once);
    let running: Vec<_> = (0..20).map(|_| seat.cmd("token {}").spawn()).collect();
    let outputs: Vec<_> = running.into_iter().map(|child| child.wait(LIMIT)).collect();
    let wanted = format!("{}\n", second(&seat));
    for output in outputs {
        output.ok().stdout_is(&wanted).check(output.stderr.is_empty(), "not a word");
    }
    assert_eq!(seat.idp.count("api_token"), 1, "{}", seat.idp.counters());
    assert!(seat.idp.accepts_api_token(wanted.trim_end()));
}

#[test]
fn refresh_asks_whatever_the_clock_says() {
    let seat = copilot(1500);
    let output = seat.cmd("refresh {} --json").run();
    let refreshed = output.ok().json()["refreshed"][0].clone();
    assert_eq!((&refreshed["provider"], &refreshed["account"]), (&json!("copilot"), &json!(LOGIN)));
    assert_eq!(refreshed["expires_at"], in_seconds_of(&seat));
    assert!(seat.idp.accepts_api_token(&second(&seat)));
    seat.only("api_token");
    seat.cmd("refresh --all").run().ok().stdout_is("");
    assert_eq!(seat.idp.count("api_token"), 2);
    seat.idp.assert_content();
}

#[test]
fn status_shows_when_it_ends() {
    for (ttl_s, state) in [(1500, "valid"), (30, "expiring"), (-10, "expired")] {
        let seat = copilot(ttl_s);
        let status = seat.cmd("status --json").run();
        let account = &status.ok().json()["accounts"][0];
        assert_eq!(account["expires_at"], in_seconds_of(&seat));
        assert_eq!((&account["can_refresh"], &account["kind"]), (&json!(true), &json!("oauth")));
        assert_eq!(account["state"], state);
        assert!(seat.idp.requests().is_empty());
    }
    let seat = copilot(-10);
    let checked = seat.cmd("status {} --check --json").run();
    assert_eq!(checked.ok().json()["accounts"][0]["state"], "valid");
    seat.only("api_token");
}

#[test]
fn a_life_longer_than_it_has_is_not_promised() {
    let seat = copilot(600);
    seat.cmd("token {} --min-ttl 300").run().ok().stdout_is(&format!("{OLD}\n"));
    seat.cmd("token {} --min-ttl 1200").run().ok();
    assert_ne!(second(&seat), OLD);
    seat.cmd("token {} --min-ttl 7200").run().code(3).stdout_is("");
    // GitHub's own has no end.
    seat.cmd("token {} --base --min-ttl 7200").run().ok();
}

/// However short the life of what the first one got, it is handed out.
#[test]
fn a_short_life_is_taken_as_it_is() {
    let seat = copilot(-10);
    seat.idp.set_api_lifetime(40);
    let token = seat.cmd("token {}").run();
    assert!(seat.idp.accepts_api_token(token.ok().line()));
    seat.only("api_token");
}

#[test]
fn a_kill_in_the_middle_loses_nothing() {
    let seat = copilot(-10);
    let before = bytes(&seat);
    seat.idp.fault("api_token", Fault::Hang, Times::Once);
    let victim = seat.cmd("token {}").spawn();
    seat.idp.wait_for("api_token", 1);
    victim.kill("KILL");
    assert_eq!(victim.wait(LIMIT).signal, Some(9));
    assert_eq!(bytes(&seat), before);
    for ms in [0, 2, 5, 10, 20] {
        seat.idp.fault("api_token", Fault::Trickle(1), Times::Once);
        let seen = seat.idp.count("api_token");
        let victim = seat.cmd("refresh {}").spawn();
        seat.idp.wait_for("api_token", seen + 1);
        std::thread::sleep(Duration::from_millis(ms));
        victim.kill("KILL");
        victim.wait(LIMIT);
        let account = seat.account();
        assert!(account["access_token"].is_string() && account["extra"]["api_token"].is_string());
    }
    let token = seat.cmd("token {}").run();
    assert!(seat.idp.accepts_api_token(token.ok().line()));
    seat.idp.assert_content();
}

// ---- iFlow: the second token is a key without an end, and the first one can be renewed

#[test]
fn iflow_hands_out_the_key_and_renews_it_with_the_sign_in() {
    let seat = Seat::named("iflow");
    seat.sign_in();
    let before = seat.account();
    assert_eq!(before["account"], EMAIL);
    assert_eq!(before["extra"]["api_token_expires_at"], Value::Null);
    let key = second(&seat);
    assert!(key.starts_with("sk-"));
    seat.cmd("token {}").run().ok().stdout_is(&format!("{key}\n"));
    let base = seat.cmd("token {} --base").run();
    assert_eq!(before["access_token"], base.ok().line());
    let json = seat.cmd("token {} --json").run().ok().json();
    assert_eq!(json["headers"]["Authorization"], format!("Bearer {key}"));
    assert_eq!(json["api_base"], seat.idp.url("/v1"));
    for request in seat.idp.requests_to("api_token") {
        assert_eq!(request.query_param("accessToken").as_deref(), before["access_token"].as_str());
        assert!(request.header("authorization").is_none());
    }

    let seen = seat.idp.count("api_token");
    seat.cmd("refresh {}").run().ok();
    let after = seat.account();
    assert_ne!(before["access_token"], after["access_token"]);
    assert_ne!(second(&seat), key);
    assert!(seat.idp.accepts_api_token(&second(&seat)));
    assert_eq!((seat.idp.count("token_refresh"), seat.idp.count("api_token")), (1, seen + 1));
    let child = seat.cmd("exec {} -- sh -c").arg("echo $IFLOW_API_KEY").run();
    assert_eq!(child.ok().line(), second(&seat));
    seat.idp.assert_content();
}

/// The first token was taken back before its time: it is renewed, and the key asked for again.
#[test]
fn a_first_token_turned_away_early_is_renewed_where_it_can_be() {
    let seat = Seat::named("iflow");
    seat.sign_in();
    seat.amend(json!({"extra": {"api_token": null}}));
    seat.idp.expire_access_tokens();
    let seen = seat.idp.count("api_token");
    let token = seat.cmd("token {}").run();
    assert!(seat.idp.accepts_api_token(token.ok().line()));
    assert_eq!((seat.idp.count("token_refresh"), seat.idp.count("api_token")), (1, seen + 2));
}
