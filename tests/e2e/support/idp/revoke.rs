//! Revocation (RFC 7009), and how vendors bend it.

use serde_json::json;

use super::Shared;
use super::dialect::Flavour;
use super::http::{Answer, Request};
use super::refusal::{Refusal, require};
use super::token::{body_params, client};

pub fn revoke(shared: &Shared, request: &Request) -> Result<Answer, Refusal> {
    let params = body_params(request, shared.dialect.revoke_body)?;
    let hint = params.text("token_type_hint");
    require(["", "access_token", "refresh_token"].contains(&hint), || {
        format!("token_type_hint is {hint:?}")
    })?;
    let token = params.text("token");
    require(!token.is_empty(), || "token is missing".into())?;
    let flavour = shared.dialect.flavour;
    // Google asks for the token alone; OpenAI for its client only beside a refresh token.
    let asks_client = match flavour {
        Flavour::Claude | Flavour::GitHub | Flavour::IFlow | Flavour::Oidc | Flavour::Qwen => true,
        Flavour::Google => false,
        Flavour::OpenAi => hint != "access_token",
    };
    if asks_client {
        client(shared, request, &params)?;
    }
    let known = shared.world().ledger.revoke(token, flavour == Flavour::Google);
    if !known && flavour == Flavour::Google {
        return Err(Refusal::denied(400, "invalid_token", "token expired or revoked"));
    }
    // An unknown token is revoked as well as any (RFC 7009 section 2.2).
    Ok(Answer::json(200, &json!({})))
}
