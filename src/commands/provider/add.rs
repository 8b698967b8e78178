use std::collections::BTreeMap;

use argh::{ArgsInfo, FromArgs};
use serde_json::Value;

use crate::account::is_provider_name;
use crate::commands::provider::{api, row_json};
use crate::commands::{App, Object};
use crate::endpoint;
use crate::error::{Error, Result};
use crate::flows::{discover, redirect};
use crate::net::loopback::Listener;
use crate::protocol::discovery::Metadata;
use crate::provider::{ClientAuth, Origin, Provider, oidc_scopes};
use crate::secret::Secret;
use crate::term::{self, prompt};

/// Adds any OAuth 2 or OpenID Connect issuer, or any OpenAI-compatible API.
#[derive(ArgsInfo, FromArgs)]
#[argh(
    subcommand,
    name = "add",
    help_triggers("-h", "--help"),
    example = "keyfob provider add my-idp --issuer https://id.example.com --client-id cli\n\
               keyfob provider add my-idp --issuer https://id.example.com --register\n\
               keyfob provider add my-api --base-url https://x.example/v1 --api-key-stdin",
    note = "With --issuer the endpoints are read from the issuer's metadata; the flags\n\
            that name one override it."
)]
pub struct Add {
    /// what to call it: a-z, 0-9, `-`, `_` and `.`
    #[argh(positional)]
    pub name: String,

    /// the issuer, whose metadata names the endpoints
    #[argh(option, arg_name = "url")]
    issuer: Option<String>,

    /// the authorization endpoint
    #[argh(option, arg_name = "url")]
    authorize_url: Option<String>,

    /// the token endpoint
    #[argh(option, arg_name = "url")]
    token_url: Option<String>,

    /// the device authorization endpoint
    #[argh(option, arg_name = "url")]
    device_url: Option<String>,

    /// the revocation endpoint
    #[argh(option, arg_name = "url")]
    revoke_url: Option<String>,

    /// the userinfo endpoint
    #[argh(option, arg_name = "url")]
    userinfo_url: Option<String>,

    /// the client id
    #[argh(option, arg_name = "id")]
    client_id: Option<String>,

    /// register a client at the issuer (RFC 7591)
    #[argh(switch)]
    register: bool,

    /// read the client's secret from stdin
    #[argh(switch)]
    client_secret_stdin: bool,

    /// scopes to ask for, separated by spaces
    #[argh(option, arg_name = "scopes")]
    scope: Option<String>,

    /// the registered loopback port; any free one by default
    #[argh(option, arg_name = "port")]
    redirect_port: Option<u16>,

    /// the registered path, /callback by default
    #[argh(option, arg_name = "path")]
    redirect_path: Option<String>,

    /// the audience to ask for
    #[argh(option, arg_name = "audience")]
    audience: Option<String>,

    /// the resource to ask for (RFC 8707)
    #[argh(option, arg_name = "url")]
    resource: Option<String>,

    /// an OpenAI-compatible API instead of an issuer: https, or http to this machine
    #[argh(option, arg_name = "url")]
    pub base_url: Option<String>,

    /// the API's model to use when nobody names one
    #[argh(option, arg_name = "id")]
    pub model: Option<String>,

    /// read the API's key from stdin, and store it
    #[argh(switch)]
    pub api_key_stdin: bool,

    /// the API wants no key
    #[argh(switch)]
    pub no_api_key: bool,

    /// the variable that holds the API's key
    #[argh(option, arg_name = "name")]
    pub api_key_env: Option<String>,

    /// make it the default provider
    #[argh(switch)]
    pub set_default: bool,

    /// print the row as one JSON object
    #[argh(switch)]
    json: bool,

    /// longest wait for one network request, 30 by default
    #[argh(option, arg_name = "seconds")]
    timeout: Option<u64>,
}

pub fn run(args: &Add) -> Result<()> {
    let app = App::new(args.timeout)?;
    check_name(&args.name)?;
    if args.base_url.is_some() {
        return tell(api::add(args, &app)?, args, &app);
    }
    let mut secret = match args.client_secret_stdin {
        true => Some(Secret::new(prompt::piped("client secret")?)),
        false => None,
    };
    let mut row = from_flags(args)?;
    complete(&mut row, &mut secret, args, &app)?;
    save(&row, secret.as_ref(), &app)?;
    tell(row, args, &app)
}

fn tell(row: Provider, args: &Add, app: &App) -> Result<()> {
    if args.set_default {
        app.store.change_config(|config| {
            config.set("default", "provider", Value::from(row.id.as_str()));
        })?;
    }
    if args.json {
        let value = row_json(&row, Origin::Config)?;
        return term::print(&Object::new().with("provider", value).to_string());
    }
    let is_ready = args.api_key_stdin || row.key_optional;
    let next = if is_ready { String::new() } else { format!("; next: keyfob login {}", row.id) };
    term::say(&format!("added {}{next}", row.id));
    Ok(())
}

fn check_name(name: &str) -> Result<()> {
    if !is_provider_name(name) {
        return Err(Error::usage("a provider is named with a-z, 0-9, `-`, `_` and `.`"));
    }
    if crate::provider::is_built_in(name) {
        let what =
            format!("{name} is built in; override its keys in config.json, or take another name");
        return Err(Error::usage(what).or_try(format!("keyfob provider show {name}")));
    }
    Ok(())
}

fn from_flags(args: &Add) -> Result<Provider> {
    let mut row = Provider::named(&args.name)?;
    row.title.clone_from(&args.name);
    let given = [
        ("--issuer", &args.issuer, &mut row.issuer),
        ("--authorize-url", &args.authorize_url, &mut row.authorize_url),
        ("--token-url", &args.token_url, &mut row.token_url),
        ("--device-url", &args.device_url, &mut row.device_url),
        ("--revoke-url", &args.revoke_url, &mut row.revoke_url),
        ("--userinfo-url", &args.userinfo_url, &mut row.userinfo_url),
    ];
    for (flag, url, slot) in given {
        if let Some(url) = url {
            endpoint::check(flag, url)?;
            *slot = Some(url.clone());
        }
    }
    row.client_id.clone_from(&args.client_id);
    row.scopes = match (&args.scope, &args.issuer) {
        (Some(scope), _) => scope.split_whitespace().map(str::to_owned).collect(),
        (None, Some(_)) => oidc_scopes(),
        (None, None) => Vec::new(),
    };
    row.redirect.ports.extend(args.redirect_port);
    if let Some(path) = &args.redirect_path {
        row.redirect.path = format!("/{}", path.trim_start_matches('/'));
    }
    let extra = [("audience", &args.audience), ("resource", &args.resource)];
    let extra = extra.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value.clone()?)));
    row.authorize_params = extra.collect::<BTreeMap<_, _>>();
    // RFC 8707 section 2.2: the resource is named at the token endpoint too.
    row.token_params = row.authorize_params.clone();
    row.token_params.remove("audience");
    Ok(row)
}

/// Fills in what the issuer knows, registers a client if asked to, and checks that nothing lacks.
fn complete(row: &mut Provider, secret: &mut Option<Secret>, args: &Add, app: &App) -> Result<()> {
    let metadata = match &args.issuer {
        Some(issuer) => Some(discover::metadata(issuer, &app.client)?),
        None => None,
    };
    if let Some(metadata) = &metadata {
        metadata.fill(row);
    }
    row.ways = row.ways_by_endpoint();
    if args.register {
        *secret = register(row, metadata.as_ref(), args, app)?;
    } else if secret.is_some() {
        row.client_auth = metadata.as_ref().map_or(ClientAuth::Basic, Metadata::client_auth);
    }
    if row.token_url.is_none() {
        return Err(lacks("token-url", args));
    }
    if row.authorize_url.is_none() && row.device_url.is_none() {
        return Err(lacks("authorize-url", args));
    }
    if row.client_id.is_none() {
        let what = "which client? name one, or register one at the issuer";
        return Err(Error::usage(what)
            .or_try(format!("keyfob provider add {} --client-id ID (or --register)", args.name)));
    }
    Ok(())
}

/// What the issuer does not say, and no flag either.
fn lacks(flag: &str, args: &Add) -> Error {
    match &args.issuer {
        Some(issuer) => Error::failed(format!("the metadata of {issuer} names no --{flag}"))
            .or_try(format!("keyfob provider add {} --{flag} URL …", args.name)),
        None => Error::usage(format!("{} needs --issuer, or else --{flag}", args.name))
            .or_try(format!("keyfob provider add {} --issuer URL --client-id ID", args.name)),
    }
}

/// A client of our own at the issuer. Strict issuers compare the redirect with its port, so one
/// port is settled for good.
fn register(
    row: &mut Provider,
    metadata: Option<&Metadata>,
    args: &Add,
    app: &App,
) -> Result<Option<Secret>> {
    if args.client_id.is_some() {
        return Err(Error::usage("--client-id and --register exclude each other"));
    }
    let offered = metadata.filter(|metadata| metadata.registration_endpoint.is_some());
    let metadata = offered.ok_or_else(|| {
        let what = format!("{} offers no registration", args.issuer.as_deref().unwrap_or("this"));
        Error::failed(what).or_try(format!("keyfob provider add {} --client-id ID", args.name))
    })?;
    if row.redirect.ports.is_empty() {
        let free = Listener::bind(&row.redirect.host, 0);
        row.redirect.ports.extend(free.ok().map(|listener| listener.port));
    }
    let port = row.redirect.ports.first().copied().unwrap_or_default();
    let redirect_uri = redirect::uri(&row.redirect, port);
    let scope = row.scopes.join(" ");
    let registered = discover::register(metadata, "keyfob", &redirect_uri, &scope, &app.client)?;
    row.client_id = Some(registered.client_id);
    row.client_auth = registered.client_auth;
    Ok(registered.client_secret)
}

/// Writes the row to config.json, and the secret of its client beside it.
pub fn save(row: &Provider, secret: Option<&Secret>, app: &App) -> Result<()> {
    let name = &row.id;
    let mut row = row_json(row, Origin::Config)?;
    if let Some(keys) = row.as_object_mut() {
        // Said by their place in the file.
        keys.remove("origin");
        keys.remove("id");
        keys.retain(|_, value| !value.is_null() && *value != Value::Array(Vec::new()));
    }
    app.store.change_config(|config| {
        config.set("providers", name, row);
        match secret {
            Some(secret) => config.set("client_secrets", name, Value::from(secret.expose())),
            None => {
                config.unset("client_secrets", name);
            }
        }
    })
}
