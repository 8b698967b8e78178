//! The second token, which the first one buys: GitHub's short-lived one for Copilot, iFlow's key.
//! Shapes: facts/official-clients.md section 7.2, facts/cliproxyapi.md section 1.10 (2026-11-22).

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::dialect::{ApiTokenRule, Flavour};
use super::encoding::{now_s, random_text};
use super::http::{Answer, Request};
use super::identity::in_query;
use super::ledger::Family;
use super::refusal::{Refusal, require};
use super::{Idp, Shared};

/// What was bought so far, and how it goes on.
pub struct Bought {
    has_plan: bool,
    lifetime_s: u64,
    /// The sign-in's first token, and the end.
    tokens: HashMap<String, (String, Instant)>,
}

impl Default for Bought {
    fn default() -> Self {
        Bought { has_plan: true, lifetime_s: 1800, tokens: HashMap::new() }
    }
}

impl Idp {
    /// For second tokens handed out from now on.
    pub fn set_api_lifetime(&self, seconds: u64) {
        self.shared.world().bought.lifetime_s = seconds;
    }

    /// Whether the person pays for the API at all.
    pub fn set_plan(&self, has_plan: bool) {
        self.shared.world().bought.has_plan = has_plan;
    }

    /// A second token that the API would take now: it and the first one live.
    pub fn accepts_api_token(&self, token: &str) -> bool {
        let world = self.shared.world();
        let found = world.bought.tokens.get(token);
        found
            .is_some_and(|(first, end)| Instant::now() < *end && world.ledger.live(first).is_some())
    }
}

pub fn answer(shared: &Shared, request: &Request) -> Result<Answer, Refusal> {
    let rule = shared.dialect.api_token.as_ref().expect("the role needs a rule");
    require(request.method == "GET", || format!("method is {}", request.method))?;
    for (name, wanted) in &rule.headers {
        let found = request.header(name);
        require(found == Some(wanted), || format!("header {name} is {found:?}"))?;
    }
    let (family, first) = match &rule.query {
        Some(name) => {
            let family = in_query(shared, request, name)?;
            (family, request.query_param(name).unwrap_or_default())
        }
        None => match in_header(shared, request, rule)? {
            Some(found) => found,
            None => {
                let body = json!({"message": "Bad credentials", "status": "401",
                    "documentation_url": "https://docs.github.com/rest"});
                return Ok(Answer::json(401, &body));
            }
        },
    };
    let mut world = shared.world();
    let lifetime_s = world.bought.lifetime_s;
    if !world.bought.has_plan {
        return Ok(no_plan(shared.dialect.flavour));
    }
    let token = match shared.dialect.flavour {
        Flavour::GitHub => format!(
            "tid={};exp={};sku=yearly_subscriber;proxy-ep=proxy.business.githubcopilot.com;8kp=1:{}",
            random_text(),
            now_s() + lifetime_s,
            random_text(),
        ),
        _ => format!("sk-{}", random_text()),
    };
    let end = Instant::now() + Duration::from_secs(lifetime_s);
    world.bought.tokens.insert(token.clone(), (first, end));
    let body = match shared.dialect.flavour {
        Flavour::GitHub => copilot(shared, &token, lifetime_s),
        _ => iflow(&family, &token),
    };
    Ok(Answer::json(200, &body))
}

/// None: nobody knows the token.
fn in_header(
    shared: &Shared,
    request: &Request,
    rule: &ApiTokenRule,
) -> Result<Option<(Family, String)>, Refusal> {
    require(request.query.is_empty(), || format!("query is {:?}", request.query))?;
    let header = request.header("authorization").unwrap_or_default();
    let token = header.strip_prefix(&rule.scheme).and_then(|rest| rest.strip_prefix(' '));
    let word = header.split(' ').next().unwrap_or_default();
    require(token.is_some(), || format!("Authorization begins with {word:?}"))?;
    let token = token.unwrap_or_default();
    let family = shared.world().ledger.live(token).cloned();
    Ok(family.map(|family| (family, token.to_string())))
}

fn copilot(shared: &Shared, token: &str, lifetime_s: u64) -> Value {
    json!({
        "token": token,
        "expires_at": now_s() + lifetime_s,
        "refresh_in": lifetime_s - lifetime_s / 6,
        "endpoints": {
            "api": format!("{}/business", shared.origin),
            "proxy": "https://proxy.business.githubcopilot.com",
        },
        "sku": "yearly_subscriber",
        "chat_enabled": true,
    })
}

/// Its userinfo is the same answer.
pub fn iflow(family: &Family, key: &str) -> Value {
    let data = json!({"apiKey": key, "email": family.identity.email,
        "phone": family.identity.subject});
    json!({"success": true, "code": "200", "data": data})
}

fn no_plan(flavour: Flavour) -> Answer {
    if flavour == Flavour::GitHub {
        let details = json!({"notification_id": "no_copilot_access", "title": "Sign up for Copilot",
            "message": "No access to GitHub Copilot found.", "url": "https://github.com/copilot"});
        let body = json!({"can_signup_for_limited": false, "error_details": details});
        return Answer::json(403, &body);
    }
    Answer::json(200, &json!({"success": false, "message": "this person has no key"}))
}
