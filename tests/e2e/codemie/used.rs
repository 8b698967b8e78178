//! The session in use: token, exec, status, models, logout.

use serde_json::{Value, json};

use super::Lab;
use crate::login::demo::LIMIT;
use crate::support::codemie::{Away, Instance};
use crate::support::sandbox::in_seconds;

#[test]
fn the_token_is_the_cookie_header() {
    let lab = Lab::new();
    lab.instance.world().pieces = 2;
    lab.sign_in_to(&lab.instance);
    lab.instance.forget_requests();
    let cookies = lab.instance.newest_session();
    assert!(cookies.contains("; "), "{cookies}");
    lab.run("token", &[]).ok().stdout_is(&format!("{cookies}\n"));
    let shown = lab.run("token", &["--json"]).ok().json();
    assert_eq!(shown["headers"], json!({"Cookie": cookies}));
    assert_eq!(shown["api_base"], format!("{}/code-assistant-api", lab.instance.origin()));
    assert_eq!((&shown["kind"], &shown["token_type"]), (&json!("cookie"), &Value::Null));
    assert_eq!(
        (&shown["token"], &shown["account"]),
        (&json!(cookies), &json!(lab.instance.name()))
    );
    assert_eq!(lab.instance.asked(), [], "a session that is not over is not renewed");
}

#[test]
fn a_command_gets_the_instance_and_the_project_and_no_cookie() {
    let lab = Lab::signed_in();
    let output = lab.run("exec", &["--", "env"]);
    let variable = |name: &str| {
        let start = format!("{name}=");
        output.stdout.lines().find_map(|line| line.strip_prefix(&start)).map(str::to_owned)
    };
    assert_eq!(variable("CODEMIE_URL"), Some(lab.instance.origin()));
    assert_eq!(variable("CODEMIE_PROJECT").as_deref(), Some("alpha"));
    assert_eq!(variable("CODEMIE_JWT_TOKEN"), None);
    output.ok().check(!output.stdout.contains("session-"), "no cookie in the environment");
}

#[test]
fn status_tells_what_is_known() {
    let lab = Lab::signed_in();
    let row = lab.run("status", &["--json"]).ok().json()["accounts"][0].clone();
    assert_eq!((&row["kind"], &row["state"]), (&json!("cookie"), &json!("valid")));
    assert_eq!((&row["expires_at"], &row["source"]), (&Value::Null, &json!("keyfob")));
    assert_eq!((&row["account"], &row["default"]), (&json!(lab.instance.name()), &json!(true)));
    assert_eq!(row["identity"]["email"], "me@example.com");
    let output = lab.run("status", &[]);
    output.ok().check(output.stdout.contains(&lab.instance.name()), "the instance");
    lab.edit_account(&json!({"expires_at": in_seconds(-60)}));
    let row = lab.run("status", &["--json"]).json()["accounts"][0].clone();
    assert_eq!(row["state"], "expired");
    assert_eq!(lab.instance.asked(), [], "the clock is enough");
}

#[test]
fn status_asks_the_instance_when_it_is_told_to() {
    let lab = Lab::signed_in();
    lab.run("status", &["--check"]).ok();
    assert_eq!(lab.instance.seen("/v1/user").len(), 1);
    lab.instance.end_sessions(Away::Page);
    lab.run("status", &["--check"]).code(4);
}

#[test]
fn models_are_asked_for_with_the_session() {
    let lab = Lab::signed_in();
    lab.run("models", &[]).ok().stdout_is("claude-sonnet-4-6\ngpt-4o\n");
    let shown = lab.run("models", &["--json"]).ok().json();
    assert_eq!(shown["models"][0], json!({"id": "claude-sonnet-4-6", "label": "Claude Sonnet"}));
    let asked = lab.instance.asked();
    assert_eq!(asked.len(), 2);
    for request in asked {
        assert_eq!(request.path, "/code-assistant-api/v1/llm_models");
        assert_eq!(request.query, "include_all=true");
        assert_eq!((request.cookie, request.bearer), (Some(lab.instance.newest_session()), None));
    }
}

#[test]
fn cookies_that_are_rotated_with_any_answer_are_kept() {
    let lab = Lab::signed_in();
    lab.instance.world().rotate = Some("Max-Age=3600".to_owned());
    for _ in 0..2 {
        lab.run("models", &[]).ok();
        assert_eq!(lab.account()["access_token"], lab.instance.newest_session());
        assert!(lab.account()["expires_at"].is_string());
    }
    assert_eq!(lab.instance.asked().len(), 2);
    assert_eq!(lab.account()["extra"]["project"], "alpha");
    lab.run("refresh", &[]).ok();
}

/// A process may come too late with cookies just rotated away; the session outlives that.
#[test]
fn many_lists_at_once_lose_no_session() {
    let lab = Lab::signed_in();
    lab.instance.world().rotate = Some("Path=/".to_owned());
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..6).map(|_| scope.spawn(|| lab.run("models", &[]))).collect();
        for one in all {
            let output = one.join().unwrap();
            output.check(matches!(output.status, Some(0 | 4)), "a list, or too late");
        }
    });
    assert_eq!(lab.account()["access_token"], lab.instance.newest_session());
    lab.run("refresh", &[]).ok();
}

#[test]
fn models_of_an_ended_session_are_no_list_of_nothing() {
    for away in [Away::Page, Away::To("https://idp.example/".to_owned()), Away::Status(401)] {
        let lab = Lab::signed_in();
        lab.instance.end_sessions(away);
        let output = lab.run("models", &["--json"]);
        output.code(4).stdout_is("").stderr_lacks("session-");
        assert_eq!(output.error_json()["try"], format!("keyfob login {}", lab.id()));
    }
    let lab = Lab::signed_in();
    lab.instance.world().broken = Some(503);
    lab.run("models", &[]).code(3).stdout_is("");
}

#[test]
fn logout_forgets_and_asks_nobody() {
    let lab = Lab::signed_in();
    let other = Instance::new();
    lab.sign_in_to(&other);
    let connections = (lab.instance.connections(), other.connections());
    let output = lab.sandbox.cmd(&["logout", &lab.id(), "--json"]).run();
    let removed = output.ok().json()["removed"][0].clone();
    assert_eq!((&removed["provider"], &removed["revoked"]), (&json!("codemie"), &Value::Null));
    assert!(!lab.file().exists());
    assert_eq!((lab.instance.connections(), other.connections()), connections);
    assert_eq!(lab.account_files().len(), 1, "the other instance's is still there");
    lab.run("logout", &[]).ok().stdout_is("");
    assert_eq!(lab.account_files().len(), 0);
    lab.run("token", &[]).code(4).stdout_is("");
}

/// Every step with the loudest log, and no part of any session in what it says.
#[test]
fn no_cookie_is_ever_shown_but_by_token() {
    let lab = Lab::new();
    {
        let mut world = lab.instance.world();
        (world.pieces, world.rotate) = (2, Some("Max-Age=3600".to_owned()));
    }
    let loud = |words: &[&str]| lab.sandbox.cmd(words).env("KEYFOB_LOG", "trace");
    let clean = |output: &crate::support::command::Output, may_print: bool| {
        let secrets = ["session-", "c2Vzc2lvbg", "token=", "eyJwcm92aWRlciI"];
        for secret in secrets {
            output.stderr_lacks(secret);
            output.check(may_print || !output.stdout.contains(secret), "no secret on stdout");
        }
    };
    let process = lab.login(&["--no-browser"]).env("KEYFOB_LOG", "trace").spawn();
    let url = process.auth_url();
    let page = lab.person(&url).follow();
    assert!(!page.body.contains("session-"));
    let output = process.wait(LIMIT);
    output.ok().stderr_has("/v1/user -> 200");
    clean(&output, false);
    let back = lab.person(&lab.print_url(&[])).location;
    clean(loud(&["login", "--callback-url", "-"]).stdin(back.as_str()).run().ok(), false);
    clean(&loud(&["login", "--callback-url", &back]).run(), false);
    for word in ["refresh", "status", "models"] {
        clean(loud(&[word, "codemie"]).run().ok(), false);
    }
    clean(loud(&["token", "codemie"]).run().ok(), true);
    lab.instance.world().broken = Some(500);
    clean(loud(&["refresh", "codemie"]).run().code(3), false);
    lab.instance.world().broken = None;
    lab.instance.end_sessions(Away::Page);
    clean(loud(&["refresh", "codemie", "--json"]).run().code(4), false);
    clean(loud(&["logout", "codemie"]).run().ok(), false);
}
