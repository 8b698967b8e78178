//! `keyfob completions`: scripts for shells, and man pages, from the same definitions as `--help`.

mod man;

use argh::{ArgsInfo, CommandInfoWithArgs, FlagInfoKind, FromArgs, Optionality};

use crate::commands::{App, Top};
use crate::error::{Error, Result};
use crate::term;

/// Prints the completion script of a shell, or a man page.
#[derive(ArgsInfo, FromArgs)]
#[argh(
    subcommand,
    name = "completions",
    help_triggers("-h", "--help"),
    example = "keyfob completions bash >~/.local/share/bash-completion/completions/keyfob\n\
               keyfob completions zsh >~/.zfunc/_keyfob\n\
               keyfob completions fish >~/.config/fish/completions/keyfob.fish\n\
               keyfob completions man login | man -l -",
    note = "The scripts ask keyfob completions words -- WORDS, which knows your\n\
            providers and accounts too."
)]
pub struct Completions {
    /// bash, zsh, fish, man, or words (what may stand at the end of the words given)
    #[argh(positional)]
    what: String,

    /// man: of which command; words: the command line so far
    #[argh(positional, arg_name = "word")]
    words: Vec<String>,
}

const BASH: &str = r#"_keyfob() {
    local line=${COMP_LINE:0:COMP_POINT} IFS=$' \t\n'
    local -a words
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    local current=${words[${#words[@]}-1]}
    IFS=$'\n'
    COMPREPLY=($(keyfob completions words -- "${words[@]:1}" 2>/dev/null))
    # bash has cut the word at : = and @; what stands before the cut stays on the line.
    local cut=${COMP_WORDS[COMP_CWORD]}
    [[ $cut == [=:] ]] && cut=
    local before=${current%"$cut"}
    COMPREPLY=("${COMPREPLY[@]#"$before"}")
    [[ ${COMPREPLY[0]-} == */ ]] && compopt -o nospace
}
complete -o default -F _keyfob keyfob
"#;

const ZSH: &str = r#"#compdef keyfob
_keyfob() {
    local -a found
    found=("${(@f)$(keyfob completions words -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    found=("${(@)found:#}")
    if (( ${#found} )); then compadd -- "${found[@]}"; else _files; fi
}
if [[ ${funcstack[1]} == _keyfob ]]; then _keyfob "$@"; else compdef _keyfob keyfob; fi
"#;

const FISH: &str = r#"function __keyfob
    set -l words (commandline -opc) (commandline -ct)
    set -l found (keyfob completions words -- $words[2..-1] 2>/dev/null)
    if set -q found[1]
        printf '%s\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end
complete -c keyfob -f -a '(__keyfob)'
"#;

pub fn run(args: &Completions) -> Result<()> {
    let top = Top::get_args_info();
    match args.what.as_str() {
        "bash" => term::print(BASH.trim_end()),
        "zsh" => term::print(ZSH.trim_end()),
        "fish" => term::print(FISH.trim_end()),
        "man" => man::print(&top, &args.words),
        "words" => {
            let found = candidates(&top, &args.words);
            if found.is_empty() { Ok(()) } else { term::print(&found.join("\n")) }
        }
        _ => Err(Error::usage("completions are for bash, zsh, fish; man prints a manual page")
            .or_try("keyfob completions bash")),
    }
}

/// What may stand in place of the last word.
fn candidates(top: &CommandInfoWithArgs, words: &[String]) -> Vec<String> {
    let Some((current, before)) = words.split_last() else { return Vec::new() };
    let mut command = top;
    let mut takes_value = None;
    let mut given = 0;
    for word in before {
        if takes_value.take().is_some() {
            continue;
        }
        if word == "--" {
            return Vec::new();
        }
        if let Some(found) = command.commands.iter().find(|known| known.name == word) {
            command = &found.command;
        } else if word.starts_with("--") && !word.contains('=') {
            let flag = command.flags.iter().find(|flag| flag.long == word);
            takes_value = flag.filter(|flag| matches!(flag.kind, FlagInfoKind::Option { .. }));
        } else if !word.starts_with('-') {
            given += 1;
        }
    }
    let mut found = if let Some(flag) = takes_value {
        values_of(flag.long)
    } else if let Some((flag, _)) = current.split_once('=').filter(|_| current.starts_with("--")) {
        values_of(flag).iter().map(|value| format!("{flag}={value}")).collect()
    } else if current.starts_with('-') {
        let shown = command.flags.iter().filter(|flag| !flag.hidden);
        shown.map(|flag| flag.long.to_owned()).chain(["--help".to_owned()]).collect()
    } else if !command.commands.is_empty() {
        command.commands.iter().map(|known| known.name.to_owned()).collect()
    } else {
        // The last one may be given any number of times.
        let last = command.positionals.last().filter(|last| is_repeated(&last.optionality));
        let wanted = command.positionals.get(given).or(last);
        wanted.map(|wanted| names(wanted.name, current)).unwrap_or_default()
    };
    found.retain(|candidate| candidate.starts_with(current.as_str()));
    found.sort();
    found.dedup();
    found
}

fn is_repeated(optionality: &Optionality) -> bool {
    matches!(optionality, Optionality::Repeating | Optionality::Greedy)
}

fn values_of(flag: &str) -> Vec<String> {
    let values: &[&str] = match flag {
        "--shell" => &["sh", "fish", "powershell", "dotenv", "json"],
        "--format" => &["kubectl"],
        "--access-tier" => &["full", "readonly"],
        _ => &[],
    };
    values.iter().map(|value| (*value).to_owned()).collect()
}

/// Providers and accounts of this machine; nothing where they cannot be read.
fn names(positional: &str, current: &str) -> Vec<String> {
    let Ok(app) = App::new(None) else { return Vec::new() };
    match positional {
        "account" | "accounts" | "provider" | "name" => {
            let accounts = app.store.all_accounts().unwrap_or_default();
            let accounts = accounts.iter().map(ToString::to_string);
            // Accounts of a provider come once its name and the slash stand.
            let accounts = accounts.filter(|_| current.contains('/'));
            let rows = app.providers.readable().unwrap_or_default();
            let rows = rows.iter().map(|(row, _)| row.id.clone());
            accounts.chain(rows).collect()
        }
        "id" => {
            let pending = app.store.pending(crate::time::Timestamp::now()).unwrap_or_default();
            pending.into_iter().map(|login| login.login_id).collect()
        }
        "operation" => ["erase", "get", "store"].map(str::to_owned).to_vec(),
        "what" => ["bash", "fish", "man", "zsh"].map(str::to_owned).to_vec(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(line: &str) -> Vec<String> {
        let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
        candidates(&Top::get_args_info(), &words)
    }

    #[test]
    fn commands_flags_and_values_are_offered() {
        assert!(after("lo").contains(&"login".to_owned()) && after("lo").len() == 2);
        assert!(after("login --print").contains(&"--print-auth-url".to_owned()));
        assert_eq!(after("provider a"), ["add"]);
        assert_eq!(after("env x --shell f"), ["fish"]);
        assert!(after("login --callback-url ").is_empty());
        assert!(after("exec openai -- l").is_empty());
        assert_eq!(after("env x --shell=p"), ["--shell=powershell"]);
        assert_eq!(after("git-credential my-idp g"), ["get"]);
        assert!(after("git-credential my-idp get x").is_empty());
    }
}
