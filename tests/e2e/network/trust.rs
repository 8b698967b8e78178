//! Whom to trust: the user's own CA, and no certificate that is wrong.

use std::time::Duration;

use serde_json::{Value, json};

use super::{GOOD_YEARS, World};
use crate::support::browser;
use crate::support::command::Output;
use crate::support::sandbox::write_private;
use crate::support::tls::Ca;

const VARIABLES: [&str; 3] = ["KEYFOB_CA_FILE", "SSL_CERT_FILE", "SSL_CERT_DIR"];

#[test]
fn a_private_ca_named_by_any_of_the_variables_is_trusted() {
    let world = World::secured("127.0.0.1");
    let folder = world.sandbox.work().display().to_string();
    std::fs::write(world.sandbox.work().join("README"), "no certificate\n").unwrap();
    for variable in VARIABLES {
        let value = if variable == "SSL_CERT_DIR" { &folder } else { &world.ca_file };
        world.whole_life(&[(variable, value)]);
    }
    let url = |path: &str| format!("{}{path}", world.origin);
    world.idp.patch_metadata(json!({
        "issuer": world.origin,
        "authorization_endpoint": url("/authorize"),
        "token_endpoint": url("/token"),
        "revocation_endpoint": url("/revoke"),
        "userinfo_endpoint": url("/userinfo"),
        "registration_endpoint": url("/register"),
    }));
    let words = ["provider", "add", "found", "--issuer", &world.origin, "--register"];
    world.run(&words, &[world.trust()]).ok();
    assert_eq!((world.idp.count("discovery"), world.idp.count("register")), (1, 1));
}

#[test]
fn keyfobs_own_variable_wins_over_the_usual_ones() {
    let world = World::secured("127.0.0.1");
    let other = Ca::new("theirs").write(&world.sandbox.work().join("other.pem"));
    world.whole_life(&[world.trust(), ("SSL_CERT_FILE", "/nowhere"), ("SSL_CERT_DIR", "/no")]);
    let out = world.fails(1, &[("KEYFOB_CA_FILE", &other), ("SSL_CERT_FILE", &world.ca_file)]);
    out.stderr_has("issuer unknown here");
    let folder = world.sandbox.work().display().to_string();
    world.whole_life(&[("SSL_CERT_FILE", &other), ("SSL_CERT_DIR", &folder)]);
}

#[test]
fn an_unknown_ca_is_refused_and_the_cure_is_named() {
    let world = World::secured("127.0.0.1");
    let what = format!("cannot trust {}: its certificate comes from an issuer", world.target());
    let is_told = |out: &Output| {
        out.stderr_has(&what).stderr_has("\n  try: set KEYFOB_CA_FILE").code(1).stdout_is("");
    };
    is_told(&world.fails(1, &[]));
    is_told(&world.run(&["refresh", "my-idp"], &[]));
    is_told(&world.finish(&world.approved(), &[]));
    let config = world.sandbox.read_config();
    is_told(&world.run(&["provider", "add", "x", "--issuer", &world.origin, "--register"], &[]));
    assert_eq!(world.sandbox.read_config(), config);
    let out = world.run(&["token", "my-idp", "--json"], &[]);
    assert_eq!((&out.error_json()["exit"], out.status), (&Value::from(1), Some(1)));

    let (grant, file) = world.expired();
    let out = world.run(&["logout", "my-idp"], &[]);
    out.ok().stderr_has("not revoked").stderr_has(&what);
    assert!(!file.exists() && world.idp.accepts_refresh(&grant.refresh_token));
    assert_eq!(world.idp.requests_to("token_refresh").len() + world.idp.count("revoke"), 0);
}

#[test]
fn a_certificate_problem_spends_no_login() {
    let world = World::secured("127.0.0.1");
    let missing = ("KEYFOB_CA_FILE", "/nowhere/ca.pem");
    for broken in [&[][..], &[missing]] {
        world.fails_and_can_be_finished(broken, &[world.trust()]);
    }
}

/// The person's callback came to a process that could not use it; another one can.
#[test]
fn a_waiting_login_that_meets_an_unknown_ca_can_be_finished_elsewhere() {
    let world = World::secured("127.0.0.1");
    let mut waiting = world.cmd(&["login", "my-idp", "--no-browser"], &[]).spawn();
    let url = waiting.auth_url().replacen(&world.origin, world.idp.origin(), 1);
    let callback = browser::approve(&url).location;
    waiting.write_stdin(format!("{callback}\n"));
    let out = waiting.wait(Duration::from_secs(20));
    out.code(1).stdout_is("").stderr_has("issuer unknown here");
    world.finish(&callback, &[world.trust()]).ok();
}

/// A stale variable is no worse than a refusal, after which a token that lives is handed out too.
#[test]
fn a_token_that_lives_is_handed_out_when_the_server_is_not_trusted() {
    let world = World::secured("127.0.0.1");
    let grant = world.idp.grant();
    world.sandbox.write_oauth("my-idp", super::ME, &grant, 40);
    let out = world.run(&["token", "my-idp"], &[]);
    out.ok().stdout_is(&format!("{}\n", grant.access_token)).stderr_has("warning: cannot trust");
}

#[test]
fn a_ca_file_of_no_use_is_an_error_that_names_its_variable() {
    let world = World::secured("127.0.0.1");
    let file = |name: &str, text: &str| {
        let path = world.sandbox.work().join(name);
        write_private(&path, text);
        path.display().to_string()
    };
    let pem = std::fs::read_to_string(&world.ca_file).unwrap();
    let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let folder = world.sandbox.user_home().display().to_string();
    let useless = [
        file("empty.pem", ""),
        file("note.pem", "no certificate\n"),
        file("key.pem", key),
        file("cut.pem", &pem[..pem.len() / 2]),
        "/nowhere/ca.pem".to_owned(),
        folder,
    ];
    for variable in VARIABLES {
        for path in &useless {
            let out = world.fails(1, &[(variable, path)]);
            out.stderr_has(variable).stderr_has(path).stderr_has("\n  try: ");
        }
    }
    assert_eq!(world.tls_count(), 0);
}

#[test]
fn a_stale_ca_variable_is_no_trouble_where_no_certificate_is_needed() {
    let world = World::plain();
    for variable in VARIABLES {
        world.whole_life(&[(variable, "/nowhere/ca.pem")]);
    }
}

#[test]
fn a_certificate_for_another_name_or_another_time_is_refused() {
    for (name, years, cause) in [
        ("other.test", GOOD_YEARS, "other.test"),
        ("127.0.0.2", GOOD_YEARS, "127.0.0.2"),
        ("127.0.0.1", (2001, 2002), "expired, or this machine's clock is wrong"),
        ("127.0.0.1", (3999, 4000), "not valid yet, or this machine's clock is wrong"),
    ] {
        let world = World::certified("127.0.0.1", name, years);
        let out = world.fails(1, &[world.trust()]);
        out.stderr_has(&format!("cannot trust {}: ", world.target())).stderr_has(cause);
        assert!(world.idp.requests().is_empty());
    }
}
