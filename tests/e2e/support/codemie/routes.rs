//! What an instance answers: first the ingress with its proxy, then the API behind it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::{API, Answer, Away, Config, Jar, Seen, World, jar};
use crate::support::idp::encoding::{encode, params};

pub fn answer(world: &mut World, request: &Seen) -> Answer {
    let rd = || {
        let found = params(&request.query).ok();
        found.and_then(|all| all.get("rd").map(str::to_owned)).unwrap_or_default()
    };
    match request.path.as_str() {
        "/oauth2/start" => Answer::redirect(&format!("/idp/login?rd={}", encode(&rd()))),
        "/idp/login" if request.method == "POST" => {
            Answer::redirect(&format!("/oauth2/callback?code=idp-code&rd={}", encode(&rd())))
        }
        "/idp/login" => sign_in_page(),
        "/oauth2/callback" => {
            let session = world.new_jar();
            world.sessions.push(session.clone());
            set_cookies(Answer::redirect(&rd()), &session, "Max-Age=3600")
        }
        path => match path.strip_prefix(API) {
            Some(path) => api(world, request, path),
            None => Answer::json(404, &json!({"error": {"message": "Not Found"}})),
        },
    }
}

fn api(world: &mut World, request: &Seen, path: &str) -> Answer {
    if let Some(status) = world.broken {
        return Answer::html("<h1>Bad Gateway</h1>").status(status);
    }
    let shown = jar(request.cookie.as_deref().unwrap_or_default());
    let session = world.position(&shown);
    if let Some(port) = path.strip_prefix("/v1/auth/login/") {
        return login(world, request, port, session.is_some());
    }
    let has_token = request.bearer.as_ref().is_some_and(|token| world.tokens.contains(token));
    match (&request.cookie, &request.bearer) {
        (Some(_), Some(_)) => {
            return Answer::json(401, &json!({"error": {"message": "ambiguous credentials"}}));
        }
        _ if session.is_none() && !has_token => return turned_away(&world.away),
        _ => {}
    }
    let answer = match path {
        "/config.js" => match &world.config {
            Config::Missing => Answer::json(404, &json!({"error": {"message": "Not Found"}})),
            Config::Script(text) => Answer::new(200, "application/javascript", text.as_str()),
        },
        "/v1/user" => Answer::json(200, &world.user),
        "/v1/llm_models" if request.query == "include_all=true" => Answer::json(200, &world.models),
        "/v1/llm_models" => Answer::json(200, &json!([])),
        _ => Answer::json(404, &json!({"error": {"message": "Not Found"}})),
    };
    match (session, world.rotate.clone()) {
        // The proxy does so whatever is asked for, and what was rotated away is no longer good.
        (Some(at), Some(end)) => {
            let fresh = world.new_jar();
            world.sessions[at] = fresh.clone();
            set_cookies(answer, &fresh, &end).with("Set-Cookie", "INGRESSCOOKIE=tracker; Path=/")
        }
        _ => answer,
    }
}

/// `GET /v1/auth/login/<port>`: the browser arrives with its session, or is sent for one.
fn login(world: &World, request: &Seen, port: &str, has_session: bool) -> Answer {
    if !port.parse::<u16>().is_ok_and(|port| port > 0) {
        return Answer::json(422, &json!({"error": {"message": "port: not in 1..65535"}}));
    }
    let session = if world.is_local {
        json!({"provider": "local"})
    } else if has_session {
        let mut cookies = jar(request.cookie.as_deref().unwrap_or_default());
        cookies.retain(|name, _| name.starts_with("_oauth2_proxy"));
        cookies.extend(world.forwarded.clone());
        json!({"provider": "keycloak", "cookies": cookies})
    } else {
        return Answer::redirect(&format!("/oauth2/start?rd={}", encode(&request.path)));
    };
    // Standard base64, and not escaped: what the server does.
    let token = STANDARD.encode(session.to_string());
    Answer::redirect(&format!("http://localhost:{port}/auth?token={token}"))
}

fn turned_away(away: &Away) -> Answer {
    match away {
        Away::Page => sign_in_page(),
        Away::To(address) => Answer::redirect(address),
        Away::Status(status) => {
            Answer::json(*status, &json!({"error": {"message": "Unauthorized", "help": ""}}))
        }
    }
}

fn sign_in_page() -> Answer {
    Answer::html("<!DOCTYPE html><title>Sign in to codemie</title><form method=\"post\"></form>")
}

fn set_cookies(mut answer: Answer, session: &Jar, end: &str) -> Answer {
    for (name, value) in session {
        let line = format!("{name}={value}; Path=/; {end}; HttpOnly; Secure; SameSite=Lax");
        answer = answer.with("Set-Cookie", &line);
    }
    answer
}

impl Answer {
    fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }
}
