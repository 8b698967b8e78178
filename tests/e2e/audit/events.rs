//! Each command's line, with the name of who called.

use serde_json::json;

use super::{events, lines, trail, with_key};
use crate::support::sandbox::{Sandbox, in_seconds, make_private_dir, write_private};
use crate::support::tool;
use crate::token::place::{EXPIRED_S, FRESH_S, ME, Place};

#[test]
fn a_hand_out_tells_what_was_given_to_whom() {
    let sandbox = with_key();
    let earliest = in_seconds(0);
    let script = "keyfob token groq; echo $$";
    let output = tool::run(&sandbox, &["dash", "-c", script], "");
    let pid: u64 = output.ok().stdout.lines().last().unwrap().parse().unwrap();
    let [line] = &lines(&sandbox)[..] else { panic!("{:?}", lines(&sandbox)) };
    assert_eq!(line["event"], "hand_out");
    assert_eq!((&line["provider"], &line["account"]), (&json!("groq"), &json!("default")));
    assert_eq!((&line["by"], &line["pid"]), (&json!("dash"), &json!(pid)));
    let at = line["at"].as_str().unwrap();
    assert!((earliest.as_str()..=&in_seconds(0)).contains(&at), "{at}");
    assert_eq!(line.as_object().unwrap().len(), 6, "{line}");
}

#[test]
fn every_command_that_hands_out_leaves_a_line() {
    let sandbox = with_key();
    let row = json!({"git_hosts": ["127.0.0.1"]});
    sandbox.write_config(&json!({"providers": {"groq": row}}));
    for words in [
        &["token", "groq"][..],
        &["token", "groq", "--json"],
        &["token", "groq", "--header"],
        &["token", "groq", "--format", "kubectl"],
        &["env", "groq"],
        &["env", "groq", "--shell", "json"],
        &["exec", "groq", "--", "true"],
        &["export", "groq", "--access-only"],
    ] {
        let _ = std::fs::remove_file(trail(&sandbox));
        sandbox.cmd(words).run().ok();
        assert_eq!(events(&sandbox)[0], "hand_out", "{words:?}");
    }
    let _ = std::fs::remove_file(trail(&sandbox));
    let question = "protocol=http\nhost=127.0.0.1\n";
    sandbox.cmd(&["git-credential", "groq", "get"]).stdin(question).run().ok();
    assert_eq!(events(&sandbox), ["hand_out"]);
    let _ = std::fs::remove_file(trail(&sandbox));
    sandbox.cmd(&["env", "groq", "groq"]).run().ok();
    assert_eq!(events(&sandbox), ["hand_out", "hand_out"]);
}

#[test]
fn what_gives_nothing_leaves_nothing() {
    let sandbox = with_key();
    for (words, code) in [
        (&["status"][..], 0),
        (&["status", "--json"], 0),
        (&["audit"], 0),
        (&["token", "claude"], 4),
        (&["token", "groq/nobody"], 4),
        (&["env", "groq", "--shell", "tcsh"], 2),
        (&["exec", "groq"], 2),
        (&["token", "groq", "--json", "--header"], 2),
        (&["account", "set", "groq", "note=x"], 0),
        (&["provider", "list"], 0),
        (&["completions", "words", "--", "token", "gr"], 0),
    ] {
        sandbox.cmd(words).run().code(code);
        assert!(!trail(&sandbox).exists(), "{words:?}");
    }
    // A variable is nobody's secret of ours.
    sandbox.cmd(&["token", "mistral"]).env("MISTRAL_API_KEY", "mk-0123456789").run().ok();
    assert!(!trail(&sandbox).exists());
}

#[test]
fn the_life_of_a_login() {
    let place = Place::new();
    place.sign_in(ME).ok();
    assert_eq!(events(&place.home), ["login"]);
    place.home.cmd(&["refresh", "my-idp"]).run().ok();
    assert_eq!(events(&place.home), ["login", "refresh"]);
    place.token().run().ok();
    let mut account = place.stored();
    account["expires_at"] = json!(in_seconds(EXPIRED_S));
    place.home.write_account("my-idp", ME, &account);
    place.token().run().ok();
    assert_eq!(events(&place.home)[2..], ["hand_out", "refresh", "hand_out"]);
    let copy = place.home.cmd(&["export", "my-idp"]).run().ok().stdout.clone();
    place.home.cmd(&["import", "-", "--account", "copy"]).stdin(copy).run().ok();
    place.home.cmd(&["logout", &format!("my-idp/{ME}"), "--keep-token"]).run().ok();
    assert_eq!(events(&place.home)[5..], ["export", "import", "logout"]);
    for line in lines(&place.home) {
        // The test itself started keyfob.
        assert_eq!(line["pid"], std::process::id(), "{line}");
        assert!(line["by"].as_str().is_some_and(|by| !by.is_empty()), "{line}");
        assert_eq!(line["provider"], "my-idp");
        let wanted = if line["event"] == "import" { "copy" } else { ME };
        assert_eq!(line["account"], wanted, "{line}");
    }
}

#[test]
fn a_refusal_is_noted_once() {
    let place = Place::new();
    place.signed_in_with(EXPIRED_S, &json!({"refresh_token": "spent-long-ago"}));
    place.token().run().code(4);
    place.token().run().code(4);
    assert_eq!(events(&place.home), ["refused"]);
    let shown = place.home.cmd(&["audit"]).run();
    shown.ok().check(shown.stdout.contains("refused   my-idp/me@example.com"), "shown");
}

#[test]
fn a_key_and_its_end() {
    let sandbox = Sandbox::new();
    let login = ["login", "groq", "--api-key-stdin"];
    sandbox.cmd(&login).stdin("gsk-marker-0123456789").run().ok();
    sandbox.cmd(&["logout", "groq"]).run().ok();
    assert_eq!(events(&sandbox), ["login", "logout"]);
}

/// A temporary failure is neither a refresh nor a refusal, and a token that lives is handed out.
#[test]
fn an_issuer_that_is_down_is_no_event() {
    let place = Place::new();
    place.signed_in_with(40, &json!({"refreshed_at": in_seconds(-3560)}));
    let dead = json!({"providers": {"my-idp": {"token_url": "http://127.0.0.1:9/token"}}});
    place.home.write_config(&dead);
    place.token().run().ok().stderr_has("warning");
    assert_eq!(events(&place.home), ["hand_out"]);
}

/// Whatever happened, no secret of any kind is in it.
#[test]
fn no_secret_stands_in_the_trail() {
    let place = Place::new();
    let grant = place.signed_in(FRESH_S);
    place.token().run().ok();
    place.home.cmd(&["refresh", "my-idp"]).run().ok();
    place.home.cmd(&["export", "my-idp"]).run().ok();
    let text = place.home.read(&trail(&place.home));
    let stored = place.stored();
    let tokens = [&grant.access_token, &grant.refresh_token].map(|token| token.as_str());
    let now = ["access_token", "refresh_token"].map(|key| stored[key].as_str().unwrap());
    assert!(tokens.iter().chain(&now).all(|token| !text.contains(token)), "{text}");
    let known = ["at", "event", "provider", "account", "by", "pid"];
    for line in lines(&place.home) {
        let mut keys = line.as_object().expect("an object").keys();
        assert!(keys.all(|key| known.contains(&key.as_str())), "{line}");
    }
}

/// A consent is an event, and so is each token handed out from the file that it is for.
#[test]
fn a_consent_and_what_is_handed_out_by_it_are_noted() {
    let sandbox = Sandbox::new();
    let codex = sandbox.user_home().join(".codex");
    make_private_dir(&codex);
    write_private(&codex.join("auth.json"), r#"{"OPENAI_API_KEY":"sk-marker-0123456789"}"#);
    sandbox.write_config(&json!({}));
    sandbox.cmd(&["source", "trust", "codex", "--yes"]).run().ok();
    sandbox.cmd(&["token", "openai-api"]).run().ok().stdout_is("sk-marker-0123456789\n");
    let trail = sandbox.cmd(&["audit", "--json"]).run();
    let events = trail.ok().json()["events"].as_array().expect("a list").clone();
    let seen: Vec<_> = events.iter().map(|e| (&e["event"], &e["provider"])).collect();
    assert_eq!(
        seen,
        [(&json!("trust"), &json!("codex")), (&json!("hand_out"), &json!("openai-api"))]
    );
    assert!(events.iter().all(|event| event["by"].is_string()), "{events:?}");
    assert!(!trail.stdout.contains("sk-marker"));
}
