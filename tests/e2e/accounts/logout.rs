//! `logout`: revoked at the provider where it can be, and gone from here in any case.

use serde_json::{Value, json};

use crate::provider::Desk;
use crate::support::idp::dialect::ClientAuth;
use crate::support::idp::{Fault, Times};
use crate::support::sandbox::{oauth_account, set_mode, write_private};

const ME: &str = "me@example.com";

fn signed_in() -> Desk {
    let desk = Desk::ready();
    desk.sit_down(ME, 3600);
    desk
}

fn is_gone(desk: &Desk) -> bool {
    !desk.sandbox.account_file("mine", ME).exists()
}

#[test]
fn the_refresh_token_is_revoked_and_the_file_goes() {
    let desk = signed_in();
    let account = desk.sandbox.read_account("mine", ME);
    let (access, refresh) = (&account["access_token"], &account["refresh_token"]);
    let out = desk.cmd("logout mine").run();
    out.ok().stdout_is("").stderr_has("revoked").stderr_has("mine/me@example.com");
    assert!(is_gone(&desk));
    let revoke = &desk.idp.requests_to("revoke")[0];
    assert_eq!(revoke.method, "POST");
    assert_eq!(revoke.media_type(), "application/x-www-form-urlencoded");
    assert_eq!(revoke.param("token").as_deref(), refresh.as_str());
    assert_eq!(revoke.param("token_type_hint").as_deref(), Some("refresh_token"));
    assert_eq!(revoke.param("client_id").as_deref(), Some("demo-client"));
    assert!(!desk.idp.accepts_refresh(refresh.as_str().expect("a token")));
    assert!(!desk.idp.accepts_access(access.as_str().expect("a token")));
    desk.idp.assert_content();
    desk.cmd("token mine").run().code(4);
    desk.cmd("logout mine").run().code(4);
}

#[test]
fn the_json_has_the_shape_of_the_contract() {
    let desk = signed_in();
    let out = desk.cmd("logout mine --json").run();
    let removed = json!({"provider": "mine", "account": ME, "revoked": true, "warning": null});
    assert_eq!(out.ok().json(), json!({"version": 1, "removed": [removed]}));
    assert!(out.stdout.starts_with("{\"version\":1,"));
}

#[test]
fn a_token_without_refresh_is_revoked_itself() {
    let desk = Desk::ready();
    let mut account = oauth_account("mine", ME, &desk.idp.grant(), 3600);
    account["refresh_token"] = Value::Null;
    desk.sandbox.write_account("mine", ME, &account);
    desk.cmd("logout mine").run().ok();
    let revoke = &desk.idp.requests_to("revoke")[0];
    assert_eq!(revoke.param("token_type_hint").as_deref(), Some("access_token"));
    assert!(!desk.idp.accepts_access(account["access_token"].as_str().expect("a token")));
}

#[test]
fn a_confidential_client_proves_itself() {
    for (auth, word) in [(ClientAuth::Basic, "basic"), (ClientAuth::Post, "post")] {
        let desk = Desk::with(|dialect| {
            dialect.client_auth = auth;
            dialect.client_secret = Some("s:e/c+ret".into());
        });
        let mut row = desk.plain_row();
        row["client_auth"] = json!(word);
        let config = json!({"providers": {"mine": row}, "client_secrets": {"mine": "s:e/c+ret"}});
        desk.sandbox.write_config(&config);
        desk.sit_down(ME, 3600);
        let out = desk.cmd("logout mine --json").run();
        assert_eq!(out.ok().json()["removed"][0]["revoked"], true, "{}", out.report());
        desk.idp.assert_content();
    }
}

#[test]
fn a_provider_that_cannot_be_told_is_a_warning() {
    for fault in [
        Fault::Drop,
        Fault::Status(500),
        Fault::Status(404),
        Fault::Html(403),
        Fault::oauth_error("invalid_client", 401),
        Fault::RetryAfter(429, "9".into()),
    ] {
        println!("{fault:?}");
        let desk = signed_in();
        desk.idp.fault("revoke", fault.clone(), Times::Once);
        let out = desk.cmd("logout mine --json").run();
        out.ok().stderr_has("warning").stderr_has("not revoked");
        assert_eq!(out.json()["removed"][0]["revoked"], false);
        assert!(out.json()["removed"][0]["warning"].is_string());
        assert!(is_gone(&desk));
    }
    let desk = signed_in();
    desk.idp.fault("revoke", Fault::Hang, Times::Once);
    desk.cmd("logout mine --timeout 1").run().ok().stderr_has("warning");
    assert!(is_gone(&desk));
}

#[test]
fn keep_token_asks_nobody() {
    let desk = signed_in();
    let out = desk.cmd("logout mine --keep-token --json").run();
    let removed = json!({"provider": "mine", "account": ME, "revoked": null, "warning": null});
    assert_eq!(out.ok().stderr_lacks("warning").json()["removed"], json!([removed]));
    assert!(is_gone(&desk));
    assert_eq!(desk.idp.counters(), json!({}));
}

#[test]
fn a_provider_without_revocation_says_where_to_do_it_by_hand() {
    let desk = signed_in();
    let mut row = desk.plain_row();
    row["revoke_url"] = Value::Null;
    row["revoke_page"] = json!("https://id.example/apps");
    desk.sandbox.write_config(&json!({"providers": {"mine": row}}));
    let out = desk.cmd("logout mine --json").run();
    out.ok().stderr_has("https://id.example/apps");
    assert_eq!(out.json()["removed"][0]["revoked"], Value::Null);
    assert!(is_gone(&desk));
}

#[test]
fn all_accounts_go() {
    let config =
        |desk: &Desk| json!({"providers": {"mine": desk.plain_row(), "other": desk.plain_row()}});
    let desk = signed_in();
    desk.sandbox.write_config(&config(&desk));
    desk.sit_down("you", 3600);
    desk.sandbox.write_oauth("other", ME, &desk.idp.grant(), 3600);
    let out = desk.cmd("logout mine --all --json").run();
    assert_eq!(out.ok().json()["removed"].as_array().map(Vec::len), Some(2));
    assert!(desk.sandbox.account_file("other", ME).exists());
    desk.sit_down("you", 3600);
    let out = desk.cmd("logout --all --json").run();
    assert_eq!(out.ok().json()["removed"].as_array().map(Vec::len), Some(2));
    let left: Vec<_> = desk.sandbox.files(&desk.sandbox.home().join("accounts"));
    assert!(left.iter().all(|path| path.extension().is_some_and(|e| e == "lock")), "{left:?}");
    assert_eq!(desk.idp.count("revoke"), 4);
    let out = desk.cmd("logout --all --json").run();
    assert_eq!(out.ok().json()["removed"], json!([]));
}

#[test]
fn logout_wants_to_know_whose() {
    let desk = signed_in();
    desk.cmd("logout").run().code(2).stdout_is("").stderr_has("keyfob logout --all");
    desk.cmd("logout mine/nobody").run().code(4).stdout_is("");
    desk.cmd("logout openai").run().code(4).stdout_is("");
    desk.cmd("logout nobody").run().code(2).stdout_is("");
    assert!(!is_gone(&desk));
}

#[test]
fn a_variable_that_still_supplies_a_key_is_pointed_out() {
    let desk = Desk::ready();
    desk.sandbox.write_oauth("claude", ME, &desk.idp.grant(), 3600);
    let cmd = desk.cmd("logout claude --keep-token").env("ANTHROPIC_API_KEY", "sk-marker-01234");
    cmd.run().ok().stderr_has("ANTHROPIC_API_KEY").stderr_lacks("marker");
}

/// Whatever is in the file: the person wants to be signed out.
#[test]
fn a_damaged_or_open_file_goes_too() {
    let desk = signed_in();
    write_private(&desk.sandbox.account_file("mine", ME), "{\"version\":1,\"access");
    desk.cmd("logout mine").run().ok().stderr_has("warning");
    assert!(is_gone(&desk));
    desk.sit_down(ME, 3600);
    set_mode(&desk.sandbox.account_file("mine", ME), 0o644);
    desk.cmd("logout mine").run().ok().stderr_has("warning");
    assert!(is_gone(&desk));
}

/// A symlink is removed, not what it points to.
#[test]
fn a_symlink_goes_and_its_target_stays() {
    let desk = signed_in();
    let (file, target) = (desk.sandbox.account_file("mine", ME), desk.sandbox.work().join("kept"));
    std::fs::rename(&file, &target).expect("a rename");
    std::os::unix::fs::symlink(&target, &file).expect("a symlink");
    desk.cmd("logout mine").run().ok().stderr_has("warning");
    assert!(is_gone(&desk) && target.exists());
}

/// The provider is no longer in config.json: the account can still be forgotten.
#[test]
fn an_account_of_an_unknown_provider_goes() {
    let desk = signed_in();
    desk.sandbox.write_config(&json!({}));
    desk.cmd("status").run().ok();
    desk.cmd("logout mine").run().ok().stderr_has("warning");
    assert!(is_gone(&desk));
    assert_eq!(desk.idp.counters(), json!({}));
}
