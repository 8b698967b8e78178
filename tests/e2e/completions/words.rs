//! `completions words -- WORD…`, which the scripts ask.

use super::home;
use crate::support::sandbox::{Sandbox, set_mode};

fn offered(sandbox: &Sandbox, line: &str) -> Vec<String> {
    let words: Vec<_> = line.split(' ').collect();
    let output = sandbox.cmd(&[&["completions", "words", "--"], &words[..]].concat()).run();
    output.ok().check(output.stderr.is_empty(), "nothing on stderr");
    output.stdout.lines().map(str::to_owned).collect()
}

#[test]
fn every_command_of_the_help_is_offered() {
    let sandbox = home();
    let help = sandbox.cmd(&["--help"]).run().ok().stdout.clone();
    let list = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let list = list.take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("   "));
    let mut wanted: Vec<_> = list.filter_map(|line| line.split_whitespace().next()).collect();
    wanted.sort_unstable();
    assert!(wanted.len() > 15, "{wanted:?}");
    assert_eq!(offered(&sandbox, ""), wanted);
    assert_eq!(offered(&sandbox, "lo"), ["login", "logout"]);
    assert_eq!(offered(&sandbox, "pending "), ["cancel", "list"]);
    assert_eq!(offered(&sandbox, "account s"), ["set"]);
}

#[test]
fn every_flag_of_the_help_is_offered() {
    let sandbox = home();
    for command in ["login", "token", "env", "exec", "provider add", "audit", "import"] {
        let words: Vec<_> = command.split(' ').chain(["--help"]).collect();
        let help = sandbox.cmd(&words).run().ok().stdout.clone();
        let flags = help.lines().filter_map(|line| line.strip_prefix("  --"));
        let flags = flags.filter_map(|line| line.split_whitespace().next());
        let mut wanted: Vec<_> = flags.map(|flag| format!("--{flag}")).collect();
        wanted.push("--help".to_owned());
        wanted.sort_unstable();
        assert_eq!(offered(&sandbox, &format!("{command} -")), wanted, "{command}");
    }
    assert_eq!(offered(&sandbox, "login groq --print"), ["--print-auth-url"]);
}

#[test]
fn providers_and_accounts_of_this_machine_are_offered() {
    let sandbox = home();
    let all = offered(&sandbox, "token ");
    assert!(all.contains(&"groq".to_owned()) && all.contains(&"my-idp".to_owned()), "{all:?}");
    assert!(!all.iter().any(|name| name.contains('/')), "accounts come after the slash");
    assert_eq!(offered(&sandbox, "token my-"), ["my-idp"]);
    assert_eq!(offered(&sandbox, "token groq/"), ["groq/default", "groq/me@example.com"]);
    assert_eq!(offered(&sandbox, "logout groq/m"), ["groq/me@example.com"]);
    assert_eq!(offered(&sandbox, "env openai groq/d"), ["groq/default"]);
    assert_eq!(offered(&sandbox, "use groq/d"), ["groq/default"]);
    assert_eq!(offered(&sandbox, "token --min-ttl 60 my-"), ["my-idp"]);
    assert_eq!(offered(&sandbox, "provider show my-"), ["my-idp"]);
    assert!(offered(&sandbox, "token groq gr").is_empty(), "one account only");
}

#[test]
fn logins_under_way_are_offered_by_id() {
    let sandbox = home();
    let begun = sandbox.cmd(&["login", "claude", "--print-auth-url", "--json", "--accept-terms"]);
    let id = begun.run().ok().json()["login_id"].as_str().unwrap().to_owned();
    assert_eq!(offered(&sandbox, "pending cancel "), [id]);
}

#[test]
fn values_of_flags_are_offered() {
    let sandbox = home();
    let shells = ["dotenv", "fish", "json", "powershell", "sh"];
    assert_eq!(offered(&sandbox, "env groq --shell "), shells);
    assert_eq!(offered(&sandbox, "env groq --shell=f"), ["--shell=fish"]);
    assert_eq!(offered(&sandbox, "token groq --format "), ["kubectl"]);
    assert_eq!(offered(&sandbox, "git-credential my-idp "), ["erase", "get", "store"]);
    assert_eq!(offered(&sandbox, "completions z"), ["zsh"]);
    // Files are the shell's to offer, and what another program takes is not ours.
    for line in ["import ", "exec groq -- ", "exec groq -- --", "login --callback-url ", "nosuch x"]
    {
        assert!(offered(&sandbox, line).is_empty(), "{line}");
    }
}

/// TAB is no place for an error, and nothing is written.
#[test]
fn a_home_that_cannot_be_read_offers_what_is_known() {
    let sandbox = Sandbox::new();
    assert!(offered(&sandbox, "token cl").contains(&"claude".to_owned()));
    assert!(!sandbox.home().exists());
    let broken = home();
    std::fs::write(broken.home().join("config.json"), "{broken").unwrap();
    set_mode(&broken.home().join("config.json"), 0o600);
    let words = ["completions", "words", "--", "token", "groq/"];
    let output = broken.cmd(&words).run();
    output.check(!output.stderr.contains("panicked"), "no panic");
    assert_eq!(offered(&broken, "lo"), ["login", "logout"]);
}

#[test]
fn an_unknown_shell_is_told() {
    let sandbox = home();
    let output = sandbox.cmd(&["completions", "tcsh"]).run();
    output
        .code(2)
        .stdout_is("")
        .stderr_has("bash, zsh, fish")
        .stderr_has("try: keyfob completions");
    sandbox.cmd(&["completions"]).run().code(2).stdout_is("");
}
