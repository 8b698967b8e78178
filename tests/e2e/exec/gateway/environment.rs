//! The variables of the command: addresses, a stand-in key, and nothing of an account.

use serde_json::{Value, json};

use super::{DIALECTS, Inside, home, proc};
use crate::serve::kit::write_account;
use crate::serve::upstream::Upstream;

const OPENAI: [&str; 3] = ["OPENAI_API_BASE", "OPENAI_API_KEY", "OPENAI_BASE_URL"];

#[test]
fn the_clients_of_each_dialect_find_the_gateway_and_a_key_of_it() {
    let upstream = Upstream::good();
    let sandbox = home(&upstream);
    for (account, bases, keys) in [
        (
            "anthropic-messages",
            &[("ANTHROPIC_BASE_URL", "")][..],
            &["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"][..],
        ),
        ("gemini-generate-content", &[("GOOGLE_GEMINI_BASE_URL", "")], &["GEMINI_API_KEY"]),
        (
            "openai-chat/second",
            &[("OPENAI_API_BASE", "/v1"), ("OPENAI_BASE_URL", "/v1")],
            &["OPENAI_API_KEY"],
        ),
        (
            "openai-responses",
            &[("OPENAI_API_BASE", "/v1"), ("OPENAI_BASE_URL", "/v1")],
            &["CODEX_API_KEY", "OPENAI_API_KEY"],
        ),
    ] {
        let inside = Inside::start(&sandbox, &[account]);
        let mut wanted: Vec<_> = bases.iter().map(|(name, _)| *name).chain(keys.to_vec()).collect();
        wanted.sort_unstable();
        assert_eq!(inside.known(), wanted, "{account}");
        for (name, path) in bases {
            assert_eq!(inside.var(name), format!("http://{}{path}", inside.host()));
        }
        for name in keys {
            assert_eq!(inside.var(name), inside.key());
            assert!(inside.var(name).starts_with("kf-"), "{:?}", inside.env);
        }
        assert!(inside.host().starts_with("127.0.0.1:"), "{}", inside.host());
        inside.end();
    }
}

#[test]
fn several_accounts_are_behind_one_address_and_one_key() {
    let upstream = Upstream::good();
    let sandbox = home(&upstream);
    let accounts = ["anthropic-messages", "gemini-generate-content", "openai-chat/default"];
    let inside = Inside::start(&sandbox, &accounts);
    for name in ["ANTHROPIC_BASE_URL", "GOOGLE_GEMINI_BASE_URL"] {
        assert_eq!(inside.var(name), format!("http://{}", inside.host()));
    }
    for name in ["ANTHROPIC_AUTH_TOKEN", "GEMINI_API_KEY", "OPENAI_API_KEY"] {
        assert_eq!(inside.var(name), inside.key());
    }
    inside.prompt("m").is(200);
    let body = r#"{"model":"m","max_tokens":1,"messages":[]}"#;
    inside.ask("POST /v1/messages", inside.key(), body).is(200);
    let google = "POST /v1beta/models/m:generateContent";
    inside.ask(google, inside.key(), r#"{"contents":[]}"#).is(200);
    inside.ask("POST /v1/responses", inside.key(), r#"{"model":"m","input":"x"}"#).is(400);
    assert_eq!(upstream.prompts().len(), 3);
    inside.end();
}

#[test]
fn an_account_with_further_dialects_has_the_variables_of_each() {
    let upstream = Upstream::good();
    let sandbox = home(&upstream);
    let mut config = sandbox.read_config();
    config["providers"]["openai-chat"]["api"]["also"] = json!([{"dialect": "anthropic_messages"}]);
    sandbox.write_config(&config);
    let inside = Inside::start(&sandbox, &["openai-chat/default"]);
    let wanted = ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL"];
    assert_eq!(inside.known(), [&wanted[..], &OPENAI[..]].concat());
    inside.end();
}

#[test]
fn the_command_has_nothing_of_the_account() {
    let upstream = Upstream::good();
    let sandbox = home(&upstream);
    let inside = Inside::start(&sandbox, &["openai-chat"]);
    inside.prompt("m").is(200);
    let asked = upstream.only();
    assert!(asked.header("authorization").is_some_and(|value| value.contains("sk-")), "{asked:?}");
    assert!(!format!("{asked:?}").contains(inside.key()), "the stand-in went on: {asked:?}");
    for name in ["environ", "cmdline"] {
        for pid in [inside.pid, inside.running.pid()] {
            let text = proc(pid, name);
            assert!(!text.contains("sk-"), "{name} of {pid}: {text}");
        }
    }
    assert!(proc(inside.pid, "environ").contains("OPENAI_API_KEY=kf-"));
    let files = std::fs::read_dir(format!("/proc/{}/fd", inside.pid)).expect("a process");
    for file in files.flatten() {
        let to = std::fs::read_link(file.path()).unwrap_or_default().display().to_string();
        assert!(!to.contains("socket:") && !to.contains("keyfob/"), "{to}");
    }
    let output = inside.end();
    output.check(!output.stdout.contains("sk-"), "no secret in the environment");
}

/// Whoever set these outside meant the provider itself, and may have meant it for keyfob.
#[test]
fn the_providers_own_variables_do_not_get_through() {
    let upstream = Upstream::good();
    let sandbox = home(&upstream);
    let list = sandbox.cmd(&["provider", "list", "--json"]).run().ok().json();
    let mut checked = 0;
    for row in list["providers"].as_array().expect("rows") {
        let api = &row["api"];
        let dialect = api["dialect"].as_str().unwrap_or_default();
        if !DIALECTS.contains(&dialect) || api["base"].as_str().is_none_or(str::is_empty) {
            continue;
        }
        let id = row["id"].as_str().expect("an id");
        let own = ["env", "jwt_env"].iter().flat_map(|name| match &row[*name] {
            Value::Array(all) => all.iter().filter_map(|one| one.as_str()).collect(),
            Value::String(one) => vec![one.as_str()],
            _ => Vec::new(),
        });
        let exports =
            row["exports"].as_object().into_iter().flatten().map(|(name, _)| name.as_str());
        let names: Vec<&str> = own.chain(exports).collect();
        write_account(&sandbox, &format!("{id}/x"), "sk-stored-0123456789", &json!({}));
        let account = format!("{id}/x");
        // What plain `exec` hands out.
        let plain = sandbox.cmd(&["exec", &account, "--", "env"]).run();
        let plain = plain.stdout.lines().filter(|line| line.contains("sk-stored"));
        let plain = plain.filter_map(|line| Some(line.split_once('=')?.0));
        let mut cmd = sandbox.cmd(&["exec", "--gateway", &account, "--", "env"]);
        for name in names.iter().copied().chain(plain) {
            // A key may be any text, and a base has to be an address.
            cmd = cmd.env(name, "http://127.0.0.1:9/outside-0123456789");
        }
        // These have real addresses, and nobody is to be asked there.
        let output = cmd.env("HTTPS_PROXY", "http://127.0.0.1:9").run();
        if output.status == Some(2) {
            // No gateway serves it with a key.
            continue;
        }
        let leaks = output.ok().stdout.lines().filter(|line| line.contains("outside-"));
        assert_eq!(leaks.collect::<Vec<_>>(), [] as [&str; 0], "{id}");
        checked += 1;
    }
    assert!(checked > 10, "{checked}");
}

/// A command within a command: what the outer one was given is no way round the inner one's gateway.
#[test]
fn the_token_of_an_exec_around_it_does_not_get_through() {
    let upstream = Upstream::good();
    let sandbox = home(&upstream);
    let binary = env!("CARGO_BIN_EXE_keyfob");
    let inner = [binary, "exec", "--gateway", "openai-chat", "--", "env"];
    let words = [&["exec", "openai-chat/default", "openai-responses", "--"], &inner[..]].concat();
    let output = sandbox.cmd(&words).run();
    output.ok().check(!output.stdout.contains("OPENAI_CHAT_ACCESS_TOKEN"), "not that one");
    // The other account was not named, and its variable is the caller's business.
    output.check(output.stdout.contains("OPENAI_RESPONSES_ACCESS_TOKEN=sk-"), "that one");
}

#[test]
fn keys_of_others_are_replaced_and_other_variables_stay() {
    let upstream = Upstream::good();
    let sandbox = home(&upstream);
    let cmd = sandbox.cmd(&["exec", "--gateway", "openai-chat"]);
    let cmd =
        cmd.env("OPENAI_API_KEY", "sk-of-the-shell").env("OPENAI_BASE_URL", "https://x.example");
    let cmd = cmd.env("EDITOR", "vi").env("NO_PROXY", "a.example,.b.example");
    let inside = Inside::of(cmd.env("HTTP_PROXY", "http://127.0.0.1:9"));
    assert!(inside.var("OPENAI_API_KEY").starts_with("kf-"));
    assert_eq!((inside.var("EDITOR"), inside.var("HTTP_PROXY")), ("vi", "http://127.0.0.1:9"));
    assert_eq!(inside.var("NO_PROXY"), "127.0.0.1,a.example,.b.example");
    assert!(inside.var("no_proxy").starts_with("127.0.0.1"));
    assert!(inside.var("OPENAI_BASE_URL").starts_with("http://127.0.0.1:"));
    inside.end();
}

#[test]
fn a_clean_environment_holds_the_gateway_and_what_was_named() {
    let upstream = Upstream::good();
    let sandbox = home(&upstream);
    let words =
        ["exec", "--gateway", "--clean-env", "--keep", "EDITOR", "openai-chat", "--", "env"];
    let cmd = sandbox.cmd(&words).env("EDITOR", "vi").env("AWS_SECRET_ACCESS_KEY", "marker");
    let cmd = cmd.env("TERM", "xterm").env("OPENAI_CHAT_ACCESS_TOKEN", "marker");
    let output = cmd.env("NO_PROXY", "marker").run();
    let pairs = output.ok().stdout.lines().filter_map(|line| line.split_once('='));
    let mut names: Vec<_> = pairs.map(|(name, _)| name).filter(|name| *name != "PWD").collect();
    names.sort_unstable();
    let own = ["EDITOR", "HOME", "LANG", "NO_PROXY", "PATH", "TERM", "no_proxy"];
    let mut wanted: Vec<_> = own.iter().copied().chain(OPENAI).collect();
    wanted.sort_unstable();
    assert_eq!(names, wanted, "{}", output.report());
    output.check(!output.stdout.contains("marker"), "nothing that was not kept");
}
