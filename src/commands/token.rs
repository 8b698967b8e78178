use argh::FromArgs;
use serde_json::{Map, Value, json};

use crate::account::{Account, AccountRef, Credential};
use crate::commands::{App, Object, nobody};
use crate::error::Result;
use crate::flows::environment::{self, Found};
use crate::flows::fresh::{self, Need};
use crate::protocol::attach;
use crate::provider::{Provider, Way};
use crate::term;

/// Prints the usable secret of an account, alone on stdout; refreshes it first if
/// it has to. Never asks and never opens a browser.
#[derive(FromArgs)]
#[argh(
    subcommand,
    name = "token",
    help_triggers("-h", "--help"),
    example = "curl -H \"Authorization: Bearer $(keyfob token my-idp)\" https://example.com/\n\
               keyfob token claude >/dev/null 2>&1; [ $? -eq 4 ] && notify \"sign in again\"",
    note = "A token is refreshed when less than 60 s or a tenth of its lifetime remains,\n\
            whichever is smaller; processes that ask at the same time share one refresh."
)]
pub struct Token {
    /// whose secret: PROVIDER or PROVIDER/ACCOUNT
    #[argh(positional)]
    account: AccountRef,

    /// ask for a token that lives this many seconds more
    #[argh(option, arg_name = "seconds")]
    min_ttl: Option<u32>,

    /// print one JSON object with the token, its expiry and the headers to send
    #[argh(switch)]
    json: bool,

    /// longest wait for one network request, 30 by default
    #[argh(option, arg_name = "seconds")]
    timeout: Option<u64>,
}

pub fn run(args: &Token) -> Result<()> {
    let app = App::new(args.timeout)?;
    let Some(id) = app.account(&args.account)? else {
        let row = app.providers.get(&args.account.provider)?;
        let found = environment::key(row)?.ok_or_else(|| nobody(&args.account))?;
        return if args.json { print_key(row, found) } else { term::print(found.key.expose()) };
    };
    let need = args.min_ttl.map_or(Need::Usual, |seconds| Need::Seconds(i64::from(seconds)));
    let fresh = fresh::credential(&id, need, &app.tools())?;
    if let Some(warning) = &fresh.warning {
        term::warn(warning);
    }
    if args.json {
        return print_json(&fresh.account, &app);
    }
    term::print(fresh.account.credential.secret().expose())
}

fn print_json(account: &Account, app: &App) -> Result<()> {
    let row = app.providers.get(&account.id.provider)?;
    let credential = &account.credential;
    let object = Object::new()
        .with("provider", account.id.provider.as_str())
        .with("account", account.id.account.as_str())
        .with("kind", credential.kind())
        .with("token_type", json!(credential.token_type()))
        .with("token", credential.secret().expose())
        .with("expires_at", json!(credential.expires_at()))
        .with("api_base", json!(row.api.as_ref().map(|api| &api.base)))
        .with("headers", attach::headers(credential, &account.extra, row));
    term::print(&object.to_string())
}

/// The base and headers of a row without the way are for its tokens, not for keys.
fn print_key(row: &Provider, found: Found) -> Result<()> {
    let key = Credential::ApiKey(found.key);
    let api = row.api.as_ref().filter(|_| row.ways.contains(&Way::ApiKey));
    let headers = api.map(|_| attach::headers(&key, &Map::new(), row)).unwrap_or_default();
    let object = Object::new()
        .with("provider", row.id.as_str())
        .with("account", Value::Null)
        .with("kind", key.kind())
        .with("token_type", Value::Null)
        .with("token", key.secret().expose())
        .with("expires_at", Value::Null)
        .with("api_base", json!(api.map(|api| &api.base)))
        .with("headers", headers);
    term::print(&object.to_string())
}
