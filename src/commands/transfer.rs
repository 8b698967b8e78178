//! `keyfob export` and `keyfob import`.

use std::fs::File;
use std::io::{IsTerminal, Read};

use argh::{ArgsInfo, FromArgs};

use crate::account::AccountRef;
use crate::commands::hand_out::Asked;
use crate::commands::{App, Object};
use crate::error::{Error, Result};
use crate::flows::{caller, transfer};
use crate::term::{self, prompt};
use crate::text;
use crate::time::Timestamp;

/// No account is longer.
const LIMIT_BYTES: u64 = 1024 * 1024;

/// Prints an account as one JSON file, to be imported on another machine.
#[derive(ArgsInfo, FromArgs)]
#[argh(
    subcommand,
    name = "export",
    help_triggers("-h", "--help"),
    example = "keyfob export my-idp --access-only | ssh server keyfob import -",
    note = "A whole copy shares its refresh token: where that is spent once only, the two\n\
            machines would sign each other out. Then forget it here with keyfob logout\n\
            --keep-token, or send a copy with --access-only, which ends with its token."
)]
pub struct Export {
    /// which: PROVIDER or PROVIDER/ACCOUNT
    #[argh(positional)]
    account: AccountRef,

    /// leave out what can be renewed
    #[argh(switch)]
    access_only: bool,

    /// longest wait for one network request, 30 by default
    #[argh(option, arg_name = "seconds")]
    timeout: Option<u64>,
}

/// Takes in an account that export printed.
#[derive(ArgsInfo, FromArgs)]
#[argh(
    subcommand,
    name = "import",
    help_triggers("-h", "--help"),
    example = "keyfob import account.json\nkeyfob export my-idp | ssh server keyfob import -"
)]
pub struct Import {
    /// the file; - reads stdin
    #[argh(positional)]
    file: String,

    /// call the account so
    #[argh(option, arg_name = "name")]
    account: Option<String>,

    /// let it take the place of an account of that name
    #[argh(switch)]
    replace: bool,

    /// print one JSON object
    #[argh(switch)]
    json: bool,
}

pub fn export(args: &Export) -> Result<()> {
    let app = App::new(args.timeout)?;
    let account = if args.access_only {
        // As fresh as it can be: the copy lives no longer than its token.
        let found = app.hand_out(&Asked::of(&args.account))?;
        if !found.is_stored {
            let what = "only a stored account can be exported";
            return Err(Error::usage(what).or_try(args.account.login_command()));
        }
        transfer::access_only(&found.account)?
    } else {
        let id = app.signed_in_account(&args.account)?;
        let account = app.store.read_account(&id)?;
        let account = account.ok_or_else(|| crate::flows::fresh::nobody(&id))?;
        transfer::may_travel(&account)?;
        account
    };
    if std::io::stdout().is_terminal() {
        term::warn("this shows the secrets; write it to a file of mode 600, or pipe it");
    }
    if !args.access_only && account.credential.can_refresh() {
        term::warn("the copy shares its refresh token; see keyfob export --help");
    }
    app.store.audit("export", &account.id, caller::name(), Timestamp::now());
    term::print(app.store.export(&account)?.trim_end())
}

/// The file, or the beginning of one that is too long to be an account: it then is no JSON.
fn read(path: &str) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LIMIT_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

pub fn import(args: &Import) -> Result<()> {
    let app = App::new(None)?;
    let bytes = match args.file.as_str() {
        "-" => prompt::piped("exported account")?.into_bytes(),
        path => read(path).map_err(|e| {
            Error::usage(format!("cannot read {}: {}", text::harmless(path, 200), text::cause(&e)))
        })?,
    };
    let name = args.account.clone();
    if let Some(name) = &name {
        // As it is read everywhere else.
        format!("x/{name}").parse::<AccountRef>().map_err(Error::usage)?;
    }
    let imported = transfer::import(&bytes, name, args.replace, &app.store)?;
    let id = &imported.account.id;
    for warning in &imported.warnings {
        term::warn(warning);
    }
    if app.providers.find(&id.provider)?.is_none() {
        term::warn(&format!(
            "no provider is called {} here; add it, or it cannot refresh",
            id.provider
        ));
    }
    if args.json {
        let object = Object::new()
            .with("status", "ok")
            .with("provider", id.provider.as_str())
            .with("account", id.account.as_str())
            .with("kind", imported.account.credential.kind())
            .with("path", imported.path.display().to_string());
        return term::print(&object.to_string());
    }
    term::say(&format!("imported {id}; {}", imported.path.display()));
    Ok(())
}
