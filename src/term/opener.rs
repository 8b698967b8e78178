//! Opening a URL in a browser, or the reason why that cannot be done here.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::text;

/// A browser in the same terminal would fight with the prompt, and cannot run the pages anyway.
const TEXT_BROWSERS: [&str; 6] = ["elinks", "links", "lynx", "links2", "w3m", "www-browser"];

const CONTAINER_VARIABLES: [&str; 4] =
    ["CODESPACES", "GITPOD_WORKSPACE_ID", "REMOTE_CONTAINERS", "container"];
const CONTAINER_FILES: [&str; 2] = ["/.dockerenv", "/run/.containerenv"];

/// Two of the reasons of `find`: all others are as they should be on such a machine.
pub const NONE_INSTALLED: &str = "no program that opens a browser is installed";
pub const NONE_OF_BROWSER: &str = "BROWSER names no program that can be used";

/// A program and the arguments before the URL.
#[derive(Debug)]
pub struct Opener {
    program: PathBuf,
    arguments: Vec<String>,
}

/// The opener of this machine, or in words why there is none. `BROWSER` is the person's own
/// choice and counts even over SSH and in containers; empty, it means none.
pub fn find() -> Result<Opener, String> {
    let value = |name: &str| env::var(name).ok();
    let is_set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
    if value("NO_BROWSER").is_some_and(|v| !["", "0", "false"].contains(&v.as_str())) {
        return Err("NO_BROWSER is set".to_owned());
    }
    match value("BROWSER") {
        Some(choice) if choice.trim().is_empty() => return Err("BROWSER is empty".to_owned()),
        Some(choice) => return from_browser_variable(&choice),
        None => {}
    }
    if is_set("SSH_CONNECTION") || is_set("SSH_TTY") || is_set("SSH_CLIENT") {
        return Err("this is an SSH session".to_owned());
    }
    let in_container = CONTAINER_VARIABLES.iter().any(|name| is_set(name))
        || CONTAINER_FILES.iter().any(|file| Path::new(file).exists());
    if in_container {
        return Err("this is a container".to_owned());
    }
    let has_display = ["DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME"].iter().any(|n| is_set(n));
    if cfg!(all(unix, not(target_os = "macos"))) && !has_display {
        return Err("there is no display".to_owned());
    }
    let found = candidates().iter().find_map(|words| from_words(words));
    found.ok_or_else(|| NONE_INSTALLED.to_owned())
}

fn candidates() -> &'static [&'static [&'static str]] {
    if cfg!(target_os = "macos") {
        &[&["open"]]
    } else if cfg!(windows) {
        &[&["rundll32", "url.dll,FileProtocolHandler"]]
    } else {
        &[&["xdg-open"], &["wslview"], &["gio", "open"], &["sensible-browser"], &["x-www-browser"]]
    }
}

/// `BROWSER` holds commands separated by `:`; the first that exists is taken. Words are split at
/// spaces and handed over as they are: no shell ever sees them.
fn from_browser_variable(choice: &str) -> Result<Opener, String> {
    for command in choice.split(':') {
        let words: Vec<_> = command.split_whitespace().filter(|word| *word != "%s").collect();
        let Some(program) = words.first() else { continue };
        let name = Path::new(program).file_name().unwrap_or_default().to_string_lossy();
        if TEXT_BROWSERS.contains(&name.as_ref()) {
            continue;
        }
        if let Some(opener) = from_words(&words) {
            return Ok(opener);
        }
    }
    Err(NONE_OF_BROWSER.to_owned())
}

fn from_words(words: &[&str]) -> Option<Opener> {
    let (program, arguments) = words.split_first()?;
    let program = locate(program)?;
    Some(Opener { program, arguments: arguments.iter().map(|&word| word.to_owned()).collect() })
}

/// The program, if it is a path to a file or lies in one of the folders of PATH.
pub fn locate(program: &str) -> Option<PathBuf> {
    if program.contains(std::path::MAIN_SEPARATOR) {
        return Some(PathBuf::from(program)).filter(|path| path.is_file());
    }
    let path: OsString = env::var_os("PATH")?;
    let extension = if cfg!(windows) { ".exe" } else { "" };
    env::split_paths(&path)
        .map(|folder| folder.join(format!("{program}{extension}")))
        .find(|path| path.is_file())
}

impl Opener {
    /// The program's path.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Starts the program with the URL as one argument; its output goes nowhere, and keyfob's
    /// secrets are not in its environment. Err: it could not be started.
    pub fn open(&self, url: &str) -> Result<(), String> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).arg(url);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(|e| {
            format!("{} could not be started: {}", self.program.display(), text::cause(&e))
        })?;
        // Some openers stay with the browser: reap them without waiting.
        std::thread::spawn(move || child.wait());
        Ok(())
    }
}
