//! What the stand-in key opens: the named accounts, while the command runs, and nothing else.

use std::sync::Arc;

use serde_json::json;

use super::{Inside, SECRET, home, proc};
use crate::login::demo::eventually;
use crate::serve::kit::write_account;
use crate::serve::upstream::Upstream;
use crate::support::idp::{Dialect, Idp};
use crate::support::sandbox::{Sandbox, oauth_account};

#[test]
fn only_the_stand_in_is_let_in_and_only_to_the_named_account() {
    let upstream = Upstream::good().lists(&["m", "n"]);
    let sandbox = home(&upstream);
    let stored = sandbox.cmd(&["serve", "key", "add", "laptop"]).run().ok().line().to_owned();
    let inside = Inside::start(&sandbox, &["openai-chat/second"]);
    let body = r#"{"model":"m","messages":[]}"#;
    for wrong in ["", "kf-wrong", &stored, SECRET, &format!("{}x", inside.key())] {
        inside.ask("POST /v1/chat/completions", wrong, body).is(401);
        inside.ask("GET /v1/models", wrong, "").is(401);
    }
    for model in ["m", "openai-chat/m"] {
        inside.prompt(model).is(200);
    }
    for model in ["anthropic-messages/m", "openai-responses/m", "gemini-generate-content/m"] {
        inside.prompt(model);
        let line = "POST /v1/responses";
        inside.ask(line, inside.key(), &json!({"model": model, "input": "x"}).to_string()).is(400);
    }
    for asked in upstream.prompts() {
        let sent = asked.header("authorization").unwrap_or_default();
        assert_eq!(sent, "Bearer sk-second-0123456789", "another account was asked");
    }
    let models = inside.ask("GET /v1/models", inside.key(), "");
    for model in models.is(200).json()["data"].as_array().expect("a list") {
        assert_eq!(model["owned_by"], "openai-chat", "{model}");
    }
    // Nor is anything asked of them that nobody asked for.
    eventually("a list of models", || upstream.all_text().contains("/v1/models"));
    inside.end();
    assert!(!upstream.all_text().contains(SECRET), "{}", upstream.all_text());
}

#[test]
fn two_commands_at_once_have_nothing_of_each_other() {
    let upstream = Upstream::good();
    let sandbox = home(&upstream);
    let (one, two) =
        (Inside::start(&sandbox, &["openai-chat"]), Inside::start(&sandbox, &["openai-chat"]));
    assert!(one.host() != two.host() && one.key() != two.key());
    one.ask("GET /v1/models", two.key(), "").is(401);
    one.end();
    two.prompt("m").is(200);
    two.end();
}

#[test]
fn a_private_gateway_manages_nothing_signs_nobody_in_and_leaves_nothing() {
    let upstream = Upstream::start(|_, out| {
        let headers = "Retry-After: 60\r\nContent-Type: application/json\r\n";
        out.whole(429, headers, br#"{"error":{"message":"slow down"}}"#)
    });
    let sandbox = home(&upstream);
    let mut config = sandbox.read_config();
    let key = "management-0123456789";
    config["serve"] = json!({"management_key": key});
    sandbox.write_config(&config);
    let before = sandbox.files(&sandbox.home());
    let inside = Inside::start(&sandbox, &["openai-chat"]);
    for path in [
        "/manage",
        "/manage/api/accounts",
        "/mcp_auth?x=y",
        "/mcp_relay/https://mcp.example.com/mcp",
        "/.well-known/oauth-protected-resource/mcp_relay/x",
    ] {
        inside.ask(&format!("GET {path}"), key, "").is(401);
        inside.ask(&format!("GET {path}"), inside.key(), "").is(404);
    }
    inside.prompt("m").is(429);
    inside.end();
    let left: Vec<_> = sandbox.files(&sandbox.home()).into_iter().collect();
    let new: Vec<_> = left.iter().filter(|file| !before.contains(file)).collect();
    assert!(!new.iter().any(|file| file.starts_with(sandbox.home().join("serve"))), "{new:?}");
    assert!(!sandbox.home().join("serve").exists(), "{}", sandbox.listing());
}

#[test]
fn a_token_that_runs_out_is_renewed_while_the_command_runs() {
    let idp = Arc::new(Idp::start(Dialect::oidc()));
    let judge = Arc::clone(&idp);
    let upstream = Upstream::start(move |request, out| {
        let sent = request.header("authorization").unwrap_or_default();
        match judge.accepts_access(sent.strip_prefix("Bearer ").unwrap_or_default()) {
            true => out.json(200, &json!({"answer": "good"})),
            false => out.json(401, &json!({"error": {"message": "expired"}})),
        }
    });
    let sandbox = Sandbox::new();
    let api = json!({"base": format!("{}/v1", upstream.origin()), "dialect": "openai_chat"});
    let row = json!({"ways": ["browser"], "client_id": "demo-client", "api": api,
        "authorize_url": idp.url("/authorize"), "token_url": idp.url("/token")});
    sandbox.write_config(&json!({"providers": {"demo": row}}));
    let grant = idp.grant();
    let account = oauth_account("demo", "me@example.com", &grant, 3600);
    sandbox.write_account("demo", "me@example.com", &account);
    let inside = Inside::start(&sandbox, &["demo"]);
    inside.prompt("m").is(200);
    // Taken back before its time: found out by the answer.
    idp.expire_access_tokens();
    inside.prompt("m").is(200);
    assert_eq!(upstream.prompts().len(), 3);
    // One that lives a few seconds: renewed before anybody is turned away.
    idp.set_access_lifetime(2);
    idp.expire_access_tokens();
    inside.prompt("m").is(200);
    let renewals = idp.count("token_refresh");
    let turned_away = upstream.prompts().len();
    idp.wait_for("token_refresh", renewals + 1);
    inside.prompt("m").is(200);
    assert_eq!(upstream.prompts().len(), turned_away + 1);
    for token in [&grant.access_token, &grant.refresh_token] {
        assert!(!proc(inside.pid, "environ").contains(token.as_str()));
    }
    inside.end();
    idp.assert_content();
}

#[test]
fn who_has_nothing_that_a_gateway_could_serve_is_told_and_nothing_is_run() {
    let upstream = Upstream::good();
    let sandbox = home(&upstream);
    let mut config = sandbox.read_config();
    config["providers"]["mute"] = json!({"ways": ["api_key"]});
    sandbox.write_config(&config);
    write_account(&sandbox, "mute/x", "sk-mute-0123456789", &json!({}));
    let mark = sandbox.work().join("mark");
    let touch = ["--", "touch", mark.to_str().expect("a path")];
    let run = |words: &[&str]| sandbox.cmd(&[&["exec", "--gateway"], words, &touch].concat()).run();
    run(&["mute"]).code(2).stderr_has("no API that a gateway could serve");
    run(&["groq"]).code(4).stderr_has("keyfob login groq");
    run(&["openai-chat/nobody"]).code(4).stderr_has("openai-chat/nobody");
    run(&["no-such-provider"]).code(2);
    run(&[]).code(2);
    sandbox.cmd(&["exec", "--gateway", "openai-chat"]).run().code(2);
    assert!(!mark.exists());
}

#[test]
fn accounts_that_all_need_a_sign_in_are_told_before_the_command_runs() {
    let idp = Idp::start(Dialect::oidc());
    let sandbox = Sandbox::new();
    let api = json!({"base": idp.url("/v1"), "dialect": "openai_chat"});
    let row = json!({"ways": ["browser"], "client_id": "demo-client", "api": api,
        "authorize_url": idp.url("/authorize"), "token_url": idp.url("/token")});
    sandbox.write_config(&json!({"providers": {"demo": row}}));
    let mut refused = oauth_account("demo", "a@example.com", &idp.grant(), -60);
    refused["refresh_token"] = json!("taken-back-0123456789");
    sandbox.write_account("demo", "a@example.com", &refused);
    let mark = sandbox.work().join("mark");
    let touch = ["--", "touch", mark.to_str().expect("a path")];
    let run = |word: &str| sandbox.cmd(&[&["exec", "--gateway", word], &touch[..]].concat()).run();
    run("demo").code(4).stderr_has("keyfob login demo");
    assert!(!mark.exists(), "it ran");
    // Another account of the provider is enough; but not where the first is meant alone.
    let good = oauth_account("demo", "b@example.com", &idp.grant(), 3600);
    sandbox.write_account("demo", "b@example.com", &good);
    run("demo/a@example.com").code(4);
    let pinned = sandbox.cmd(&[&["exec", "--gateway", "demo"], &touch[..]].concat());
    pinned.env("KEYFOB_ACCOUNT_DEMO", "a@example.com").run().code(4);
    assert!(!mark.exists(), "it ran");
    run("demo").ok();
    assert!(mark.exists(), "it did not run");
}
