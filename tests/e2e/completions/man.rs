//! Manual pages: one for each command, from the definitions that `--help` shows.

use crate::support::sandbox::Sandbox;
use crate::support::tool;

/// Every command and subcommand; the first is keyfob itself.
fn commands(sandbox: &Sandbox) -> Vec<Vec<String>> {
    let mut all = vec![Vec::new()];
    let mut at = 0;
    while at < all.len() {
        let path: Vec<String> = all[at].clone();
        let words: Vec<_> = path.iter().map(String::as_str).chain(["--help"]).collect();
        let help = sandbox.cmd(&words).run().ok().stdout.clone();
        let list = help.lines().skip_while(|line| *line != "Commands:").skip(1);
        let list = list.take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("   "));
        let names = list.filter_map(|line| line.split_whitespace().next());
        all.extend(names.map(|name| [&path[..], &[name.to_owned()]].concat()));
        at += 1;
    }
    assert!(all.len() > 25, "{all:?}");
    all
}

fn page(sandbox: &Sandbox, path: &[String]) -> String {
    let words: Vec<_> = path.iter().map(String::as_str).collect();
    let output = sandbox.cmd(&[&["completions", "man"], &words[..]].concat()).run();
    output.ok().check(output.stderr.is_empty(), "nothing on stderr");
    output.stdout.clone()
}

#[test]
fn every_command_has_a_page_that_tells_its_flags() {
    let sandbox = Sandbox::new();
    for path in commands(&sandbox) {
        let text = page(&sandbox, &path);
        let title = [&["keyfob".to_owned()], &path[..]].concat().join("-");
        assert!(text.starts_with(&format!(".TH {} 1 ", title.to_uppercase())), "{text}");
        for head in [".SH NAME", ".SH SYNOPSIS", ".SH DESCRIPTION", ".SH OPTIONS"] {
            assert!(text.lines().any(|line| line == head), "{title}: {head}");
        }
        let name = format!("{} \\- ", title.replace('-', "\\-"));
        assert!(text.lines().any(|line| line.starts_with(&name)), "{title}: {name}");
        assert!(text.is_ascii(), "{title}");
        let words: Vec<_> = path.iter().map(String::as_str).chain(["--help"]).collect();
        let help = sandbox.cmd(&words).run().ok().stdout.clone();
        let flags = help.lines().skip_while(|line| *line != "Options:");
        let flags = flags.take_while(|line| !line.is_empty());
        let flags = flags.filter_map(|line| line.strip_prefix("  --"));
        for flag in flags.filter_map(|line| line.split_whitespace().next()) {
            let told = format!("\\fB\\-\\-{}\\fR", flag.replace('-', "\\-"));
            assert!(text.contains(&told), "{title} tells of --{flag}");
        }
    }
    assert!(!sandbox.home().exists());
    sandbox.cmd(&["completions", "man", "nosuch"]).run().code(2).stdout_is("");
}

#[test]
fn mandoc_finds_no_fault() {
    if !tool::is_installed("mandoc") {
        return;
    }
    let sandbox = Sandbox::new();
    for path in commands(&sandbox) {
        let text = page(&sandbox, &path);
        // No date: the same source gives the same page. Long lines are filled by the reader.
        let output = tool::run(&sandbox, &["mandoc", "-T", "lint", "-W", "warning"], &text);
        let told: Vec<_> =
            output.stdout.lines().filter(|line| !line.contains("missing date")).collect();
        assert!(told.is_empty(), "{path:?}: {told:?}\n{text}");
    }
}

#[test]
fn groff_finds_no_fault() {
    if !tool::is_installed("groff") {
        return;
    }
    let sandbox = Sandbox::new();
    for path in commands(&sandbox) {
        let text = page(&sandbox, &path);
        let output = tool::run(&sandbox, &["groff", "-man", "-ww", "-Tutf8"], &text);
        output.ok().check(output.stderr.is_empty(), "no warning");
    }
}

/// What stands in an example can be pasted: no typographic quotes, no hyphens.
#[test]
fn examples_are_shown_as_they_are_typed() {
    if !tool::is_installed("mandoc") {
        return;
    }
    let sandbox = Sandbox::new();
    for (command, line) in [
        ("git-credential", "keyfob config set providers.my-idp.git_hosts '[\"git.example.com\"]'"),
        ("completions", "keyfob completions zsh >~/.zfunc/_keyfob"),
        ("env", "eval \"$(keyfob env openai)\""),
        ("account set", "keyfob account set claude/work priority=10 note=\"billed to research\""),
    ] {
        let path: Vec<_> = command.split(' ').map(str::to_owned).collect();
        let words = ["mandoc", "-T", "utf8", "-O", "width=200"];
        let output = tool::run(&sandbox, &words, &page(&sandbox, &path));
        output.ok().check(output.stdout.contains(line), line);
    }
}
