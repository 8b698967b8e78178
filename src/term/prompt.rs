//! Questions. Only `login`, `setup`, `source trust`, `provider add` and `config reset` ask any.

use std::io::{self, BufRead, IsTerminal, Read};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Mutex, OnceLock};
use std::thread;

use crate::error::{Error, Result};
use crate::term;
use crate::term::keys::{self, Keys};
use crate::text;

/// A person who types the same wrong answer again wants to leave.
const TRIES: usize = 3;
/// No pasted callback, secret or downloaded JSON file is longer.
const LIMIT_BYTES: u64 = 64 * 1024;

/// Whether a question can be asked: stdin and stderr are terminals and `--no-input` is absent.
pub fn is_possible(no_input: bool) -> bool {
    !no_input && io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Lines of stdin, read by a thread that cannot be stopped: once it runs, all input comes through it.
static LINES: OnceLock<Mutex<Receiver<String>>> = OnceLock::new();
/// The reader waits for its turn, so that a flood is no flood of memory.
const WAITING_LINES: usize = 16;

/// The next line that came in, if any; the first call starts the reading. None after the end too.
pub fn pasted() -> Option<String> {
    let lines = LINES.get_or_init(|| {
        let (sender, lines) = mpsc::sync_channel(WAITING_LINES);
        thread::spawn(move || read_lines(&sender));
        Mutex::new(lines)
    });
    lines.lock().ok()?.try_recv().ok()
}

fn read_lines(sender: &SyncSender<String>) {
    let has_keys = io::stdin().is_terminal();
    let mut stdin = io::stdin().lock();
    loop {
        let mut bytes = Vec::new();
        let read = if has_keys {
            read_keys(&mut stdin, &mut bytes)
        } else {
            stdin.by_ref().take(LIMIT_BYTES).read_until(b'\n', &mut bytes)
        };
        let line = String::from_utf8_lossy(&bytes).trim().to_owned();
        let is_end = !matches!(read, Ok(count) if count > 0);
        if is_end || sender.send(line).is_err() {
            return;
        }
    }
}

/// A line of a terminal, which may be in either mode: the keys that edit come only while they are read
/// one by one.
fn read_keys(stdin: &mut io::StdinLock, line: &mut Vec<u8>) -> io::Result<usize> {
    let limit = usize::try_from(LIMIT_BYTES).unwrap_or(usize::MAX);
    let mut count = 0;
    for key in stdin.by_ref().bytes().take(limit) {
        count += 1;
        if keys::take(line, key?) {
            break;
        }
    }
    Ok(count)
}

/// One line from the terminal, trimmed; empty at the end of input.
pub fn line(question: &str) -> Result<String> {
    Ok(next_line(question)?.unwrap_or_default())
}

/// The same for one question of many: the end of input is an error, and not another empty answer.
pub fn answer(question: &str) -> Result<String> {
    if let Some(answer) = next_line(question)? {
        return Ok(answer);
    }
    term::say("");
    Err(Error::usage("the input ended before the last question; what was answered is done"))
}

fn next_line(question: &str) -> Result<Option<String>> {
    term::ask(question);
    if let Some(lines) = LINES.get() {
        return Ok(lines.lock().ok().and_then(|lines| lines.recv().ok()));
    }
    let mut answer = String::new();
    let stdin = io::stdin().lock();
    let count = stdin.take(LIMIT_BYTES).read_line(&mut answer).map_err(|e| unreadable(&e))?;
    Ok((count > 0).then(|| answer.trim().to_owned()))
}

/// `y` or `yes`; anything else is no.
pub fn confirm(question: &str) -> Result<bool> {
    let answer = line(&format!("{question} [y/N] "))?;
    Ok(matches!(answer.to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// The place of one of several things, asked for until the answer is its number or its name.
pub fn choose(what: &str, items: &[String]) -> Result<usize> {
    for (at, item) in items.iter().enumerate() {
        term::say(&format!("{:3}  {item}", at + 1));
    }
    for _ in 0..TRIES {
        let answer = line(&format!("{what} (number or name): "))?;
        let by_name = items.iter().position(|item| *item == answer);
        let by_number = || answer.parse::<usize>().ok()?.checked_sub(1);
        if let Some(at) = by_name.or_else(by_number).filter(|at| *at < items.len()) {
            return Ok(at);
        }
        if answer.is_empty() {
            break;
        }
        term::say(&format!("not one of the {}", items.len()));
    }
    Err(Error::usage(format!("no {what} was chosen")))
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

/// All of stdin as it is, for a text that may be long.
pub fn piped_text(what: &str) -> Result<String> {
    const LONG_BYTES: u64 = 16 * 1024 * 1024;
    let mut text = String::new();
    io::stdin().lock().take(LONG_BYTES).read_to_string(&mut text).map_err(|e| unreadable(&e))?;
    if text.trim().is_empty() {
        return Err(Error::usage(format!("stdin holds no {what}")));
    }
    Ok(text)
}

/// One line that is not shown while it is typed.
pub fn hidden(question: &str) -> Result<String> {
    let keys = Keys::begin()?;
    term::ask(question);
    let typed = read_typed();
    drop(keys);
    term::say("");
    typed.map_err(|e| unreadable(&e))
}

fn read_typed() -> io::Result<String> {
    let mut typed: Vec<u8> = Vec::new();
    for key in io::stdin().lock().bytes().take(usize::try_from(LIMIT_BYTES).unwrap_or(0)) {
        if keys::take(&mut typed, key?) {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&typed).into_owned())
}

fn unreadable(error: &io::Error) -> Error {
    Error::usage(format!("cannot read stdin: {}", text::cause(error)))
}
