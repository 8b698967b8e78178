//! Each kind of credential from one home to another, and used there.

use serde_json::{Value, json};

use super::{account, export, import, imported};
use crate::support::sandbox::{Sandbox, set_mode, write_private};
use crate::token::place::{EXPIRED_S, ME, MY_IDP, Place, row_of, text};

/// Kind, provider, and what is different from a plain account.
fn kinds() -> Vec<(&'static str, &'static str, Value)> {
    vec![
        ("api_key", "groq", json!({"expires_at": null, "token_type": null})),
        ("bearer", "codemie", json!({"extra": {"instance": "https://codemie.example"}})),
        (
            "cookie",
            "codemie",
            json!({"access_token": "a=1; b=2", "token_type": null,
            "extra": {"instance": "https://codemie.example", "projects": ["p"]}}),
        ),
        (
            "entra",
            "azure",
            json!({"extra": {"instance": "https://x.openai.azure.com",
            "entra_link": "cli"}}),
        ),
        (
            "oauth",
            "claude",
            json!({"refresh_token": "rt-1", "id_token": null,
            "scopes": ["a", "b"], "identity": {"email": ME, "subject": "s-1", "organization": null}}),
        ),
        (
            "oauth",
            "copilot",
            json!({"expires_at": null, "extra": {"api_token": "second-token",
            "api_token_expires_at": crate::support::sandbox::in_seconds(1500)}}),
        ),
        (
            "service_account",
            "vertex",
            json!({"service_account": {"client_email": "r@x",
            "private_key": "marker"}, "extra": {"project": "p"}}),
        ),
    ]
}

#[test]
fn every_kind_arrives_whole() {
    for (kind, provider, change) in kinds() {
        let (here, there) = (Sandbox::new(), Sandbox::new());
        let mut change = change;
        change["attributes"] = json!({"note": "moved"});
        change["of_tomorrow"] = json!([1, {"a": 2}]);
        here.write_account(provider, ME, &account(provider, ME, kind, &change));
        let name = format!("{provider}/{ME}");
        let given = export(&here, &[&name]);
        imported(&there, &given).stderr_has(&name);
        let (old, new) = (here.read_account(provider, ME), there.read_account(provider, ME));
        for (key, value) in old.as_object().unwrap().iter().filter(|(_, value)| !value.is_null()) {
            assert_eq!(&new[key], value, "{key} of {kind}");
        }
        let token = |home: &Sandbox| home.cmd(&["token", &name]).run().ok().stdout.clone();
        assert_eq!(token(&here), token(&there), "{kind}");
        let status = there.cmd(&["status", "--json"]).run().ok().json();
        assert_eq!(status["accounts"][0]["kind"], kind);
        assert_eq!(status["accounts"][0]["note"], "moved");
        assert_eq!(there.mode(&there.account_file(provider, ME)), 0o600);
        assert_eq!(there.mode(&there.home().join("accounts").join(provider)), 0o700);
    }
}

#[test]
fn what_is_exported_is_one_account_file() {
    let here = Sandbox::new();
    let value = account("claude", ME, "oauth", &json!({"refresh_token": "rt-1"}));
    here.write_account("claude", ME, &value);
    let output = here.cmd(&["export", "claude"]).run();
    output.ok().stderr_has("the copy shares its refresh token").stderr_lacks("rt-1");
    let given: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!((&given["version"], &given["refresh_token"]), (&json!(1), &json!("rt-1")));
    assert!(output.stdout.ends_with("}\n") && !output.stdout.ends_with("\n\n"));
}

/// A login there goes on where it was here: renewed, signed out.
#[test]
fn a_login_goes_on_at_the_other_place() {
    let place = Place::new();
    place.sign_in(ME).ok();
    let there = Sandbox::new();
    there.write_config(&json!({"providers": {MY_IDP: row_of(&place.idp)}}));
    let given = export(&place.home, &[MY_IDP]);
    place.home.cmd(&["logout", MY_IDP, "--keep-token"]).run().ok();
    imported(&there, &given);
    there.cmd(&["refresh", MY_IDP]).run().ok();
    let token = there.cmd(&["token", MY_IDP]).run().ok().line().to_owned();
    assert!(place.idp.accepts_access(&token));
    let out = there.cmd(&["logout", MY_IDP, "--json"]).run();
    assert_eq!(out.ok().json()["removed"][0]["revoked"], true);
    assert!(!place.idp.accepts_access(&token));
    place.idp.assert_content();
}

#[test]
fn a_file_may_be_named_and_the_account_too() {
    let (here, there) = (Sandbox::new(), Sandbox::new());
    here.write_account("groq", "default", &account("groq", "default", "api_key", &json!({})));
    let file = there.work().join("a b.json");
    write_private(&file, &export(&here, &["groq"]));
    let words = ["import", "--json", "--account", "work", &file.display().to_string()];
    let output = there.cmd(&words).run();
    let shown = output.ok().json();
    assert_eq!(
        shown,
        json!({"version": 1, "status": "ok", "provider": "groq",
        "account": "work", "kind": "api_key",
        "path": there.account_file("groq", "work").display().to_string()})
    );
    output.check(output.stderr.is_empty(), "nothing on stderr");
    assert_eq!(there.read_account("groq", "work")["account"], "work");
    there.cmd(&["token", "groq/work"]).run().ok().stdout_is("tok-of-groq-default\n");
    // The dash may stand anywhere.
    let text = export(&here, &["groq"]);
    there.cmd(&["import", "--account", "other", "-"]).stdin(text.as_str()).run().ok();
    there.cmd(&["import", "--json", "-"]).stdin(text.as_str()).run().ok().json();
    assert_eq!(there.files(&there.home().join("accounts")).len(), 6, "{}", there.listing());
}

#[test]
fn a_provider_that_is_unknown_there_is_told() {
    let place = Place::new();
    place.signed_in(3000);
    let there = Sandbox::new();
    let output = imported(&there, &export(&place.home, &[MY_IDP]));
    output.stderr_has("no provider is called my-idp here");
    there.cmd(&["token", MY_IDP]).run().ok();
}

#[test]
fn nothing_to_export_is_told() {
    let here = Sandbox::new();
    here.cmd(&["export", "claude"]).run().code(4).stdout_is("").stderr_has("keyfob login claude");
    let output =
        here.cmd(&["export", "groq", "--access-only"]).env("GROQ_API_KEY", "gsk-0123456789");
    output.run().code(2).stdout_is("").stderr_has("only a stored account");
    here.cmd(&["export"]).run().code(2);
    here.cmd(&["import"]).run().code(2);
    here.cmd(&["import", "/no/such/file"]).run().code(2).stderr_has("no such file");
    here.cmd(&["import", "-"]).run().code(2).stderr_has("stdin holds no exported account");
}

/// The other tool's file stays where it is: neither is the path taken along, nor does a path come in.
#[test]
fn another_tools_sign_in_does_not_travel() {
    let here = Sandbox::new();
    let borrowed = json!({"borrowed_from": "/home/me/.config/cursor/auth.json"});
    let value = account("cursor", "default", "bearer", &borrowed);
    here.write_account("cursor", "default", &value);
    let output = here.cmd(&["export", "cursor"]).run();
    output.code(2).stdout_is("").stderr_has("another tool's");
    output.stderr_has("try: keyfob export cursor/default --access-only");
    let there = Sandbox::new();
    let secret = there.work().join("secret.json");
    write_private(&secret, "{\"accessToken\":\"marker\"}");
    let evil = account(
        "cursor",
        "default",
        "bearer",
        &json!({"borrowed_from": secret.display().to_string()}),
    );
    import(&there, &[], &evil.to_string()).run().code(2).stdout_is("").stderr_has("another tool");
    assert!(!there.account_file("cursor", "default").exists());
}

/// The old file was damaged: it is kept, and the copy takes its place.
#[test]
fn a_damaged_file_gives_way_and_is_kept() {
    let place = Place::new();
    place.signed_in(EXPIRED_S);
    let text_of = export(&place.home, &[MY_IDP]);
    std::fs::write(place.file(), "{damaged").unwrap();
    set_mode(&place.file(), 0o600);
    let output = imported(&place.home, &text_of);
    output.stderr_has("it is kept as");
    let kept = place.home.files(&place.home.home().join("accounts"));
    let kept = kept.iter().find(|path| path.display().to_string().contains(".damaged-"));
    assert_eq!(place.home.read(kept.unwrap()), "{damaged");
    assert_eq!(text(&place.stored(), "account"), ME);
}
