//! The client of a sign-in to an MCP server: one that was given, one that is registered already, or a
//! new one (RFC 7591).

use std::time::Duration;

use crate::account::OauthClient;
use crate::error::{Error, Result};
use crate::flows::discover;
use crate::flows::mcp::find_out::FoundOut;
use crate::net::client::Client;
use crate::provider::{ClientAuth, Provider};
use crate::secret::Secret;
use crate::store::{Registration, Server, Store};
use crate::text;
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

/// The client, and the row as it is with it. The client is kept for the next sign-in; the row is, once
/// this one has come to its end (`keep.rs`): until then the account on disk is renewed with its own.
pub fn client(
    found: &FoundOut,
    redirect_uri: &str,
    given: &Given,
    client: &Client,
    store: &Store,
) -> Result<(Provider, OauthClient)> {
    let mut row = found.row.clone();
    let _lock = store.lock_server(&row.id, LOCK_LIMIT)?;
    let known = store.read_server(&row.id)?;
    let (row_before, mut registrations) =
        known.map_or((None, Vec::new()), |known| (Some(known.row), known.registrations));
    let chosen = match &given.id {
        Some(id) => of_person(id, found, given, &mut registrations)?,
        None => ours(found, redirect_uri, given, &mut registrations, client)?,
    };
    row.client_auth = chosen.client_auth;
    row.refusals = CLIENT_GONE.map(str::to_owned).to_vec();
    row.client_id = Some(chosen.client_id.clone());
    let resource = found.resource_said.clone();
    let kept = row_before.unwrap_or_else(|| row.clone());
    store.write_server(&Server { row: kept, registrations, resource })?;
    Ok((row, OauthClient { id: chosen.client_id, secret: chosen.client_secret }))
}

/// A client that the person gave, which belongs to one issuer.
fn of_person(
    id: &str,
    found: &FoundOut,
    given: &Given,
    known: &mut Vec<Registration>,
) -> Result<Registration> {
    let metadata = &found.metadata;
    let server = found.row.server.as_deref().unwrap_or_default();
    if id.starts_with("https://") && !metadata.client_id_metadata_document_supported {
        let what = format!("{} takes no client ID metadata document", metadata.issuer);
        return Err(Error::failed(what).or_try(format!("keyfob login {server} --client-id ID")));
    }
    let elsewhere =
        |one: &&Registration| one.is_given && one.client_id == id && one.issuer != metadata.issuer;
    if let Some(one) = known.iter().find(elsewhere).filter(|_| !given.fresh) {
        let (before, now) = (&one.issuer, &metadata.issuer);
        let what = format!("the client {id} is for {before}, and {server} names {now} now");
        let next = format!("keyfob login {server} --client-id {} --fresh", text::shell_word(id));
        return Err(Error::failed(what).or_try(next));
    }
    let registration = Registration {
        issuer: metadata.issuer.clone(),
        redirect_uri: String::new(),
        client_id: id.to_owned(),
        client_secret: given.secret.clone(),
        client_auth: given.secret.as_ref().map_or(ClientAuth::None, |_| metadata.client_auth()),
        scopes: Vec::new(),
        expires_at: None,
        is_given: true,
    };
    known.retain(|one| !one.is_given);
    known.push(registration.clone());
    Ok(registration)
}

/// The client that the person gave before, else one registered before, else a new one.
fn ours(
    found: &FoundOut,
    redirect_uri: &str,
    given: &Given,
    known: &mut Vec<Registration>,
    client: &Client,
) -> Result<Registration> {
    let now = Timestamp::now().0;
    let is_here = |one: &Registration| {
        one.issuer == found.metadata.issuer && (one.is_given || one.redirect_uri == redirect_uri)
    };
    if given.fresh {
        known.retain(|one| !is_here(one));
    }
    known.retain(|one| one.expires_at.is_none_or(|at| at > now));
    let may_ask = |one: &Registration| {
        one.scopes.is_empty() || found.row.scopes.iter().all(|scope| one.scopes.contains(scope))
    };
    let fitting = known.iter().filter(|one| is_here(one) && may_ask(one));
    if let Some(registration) = fitting.max_by_key(|one| one.is_given) {
        return Ok(registration.clone());
    }
    let registration = register(found, redirect_uri, given, client)?;
    known.retain(|one| !is_here(one) || one.is_given);
    known.push(registration.clone());
    Ok(registration)
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
        scopes: found.row.scopes.clone(),
        expires_at: registered.client_secret_expires_at,
        is_given: false,
    })
}

/// Sets a client aside that its server no longer knows; one that the person gave stays.
pub fn forget(id: &str, client_id: &str, store: &Store) -> Result<()> {
    let _lock = store.lock_server(id, LOCK_LIMIT)?;
    let Some(mut server) = store.read_server(id)? else { return Ok(()) };
    let before = server.registrations.len();
    server.registrations.retain(|one| one.is_given || one.client_id != client_id);
    if server.registrations.len() < before {
        store.write_server(&server)?;
    }
    Ok(())
}

/// The client of the stored sign-in, if its server has said that it no longer knows it.
pub fn gone(id: &str, store: &Store) -> Result<Option<OauthClient>> {
    let Some(id) = store.account_at(id)? else { return Ok(None) };
    let Some(account) = store.read_account(&id)? else { return Ok(None) };
    let is_gone = account.refused.is_some_and(|no| CLIENT_GONE.contains(&no.code.as_str()));
    Ok(account.client.filter(|_| is_gone))
}
