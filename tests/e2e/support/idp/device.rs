//! Signing in with a code typed on another machine (RFC 8628), and OpenAI's own way of it.
//! The latter: github.com/openai/codex codex-rs/login/src/device_code_auth.rs (2026-11-21).

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::device_control::Device;
use super::dialect::{BodyKind, DeviceRule, Flavour, OpenAiDevice};
use super::encoding::{self, Params, base64url, encode, escape_html, random_text, s256};
use super::http::{Answer, Request};
use super::ledger::Code;
use super::refusal::{Refusal, require};
use super::token::{body_params, client, only, tokens};
use super::{Shared, World};

pub const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// RFC 8628 section 3.5: what slow_down adds, and the interval where none is named.
pub const INTERVAL_S: u64 = 5;
/// How much earlier than the interval a poll may come.
const TOLERANCE: Duration = Duration::from_millis(100);
/// No vowels, no digits: RFC 8628 section 6.1.
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";

/// What the person has done with a code so far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Decision {
    Approved,
    Denied,
    Expired,
    None,
}

/// How `interval` is written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Interval {
    Absent,
    Number(u64),
    Text(u64),
}

/// How the endpoints answer; every field may be changed by `Idp::shape_device`.
#[derive(Clone, Debug)]
pub struct Shape {
    /// `verification_uri_complete` is there too.
    pub has_complete: bool,
    pub interval: Interval,
    /// False: 404 at the start, as OpenAI has it for accounts that have not switched this on.
    pub is_enabled: bool,
    pub lifetime_s: u64,
    /// OpenAI says "not yet" with 403 or 404.
    pub openai_pending: u16,
    /// Of an error in a poll's answer.
    pub status: u16,
    /// Of slow_down, where it is another.
    pub slow_down_status: Option<u16>,
    /// `verification_url`, and for OpenAI `usercode`.
    pub is_old_spelling: bool,
}

impl Shape {
    /// What is known of the vendor: facts/official-clients.md sections 4 and 7.
    pub fn of(flavour: Flavour) -> Self {
        match flavour {
            Flavour::GitHub => Shape { status: 200, has_complete: false, ..Shape::default() },
            Flavour::Qwen => Shape { slow_down_status: Some(429), ..Shape::default() },
            Flavour::Claude
            | Flavour::Google
            | Flavour::IFlow
            | Flavour::Oidc
            | Flavour::OpenAi => Shape::default(),
        }
    }
}

impl Default for Shape {
    fn default() -> Self {
        Shape {
            has_complete: true,
            interval: Interval::Number(1),
            is_enabled: true,
            lifetime_s: 600,
            openai_pending: 403,
            status: 400,
            slow_down_status: None,
            is_old_spelling: false,
        }
    }
}

pub fn role(rule: &DeviceRule, path: &str) -> Option<&'static str> {
    if path == rule.path {
        Some("device_start")
    } else if rule.openai.as_ref().is_some_and(|openai| openai.poll_path == path) {
        Some("device_poll")
    } else if path == rule.page_path {
        Some("device_page")
    } else {
        None
    }
}

/// Where the person goes; a browser opens it.
pub fn page(request: &Request) -> Answer {
    let code = request.query_param("user_code").unwrap_or_default();
    let button = |deed: &str| {
        let action = format!("/_device?user_code={}&amp;do={deed}", encode(&code));
        format!("<form method=\"post\" action=\"{action}\"><button>{deed}</button></form>")
    };
    if code.is_empty() {
        let field = "<form>Code: <input name=\"user_code\"> <button>continue</button></form>";
        return Answer::html(200, field);
    }
    let code = escape_html(&code);
    Answer::html(200, &format!("<h1>{code}</h1>{}{}", button("approve"), button("deny")))
}

// ---- the start

pub fn start(shared: &Shared, request: &Request) -> Result<Answer, Refusal> {
    let rule = shared.dialect.device.as_ref().expect("the role needs a rule");
    accepts_json(request)?;
    let kind = if rule.openai.is_some() { BodyKind::Json } else { shared.dialect.token_body };
    let params = body_params(request, kind)?;
    let client_id = client(shared, request, &params)?;
    let challenge = if rule.openai.is_some() {
        exactly(&params, &["client_id"])?;
        None
    } else {
        checked_start(shared, rule, &params)?
    };
    let mut world = shared.world();
    if !world.device_shape.is_enabled {
        return Err(Refusal::denied(404, "not_found", "device sign-in is not enabled"));
    }
    let shape = world.device_shape.clone();
    let (interval_s, interval) = match shape.interval {
        Interval::Absent => (INTERVAL_S, Value::Null),
        Interval::Number(seconds) => (seconds, json!(seconds)),
        Interval::Text(seconds) => (seconds, json!(seconds.to_string())),
    };
    let device = Device {
        device_code: format!("dc_{}", random_text()),
        user_code: user_code(),
        client_id,
        scope: params.get("scope").or(shared.dialect.scope.as_deref()).unwrap_or("").into(),
        challenge,
        decision: Decision::None,
        expires: Instant::now() + Duration::from_secs(shape.lifetime_s),
        identity: world.identity.clone(),
        interval_s,
        is_hasty: false,
        is_spent: false,
        family: None,
    };
    let mut answer = match rule.openai {
        Some(_) => openai_start(&device, &shape),
        None => rfc_start(shared, rule, &device, &shape),
    };
    if !interval.is_null() {
        let is_text = rule.openai.is_some();
        answer["interval"] = if is_text { json!(interval_s.to_string()) } else { interval };
    }
    world.devices.push(device);
    Ok(Answer::json(200, &answer))
}

fn checked_start(
    shared: &Shared,
    rule: &DeviceRule,
    params: &Params,
) -> Result<Option<String>, Refusal> {
    let mut known = vec!["client_id", "client_secret", "scope", "resource", "audience"];
    require(params.get("scope") != Some(""), || "scope is empty".into())?;
    if let Some(scope) = &shared.dialect.scope
        && params.text("scope") != scope
    {
        let text = format!("scope is {:?}, expected {scope:?}", params.text("scope"));
        return Err(Refusal::violation("invalid_scope", text));
    }
    if rule.pkce {
        known.extend(["code_challenge", "code_challenge_method"]);
        let method = params.text("code_challenge_method");
        require(method == "S256", || format!("code_challenge_method is {method:?}"))?;
        let challenge = params.text("code_challenge");
        require(is_sha256(challenge), || format!("code_challenge is {challenge:?}"))?;
    }
    exactly(params, &known)?;
    Ok(rule.pkce.then(|| params.text("code_challenge").into()))
}

fn rfc_start(shared: &Shared, rule: &DeviceRule, device: &Device, shape: &Shape) -> Value {
    let uri = format!("{}{}", shared.origin, rule.page_path);
    let spelling = if shape.is_old_spelling { "verification_url" } else { "verification_uri" };
    let mut answer = json!({
        "device_code": device.device_code,
        "user_code": device.user_code,
        "expires_in": shape.lifetime_s,
    });
    if shape.has_complete {
        let complete = format!("{uri}?user_code={}", encode(&device.user_code));
        answer[format!("{spelling}_complete")] = json!(complete);
    }
    answer[spelling] = json!(uri);
    answer
}

fn openai_start(device: &Device, shape: &Shape) -> Value {
    let spelling = if shape.is_old_spelling { "usercode" } else { "user_code" };
    json!({"device_auth_id": device.device_code, spelling: device.user_code})
}

fn user_code() -> String {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    let letters = bytes.map(|byte| char::from(LETTERS[usize::from(byte) % LETTERS.len()]));
    let text: String = letters.iter().collect();
    format!("{}-{}", &text[..4], &text[4..])
}

// ---- polling

/// Looks at the time of a poll, also of one whose answer a fault takes away.
pub fn pace(shared: &Shared, request: &Request) {
    let openai = shared.dialect.device.as_ref().is_some_and(|rule| rule.openai.is_some());
    let name = if openai { "device_auth_id" } else { "device_code" };
    let Some(code) = request.param(name) else { return };
    let mut world = shared.world();
    let same = |other: &&Request| {
        other.role == "device_poll" && other.param(name).as_deref() == Some(&code)
    };
    let last = world.requests.iter().rev().filter(same).nth(1).map(|other| other.at);
    let Some(device) = world.devices.iter_mut().find(|device| device.device_code == code) else {
        return;
    };
    let (Some(last), false) = (last, device.is_spent) else { return };
    let gap = request.at.duration_since(last);
    let wanted = Duration::from_secs(device.interval_s);
    if gap + TOLERANCE < wanted {
        device.is_hasty = true;
        let line = format!("POST {}: polled after {gap:?}, asked for {wanted:?}", request.path);
        world.complaints.push(line);
    }
}

/// The device grant at the token endpoint.
pub fn poll(
    shared: &Shared,
    request: &Request,
    params: &Params,
    client_id: &str,
) -> Result<Answer, Refusal> {
    accepts_json(request)?;
    let pkce = shared.dialect.device.as_ref().is_some_and(|rule| rule.pkce);
    let verifier: &[&str] = if pkce { &["code_verifier"] } else { &[] };
    only(shared, params, &[&["device_code", "resource", "audience"], verifier].concat())?;
    let mut world = shared.world();
    let status = world.device_shape.status;
    let at = decided(&mut world, params.text("device_code"), client_id, status)?;
    let device = &mut world.devices[at];
    device.is_spent = true;
    let device = device.clone();
    if let Some(challenge) = &device.challenge {
        let verifier = params.text("code_verifier");
        if s256(verifier) != *challenge {
            let text = "code_verifier does not match code_challenge";
            return Err(Refusal::violation("invalid_grant", text));
        }
    }
    let family = world.ledger.found_family(client_id, &device.scope, &device.identity);
    world.devices[at].family = Some(family);
    Ok(tokens(shared, &mut world, family, None))
}

/// The approved login of this code, or the error that says how it stands.
fn decided(
    world: &mut World,
    device_code: &str,
    client_id: &str,
    status: u16,
) -> Result<usize, Refusal> {
    require(!device_code.is_empty(), || "device_code is missing".into())?;
    let at = world.devices.iter().position(|device| device.device_code == device_code);
    let Some(at) = at else {
        return Err(Refusal::denied(400, "invalid_grant", "the device code is not known"));
    };
    let slow_down = world.slow_downs.pop_front();
    let device = &mut world.devices[at];
    if device.client_id != client_id {
        let text = "the device code belongs to another client";
        return Err(Refusal::violation("invalid_grant", text));
    }
    if device.is_spent {
        let family = device.family;
        world.count("device_reuse");
        if let Some(family) = family {
            world.ledger.revoke_family(family);
        }
        return Err(Refusal::denied(400, "invalid_grant", "the device code was used before"));
    }
    if std::mem::take(&mut device.is_hasty) || slow_down.is_some() {
        let named = slow_down.flatten();
        device.interval_s = named.unwrap_or(device.interval_s + INTERVAL_S);
        let status = world.device_shape.slow_down_status.unwrap_or(status);
        let refusal = Refusal::denied(status, "slow_down", "polled too often");
        world.count("device_pending");
        return Err(Refusal { interval_s: named, ..refusal });
    }
    let (code, text) = match device.decision {
        Decision::None if Instant::now() <= device.expires => {
            world.count("device_pending");
            ("authorization_pending", "nobody has decided yet")
        }
        Decision::Approved => return Ok(at),
        Decision::Denied => ("access_denied", "the person said no"),
        Decision::Expired | Decision::None => ("expired_token", "the code expired"),
    };
    Err(Refusal::denied(status, code, text))
}

/// OpenAI's own endpoint: an approved login gives a code and the verifier that goes with it.
pub fn openai_poll(shared: &Shared, request: &Request) -> Result<Answer, Refusal> {
    let params = body_params(request, BodyKind::Json)?;
    exactly(&params, &["device_auth_id", "user_code"])?;
    let mut world = shared.world();
    let client_id = shared.dialect.client_id.clone();
    let at = match decided(&mut world, params.text("device_auth_id"), &client_id, 400) {
        Ok(at) => at,
        Err(refusal) if refusal.code == "authorization_pending" => {
            let status = world.device_shape.openai_pending;
            let error = json!({"code": "deviceauth_authorization_pending", "message": "not yet"});
            return Ok(Answer::json(status, &json!({"error": error})));
        }
        Err(refusal) if refusal.is_violation => return Err(refusal),
        Err(refusal) => {
            let error = json!({"code": refusal.code, "message": refusal.description});
            return Ok(Answer::json(refusal.status, &json!({"error": error})));
        }
    };
    let device = &mut world.devices[at];
    let found = params.text("user_code");
    let wanted = &device.user_code;
    require(found == wanted, || format!("user_code is {found:?}, expected {wanted:?}"))?;
    device.is_spent = true;
    let device = device.clone();
    let verifier = base64url(random_text().as_bytes());
    let challenge = encoding::s256(&verifier);
    let code = format!("ac_{}", random_text());
    let redirect = shared.dialect.device.as_ref().and_then(|rule| rule.openai.as_ref());
    let redirect = redirect.map(|openai: &OpenAiDevice| openai.redirect_path.as_str());
    let entry = Code {
        client_id,
        redirect_uri: format!("{}{}", shared.origin, redirect.unwrap_or_default()),
        challenge: challenge.clone(),
        state: String::new(),
        scope: device.scope,
        nonce: None,
        identity: device.identity,
        issued: Instant::now(),
        spent: false,
        family: None,
    };
    world.ledger.codes.insert(code.clone(), entry);
    let answer = json!({
        "authorization_code": code,
        "code_challenge": challenge,
        "code_verifier": verifier,
    });
    Ok(Answer::json(200, &answer))
}

/// Some servers answer in a form to who does not ask for JSON.
fn accepts_json(request: &Request) -> Result<(), Refusal> {
    let accept = request.header("accept").unwrap_or_default();
    require(accept.contains("application/json"), || format!("Accept is {accept:?}"))
}

fn exactly(params: &Params, known: &[&str]) -> Result<(), Refusal> {
    let stray = params.0.iter().find(|(name, _)| !known.contains(&name.as_str()));
    require(stray.is_none(), || format!("a parameter too many: {stray:?}"))
}

fn is_sha256(text: &str) -> bool {
    let is_base64url = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    text.len() == 43 && text.chars().all(is_base64url)
}
