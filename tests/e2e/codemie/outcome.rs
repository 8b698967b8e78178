//! What comes of a session that was brought: kept, refused, or kept for later.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::{Lab, callback, next_command, port_of, session};
use crate::login::demo::LIMIT;
use crate::support::codemie::{Away, Config, Instance, jar};
use crate::support::idp::encoding::now_s;
use crate::support::sandbox::in_seconds;

/// A JWT that ends so many seconds from now.
fn ending_in(seconds: u64) -> String {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = part(json!({"iss": "codemie-local", "exp": now_s() + seconds}));
    format!("{}.{claims}.c2ln", part(json!({"alg": "RS256"})))
}

#[test]
fn a_session_that_the_instance_does_not_know_is_refused_and_nothing_is_stored() {
    for away in [Away::Page, Away::To("https://idp.example/".to_owned()), Away::Status(401)] {
        let lab = Lab::new();
        lab.instance.world().away = away.clone();
        let waiting = lab.wait(&[]);
        let port = port_of(&waiting.url);
        let strange = callback(port, &session(&json!({"_oauth2_proxy": "stranger-secret"})));
        let page = crate::support::browser::get(&strange);
        assert_eq!(page.status, 400, "{away:?}");
        let output = waiting.process.wait(LIMIT);
        output.code(1).stdout_is("").stderr_has("session").stderr_lacks("stranger-secret");
        assert_eq!((lab.account_files().len(), lab.pending_files().len()), (0, 0));
        let mut next = next_command(&output);
        next.push("--print-auth-url".to_owned());
        let next: Vec<_> = next.iter().map(String::as_str).collect();
        lab.sandbox.cmd(&next).run().ok().stderr_lacks("which address");
    }
}

#[test]
fn an_instance_that_is_down_for_now_costs_no_login() {
    let lab = Lab::new();
    for status in [500, 502, 503, 429] {
        let back = lab.person(&lab.print_url(&[])).location;
        lab.instance.world().broken = Some(status);
        let output = lab.finish(&back);
        output.code(3).stdout_is("").stderr_has(&status.to_string());
        output.stderr_has("keyfob login").stderr_has("--callback-url -").stderr_lacks("session-");
        assert_eq!((lab.account_files().len(), lab.pending_files().len()), (0, 1), "{status}");
        lab.instance.world().broken = None;
        lab.finish(&back).ok();
        std::fs::remove_file(lab.file()).unwrap();
    }
}

#[test]
fn an_answer_that_makes_no_sense_costs_no_login() {
    let lab = Lab::new();
    for nonsense in [json!("hello"), json!({"username": "x"}), json!({"applications": "alpha"})] {
        let back = lab.person(&lab.print_url(&[])).location;
        let good = std::mem::replace(&mut lab.instance.world().user, nonsense);
        lab.finish(&back).code(1).stdout_is("").stderr_has("--callback-url -");
        assert_eq!((lab.account_files().len(), lab.pending_files().len()), (0, 1));
        lab.instance.world().user = good;
        lab.finish(&back).ok();
        std::fs::remove_file(lab.file()).unwrap();
    }
}

#[test]
fn the_end_is_what_the_jwt_among_the_cookies_says() {
    let lab = Lab::new();
    let token = ending_in(7_200);
    lab.instance.world().forwarded = jar(&format!("codemie_access_token={token}"));
    lab.finish(&lab.person(&lab.print_url(&[])).location).ok().stderr_has("expires in");
    let account = lab.account();
    let (early, late) = (in_seconds(7_190), in_seconds(7_200));
    let end = account["expires_at"].as_str().unwrap();
    assert!((early.as_str()..=late.as_str()).contains(&end), "{early} {end} {late}");
    assert!(account["access_token"].as_str().unwrap().contains("_oauth2_proxy=session-"));
}

#[test]
fn the_end_is_what_a_rotated_cookie_says() {
    let lab = Lab::new();
    lab.instance.world().rotate = Some("Max-Age=1800".to_owned());
    lab.finish(&lab.person(&lab.print_url(&[])).location).ok();
    let account = lab.account();
    let (early, late) = (in_seconds(1_790), in_seconds(1_800));
    let end = account["expires_at"].as_str().unwrap();
    assert!((early.as_str()..=late.as_str()).contains(&end), "{early} {end} {late}");
    assert_eq!(account["access_token"], lab.instance.newest_session(), "the rotated one");
    assert!(!account["access_token"].as_str().unwrap().contains("INGRESSCOOKIE"));
}

#[test]
fn no_end_is_guessed() {
    let lab = Lab::new();
    lab.instance.world().rotate = Some("Path=/".to_owned());
    lab.instance.world().forwarded = jar("codemie_access_token=opaque");
    lab.finish(&lab.person(&lab.print_url(&[])).location).ok().stderr_has("no expiry known");
    assert_eq!(lab.account()["expires_at"], Value::Null);
    let status = lab.run("status", &["--json"]).ok().json();
    assert_eq!(status["accounts"][0]["expires_at"], Value::Null);
    assert_eq!(status["accounts"][0]["state"], "valid");
}

fn script(url: &str) -> Config {
    Config::Script(format!("window._env_ = {{\n  VITE_API_URL: \"{url}\",\n  OTHER: \"x\"\n}}"))
}

#[test]
fn the_api_is_where_the_instance_says_it_is() {
    let lab = Lab::new();
    let own = |path: &str| format!("{}{path}", lab.instance.origin());
    for (named, base) in [
        (own("/code-assistant-api/"), own("/code-assistant-api")),
        ("/code-assistant-api".to_owned(), own("/code-assistant-api")),
    ] {
        lab.instance.world().config = script(&named);
        let output = lab.finish(&lab.person(&lab.print_url(&[])).location);
        output.ok().stderr_lacks("warning");
        assert_eq!(lab.account()["extra"]["api_base"], base.as_str());
        assert_eq!(lab.run("token", &["--json"]).ok().json()["api_base"], base.as_str());
    }
    lab.instance.world().config = script(&own("/elsewhere"));
    let back = lab.person(&lab.print_url(&[])).location;
    lab.instance.forget_requests();
    lab.finish(&back);
    let asked = lab.instance.asked();
    assert_eq!(asked.last().unwrap().path, "/elsewhere/v1/user", "it is asked there");
}

#[test]
fn another_host_named_by_the_instance_gets_no_cookies() {
    let lab = Lab::new();
    let other = Instance::new();
    let https = other.origin().replacen("http:", "https:", 1);
    let by_name = format!("http://localhost:{}", lab.instance.port());
    for place in [other.origin(), https, by_name, "https://api.example".to_owned()] {
        lab.instance.world().config = script(&format!("{place}/code-assistant-api"));
        let output = lab.finish(&lab.person(&lab.print_url(&[])).location);
        output.ok().stderr_has("warning").stderr_has(&place);
        assert_eq!(lab.account()["extra"]["api_base"], Value::Null);
        let base = format!("{}/code-assistant-api", lab.instance.origin());
        assert_eq!(lab.run("token", &["--json"]).ok().json()["api_base"], base);
        lab.run("refresh", &[]).ok();
        lab.run("models", &[]).ok();
    }
    assert_eq!(other.connections(), 0);
    assert!(lab.instance.asked().iter().all(|request| request.bearer.is_none()));
}

#[test]
fn another_host_in_a_changed_file_gets_no_cookies() {
    let lab = Lab::signed_in();
    let other = Instance::new();
    let there = format!("{}/code-assistant-api", other.origin());
    let mut extra = lab.account()["extra"].clone();
    extra["api_base"] = json!(there);
    lab.edit_account(&json!({"extra": extra}));
    for command in ["refresh", "models"] {
        let output = lab.run(command, &[]);
        output.check(output.status != Some(0), "a refusal");
    }
    extra["api_base"] = Value::Null;
    extra["instance"] = json!(other.origin());
    lab.edit_account(&json!({"extra": extra}));
    for command in ["refresh", "models"] {
        let output = lab.run(command, &[]);
        output.check(output.status != Some(0), "a refusal");
    }
    assert_eq!(other.connections(), 0, "the session belongs to another host");
}

#[test]
fn a_redirect_is_not_followed_with_cookies() {
    let lab = Lab::signed_in();
    let other = Instance::new();
    let there = format!("{}/code-assistant-api/v1/user", other.origin());
    lab.instance.end_sessions(Away::To(there));
    lab.run("refresh", &[]).code(4);
    assert_eq!(other.connections(), 0);
}
