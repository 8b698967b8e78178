//! A manual page in roff, from the definitions that `--help` shows.

use argh::{CommandInfoWithArgs, FlagInfoKind, Optionality};

use crate::error::{Error, Result};
use crate::term;

/// `path` names the command; empty, it is keyfob itself.
pub fn print(top: &CommandInfoWithArgs, path: &[String]) -> Result<()> {
    let mut command = top;
    for word in path {
        let found = command.commands.iter().find(|known| known.name == word);
        command = &found
            .ok_or_else(|| Error::usage("there is no such command").or_try("keyfob --help"))?
            .command;
    }
    let name = [&["keyfob".to_owned()], path].concat();
    term::print(page(command, &name).trim_end())
}

fn page(command: &CommandInfoWithArgs, name: &[String]) -> String {
    let (title, typed) = (name.join("-"), name.join(" "));
    let summary = command.description.split(['.', ';']).next().unwrap_or_default();
    let mut out = format!(
        ".TH {} 1 \"\" \"keyfob {}\" \"keyfob manual\"\n.SH NAME\n{} \\- {}\n.SH SYNOPSIS\n.B {}\n",
        title.to_uppercase(),
        env!("CARGO_PKG_VERSION"),
        escaped(&title),
        escaped(summary),
        escaped(&typed),
    );
    if !command.flags.is_empty() {
        out.push_str("[\\fIoptions\\fR]\n");
    }
    if !command.commands.is_empty() {
        out.push_str("\\fIcommand\\fR\n");
    }
    for positional in command.positionals {
        let shown = escaped(positional.name);
        out.push_str(&match positional.optionality {
            Optionality::Required => format!("\\fI{shown}\\fR\n"),
            Optionality::Optional => format!("[\\fI{shown}\\fR]\n"),
            _ => format!("[\\fI{shown}\\fR...]\n"),
        });
    }
    out.push_str(&format!(".SH DESCRIPTION\n{}\n", escaped(command.description)));
    for note in command.notes {
        out.push_str(&format!(".PP\n{}\n", escaped(note)));
    }
    section(
        &mut out,
        "COMMANDS",
        command
            .commands
            .iter()
            .map(|known| (format!("\\fB{}\\fR", escaped(known.name)), known.command.description)),
    );
    section(
        &mut out,
        "ARGUMENTS",
        command.positionals.iter().map(|positional| {
            (format!("\\fI{}\\fR", escaped(positional.name)), positional.description)
        }),
    );
    section(
        &mut out,
        "OPTIONS",
        command.flags.iter().filter(|flag| !flag.hidden).map(|flag| {
            let value = match flag.kind {
                FlagInfoKind::Option { arg_name } => format!(" \\fI{}\\fR", escaped(arg_name)),
                FlagInfoKind::Switch => String::new(),
            };
            (format!("\\fB{}\\fR{value}", escaped(flag.long)), flag.description)
        }),
    );
    if !command.examples.is_empty() {
        out.push_str(".SH EXAMPLES\n");
        let examples = command.examples.iter().map(|e| format!(".nf\n{}\n.fi\n", escaped(e)));
        out.push_str(&examples.collect::<Vec<_>>().join(".PP\n"));
    }
    if !command.error_codes.is_empty() {
        out.push_str(".SH EXIT STATUS\n");
        for code in command.error_codes {
            out.push_str(&format!(".TP\n{}\n{}\n", code.code, escaped(code.description)));
        }
    }
    out
}

fn section<'a>(out: &mut String, head: &str, entries: impl Iterator<Item = (String, &'a str)>) {
    for (at, (term, text)) in entries.enumerate() {
        if at == 0 {
            out.push_str(&format!(".SH {head}\n"));
        }
        out.push_str(&format!(".TP\n{term}\n{}\n", escaped(text)));
    }
}

/// roff reads a dot at a line's start as its own, `-` as a hyphen and ASCII's quotes as those of print,
/// which no shell takes back; what is not ASCII has no place in it.
fn escaped(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let guard = if line.starts_with('.') { "\\&" } else { "" };
        line.chars().fold(guard.to_owned(), |mut out, c| {
            match c {
                '\\' => out.push_str("\\e"),
                '-' => out.push_str("\\-"),
                '\'' => out.push_str("\\(aq"),
                '`' => out.push_str("\\(ga"),
                '^' => out.push_str("\\(ha"),
                '~' => out.push_str("\\(ti"),
                c if c.is_ascii() => out.push(c),
                c => out.push_str(&format!("\\[u{:04X}]", u32::from(c))),
            }
            out
        })
    });
    lines.collect::<Vec<_>>().join("\n")
}
