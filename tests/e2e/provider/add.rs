//! `provider add`: where the endpoints come from, which client is used, what a login asks for.

use serde_json::{Value, json};

use super::{Desk, EMAIL, LIMIT};
use crate::support::browser;
use crate::support::idp::dialect::ClientAuth;
use crate::support::idp::encoding::params;
use crate::support::idp::{Fault, Idp, Request, Times};

const SECRET: &str = "s:e+c/r&t=%41 marker";

#[test]
fn an_issuer_names_its_endpoints() {
    let desk = Desk::new();
    let added = desk.discover("--client-id demo-client").run();
    added.ok().stdout_is("").stderr_has("keyfob login mine");
    assert_eq!(desk.idp.count("discovery"), 1);
    let row = desk.row();
    assert_eq!(row["authorize_url"], desk.idp.url("/authorize"));
    assert_eq!(row["token_url"], desk.idp.url("/token"));
    assert_eq!(row["issuer"], desk.idp.issuer());
    desk.works();
    assert_eq!(desk.idp.count("discovery"), 1, "asked once, when it was added");
}

#[test]
fn an_issuer_with_oauth_metadata_only() {
    let desk = Desk::new();
    desk.idp.serve_metadata(false, true);
    desk.discover("--client-id demo-client").run().ok();
    desk.works();
}

#[test]
fn an_issuer_with_a_path() {
    for (openid, oauth) in [(true, false), (false, true)] {
        let desk = Desk::with(|dialect| dialect.issuer_path = "/tenant/1".into());
        desk.idp.serve_metadata(openid, oauth);
        desk.discover("--client-id demo-client").run().ok();
        desk.works();
    }
}

#[test]
fn a_slash_after_the_issuer_is_no_other_issuer() {
    let desk = Desk::new();
    let issuer = format!("{}/", desk.idp.issuer());
    let added = desk.cmd("provider add mine --client-id demo-client").arg("--issuer").arg(&issuer);
    added.run().ok();
    desk.works();
}

#[test]
fn an_issuer_without_metadata_is_refused() {
    let desk = Desk::new();
    desk.idp.serve_metadata(false, false);
    desk.refuses(desk.discover("--client-id demo-client"), 1).stderr_has("404");
    assert_eq!(desk.idp.count("discovery"), 2);
}

#[test]
fn endpoints_given_by_flags_ask_nobody() {
    let desk = Desk::new();
    let added = desk.explicit("").arg("--scope").arg("openid email offline_access").run();
    added.ok().stdout_is("");
    assert_eq!(desk.idp.counters(), json!({}));
    assert_eq!(desk.row()["scopes"], json!(["openid", "email", "offline_access"]));
    desk.works();
}

#[test]
fn a_flag_counts_more_than_the_metadata() {
    let desk = Desk::new();
    desk.idp.patch_metadata(json!({"token_endpoint": desk.idp.url("/elsewhere")}));
    let token_url = desk.idp.url("/token");
    desk.discover(&format!("--client-id demo-client --token-url {token_url}")).run().ok();
    assert_eq!(desk.row()["token_url"], token_url);
    desk.works();
}

#[test]
fn json_prints_the_row() {
    let desk = Desk::new();
    let added = desk.discover("--client-id demo-client --json").run();
    let provider = added.ok().json()["provider"].clone();
    assert!(added.stdout.starts_with("{\"version\":1,\"provider\":{"), "{}", added.stdout);
    assert_eq!((&provider["id"], &provider["origin"]), (&json!("mine"), &json!("config")));
    assert_eq!(provider, desk.row());
}

#[test]
fn a_public_client_is_registered() {
    let desk = Desk::new();
    desk.discover("--register").run().ok();
    let asked: Value = serde_json::from_str(&desk.idp.requests_to("register")[0].body).unwrap();
    assert_eq!(asked["token_endpoint_auth_method"], "none");
    assert_eq!(asked["grant_types"], json!(["authorization_code", "refresh_token"]));
    let uri = asked["redirect_uris"][0].as_str().unwrap_or_default();
    assert!(uri.starts_with("http://127.0.0.1:") && uri.ends_with("/callback"), "{uri}");
    assert!(desk.row()["client_id"].as_str().is_some_and(|id| id.starts_with("client-")));
    assert!(desk.begin().contains(&crate::support::idp::encoding::encode(uri)), "as registered");
    desk.works();
    assert_eq!(desk.idp.count("register"), 1);
}

#[test]
fn a_registered_client_may_get_a_secret() {
    for (method, auth) in
        [("client_secret_basic", ClientAuth::Basic), ("client_secret_post", ClientAuth::Post)]
    {
        let desk = confidential(auth);
        let client = json!({"client_id": "demo-client", "client_secret": SECRET,
            "token_endpoint_auth_method": method});
        desk.idp.fault("register", Fault::json(201, &client), Times::Once);
        desk.discover("--register").run().ok();
        is_hidden(&desk);
        desk.works();
    }
}

#[test]
fn a_registration_that_fails_adds_nothing() {
    let desk = Desk::new();
    let denied = Fault::oauth_error("access_denied", 403);
    for (fault, code) in [
        (denied, 1),
        (Fault::oauth_error("invalid_redirect_uri", 400), 1),
        (Fault::Html(200), 1),
        (Fault::Empty, 1),
        (Fault::json(201, &json!({"client_id": 7})), 1),
        (Fault::Redirect("http://127.0.0.1:1/".into()), 1),
        (Fault::Status(503), 3),
        (Fault::RetryAfter(429, "9".into()), 3),
        (Fault::Drop, 3),
    ] {
        println!("{fault:?}");
        desk.idp.fault("register", fault, Times::Once);
        desk.refuses(desk.discover("--register"), code);
    }
    desk.idp.patch_metadata(json!({"registration_endpoint": null}));
    desk.refuses(desk.discover("--register"), 1).stderr_has("--client-id");
    desk.refuses(desk.discover("--register --client-id x"), 2);
}

/// The registration was pruned at the server: the person is told, and no token is lost.
#[test]
fn a_client_the_server_forgot_keeps_the_tokens() {
    let desk = Desk::new();
    desk.discover("--register").run().ok();
    desk.sign_in();
    desk.expire();
    let before = desk.sandbox.read_account("mine", EMAIL);
    desk.idp.forget_client(desk.row()["client_id"].as_str().expect("an id"));
    let token = desk.cmd("token mine").run();
    token.code(4).stdout_is("").stderr_has("invalid_client");
    let after = desk.sandbox.read_account("mine", EMAIL);
    assert_eq!(before["refresh_token"], after["refresh_token"]);
    // Registering again and signing in again makes it whole.
    desk.discover("--register").run().ok();
    desk.sign_in();
    desk.cmd("token mine").run().ok();
}

fn confidential(auth: ClientAuth) -> Desk {
    Desk::with(|dialect| {
        dialect.client_auth = auth;
        dialect.client_secret = Some(SECRET.into());
    })
}

/// The secret is in no output, and in config.json beside the rows only.
#[track_caller]
fn is_hidden(desk: &Desk) {
    for words in
        ["provider list --json", "provider show mine --json", "provider show mine", "provider list"]
    {
        let shown = desk.cmd(words).run();
        shown.ok().check(!shown.stdout.contains("marker"), "no secret").stderr_lacks("marker");
    }
    let config = desk.sandbox.read_config();
    assert_eq!(config["client_secrets"]["mine"], SECRET);
    assert!(!config["providers"].to_string().contains("marker"));
}

#[test]
fn a_secret_on_stdin_travels_as_basic() {
    let desk = confidential(ClientAuth::Basic);
    let add = desk.discover("--client-id demo-client --client-secret-stdin --json");
    let added = add.stdin(format!("{SECRET}\n")).run();
    added.ok().check(!added.stdout.contains("marker"), "no secret").stderr_lacks("marker");
    is_hidden(&desk);
    desk.works();
}

#[test]
fn a_secret_travels_as_basic_where_nothing_is_said() {
    let desk = confidential(ClientAuth::Basic);
    desk.idp.patch_metadata(json!({"token_endpoint_auth_methods_supported": null}));
    let add = desk.discover("--client-id demo-client --client-secret-stdin");
    add.stdin(SECRET).run().ok();
    desk.works();
    let desk = confidential(ClientAuth::Basic);
    let add = desk.explicit("--client-secret-stdin").arg("--scope").arg("openid");
    add.stdin(SECRET).run().ok();
    desk.works();
}

#[test]
fn a_secret_travels_in_the_body_where_only_that_is_offered() {
    let desk = confidential(ClientAuth::Post);
    let methods = json!(["none", "client_secret_post"]);
    desk.idp.patch_metadata(json!({"token_endpoint_auth_methods_supported": methods}));
    let add = desk.discover("--client-id demo-client --client-secret-stdin");
    add.stdin(SECRET).run().ok();
    is_hidden(&desk);
    desk.works();
}

#[test]
fn a_secret_has_no_flag_of_its_own() {
    let desk = confidential(ClientAuth::Basic);
    desk.refuses(desk.discover("--client-id demo-client --client-secret x"), 2);
    desk.refuses(desk.discover("--client-id demo-client --client-secret=x"), 2);
    desk.refuses(desk.discover("--client-id demo-client --client-secret-stdin").stdin(""), 2);
}

/// Adding again without a secret must not send the old one.
#[test]
fn adding_again_replaces_the_row_and_its_secret() {
    let desk = Desk::new();
    let with_secret = desk.discover("--client-id other --client-secret-stdin");
    with_secret.stdin(SECRET).run().ok();
    desk.discover("--client-id demo-client").run().ok();
    assert!(!desk.sandbox.read_config().to_string().contains("marker"));
    desk.works();
}

#[track_caller]
fn only(idp: &Idp, role: &str) -> Request {
    let found = idp.requests_to(role);
    assert_eq!(found.len(), 1, "requests to {role}: {}", idp.counters());
    found[0].clone()
}

#[test]
fn audience_and_resource_are_asked_for() {
    let desk = Desk::new();
    let resource = "https://api.example.com/v1?x=1";
    let add = desk.discover("--client-id demo-client --audience my+audience");
    add.arg("--resource").arg(resource).run().ok();
    desk.sign_in();
    desk.expire();
    desk.cmd("token mine").run().ok();
    let authorize = only(&desk.idp, "authorize");
    assert_eq!(authorize.query_param("audience").as_deref(), Some("my+audience"));
    assert_eq!(authorize.query_param("resource").as_deref(), Some(resource));
    for role in ["token_exchange", "token_refresh"] {
        assert_eq!(only(&desk.idp, role).param("resource").as_deref(), Some(resource), "{role}");
    }
    desk.idp.assert_content();
}

fn redirect_uri(url: &str) -> String {
    let query = params(url.split_once('?').expect("a query").1).expect("well escaped");
    query.text("redirect_uri").to_owned()
}

/// Below the range the system hands out, so that no other test is given it meanwhile.
fn free_port() -> u16 {
    let start = 20_000 + (std::process::id() % 1_000) as u16 * 10;
    let mut ports = (start..start + 10).chain(30_000..32_000);
    let is_free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    ports.find(is_free).expect("a free port")
}

#[test]
fn a_registered_redirect_is_kept_to() {
    let port = free_port();
    for path in ["signed/in", "/signed/in"] {
        let desk = Desk::new();
        let flags =
            format!("--client-id demo-client --redirect-port {port} --redirect-path {path}");
        desk.discover(&flags).run().ok();
        let uri = format!("http://127.0.0.1:{port}/signed/in");
        assert_eq!(redirect_uri(&desk.begin()), uri);
        let login = desk.cmd("login mine --no-browser").spawn();
        let callback = browser::approve(&login.auth_url());
        assert!(callback.location.starts_with(&uri), "{}", callback.location);
        assert_eq!(callback.follow().status, 200);
        login.wait(LIMIT).ok();
        desk.idp.assert_content();
    }
    let desk = Desk::new();
    desk.refuses(desk.discover("--client-id demo-client --redirect-port 70000"), 2);
}

#[test]
fn what_is_missing_is_named_by_its_flag() {
    let desk = Desk::new();
    let url = desk.idp.url("/authorize");
    let token_url = desk.idp.url("/token");
    for (flags, missing) in [
        (String::new(), "--issuer"),
        ("--client-id x".into(), "--issuer"),
        (format!("--client-id x --authorize-url {url}"), "--token-url"),
        (format!("--client-id x --token-url {token_url}"), "--authorize-url"),
        (format!("--authorize-url {url} --token-url {token_url}"), "--client-id"),
        (format!("--issuer {}", desk.idp.issuer()), "--client-id"),
    ] {
        let output = desk.refuses(desk.cmd(&format!("provider add mine {flags}")), 2);
        output.stderr_has(missing);
    }
    desk.refuses(desk.cmd("provider add"), 2);
}

#[test]
fn names_are_plain_and_not_taken() {
    let desk = Desk::new();
    let long = "x".repeat(65);
    let names = ["claude", "anthropic", "gmail", "My", "a b", "a/b", "../x", "", ".", "é", &long];
    for name in names {
        let add = desk.sandbox.cmd(&["provider", "add", name, "--issuer", &desk.idp.issuer()]);
        desk.refuses(add.arg("--client-id").arg("demo-client"), 2);
    }
    assert_eq!(desk.idp.count("discovery"), 0, "refused before anybody is asked");
    desk.cmd(&format!("provider add a.b-c_9 --issuer {} --client-id c", desk.idp.issuer()))
        .run()
        .ok();
}

/// RFC 9207: the issuer promised to say who it is in each callback.
#[test]
fn a_callback_of_another_issuer_is_not_taken() {
    let desk = Desk::with(|dialect| dialect.iss_in_callback = true);
    desk.discover("--client-id demo-client").run().ok();
    assert_eq!(desk.row()["iss_in_callback"], true);
    let url = desk.begin();
    let good = browser::approve(&url).location;
    let (without, _) = good.split_once("&iss=").expect("the issuer's name");
    desk.idp.set_callback_iss(Some("https://evil.example"));
    let evil = browser::approve(&url).location;
    for bad in [&evil, without] {
        let finish = desk.cmd("login --callback-url -").stdin(bad).run();
        finish.code(1).stdout_is("");
    }
    assert_eq!(desk.idp.count("token_exchange"), 0, "no code went anywhere");
    desk.cmd("login --callback-url -").stdin(good).run().ok();
}

#[test]
fn a_waiting_login_outlives_the_callback_of_another_issuer() {
    let desk = Desk::with(|dialect| dialect.iss_in_callback = true);
    desk.discover("--client-id demo-client").run().ok();
    let login = desk.cmd("login mine --no-browser").spawn();
    let url = login.auth_url();
    desk.idp.set_callback_iss(Some("https://evil.example"));
    assert_eq!(browser::approve(&url).follow().status, 400);
    desk.idp.set_callback_iss(None);
    assert_eq!(browser::approve(&url).follow().status, 200);
    login.wait(LIMIT).ok().stderr_has(EMAIL);
    assert_eq!(desk.idp.count("token_exchange"), 1);
}
