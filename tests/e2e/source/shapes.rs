//! Every source by the same course: nothing before consent, the token after it, the tool's own
//! command when the token has run out, a no to what others may change; and never a trace on the file.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::{Value, json};

use super::{CLAUDE, CODEX, Home, claude, codex, jwt, millis, seconds, snapshot};
use crate::support::sandbox::set_mode;

/// A tool's file with one token in it.
struct Shape {
    name: &'static str,
    tool: &'static str,
    file: &'static str,
    provider: &'static str,
    /// A token that is good for so many seconds, and the file with it.
    make: fn(i64) -> (String, String),
    /// What to run when the token has run out; empty when such tokens do not.
    cure: &'static str,
}

const REFRESH: &str = "refresh-token-never-shown-anywhere";

fn gemini(ttl_s: i64) -> (String, String) {
    let token = format!("ya29.access-{ttl_s}");
    let file = json!({"access_token": token, "refresh_token": REFRESH, "scope": "a b",
        "token_type": "Bearer", "id_token": jwt(-9, json!({"email": "me@example.com"})),
        "expiry_date": millis(ttl_s)});
    (token, serde_json::to_string_pretty(&file).unwrap())
}

fn qwen(ttl_s: i64) -> (String, String) {
    let token = format!("qwen-access-{ttl_s}");
    let file = json!({"access_token": token, "refresh_token": REFRESH, "token_type": "Bearer",
        "resource_url": "portal.qwen.ai", "expiry_date": millis(ttl_s)});
    (token, file.to_string())
}

/// Seconds, a float in kimi-cli.
fn kimi_cli(ttl_s: i64) -> (String, String) {
    let token = jwt(90_000, json!({"sub": "k"}));
    let file = json!({"access_token": token, "refresh_token": REFRESH, "scope": "kimi-code",
        "expires_at": seconds(ttl_s) as f64 + 0.25, "token_type": "Bearer", "expires_in": 900});
    (token, file.to_string())
}

fn kimi_code(ttl_s: i64) -> (String, String) {
    let token = format!("kimi-access-{ttl_s}");
    let file = json!({"access_token": token, "refresh_token": REFRESH, "scope": "kimi-code",
        "expires_at": seconds(ttl_s), "token_type": "Bearer", "expires_in": 900});
    (token, file.to_string())
}

fn opencode(ttl_s: i64) -> (String, String) {
    let token = jwt(90_000, json!({}));
    let file = json!({
        "openai": {"type": "oauth", "refresh": REFRESH, "access": token, "expires": millis(ttl_s), "accountId": "acc-1"},
        "broken": 7,
        "https://example.com": {"type": "wellknown", "key": "X_TOKEN", "token": "t"},
    });
    (token, file.to_string())
}

fn pi(ttl_s: i64) -> (String, String) {
    let token = format!("sk-ant-oat01-pi-{ttl_s}");
    let file = json!({"anthropic": {"type": "oauth", "refresh": REFRESH, "access": token,
        "expires": millis(ttl_s)}});
    (token, file.to_string())
}

fn pi_key(_: i64) -> (String, String) {
    let file = json!({"groq": {"type": "api_key", "key": "gsk_0123456789"}});
    ("gsk_0123456789".to_owned(), file.to_string())
}

fn opencode_key(_: i64) -> (String, String) {
    let file = json!({"anthropic": {"type": "api", "key": "sk-ant-api03-0123456789"}});
    ("sk-ant-api03-0123456789".to_owned(), file.to_string())
}

fn codex_key(_: i64) -> (String, String) {
    let file = json!({"auth_mode": "apikey", "OPENAI_API_KEY": "sk-proj-0123456789"});
    ("sk-proj-0123456789".to_owned(), file.to_string())
}

const SHAPES: [Shape; 11] = [
    Shape {
        name: "claude-code",
        tool: "Claude Code",
        file: CLAUDE,
        provider: "claude",
        make: |ttl_s| ("sk-ant-oat01-abc".to_owned(), claude("sk-ant-oat01-abc", ttl_s)),
        cure: "claude",
    },
    Shape {
        name: "codex",
        tool: "Codex",
        file: CODEX,
        provider: "openai",
        make: |ttl_s| {
            let token = jwt(ttl_s, json!({}));
            let file = codex(&token);
            (token, file)
        },
        cure: "codex",
    },
    Shape {
        name: "codex",
        tool: "Codex",
        file: CODEX,
        provider: "openai-api",
        make: codex_key,
        cure: "",
    },
    Shape {
        name: "gemini-cli",
        tool: "Gemini CLI",
        file: ".gemini/oauth_creds.json",
        provider: "gemini",
        make: gemini,
        cure: "gemini",
    },
    Shape {
        name: "qwen-code",
        tool: "Qwen Code",
        file: ".qwen/oauth_creds.json",
        provider: "qwen",
        make: qwen,
        cure: "qwen",
    },
    Shape {
        name: "kimi-code",
        tool: "Kimi Code",
        file: ".kimi-code/credentials/kimi-code.json",
        provider: "kimi",
        make: kimi_code,
        cure: "kimi",
    },
    Shape {
        name: "kimi-cli",
        tool: "Kimi CLI",
        file: ".kimi/credentials/kimi-code.json",
        provider: "kimi",
        make: kimi_cli,
        cure: "kimi",
    },
    Shape {
        name: "opencode",
        tool: "OpenCode",
        file: ".local/share/opencode/auth.json",
        provider: "openai",
        make: opencode,
        cure: "opencode",
    },
    Shape {
        name: "opencode",
        tool: "OpenCode",
        file: ".local/share/opencode/auth.json",
        provider: "anthropic-api",
        make: opencode_key,
        cure: "",
    },
    Shape {
        name: "pi",
        tool: "pi",
        file: ".pi/agent/auth.json",
        provider: "claude",
        make: pi,
        cure: "pi",
    },
    Shape {
        name: "pi",
        tool: "pi",
        file: ".pi/agent/auth.json",
        provider: "groq",
        make: pi_key,
        cure: "",
    },
];

fn each(check: impl Fn(&Shape, &Home)) {
    for shape in &SHAPES {
        println!("{}: {}", shape.name, shape.provider);
        check(shape, &Home::new());
    }
}

#[test]
fn nothing_is_used_before_consent() {
    each(|shape, home| {
        let (token, text) = (shape.make)(3600);
        let file = home.put(shape.file, &text);
        let before = snapshot(&file);
        let row = home.row(&file);
        let wanted = json!({"path": file.display().to_string(), "tool": shape.tool,
            "name": shape.name, "providers": [], "state": "ask", "why": null});
        assert_eq!(row, wanted);
        let out = home.run(&format!("token {}", shape.provider));
        out.code(4).stdout_is("").stderr_has(&format!("try: keyfob source trust {}", shape.name));
        out.stderr_lacks(&token);
        let status = home.run(&format!("status {}", shape.provider));
        status
            .code(4)
            .stdout_is("")
            .stderr_has(&format!("try: keyfob source trust {}", shape.name));
        assert_eq!(snapshot(&file), before);
        assert!(home.trusted().is_empty());
    });
}

#[test]
fn after_consent_the_token_is_handed_out_and_the_file_stays_as_it_is() {
    each(|shape, home| {
        let (token, text) = (shape.make)(3600);
        let file = home.put(shape.file, &text);
        let before = snapshot(&file);
        home.trust(shape.name);
        assert_eq!(home.trusted(), [file.display().to_string()]);
        assert_eq!(home.row(&file)["state"], "trusted");
        let found = home.row(&file)["providers"].as_array().unwrap().clone();
        assert!(found.contains(&Value::from(shape.provider)), "{found:?}");

        let provider = shape.provider;
        home.run(&format!("token {provider}")).ok().stdout_is(&format!("{token}\n"));
        let shown = home.run(&format!("token {provider} --json")).ok().json();
        assert_eq!((&shown["token"], &shown["account"]), (&json!(token), &Value::Null));
        assert_eq!(shown["provider"], provider);
        let env = home.run(&format!("env {provider} --json")).ok().json()["env"].clone();
        let is_there = env.as_object().unwrap().values().any(|value| value == token.as_str());
        assert!(is_there, "{env}");
        let exec = home.sandbox.cmd(&["exec", provider, "--", "env"]).run();
        assert!(exec.ok().stdout.contains(&format!("={token}\n")), "{}", exec.stdout);

        let status = home.run(&format!("status {provider} --json")).ok().json();
        let row = &status["accounts"][0];
        assert_eq!(row["source"], format!("file:{}", file.display()));
        assert_eq!((&row["state"], &row["can_refresh"]), (&json!("valid"), &json!(false)));
        assert_eq!(status["sources"][0]["state"], "trusted");
        let table = home.run("status").ok().stdout.clone();
        assert!(table.contains(&format!("file:{}", file.display())), "{table}");
        assert!(!table.contains(&token), "{table}");

        assert_eq!(snapshot(&file), before);
        assert!(!home.sandbox.home().join("accounts").exists(), "nothing is copied");
        home.run(&format!("source forget {}", shape.name)).ok();
        assert_eq!(snapshot(&file), before);
        home.run(&format!("token {provider}")).code(4).stdout_is("");
    });
}

#[test]
fn a_token_that_ran_out_is_the_tools_to_renew() {
    each(|shape, home| {
        if shape.cure.is_empty() {
            return;
        }
        let (token, text) = (shape.make)(-60);
        let file = home.put(shape.file, &text);
        let before = snapshot(&file);
        home.trust(shape.name);
        let out = home.run(&format!("token {} --json", shape.provider));
        out.code(4).stdout_is("").stderr_has("expired").stderr_lacks(&token);
        out.stderr_has(&format!("only {} can renew it", shape.tool));
        assert_eq!(out.error_json()["try"], shape.cure);
        let status = home.run(&format!("status {} --json", shape.provider));
        assert_eq!(status.code(4).json()["accounts"][0]["state"], "expired");
        assert_eq!(snapshot(&file), before);

        // More life than it has.
        let (_, text) = (shape.make)(100);
        fs::write(&file, text).unwrap();
        home.run(&format!("token {}", shape.provider)).ok();
        let asked = home.run(&format!("token {} --min-ttl 3000", shape.provider));
        // For Kimi and OpenCode that is the file's word, not the claim in the token.
        asked.code(4).stdout_is("").stderr_has("50 min were asked for");

        // What the tool renews is seen at once.
        let (token, text) = (shape.make)(7200);
        fs::write(&file, text).unwrap();
        home.run(&format!("token {}", shape.provider)).ok().stdout_is(&format!("{token}\n"));
    });
}

#[test]
fn what_others_may_change_or_point_elsewhere_is_refused() {
    each(|shape, home| {
        let (token, text) = (shape.make)(3600);
        let file = home.put(shape.file, &text);
        let refused = |why: &str, cure: Option<&str>| {
            let row = home.row(&file);
            assert_eq!((&row["state"], &row["providers"]), (&json!("refused"), &json!([])));
            assert!(row["why"].as_str().unwrap().contains(why), "{row}");
            let out = home.run(&format!("source trust {} --yes", shape.name));
            out.code(1).stdout_is("").stderr_has(why).stderr_lacks(&token);
            if let Some(cure) = cure {
                out.stderr_has(&format!("try: {cure}"));
            }
            home.run(&format!("token {}", shape.provider)).code(4).stdout_is("").stderr_has(why);
            assert!(home.trusted().is_empty());
        };
        for mode in [0o666, 0o602, 0o620] {
            set_mode(&file, mode);
            let cure = format!("chmod go-w {}", file.display());
            refused("others may change it", Some(&cure));
            assert_eq!(home.sandbox.mode(&file), mode);
        }
        set_mode(&file, 0o600);
        let real = home.path("elsewhere.json");
        fs::rename(&file, &real).unwrap();
        symlink(&real, &file).unwrap();
        refused("symlink", None);
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
        refused("not a regular file", None);
    });
}
