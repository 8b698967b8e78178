//! GitHub Copilot: five places, two kinds of token, and GitHub's own variables.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use super::{Home, millis, snapshot};
use crate::support::command::Cmd;
use crate::support::github::Github;

const CLI: &str = ".copilot/config.json";
const HOSTS: &str = ".config/github-copilot/hosts.json";
const APPS: &str = ".config/github-copilot/apps.json";
const OPENCODE: &str = ".local/share/opencode/auth.json";
const PI: &str = ".pi/agent/auth.json";

/// As Copilot CLI writes it: comments, then JSON with addresses as keys.
fn config(token: &Value) -> String {
    let user = json!({"host": "https://github.com", "login": "octocat"});
    let file = json!({"copilotTokens": {"https://github.com:hubot": "gho_hubot", "https://github.com:octocat": token},
        "lastLoggedInUser": user, "loggedInUsers": [user]});
    let file = serde_json::to_string_pretty(&file).unwrap();
    format!(
        "// User settings belong in settings.json.\n  // This file is managed automatically.\n{file}\n"
    )
}

struct Desk {
    home: Home,
    github: Github,
}

impl Desk {
    fn new() -> Self {
        let desk = Desk { home: Home::new(), github: Github::start() };
        desk.home.sandbox.write_config(&desk.github.overlay());
        desk
    }

    fn token(&self, words: &str) -> Cmd {
        self.home.cmd(&format!("token copilot {words}"))
    }
}

#[test]
fn each_file_gives_a_github_token_that_buys_the_copilot_one() {
    let hosts = json!({"github.com": {"user": "octocat", "oauth_token": "gho_octocat"}});
    let apps = json!({"github.com:Iv1.b507a08c87ecfe98":
        {"user": "octocat", "oauth_token": "gho_octocat", "githubAppId": "Iv1.b507a08c87ecfe98"}});
    for (name, file, text) in [
        ("copilot-cli", CLI, config(&json!("gho_octocat"))),
        ("copilot-cli", CLI, config(&json!({"token": "gho_octocat", "expiresAt": null}))),
        ("copilot-hosts", HOSTS, hosts.to_string()),
        ("copilot-apps", APPS, apps.to_string()),
    ] {
        let desk = Desk::new();
        let file = desk.home.put(file, &text);
        let before = snapshot(&file);
        desk.token("").run().code(4).stderr_has(&format!("keyfob source trust {name}"));
        assert!(desk.github.asked().is_empty());
        desk.home.trust(name);
        desk.token("").run().ok().stdout_is("tid=bought-with-gho_octocat\n");
        assert_eq!(desk.github.asked(), ["token gho_octocat"]);
        desk.token("--base").run().ok().stdout_is("gho_octocat\n");
        let shown = desk.token("--json").run().ok().json();
        assert_eq!(shown["api_base"], "https://api.individual.githubcopilot.com");
        assert!(shown["expires_at"].is_string());
        let env = desk.home.run("env copilot");
        env.ok().stdout_is("export COPILOT_GITHUB_TOKEN='gho_octocat'\n");
        let status = desk.home.run("status copilot --json").ok().json();
        assert_eq!(status["accounts"][0]["identity"]["subject"], "octocat");
        assert_eq!(snapshot(&file), before);
        assert!(!desk.home.sandbox.home().join("accounts").exists(), "nothing is kept");
    }
}

#[test]
fn a_token_in_the_keychain_is_not_in_the_file() {
    let desk = Desk::new();
    let user = json!({"host": "https://github.com", "login": "octocat"});
    let file = json!({"copilotTokens": {}, "loggedInUsers": [user], "lastLoggedInUser": user});
    desk.home.put(CLI, &format!("// managed\n{file}"));
    desk.home.run("source trust copilot-cli --yes").ok().stderr_has("keychain");
    desk.token("").run().code(4).stdout_is("").stderr_has("try: keyfob login copilot");
}

#[test]
fn classic_tokens_are_nobodys() {
    let desk = Desk::new();
    desk.home.put(CLI, "// x\n{\"copilotTokens\":{\"https://github.com:o\":\"ghp_classic\"}}");
    desk.home.trust("copilot-cli");
    desk.token("").run().code(4).stdout_is("");
    desk.home.put(HOSTS, "{\"github.com\":{\"user\":\"o\",\"oauth_token\":\"ghs_install\"}}");
    desk.home.trust("copilot-hosts");
    desk.token("").run().code(4).stdout_is("");
    assert!(desk.github.asked().is_empty());
}

/// OpenCode's GitHub tokens cannot be traded (404), and its client uses them at the API as they are.
#[test]
fn opencodes_token_is_used_as_it_is() {
    let desk = Desk::new();
    let entry =
        json!({"type": "oauth", "refresh": "gho_refused", "access": "gho_refused", "expires": 0});
    desk.home.put(OPENCODE, &json!({"github-copilot": entry}).to_string());
    desk.home.trust("opencode");
    desk.token("").run().ok().stdout_is("gho_refused\n");
    desk.token("--base").run().ok().stdout_is("gho_refused\n");
    let shown = desk.token("--json").run().ok().json();
    assert_eq!(shown["headers"]["Authorization"], "Bearer gho_refused");
    assert_eq!(shown["expires_at"], Value::Null);
    assert!(desk.github.asked().is_empty());
}

#[test]
fn pi_keeps_both_tokens() {
    let desk = Desk::new();
    let entry = |ttl_s| {
        let entry = json!({"type": "oauth", "refresh": "ghu_pi", "access": "tid=pi", "expires": millis(ttl_s)});
        json!({"github-copilot": entry}).to_string()
    };
    let file = desk.home.put(PI, &entry(1200));
    desk.home.trust("pi");
    desk.token("").run().ok().stdout_is("tid=pi\n");
    desk.token("--base").run().ok().stdout_is("ghu_pi\n");
    assert!(desk.github.asked().is_empty());
    // The GitHub token does not rotate: buying another one harms nobody.
    fs::write(&file, entry(-5)).unwrap();
    desk.token("").run().ok().stdout_is("tid=bought-with-ghu_pi\n");
    assert_eq!(desk.github.asked(), ["token ghu_pi"]);
}

#[test]
fn a_companys_token_does_not_travel_to_the_public_host() {
    let desk = Desk::new();
    let there = |token: &str, text: String, name: &str, file: &str| {
        desk.home.put(file, &text);
        desk.home.trust(name);
        // Its own host does not exist here.
        let out = desk.token("--timeout 3").run();
        out.check(out.status != Some(0), "no token").stdout_is("").stderr_lacks(token);
        let asked = desk.github.asked();
        assert!(!asked.iter().any(|asked| asked.contains(token)), "{asked:?}");
        desk.home.run(&format!("source forget {name}")).ok();
    };
    let hosts = json!({"keyfob-nowhere.invalid": {"user": "o", "oauth_token": "gho_company_a"}});
    there("gho_company_a", hosts.to_string(), "copilot-hosts", HOSTS);
    let cli = json!({"copilotTokens": {"https://keyfob-nowhere.invalid:o": "gho_company_b"}});
    there("gho_company_b", cli.to_string(), "copilot-cli", CLI);
    let entry = json!({"type": "oauth", "refresh": "ghu_company_c", "access": "tid=x",
        "expires": millis(-5), "enterpriseUrl": "keyfob-nowhere.invalid"});
    there("ghu_company_c", json!({"github-copilot": entry}).to_string(), "pi", PI);
    // At that host's own API, where nothing has to be traded.
    let entry = json!({"type": "oauth", "refresh": "gho_company_d", "access": "gho_company_d",
        "expires": 0, "enterpriseUrl": "keyfob-nowhere.invalid"});
    desk.home.put(OPENCODE, &json!({"github-copilot": entry}).to_string());
    desk.home.trust("opencode");
    let shown = desk.token("--json").run().ok().json();
    assert_eq!(shown["api_base"], "https://copilot-api.keyfob-nowhere.invalid");
}

#[test]
fn githubs_variables_go_first_as_the_vendor_has_it() {
    let desk = Desk::new();
    desk.home.put(CLI, &config(&json!("gho_octocat")));
    desk.home.trust("copilot-cli");
    let with = |variables: &[(&str, &str)]| {
        let cmd = desk.token("--base");
        variables.iter().fold(cmd, |cmd, (name, value)| cmd.env(name, value)).run()
    };
    let (first, second, third) = (
        ("COPILOT_GITHUB_TOKEN", "github_pat_first"),
        ("GH_TOKEN", "gho_second"),
        ("GITHUB_TOKEN", "ghu_third"),
    );
    with(&[third, second, first]).ok().stdout_is("github_pat_first\n");
    with(&[third, second]).ok().stdout_is("gho_second\n");
    with(&[third]).ok().stdout_is("ghu_third\n");
    with(&[]).ok().stdout_is("gho_octocat\n");
    let out = desk.token("").env("GH_TOKEN", "gho_second").run();
    out.ok().stdout_is("tid=bought-with-gho_second\n");
    let env = desk.home.cmd("env copilot").env("GH_TOKEN", "gho_second").run();
    env.ok().stdout_is("export GH_TOKEN='gho_second'\n");
    // A classic token is there for other programs.
    let out = with(&[("GITHUB_TOKEN", "ghp_classic")]);
    out.ok().stdout_is("gho_octocat\n").stderr_has("GITHUB_TOKEN").stderr_lacks("ghp_classic");
    // Also before an account of our own, but never before one that was named.
    let account = json!({"version": 1, "provider": "copilot", "account": "octocat",
        "kind": "oauth", "access_token": "gho_own", "token_type": "Bearer", "scopes": []});
    desk.home.sandbox.write_account("copilot", "octocat", &account);
    with(&[second]).ok().stdout_is("gho_second\n");
    with(&[]).ok().stdout_is("gho_own\n");
    let turned_away = desk.token("").env("GH_TOKEN", "gho_refused").run();
    turned_away.ok().stdout_is("tid=bought-with-gho_own\n").stderr_has("passed over");
    desk.token("").env("GH_TOKEN", "gho_busy").run().code(3).stdout_is("");
    let named = desk.home.cmd("token copilot/octocat --base").env("GH_TOKEN", "gho_second").run();
    named.ok().stdout_is("gho_own\n");
}

#[test]
fn what_github_turns_away_leads_to_the_next_place() {
    let desk = Desk::new();
    desk.home.put(CLI, &config(&json!("gho_refused")));
    let hosts = json!({"github.com": {"user": "octocat", "oauth_token": "gho_good"}});
    desk.home.put(HOSTS, &hosts.to_string());
    desk.home.trust("copilot-cli");
    let out = desk.token("").run();
    out.code(1).stdout_is("").stderr_has("gives no API token").stderr_has("keyfob login copilot");
    desk.home.trust("copilot-hosts");
    let out = desk.token("").run();
    out.ok().stdout_is("tid=bought-with-gho_good\n").stderr_has("passed over");
    desk.home.put(CLI, &config(&json!("gho_dead")));
    desk.token("").run().ok().stderr_has("passed over");
    // GitHub being down says nothing about a token.
    desk.home.put(CLI, &config(&json!("gho_busy")));
    desk.token("").run().code(3).stdout_is("");
}

#[test]
fn gh_is_run_only_by_those_who_asked_for_it() {
    let desk = Desk::new();
    let bin = desk.home.path("bin");
    fs::create_dir_all(&bin).unwrap();
    let script = "#!/bin/sh\necho \"$*\" >>\"$HOME/calls\"\ncat \"$HOME/gh-token\"\n";
    fs::write(bin.join("gh"), script).unwrap();
    fs::set_permissions(bin.join("gh"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let run = |words: &str| desk.home.cmd(words).env("PATH", &path).run();
    let calls = || fs::read_to_string(desk.home.path("calls")).unwrap_or_default();
    desk.home.put("gh-token", "gho_from_gh\n");

    run("token copilot").code(4).stdout_is("").stderr_lacks("source trust");
    run("status").code(4).stderr_lacks("GitHub CLI");
    let rows = run("source list --json").ok().json()["sources"].clone();
    assert_eq!((&rows[0]["name"], &rows[0]["state"]), (&json!("gh"), &json!("ask")));
    run("source trust gh").code(2);
    assert_eq!(calls(), "");

    run("source trust gh --yes").ok();
    run("token copilot").ok().stdout_is("tid=bought-with-gho_from_gh\n");
    assert!(calls().lines().all(|line| line == "auth token --hostname github.com"), "{}", calls());
    let rows = run("source list --json").ok().json()["sources"].clone();
    assert_eq!(
        (&rows[0]["state"], &rows[0]["providers"]),
        (&json!("trusted"), &json!(["copilot"]))
    );
    desk.home.put("gh-token", "ghp_classic");
    run("token copilot").code(4).stdout_is("");
    fs::write(bin.join("gh"), "#!/bin/sh\nexit 1\n").unwrap();
    run("token copilot").code(4).stdout_is("").stderr_has("try: gh auth login");
    // Whoever may replace it could be anybody.
    fs::set_permissions(bin.join("gh"), fs::Permissions::from_mode(0o777)).unwrap();
    run("token copilot").code(4).stdout_is("").stderr_has("others may change it");
    fs::set_permissions(bin.join("gh"), fs::Permissions::from_mode(0o755)).unwrap();
    let rows = run("source list --json").ok().json()["sources"].clone();
    assert_eq!(rows[0]["state"], "ask");
}
