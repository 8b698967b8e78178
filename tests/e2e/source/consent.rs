//! Saying yes, and taking it back.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::{Value, json};

use super::{CLAUDE, CODEX, Home, claude, codex, jwt, snapshot};
use crate::support::sandbox::{set_mode, write_private};

fn home() -> Home {
    let home = Home::new();
    home.put(CLAUDE, &claude("sk-ant-oat01-abc", 3600));
    home
}

#[test]
fn off_a_terminal_yes_is_a_flag() {
    let home = home();
    let out = home.run("source trust claude-code");
    out.code(2).stdout_is("").stderr_has("try: keyfob source trust claude-code --yes");
    assert!(home.trusted().is_empty());
    home.run("source trust claude-code --yes").ok().stdout_is("");
    // A second yes is no question any more.
    home.run("source trust claude-code").ok();
    assert_eq!(home.trusted().len(), 1);
}

#[test]
fn at_a_terminal_what_would_be_read_is_shown_first() {
    let home = home();
    let path = home.path(CLAUDE).display().to_string();
    let ask = |answer: &str| home.cmd("source trust claude-code").pty().stdin(answer).run();
    let no = ask("n\n");
    assert_eq!(no.status, Some(1), "{}", no.report());
    assert!(no.stdout.contains(&path) && no.stdout.contains("[y/N]"), "{}", no.stdout);
    assert!(home.trusted().is_empty());
    let nothing = ask("\n");
    assert_eq!(nothing.status, Some(1), "{}", nothing.report());
    let yes = ask("y\n");
    assert_eq!(yes.status, Some(0), "{}", yes.report());
    assert!(yes.stdout.contains("only reads it"), "{}", yes.stdout);
    // What its owner says of such use is told.
    assert!(yes.stdout.contains("legal-and-compliance"), "{}", yes.stdout);
    assert_eq!(home.trusted(), [path]);
    let asked = home.cmd("source trust claude-code --no-input").pty().stdin("").run();
    assert_eq!(asked.status, Some(0), "{}", asked.report());
}

#[test]
fn a_yes_is_for_one_path() {
    let home = home();
    home.trust("claude-code");
    // Another place of the same tool, with a file of its own.
    home.put("work/.credentials.json", &claude("sk-ant-oat01-work", 3600));
    let work = home.path("work").display().to_string();
    let at_work = |words: &str| home.cmd(words).env("CLAUDE_CONFIG_DIR", &work).run();
    at_work("token claude").code(4).stdout_is("").stderr_has("keyfob source trust claude-code");
    at_work("source trust claude-code --yes").ok();
    at_work("token claude").ok().stdout_is("sk-ant-oat01-work\n");
    home.run("token claude").ok().stdout_is("sk-ant-oat01-abc\n");
    assert_eq!(home.trusted().len(), 2);
    // The one that is not looked at now is listed all the same.
    let elsewhere = home.row(&home.path("work/.credentials.json"));
    assert_eq!((&elsewhere["state"], &elsewhere["providers"]), (&json!("trusted"), &json!([])));
}

#[test]
fn a_path_names_a_source_however_it_is_written() {
    let home = home();
    let file = home.path(CLAUDE);
    let work = home.path(".claude");
    home.sandbox.cmd(&["source", "trust", &file.display().to_string(), "--yes"]).run().ok();
    home.run("source forget claude-code").ok();
    let relative = home.cmd("source trust .credentials.json --yes").cwd(&work);
    relative.run().ok();
    home.cmd("source forget ./.credentials.json").cwd(&work).run().ok();
    assert!(home.trusted().is_empty());
    // A folder above may be a symlink: what counts is where it leads.
    let link = home.path("link");
    symlink(&work, &link).unwrap();
    let linked = link.display().to_string();
    let out = home.cmd("source trust claude-code --yes").env("CLAUDE_CONFIG_DIR", &linked).run();
    out.ok();
    assert_eq!(home.trusted(), [file.display().to_string()]);
    home.run("token claude").ok();
}

#[test]
fn what_is_no_source_cannot_be_trusted() {
    let home = home();
    let other = home.put("notes.json", "{}");
    for which in ["nosuch", &other.display().to_string(), "/etc/passwd", ""] {
        let out = home.sandbox.cmd(&["source", "trust", which, "--yes"]).run();
        out.code(2).stdout_is("").stderr_has("try: keyfob source list");
    }
    // Known, but not here.
    let out = home.run("source trust codex --yes");
    out.code(1).stderr_has(&home.path(CODEX).display().to_string()).stderr_has("try: codex");
    assert!(home.trusted().is_empty());
    home.run("source").code(2).stdout_is("");
    home.run("source trust").code(2).stdout_is("");
}

#[test]
fn consent_is_taken_back_by_name_by_path_or_altogether() {
    let home = home();
    home.put(CODEX, &codex(&jwt(3600, json!({}))));
    let before = snapshot(&home.path(CLAUDE));
    home.trust("claude-code");
    home.trust("codex");
    home.run("source forget codex").ok().stdout_is("");
    home.run("source forget codex").code(1).stderr_has("try: keyfob source list");
    home.run("token openai").code(4);
    home.run("token claude").ok();
    home.trust("codex");
    home.run("source forget").code(2).stderr_has("try: keyfob source list");
    home.run("source forget codex --all").code(2);
    home.run("source forget --all").ok().stdout_is("");
    assert!(home.trusted().is_empty());
    // A file that is gone by now.
    home.trust("codex");
    fs::remove_file(home.path(CODEX)).unwrap();
    assert_eq!(home.row(&home.path(CODEX))["state"], "trusted");
    home.sandbox.cmd(&["source", "forget", &home.path(CODEX).display().to_string()]).run().ok();
    assert!(home.trusted().is_empty());
    assert_eq!(snapshot(&home.path(CLAUDE)), before);
}

#[test]
fn what_cannot_be_read_is_not_remembered() {
    let home = Home::new();
    home.put(CLAUDE, "{\"claudeAiOauth\": nonsense");
    let out = home.run("source trust claude-code --yes");
    out.code(1).stdout_is("").stderr_has("no JSON").stderr_has("try: claude");
    assert!(home.trusted().is_empty());
    // Nothing of use in it is another matter: the person may sign in there next.
    home.put(CLAUDE, "{}");
    home.run("source trust claude-code --yes").ok().stderr_has("holds no sign-in");
    assert_eq!(home.trusted().len(), 1);
}

#[test]
fn a_damaged_list_of_consents_trusts_nobody_and_harms_nobody() {
    let home = home();
    home.trust("claude-code");
    let trust = home.sandbox.home().join("trust.json");
    home.sandbox.cmd(&["login", "groq", "--api-key-stdin"]).stdin("gsk_0123456789").run().ok();
    for damage in
        ["", "{", "[]", "{\"version\":99,\"trusted\":[]}", "{\"version\":1,\"trusted\":7}"]
    {
        write_private(&trust, damage);
        let out = home.run("token claude");
        out.code(5).stdout_is("").stderr_has("trust.json");
        out.stderr_has("try: keyfob source forget --all");
        home.run("token groq").ok();
        let status = home.run("status --json").ok().json();
        assert_eq!(status["sources"], json!([]));
        home.run("status").ok().stderr_has("trust.json");
        assert_eq!(home.sandbox.read(&trust), damage);
    }
    home.run("source forget --all").ok();
    home.run("token claude").code(4);
    home.trust("claude-code");
    set_mode(&trust, 0o644);
    home.run("token claude").code(5).stderr_has(&format!("chmod 600 {}", trust.display()));
    let aside = home.path("aside.json");
    fs::rename(&trust, &aside).unwrap();
    set_mode(&aside, 0o600);
    symlink(&aside, &trust).unwrap();
    home.run("token claude").code(5).stdout_is("").stderr_has("symlink");
}

#[test]
fn unknown_fields_survive_and_parallel_consents_are_all_kept() {
    let home = home();
    home.put(CODEX, &codex("opaque-access-token"));
    home.put(".gemini/oauth_creds.json", "{\"access_token\":\"ya29.abc\"}");
    home.put(".pi/agent/auth.json", "{}");
    home.trust("claude-code");
    let trust = home.sandbox.home().join("trust.json");
    let mut file: Value = home.sandbox.read_json(&trust);
    assert_eq!(file["trusted"][0]["source"], "claude-code");
    assert!(file["trusted"][0]["since"].as_str().unwrap().ends_with('Z'), "{file}");
    assert!(file["trusted"][0]["owner"].is_u64(), "{file}");
    file["later"] = json!({"a": 1});
    write_private(&trust, &file.to_string());
    let names = ["codex", "gemini-cli", "pi"];
    let running: Vec<_> =
        names.map(|name| home.cmd(&format!("source trust {name} --yes")).spawn()).into();
    for process in running {
        process.wait(std::time::Duration::from_secs(30)).ok();
    }
    assert_eq!(home.trusted().len(), 4);
    assert_eq!(home.sandbox.read_json(&trust)["later"], json!({"a": 1}));
}
