use argh::FromArgs;
use serde_json::{Map, Value, json};

use crate::account::AccountRef;
use crate::commands::hand_out::{Asked, HandOut};
use crate::commands::{App, Object};
use crate::credential::Credential;
use crate::error::Result;
use crate::flows::fresh::{Layer, Need};
use crate::protocol::attach;
use crate::provider::Way;
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

    /// the sign-in's own token where the API takes a second one (copilot: GitHub's)
    #[argh(switch)]
    base: bool,

    /// print one JSON object with the token, its expiry and the headers to send
    #[argh(switch)]
    json: bool,

    /// longest wait for one network request, 30 by default
    #[argh(option, arg_name = "seconds")]
    timeout: Option<u64>,
}

pub fn run(args: &Token) -> Result<()> {
    let app = App::new(args.timeout)?;
    let need = args.min_ttl.map_or(Need::Usual, |seconds| Need::Seconds(i64::from(seconds)));
    let layer = if args.base { Layer::Base } else { Layer::Api };
    let found = app.hand_out(&Asked { need, layer, ..Asked::of(&args.account) })?;
    if args.json { print_json(&found, &app) } else { term::print(found.account.secret().expose()) }
}

/// The base and headers of a row without the way are for its tokens, not for keys.
fn print_json(found: &HandOut, app: &App) -> Result<()> {
    let account = &found.account;
    let row = found.row(app)?;
    let is_foreign_key =
        matches!(account.credential, Credential::ApiKey(_)) && !row.ways.contains(&Way::ApiKey);
    let (base, headers) = if is_foreign_key {
        (None, Map::new())
    } else if row.api_token.is_some() && account.api_token.is_none() {
        // The first token of two is not for the API.
        let (name, value) = attach::credential_header(account, &row);
        (None, Map::from_iter([(name, Value::from(value))]))
    } else {
        (attach::api_base(account, &row), attach::headers(account, &row))
    };
    let object = Object::new()
        .with("provider", account.id.provider.as_str())
        .with("account", json!(found.is_stored.then_some(account.id.account.as_str())))
        .with("kind", account.credential.kind())
        .with("token_type", json!(account.credential.token_type()))
        .with("token", account.secret().expose())
        .with("expires_at", json!(account.expires_at()))
        .with("api_base", json!(base))
        .with("headers", headers);
    term::print(&object.to_string())
}
