//! Servers and files that mean harm (NEEDS 26): refused before anything is written or opened.

use serde_json::json;

use super::{Desk, EMAIL};
use crate::support::idp::{Dialect, Fault, Idp, Times};

const ENDPOINTS: [&str; 6] = [
    "authorization_endpoint",
    "token_endpoint",
    "device_authorization_endpoint",
    "revocation_endpoint",
    "userinfo_endpoint",
    "registration_endpoint",
];

const BAD_URLS: [&str; 16] = [
    "file:///etc/passwd",
    "javascript:alert(1)",
    "javascript://127.0.0.1/%0aalert(1)",
    "data:text/html,x",
    "http://host/$(touch x)",
    "http://example.com/token",
    "https://example.com/$(touch x)`touch y`",
    "-flag",
    "--flag=x",
    "a:b",
    "",
    "/token",
    "https://user:password@example.com/",
    "http://127.0.0.1.evil.example/",
    "https://a\nb/",
    "https://a\u{1b}[31mb/\u{7}",
];

#[test]
fn hostile_endpoints_in_metadata_are_refused() {
    let desk = Desk::new();
    for endpoint in ENDPOINTS {
        let kept = desk.idp.url("/kept");
        for bad in BAD_URLS {
            println!("{endpoint}: {bad:?}");
            desk.idp.patch_metadata(json!({endpoint: bad}));
            let output = desk.refuses(desk.discover("--client-id demo-client"), 1);
            output.stderr_lacks("password@");
        }
        desk.idp.patch_metadata(json!({endpoint: kept}));
    }
    desk.discover("--client-id demo-client").run().ok();
}

#[test]
fn endless_strings_in_metadata_are_refused() {
    let desk = Desk::new();
    for size in [20_000, 1_000_000, 3_000_000] {
        let long = format!("https://example.com/{}", "x".repeat(size));
        for key in ["authorization_endpoint", "token_endpoint", "issuer"] {
            println!("{key}: {size}");
            desk.idp.patch_metadata(json!({key: long}));
            desk.refuses(desk.discover("--client-id demo-client"), 1);
            desk.idp.patch_metadata(json!({key: desk.idp.issuer()}));
        }
    }
}

#[test]
fn metadata_that_is_none_is_refused() {
    let desk = Desk::new();
    let other = Idp::start(Dialect::oidc());
    let issuer = |name: &str| Fault::json(200, &json!({"issuer": name, "token_endpoint": name}));
    let good = desk.idp.issuer();
    let without = |key: &str| {
        let url = |path: &str| json!(desk.idp.url(path));
        let mut all = json!({"issuer": good, "authorization_endpoint": url("/authorize"),
            "token_endpoint": url("/token")});
        all.as_object_mut().expect("an object").remove(key);
        Fault::json(200, &all)
    };
    for (fault, code) in [
        (issuer("https://evil.example"), 1),
        (issuer("https://evil.example/\u{1b}]0;title\u{7}\n\nkeyfob: all is well"), 1),
        (without("issuer"), 1),
        (without("authorization_endpoint"), 1),
        (without("token_endpoint"), 1),
        (Fault::json(200, &json!({"issuer": good, "token_endpoint": 7})), 1),
        (Fault::json(200, &json!([good])), 1),
        (Fault::Html(200), 1),
        (Fault::Empty, 1),
        (Fault::Truncated, 1),
        (Fault::body(200, "application/json", "[".repeat(200_000)), 1),
        (Fault::body(200, "application/json", vec!["x"; 2_000_000].concat()), 1),
        (Fault::Redirect(other.url("/.well-known/openid-configuration")), 1),
        (Fault::Status(403), 1),
        (Fault::Status(500), 3),
        (Fault::RetryAfter(429, "5".into()), 3),
        (Fault::Drop, 3),
        (Fault::CutShort, 3),
    ] {
        println!("{:.200}", format!("{fault:?}"));
        desk.idp.fault("discovery", fault, Times::Always);
        desk.refuses(desk.discover("--client-id demo-client"), code);
        desk.idp.clear_faults();
    }
    assert_eq!(other.counters(), json!({}), "no redirect is followed");
    // Good in every other way.
    for name in
        ["https://evil.example", "", &format!("{good}/other"), &good.replace("http", "https")]
    {
        desk.idp.patch_metadata(json!({"issuer": name}));
        desk.refuses(desk.discover("--client-id demo-client"), 1);
    }
    desk.idp.patch_metadata(json!({"issuer": good}));
    desk.idp.fault("discovery", Fault::Hang, Times::Once);
    desk.refuses(desk.discover("--client-id demo-client --timeout 1"), 3);
    let closed = "http://127.0.0.1:1";
    desk.refuses(desk.cmd(&format!("provider add mine --issuer {closed} --client-id x")), 3);
}

/// An issuer on this machine may name endpoints on this machine; one out in the world may not, and
/// is judged in the unit tests, as no such issuer can be had here.
#[test]
fn a_loopback_issuer_may_name_loopback_endpoints() {
    let desk = Desk::new();
    let port = desk.idp.origin().rsplit(':').next().expect("a port").to_owned();
    desk.idp.patch_metadata(json!({"token_endpoint": format!("http://localhost:{port}/token")}));
    desk.discover("--client-id demo-client").run().ok();
    desk.sign_in();
}

#[test]
fn every_flag_refuses_a_hostile_url() {
    let desk = Desk::new();
    // A value with `--` in front and `=` inside is taken for a flag, and refused as one.
    let bad_urls = BAD_URLS.iter().filter(|bad| !bad.starts_with("--"));
    let flags =
        ["issuer", "authorize-url", "token-url", "device-url", "revoke-url", "userinfo-url"];
    for flag in flags {
        for bad in bad_urls.clone() {
            println!("--{flag} {bad:?}");
            let mut words = vec!["provider", "add", "mine", "--client-id", "x"];
            let (name, token_url) = (format!("--{flag}"), desk.idp.url("/token"));
            words.extend([name.as_str(), bad]);
            for (other, url) in [("--authorize-url", &token_url), ("--token-url", &token_url)] {
                if other != name {
                    words.extend([other, url]);
                }
            }
            let output = desk.sandbox.cmd(&words);
            desk.refuses(output, 1).stderr_lacks("password@");
        }
    }
    assert_eq!(desk.idp.counters(), json!({}));
}

/// What config.json says is judged when it is used: no login begins, no opener starts, and no
/// token leaves.
#[test]
fn hostile_rows_are_refused_when_used() {
    for key in ["authorize_url", "token_url", "issuer"] {
        for bad in BAD_URLS.iter().filter(|bad| !bad.is_empty()) {
            println!("{key}: {bad:?}");
            let desk = Desk::new();
            let mut row = json!({"ways": ["browser"], "client_id": "x"});
            if key != "issuer" {
                row["authorize_url"] = json!(desk.idp.url("/authorize"));
                row["token_url"] = json!(desk.idp.url("/token"));
            }
            row[key] = json!(bad);
            desk.sandbox.write_config(&json!({"providers": {"mine": row}}));
            let config = desk.sandbox.read_config();
            let browser = desk.browser().display().to_string();
            let login = desk.cmd("login mine --wait 0").env("BROWSER", &browser).run();
            login.code(1).stdout_is("").stderr_lacks("password@").stderr_lacks("\u{1b}");
            assert!(!desk.opened().exists(), "an opener was started");
            assert!(!desk.sandbox.home().join("pending").exists());
            assert_eq!(desk.sandbox.read_config(), config);
            if key == "token_url" {
                desk.sandbox.write_oauth("mine", EMAIL, &desk.idp.grant(), -10);
                let token = desk.cmd("token mine").run();
                token.code(1).stdout_is("").stderr_lacks("password@");
            }
        }
    }
}

/// Nobody is sent to a browser for a code that could not be spent.
#[test]
fn a_row_without_a_token_endpoint_begins_no_login() {
    let desk = Desk::new();
    let row = json!({"ways": ["browser"], "client_id": "demo-client",
        "authorize_url": desk.idp.url("/authorize")});
    desk.sandbox.write_config(&json!({"providers": {"mine": row}}));
    let login = desk.cmd("login mine --print-auth-url").run();
    login.code(1).stdout_is("").stderr_has("token_url");
}

/// The opener gets the address as one argument, as it is, and no shell.
#[test]
fn the_opener_gets_one_argument() {
    let desk = Desk::new();
    let trap = desk.sandbox.work().join("trap");
    let endpoint = desk.idp.url(&format!("/authorize;$(touch${{IFS}}{})|x&y'z", trap.display()));
    let row = json!({"ways": ["browser"], "client_id": "demo-client", "authorize_url": endpoint,
        "token_url": desk.idp.url("/token")});
    desk.sandbox.write_config(&json!({"providers": {"mine": row}}));
    let browser = desk.browser().display().to_string();
    let login = desk.cmd("login mine").env("BROWSER", &browser).spawn();
    let url = login.auth_url();
    assert!(url.starts_with(&endpoint), "{url}");
    assert_eq!(desk.wait_for_opener(), format!("{url}\n"));
    assert!(!trap.exists());
}

/// The token endpoint may not send the code or a refresh token on to somebody else.
#[test]
fn redirects_of_a_token_request_are_not_followed() {
    let desk = Desk::new();
    let thief = Idp::start(Dialect::oidc());
    desk.discover("--client-id demo-client").run().ok();
    let url = desk.begin();
    let callback = crate::support::browser::approve(&url).location;
    desk.idp.fault("token_exchange", Fault::Redirect(thief.url("/token")), Times::Once);
    desk.cmd("login --callback-url -").stdin(callback).run().code(1).stdout_is("");
    desk.sandbox.write_oauth("mine", EMAIL, &desk.idp.grant(), -10);
    desk.idp.fault("token_refresh", Fault::Redirect(thief.url("/token")), Times::Once);
    desk.cmd("token mine").run().code(1).stdout_is("");
    desk.idp.fault("revoke", Fault::Redirect(thief.url("/revoke")), Times::Once);
    desk.cmd("logout mine").run().ok().stderr_has("warning");
    assert_eq!(thief.counters(), json!({}));
}

/// Names that servers give reach the terminal without control characters.
#[test]
fn an_identity_cannot_write_on_the_terminal() {
    let desk = Desk::new();
    desk.discover("--client-id demo-client").run().ok();
    desk.idp.set_identity("\u{1b}[2Jme\u{202e}\r\n@example.com", "user\u{7}-1");
    let login = desk.sign_in();
    let is_plain = |text: &str| text.chars().all(|c| c == '\n' || !c.is_control());
    assert!(is_plain(&login.stderr) && !login.stderr.contains('\u{202e}'), "{:?}", login.stderr);
    let status = desk.cmd("status").run();
    assert!(is_plain(&status.ok().stdout), "{:?}", status.stdout);
    let accounts = desk.cmd("status --json").run().ok().json()["accounts"].clone();
    assert!(accounts.as_array().is_some_and(|all| all.len() == 1), "{accounts}");
    assert!(!accounts.to_string().contains("\\u"), "{accounts}");
}
