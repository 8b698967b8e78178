//! Which path is whose, and what every caller but a browser has to send.

use super::Shared;
use super::dialect::Flavour;
use super::http::{Answer, Request};
use super::refusal::{Refusal, require};
use super::{api_token, code_assist, device};
use super::{authorize, discovery, identity, revoke, token};

/// The name an endpoint has in counters and faults.
pub fn role(shared: &Shared, request: &Request) -> &'static str {
    let dialect = &shared.dialect;
    let path = request.path.as_str();
    let is = |known: &Option<String>| known.as_deref() == Some(path);
    if path == dialect.token_path {
        return match request.param("grant_type").as_deref() {
            Some("authorization_code") => "token_exchange",
            Some("refresh_token") => "token_refresh",
            Some(device::GRANT_TYPE) => "device_poll",
            _ => "token_other",
        };
    }
    let device = dialect.device.as_ref().and_then(|rule| device::role(rule, path));
    if path == dialect.authorize_path {
        "authorize"
    } else if let Some(role) = device {
        role
    } else if is(&dialect.revoke_path) {
        "revoke"
    } else if dialect.api_token.as_ref().is_some_and(|rule| rule.path == path) {
        // iFlow has one address for both.
        "api_token"
    } else if is(&dialect.userinfo_path) {
        "userinfo"
    } else if is(&dialect.register_path) {
        "register"
    } else if dialect.redirect.hosted.as_ref().is_some_and(|page| page.path == path) {
        "hosted"
    } else if path.contains("/.well-known/o") {
        "discovery"
    } else if path == "/jwks" {
        "jwks"
    } else if path == "/api/hello" {
        "api"
    } else if let Some(base) = &dialect.code_assist_path {
        code_assist::role(path.strip_prefix(base.as_str()).unwrap_or_default())
    } else {
        "other"
    }
}

pub fn handle(shared: &Shared, request: &Request) -> Answer {
    let result = match request.role.as_str() {
        "authorize" => return authorize::authorize(shared, request),
        "device_page" => return device::page(request),
        "hosted" => return authorize::hosted_page(shared, request),
        "other" => Err(Refusal::denied(404, "not_found", "no such page")),
        _ => as_program(request).and_then(|()| program(shared, request)),
    };
    result.unwrap_or_else(|refusal| {
        if refusal.is_violation {
            complain(shared, request, &refusal.description);
        }
        let mut answer = refusal.answer();
        if says_no_with_200(shared, request) {
            answer.status = 200;
        }
        answer
    })
}

/// GitHub, where codes and tokens are handed out.
fn says_no_with_200(shared: &Shared, request: &Request) -> bool {
    shared.dialect.flavour == Flavour::GitHub
        && (request.path == shared.dialect.token_path || request.role == "device_start")
}

fn program(shared: &Shared, request: &Request) -> Result<Answer, Refusal> {
    match request.role.as_str() {
        "api" => identity::hello(shared, request),
        "api_token" => api_token::answer(shared, request),
        "code_assist_load" | "code_assist_onboard" | "code_assist_poll" => {
            code_assist::answer(shared, request)
        }
        "device_poll" if request.path != shared.dialect.token_path => {
            device::openai_poll(shared, request)
        }
        "device_start" => device::start(shared, request),
        "discovery" => discovery::metadata(shared, request),
        "jwks" => Ok(Answer::json(200, &serde_json::json!({"keys": []}))),
        "register" => discovery::register(shared, request),
        "revoke" => revoke::revoke(shared, request),
        "userinfo" => identity::userinfo(shared, request),
        _ => token::token(shared, request),
    }
}

/// The protected resource is also fetched by curl and the like; all else is the product.
fn as_program(request: &Request) -> Result<(), Refusal> {
    let agent = request.header("user-agent").unwrap_or_default();
    require(request.role == "api" || agent.starts_with("keyfob/"), || {
        format!("User-Agent is {agent:?}")
    })
}

pub fn complain(shared: &Shared, request: &Request, what: &str) {
    let line = format!("{} {}: {what}", request.method, request.path);
    shared.world().complaints.push(line);
}
