//! The login with a key file: what is asked, what is kept, and when nothing is.

use serde_json::{Value, json};

use super::{EMAIL, KEY_ID, SUBJECT, Seat};
use crate::login::demo::{LIMIT, eventually};
use crate::support::google_token::{Assertion, Twist};
use crate::support::rsa_key::RsaKey;
use crate::support::sandbox::set_mode;

#[test]
fn a_key_file_is_kept_with_the_token_it_was_traded_for() {
    let seat = Seat::new();
    let login = seat.run(seat.login().umask("000"));
    login.ok().stdout_is("").stderr_lacks("warning");
    login.stderr_has(&format!("signed in to vertex as {EMAIL}; expires in "));
    login.stderr_has("renewed by itself").stderr_has("project my-project in us-central1");
    login.stderr_has(&seat.file().display().to_string());

    let account = seat.stored();
    assert_eq!(account["kind"], "service_account");
    assert_eq!(account["service_account"], seat.key_file(), "the whole file, unknown keys too");
    assert_eq!(account["access_token"], seat.google.last_token());
    assert_eq!(account["token_type"], "Bearer");
    assert_eq!(
        account["identity"],
        json!({"email": EMAIL, "subject": SUBJECT, "organization": null})
    );
    assert_eq!(account["extra"], json!({"project": "my-project", "location": "us-central1"}));
    assert_eq!(account["issued_by"], seat.google.origin());
    assert_eq!(account["refresh_token"], Value::Null);
    assert_eq!(seat.sandbox.mode(&seat.file()), 0o600);
    assert_eq!(seat.sandbox.mode(&seat.sandbox.home()), 0o700);
    assert_eq!(seat.holders(), [seat.file()], "the key lies in one file alone");
    assert_eq!(seat.google.count(), 1);
    seat.google.assert_content();
}

/// The server checks more than this, and complains; here it stands for the reader.
#[test]
fn the_claims_are_those_of_google_s_own_page() {
    let seat = Seat::signed_in();
    let request = seat.google.requests().remove(0);
    let assertion = Assertion::of(&request).expect("a JWT");
    assert_eq!(assertion.header, json!({"alg": "RS256", "typ": "JWT", "kid": KEY_ID}));
    assert_eq!(assertion.claims["iss"], EMAIL);
    assert_eq!(assertion.claims["scope"], "https://www.googleapis.com/auth/cloud-platform");
    assert_eq!(assertion.claims["aud"], seat.google.url());
    assert!(assertion.claims.get("sub").is_none());
    assert_eq!(request.header("accept"), Some("application/json"));
    seat.google.assert_content();
}

#[test]
fn the_json_object_tells_no_secret() {
    let seat = Seat::new();
    let object = seat.run(seat.login().arg("--json")).ok().json();
    let expires_at = seat.stored()["expires_at"].clone();
    let path = seat.file().display().to_string();
    assert_eq!(
        object,
        json!({"version": 1, "status": "ok", "provider": "vertex", "account": EMAIL,
               "kind": "service_account", "email": EMAIL, "expires_at": expires_at, "scopes": [],
               "path": path})
    );
}

#[test]
fn a_key_without_an_id_is_used_without_one() {
    let seat = Seat::new();
    seat.google.know(EMAIL, None, RsaKey::one());
    let mut file = seat.key_file();
    for key in ["private_key_id", "client_id"] {
        file.as_object_mut().expect("an object").remove(key);
    }
    seat.run(seat.login_with(&file)).ok();
    assert_eq!(seat.stored()["identity"]["subject"], Value::Null);
    seat.google.assert_content();
}

#[test]
fn the_file_comes_from_stdin_too() {
    let seat = Seat::new();
    let text = format!("\u{feff}{:#}\r\n", seat.key_file());
    let login = seat.cmd("login vertex --service-account -").stdin(text);
    seat.run(login).ok().stdout_is("");
    assert_eq!(seat.stored()["service_account"], seat.key_file());
    seat.google.assert_content();

    let empty = seat.run(seat.cmd("login vertex --service-account -").stdin(""));
    empty.code(2).stdout_is("").stderr_has("stdin holds no key file");
    let wrong = seat.run(seat.cmd("login vertex --service-account -").stdin("{}"));
    wrong.code(2).stderr_has("stdin: it has no type");
}

#[test]
fn without_a_terminal_the_flag_is_named() {
    let seat = Seat::new();
    for words in ["login vertex --json", "login google-vertex --no-input --json"] {
        let asked = seat.say(words);
        asked.code(2).stdout_is("");
        assert_eq!(asked.error_json()["code"], "prompt_needed");
        assert_eq!(asked.error_json()["try"], "keyfob login vertex --service-account FILE");
    }
}

#[test]
fn at_a_terminal_the_path_is_asked_for() {
    let seat = Seat::new();
    let path = seat.sandbox.user_home().join("my key.json");
    crate::support::sandbox::write_private(&path, &seat.key_file().to_string());
    let mut login = seat.cmd("login vertex").pty().spawn();
    eventually("the question", || login.stdout().contains("its path: "));
    login.write_stdin("'~/my key.json'\n");
    let output = login.wait(LIMIT);
    seat.tells_nothing(&output);
    output.ok().check(output.stdout.contains("keys-create-delete"), "where keys are made");
    assert_eq!(seat.stored()["kind"], "service_account");
}

#[test]
fn other_providers_take_no_key_file() {
    let seat = Seat::new();
    let path = seat.write("key.json", &seat.key_file().to_string());
    let path = path.display();
    for words in [
        format!("login groq --service-account {path}"),
        format!("login vertex --service-account {path} --api-key-stdin"),
        format!("login vertex --service-account {path} --scope openid"),
        "login vertex --api-key-stdin".to_owned(),
    ] {
        seat.say(&words).code(2).stdout_is("");
    }
    assert_eq!(seat.google.count(), 0);
    seat.nothing_is_stored();
}

#[test]
fn a_key_that_is_refused_is_not_stored() {
    let seat = Seat::new();
    seat.google.know(EMAIL, Some(KEY_ID), RsaKey::other());
    let login = seat.run(seat.login().arg("--json"));
    login
        .code(1)
        .stdout_is("")
        .stderr_has("Invalid JWT Signature")
        .stderr_has("nothing was stored");
    login.stderr_has("https://console.cloud.google.com/iam-admin/serviceaccounts");
    assert_eq!(login.error_json()["code"], "refused");
    seat.nothing_is_stored();
    seat.google.forget(EMAIL);
    seat.run(seat.login()).code(1).stderr_has("account not found");
    seat.nothing_is_stored();
    seat.google.assert_content();
}

#[test]
fn an_endpoint_in_trouble_is_asked_again_later() {
    let seat = Seat::new();
    let slow_down = json!({"error": "temporarily_unavailable"});
    seat.google.twist([
        Twist::Answer(503, json!({})),
        Twist::Answer(429, json!({"error": "invalid_grant"})),
        Twist::Answer(400, slow_down),
        Twist::Drop,
    ]);
    for _ in 0..4 {
        seat.run(seat.login()).code(3).stdout_is("");
        seat.nothing_is_stored();
    }
    seat.google.twist([Twist::Answer(200, json!({"id_token": "x"}))]);
    seat.run(seat.login()).code(1).stderr_has("without an access token");
    seat.nothing_is_stored();
    seat.run(seat.login()).ok();
}

#[test]
fn a_wrong_clock_is_not_taken_for_a_wrong_key() {
    let seat = Seat::new();
    seat.google.twist([Twist::clock()]);
    let login = seat.run(seat.login());
    login
        .code(1)
        .stdout_is("")
        .stderr_has("this machine's clock is off")
        .stderr_has("  try: date -u\n");
    login.stderr_lacks("may be deleted");
    seat.nothing_is_stored();
}

#[test]
fn unseen_it_is_stored_without_a_request() {
    let seat = Seat::new();
    let login = seat.run(seat.login().arg("--no-verify"));
    login.ok().stdout_is("").stderr_has("no token asked for yet");
    assert_eq!(seat.google.count(), 0);
    assert_eq!(seat.stored()["access_token"], Value::Null);
    let status = seat.say("status vertex --json").ok().json()["accounts"][0].clone();
    assert_eq!((&status["expires_at"], &status["can_refresh"]), (&Value::Null, &json!(true)));
    let json = seat.run(seat.login().arg("--no-verify").arg("--json")).ok().json();
    assert_eq!(json["expires_at"], Value::Null);
    assert_eq!(seat.token(), seat.google.last_token());
    assert_eq!(seat.google.count(), 1);
    seat.google.assert_content();
}

#[test]
fn only_the_expected_account_is_stored() {
    let seat = Seat::new();
    let login = seat.run(seat.login().arg("--expect").arg("other@example.com"));
    login.code(1).stdout_is("").stderr_has(EMAIL).stderr_has("nothing was stored");
    assert_eq!(seat.google.count(), 0);
    seat.nothing_is_stored();
    for expected in [EMAIL, SUBJECT] {
        seat.run(seat.login().arg("--expect").arg(expected)).ok();
    }
}

#[test]
fn a_file_that_others_can_read_gets_a_warning() {
    let seat = Seat::new();
    let login = seat.login();
    set_mode(&seat.sandbox.work().join("key.json"), 0o644);
    let output = seat.run(login);
    output.ok().stderr_has("warning").stderr_has("chmod 600").stderr_has("key.json");
    let login = seat.login();
    seat.run(login).ok().stderr_lacks("chmod");
}

#[test]
fn a_name_becomes_another_account_only_when_told_to() {
    let seat = Seat::new();
    seat.run(seat.login_as("vertex/work", &seat.key_file())).ok();
    let other = "other@my-project.iam.gserviceaccount.com";
    seat.google.know(other, Some(KEY_ID), RsaKey::other());
    let mut file = seat.key_file();
    file["client_email"] = json!(other);
    file["client_id"] = json!("998877");
    file["private_key"] = json!(RsaKey::other().pem());
    let taken = seat.run(seat.login_as("vertex/work", &file));
    taken.code(1).stdout_is("").stderr_has(EMAIL).stderr_has(other).stderr_has("--replace");
    let work = || seat.sandbox.read_account("vertex", "work");
    assert_eq!(work()["identity"]["email"], EMAIL);
    seat.run(seat.login_as("vertex/work", &file).arg("--replace")).ok();
    assert_eq!(work()["identity"]["email"], other);
    assert_eq!(seat.token(), seat.google.last_token());
    seat.google.assert_content();
}

#[test]
fn a_new_key_of_the_same_account_takes_the_old_one_s_place() {
    let seat = Seat::new();
    seat.run(seat.login().arg("--location").arg("europe-west4")).ok();
    seat.change(|account| {
        account["attributes"] = json!({"note": "mine"});
        account["created_at"] = json!("2026-01-01T00:00:00Z");
    });
    seat.google.know(EMAIL, Some("new-key"), RsaKey::other());
    let mut file = seat.key_file();
    file["private_key"] = json!(RsaKey::other().pem());
    file["private_key_id"] = json!("new-key");
    seat.run(seat.login_with(&file)).ok().stderr_has("project my-project in europe-west4");
    let stored = seat.stored();
    assert_eq!(stored["service_account"], file);
    assert_eq!(stored["attributes"]["note"], "mine");
    assert_eq!(stored["created_at"], "2026-01-01T00:00:00Z");
    assert_eq!(stored["extra"]["location"], "europe-west4");
    assert_eq!(seat.holders(), [seat.file()]);
    seat.google.assert_content();
}
