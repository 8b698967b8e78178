//! Faults of config.json, of variables, and of what a login needs on this machine.

use std::net::TcpListener;

use serde_json::{Value, json};

use super::{fault, offline, only, text};
use crate::support::idp::encoding::{jwt, now_s};
use crate::support::sandbox::write_private;
use crate::support::tls::Ca;
use crate::token::place::{FRESH_S, ME, MY_IDP, Place, row_of};

fn healthy() -> Place {
    let place = Place::new();
    place.signed_in(FRESH_S);
    place
}

#[test]
fn settings_that_are_no_json_are_told_and_no_server_is_guessed() {
    for damage in ["{", "[]", ""] {
        let place = healthy();
        write_private(&place.home.home().join("config.json"), damage);
        only(&super::doctor(&place).run(), &[("config_unreadable", "error")]);
        assert_eq!(place.idp.requests().len(), 0);
    }
}

#[test]
fn a_row_that_cannot_be_read_is_told_by_its_key() {
    let place = healthy();
    place.home.write_config(&json!({"providers": {
        MY_IDP: row_of(&place.idp), "one": {"scopes": "hunter2"}, "two": {"token_url": 7},
    }}));
    let output = offline(&place).run();
    only(&output, &[("row_unreadable", "error"), ("row_unreadable", "error")]);
    assert!(output.stdout.contains("providers.one.scopes") && !output.stdout.contains("hunter2"));
    assert!(output.stdout.contains("keyfob provider remove two"), "{}", output.report());
}

#[test]
fn a_key_that_nobody_knows_is_a_warning_in_its_place() {
    let place = healthy();
    let mut row = row_of(&place.idp);
    row["tokenurl"] = json!("hunter2");
    place.home.write_config(&json!({"providers": {MY_IDP: row}}));
    let output = offline(&place).run();
    only(&output, &[("row_unknown_key", "warning")]);
    assert!(text(&fault(&output, "row_unknown_key"), "cause").contains("tokenurl"));
}

#[test]
fn settings_of_the_gateway_are_read_though_none_runs() {
    let place = healthy();
    let rows = json!({MY_IDP: row_of(&place.idp)});
    let serve = json!({"routing": "hunter2", "management_key": "hunter2"});
    place.home.write_config(&json!({"providers": rows, "serve": serve}));
    let output = offline(&place).run();
    only(&output, &[("serve_unreadable", "error")]);
    assert!(output.stdout.contains("serve.routing") && !output.stdout.contains("hunter2"));
    let serve = json!({"max_cool_down": 5});
    place.home.write_config(&json!({"providers": rows, "serve": serve}));
    let output = offline(&place).run();
    only(&output, &[("serve_unknown_key", "warning")]);
    assert!(text(&fault(&output, "serve_unknown_key"), "cause").contains("max_cool_down"));
}

#[test]
fn an_address_that_no_request_may_go_to_is_told() {
    let place = healthy();
    let mut row = row_of(&place.idp);
    row["token_url"] = json!("http://id.example/token?x=hunter2");
    place.home.write_config(&json!({"providers": {MY_IDP: row}}));
    let output = super::doctor(&place).run();
    only(&output, &[("endpoint_malformed", "error")]);
    assert!(!output.stdout.contains("hunter2"), "{}", output.report());
}

#[test]
fn a_variable_that_brings_no_key_is_told() {
    let place = healthy();
    let output = offline(&place).env("FIREWORKS_API_KEY", "hunter2").run();
    only(&output, &[("variable_malformed", "error")]);
    let found = fault(&output, "variable_malformed");
    assert_eq!(text(&found, "fix"), "unset FIREWORKS_API_KEY");
    assert!(!output.stdout.contains("hunter2"));
    only(&offline(&place).env("FIREWORKS_API_KEY", "fw-0123456789").run(), &[]);
    only(&offline(&place).env("FIREWORKS_API_KEY", "").run(), &[]);
}

#[test]
fn a_token_in_a_variable_is_told_when_it_is_none_when_it_ended_and_a_week_before() {
    let place = healthy();
    let name = "CODEMIE_JWT_TOKEN";
    let day = 86_400;
    let ending = |at: u64| jwt(&json!({"exp": at}));
    for (token, wanted) in [
        ("not.a.token".to_owned(), &[("variable_malformed", "error")][..]),
        (ending(now_s() - day), &[("variable_expired", "error")]),
        (ending(now_s() + 6 * day), &[("variable_expiring", "warning")]),
        (ending(now_s() + 8 * day), &[]),
    ] {
        let output = offline(&place).env(name, &token).run();
        only(&output, wanted);
        assert!(!output.stdout.contains(&token));
        assert!(wanted.is_empty() || output.stdout.contains(name), "{}", output.report());
    }
}

#[test]
fn a_variable_that_chooses_an_account_is_told_when_it_chooses_nobody() {
    let place = healthy();
    let name = "KEYFOB_ACCOUNT_MY_IDP";
    only(&offline(&place).env(name, ME).run(), &[]);
    only(&offline(&place).env(name, "").run(), &[]);
    let output = offline(&place).env(name, "you@example.com").run();
    only(&output, &[("variable_no_account", "error")]);
    assert_eq!(text(&fault(&output, "variable_no_account"), "fix"), format!("unset {name}"));
    let output = offline(&place).env("KEYFOB_ACCOUNT_MY_IDB", ME).run();
    only(&output, &[("variable_no_provider", "warning")]);
}

#[test]
fn a_browser_that_is_named_and_not_there_is_a_warning() {
    let place = healthy();
    only(
        &offline(&place).env("BROWSER", "/no/such/browser").run(),
        &[("opener_missing", "warning")],
    );
    for (name, value) in
        [("BROWSER", ""), ("NO_BROWSER", "1"), ("SSH_TTY", "/dev/pts/1"), ("BROWSER", "sh")]
    {
        only(&offline(&place).env(name, value).run(), &[]);
    }
}

#[test]
fn a_missing_tool_is_never_an_error() {
    let place = healthy();
    let output = offline(&place).env("PATH", "/nowhere").env("NO_BROWSER", "1").run();
    only(&output, &[("stty_missing", "warning")]);
}

#[test]
fn a_busy_port_is_told_with_another_to_take() {
    let place = healthy();
    let busy = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = busy.local_addr().expect("it is bound").port();
    let spare = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let free = spare.local_addr().expect("it is bound").port();
    drop(spare);
    let with = |ports: Value| {
        let mut row = row_of(&place.idp);
        row["redirect"] = json!({"host": "localhost", "ports": ports});
        place.home.write_config(&json!({"providers": {MY_IDP: row}}));
        offline(&place).run()
    };
    only(&with(json!([free])), &[]);
    let output = with(json!([port, free]));
    only(&output, &[("port_busy", "warning")]);
    let found = fault(&output, "port_busy");
    assert!(text(&found, "cause").contains(&format!("port {port}: address already in use")));
    assert_eq!(text(&found, "fix"), format!("keyfob login my-idp --callback-port {free}"));
    let output = with(json!([port]));
    let found = fault(&output, "port_busy");
    assert!(text(&found, "fix").starts_with("keyfob login my-idp --callback-port "), "{found}");
    drop(busy);
    only(&with(json!([port])), &[]);
}

/// Ports of providers that nobody uses are of no interest.
#[test]
fn a_busy_port_of_another_provider_is_no_fault() {
    let place = healthy();
    let busy = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = busy.local_addr().expect("it is bound").port();
    let other = json!({"issuer": "https://id.example", "redirect": {"ports": [port]}});
    place.home.write_config(&json!({"providers": {MY_IDP: row_of(&place.idp), "other": other}}));
    only(&offline(&place).run(), &[]);
}

#[test]
fn a_ca_variable_of_no_use_is_told_by_its_name() {
    let place = healthy();
    let work = place.home.work();
    write_private(&work.join("empty.pem"), "");
    let good = Ca::new("ours").write(&work.join("good.pem"));
    let empty = work.join("empty.pem").display().to_string();
    for variable in ["KEYFOB_CA_FILE", "SSL_CERT_FILE", "SSL_CERT_DIR"] {
        let mut bad = vec![("/nowhere/ca.pem", "ca_file_unreadable")];
        if variable != "SSL_CERT_DIR" {
            bad.push((empty.as_str(), "ca_file_empty"));
            only(&offline(&place).env(variable, &good).run(), &[]);
        }
        for (path, code) in bad {
            let output = offline(&place).env(variable, path).run();
            only(&output, &[(code, "error")]);
            let found = fault(&output, code);
            assert!(text(&found, "cause").contains(variable), "{found}");
            assert!(text(&found, "cause").contains(path), "{found}");
            assert_eq!(text(&found, "fix"), format!("unset {variable}"));
        }
    }
    let folder = place.home.user_home().display().to_string();
    let output = offline(&place).env("SSL_CERT_DIR", &folder).run();
    only(&output, &[("ca_file_empty", "error")]);
}
