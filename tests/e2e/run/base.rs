//! Where a request goes: to the row's API, to that of the key's own row, or where a variable of the
//! vendor's own tools says. What signed in goes to its own provider and nowhere else.

use serde_json::json;

use super::*;
use crate::support::model_api::{Api, Fault, When};

/// Another API of the same kind, at another origin.
fn elsewhere(provider: &str, credential: &str, value: &str) -> Api {
    let mut door = seats::door(provider);
    door.credential = credential.to_owned();
    let value = value.to_owned();
    Api::start(door, move |shown| shown == value)
}

/// Provider, variable, and what belongs behind the API's origin in it.
const VARIABLES: [(&str, &str, &str); 3] = [
    ("anthropic-api", "ANTHROPIC_BASE_URL", ""),
    ("gemini-api", "GOOGLE_GEMINI_BASE_URL", ""),
    ("openai-api", "OPENAI_BASE_URL", "/v1"),
];

#[test]
fn a_variable_puts_the_api_of_a_key_elsewhere() {
    for (provider, variable, rest) in VARIABLES {
        println!("{provider}");
        let home = Home::of(&[&format!("{provider}/default")]);
        let Seat { api, secret, .. } = &home.seats[0];
        let (header, value) = match provider {
            "anthropic-api" => ("x-api-key", secret.clone()),
            "gemini-api" => ("x-goog-api-key", secret.clone()),
            _ => ("authorization", format!("Bearer {secret}")),
        };
        let other = elsewhere(provider, header, &value);
        for end in ["", "/"] {
            let base = format!("{}{rest}{end}", other.origin());
            let cmd = home.cmd(&["run", provider, "hello"]).env(variable, &base);
            cmd.run().ok().stdout_is("Hello, wörld ☀!\n");
        }
        assert_eq!((api.connections(), other.connections()), (0, 2));
        let cmd = home.cmd(&["run", provider, "hello"]).env(variable, "http://x.example/v1");
        cmd.run().check(true, "").stdout_is("").stderr_has(variable);
        assert_eq!(api.connections(), 0, "a wrong address is not passed over");
        other.assert_content();
        home.is_content();
    }
}

#[test]
fn a_variable_does_not_move_what_signed_in() {
    for (name, variable) in [
        ("claude/me@example.com", "ANTHROPIC_BASE_URL"),
        ("gemini/me@example.com", "GOOGLE_GEMINI_BASE_URL"),
        ("openai/me@example.com", "OPENAI_BASE_URL"),
    ] {
        let home = Home::of(&[name]);
        let other = elsewhere("groq", "authorization", "nothing");
        let cmd = home.cmd(&["run", name, "hello"]).env(variable, &other.origin());
        cmd.run().ok().stdout_is("Hello, wörld ☀!\n");
        assert_eq!((home.api().connections(), other.connections()), (1, 0), "{name}");
        home.is_content();
    }
}

/// `ANTHROPIC_API_KEY` makes `claude` ready, and the API that takes it is the other row's.
#[test]
fn a_key_of_a_sign_in_row_goes_to_the_api_for_keys() {
    for (provider, keys, variable) in [
        ("claude", "anthropic-api", "ANTHROPIC_API_KEY"),
        ("gemini", "gemini-api", "GEMINI_API_KEY"),
        ("openai", "openai-api", "OPENAI_API_KEY"),
    ] {
        let sign_in = format!("{provider}/me@example.com");
        let home = Home::of(&[&format!("{keys}/default"), &sign_in]);
        let Seat { api, secret, .. } = &home.seats[0];
        for name in [&sign_in, &format!("{keys}/default")] {
            let (provider, account) = name.split_once('/').expect("a name");
            let file = home.sandbox.account_file(provider, account);
            std::fs::remove_file(file).expect("an account");
        }
        let cmd = home.cmd(&["run", provider, "hello", "--json"]).env(variable, secret);
        let answer = cmd.run().ok().json();
        assert_eq!(
            (&answer["text"], &answer["provider"]),
            (&"Hello, wörld ☀!".into(), &provider.into())
        );
        assert_eq!(api.said().prompt, "hello");
        assert_eq!(home.seat(&sign_in).api.connections(), 0);

        let words = ["run", provider, "hello"];
        let output = home.cmd(&words).env(variable, "sk-another-key-0123456789").run();
        output.code(4).stdout_is("");
        output.stderr_has(&format!("\n  try: export {variable}=… with a new one\n"));
        home.is_content();
    }
}

#[test]
fn what_is_stored_is_sent_to_no_other_origin() {
    let home = Home::of(&["groq/default", "claude/me@example.com", "codemie/session"]);
    for Seat { name, api, .. } in &home.seats {
        let other = elsewhere("groq", "authorization", "nothing");
        let output = home.cmd(&["run", name, "hello", "--base-url", &other.origin()]).run();
        output.code(2).stdout_is("").stderr_has("  try: keyfob provider add ");
        assert_eq!((other.connections(), api.connections()), (0, 0), "{name}");
        // The same origin says nothing new.
        home.cmd(&["run", name, "hello", "--base-url", &api.origin()]).run().ok();
    }
    home.is_content();
}

#[test]
fn a_redirect_is_not_followed_with_the_credential() {
    let home = Home::of(&["groq/default"]);
    home.api().fault(When::Asked, Fault::Status(307));
    let output = home.say("run groq hello").run();
    output.code(1).stdout_is("");
    assert_eq!(home.api().connections(), 1);
    home.is_content();
}

#[test]
fn an_api_over_plain_http_is_refused() {
    let home = Home::of(&["groq/default"]);
    home.configure("providers/groq/api/base", json!("http://api.example/v1"));
    let output = home.say("run groq hello").run();
    output.check(output.status != Some(0), "refused").stdout_is("").stderr_has("https");
    let words = ["run", "codemie", "hello", "--jwt-token", "-", "--base-url", "http://x.example"];
    let output = home.cmd(&words).stdin("eyJhbGciOiJub25lIn0.e30.x").run();
    output.check(output.status != Some(0), "refused").stdout_is("").stderr_has("https");
    assert_eq!(home.api().connections(), 0);
}
