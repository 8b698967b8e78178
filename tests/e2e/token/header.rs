//! `token --header`: one line for `curl -H @-`, the way the row wants it.

use serde_json::{Value, json};

use super::place::{FRESH_S, Place, text};
use crate::support::sandbox::{Sandbox, in_seconds};
use crate::support::tool;

#[test]
fn curl_takes_the_header_from_stdin() {
    let place = Place::new();
    place.signed_in(FRESH_S);
    let url = place.idp.url("/api/hello");
    let line = format!("keyfob token my-idp --header | curl -sS -H @- {url}");
    let output = tool::run(&place.home, &["sh", "-c", &line], "");
    output.ok().check(output.stdout.contains("hello"), "the API's answer");
    output.check(output.stderr.is_empty(), "nothing on stderr");
    let token = text(&place.stored(), "access_token").to_owned();
    let asked = place.idp.requests().pop().expect("a request");
    assert_eq!(asked.header("authorization"), Some(&*format!("Bearer {token}")));
}

/// The secret is in no argument of curl's, where others of the machine would read it.
#[test]
fn a_stale_token_is_renewed_before_it_is_printed() {
    let place = Place::new();
    place.signed_in(-10);
    let output = place.token().arg("--header").run();
    let token = text(&place.stored(), "access_token").to_owned();
    output.ok().stdout_is(&format!("Authorization: Bearer {token}\n"));
    assert_eq!(place.refreshes(), 1);
}

fn header_of(provider: &str, change: &Value) -> String {
    let sandbox = Sandbox::new();
    let mut account = json!({"version": 1, "provider": provider, "account": "default",
        "kind": "api_key", "access_token": "sk-0123456789", "refreshed_at": in_seconds(-10)});
    for (key, value) in change.as_object().unwrap() {
        account[key] = value.clone();
    }
    sandbox.write_account(provider, "default", &account);
    let output = sandbox.cmd(&["token", provider, "--header"]).run();
    let shown = sandbox.cmd(&["token", provider, "--json"]).run();
    let (name, value) = output.ok().line().split_once(": ").expect("NAME: VALUE");
    // The same header that --json names.
    assert_eq!(shown.ok().json()["headers"][name], value);
    output.line().to_owned()
}

#[test]
fn each_row_and_kind_has_its_header() {
    let key = json!({});
    assert_eq!(header_of("openai-api", &key), "Authorization: Bearer sk-0123456789");
    assert_eq!(header_of("anthropic-api", &key), "x-api-key: sk-0123456789");
    assert_eq!(header_of("azure", &key), "api-key: sk-0123456789");
    let later = in_seconds(3000);
    let cookie = json!({"kind": "cookie", "access_token": "a=1; b=2", "expires_at": later,
        "extra": {"instance": "https://codemie.example"}});
    assert_eq!(header_of("codemie", &cookie), "Cookie: a=1; b=2");
    let entra = json!({"kind": "entra", "access_token": "tok-entra", "expires_at": later});
    assert_eq!(header_of("azure", &entra), "Authorization: Bearer tok-entra");
    let robot = json!({"kind": "service_account", "access_token": "ya29.x", "expires_at": later,
        "service_account": {}});
    assert_eq!(header_of("vertex", &robot), "Authorization: Bearer ya29.x");
    let second = json!({"kind": "oauth", "expires_at": later,
        "extra": {"api_token": "second-token", "api_token_expires_at": later}});
    assert_eq!(header_of("copilot", &second), "Authorization: Bearer second-token");
}

#[test]
fn one_shape_at_a_time() {
    let place = Place::new();
    place.signed_in(FRESH_S);
    for words in [
        &["--json", "--header"][..],
        &["--json", "--format", "kubectl"],
        &["--header", "--format", "kubectl"],
        &["--json", "--header", "--format", "kubectl"],
    ] {
        let output = place.home.cmd(&[&["token", "my-idp"], words].concat()).run();
        output.code(2).stdout_is("").stderr_has("one at a time").stderr_has("try: keyfob token");
    }
    let output = place.home.cmd(&["token", "my-idp", "--format", "helm"]).run();
    output.code(2).stdout_is("").stderr_has("the formats are: kubectl");
}
