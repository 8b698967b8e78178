//! `list`, `get` and `path`.

use serde_json::json;

use super::{home, refused, run, settings};
use crate::support::sandbox::Sandbox;

#[test]
fn every_setting_is_listed_sorted_and_secrets_are_masked() {
    let sandbox = home();
    let wanted = "accepted_terms.claude = 2026-01-01T00:00:00Z\n\
                  client_secrets.mine = …\n\
                  default.provider = mine\n\
                  defaults.my.idp = me@example.com\n\
                  notes.a.b = [1,{\"c\":null}]\n\
                  providers.claude.redirect.path = /x\n\
                  providers.mine.api.headers.Authorization = …\n\
                  providers.mine.api.headers.x-team = a\n\
                  providers.mine.client_id = cli\n\
                  providers.mine.scopes = [\"openid\"]\n\
                  providers.mine.token_url = https://id.example/token\n\
                  providers.my.idp.issuer = https://my.example\n";
    run(&sandbox, &["list"]).ok().stdout_is(wanted);
}

#[test]
fn the_json_is_the_file_with_secrets_masked() {
    let sandbox = home();
    let output = run(&sandbox, &["list", "--json"]);
    output.check(output.stdout.starts_with("{\"version\":1,\"settings\":{"), "version first");
    let mut wanted = settings();
    wanted["client_secrets"]["mine"] = json!("…");
    wanted["providers"]["mine"]["api"]["headers"]["Authorization"] = json!("…");
    assert_eq!(output.ok().json()["settings"], wanted);
}

#[test]
fn no_settings_are_an_empty_list() {
    let sandbox = Sandbox::new();
    run(&sandbox, &["list"]).ok().stdout_is("").stderr_has("nothing is set");
    let empty = run(&sandbox, &["list", "--json"]);
    empty.ok().stdout_is("{\"version\":1,\"settings\":{}}\n");
    assert!(!sandbox.home().exists(), "reading makes nothing");
}

#[test]
fn one_setting_is_printed_alone() {
    let sandbox = home();
    for (key, wanted) in [
        ("default.provider", "mine\n"),
        ("defaults.my.idp", "me@example.com\n"),
        ("providers.my.idp.issuer", "https://my.example\n"),
        ("providers.mine.scopes", "[\"openid\"]\n"),
        ("providers.claude.redirect", "{\"path\":\"/x\"}\n"),
        ("providers.mine.api.headers", "{\"Authorization\":\"…\",\"x-team\":\"a\"}\n"),
        ("notes.a.b", "[1,{\"c\":null}]\n"),
    ] {
        let output = run(&sandbox, &["get", key]);
        output.ok().stdout_is(wanted).check(output.stderr.is_empty(), "nothing else is said");
    }
    let json = run(&sandbox, &["get", "default.provider", "--json"]);
    json.ok().stdout_is("{\"version\":1,\"key\":\"default.provider\",\"value\":\"mine\"}\n");
    let json = run(&sandbox, &["get", "client_secrets", "--json"]);
    assert_eq!(json.ok().json()["value"], json!({"mine": "…"}));
}

#[test]
fn what_is_not_set_is_exit_1_and_the_list_is_named() {
    let sandbox = home();
    for key in ["nosuch", "default.other", "providers.mine.issuer", "providers.my", "notes.a"] {
        let output = refused(&sandbox, &["get", key], 1);
        output.stderr_has("is not set").stderr_has("  try: keyfob config list\n");
        let script = refused(&sandbox, &["get", key, "--json"], 1);
        assert_eq!(script.error_json()["try"], "keyfob config list");
    }
    for key in ["", ".", "a..b", "providers.", ".x"] {
        refused(&sandbox, &["get", key], 2).stderr_has("dots");
    }
}

#[test]
fn a_secret_is_not_printed_and_the_way_to_change_it_is() {
    let sandbox = home();
    let output = refused(&sandbox, &["get", "client_secrets.mine"], 1);
    output.stderr_has("  try: keyfob login mine --client-secret-stdin --client-id cli\n");
    let output = refused(&sandbox, &["get", "providers.mine.api.headers.Authorization"], 1);
    output.stderr_has(&sandbox.home().join("config.json").display().to_string());
    refused(&sandbox, &["get", "client_secrets.mine", "--json"], 1);
}

#[test]
fn the_path_is_told_whatever_is_there() {
    let sandbox = Sandbox::new();
    let wanted = format!("{}\n", sandbox.home().join("config.json").display());
    run(&sandbox, &["path"]).ok().stdout_is(&wanted);
    assert!(!sandbox.home().exists());
}
