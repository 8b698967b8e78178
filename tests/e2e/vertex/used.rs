//! A service account in `token`, `exec`, `status`, `use` and `logout`.

use serde_json::{Value, json};

use super::{EMAIL, Seat};
use crate::support::sandbox::make_private_dir;

const PAGE: &str = "https://console.cloud.google.com/iam-admin/serviceaccounts";

#[test]
fn the_token_comes_with_all_that_a_request_needs() {
    let seat = Seat::signed_in();
    let token = seat.google.last_token();
    let object = seat.say("token vertex --json").ok().json();
    let base = "https://us-central1-aiplatform.googleapis.com/v1/projects/my-project/locations/us-central1";
    assert_eq!(
        object,
        json!({"version": 1, "provider": "vertex", "account": EMAIL, "kind": "service_account",
               "token_type": "Bearer", "token": token, "expires_at": seat.stored()["expires_at"],
               "api_base": base, "headers": {"Authorization": format!("Bearer {token}")}})
    );
    for name in ["vertex-ai", "google-vertex", &format!("vertex/{EMAIL}")] {
        seat.say(&format!("token {name}")).ok().stdout_is(&format!("{token}\n"));
    }
}

#[test]
fn a_child_gets_the_token_and_the_place_and_never_the_key() {
    let seat = Seat::signed_in();
    let words = ["exec", "vertex", "--", "sh", "-c", "tr '\\0' ' ' </proc/$$/cmdline; echo; env"];
    let child = seat.run(seat.sandbox.cmd(&words).env("KEYFOB_LOG", "trace"));
    let token = seat.google.last_token();
    for line in [
        format!("CLOUDSDK_AUTH_ACCESS_TOKEN={token}"),
        "GOOGLE_CLOUD_PROJECT=my-project".to_owned(),
        "GOOGLE_CLOUD_LOCATION=us-central1".to_owned(),
    ] {
        assert!(child.ok().stdout.lines().any(|one| one == line), "{line}\n{}", child.report());
    }
    child.check(!child.stdout.contains("PRIVATE KEY"), "no key");
    assert_eq!(child.stdout.matches(&token).count(), 1);
}

/// While it waits for the endpoint, the process shows nothing to those who list processes.
#[test]
fn a_login_has_no_key_in_its_arguments_or_environment() {
    let seat = Seat::new();
    seat.google.twist([crate::support::google_token::Twist::Delay(600)]);
    let mut login = seat.cmd("login vertex --service-account -").spawn();
    login.write_stdin(seat.key_file().to_string());
    login.close_stdin();
    seat.google.wait_for(1);
    let seen =
        |file: &str| std::fs::read(format!("/proc/{}/{file}", login.pid())).unwrap_or_default();
    let both = [seen("cmdline"), seen("environ")].concat();
    let both = String::from_utf8_lossy(&both).into_owned();
    assert!(both.contains("KEYFOB_HOME") && !both.contains("PRIVATE KEY"), "{both}");
    assert!(seat.secrets().iter().all(|piece| !both.contains(piece)), "{both}");
    let output = login.wait(crate::login::demo::LIMIT);
    seat.tells_nothing(&output);
    output.ok();
}

#[test]
fn the_status_says_that_it_renews() {
    let seat = Seat::signed_in();
    let status = seat.say("status vertex");
    let line = status.ok().stdout.lines().nth(1).expect("a line").to_owned();
    let cells: Vec<_> = line.split_whitespace().collect();
    assert_eq!(cells[..4], ["vertex*", EMAIL, "service_account", "valid"], "{line}");
    assert!(line.contains("(renews)"), "{line}");

    let seat = Seat::with_left(-100);
    let account = seat.say("status vertex --json").ok().json()["accounts"][0].clone();
    assert_eq!((&account["state"], &account["can_refresh"]), (&json!("expired"), &json!(true)));
    assert_eq!(account["identity"]["email"], EMAIL);
    assert_eq!(seat.google.count(), 1);
    let account = seat.say("status vertex --check --json").ok().json()["accounts"][0].clone();
    assert_eq!(account["state"], "valid");
    assert_eq!(seat.google.count(), 2);
}

#[test]
fn a_logout_says_that_the_key_lives_on() {
    let seat = Seat::signed_in();
    let logout = seat.say("logout vertex");
    logout.ok().stdout_is("").stderr_has("the key file itself stays valid").stderr_has(PAGE);
    assert!(!seat.file().exists());
    assert!(seat.holders().is_empty(), "{:?}", seat.holders());
    seat.say("token vertex").code(4).stdout_is("");

    seat.run(seat.login()).ok();
    let removed = seat.say("logout vertex --json").ok().json()["removed"][0].clone();
    assert_eq!(removed["revoked"], Value::Null);
    assert!(removed["warning"].as_str().is_some_and(|text| text.contains(PAGE)), "{removed}");
    seat.run(seat.login()).ok();
    seat.say("logout vertex --keep-token").ok().stderr_lacks("stays valid");
    assert_eq!(seat.google.count(), 3, "nobody is told");
}

/// Every command once, and nothing of the key is anywhere but in the account's file.
#[test]
fn the_key_lies_in_the_account_s_file_alone() {
    let seat = Seat::new();
    let temp = seat.sandbox.user_home().join("tmp");
    make_private_dir(&temp);
    let run = |words: &str| {
        let path = temp.display().to_string();
        seat.run(seat.cmd(words).env("TMPDIR", &path)).ok().stdout.clone()
    };
    seat.run(seat.login().env("TMPDIR", &temp.display().to_string())).ok();
    for words in [
        "token vertex",
        "token vertex --json",
        "refresh vertex",
        "refresh --all --json",
        "exec vertex -- env",
        "status",
        "status --json --check",
        "provider show vertex",
        "provider list --json",
        "pending list",
        "version",
    ] {
        let shown = run(words);
        assert!(!shown.contains("PRIVATE KEY"), "{words}: {shown}");
    }
    assert_eq!(seat.holders(), [seat.file()]);
    assert!(seat.sandbox.files(&temp).is_empty());
    run(&format!("use vertex/{EMAIL}"));
    run("logout vertex");
    assert!(seat.holders().is_empty());
}
