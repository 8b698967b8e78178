//! The sign-in of another installed tool, taken into use.

use serde_json::Map;

use crate::account::{Account, AccountId, AccountRef};
use crate::commands::App;
use crate::commands::login::Login;
use crate::commands::login::outcome::tell;
use crate::credential::{Credential, Minted};
use crate::error::{Error, Result};
use crate::flows::{key, program, tool};
use crate::provider::{Provider, Tool};
use crate::term::{self, opener, prompt};
use crate::text::shell_word;
use crate::time::Timestamp;

/// Whether the row's tool is installed here.
pub fn is_here(row: &Provider) -> bool {
    row.tool.as_ref().is_some_and(|tool| program::locate(&tool.program).is_some())
}

/// Signs in with the tool if nobody is, asks for consent, and remembers where its token lies.
pub fn run(args: &Login, account: &AccountRef, row: &Provider, app: &App) -> Result<()> {
    let Some((tool, program)) =
        row.tool.as_ref().and_then(|tool| Some((tool, program::locate(&tool.program)?)))
    else {
        return Err(Error::failed(format!("{} names no tool that is installed here", row.id)));
    };
    let is_signed_in = tool::is_signed_in(&program, tool)?;
    if !prompt::is_possible(args.no_input) {
        return Err(not_asked(account, tool, is_signed_in));
    }
    if !is_signed_in {
        let command = tool::command_of(tool);
        if !prompt::confirm(&format!("nobody is signed in to {}: run {command}?", tool.program))? {
            return Err(Error::failed("not signed in").or_try(command));
        }
        let has_browser = !args.no_browser && opener::find().is_ok();
        tool::sign_in(&program, tool, has_browser)?;
    }
    let path = tool::file(tool).ok_or_else(|| {
        let what = format!("{} keeps its sign-in where keyfob cannot read it", tool.program);
        let account = shell_word(&account.to_string());
        Error::failed(what).or_try(format!("keyfob login {account} --api-key-stdin"))
    })?;
    let path = path.display().to_string();
    if !prompt::confirm(&format!("read the sign-in of {} in {path}?", tool.program))? {
        return Err(Error::failed("not signed in: the file was not to be read"));
    }
    let name = account.account.clone().unwrap_or("default".to_owned());
    let id = AccountId { provider: row.id.clone(), account: name };
    let credential = Credential::Tool(path.clone(), Minted::none());
    let trial = Account::new(id.clone(), credential.clone(), Timestamp::now());
    // Found before anything is written, not at the first use.
    let read = tool::read(&trial, &path, row)?;
    let mut signed_in = key::store(id, credential, Map::new(), args.replace, &app.store)?;
    signed_in.account.credential = read.credential;
    term::say(&format!("{} stays in charge of it; keyfob only reads it", tool.program));
    tell(&signed_in, args)
}

/// Off a terminal nobody can say yes.
fn not_asked(account: &AccountRef, tool: &Tool, is_signed_in: bool) -> Error {
    let state = if is_signed_in { "is signed in" } else { "is not signed in" };
    let account = shell_word(&account.to_string());
    Error::PromptNeeded {
        what: format!("{} {state}, and using its sign-in needs a yes at a terminal", tool.program),
        next: format!("keyfob login {account} --api-key-stdin"),
    }
}
