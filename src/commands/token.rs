use argh::{ArgsInfo, FromArgs};
use serde_json::{Map, Value, json};

use crate::account::{Account, AccountRef};
use crate::commands::hand_out::{Asked, HandOut};
use crate::commands::{App, Object};
use crate::credential::Credential;
use crate::error::{Error, Result};
use crate::flows::fresh::{Layer, Need};
use crate::protocol::{attach, jwt};
use crate::provider::Way;
use crate::secret::Secret;
use crate::term;
use crate::time::Timestamp;

/// An id token that lives no longer is not handed out.
const ID_TOKEN_MARGIN_S: i64 = 60;

/// Prints the usable secret of an account, alone on stdout; refreshes it first if
/// it has to. Never asks and never opens a browser.
#[derive(ArgsInfo, FromArgs)]
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

    /// print the header that carries the secret, for curl -H @-
    #[argh(switch)]
    header: bool,

    /// print it as another tool wants it: kubectl (an ExecCredential)
    #[argh(option, arg_name = "tool")]
    format: Option<Format>,

    /// print one JSON object with the token, its expiry and the headers to send
    #[argh(switch)]
    json: bool,

    /// longest wait for one network request, 30 by default
    #[argh(option, arg_name = "seconds")]
    timeout: Option<u64>,
}

pub fn run(args: &Token) -> Result<()> {
    if [args.json, args.header, args.format.is_some()].iter().filter(|is_set| **is_set).count() > 1
    {
        let what = "--json, --header and --format are three ways to print it: one at a time";
        return Err(Error::usage(what).or_try("keyfob token --help"));
    }
    let app = App::new(args.timeout)?;
    let need = args.min_ttl.map_or(Need::Usual, |seconds| Need::Seconds(i64::from(seconds)));
    let layer = if args.base { Layer::Base } else { Layer::Api };
    let asked = Asked { need, layer, ..Asked::of(&args.account) };
    let found = app.hand_out(&asked)?;
    if let Some(Format::Kubectl) = args.format {
        return print_exec_credential(found, &asked, &app);
    }
    if args.header {
        let (name, value) = attach::credential_header(&found.account, &*found.row(&app)?);
        return term::print(&format!("{name}: {value}"));
    }
    if args.json { print_json(&found, &app) } else { term::print(found.account.secret().expose()) }
}

/// A tool that wants the token in a shape of its own.
enum Format {
    Kubectl,
}

impl argh::FromArgValue for Format {
    fn from_arg_value(value: &str) -> std::result::Result<Format, String> {
        match value {
            "kubectl" => Ok(Format::Kubectl),
            _ => Err("the formats are: kubectl".to_owned()),
        }
    }
}

/// client.authentication.k8s.io: an API server that knows the issuer checks the id token, so that is
/// given where there is a live one; a stale one is worth a renewal, unless the last one brought none.
fn print_exec_credential(mut found: HandOut, asked: &Asked, app: &App) -> Result<()> {
    let mut id_token = live_id_token(&found.account);
    let ended = id_token_of(&found.account).map(|(_, at)| at);
    let is_older = ended.is_some_and(|at| at.since(found.account.refreshed_at) > ID_TOKEN_MARGIN_S);
    if id_token.is_none() && is_older && found.account.can_refresh() {
        found = app.hand_out(&Asked { need: Need::Renewed, ..*asked })?;
        id_token = live_id_token(&found.account);
    }
    let (token, expires_at) = match id_token {
        Some((token, at)) => (token, Some(at)),
        None => (found.account.secret().clone(), found.account.expires_at()),
    };
    // kubectl says which version it speaks.
    let info = std::env::var("KUBERNETES_EXEC_INFO").unwrap_or_default();
    let info: Value = serde_json::from_str(&info).unwrap_or(Value::Null);
    let version =
        info["apiVersion"].as_str().filter(|v| v.starts_with("client.authentication.k8s.io/"));
    let credential = json!({
        "apiVersion": version.unwrap_or("client.authentication.k8s.io/v1"),
        "kind": "ExecCredential",
        "status": {"token": token.expose(), "expirationTimestamp": expires_at},
    });
    term::print(&credential.to_string())
}

fn id_token_of(account: &Account) -> Option<(Secret, Timestamp)> {
    let token = account.credential.oauth()?.id_token.clone()?;
    let at = jwt::expires_at(&token)?;
    Some((token, at))
}

fn live_id_token(account: &Account) -> Option<(Secret, Timestamp)> {
    id_token_of(account).filter(|(_, at)| at.since(Timestamp::now()) > ID_TOKEN_MARGIN_S)
}

/// The base and headers of a row without the way are for its tokens, not for keys.
fn print_json(found: &HandOut, app: &App) -> Result<()> {
    let account = &found.account;
    let row = found.row(app)?;
    let is_foreign_key =
        matches!(account.credential, Credential::ApiKey(_)) && !row.ways.contains(&Way::ApiKey);
    let (base, headers) = if is_foreign_key {
        (None, Map::new())
    } else if row.api_token.is_some()
        && account.credential.oauth().is_some()
        && account.api_token.is_none()
    {
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
