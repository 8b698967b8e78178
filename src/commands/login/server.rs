//! Signing in to an MCP server: what it asks for is found out first, and a client is registered for the
//! redirect that was chosen.

use crate::account::{AccountRef, OauthClient};
use crate::commands::App;
use crate::commands::login::{Login, Ready, browser, device, way};
use crate::error::{Error, Result};
use crate::flows::mcp::find_out::{self, Wanted};
use crate::flows::mcp::register::{self, Given};
use crate::provider::Way;
use crate::secret::Secret;
use crate::store::Store;
use crate::term::prompt;

/// The server that is meant, in its one form, if the login is to one.
pub fn meant(args: &Login, app: &App) -> Result<Option<String>> {
    let Some(account) = &args.account else { return Ok(None) };
    if account.server.is_some() {
        return Ok(account.server.clone());
    }
    let row = app.providers.find(&account.provider)?;
    Ok(row.and_then(|row| row.server.clone()))
}

pub fn run(args: &Login, url: &str) -> Result<()> {
    let app = App::for_server(Store::open()?, args.timeout, url);
    let typed = args.account.as_ref().and_then(|typed| typed.account.clone());
    let mut account = AccountRef::of_server(url.to_owned());
    account.account = typed;
    let known = app.providers.find(&account.provider)?;
    if args.no_resource && args.resource.is_some() {
        return Err(Error::usage("--resource and --no-resource exclude each other"));
    }
    let before = app.store.read_server(&account.provider)?.filter(|_| !args.fresh);
    let scope = args.scope.as_deref();
    let wanted = Wanted {
        id: &account.provider,
        url,
        scope,
        resource: args.resource.as_deref(),
        no_resource: args.no_resource,
        resource_before: before.and_then(|server| server.resource),
        pkce_unlisted: args.pkce_unlisted || known.is_some_and(|row| row.pkce_unlisted),
        ..Wanted::default()
    };
    let found = find_out::find_out(&wanted, None, &app.client)?;
    let is_device = way(&found.row, args)? == Way::Device;
    let row = found.row.clone();
    let client = OauthClient { id: String::new(), secret: None };
    let ready = Ready { account, row, client, server: Some(found) };
    match is_device {
        // No redirect to register: the client is one that was given, or one for this machine.
        true => {
            device::run(args, ready.with_client("http://127.0.0.1/callback", args, &app)?, &app)
        }
        false => browser::run(args, ready, &app),
    }
}

impl Ready {
    /// With the client for this redirect, where the server decides about clients.
    pub fn with_client(mut self, redirect_uri: &str, args: &Login, app: &App) -> Result<Ready> {
        let Some(found) = self.server.take() else { return Ok(self) };
        if let Some(gone) = register::gone(&found.row.id, &app.store)? {
            register::forget(&found.row.id, &gone.id, &app.store)?;
        }
        let given = given(args)?;
        let (row, client) =
            register::client(&found, redirect_uri, &given, &app.client, &app.store)?;
        Ok(Ready { row, client, ..self })
    }
}

fn given(args: &Login) -> Result<Given> {
    let secret = match args.client_secret_stdin {
        true => Some(Secret::new(prompt::piped("client secret")?)),
        false => None,
    };
    if secret.is_some() && args.client_id.is_none() {
        return Err(Error::usage("--client-secret-stdin goes with --client-id"));
    }
    let name = std::env::var("MCP_CLIENT_NAME").ok().filter(|name| !name.is_empty());
    let name = args.client_name.clone().or(name).unwrap_or("keyfob".to_owned());
    Ok(Given { id: args.client_id.clone(), secret, name, fresh: args.fresh })
}
