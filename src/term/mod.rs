//! The only files that touch the terminal or start an opener.
//! stdout carries what was asked for, stderr everything meant for the person. A closed stream
//! never makes a command panic.

pub mod keys;
pub mod opener;
pub mod prompt;

use std::io::{self, ErrorKind, IsTerminal, Write};

use crate::error::{Error, Result};
use crate::text;

/// One line of data on stdout. A reader that went away is no error.
pub fn print(line: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    let written = out.write_all(line.as_bytes()).and_then(|()| out.write_all(b"\n"));
    match written.and_then(|()| out.flush()) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => {
            Err(Error::failed(format!("cannot write to stdout: {}", text::cause(&e))))
        }
        _ => Ok(()),
    }
}

/// A piece of data on stdout, as it is; false when the reader went away.
pub fn print_piece(text: &str) -> Result<bool> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(e) => Err(Error::failed(format!("cannot write to stdout: {}", text::cause(&e)))),
    }
}

/// Lines of cells as columns, each as wide as its widest cell.
pub fn columns<const N: usize>(lines: &[[String; N]]) -> String {
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max();
    let widths: Vec<_> = (0..N).map(|column| width(column).unwrap_or(0)).collect();
    let print = |line: &[String; N]| {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    lines.iter().map(print).collect::<Vec<_>>().join("\n")
}

/// One line for the person, on stderr.
pub fn say(line: &str) {
    write_stderr(&format!("{line}\n"));
}

/// A warning for the person.
pub fn warn(line: &str) {
    crate::log::warn(line);
}

fn write_stderr(text: &str) {
    if crate::log::is_silent() {
        return;
    }
    let mut err = io::stderr().lock();
    // Nobody is listening: nothing can be told.
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}

/// A prompt without a line end.
pub fn ask(text: &str) {
    write_stderr(text);
}

/// Whether stderr is a terminal that understands cursor movement.
pub fn is_capable() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
    io::stderr().is_terminal() && !is_dumb && !is_set("NO_COLOR")
}

/// Rewrites the line above the prompt, leaving what is being typed where it is.
pub fn rewrite_line_above(text: &str) {
    write_stderr(&format!("\x1b7\x1b[1A\r\x1b[2K{text}\x1b8"));
}

/// Puts text on the clipboard of the terminal (OSC 52), which works through SSH.
pub fn copy(text: &str) -> bool {
    use base64::Engine;
    if !is_capable() {
        return false;
    }
    let encoded = base64::engine::general_purpose::STANDARD.encode(text);
    write_stderr(&format!("\x1b]52;c;{encoded}\x07"));
    true
}
