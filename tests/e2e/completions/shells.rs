//! The scripts in real shells: keys are typed at a terminal, TAB among them, and the line that comes
//! out is run.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::home;
use crate::support::running::Running;
use crate::support::sandbox::Sandbox;
use crate::support::tool;

const LIMIT: Duration = Duration::from_secs(30);

/// A shell at a terminal of its own, and what it shows.
struct Terminal {
    running: Running,
    shell: &'static str,
}

impl Terminal {
    fn start(sandbox: &Sandbox, shell: &'static str, line: &str) -> Self {
        let mut command = Command::new("script");
        command.args(["-qec", &format!("stty cols 200; exec {line}"), "/dev/null"]);
        command.env_clear().current_dir(sandbox.work()).env("PATH", tool::path());
        command.env("KEYFOB_HOME", sandbox.home()).env("HOME", sandbox.user_home());
        command.env("LANG", "C.UTF-8").env("TERM", "dumb").env("PS1", "ready> ");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().expect("script of util-linux");
        let running = Running::new(line.to_owned(), sandbox.home(), child);
        Terminal { running, shell }
    }

    /// Types the keys and waits for the text, which did not stand there before.
    #[track_caller]
    fn types(&mut self, keys: &str, wanted: &str) {
        let before = self.running.stdout().len();
        self.running.write_stdin(keys);
        let deadline = Instant::now() + LIMIT;
        while !self.running.stdout()[before..].contains(wanted) {
            let shown = self.running.stdout();
            assert!(
                Instant::now() < deadline,
                "{}: no {wanted:?} after {keys:?}:\n{shown}",
                self.shell
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// TAB, then the line is run: what the command prints shows what was completed.
fn complete_in(terminal: &mut Terminal) {
    terminal.types("keyfob vers\t", "version");
    terminal.types("\r", concat!("keyfob ", env!("CARGO_PKG_VERSION")));
    terminal.types("keyfob token groq/m\t", "groq/me@example.com");
    terminal.types("\r", "gsk-of-me@example.com");
    // In the middle of a name that the shell cuts at the sign.
    terminal.types("keyfob token groq/me@\t", "example.com ");
    terminal.types("\r", "gsk-of-me@example.com");
    terminal.types("keyfob env groq/d\t --shell=js\t", "--shell=json");
    terminal.types("\r", "{\"GROQ_API_KEY\":\"gsk-of-default\"}");
    terminal.types("keyfob exec gr\t-- printf '<%s>' x\r", "<x>");
}

#[test]
fn bash_completes_at_its_prompt() {
    if !tool::is_installed("bash") {
        return;
    }
    let sandbox = home();
    let mut terminal = Terminal::start(&sandbox, "bash", "bash --norc --noprofile -i");
    terminal.types("source <(keyfob completions bash); echo sour''ced\n", "sourced");
    complete_in(&mut terminal);
    // All there is, once it is ambiguous.
    terminal.types("keyfob env groq --shell=\t\t", "powershell");
    terminal.types("\u{15}keyfob git-credential my-idp \t\t", "erase");
    // Files where no word of ours fits.
    std::fs::write(sandbox.work().join("exported-file.json"), "{}").unwrap();
    terminal.types("\u{15}keyfob import expo\t", "exported-file.json");
}

/// What programmable completion hands over, without a terminal (bash(1), COMP_LINE and COMP_POINT).
#[test]
fn bash_uses_the_line_up_to_the_cursor() {
    let sandbox = home();
    let script = r#"source <(keyfob completions bash)
        complete -p keyfob
        COMP_LINE='keyfob token groq/me@ --json' COMP_POINT=21
        COMP_WORDS=(keyfob token groq/me @ --json) COMP_CWORD=3
        _keyfob; printf '<%s>' "${COMPREPLY[@]}"
        COMP_LINE='keyfob ' COMP_POINT=7 COMP_WORDS=(keyfob '') COMP_CWORD=1
        _keyfob; echo "${#COMPREPLY[@]}"
        COMP_LINE='keyfob token $(touch mark)' COMP_POINT=26 COMP_WORDS=(keyfob token '$(touch mark)')
        COMP_CWORD=2; _keyfob; echo "${#COMPREPLY[@]}""#;
    let output = tool::run(&sandbox, &["bash", "-c", script], "");
    let lines: Vec<_> = output.ok().stdout.lines().collect();
    assert_eq!(lines[0], "complete -o default -F _keyfob keyfob");
    // The word that bash replaces begins with the sign.
    let count = lines[1].strip_prefix("<@example.com>");
    let count: usize = count.unwrap_or_else(|| panic!("{}", output.report())).parse().unwrap();
    assert!(count > 15, "{}", output.report());
    assert_eq!(lines[2], "0");
    assert!(!sandbox.work().join("mark").exists(), "nothing of the line is run");
}

#[test]
fn zsh_completes_at_its_prompt() {
    if !tool::is_installed("zsh") {
        return;
    }
    let sandbox = home();
    let folder = sandbox.work().join("functions");
    std::fs::create_dir(&folder).unwrap();
    let script = sandbox.cmd(&["completions", "zsh"]).run().ok().stdout.clone();
    std::fs::write(folder.join("_keyfob"), script).unwrap();
    let mut terminal = Terminal::start(&sandbox, "zsh", "zsh -f -i");
    let begin =
        "fpath=($PWD/functions $fpath); autoload -Uz compinit && compinit -u -D; echo load''ed\r";
    terminal.types(begin, "loaded");
    complete_in(&mut terminal);
}

/// `source <(keyfob completions zsh)` in .zshrc does as well.
#[test]
fn zsh_takes_the_script_in_its_configuration() {
    if !tool::is_installed("zsh") {
        return;
    }
    let sandbox = home();
    let mut terminal = Terminal::start(&sandbox, "zsh", "zsh -f -i");
    let begin = "autoload -Uz compinit && compinit -u -D; source <(keyfob completions zsh); echo load''ed\r";
    terminal.types(begin, "loaded");
    terminal.types("keyfob token groq/m\t\r", "gsk-of-me@example.com");
}

#[test]
fn fish_offers_what_there_is() {
    if !tool::is_installed("fish") {
        return;
    }
    let sandbox = home();
    std::fs::write(sandbox.work().join("exported-file.json"), "{}").unwrap();
    let offers = |line: &str| {
        let script = format!("keyfob completions fish | source; complete -C'{line}'");
        let output = tool::run(&sandbox, &["fish", "--no-config", "-c", &script], "");
        output.ok().check(output.stderr.is_empty(), "nothing on stderr");
        output.stdout.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(offers("keyfob log"), ["login", "logout"]);
    assert_eq!(offers("keyfob token groq/"), ["groq/default", "groq/me@example.com"]);
    assert_eq!(offers("keyfob env groq --shell p"), ["powershell"]);
    assert_eq!(offers("keyfob env groq --shell=p"), ["--shell=powershell"]);
    assert_eq!(offers("keyfob account "), ["set"]);
    assert!(offers("keyfob ").len() > 15);
    assert_eq!(offers("keyfob import expo"), ["exported-file.json"]);
}
