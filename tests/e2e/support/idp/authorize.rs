//! The page a person would approve on: checks the request, approves at once.

use std::time::Instant;

use super::Shared;
use super::encoding::{Params, encode, escape_html, random_text};
use super::http::{Answer, Request};
use super::ledger::{Code, Redirects};
use super::redirect::{loopback_parts, matches_registered};
use super::refusal::{Refusal, require};
use super::routes::complain;

const SHORTEST_STATE: usize = 43;
const CHALLENGE_LENGTH: usize = 43;

/// Until client and redirect URI are known to be good the person sees a page; after that every
/// refusal travels to the redirect URI (RFC 6749 section 4.1.2.1).
pub fn authorize(shared: &Shared, request: &Request) -> Answer {
    let params = match checked_target(shared, request) {
        Ok(params) => params,
        Err(refusal) => {
            if refusal.is_violation {
                complain(shared, request, &refusal.description);
            }
            let text = format!("<h1>{}</h1>{}", refusal.code, escape_html(&refusal.description));
            return Answer::html(400, &text);
        }
    };
    match checked_request(shared, &params).map(|()| approve(shared, &params)) {
        Ok(code) => {
            let mut back = vec![("code", code.as_str()), ("state", params.text("state"))];
            let iss = shared.world().callback_iss.clone().unwrap_or_else(|| shared.issuer());
            if shared.dialect.iss_in_callback {
                back.push(("iss", &iss));
            }
            callback(params.text("redirect_uri"), &back)
        }
        Err(refusal) => {
            complain(shared, request, &refusal.description);
            let back = [
                ("error", refusal.code),
                ("error_description", refusal.description.as_str()),
                ("state", params.text("state")),
            ];
            callback(params.text("redirect_uri"), &back)
        }
    }
}

/// What a person who declines sends back; `None` when there is nowhere to send it.
pub fn error_redirect(shared: &Shared, request: &Request, code: &str) -> Option<Answer> {
    let params = checked_target(shared, request).ok()?;
    let description = format!("the issuer says {code}");
    let back =
        [("error", code), ("error_description", &description), ("state", params.text("state"))];
    Some(callback(params.text("redirect_uri"), &back))
}

/// The issuer's own redirect page, which shows the code for the person to copy.
pub fn hosted_page(shared: &Shared, request: &Request) -> Answer {
    let Ok(params) = request.query_params() else { return Answer::html(400, "bad query") };
    let Some(code) = params.get("code") else {
        return Answer::html(200, &format!("<h1>{}</h1>", escape_html(params.text("error"))));
    };
    let with_state = shared.dialect.redirect.hosted.as_ref().is_some_and(|page| page.shows_state);
    let shown =
        if with_state { format!("{code}#{}", params.text("state")) } else { code.to_string() };
    Answer::html(200, &format!("<pre id=\"code\">{}</pre>", escape_html(&shown)))
}

fn checked_target(shared: &Shared, request: &Request) -> Result<Params, Refusal> {
    require(request.method == "GET", || "authorize is opened with GET".into())?;
    let params = request.query_params().map_err(|e| Refusal::violation("invalid_request", e))?;
    let client_id = params.text("client_id");
    let uri = params.text("redirect_uri");
    let world = shared.world();
    if world.ledger.forgotten.iter().any(|id| id == client_id) {
        return Err(Refusal::denied(400, "invalid_client", "the client is no longer known"));
    }
    let Some(client) = world.ledger.clients.get(client_id) else {
        let text = format!("client_id {client_id:?} is not known");
        return Err(Refusal::violation("invalid_client", text));
    };
    match &client.redirects {
        Redirects::Listed(uris) => {
            require(uris.iter().any(|known| matches_registered(uri, known)), || {
                format!("redirect_uri {uri:?} was not registered")
            })?;
        }
        Redirects::Rule(rule) => {
            rule.check(uri, &shared.origin)
                .map_err(|e| Refusal::violation("invalid_request", e))?;
        }
    }
    drop(world);
    Ok(params)
}

fn checked_request(shared: &Shared, params: &Params) -> Result<(), Refusal> {
    let (state, challenge) = (params.text("state"), params.text("code_challenge"));
    if params.text("response_type") != "code" {
        let text = format!("response_type is {:?}", params.text("response_type"));
        return Err(Refusal::violation("unsupported_response_type", text));
    }
    let method = params.text("code_challenge_method");
    require(method == "S256", || format!("code_challenge_method is {method:?}"))?;
    let is_base64url = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    require(challenge.len() == CHALLENGE_LENGTH && challenge.chars().all(is_base64url), || {
        format!("code_challenge {challenge:?} is no SHA-256 in base64url")
    })?;
    require(state.len() >= SHORTEST_STATE, || {
        format!("state has {} characters, {SHORTEST_STATE} hold 256 bits", state.len())
    })?;
    require(state != challenge, || "state is the code_challenge".into())?;
    require(params.get("scope") != Some(""), || "scope is empty".into())?;
    if let Some(scope) = &shared.dialect.scope
        && params.text("scope") != scope
    {
        let text = format!("scope is {:?}, expected {scope:?}", params.text("scope"));
        return Err(Refusal::violation("invalid_scope", text));
    }
    let wanted = shared.dialect.redirect_param.then(|| params.text("redirect_uri"));
    require(params.get("redirect") == wanted, || {
        format!("redirect is {:?}, expected {wanted:?}", params.get("redirect"))
    })?;
    for (name, wanted) in &shared.dialect.authorize_params {
        let value = params.get(name);
        // A person may ask for another prompt than the row does.
        let is_prompt = name == "prompt"
            && value.is_some_and(|v| ["none", "login", "consent", "select_account"].contains(&v));
        require(value == Some(wanted) || is_prompt, || {
            format!("parameter {name} is {value:?}, expected {wanted:?}")
        })?;
    }
    require(params.get("code_verifier").is_none(), || "code_verifier in the browser".into())?;
    require(params.get("client_secret").is_none(), || "client_secret in the browser".into())?;

    let mut world = shared.world();
    let login = (state.to_string(), challenge.to_string());
    let logins = &mut world.ledger.logins;
    require(!logins.iter().any(|(s, c)| (*s == login.0) != (*c == login.1)), || {
        "state or code_challenge was used for another login".into()
    })?;
    if !logins.contains(&login) {
        logins.push(login);
    }
    Ok(())
}

fn approve(shared: &Shared, params: &Params) -> String {
    // Google's codes hold a slash, which has to survive every way back.
    let code = match shared.dialect.flavour {
        super::dialect::Flavour::Google => format!("4/0A{}", random_text()),
        _ => format!("ac_{}", random_text()),
    };
    let mut world = shared.world();
    let entry = Code {
        client_id: params.text("client_id").into(),
        redirect_uri: params.text("redirect_uri").into(),
        challenge: params.text("code_challenge").into(),
        state: params.text("state").into(),
        scope: params.text("scope").into(),
        nonce: params.get("nonce").map(str::to_string),
        identity: world.identity.clone(),
        issued: Instant::now(),
        spent: false,
        family: None,
    };
    world.ledger.codes.insert(code.clone(), entry);
    code
}

fn callback(redirect_uri: &str, params: &[(&str, &str)]) -> Answer {
    let query: Vec<String> =
        params.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    // "http://127.0.0.1:1" without a path is sent on to "/", as browsers do.
    let slash = loopback_parts(redirect_uri).is_some_and(|(_, _, path)| path.is_empty());
    let slash = if slash { "/" } else { "" };
    Answer::redirect(302, &format!("{redirect_uri}{slash}?{}", query.join("&")))
}
