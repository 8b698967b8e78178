//! What an MCP server asks of its clients: from its challenge to its metadata, to the metadata of its
//! authorization server, to a row (facts: mcp.md section 3; RFC 9728, RFC 8414).

use std::collections::BTreeMap;

use ureq::http::HeaderValue;

use crate::endpoint;
use crate::error::{Error, Result};
use crate::net::client::Client;
use crate::net::reply::Reply;
use crate::protocol::challenge::{self, Challenge};
use crate::protocol::discovery::{self, Metadata, Pkce};
use crate::protocol::resource::{self, Resource};
use crate::protocol::{mcp, request, scopes};
use crate::provider::{Api, Provider, Redirect, Way};

/// What is asked for beside what the server says.
#[derive(Clone, Default)]
pub struct Wanted<'a> {
    /// The provider's id, and the server's URL in its one form.
    pub id: &'a str,
    pub url: &'a str,
    pub scope: Option<&'a str>,
    /// Scopes had before, which a further sign-in must not lose.
    pub scopes_before: Vec<String>,
    pub resource: Option<&'a str>,
    pub no_resource: bool,
    /// What was said of the resource at an earlier sign-in (`Server::resource`).
    pub resource_before: Option<String>,
    pub pkce_unlisted: bool,
}

impl Wanted<'_> {
    /// What was said of the resource, now or before; empty: to name none. None: nothing was.
    fn resource_said(&self) -> Option<String> {
        match (self.no_resource, self.resource) {
            (true, _) => Some(String::new()),
            (false, Some(resource)) => Some(resource.to_owned()),
            (false, None) => self.resource_before.clone(),
        }
    }
}

/// The row without a client, and where to register one.
pub struct FoundOut {
    pub row: Provider,
    pub metadata: Metadata,
    /// As `Server::resource`, to be kept.
    pub resource_said: Option<String>,
}

/// `challenge` is that of a request just turned away; without it the server is asked.
pub fn find_out(
    wanted: &Wanted,
    challenge: Option<Challenge>,
    client: &Client,
) -> Result<FoundOut> {
    let (challenge, is_open) = match challenge {
        Some(challenge) => (challenge, false),
        None => ask_server(wanted.url, client)?,
    };
    let found = resource_metadata(wanted.url, &challenge, client)?;
    if is_open && found.is_none() {
        let next = format!("keyfob mcp-proxy {}", wanted.url);
        return Err(Error::failed(format!("{} asks for no sign-in", wanted.url)).or_try(next));
    }
    let metadata = match &found {
        Some(found) => authorization_server(found, wanted, client)?,
        None => legacy(wanted.url, client)?,
    };
    let row = row_of(wanted, &challenge, found.as_ref(), &metadata)?;
    Ok(FoundOut { row, metadata, resource_said: wanted.resource_said() })
}

/// The challenge of the server to a message without a credential, and whether it took it as it was.
fn ask_server(url: &str, client: &Client) -> Result<(Challenge, bool)> {
    const PING: &str = r#"{"jsonrpc":"2.0","id":"keyfob-0","method":"ping"}"#;
    let reply = client.send(mcp::post(url, PING, &mcp::Dress::default())?)?;
    let challenge = match reply.status {
        401 | 403 => challenge::bearer(reply.header_values("www-authenticate")),
        _ => None,
    };
    Ok((challenge.unwrap_or_default(), (200..300).contains(&reply.status)))
}

fn resource_metadata(
    url: &str,
    challenge: &Challenge,
    client: &Client,
) -> Result<Option<Resource>> {
    for place in resource::metadata_urls(url, challenge.resource_metadata.as_deref()) {
        let Some(reply) = document(&place, client)? else { continue };
        if let Some(found) = resource::parse(url, &reply.body)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// A metadata document; None where there is none: 4xx, 502, or a page.
fn document(url: &str, client: &Client) -> Result<Option<Reply>> {
    endpoint::check("a metadata document", url)?;
    let mut request = request::get(url, None)?;
    let version = HeaderValue::from_static(mcp::LATEST_LEGACY);
    request.headers_mut().insert("mcp-protocol-version", version);
    let reply = client.send(request)?;
    match reply.status {
        200..300 if reply.content_type != "text/html" => Ok(Some(reply)),
        200..500 | 502 => Ok(None),
        _ => match reply.not_now(&endpoint::origin(url).unwrap_or_default()) {
            Some(error) => Err(error),
            None => Ok(None),
        },
    }
}

/// The first server that has metadata; one that fails a check is not passed over.
fn authorization_server(found: &Resource, wanted: &Wanted, client: &Client) -> Result<Metadata> {
    let mut without_list = None;
    for issuer in &found.authorization_servers {
        for url in discovery::server_metadata_urls(issuer) {
            let Some(reply) = document(&url, client)? else { continue };
            let metadata = discovery::parse_server_metadata(issuer, &reply.body)?;
            match metadata.check_pkce() {
                Pkce::S256 => return Ok(metadata),
                Pkce::Refused => {
                    return Err(Error::failed(format!("{issuer} does not support PKCE with S256")));
                }
                Pkce::Absent => without_list = without_list.or(Some(metadata)),
            }
        }
    }
    match without_list {
        Some(metadata) if wanted.pkce_unlisted => Ok(metadata),
        Some(metadata) => {
            let what = format!("{} does not say whether it supports PKCE", metadata.issuer);
            let next = format!("keyfob login {} --pkce-unlisted", wanted.url);
            Err(Error::failed(what).or_try(next))
        }
        None => {
            let issuers = found.authorization_servers.join(" and ");
            let what = format!("{issuers} publishes no metadata of an authorization server");
            Err(Error::failed(what))
        }
    }
}

/// The way of revision 2025-03-26: the server is its own authorization server.
fn legacy(url: &str, client: &Client) -> Result<Metadata> {
    let origin = endpoint::origin(url).unwrap_or_default();
    for place in discovery::server_metadata_urls(&origin) {
        if let Some(reply) = document(&place, client)? {
            return discovery::parse_legacy_metadata(&origin, &reply.body);
        }
    }
    Ok(discovery::legacy_metadata(&origin))
}

fn row_of(
    wanted: &Wanted,
    challenge: &Challenge,
    found: Option<&Resource>,
    metadata: &Metadata,
) -> Result<Provider> {
    let mut row = Provider::named(wanted.id)?;
    wanted.url.clone_into(&mut row.title);
    row.server = Some(wanted.url.to_owned());
    metadata.fill(&mut row);
    // Of a server without metadata nobody said who it is.
    if metadata.issuer.is_empty() || found.is_none() {
        row.issuer = None;
    }
    // Nobody asked for a scope that would let keyfob see who it is.
    row.userinfo_url = None;
    row.ways = vec![Way::Browser];
    row.ways.extend(row.device_url.is_some().then_some(Way::Device));
    let listed = found.map_or(&[][..], |found| &found.scopes);
    let asked = scopes::to_ask(wanted.scope, challenge.scope.as_deref(), listed);
    row.scopes = scopes::union(&[&wanted.scopes_before, &asked]);
    add_offline_access(&mut row, wanted, metadata);
    let said = wanted.resource_said();
    // Where nobody names it, it is the server as the person names it (RFC 8707).
    let found_out = || found.map_or(wanted.url.to_owned(), |found| found.resource.clone());
    let resource = said.unwrap_or_else(found_out);
    if !resource.is_empty() {
        let pair = [("resource".to_owned(), resource)];
        row.authorize_params.extend(pair.clone());
        row.token_params = BTreeMap::from(pair);
    }
    row.redirect = Redirect { ports: ports(wanted.id), ..Redirect::default() };
    row.api = Some(Api { base: wanted.url.to_owned(), dialect: None, ..Api::default() });
    row.pkce_unlisted = wanted.pkce_unlisted;
    Ok(row)
}

/// OpenID's servers give a refresh token only to whoever asks for this scope, and asks anew
/// (OpenID Connect Core section 11). What the person chose stays as it is.
fn add_offline_access(row: &mut Provider, wanted: &Wanted, metadata: &Metadata) {
    const OFFLINE: &str = "offline_access";
    let is_listed = metadata.scopes_supported.iter().any(|scope| scope == OFFLINE);
    if !is_listed || row.scopes.is_empty() || wanted.scope.is_some() {
        return;
    }
    let has_it = |row: &Provider| row.scopes.iter().any(|scope| scope == OFFLINE);
    if !has_it(row) && metadata.may_use("refresh_token") {
        row.scopes.push(OFFLINE.to_owned());
    }
    if has_it(row) {
        row.authorize_params.insert("prompt".to_owned(), "consent".to_owned());
    }
}

/// The same ports each time, so that a registered redirect stays good; then any that is free.
fn ports(id: &str) -> Vec<u16> {
    let sum = id.bytes().fold(0u16, |sum, byte| sum.wrapping_mul(31).wrapping_add(u16::from(byte)));
    let first = 20_000 + sum % 20_000;
    vec![first, first + 1, first + 2, 0]
}
