//! Files that are half written, of another kind, or hostile.

use std::fs;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::{CLAUDE, CODEX, Home, claude, codex, jwt, millis};

const OPENCODE: &str = ".local/share/opencode/auth.json";
const PI: &str = ".pi/agent/auth.json";

#[test]
fn a_file_that_is_just_being_written_is_read_again() {
    let home = Home::new();
    let token = jwt(3600, json!({}));
    let whole = codex(&token);
    let file = home.put(CODEX, &whole);
    home.trust("codex");
    // Codex truncates and writes in place; here it is always about to. A busy machine may be later
    // than we wait, but not each time.
    let mut found = 0;
    for _ in 0..5 {
        fs::write(&file, &whole[..whole.len() / 2]).unwrap();
        let (path, text) = (file.clone(), whole.clone());
        let writer = thread::spawn(move || {
            thread::sleep(Duration::from_millis(25));
            fs::write(path, text).unwrap();
        });
        let out = home.run("token openai");
        found += usize::from(out.stdout == format!("{token}\n"));
        writer.join().unwrap();
    }
    assert!(found >= 3, "{found} of 5");
    fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    let out = home.run("token openai");
    out.code(1).stdout_is("").stderr_has("no JSON").stderr_has("try: codex").stderr_lacks(&token);
    let row = home.row(&file);
    assert_eq!((&row["state"], &row["providers"]), (&json!("trusted"), &json!([])));
    assert!(row["why"].as_str().unwrap().contains("no JSON"), "{row}");
}

#[test]
fn a_token_renewed_at_the_last_moment_is_found() {
    let home = Home::new();
    let file = home.put(CLAUDE, &claude("sk-ant-oat01-old", -5));
    home.trust("claude-code");
    let (path, next) = (file, claude("sk-ant-oat01-new", 3600));
    let process = home.cmd("token claude").spawn();
    thread::sleep(Duration::from_millis(30));
    fs::write(path, next).unwrap();
    let out = process.wait(Duration::from_secs(30));
    // Whoever came after the look is found by the next one.
    if out.status == Some(0) {
        out.stdout_is("sk-ant-oat01-new\n");
    } else {
        out.code(4).stdout_is("");
    }
    home.run("token claude").ok().stdout_is("sk-ant-oat01-new\n");
}

#[test]
fn a_database_is_named_and_not_read() {
    let home = Home::new();
    let database = home.put(".local/share/opencode/opencode.db", "SQLite format 3\0rest");
    let row = home.row(&database);
    assert_eq!((&row["tool"], &row["state"]), (&json!("OpenCode"), &json!("refused")));
    assert!(row["why"].as_str().unwrap().contains("SQLite"), "{row}");
    let out = home.run("source trust opencode --yes");
    out.code(1).stdout_is("").stderr_has("SQLite").stderr_has("try: keyfob login");
    home.run("status").code(4).stderr_has("SQLite");
    home.run("token groq").code(4).stderr_has("SQLite").stderr_has("try: keyfob login groq");

    // The older file beside it is the one that is meant.
    let file =
        home.put(OPENCODE, &json!({"groq": {"type": "api", "key": "gsk_0123456789"}}).to_string());
    home.trust("opencode");
    home.run("token groq").ok();
    assert_eq!(home.row(&database)["state"], "refused");
    fs::write(&file, "SQLite format 3\0rest").unwrap();
    home.run("token groq").code(1).stderr_has("SQLite");

    let elsewhere = home.put("data/my.db", "SQLite format 3\0");
    let listed = home.cmd("source list").env("OPENCODE_DB", &elsewhere.display().to_string()).run();
    assert!(listed.ok().stdout.contains(&elsewhere.display().to_string()), "{}", listed.stdout);
    let copilot = home.put(".config/github-copilot/auth.db", "SQLite format 3\0");
    assert_eq!(home.row(&copilot)["state"], "refused");
}

#[test]
fn a_tools_own_variable_moves_its_file() {
    let home = Home::new();
    let shape = |at: &str, text: &str| home.put(at, text).display().to_string();
    let token = jwt(3600, json!({}));
    let groq = json!({"groq": {"type": "api_key", "key": "gsk_0123456789"}}).to_string();
    let google = json!({"access_token": "ya29.moved", "expiry_date": millis(60)}).to_string();
    let kimi = json!({"access_token": "kimi-moved", "expires_at": 4_000_000_000_u64}).to_string();
    for (name, variable, folder, file, text) in [
        ("claude-code", "CLAUDE_CONFIG_DIR", "a", "a/.credentials.json", claude("sk-x-moved", 60)),
        ("codex", "CODEX_HOME", "b", "b/auth.json", codex(&token)),
        ("gemini-cli", "GEMINI_CLI_HOME", "c", "c/.gemini/oauth_creds.json", google.clone()),
        ("qwen-code", "QWEN_HOME", "d", "d/oauth_creds.json", google),
        ("kimi-code", "KIMI_CODE_HOME", "e", "e/credentials/kimi-code.json", kimi.clone()),
        ("kimi-cli", "KIMI_SHARE_DIR", "f", "f/credentials/kimi-code.json", kimi),
        ("pi", "PI_CODING_AGENT_DIR", "g", "g/auth.json", groq.clone()),
        ("opencode", "XDG_DATA_HOME", "h", "h/opencode/auth.json", groq.replace("api_key", "api")),
    ] {
        let path = shape(file, &text);
        let folder = home.path(folder).display().to_string();
        let out = home.cmd(&format!("source trust {name} --yes")).env(variable, &folder).run();
        out.ok().stderr_has(&path);
        let listed = home.cmd("source list --json").env(variable, &folder).run().ok().json();
        let rows = listed["sources"].as_array().unwrap();
        let row = rows.iter().find(|row| row["path"] == path.as_str()).unwrap();
        assert_eq!(row["why"], Value::Null, "{row}");
        // Relative to where the tool was started, which we cannot know.
        let out = home.cmd(&format!("source trust {name} --yes")).env(variable, "x").run();
        out.check(out.status != Some(0), "not found");
    }
}

#[test]
fn hostile_files_are_nothing_at_all() {
    let home = Home::new();
    let file = home.put(CLAUDE, "{}");
    home.trust("claude-code");
    let huge = format!("{{\"claudeAiOauth\":{{\"accessToken\":\"{}\"}}}}", "x".repeat(200_000));
    for text in [
        "[".repeat(100_000),
        "null".to_owned(),
        "\"text\"".to_owned(),
        "{\"claudeAiOauth\":{\"accessToken\":\"two\\nlines\"}}".to_owned(),
        "{\"claudeAiOauth\":{\"accessToken\":\"\\u001b[31mred\"}}".to_owned(),
        "{\"claudeAiOauth\":{\"accessToken\":[]}}".to_owned(),
        "{\"claudeAiOauth\":{\"accessToken\":\"sk-a\",\"expiresAt\":-1e300}}".to_owned(),
        "{\"claudeAiOauth\":{\"accessToken\":\"sk-a\",\"expiresAt\":{}}}".to_owned(),
        "{\"claudeAiOauth\":{\"accessToken\":\"\",\"expiresAt\":0}}".to_owned(),
        huge,
    ] {
        fs::write(&file, &text).unwrap();
        let out = home.run("token claude");
        out.check(matches!(out.status, Some(1 | 4)), "a plain no").stdout_is("");
        out.check(!out.stderr.contains('\x1b') && !out.stderr.contains("internal error"), "calm");
        home.run("source list --json").ok().json();
        home.run("status --json").json();
    }
    fs::write(&file, vec![b' '; 2 * 1024 * 1024]).unwrap();
    home.run("token claude").code(5).stdout_is("").stderr_has("larger");
    for far in ["1e300", "18446744073709551615", "\"9999999999999999999999\""] {
        let text =
            format!("{{\"claudeAiOauth\":{{\"accessToken\":\"sk-a\",\"expiresAt\":{far}}}}}");
        fs::write(&file, text).unwrap();
        home.run("token claude").ok().stdout_is("sk-a\n");
        home.run("token claude --json").ok().json();
    }
}

#[test]
fn older_and_odd_shapes_are_understood() {
    let home = Home::new();
    let file = home.put(CLAUDE, "{}");
    home.trust("claude-code");
    // The inner object bare; scopes as text; the expiry as RFC 3339 or a number in quotes.
    for expires in [json!("2099-01-01T00:00:00Z"), json!(millis(60).to_string()), json!(null)] {
        let bare = json!({"accessToken": "sk-bare", "scopes": "a b", "expiresAt": expires});
        fs::write(&file, bare.to_string()).unwrap();
        home.run("token claude").ok().stdout_is("sk-bare\n");
    }
    // A tombstone: signed out by the vendor.
    let kimi = json!({"access_token": "", "refresh_token": "", "expires_at": 0});
    home.put(".kimi-code/credentials/kimi-code.json", &kimi.to_string());
    home.run("source trust kimi-code --yes").ok().stderr_has("revoked");
    home.run("token kimi").code(4).stdout_is("");
}

#[test]
fn who_it_is_comes_from_the_tokens() {
    let home = Home::new();
    home.put(CODEX, &codex(&jwt(3600, json!({}))));
    home.trust("codex");
    let row = home.run("status openai --json").ok().json()["accounts"][0].clone();
    assert_eq!(row["identity"]["email"], "me@example.com");
    let shown = home.run("token openai --json").ok().json();
    assert_eq!(shown["headers"]["ChatGPT-Account-ID"], "acc-from-claims");
    let qwen = json!({"access_token": "qwen-a", "expiry_date": millis(60), "resource_url": "portal.qwen.ai"});
    home.put(".qwen/oauth_creds.json", &qwen.to_string());
    home.trust("qwen-code");
    let shown = home.run("token qwen --json").ok().json();
    assert_eq!(shown["api_base"], "https://portal.qwen.ai/v1");
}

#[test]
fn commands_in_a_file_are_never_run() {
    let home = Home::new();
    let proof = home.path("was-run");
    let file = json!({
        "groq": {"type": "api_key", "key": format!("!touch {}", proof.display())},
        "mistral": {"type": "api_key", "key": "$MY_MISTRAL"},
        "deepseek": {"type": "api_key", "key": "${MY_DEEPSEEK}"},
        "xai": {"type": "api_key", "key": "OLD_STYLE"},
        "zai": {"type": "api_key", "key": "$$zai-literal"},
        "cerebras": {"type": "api", "key": "of-another-tool"},
    });
    home.put(PI, &file.to_string());
    home.trust("pi");
    home.run("source list").ok();
    let out = home.run("token groq");
    out.code(1).stdout_is("").stderr_has("names a command").stderr_has("--api-key-stdin");
    home.run("status groq --json").code(4);
    assert!(!proof.exists());
    let with = |words: &str| {
        let cmd = home.cmd(words).env("MY_MISTRAL", "mistral-0123").env("OLD_STYLE", "xai-0123");
        cmd.env("MY_DEEPSEEK", "deepseek-0123").run()
    };
    with("token mistral").ok().stdout_is("mistral-0123\n");
    with("token deepseek").ok().stdout_is("deepseek-0123\n");
    with("token xai").ok().stdout_is("xai-0123\n");
    with("token zai").ok().stdout_is("$zai-literal\n");
    with("token cerebras").code(4);
    home.run("token mistral").code(1).stdout_is("").stderr_has("MY_MISTRAL, which is not set");
}
