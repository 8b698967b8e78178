//! What scripts see of `token`: the JSON object, streams that are closed or full, and never a
//! question nor a browser.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::json;

use super::place::{EXPIRED_S, FRESH_S, Place, text};
use super::shell::shell;
use crate::support::command::Cmd;
use crate::support::sandbox::in_seconds;

#[test]
fn the_json_object_has_exactly_the_promised_keys_in_their_order() {
    let place = Place::new();
    let expires_at = in_seconds(FRESH_S);
    let grant = place.signed_in_with(FRESH_S, &json!({"expires_at": expires_at}));
    let token = &grant.access_token;
    let output = place.token().arg("--json").run();
    output.ok().stdout_is(&format!(
        "{{\"version\":1,\"provider\":\"my-idp\",\"account\":\"me@example.com\",\
         \"kind\":\"oauth\",\"token_type\":\"Bearer\",\"token\":\"{token}\",\
         \"expires_at\":\"{expires_at}\",\"api_base\":null,\
         \"headers\":{{\"Authorization\":\"Bearer {token}\"}}}}\n"
    ));
    output.check(output.stderr.is_empty(), "nothing on stderr");
}

#[test]
fn the_json_object_says_where_and_how_the_token_is_used() {
    let place = Place::of_row("claude");
    let grant = place.signed_in(FRESH_S);
    let object = place.token().arg("--json").run().ok().json();
    assert_eq!(object["api_base"], place.idp.origin());
    let headers = json!({
        "Authorization": format!("Bearer {}", grant.access_token),
        "anthropic-beta": "oauth-2025-04-20",
        "anthropic-version": "2023-06-01",
    });
    assert_eq!(object["headers"], headers);

    let place = Place::of_row("openai");
    place.signed_in_with(FRESH_S, &json!({"extra": {"account_id": "acct-7"}}));
    let object = place.token().arg("--json").run().ok().json();
    assert_eq!(object["headers"]["ChatGPT-Account-ID"], "acct-7");
}

#[test]
fn a_renewed_token_has_its_new_expiry_in_the_json_object() {
    let place = Place::new();
    place.signed_in(EXPIRED_S);
    let object = place.token().arg("--json").run().ok().json();
    let stored = place.stored();
    assert_eq!(object["token"], stored["access_token"]);
    assert_eq!(object["expires_at"], stored["expires_at"]);
    assert!(text(&object, "expires_at") > in_seconds(3000).as_str(), "{object}");
}

#[test]
fn a_closed_stdout_is_no_panic() {
    for ttl_s in [FRESH_S, EXPIRED_S] {
        let place = Place::new();
        place.signed_in(ttl_s);
        let output = shell(&place.home, "exec \"$@\" >&-", &["token", "my-idp"]);
        output.ok().stdout_is("").stderr_lacks("panicked");
        let output = shell(&place.home, "exec \"$@\" >&- 2>&- <&-", &["token", "my-idp"]);
        output.ok().stdout_is("");
        assert!(place.idp.accepts_refresh(text(&place.stored(), "refresh_token")));
    }
}

/// The reader is gone for certain before the product starts: it opens the gate when it has closed
/// its end of the pipe.
#[test]
fn a_reader_that_went_away_is_no_error() {
    let script = "mkfifo gate; \
                  { read -r gone <gate; \"$@\"; echo \"status $?\" >&2; } \
                  | { exec <&-; echo gone >gate; }";
    for ttl_s in [FRESH_S, EXPIRED_S] {
        for json in [&["token", "my-idp"][..], &["token", "my-idp", "--json"]] {
            let place = Place::new();
            place.signed_in(ttl_s);
            let output = shell(&place.home, script, json);
            output.ok().stdout_is("");
            output.check(output.stderr == "status 0\n", "exit 0 and not a word");
            assert!(place.idp.accepts_refresh(text(&place.stored(), "refresh_token")));
        }
    }
}

#[test]
fn a_full_stdout_is_a_failure_and_the_new_credential_is_on_disk() {
    for ttl_s in [FRESH_S, EXPIRED_S] {
        let place = Place::new();
        place.signed_in(ttl_s);
        let output = shell(&place.home, "exec \"$@\" >/dev/full", &["token", "my-idp"]);
        output.code(1).stderr_has("keyfob: cannot write to stdout: no space left");
        output.stderr_lacks("panicked");
        assert!(place.idp.accepts_refresh(text(&place.stored(), "refresh_token")));
        place.token().run().ok();
    }
}

/// Every way to open a browser leads to a script that leaves a mark.
fn with_marking_browser(place: &Place, cmd: Cmd) -> (Cmd, PathBuf) {
    let folder = place.home.user_home().join("bin");
    let mark = place.home.user_home().join("a-browser-was-opened");
    fs::create_dir_all(&folder).expect("a folder of ours");
    let script = format!("#!/bin/sh\necho \"$0 $*\" >>'{}'\n", mark.display());
    for name in ["browser", "xdg-open", "open", "firefox", "sensible-browser", "wslview"] {
        let path = folder.join(name);
        fs::write(&path, &script).expect("a file of ours");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a file of ours");
    }
    let path = std::env::var("PATH").unwrap_or_default();
    let browser = folder.join("browser").display().to_string();
    let cmd = cmd.env("BROWSER", &browser).env("DISPLAY", ":0");
    (cmd.env("PATH", &format!("{}:{path}", folder.display())), mark)
}

#[test]
fn no_call_asks_a_question_or_opens_a_browser() {
    for has_terminal in [false, true] {
        for (ttl_s, refresh_token, code) in [
            (EXPIRED_S, "rt_of_another_life", 4),
            (EXPIRED_S, "", 4),
            (FRESH_S, "rt_of_another_life", 0),
        ] {
            let place = Place::new();
            place.signed_in_with(ttl_s, &json!({"refresh_token": refresh_token}));
            let (cmd, mark) = with_marking_browser(&place, place.token());
            let output = if has_terminal { cmd.pty().run() } else { cmd.run() };
            output.code(code);
            output.check(!mark.exists(), "no browser");
        }
        let place = Place::new();
        let (cmd, mark) = with_marking_browser(&place, place.token());
        let output = if has_terminal { cmd.pty().run() } else { cmd.run() };
        output.code(4);
        output.check(!mark.exists(), "no browser");
    }
}

#[test]
fn a_terminal_sees_the_same_line_as_a_pipe() {
    let place = Place::new();
    let grant = place.signed_in(FRESH_S);
    place.token().pty().run().ok().stdout_is(&format!("{}\r\n", grant.access_token));
}
