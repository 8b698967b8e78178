//! From argv to what argh understands, and from its answers to ours.

use std::ffi::OsString;

use argh::SubCommands;

use crate::commands::Command;
use crate::error::{Error, Result};

/// argv as argh understands it: text, `--name=value` split, `help` in its place. What stands after
/// the `--` of `exec` belongs to another program and comes back as it is.
pub fn arguments() -> Result<(Vec<String>, Vec<OsString>)> {
    let mut args: Vec<String> = Vec::new();
    let mut is_tail = false;
    let mut raw = std::env::args_os().skip(1);
    while let Some(arg) = raw.next() {
        is_tail |= arg == "--";
        if is_tail && args.first().is_some_and(|first| first == "exec") {
            return Ok((args, raw.collect()));
        }
        let arg = arg.into_string().map_err(|_| Error::usage("an argument is not UTF-8"))?;
        // Other tools' names for the same flag.
        let is_device = !is_tail && matches!(arg.as_str(), "--device-auth" | "--device-code");
        let arg = if is_device { "--device".to_owned() } else { arg };
        match arg.split_once('=') {
            Some((name, value)) if !is_tail && name.starts_with("--") => {
                args.extend([name.to_owned(), value.to_owned()]);
            }
            _ => args.push(arg),
        }
    }
    if args.first().is_some_and(|first| first == "help") {
        args.remove(0);
        args.push("--help".to_owned());
    }
    // A lone dash is a flag to argh, unless it stands behind `--`.
    let reads_stdin =
        args.first().is_some_and(|first| ["config", "import", "run"].contains(&first.as_str()));
    if let Some(at) = lone_dash(&args).filter(|_| reads_stdin && !is_tail) {
        args.remove(at);
        args.extend(["--".to_owned(), "-".to_owned()]);
    }
    Ok((args, Vec::new()))
}

/// A dash that is an argument of its own and no option's value.
fn lone_dash(args: &[String]) -> Option<usize> {
    const SWITCHES: [&str; 4] = ["--json", "--no-stream", "--replace", "--silent"];
    let is_alone =
        |before: &String| !before.starts_with("--") || SWITCHES.contains(&before.as_str());
    let mut pairs = args.windows(2);
    pairs.position(|pair| pair[1] == "-" && is_alone(&pair[0])).map(|at| at + 1)
}

/// argh repeats values in its messages, and a pasted address or key may be among them.
pub fn wrong_call(output: &str, words: &[&str]) -> Error {
    if words.iter().any(|word| word.contains("code=") && word.contains("state=")) {
        let what = "a pasted address goes to --callback-url, or to its stdin";
        return Error::usage(what).or_try("keyfob login --callback-url -");
    }
    let commands = <Command as SubCommands>::COMMANDS;
    let is_command = |word: &str| commands.iter().any(|known| known.name == word);
    let first = words.first().copied().filter(|word| !word.starts_with('-'));
    let Some(command) = first.filter(|word| is_command(word)) else {
        let what = first.map_or(output.trim(), |_| "there is no such command");
        return Error::usage(crate::text::harmless(what, 500)).or_try("keyfob --help");
    };
    let stray = output.strip_prefix("Unrecognized argument: ");
    let what = match output.split_once(" with value '") {
        Some((before, after)) => {
            let why = after.rsplit_once("': ").map_or("", |(_, why)| why);
            format!("{before}: {why}")
        }
        None if stray.is_some_and(|word| !word.starts_with('-')) => {
            "there is one argument too many".to_owned()
        }
        None => output.to_owned(),
    };
    let help = format!("keyfob {command} --help");
    Error::usage(crate::text::harmless(&what, 500)).or_try(help)
}

/// argh leaves the usage line and a command's own description unwrapped.
pub fn wrapped(help: &str) -> String {
    const WIDTH: usize = 80;
    let mut lines = Vec::new();
    for line in help.lines() {
        let indent = if line.starts_with("Usage:") { "       " } else { "" };
        let mut rest = line.to_owned();
        while let Some(at) =
            rest.get(..WIDTH).filter(|_| rest.len() > WIDTH).and_then(|s| s.rfind(' '))
        {
            if at <= indent.len() {
                break;
            }
            let tail = rest.split_off(at);
            lines.push(std::mem::replace(&mut rest, format!("{indent}{}", tail.trim_start())));
        }
        lines.push(rest);
    }
    lines.join("\n")
}
