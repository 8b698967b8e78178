//! `KEYFOB_LOG` (error, warn, info, debug, trace): lines on stderr. Callers pass only what an
//! allow list permits: method, host, path, status. Never a query, header or body.

use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

fn enabled(level: &str) -> bool {
    static WANTED: OnceLock<Option<usize>> = OnceLock::new();
    let wanted = WANTED.get_or_init(|| {
        let value = std::env::var("KEYFOB_LOG").ok()?;
        LEVELS.iter().position(|name| value.eq_ignore_ascii_case(name))
    });
    let rank = LEVELS.iter().position(|name| *name == level);
    wanted.is_some_and(|wanted| rank.is_some_and(|rank| rank <= wanted))
}

static IS_SILENT: AtomicBool = AtomicBool::new(false);

/// From now on nothing goes to stderr, from here or from `term`.
pub fn be_silent() {
    IS_SILENT.store(true, Ordering::Relaxed);
}

pub fn is_silent() -> bool {
    IS_SILENT.load(Ordering::Relaxed)
}

/// A warning, whatever the level.
pub fn warn(line: &str) {
    if is_silent() {
        return;
    }
    // A closed stderr is no reason to fail.
    let _ = writeln!(std::io::stderr(), "keyfob: warning: {line}");
}

pub fn debug(line: &str) {
    print("debug", line);
}

fn print(level: &str, line: &str) {
    if enabled(level) && !is_silent() {
        // A closed stderr is no reason to fail.
        let _ = writeln!(std::io::stderr(), "{level}: {line}");
    }
}
