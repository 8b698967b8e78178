//! Values with every character that a shell takes for its own, evaluated by the shells themselves.

use super::{NASTY, name, odd};
use crate::support::tool;

/// Ends each value: none of them holds it.
const END: &str = "<end>\n";

fn all() -> String {
    NASTY.iter().map(|value| format!("{value}{END}")).collect()
}

/// A command that prints each variable as it is.
fn printf() -> String {
    let names: Vec<_> = (0..NASTY.len()).map(|at| format!("\"${}\"", name(at))).collect();
    format!("printf '%s<end>\\n' {}", names.join(" "))
}

#[track_caller]
fn evaluates(shell: &[&str], line: &str) {
    if !tool::is_installed(shell[0]) {
        return;
    }
    let sandbox = odd();
    let script = format!("{line}\n{}", printf());
    let words = [shell, &["-c", &script]].concat();
    let output = tool::run(&sandbox, &words, "");
    output.ok().stdout_is(&all());
    output.check(output.stderr.is_empty(), "nothing on stderr");
    // A child sees them too: they are exported.
    let script = format!("{line}\nsh -c '{}'", printf().replace('\'', "'\"'\"'"));
    if shell[0] != "fish" {
        let words = [shell, &["-c", &script]].concat();
        tool::run(&sandbox, &words, "").ok().stdout_is(&all());
    }
}

const EVAL: &str = "eval \"$(keyfob env odd)\"";

#[test]
fn sh_reads_every_value_back() {
    evaluates(&["sh"], EVAL);
    evaluates(&["sh"], "keyfob env odd >set.sh && . ./set.sh");
}

#[test]
fn dash_reads_every_value_back() {
    evaluates(&["dash"], EVAL);
    evaluates(&["dash", "-eu"], EVAL);
}

#[test]
fn bash_reads_every_value_back() {
    evaluates(&["bash"], EVAL);
    evaluates(&["bash", "--posix"], EVAL);
    // With history expansion, as a person has it.
    evaluates(&["bash", "-H"], EVAL);
    evaluates(&["bash"], "source <(keyfob env odd --shell bash)");
}

#[test]
fn zsh_reads_every_value_back() {
    evaluates(&["zsh", "-f"], EVAL);
    evaluates(&["zsh", "-f"], "setopt rcquotes; eval \"$(keyfob env odd --shell zsh)\"");
}

#[test]
fn ksh_reads_every_value_back() {
    evaluates(&["ksh"], EVAL);
}

#[test]
fn fish_reads_every_value_back() {
    evaluates(&["fish", "--no-config"], "keyfob env odd --shell fish | source");
}

#[test]
fn fish_exports_to_children() {
    if !tool::is_installed("fish") {
        return;
    }
    let line =
        "keyfob env odd --shell fish | source; python3 -c 'import os; print(os.environ[\"V00\"])'";
    if tool::is_installed("python3") {
        tool::run(&odd(), &["fish", "--no-config", "-c", line], "").ok().stdout_is("it's\n");
    }
}

#[test]
fn powershell_reads_every_value_back() {
    if !tool::is_installed("pwsh") {
        return;
    }
    let print = (0..NASTY.len())
        .map(|at| format!("[Console]::Out.Write($env:{} + \"<end>`n\")\n", name(at)))
        .collect::<String>();
    let line = format!(
        "$OutputEncoding = [Console]::OutputEncoding = [Text.Encoding]::UTF8\n\
         keyfob env odd --shell powershell | Out-String | Invoke-Expression\n{print}"
    );
    let output = tool::run(&odd(), &["pwsh", "-NoProfile", "-Command", &line], "");
    output.ok().stdout_is(&all());
}

/// The rule of about_Quoting_Rules: a single quote is doubled, and PowerShell takes four typographic
/// ones for it; nothing else is special.
#[test]
fn powershells_quotes_are_doubled() {
    let output = odd().cmd(&["env", "odd", "--shell", "powershell"]).run();
    let has = |line: &str| {
        output.check(output.stdout.contains(line), line);
    };
    has("${env:V00} = 'it''s'\n");
    has("${env:V06} = '$HOME ${HOME} $$ $(echo no)'\n");
    has("${env:V07} = '`echo no`'\n");
    has("${env:V16} = 'ünïcödé ‘‘single’’ “double” ‚‚low‛‛'\n");
    let same = odd().cmd(&["env", "odd", "--shell", "pwsh"]).run();
    assert_eq!(same.ok().stdout, output.ok().stdout);
}

/// What needs no shell at all: the child of `exec` gets the same.
#[test]
fn exec_hands_on_every_value() {
    let sandbox = odd();
    let output = sandbox.cmd(&["exec", "odd", "--", "sh", "-c", &printf()]).run();
    output.ok().stdout_is(&all());
}

#[test]
fn json_holds_every_value() {
    let sandbox = odd();
    let output = sandbox.cmd(&["env", "odd", "--shell", "json"]).run();
    let env = output.ok().json()["env"].clone();
    for (at, value) in NASTY.iter().enumerate() {
        assert_eq!(env[name(at)], **value, "{}", name(at));
    }
    assert_eq!(sandbox.cmd(&["env", "odd", "--json"]).run().stdout, output.stdout);
}
