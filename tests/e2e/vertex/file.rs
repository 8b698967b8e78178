//! Key files of every wrong shape, and of every right one. What is wrong is said in words; nothing of
//! the key is.

use serde_json::{Value, json};

use super::Seat;
use crate::support::rsa_key::{RsaKey, ec_pem, pem};

/// Refused as it is: nobody is asked and nothing kept.
#[track_caller]
fn is_refused(seat: &Seat, file: &Value, code: i32, word: &str) {
    let login = seat.run(seat.login_with(file));
    login.code(code).stdout_is("").stderr_has(word).stderr_has("key.json: ");
    login.stderr_has("  try: keyfob login vertex --service-account FILE\n").stderr_lacks("hunter2");
    login.stderr_has("https://cloud.google.com/iam/docs/keys-create-delete");
    assert_eq!(seat.google.count(), 0);
    seat.nothing_is_stored();
}

#[test]
fn other_files_of_google_s_are_named() {
    let seat = Seat::new();
    let person = json!({"type": "authorized_user", "client_id": "x", "refresh_token": "hunter2"});
    let client = json!({"installed": {"client_id": "x", "client_secret": "hunter2"}});
    let federated = json!({"type": "external_account", "audience": "//iam.googleapis.com/x"});
    for (file, word) in [
        (person, "a person's sign-in"),
        (client, "an OAuth client"),
        (federated, "workload identity"),
        (json!({"key": "AIzahunter2"}), "has no type"),
        (json!("hunter2"), "has no type"),
        (json!([{"type": "service_account"}]), "has no type"),
    ] {
        is_refused(&seat, &file, 2, word);
    }
}

#[test]
fn what_is_missing_is_named() {
    let seat = Seat::new();
    for key in ["client_email", "private_key"] {
        for value in [None, Some(json!(null)), Some(json!("")), Some(json!(["hunter2"]))] {
            let mut file = seat.key_file();
            let object = file.as_object_mut().expect("an object");
            match value {
                None => object.remove(key),
                Some(value) => object.insert(key.to_owned(), value),
            };
            is_refused(&seat, &file, 2, &format!("it has no {key}"));
        }
    }
}

#[test]
fn an_address_that_is_not_safe_is_refused() {
    let seat = Seat::new();
    for (address, word) in [
        ("http://oauth2.example.com/token", "plain http"),
        ("https://me:hunter2@example.com/token", "user name"),
        ("ftp://example.com/token", "not an https URL"),
        ("oauth2.googleapis.com/token", "not a URL"),
    ] {
        let mut file = seat.key_file();
        file["token_uri"] = json!(address);
        is_refused(&seat, &file, 2, word);
    }
}

#[test]
fn a_damaged_key_is_told_without_showing_it() {
    let seat = Seat::new();
    let good = RsaKey::one().pem();
    let lines: Vec<_> = good.lines().collect();
    let without = |left_out: usize| {
        let kept = lines.iter().enumerate().filter(|(at, _)| *at != left_out);
        kept.map(|(_, line)| *line).collect::<Vec<_>>().join("\n")
    };
    let swapped = {
        let mut lines = lines.clone();
        lines.swap(3, 8);
        lines.join("\n")
    };
    let half = good[..good.len() / 2].to_owned();
    let of_another_label = good.replace("PRIVATE KEY", "RSA PRIVATE KEY");
    for (key, word) in [
        ("hunter2".to_owned(), "is no PEM text"),
        (without(0), "is no PEM text"),
        (half, "is damaged: it breaks off"),
        (without(lines.len() - 1), "is damaged: it breaks off"),
        (without(5), "is damaged"),
        (swapped, "is damaged"),
        (good.replacen("\nMII", "\n?II", 1), "is damaged: its base64"),
        (of_another_label, "is damaged"),
        (RsaKey::one().pem().replace("PRIVATE", "PUBLIC"), "is missing"),
        (ec_pem(), "is no RSA key"),
        (pem("EC PRIVATE KEY", b"hunter2"), "is no RSA key"),
        (pem("ENCRYPTED PRIVATE KEY", b"hunter2"), "is encrypted with a passphrase"),
        (RsaKey::new(1024).pem(), "is too short: 2048 bits"),
    ] {
        let mut file = seat.key_file();
        file["private_key"] = json!(key);
        is_refused(&seat, &file, 2, &format!("its private_key {word}"));
    }
}

#[test]
fn a_key_is_taken_in_every_form_that_people_have_it_in() {
    let pem = RsaKey::one().pem();
    let certificate = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    for (what, key) in [
        ("PKCS#1", RsaKey::one().pkcs1_pem()),
        ("CRLF", pem.replace('\n', "\r\n")),
        ("escaped", pem.replace('\n', "\\n")),
        ("escaped CRLF", pem.replace('\n', "\\r\\n")),
        ("in one line", pem.replace('\n', " ")),
        ("indented", format!("\n\n  {}", pem.replace('\n', " \n\t "))),
        ("after a certificate", format!("{certificate}{pem}")),
        ("PKCS#1 with CRLF", RsaKey::one().pkcs1_pem().replace('\n', "\r\n")),
    ] {
        println!("{what}");
        let seat = Seat::new();
        let mut file = seat.key_file();
        file["private_key"] = json!(key);
        seat.run(seat.login_with(&file)).ok();
        // And again from what was stored.
        seat.say("refresh vertex").ok();
        assert_eq!(seat.stored()["service_account"], file);
        assert_eq!(seat.google.count(), 2);
        seat.google.assert_content();
    }
}

#[test]
fn a_file_that_is_no_json_is_told_what_it_is() {
    let seat = Seat::new();
    let key = RsaKey::one().pem();
    let cut = seat.key_file().to_string();
    for (text, word) in [
        ("", "it is empty"),
        (&key, "a private key alone"),
        ("AIzahunter2hunter2", "an API key"),
        (&cut[..cut.len() - 1], "no JSON"),
        ("hunter2", "no JSON"),
    ] {
        let path = seat.write("key.json", text);
        let login = seat.say(&format!("login vertex --service-account {}", path.display()));
        login.code(2).stdout_is("").stderr_has(word).stderr_lacks("hunter2");
    }
    assert_eq!(seat.google.count(), 0);
    seat.nothing_is_stored();
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let seat = Seat::new();
    let work = seat.sandbox.work();
    let large = seat.write("large.json", &" ".repeat(64 * 1024 + 1));
    let binary = work.join("key.p12");
    std::fs::write(&binary, [0x30, 0x82, 0xff, 0xfe, 0x00]).expect("a file");
    for (path, word) in [
        (work.join("none.json"), "no such file"),
        (work.clone(), "directory"),
        (large, "too large"),
        (binary, "P12"),
    ] {
        let login = seat.say(&format!("login vertex --service-account {}", path.display()));
        login.code(2).stdout_is("").stderr_has(&format!("cannot read {}: ", path.display()));
        login.stderr_has(word);
    }
    seat.nothing_is_stored();
}
