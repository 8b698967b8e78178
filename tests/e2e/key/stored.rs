//! What is taken for a key, and what lies on the disk afterwards.

use serde_json::json;

use super::{KEY, OTHER_KEY, asks_nobody, cmd, holders, read, store, storing};
use crate::provider::Desk;
use crate::support::sandbox::write_private;

#[test]
fn what_came_along_with_the_key_is_left_out() {
    let desk = Desk::new();
    for pasted in [
        KEY.to_owned(),
        format!("{KEY}\n"),
        format!("  \t{KEY}  \r\n\r\n"),
        format!("\"{KEY}\"\n"),
        format!("'{KEY}'"),
        format!("“{KEY}”"),
        format!("\u{feff}{KEY}\u{200b}\n"),
        format!("\u{feff}\"{KEY}\"\r\n"),
        format!("GROQ_API_KEY={KEY}\n"),
        format!("export GROQ_API_KEY={KEY}\n"),
        format!("  export GROQ_API_KEY=\"{KEY}\"\n"),
        format!("export  GROQ_API_KEY='{KEY}'"),
        format!("Bearer {KEY}"),
    ] {
        println!("{pasted:?}");
        store(&desk, "groq", pasted);
        assert_eq!(read(&desk, "groq", "default")["access_token"], KEY);
        assert_eq!(cmd(&desk, "token groq").run().ok().line(), KEY);
        cmd(&desk, "logout groq").run().ok();
    }
}

#[test]
fn unusual_keys_stay_as_they_are() {
    let desk = Desk::new();
    for key in [
        "01234567-89ab-cdef-0123-456789abcdef:marker",
        "eyJhbGciOiJub25lIn0.eyJtYXJrZXIiOjF9.c2lnbmF0dXJl",
        "bWFya2VyLW1hcmtlci1tYXJrZXI==",
        "ABCDEFGH234567AB====",
        "sk_live+a/b~c.d-e_f!g*h",
        &"k".repeat(4_000),
    ] {
        println!("{key}");
        storing(&desk, "groq", format!("{key}\n")).run().ok().stderr_lacks(key);
        assert_eq!(cmd(&desk, "token groq").run().ok().line(), key);
    }
}

#[test]
fn what_is_no_key_is_refused_and_never_shown() {
    let desk = Desk::new();
    let long = "marker".repeat(20_000);
    for pasted in [
        "",
        "\n",
        " \r\n",
        "\"\"",
        "''",
        "export GROQ_API_KEY=",
        "GROQ_API_KEY=\"\"",
        "\u{feff}",
        "marker7",
        "12345678901234567890",
        "sk-marker-1 sk-marker-2",
        "sk-marker-1\nsk-marker-2\n",
        "my key is sk-marker-0123456789",
        "https://console.groq.example/keys?marker=1",
        "sk-marker-\u{7}0123456789",
        "sk-marker-\u{1b}[31m0123456789",
        "sk-marker-ключ0123",
        "export GROQ_API_KEY=\"sk-marker-0123\" # mine",
        "\"GROQ_API_KEY\":\"sk-marker-0123456789\"",
        "$env:GROQ_API_KEY=\"sk-marker-0123456789\"",
        &long,
    ] {
        let shown: String = pasted.chars().take(60).collect();
        println!("{shown:?}");
        for json in ["", " --json"] {
            let login = cmd(&desk, &format!("login groq --api-key-stdin{json}"));
            let output = login.stdin(pasted).run();
            output.code(2).stdout_is("").stderr_lacks("marker").stderr_lacks("1234567890");
            output.stderr_lacks("ключ").stderr_lacks("panicked");
        }
        assert!(!desk.sandbox.account_file("groq", "default").exists());
    }
    storing(&desk, "groq", b"sk-marker-\xff\xfe-012345".as_slice()).run().code(2).stdout_is("");
    assert!(holders(&desk).is_empty());
}

#[test]
fn a_refused_key_leaves_the_one_that_is_there() {
    let desk = Desk::new();
    store(&desk, "groq", KEY);
    let before = read(&desk, "groq", "default");
    storing(&desk, "groq", "").run().code(2);
    storing(&desk, "groq", "two words").run().code(2);
    assert_eq!(read(&desk, "groq", "default"), before);
}

#[test]
fn the_file_is_private_whatever_the_umask() {
    let desk = Desk::new();
    for mask in ["000", "777"] {
        storing(&desk, "groq", KEY).umask(mask).run().ok();
        let file = desk.sandbox.account_file("groq", "default");
        assert_eq!(desk.sandbox.mode(&file), 0o600);
        assert_eq!(desk.sandbox.mode(file.parent().expect("a folder")), 0o700);
        assert_eq!(desk.sandbox.mode(&desk.sandbox.home()), 0o700);
        assert_eq!(holders(&desk), [file]);
    }
}

#[test]
fn an_account_can_be_named_and_chosen() {
    let desk = Desk::new();
    store(&desk, "groq", KEY).stderr_has("groq");
    // Two of the same second have no first.
    let mut first = read(&desk, "groq", "default");
    first["created_at"] = json!("2026-01-02T03:04:05Z");
    desk.sandbox.write_account("groq", "default", &first);
    let words = ["login", "groq/at work", "--api-key-stdin"];
    desk.sandbox.cmd(&words).stdin(OTHER_KEY).run().ok().stdout_is("");
    assert_eq!(read(&desk, "groq", "at work")["access_token"], OTHER_KEY);
    assert_eq!(read(&desk, "groq", "at work")["account"], "at work");
    assert_eq!(cmd(&desk, "token groq").run().ok().line(), KEY);
    let named = desk.sandbox.cmd(&["token", "groq/at work"]).run();
    assert_eq!(named.ok().line(), OTHER_KEY);
    desk.sandbox.cmd(&["use", "groq/at work"]).run().ok();
    assert_eq!(cmd(&desk, "token groq").run().ok().line(), OTHER_KEY);
}

#[test]
fn an_alias_leads_to_the_row() {
    let desk = Desk::new();
    store(&desk, "grok", KEY).stderr_has("xai");
    assert_eq!(read(&desk, "xai", "default")["provider"], "xai");
    assert_eq!(cmd(&desk, "token x.ai").run().ok().line(), KEY);
}

#[test]
fn a_new_key_takes_the_place_of_the_old_one() {
    let desk = Desk::new();
    store(&desk, "groq", KEY);
    let mut account = read(&desk, "groq", "default");
    account["attributes"] = json!({"priority": "10", "note": "work"});
    account["of_a_later_version"] = json!({"a": [1, 2]});
    account["created_at"] = json!("2026-01-02T03:04:05Z");
    desk.sandbox.write_account("groq", "default", &account);
    store(&desk, "groq", OTHER_KEY);
    let after = read(&desk, "groq", "default");
    assert_eq!(after["access_token"], OTHER_KEY);
    for kept in ["attributes", "of_a_later_version", "created_at"] {
        assert_eq!(after[kept], account[kept], "{kept}");
    }
    assert!(!desk.sandbox.listing().contains("damaged"), "{}", desk.sandbox.listing());
    assert_eq!(holders(&desk).len(), 1);
}

/// Its refresh token would be lost, and never revoked.
#[test]
fn a_sign_in_gives_way_to_a_key_only_when_told() {
    let desk = Desk::new();
    let file = desk.sandbox.write_oauth("kimi", "default", &desk.idp.grant(), 3600);
    let before = desk.sandbox.read(&file);
    let login = storing(&desk, "kimi", KEY).run();
    login.code(1).stdout_is("").stderr_has("--replace").stderr_lacks("marker");
    assert_eq!(desk.sandbox.read(&file), before);
    store(&desk, "kimi/other", KEY);
    store(&desk, "kimi --replace", OTHER_KEY);
    let after = read(&desk, "kimi", "default");
    assert_eq!((&after["kind"], &after["access_token"]), (&json!("api_key"), &json!(OTHER_KEY)));
    assert_eq!(after["refresh_token"], json!(null));
    store(&desk, "kimi", KEY);
}

#[test]
fn a_damaged_file_is_set_aside() {
    let desk = Desk::new();
    store(&desk, "groq", KEY);
    let file = desk.sandbox.account_file("groq", "default");
    write_private(&file, "{\"version\":1,");
    cmd(&desk, "token groq").run().code(5);
    let login = store(&desk, "groq", OTHER_KEY);
    login.stderr_has("warning").stderr_has("damaged");
    assert_eq!(read(&desk, "groq", "default")["access_token"], OTHER_KEY);
    let files = desk.sandbox.files(file.parent().expect("a folder"));
    let aside: Vec<_> =
        files.iter().filter(|path| path.display().to_string().contains("damaged")).collect();
    assert_eq!(aside.len(), 1, "{files:?}");
    assert_eq!(desk.sandbox.read(aside[0]), "{\"version\":1,");
    assert_eq!(desk.sandbox.mode(aside[0]), 0o600);
}

/// A file of kind `api_key` without a key, or of a kind nobody knows.
#[test]
fn a_file_without_a_key_is_damaged() {
    let desk = Desk::new();
    store(&desk, "groq", KEY);
    let account = read(&desk, "groq", "default");
    let changes =
        [("access_token", json!(null)), ("access_token", json!("")), ("kind", json!("k"))];
    for (name, value) in changes {
        let mut broken = account.clone();
        broken[name] = value;
        let file = desk.sandbox.write_account("groq", "default", &broken);
        let token = cmd(&desk, "token groq").run();
        token.code(5).stdout_is("").stderr_has(&file.display().to_string()).stderr_lacks("marker");
    }
}

/// Off a terminal nothing can be typed unseen.
#[test]
fn without_a_terminal_the_flag_is_named() {
    let desk = Desk::new();
    for account in ["groq", "groq/work"] {
        let login = cmd(&desk, &format!("login {account} --json")).stdin(KEY).run();
        login.code(2).stdout_is("").stderr_lacks("marker");
        assert_eq!(login.error_json()["code"], "prompt_needed");
        let wanted = format!("keyfob login {account} --api-key-stdin");
        assert_eq!(login.error_json()["try"], wanted);
    }
    let odd = desk.sandbox.cmd(&["login", "groq/a b", "--json"]).run();
    assert_eq!(odd.code(2).error_json()["try"], "keyfob login 'groq/a b' --api-key-stdin");
    assert!(!desk.sandbox.home().join("accounts").exists());
}

#[test]
fn a_row_that_takes_only_keys_names_its_way() {
    let desk = Desk::new();
    for flags in ["--device", "--device --print-auth-url", "--device --json"] {
        let login = cmd(&desk, &format!("login groq {flags}")).run();
        login.code(2).stdout_is("").stderr_has("api_key").stderr_has("keyfob login groq");
    }
    for flags in ["--print-auth-url", "--no-browser"] {
        cmd(&desk, &format!("login groq {flags}")).run().code(2).stdout_is("");
    }
    assert!(!desk.sandbox.home().join("pending").exists());
}

#[test]
fn a_row_that_takes_no_keys_names_its_ways() {
    let desk = Desk::ready();
    for id in ["claude", "google", "mine", "openai"] {
        let login = storing(&desk, id, KEY).run();
        login.code(2).stdout_is("").stderr_has("browser").stderr_lacks("marker");
    }
    storing(&desk, "nobody", KEY).run().code(2).stdout_is("").stderr_lacks("marker");
    storing(&desk, "../x", KEY).run().code(2).stdout_is("").stderr_lacks("marker");
    cmd(&desk, "login --api-key-stdin").stdin(KEY).run().code(2).stderr_lacks("marker");
    assert!(holders(&desk).is_empty());
    asks_nobody(&desk);
}

#[test]
fn flags_that_contradict_each_other() {
    let desk = Desk::new();
    for id in ["groq", "kimi"] {
        for flags in [
            "--callback-url -",
            "--callback-url http://localhost/?code=x&state=y",
            "--auth-code x",
            "--print-auth-url",
            "--complete",
            "--device",
            "--client-secret-stdin",
            "--client-json -",
        ] {
            let login = storing(&desk, &format!("{id} {flags}"), KEY).run();
            login.check(login.status == Some(2), flags).stdout_is("").stderr_lacks("marker");
        }
    }
    assert!(holders(&desk).is_empty());
    assert!(!desk.sandbox.home().join("pending").exists());
}
