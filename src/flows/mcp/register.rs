//! The client of a sign-in to an MCP server: one that was given, one that is registered already, or a
//! new one (RFC 7591). A registration is good at its issuer and for its redirect URI only.

use std::time::Duration;

use crate::account::OauthClient;
use crate::error::{Error, Result};
use crate::flows::discover;
use crate::flows::mcp::find_out::FoundOut;
use crate::net::client::Client;
use crate::provider::{ClientAuth, Provider};
use crate::secret::Secret;
use crate::store::{Registration, Server, Store};
use crate::time::Timestamp;

const LOCK_LIMIT: Duration = Duration::from_secs(60);

/// A client from outside.
#[derive(Clone, Default)]
pub struct Given {
    pub id: Option<String>,
    pub secret: Option<Secret>,
    /// What keyfob calls itself when it registers.
    pub name: String,
    /// Registrations from before are not used.
    pub fresh: bool,
}

/// What the authorization server says of a client that it no longer knows.
pub const CLIENT_GONE: [&str; 2] = ["invalid_client", "unauthorized_client"];

/// The client, and the row as it is with it; both are kept for whoever finishes and refreshes.
pub fn client(
    found: &FoundOut,
    redirect_uri: &str,
    given: &Given,
    client: &Client,
    store: &Store,
) -> Result<(Provider, OauthClient)> {
    let mut row = found.row.clone();
    let _lock = store.lock_server(&row.id, LOCK_LIMIT)?;
    let mut known = match store.read_server(&row.id)? {
        Some(server) => server.registrations,
        None => Vec::new(),
    };
    let oauth_client = if let Some(id) = &given.id {
        row.client_auth = match given.secret {
            Some(_) => found.metadata.client_auth(),
            None => ClientAuth::None,
        };
        OauthClient { id: id.clone(), secret: given.secret.clone() }
    } else {
        let is_it = |one: &&Registration| {
            one.issuer == found.metadata.issuer
                && one.redirect_uri == redirect_uri
                && one.expires_at.is_none_or(|at| at > Timestamp::now().0)
        };
        let registration = match known.iter().find(is_it).filter(|_| !given.fresh) {
            Some(registration) => registration.clone(),
            None => {
                let registration = register(found, redirect_uri, given, client)?;
                known.retain(|one| !is_it(&one));
                known.push(registration.clone());
                registration
            }
        };
        row.client_auth = registration.client_auth;
        row.refusals = CLIENT_GONE.map(str::to_owned).to_vec();
        OauthClient { id: registration.client_id, secret: registration.client_secret }
    };
    row.client_id = Some(oauth_client.id.clone());
    store.write_server(&Server { row: row.clone(), registrations: known })?;
    Ok((row, oauth_client))
}

fn register(
    found: &FoundOut,
    redirect_uri: &str,
    given: &Given,
    client: &Client,
) -> Result<Registration> {
    let scope = found.row.scopes.join(" ");
    let server = found.row.server.as_deref().unwrap_or_default();
    let registered = discover::register(&found.metadata, &given.name, redirect_uri, &scope, client);
    let registered = registered.map_err(|error| match error {
        Error::Failed { .. } => error.or_try(format!("keyfob login {server} --client-id ID")),
        error => error,
    })?;
    Ok(Registration {
        issuer: found.metadata.issuer.clone(),
        redirect_uri: redirect_uri.to_owned(),
        client_id: registered.client_id,
        client_secret: registered.client_secret,
        client_auth: registered.client_auth,
        expires_at: registered.client_secret_expires_at,
    })
}

/// Sets a client aside that its server no longer knows; false: it was none of ours.
pub fn forget(id: &str, client_id: &str, store: &Store) -> Result<bool> {
    let _lock = store.lock_server(id, LOCK_LIMIT)?;
    let Some(mut server) = store.read_server(id)? else { return Ok(false) };
    let before = server.registrations.len();
    server.registrations.retain(|one| one.client_id != client_id);
    let is_ours = server.registrations.len() < before;
    if is_ours {
        store.write_server(&server)?;
    }
    Ok(is_ours)
}
