//! Keys beside sign-ins in `token`, `refresh`, `logout`, `exec` and `status`.

use serde_json::{Value, json};

use super::{KEY, OTHER_KEY, asks_nobody, cmd, holders, store};
use crate::provider::Desk;
use crate::support::idp::{Fault, Times};

const ME: &str = "me@example.com";

/// A key of groq, and `mine` signed in by browser.
fn both() -> Desk {
    let desk = Desk::ready();
    desk.sit_down(ME, 3600);
    store(&desk, "groq", KEY);
    desk
}

#[test]
fn the_headers_are_those_of_the_vendor() {
    let desk = Desk::new();
    store(&desk, "groq", KEY);
    store(&desk, "anthropic-api", KEY);
    let token = cmd(&desk, "token groq --json").run();
    let token = token.ok().stderr_lacks("marker").json();
    assert_eq!(token["headers"], json!({"Authorization": format!("Bearer {KEY}")}));
    assert_eq!(token["api_base"], "https://api.groq.com/openai/v1");
    let token = cmd(&desk, "token claude-api --json").run().ok().json();
    assert_eq!(token["headers"], json!({"x-api-key": KEY, "anthropic-version": "2023-06-01"}));
    assert_eq!(token["api_base"], "https://api.anthropic.com/v1");
    assert_eq!(token["token_type"], Value::Null);
}

/// A row of config.json takes keys just so, in a header of its own.
#[test]
fn a_row_of_ones_own_takes_keys() {
    let desk = Desk::new();
    let api = json!({"base": desk.idp.url("/v1"), "key_header": "api-key"});
    let row = json!({"ways": ["api_key"], "api": api});
    desk.sandbox.write_config(&json!({"providers": {"my-api": row}}));
    store(&desk, "my-api", KEY);
    let token = cmd(&desk, "token my-api --json").run().ok().json();
    assert_eq!(token["headers"], json!({"api-key": KEY}));
    let child = cmd(&desk, "exec my-api -- printenv MY_API_ACCESS_TOKEN").run();
    child.ok().stdout_is(&format!("{KEY}\n"));
    asks_nobody(&desk);
}

#[test]
fn a_key_has_no_end() {
    let desk = both();
    cmd(&desk, "token groq --min-ttl 4000000000").run().ok().stdout_is(&format!("{KEY}\n"));
    for words in ["status groq", "status groq --check"] {
        let status = cmd(&desk, words).run();
        let lines: Vec<_> = status.ok().stderr_lacks("marker").stdout.lines().collect();
        let cells: Vec<_> = lines[1].split_whitespace().collect();
        assert_eq!(cells[..5], ["groq*", "default", "api_key", "valid", "-"], "{}", lines[1]);
        status.check(!status.stdout.contains("marker"), "no key");
    }
    asks_nobody(&desk);
}

#[test]
fn a_refresh_of_all_passes_over_keys() {
    let desk = both();
    let before = desk.sandbox.read(&desk.sandbox.account_file("groq", "default"));
    let refresh = cmd(&desk, "refresh --all --json").run();
    let refreshed = refresh.ok().stderr_lacks("marker").json();
    assert_eq!(refreshed["failed"], json!([]));
    let names: Vec<_> = refreshed["refreshed"].as_array().expect("a list").iter().collect();
    assert!(names.iter().any(|one| one["provider"] == "mine"), "{refreshed}");
    for one in names.iter().filter(|one| one["provider"] == "groq") {
        assert_eq!(one["expires_at"], Value::Null);
    }
    assert_eq!(desk.idp.count("token_refresh"), 1);
    assert_eq!(desk.sandbox.read(&desk.sandbox.account_file("groq", "default")), before);

    desk.idp.fault("token_refresh", Fault::Status(503), Times::Once);
    let refresh = cmd(&desk, "refresh --all --json").run();
    assert_eq!(refresh.code(3).json()["failed"][0]["provider"], "mine");
    assert_eq!(desk.sandbox.read(&desk.sandbox.account_file("groq", "default")), before);
}

#[test]
fn a_logout_removes_a_key_and_asks_nobody() {
    let desk = both();
    let logout = cmd(&desk, "logout groq").run();
    logout.ok().stdout_is("").stderr_lacks("marker").stderr_lacks("warning");
    asks_nobody(&desk);
    assert!(holders(&desk).is_empty());
    cmd(&desk, "logout groq").run().code(4);

    store(&desk, "groq", KEY);
    let logout = cmd(&desk, "logout --all --json").run();
    let removed = logout.ok().json()["removed"].clone();
    let revoked = |provider: &str| {
        let all = removed.as_array().expect("a list");
        let one = all.iter().find(|one| one["provider"] == provider).expect("removed");
        one["revoked"].clone()
    };
    assert_eq!((revoked("groq"), revoked("mine")), (Value::Null, json!(true)));
    assert_eq!(desk.idp.count("revoke"), 1);
    assert!(holders(&desk).is_empty());
}

#[test]
fn a_child_gets_the_key_in_its_environment_alone() {
    let desk = both();
    store(&desk, "zai", OTHER_KEY);
    let words = ["exec", "groq", "--", "sh", "-c", "tr '\\0' ' ' </proc/$$/cmdline; env"];
    let child = desk.sandbox.cmd(&words).env("KEYFOB_LOG", "trace").run();
    child.ok().stderr_lacks("marker");
    let with_key: Vec<_> = child.stdout.lines().filter(|line| line.contains("marker")).collect();
    assert_eq!(with_key, [format!("GROQ_API_KEY={KEY}")]);
    let child = cmd(&desk, "exec groq zai -- env").run();
    for line in [format!("GROQ_API_KEY={KEY}"), format!("ZHIPU_API_KEY={OTHER_KEY}")] {
        assert!(child.stdout.lines().any(|one| one == line), "{}", child.report());
    }
}

/// A shell that expands the key into `argv` is the person's; ours never has it there.
#[test]
fn a_login_has_no_key_in_its_arguments() {
    let desk = Desk::new();
    let login = cmd(&desk, "login groq --api-key-stdin").spawn();
    let pid = login.pid();
    let mut login = login;
    login.write_stdin(KEY);
    let seen = |file: &str| std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let both = [seen("cmdline"), seen("environ")].concat();
    assert!(!String::from_utf8_lossy(&both).contains("marker"));
    login.close_stdin();
    login.wait(crate::login::demo::LIMIT).ok().stdout_is("").stderr_lacks("marker");
    // No flag takes it, so that nobody is tempted.
    let typed = cmd(&desk, &format!("login groq --api-key {KEY}")).run();
    typed.code(2).stdout_is("").stderr_lacks("marker");
}

// ---- the environment

#[test]
fn a_variable_is_used_where_no_key_is_stored() {
    let desk = Desk::new();
    let with = |words: &str| cmd(&desk, words).env("FIREWORKS_API_KEY", KEY);
    assert_eq!(with("token fireworks").run().ok().stderr_lacks("marker").line(), KEY);
    assert_eq!(with("token fireworks.ai").run().ok().line(), KEY);
    let child = with("exec fireworks -- printenv FIREWORKS_API_KEY").run();
    child.ok().stderr_lacks("marker").stdout_is(&format!("{KEY}\n"));
    let status = with("status fireworks").run();
    status.ok().check(status.stdout.contains("env:FIREWORKS_API_KEY"), "the variable");
    with("token groq").run().code(4);
    // Nothing is stored by looking.
    assert!(holders(&desk).is_empty());
    with("refresh fireworks").run().code(4);
    with("logout fireworks").run().code(4);
}

#[test]
fn a_stored_key_goes_before_a_variable() {
    let desk = Desk::new();
    store(&desk, "fireworks", KEY);
    let with = |words: &str| cmd(&desk, words).env("FIREWORKS_API_KEY", OTHER_KEY);
    assert_eq!(with("token fireworks").run().ok().line(), KEY);
    let child = with("exec fireworks -- printenv FIREWORKS_API_KEY").run();
    child.ok().stdout_is(&format!("{KEY}\n"));
    cmd(&desk, "logout fireworks").run().ok();
    assert_eq!(with("token fireworks").run().ok().line(), OTHER_KEY);
}

#[test]
fn either_variable_of_a_row_is_read() {
    let desk = Desk::new();
    let second = cmd(&desk, "token zai").env("ZAI_API_KEY", OTHER_KEY).run();
    assert_eq!(second.ok().line(), OTHER_KEY);
    let both = cmd(&desk, "token zai").env("ZAI_API_KEY", OTHER_KEY).env("ZHIPU_API_KEY", KEY);
    assert_eq!(both.run().ok().line(), KEY);
}
