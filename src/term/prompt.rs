//! Questions. Only `login`, `setup`, `source trust` and `provider add` ask any.

use std::io::{self, BufRead, IsTerminal, Read};

use crate::error::{Error, Result};
use crate::term;
use crate::text;

/// No pasted callback, secret or downloaded JSON file is longer.
const LIMIT_BYTES: u64 = 64 * 1024;

/// Whether a question can be asked: stdin and stderr are terminals and `--no-input` is absent.
pub fn is_possible(no_input: bool) -> bool {
    !no_input && io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// One line from the terminal, trimmed; empty at the end of input.
pub fn line(question: &str) -> Result<String> {
    term::ask(question);
    let mut answer = String::new();
    let stdin = io::stdin().lock();
    stdin.take(LIMIT_BYTES).read_line(&mut answer).map_err(|e| unreadable(&e))?;
    Ok(answer.trim().to_owned())
}

/// `y` or `yes`; anything else is no.
pub fn confirm(question: &str) -> Result<bool> {
    let answer = line(&format!("{question} [y/N] "))?;
    Ok(matches!(answer.to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// All of stdin, trimmed: how a secret or a callback is piped in.
pub fn piped(what: &str) -> Result<String> {
    let mut text = String::new();
    io::stdin().lock().take(LIMIT_BYTES).read_to_string(&mut text).map_err(|e| unreadable(&e))?;
    match text.trim() {
        "" => Err(Error::usage(format!("stdin holds no {what}"))),
        text => Ok(text.to_owned()),
    }
}

fn unreadable(error: &io::Error) -> Error {
    Error::usage(format!("cannot read stdin: {}", text::cause(error)))
}
