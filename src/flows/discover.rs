//! Asking an issuer for its endpoints, and for a client of our own.

use std::borrow::Cow;

use crate::endpoint;
use crate::error::{Error, Result};
use crate::net::client::Client;
use crate::protocol::discovery::{self, Metadata};
use crate::protocol::registration::{self, Registered};
use crate::provider::Provider;

/// The row with the endpoints that only its issuer knows. A row that names its token endpoint is
/// used as it stands, without a request.
pub fn complete<'a>(row: &'a Provider, client: &Client) -> Result<Cow<'a, Provider>> {
    match (&row.token_url, &row.issuer) {
        (None, Some(issuer)) => {
            let mut row = row.clone();
            metadata(issuer, client)?.fill(&mut row);
            let more = row.ways_by_endpoint();
            row.ways
                .extend(more.into_iter().filter(|way| !row.ways.contains(way)).collect::<Vec<_>>());
            Ok(Cow::Owned(row))
        }
        _ => Ok(Cow::Borrowed(row)),
    }
}

/// The issuer's metadata, from the first of its well-known places that has any.
pub fn metadata(issuer: &str, client: &Client) -> Result<Metadata> {
    endpoint::check("the issuer", issuer)?;
    let mut answers = Vec::new();
    for url in discovery::metadata_urls(issuer) {
        let reply = client.send(crate::protocol::request::get(&url, None)?)?;
        match reply.status {
            200 => return discovery::parse_metadata(issuer, &reply.body),
            429 | 500.. => {
                return Err(Error::temporary(format!("{issuer} answered {}", reply.status)));
            }
            status => answers.push(format!("{status} at {url}")),
        }
    }
    let answers = answers.join(" and ");
    Err(Error::failed(format!("{issuer} publishes no metadata: {answers}")).or_try(
        "keyfob provider add NAME --authorize-url URL --token-url URL --client-id ID".to_owned(),
    ))
}

/// A client of our own (RFC 7591), called `client_name` where people are asked.
pub fn register(
    metadata: &Metadata,
    client_name: &str,
    redirect_uri: &str,
    scope: &str,
    client: &Client,
) -> Result<Registered> {
    let reply = client.send(registration::register(metadata, client_name, redirect_uri, scope)?)?;
    if reply.status == 429 || reply.status >= 500 {
        return Err(Error::temporary(format!("the registration answered {}", reply.status)));
    }
    registration::parse_registration(metadata, reply.status, &reply.body)
}
