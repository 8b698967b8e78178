//! A store full of markers, damaged in every way: none of them is seen anywhere.

use std::fs;

use serde_json::json;

use super::doctor;
use crate::support::sandbox::{set_mode, write_private};
use crate::token::place::{EXPIRED_S, FRESH_S, MY_IDP, Place, row_of};

const MARKER: &str = "hunter2-0123456789-secret";

/// Accounts of each kind, settings and a sign-in under way, all with secrets in them.
fn full_of_secrets() -> Place {
    let place = Place::new();
    place.home.write_config(&json!({
        "providers": {
            MY_IDP: row_of(&place.idp),
            "wrong": {"client_id": {"x": MARKER}, "client_secret": MARKER},
            "odd": {"issuer": format!("http://me:{MARKER}@x.example/?t={MARKER}"), "strange": MARKER},
        },
        "client_secrets": {MY_IDP: MARKER},
    }));
    place.home.cmd(&["login", MY_IDP, "--print-auth-url"]).run().ok();
    let pending = place.home.files(&place.home.home().join("pending")).remove(0);
    write_private(&pending.with_file_name("0123456789abcdef.json"), MARKER);
    let kept = |name: &str, kind: &str, more: serde_json::Value| {
        let mut account = json!({
            "version": 1, "provider": MY_IDP, "account": name, "kind": kind,
            "access_token": format!("access-{MARKER}"), "client_id": "demo-client",
            "client_secret": MARKER, "attributes": {"note": MARKER}, "extra": {"x": MARKER},
        });
        for (key, value) in more.as_object().expect("an object") {
            account[key] = value.clone();
        }
        place.home.write_account(MY_IDP, name, &account);
    };
    let refusal = json!({"code": "invalid_grant", "at": "2026-01-01T00:00:00Z"});
    kept("key", "api_key", json!({}));
    kept("refused", "oauth", json!({"refresh_token": MARKER, "refused": refusal}));
    kept("foreign", "oauth", json!({"refresh_token": MARKER, "issued_by": "https://old.example"}));
    kept("ended", "bearer", json!({"expires_at": "2026-01-01T00:00:00Z"}));
    kept("strange", MARKER, json!({}));
    let file = place.home.account_file(MY_IDP, "damaged");
    write_private(&file, &format!("{{\"access_token\": \"{MARKER}"));
    let open = place.home.account_file(MY_IDP, "open");
    write_private(&open, MARKER);
    set_mode(&open, 0o644);
    place
}

#[test]
fn nothing_secret_is_told_at_any_volume() {
    let place = full_of_secrets();
    let pending = place.home.files(&place.home.home().join("pending"));
    let mut texts = pending.iter().map(|file| place.home.read(file));
    let login = texts.find(|text| text != MARKER).expect("one is a login");
    let login: serde_json::Value = serde_json::from_str(&login).expect("it is JSON");
    for words in [&["doctor"][..], &["doctor", "--json"], &["doctor", "--offline"]] {
        let output = place
            .home
            .cmd(words)
            .env("KEYFOB_LOG", "trace")
            .env("HTTPS_PROXY", &format!("http://me:{MARKER}@127.0.0.1:1"))
            .env("FIREWORKS_API_KEY", &format!("{MARKER} {MARKER}"))
            .env("CODEMIE_JWT_TOKEN", MARKER)
            .run();
        output.code(1);
        let all = format!("{}{}", output.stdout, output.stderr);
        for code in ["account_damaged", "account_refused", "file_mode", "row_unreadable"] {
            assert!(all.contains(code), "{code}: {}", output.report());
        }
        assert!(!all.contains("hunter2"), "{}", output.report());
        for key in ["state", "verifier"] {
            let secret = login[key].as_str().expect("a login has one");
            assert!(!all.contains(secret), "{key}: {}", output.report());
        }
    }
    let sent = format!("{:?}", place.idp.requests());
    assert!(!sent.contains("hunter2"), "{sent}");
    assert!(place.idp.requests().iter().all(|request| request.method == "HEAD"), "{sent}");
}

/// No file is written, changed or removed, whatever is found.
#[test]
fn nothing_is_mended() {
    let place = full_of_secrets();
    let all = |place: &Place| {
        let files = place.home.files(&place.home.user_home());
        let read = |file: &std::path::PathBuf| (file.clone(), fs::read(file).expect("ours"));
        (place.home.listing(), files.iter().map(read).collect::<Vec<_>>())
    };
    let before = all(&place);
    doctor(&place).run().code(1);
    assert_eq!(all(&place), before);
}

/// A name of a file is text from outside.
#[test]
fn names_cannot_play_tricks_on_the_terminal() {
    let place = Place::new();
    place.signed_in(FRESH_S);
    let folder = place.file().parent().expect("a folder").to_path_buf();
    let file = folder.join("\u{1b}[31mred\u{7}.json");
    fs::write(&file, "x").expect("ours");
    set_mode(&file, 0o644);
    let output = place.home.cmd(&["doctor", "--offline"]).run();
    output.code(1).check(!output.stdout.contains(['\u{1b}', '\u{7}']), "no control characters");
    output.check(output.stdout.contains("file_mode"), "the file");
    output.check(!output.stderr.contains(['\u{1b}', '\u{7}']), "no control characters");
}

/// The one who asks is the one who would be asked to sign in: no token is spent on the way.
#[test]
fn an_expired_account_is_not_renewed() {
    let place = Place::new();
    let grant = place.signed_in(EXPIRED_S);
    doctor(&place).run().ok();
    assert_eq!(place.refreshes(), 0);
    assert!(place.idp.accepts_refresh(&grant.refresh_token));
}
