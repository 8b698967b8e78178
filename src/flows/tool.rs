//! The sign-in of another installed tool (Cursor's `cursor-agent`): its own commands sign in, and its
//! file is read in place. It is never written, and its refresh token is never spent.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::account::Account;
use crate::credential::{Credential, Minted};
use crate::error::{Error, Result};
use crate::flows::program;
use crate::protocol::jwt;
use crate::provider::{Provider, Tool};
use crate::secret::Secret;
use crate::store::foreign;
use crate::text;
use crate::time::Timestamp;

const STATUS_LIMIT: Duration = Duration::from_secs(20);
/// What is being written is whole by then.
const WRITING: Duration = Duration::from_millis(50);

/// Whether somebody is signed in there, by the tool's own word.
pub fn is_signed_in(program: &Path, tool: &Tool) -> Result<bool> {
    let arguments: Vec<_> = tool.status.iter().map(String::as_str).collect();
    let ended = program::run(program, &arguments, STATUS_LIMIT);
    let ended = ended.map_err(|why| Error::failed(format!("{}: {why}", tool.program)))?;
    let words = format!("{} {}", ended.stdout.expose(), ended.stderr.expose()).to_lowercase();
    let says_no = ["not logged in", "not signed in", "not authenticated", "logged out"];
    Ok(ended.is_success && !says_no.iter().any(|no| words.contains(no)))
}

/// The tool's own sign-in, with the terminal to itself.
pub fn sign_in(program: &Path, tool: &Tool, has_browser: bool) -> Result<()> {
    let mut command = Command::new(program);
    command.args(&tool.login);
    if !has_browser {
        // Cursor's own switch: the address is printed instead.
        command.env("NO_OPEN_BROWSER", "1");
    }
    let status = command.status();
    let status = status
        .map_err(|e| Error::failed(format!("cannot run {}: {}", tool.program, text::cause(&e))))?;
    if status.success() {
        return Ok(());
    }
    Err(Error::failed(format!("{} did not sign in ({status})", tool.program))
        .or_try(command_of(tool)))
}

/// The tool's sign-in, ready to paste.
pub fn command_of(tool: &Tool) -> String {
    format!("{} {}", tool.program, tool.login.join(" "))
}

/// The first of the tool's files that is there.
pub fn file(tool: &Tool) -> Option<PathBuf> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let mut places = tool.files.iter().filter_map(|place| {
        if let Some(rest) = place.strip_prefix("~/") {
            return Some(dirs::home_dir()?.join(rest));
        }
        match place.strip_prefix('$').and_then(|rest| rest.split_once('/')) {
            Some((name, rest)) => Some(PathBuf::from(variable(name)?).join(rest)),
            None => Some(PathBuf::from(place)),
        }
    });
    places.find(|place| std::fs::symlink_metadata(place).is_ok())
}

/// The account with the token that lies in the tool's file now.
pub fn read(old: &Account, path: &str, row: &Provider) -> Result<Account> {
    let Some(tool) = &row.tool else {
        return Err(Error::failed(format!("provider {} names no tool any more", row.id)));
    };
    let sign_in =
        |why: String| Error::SignIn { account: old.id.to_string(), why, next: command_of(tool) };
    let look = || -> Result<Option<Value>> {
        let bytes = foreign::read(Path::new(path), None)?
            .ok_or_else(|| sign_in(format!("nobody is signed in to {}", tool.program)))?;
        Ok(serde_json::from_slice(&bytes).ok())
    };
    let mut file = look()?;
    if file.is_none() {
        // The tool may be writing it right now.
        thread::sleep(WRITING);
        file = look()?;
    }
    let file = file.ok_or_else(|| {
        sign_in(format!("{path} is no JSON; {} has to write it anew", tool.program))
    })?;
    let token = file.pointer(&tool.token).and_then(Value::as_str);
    let is_token = |token: &&str| !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic());
    let token = token.filter(is_token);
    let token = token.ok_or_else(|| sign_in(format!("{path} holds no token")))?;
    let token = Secret::new(token);
    let expires_at = jwt::expires_at(&token);
    let now = Timestamp::now();
    if let Some(at) = expires_at.filter(|at| *at <= now) {
        let when = at.in_words(now);
        return Err(sign_in(format!("{}'s token expired {when}", tool.program)));
    }
    let mut account = old.clone();
    account.credential = Credential::Tool(path.to_owned(), Minted { token, expires_at });
    account.refreshed_at = now;
    Ok(account)
}
