//! A JWT in the environment: what is wrong with it, when it ends, who sees it.

use serde_json::{Value, json};

use super::{expiring_in, jwt};
use crate::support::sandbox::Sandbox;

const NAME: &str = "CODEMIE_JWT_TOKEN";
const PLACE: [&str; 4] = ["models", "codemie", "--base-url", "http://127.0.0.1:1"];
/// Forms that are wrong, and the part that is named.
const WRONG: [(&str, &str); 6] = [
    ("opaque-token", "three parts"),
    ("e30.e30", "three parts"),
    ("e30.e30.sig.more", "three parts"),
    ("!!!.e30.sig", "header"),
    ("e30.W10.sig", "payload"),
    ("e30.e30.s!g", "signature"),
];

/// With a token stored for an instance.
fn with_stored() -> (Sandbox, String) {
    let sandbox = Sandbox::new();
    let token = expiring_in(30 * 86_400);
    let login = ["login", "codemie", "--url", "https://lab.example", "--jwt-token", &token];
    sandbox.cmd(&login).run().ok();
    (sandbox, token)
}

#[test]
fn a_token_of_no_form_is_an_error_that_names_the_variable_and_the_part() {
    let (sandbox, _) = with_stored();
    for (text, part) in WRONG {
        for words in [&PLACE[..], &["token", "codemie"], &["exec", "codemie", "--", "true"]] {
            let output = sandbox.cmd(words).env(NAME, text).run();
            output.code(1).stdout_is("").stderr_has(NAME).stderr_has(part);
            output.stderr_lacks(text);
        }
        let output = sandbox.cmd(&PLACE).arg("--jwt-token").arg(text).run();
        output.code(2).stdout_is("").stderr_has(part).stderr_lacks(text);
    }
}

#[test]
fn an_expired_token_is_an_error_and_never_skipped_in_silence() {
    let (sandbox, _) = with_stored();
    let expired = jwt(&json!({"exp": 1_700_000_000}));
    for words in [&PLACE[..], &["token", "codemie"]] {
        let output = sandbox.cmd(words).env(NAME, &expired).run();
        output.code(4).stdout_is("").stderr_has(NAME).stderr_has("expired");
        output.stderr_lacks(&expired);
    }
    let output = sandbox.cmd(&PLACE).arg("--jwt-token").arg(&expired).run();
    output.stdout_is("").stderr_has("expired").stderr_lacks(&expired).stderr_lacks("stored");
    output.check(matches!(output.status, Some(1 | 4)), "an error");
}

#[test]
fn the_token_of_the_variable_goes_before_the_stored_one() {
    let (sandbox, stored) = with_stored();
    let given = expiring_in(3_600);
    let token = |account: &str| sandbox.cmd(&["token", account]).env(NAME, &given);
    token("codemie").run().ok().stdout_is(&format!("{given}\n"));
    token("codemie/lab.example").run().ok().stdout_is(&format!("{stored}\n"));
    for empty in ["", " "] {
        let output = sandbox.cmd(&["token", "codemie"]).env(NAME, empty).run();
        output.ok().stdout_is(&format!("{stored}\n"));
    }
    let shown = token("codemie").arg("--json").run().ok().json();
    assert_eq!((&shown["kind"], &shown["account"]), (&json!("bearer"), &Value::Null));
    assert_eq!(shown["headers"], json!({"Authorization": format!("Bearer {given}")}));
    assert_eq!(shown["api_base"], "https://lab.example/code-assistant-api");
    let spaced = sandbox.cmd(&["token", "codemie"]).env(NAME, &format!(" {given}\n")).run();
    spaced.ok().stdout_is(&format!("{given}\n"));
}

#[test]
fn without_an_account_the_token_is_printed_as_well() {
    let sandbox = Sandbox::new();
    let given = expiring_in(3_600);
    let output = sandbox.cmd(&["token", "codemie"]).env(NAME, &given).run();
    output.ok().stdout_is(&format!("{given}\n"));
    sandbox.cmd(&["token", "codemie/work"]).env(NAME, &given).run().code(4).stdout_is("");
    assert!(!sandbox.home().exists(), "nothing was stored");
}

#[test]
fn a_command_gets_the_token_that_counts_and_where_it_is_good() {
    let (sandbox, stored) = with_stored();
    let given = expiring_in(3_600);
    let print = ["exec", "codemie", "--", "sh", "-c", "echo $CODEMIE_JWT_TOKEN $CODEMIE_URL"];
    let line = |token: &str| format!("{token} https://lab.example\n");
    sandbox.cmd(&print).run().ok().stdout_is(&line(&stored));
    sandbox.cmd(&print).env(NAME, &given).run().ok().stdout_is(&line(&given));
}

#[test]
fn status_shows_the_token_of_the_variable_and_its_end() {
    let sandbox = Sandbox::new();
    let row = |token: &str| {
        let output = sandbox.cmd(&["status", "codemie", "--json"]).env(NAME, token).run();
        output.stderr_lacks(token);
        output.ok().json()["accounts"][0].clone()
    };
    let soon = row(&expiring_in(3 * 86_400));
    assert_eq!((&soon["kind"], &soon["source"]), (&json!("bearer"), &json!(format!("env:{NAME}"))));
    assert!(soon["expires_at"].is_string(), "{soon}");
    assert!(soon["note"].as_str().unwrap().contains("nobody renews it"));
    let later = row(&expiring_in(30 * 86_400));
    assert_eq!((&later["note"], &later["state"]), (&Value::Null, &json!("valid")));
    let endless = row(&jwt(&json!({"sub": "me"})));
    assert_eq!((&endless["expires_at"], &endless["note"]), (&Value::Null, &Value::Null));

    let expired = jwt(&json!({"exp": 1_700_000_000}));
    for bad in [expired.as_str(), "opaque-token"] {
        let output = sandbox.cmd(&["status", "codemie"]).env(NAME, bad).run();
        output.code(4).stderr_has(NAME).stderr_lacks(bad);
    }
}

#[test]
fn status_shows_both_where_both_are() {
    let (sandbox, _) = with_stored();
    let status = ["status", "codemie", "--json"];
    let rows = sandbox.cmd(&status).env(NAME, &expiring_in(3_600)).run().ok().json();
    let rows = rows["accounts"].as_array().unwrap().clone();
    let sources: Vec<_> = rows.iter().map(|row| row["source"].as_str().unwrap()).collect();
    assert_eq!(sources, ["keyfob", "env:CODEMIE_JWT_TOKEN"]);
}

#[test]
fn logout_says_that_the_variable_still_signs_in() {
    let (sandbox, _) = with_stored();
    let output = sandbox.cmd(&["logout", "codemie"]).env(NAME, &expiring_in(3_600)).run();
    output.ok().stderr_has(&format!("{NAME} is set"));
}

#[test]
fn the_stored_token_is_kept_by_instance() {
    let sandbox = Sandbox::new();
    let token = expiring_in(30 * 86_400);
    for typed in ["https://LAB.example/", "lab.example/code-assistant-api"] {
        let login = ["login", "codemie", "--url", typed, "--jwt-token", "-"];
        sandbox.cmd(&login).stdin(token.as_str()).run().ok();
    }
    let file = sandbox.read_account("codemie", "lab.example");
    assert_eq!((&file["kind"], &file["access_token"]), (&json!("bearer"), &json!(token)));
    assert_eq!(file["extra"]["instance"], "https://lab.example");
    let shown = sandbox.cmd(&["token", "codemie", "--json"]).run().ok().json();
    assert_eq!(shown["api_base"], "https://lab.example/code-assistant-api");
    assert!(shown["expires_at"].is_string());
    let output = sandbox.cmd(&["login", "codemie", "--jwt-token", &token]).run();
    output.ok();
    assert_eq!(sandbox.files(&sandbox.home().join("accounts")).len(), 2, "the file and its lock");
    let nobody = Sandbox::new();
    let output = nobody.cmd(&["login", "codemie", "--jwt-token", &token]).run();
    output.code(2).stderr_has("--url").stderr_lacks(&token);
}
