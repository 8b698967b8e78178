//! Which rows have the device flow, and what each sends.

use serde_json::json;

use super::{Begun, Polling, ask, demo_with, device_only, last_code};
use crate::login::demo::Demo;
use crate::support::idp::dialect::{ClientAuth, DeviceRule};
use crate::support::idp::encoding::params;
use crate::support::idp::{Dialect, Fault, Idp, Request, Times};
use crate::support::sandbox::Sandbox;

fn names(request: &Request) -> Vec<String> {
    let params = params(&request.body).expect("a form");
    let mut names: Vec<_> = params.0.into_iter().map(|(name, _)| name).collect();
    names.sort();
    names
}

#[test]
fn a_row_whose_only_way_it_is_needs_no_flag() {
    let demo = device_only();
    let url = demo.print_url(&[]);
    assert_eq!(url, demo.idp.url(&format!("/activate?user_code={}", last_code(&demo))));
    demo.idp.approve_device(&last_code(&demo));
    ask(&demo).ok();
    let polling = Polling::of(&demo, demo.login(&["demo"]));
    polling.approved(&demo).ok().stdout_is("");
    demo.idp.assert_content();
}

#[test]
fn a_row_with_both_opens_the_browser_unless_told_otherwise() {
    let demo = super::demo();
    assert!(demo.print_url(&[]).starts_with(&demo.idp.url("/authorize?")));
    assert_eq!(demo.idp.count("device_start"), 0);
}

#[test]
fn a_row_without_it_names_the_ways_it_has() {
    let demo = Demo::new();
    for more in [&[][..], &["--print-auth-url"], &["--print-auth-url", "--json"]] {
        let output = demo.login(&[&["demo", "--device"], more].concat()).run();
        output.code(2).stdout_is("").stderr_has("browser").stderr_has("keyfob login demo");
    }
    assert!(demo.idp.requests().is_empty(), "{}", demo.idp.counters());
    let sandbox = Sandbox::new();
    for id in ["claude", "google"] {
        let output = sandbox.cmd(&["login", id, "--device"]).run();
        output.code(2).stdout_is("").stderr_has("browser");
        output.stderr_lacks("--accept-terms").stderr_lacks("client");
    }
}

#[test]
fn a_refused_start_does_not_send_people_where_there_is_nothing() {
    let demo = device_only();
    demo.idp.fault("device_start", Fault::oauth_error("unauthorized_client", 400), Times::Once);
    let output = demo.login(&["demo"]).run();
    output.code(1).stdout_is("").stderr_has("unauthorized_client").stderr_lacks("--no-browser");
}

#[test]
fn an_issuer_known_by_name_alone_tells_where_its_endpoint_is() {
    let demo = Demo::with(Dialect::oidc(), |idp| {
        json!({
            "issuer": idp.issuer(),
            "ways": null,
            "authorize_url": null,
            "token_url": null,
            "userinfo_url": null,
        })
    });
    let begun = Begun::of(&demo, "demo");
    demo.idp.approve_device(&begun.user_code);
    ask(&demo).ok();
    demo.idp.assert_content();
    demo.idp.patch_metadata(json!({"device_authorization_endpoint": null}));
    demo.login(&["demo", "--device"]).run().code(2).stdout_is("").stderr_has("browser");
}

#[test]
fn a_provider_added_by_its_endpoints_can_be_signed_in_to() {
    let idp = Idp::start(Dialect::oidc());
    let sandbox = Sandbox::new();
    let url = |path: &str| idp.url(path);
    let (device_url, token_url) = (url("/device"), url("/token"));
    let arguments = ["provider", "add", "mine", "--client-id", "demo-client", "--scope", "openid"];
    let urls = ["--device-url", &device_url, "--token-url", &token_url];
    sandbox.cmd(&[&arguments[..], &urls].concat()).run().ok();
    let rows = sandbox.cmd(&["provider", "list", "--json"]).run().ok().json();
    let row = rows["providers"].as_array().unwrap().iter().find(|row| row["id"] == "mine").unwrap();
    assert_eq!(row["ways"], json!(["device"]));
    let begun = sandbox.cmd(&["login", "mine", "--print-auth-url"]).run();
    assert!(begun.ok().line().starts_with(&idp.url("/activate")));
    idp.approve_device(&idp.devices()[0].user_code);
    sandbox.cmd(&["login", "mine", "--complete", "--wait", "0"]).run().ok();
    idp.assert_content();
}

#[test]
fn each_kind_of_client_proves_itself_as_its_row_says() {
    let kinds = [
        (ClientAuth::None, &["client_id"][..]),
        (ClientAuth::Post, &["client_id", "client_secret"]),
        (ClientAuth::Basic, &[]),
    ];
    for (auth, proof) in kinds {
        println!("{auth:?}");
        let mut dialect = Dialect::oidc();
        dialect.client_auth = auth;
        dialect.client_secret = (auth != ClientAuth::None).then(|| "a+secret/1".into());
        dialect.scope = Some("openid email offline_access".into());
        let name = format!("{auth:?}").to_lowercase();
        let demo = demo_with(dialect, |_| json!({"client_auth": name}));
        if auth != ClientAuth::None {
            let mut config = demo.sandbox.read_config();
            config["client_secrets"] = json!({"demo": "a+secret/1"});
            demo.sandbox.write_config(&config);
        }
        let begun = Begun::of(&demo, "demo");
        demo.idp.approve_device(&begun.user_code);
        ask(&demo).ok();
        let with_proof = |own: &[&str]| {
            let mut names: Vec<_> = own.iter().chain(proof).map(|n| (*n).to_string()).collect();
            names.sort();
            names
        };
        let start = &demo.idp.requests_to("device_start")[0];
        assert_eq!(names(start), with_proof(&["scope"]));
        let poll = &demo.idp.requests_to("device_poll")[0];
        assert_eq!(names(poll), with_proof(&["grant_type", "device_code"]));
        demo.idp.assert_content();
    }
}

#[test]
fn scopes_can_be_chosen_and_left_out() {
    let mut dialect = Dialect::oidc();
    dialect.scope = Some("openid a:b".into());
    let demo = demo_with(dialect, |_| json!({}));
    demo.login(&["demo", "--device", "--print-auth-url", "--scope", "openid a:b"]).run().ok();
    demo.idp.assert_content();
    let demo = demo_with(Dialect::oidc(), |_| json!({"scopes": []}));
    Begun::of(&demo, "demo");
    assert_eq!(names(&demo.idp.requests_to("device_start")[0]), ["client_id"]);
    demo.idp.assert_content();
}

#[test]
fn pkce_is_added_where_the_row_asks_for_it() {
    let mut dialect = Dialect::oidc();
    dialect.device = Some(DeviceRule { pkce: true, ..DeviceRule::rfc("/device") });
    let demo = demo_with(dialect, |_| json!({"quirks": ["pkce_in_device"]}));
    let challenges: Vec<_> = (0..2)
        .map(|_| {
            let begun = Begun::of(&demo, "demo");
            demo.idp.approve_device(&begun.user_code);
            ask(&demo).ok();
            demo.idp.devices().last().unwrap().challenge.clone()
        })
        .collect();
    assert_ne!(challenges[0], challenges[1], "a fresh one each time");
    let verifier = demo.idp.requests_to("device_poll")[0].param("code_verifier").unwrap();
    let left: Vec<_> = demo.account_files().iter().map(|file| demo.sandbox.read(file)).collect();
    assert!(!left.concat().contains(&verifier));
    demo.idp.assert_content();
}

#[test]
fn flags_that_contradict_each_other_are_a_usage_error() {
    let demo = super::demo();
    for flags in [
        &["demo", "--complete", "--print-auth-url"][..],
        &["demo", "--complete", "--callback-url", "http://127.0.0.1/?code=x&state=y"],
        &["demo", "--complete", "--auth-code", "x"],
        &["--complete"],
    ] {
        let output = demo.login(flags).run();
        output.check(output.status == Some(2), &flags.join(" ")).stdout_is("");
    }
    assert!(demo.idp.requests().is_empty());
}
