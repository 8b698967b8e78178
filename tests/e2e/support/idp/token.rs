//! The token endpoint: a code for tokens, a refresh token for tokens.

use std::time::Duration;

use serde_json::{Value, json};

use super::dialect::{BodyKind, ClientAuth, Flavour};
use super::encoding::{self, Params};
use super::http::{Answer, Request};
use super::identity;
use super::ledger::{Code, RefreshRefusal};
use super::refusal::{Refusal, require};
use super::{Shared, World, device};

const CODE_LIFETIME: Duration = Duration::from_secs(60);

pub fn token(shared: &Shared, request: &Request) -> Result<Answer, Refusal> {
    let params = body_params(request, shared.dialect.token_body)?;
    let client_id = client(shared, request, &params)?;
    match params.text("grant_type") {
        "authorization_code" => exchange(shared, &params, &client_id),
        device::GRANT_TYPE if has_device_grant(shared) => {
            device::poll(shared, request, &params, &client_id)
        }
        "refresh_token" => refresh(shared, &params, &client_id),
        other => {
            let text = format!("grant_type is {other:?}");
            Err(Refusal::violation("unsupported_grant_type", text))
        }
    }
}

/// The parameters of a POST in the encoding the row says, read strictly.
pub fn body_params(request: &Request, kind: BodyKind) -> Result<Params, Refusal> {
    let bad = |text: String| Refusal::violation("invalid_request", text);
    require(request.method == "POST", || format!("method is {}", request.method))?;
    require(request.query.is_empty(), || "parameters in the query of a POST".into())?;
    let wanted = match kind {
        BodyKind::Form => "application/x-www-form-urlencoded",
        BodyKind::Json => "application/json",
    };
    let found = request.media_type();
    require(found == wanted, || format!("content type is {found:?}, expected {wanted}"))?;
    if kind == BodyKind::Form {
        return encoding::params(&request.body).map_err(bad);
    }
    let value: Value = serde_json::from_str(&request.body).map_err(|e| bad(e.to_string()))?;
    let map = value.as_object().ok_or_else(|| bad("the body is no JSON object".into()))?;
    let mut params = Params::default();
    for (name, value) in map {
        let text = value.as_str().ok_or_else(|| bad(format!("{name} is no string")))?;
        params.0.push((name.clone(), text.into()));
    }
    Ok(params)
}

/// Who asks, proven the way the client is registered for.
pub fn client(shared: &Shared, request: &Request, params: &Params) -> Result<String, Refusal> {
    let refuse = |text: String| Err(Refusal::violation("invalid_client", text));
    let header = request.header("authorization");
    let basic = header.and_then(encoding::basic);
    if header.is_some() && basic.is_none() {
        return refuse("an Authorization header that is not Basic".into());
    }
    let id = params.get("client_id").or(basic.as_ref().map(|(id, _)| id.as_str()));
    let id = id.unwrap_or_default();
    let world = shared.world();
    if world.ledger.forgotten.iter().any(|known| known == id) {
        return Err(Refusal::denied(401, "invalid_client", "the client is no longer known"));
    }
    let Some(client) = world.ledger.clients.get(id) else {
        return refuse(format!("client_id {id:?} is not known"));
    };
    let in_body = params.get("client_secret");
    match client.auth {
        ClientAuth::Basic => match &basic {
            Some((_, secret)) if in_body.is_none() && Some(secret) == client.secret.as_ref() => {}
            Some(_) if in_body.is_some() => return refuse("client_secret sent twice".into()),
            Some(_) => return refuse("client_secret is wrong".into()),
            None => return refuse("no Basic credentials".into()),
        },
        ClientAuth::None => {
            if in_body.is_some() || basic.is_some() {
                return refuse("a public client sent a client_secret".into());
            }
        }
        ClientAuth::PostAndBasic => {
            let wanted = client.secret.as_deref();
            let secret = basic.as_ref().map(|(_, secret)| secret.as_str());
            if basic.as_ref().is_some_and(|(name, _)| name != id) {
                return refuse("two clients in one request".into());
            }
            if secret != wanted || in_body != wanted {
                return refuse("the secret has to come in the body and as Basic".into());
            }
        }
        ClientAuth::Post => {
            if basic.is_some() {
                return refuse("Basic credentials, expected client_secret in the body".into());
            }
            if in_body != client.secret.as_deref() {
                return refuse("client_secret is missing or wrong".into());
            }
        }
    }
    Ok(id.to_string())
}

fn exchange(shared: &Shared, params: &Params, client_id: &str) -> Result<Answer, Refusal> {
    only(
        shared,
        params,
        &["code", "redirect_uri", "code_verifier", "state", "resource", "audience"],
    )?;
    let denied = |text: &str| Err(Refusal::denied(400, "invalid_grant", text));
    let mut world = shared.world();
    let name = params.text("code");
    require(!name.is_empty(), || "code is missing".into())?;
    let Some(code) = world.ledger.codes.get_mut(name) else {
        return denied("the code is not known");
    };
    if code.spent {
        let family = code.family;
        world.count("code_reuse");
        if let Some(family) = family {
            world.ledger.revoke_family(family);
        }
        return denied("the code was used before");
    }
    // Spent whatever comes of it: a verifier cannot be guessed in two tries.
    code.spent = true;
    let code = code.clone();
    if code.issued.elapsed() > CODE_LIFETIME {
        return denied("the code expired");
    }
    checked_exchange(shared, params, client_id, &code)?;
    let family = world.ledger.found_family(client_id, &code.scope, &code.identity);
    if let Some(code) = world.ledger.codes.get_mut(name) {
        code.family = Some(family);
    }
    Ok(tokens(shared, &mut world, family, code.nonce.as_deref()))
}

/// The first tokens of a sign-in.
pub fn tokens(shared: &Shared, world: &mut World, family: usize, nonce: Option<&str>) -> Answer {
    let access = identity::new_access_token(shared, world, family);
    let wants_refresh = shared.dialect.refresh_tokens;
    let refresh = wants_refresh.then(|| identity::new_refresh_token(shared, world, family));
    let answer = identity::token_answer(shared, world, family, &access, refresh.as_deref(), nonce);
    Answer::json(200, &answer)
}

/// OpenAI has an endpoint of its own for that.
fn has_device_grant(shared: &Shared) -> bool {
    shared.dialect.device.as_ref().is_some_and(|rule| rule.openai.is_none())
}

fn checked_exchange(
    shared: &Shared,
    params: &Params,
    client_id: &str,
    code: &Code,
) -> Result<(), Refusal> {
    let wrong = |text: String| Err(Refusal::violation("invalid_grant", text));
    if code.client_id != client_id {
        return wrong("the code belongs to another client".into());
    }
    if params.text("redirect_uri") != code.redirect_uri {
        let found = params.text("redirect_uri");
        return wrong(format!("redirect_uri is {found:?}, was {:?}", code.redirect_uri));
    }
    let verifier = params.text("code_verifier");
    let is_unreserved = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
    if !(43..=128).contains(&verifier.len()) || !verifier.chars().all(is_unreserved) {
        return wrong(format!("code_verifier of {} characters is malformed", verifier.len()));
    }
    if encoding::s256(verifier) != code.challenge {
        return wrong("code_verifier does not match code_challenge".into());
    }
    if verifier == code.state {
        return wrong("state is the code_verifier".into());
    }
    match params.get("state") {
        None if shared.dialect.state_in_token_request => wrong("state is missing".into()),
        Some(_) if !shared.dialect.state_in_token_request => wrong("state is not asked for".into()),
        Some(state) if state != code.state => wrong("state is another login's".into()),
        _ => Ok(()),
    }
}

fn refresh(shared: &Shared, params: &Params, client_id: &str) -> Result<Answer, Refusal> {
    only(shared, params, &["refresh_token", "scope", "resource", "audience"])?;
    let token = params.text("refresh_token");
    require(!token.is_empty(), || "refresh_token is missing".into())?;
    let mut world = shared.world();
    let rotates = shared.dialect.rotates;
    let family = match world.ledger.redeem(token, client_id, rotates) {
        Ok(family) => family,
        Err(refusal) => {
            if refusal == RefreshRefusal::Reused {
                world.count("refresh_reuse");
            }
            return refused_refresh(shared.dialect.flavour, refusal);
        }
    };
    let granted = &world.ledger.family(family).scope;
    let has = |scope: &str| granted.split(' ').any(|known| known == scope);
    if let Some(wider) = params.text("scope").split_whitespace().find(|scope| !has(scope)) {
        let text = format!("scope {wider:?} was never granted");
        return Err(Refusal::violation("invalid_scope", text));
    }
    let access_token = identity::new_access_token(shared, &mut world, family);
    let next = rotates.then(|| identity::new_refresh_token(shared, &mut world, family));
    let answer =
        identity::token_answer(shared, &world, family, &access_token, next.as_deref(), None);
    Ok(Answer::json(200, &answer))
}

/// OpenAI names the cause in an error object of its own; the others follow RFC 6749.
fn refused_refresh(flavour: Flavour, refusal: RefreshRefusal) -> Result<Answer, Refusal> {
    let (code, text) = match refusal {
        RefreshRefusal::OtherClient => {
            let text = "the refresh token belongs to another client";
            return Err(Refusal::violation("invalid_grant", text));
        }
        RefreshRefusal::Reused => ("refresh_token_reused", "the refresh token was used before"),
        RefreshRefusal::Revoked => ("refresh_token_invalidated", "the refresh token was revoked"),
        RefreshRefusal::Unknown => ("refresh_token_invalidated", "no such refresh token"),
    };
    if flavour == Flavour::OpenAi {
        let error = json!({"code": code, "message": text, "type": "invalid_request_error"});
        return Ok(Answer::json(401, &json!({"error": error})));
    }
    Err(Refusal::denied(400, "invalid_grant", text))
}

/// Nothing but these, the client's own and what the row adds; and all of the latter.
pub fn only(shared: &Shared, params: &Params, known: &[&str]) -> Result<(), Refusal> {
    let always = ["grant_type", "client_id", "client_secret"];
    let extra = &shared.dialect.token_params;
    for (name, wanted) in extra {
        let found = params.get(name);
        require(found == Some(wanted), || {
            format!("parameter {name} is {found:?}, expected {wanted:?}")
        })?;
    }
    let stray = params.0.iter().map(|(name, _)| name.as_str()).find(|name| {
        !known.contains(name) && !always.contains(name) && !extra.iter().any(|(n, _)| n == name)
    });
    require(stray.is_none(), || {
        format!("parameter {} does not belong here", stray.unwrap_or_default())
    })
}
