//! The terminal's keys read one by one: nothing typed is shown, and a pasted line may be longer than
//! the 4,095 bytes at which a terminal cuts its lines.

use std::process::{Command, Stdio};
use std::sync::Mutex;

use crate::error::{Error, Result};

/// What the shell shows for a process that was interrupted.
const INTERRUPTED: i32 = 130;

/// The terminal's settings of before, while keys are read.
static SAVED: Mutex<Option<String>> = Mutex::new(None);

/// While this lives, keys are read one by one; then the terminal is as it was.
pub struct Keys;

impl Keys {
    pub fn begin() -> Result<Keys> {
        let saved = stty(&["-g"])?;
        stty(&["-echo", "-icanon", "-isig"])?;
        if let Ok(mut slot) = SAVED.lock() {
            *slot = Some(saved.trim().to_owned());
        }
        Ok(Keys)
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        restore();
    }
}

fn restore() {
    let saved = SAVED.lock().ok().and_then(|mut slot| slot.take());
    if let Some(saved) = saved {
        // Nothing better can be done about a terminal that does not obey.
        let _ = stty(&[&saved]);
    }
}

/// Takes one key into the line; true at the line's end. An interrupt ends the process, the terminal as
/// it was: the system does not send one while keys are read.
pub fn take(line: &mut Vec<u8>, key: u8) -> bool {
    match key {
        b'\r' | b'\n' | 0x04 => return true,
        0x03 => {
            restore();
            std::process::exit(INTERRUPTED);
        }
        // Ctrl-U and Ctrl-W.
        0x15 | 0x17 => line.clear(),
        0x08 | 0x7f => {
            let start = line.iter().rposition(|byte| byte & 0xc0 != 0x80);
            line.truncate(start.unwrap_or(0));
        }
        key => line.push(key),
    }
    false
}

fn stty(arguments: &[&str]) -> Result<String> {
    let output = Command::new("stty").args(arguments).stdin(Stdio::inherit()).output();
    let output = output.ok().filter(|output| output.status.success());
    let output = output.ok_or_else(|| {
        Error::usage("the terminal cannot hide what is typed")
            .or_try("keyfob login PROVIDER --api-key-stdin")
    })?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_edit_the_line() {
        let mut line = Vec::new();
        for key in "abc\u{15}x\u{e9}\u{7f}y\u{7f}z".bytes() {
            assert!(!take(&mut line, key));
        }
        assert_eq!(line, b"xz");
        assert!(take(&mut line, b'\r'));
    }
}
