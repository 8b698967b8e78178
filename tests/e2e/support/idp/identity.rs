//! Tokens and answers that say who signed in, in each vendor's shape.

use serde_json::{Value, json};

use super::dialect::Flavour;
use super::encoding::{jwt, now_s, random_text};
use super::http::{Answer, Request};
use super::ledger::Family;
use super::refusal::{Refusal, require};
use super::{Shared, World, api_token};

pub fn new_access_token(shared: &Shared, world: &mut World, family: usize) -> String {
    let lifetime_s = world.access_lifetime_s;
    let token = match shared.dialect.flavour {
        Flavour::Claude => format!("sk-ant-oat01-{}", random_text()),
        Flavour::GitHub => format!("ghu_{}", random_text()),
        Flavour::Google => format!("ya29.{}", random_text()),
        Flavour::IFlow | Flavour::Oidc | Flavour::Qwen => format!("at_{}", random_text()),
        Flavour::OpenAi => {
            let mut claims = openai_claims(shared, world.ledger.family(family), lifetime_s);
            claims["jti"] = json!(random_text());
            jwt(&claims)
        }
    };
    world.ledger.add_access(&token, family, lifetime_s);
    token
}

pub fn new_refresh_token(shared: &Shared, world: &mut World, family: usize) -> String {
    let token = match shared.dialect.flavour {
        Flavour::Claude => format!("sk-ant-ort01-{}", random_text()),
        // The slashes are Google's.
        Flavour::Google => format!("1//0{}", random_text()),
        Flavour::GitHub | Flavour::IFlow | Flavour::Oidc | Flavour::OpenAi | Flavour::Qwen => {
            format!("rt_{}", random_text())
        }
    };
    world.ledger.add_refresh(&token, family);
    token
}

pub fn token_answer(
    shared: &Shared,
    world: &World,
    family: usize,
    access_token: &str,
    refresh_token: Option<&str>,
    nonce: Option<&str>,
) -> Value {
    let family = world.ledger.family(family);
    let mut answer = json!({
        "access_token": access_token,
        "token_type": "Bearer",
        "expires_in": world.access_lifetime_s,
    });
    if !family.scope.is_empty() {
        answer["scope"] = json!(family.scope);
    }
    if let Some(token) = refresh_token {
        answer["refresh_token"] = json!(token);
    }
    let has_scope = |scope: &str| family.scope.split(' ').any(|known| known == scope);
    let email = &family.identity.email;
    let mut claims = match shared.dialect.flavour {
        Flavour::Claude => {
            answer["account"] = json!({"uuid": family.identity.subject, "email_address": email});
            answer["organization"] = json!({"uuid": "org-1", "name": "Demo Organization"});
            return answer;
        }
        Flavour::GitHub => {
            answer["token_type"] = json!("bearer");
            answer.as_object_mut().expect("an object").remove("expires_in");
            return answer;
        }
        Flavour::IFlow => return answer,
        Flavour::Qwen => {
            let host = shared.origin.trim_start_matches("http://");
            answer["resource_url"] = json!(host);
            return answer;
        }
        Flavour::Google
            if !has_scope("openid")
                && !has_scope("https://www.googleapis.com/auth/userinfo.email") =>
        {
            return answer;
        }
        Flavour::Oidc if !has_scope("openid") => return answer,
        Flavour::Google | Flavour::Oidc => base_claims(shared, family, world.access_lifetime_s),
        Flavour::OpenAi => openai_claims(shared, family, world.access_lifetime_s),
    };
    if let Some(nonce) = nonce {
        claims["nonce"] = json!(nonce);
    }
    answer["id_token"] = json!(jwt(&claims));
    answer
}

pub fn userinfo(shared: &Shared, request: &Request) -> Result<Answer, Refusal> {
    require(request.method == "GET", || format!("method is {}", request.method))?;
    let token_param = shared.dialect.userinfo_token_param.as_ref();
    require(token_param.is_some() || request.query == shared.dialect.userinfo_query, || {
        format!("query is {:?}, expected {:?}", request.query, shared.dialect.userinfo_query)
    })?;
    for (name, wanted) in &shared.dialect.userinfo_headers {
        let found = request.header(name);
        require(found == Some(wanted), || format!("header {name} is {found:?}"))?;
    }
    let family = match token_param {
        Some(name) => in_query(shared, request, name)?,
        None => bearer(shared, request)?,
    };
    let (email, subject) = (&family.identity.email, &family.identity.subject);
    let body = match shared.dialect.flavour {
        Flavour::Claude => json!({
            "account": {"uuid": subject, "email": email},
            "organization": {"uuid": "org-1", "name": "Demo Organization"},
        }),
        Flavour::Google if request.path.contains("/gmail/") => {
            json!({"emailAddress": email, "messagesTotal": 3, "historyId": "7"})
        }
        Flavour::Google => json!({"email": email, "id": subject, "verified_email": true}),
        Flavour::GitHub => json!({"login": subject, "id": 1, "email": null, "name": "Me"}),
        Flavour::IFlow => api_token::iflow(&family, "sk-shown-to-nobody"),
        Flavour::Oidc | Flavour::OpenAi | Flavour::Qwen => {
            json!({"sub": subject, "email": email, "email_verified": true})
        }
    };
    Ok(Answer::json(200, &body))
}

/// The protected resource.
pub fn hello(shared: &Shared, request: &Request) -> Result<Answer, Refusal> {
    let family = bearer(shared, request)?;
    Ok(Answer::json(200, &json!({"hello": family.identity.email, "scope": family.scope})))
}

/// The sign-in a live bearer token stands for.
pub fn bearer(shared: &Shared, request: &Request) -> Result<Family, Refusal> {
    let token = request.bearer().unwrap_or_default();
    let family = shared.world().ledger.live(token).cloned();
    family.ok_or_else(|| Refusal::denied(401, "invalid_token", "no live bearer token"))
}

/// The sign-in of a live token that is the query's only parameter, and in no header.
pub fn in_query(shared: &Shared, request: &Request, name: &str) -> Result<Family, Refusal> {
    let params = request.query_params().map_err(|e| Refusal::violation("invalid_request", e))?;
    let is_alone = params.0.len() == 1 && request.header("authorization").is_none();
    require(is_alone && params.get(name).is_some(), || {
        format!("the token has to come as {name}, alone: {:?}", request.query)
    })?;
    let family = shared.world().ledger.live(params.text(name)).cloned();
    family.ok_or_else(|| Refusal::denied(401, "invalid_token", "no live token"))
}

fn base_claims(shared: &Shared, family: &Family, lifetime_s: u64) -> Value {
    json!({
        "iss": shared.issuer(),
        "aud": family.client_id,
        "sub": family.identity.subject,
        "email": family.identity.email,
        "email_verified": true,
        "iat": now_s(),
        "exp": now_s() + lifetime_s,
    })
}

fn openai_claims(shared: &Shared, family: &Family, lifetime_s: u64) -> Value {
    let mut claims = base_claims(shared, family, lifetime_s);
    let subject = &family.identity.subject;
    claims["https://api.openai.com/auth"] = json!({
        "chatgpt_account_id": format!("acct-{subject}"),
        "chatgpt_plan_type": "plus",
        "chatgpt_user_id": subject,
        "organization_id": "org-1",
        "user_id": subject,
    });
    claims["https://api.openai.com/profile"] = json!({"email": family.identity.email});
    claims
}
