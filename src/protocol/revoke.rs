//! Token revocation, RFC 7009.

use ureq::http::Request;

use crate::account::OauthClient;
use crate::credential::Tokens;
use crate::endpoint;
use crate::error::Result;
use crate::protocol::request;
use crate::provider::Provider;
use crate::secret::Secret;

/// Revokes the refresh token, which ends the whole grant; the access token when there is no
/// other. None: the row knows no revocation endpoint.
pub fn request(
    row: &Provider,
    client: &OauthClient,
    tokens: &Tokens,
) -> Result<Option<Request<Secret>>> {
    let Some(url) = &row.revoke_url else { return Ok(None) };
    endpoint::check("the revocation endpoint", url)?;
    let (token, hint) = match &tokens.refresh_token {
        Some(token) => (token, "refresh_token"),
        None => (&tokens.access_token, "access_token"),
    };
    let pairs = vec![("token", token.expose()), ("token_type_hint", hint)];
    request::post_as_client(url, row.revoke_body, row.client_auth, client, pairs).map(Some)
}
