//! Microsoft Entra ID, the metadata service of a virtual machine and that of App Service, on one port of
//! loopback. Each request is checked to the last parameter and header; what is wrong is a complaint.

use std::sync::{Arc, Mutex, MutexGuard};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::agent::KEYFOB;
use super::idp::encoding::now_s;
use super::idp::http::{self, Answer, Request};
use super::rsa_key::RsaKey;
use super::tls::Server;

pub const TENANT: &str = "72f988bf-86f1-41af-91ab-2d7cd011db47";
pub const APPLICATION: &str = "11111111-2222-3333-4444-555555555555";
pub const RESOURCE: &str = "https://cognitiveservices.azure.com";
/// Secrets; every one of them has the word in it.
pub const CLIENT_SECRET: &str = "marker~client+secret/0123456789";
pub const ASSERTION: &str = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJtYXJrZXIifQ.marker-assertion";
pub const HEADER: &str = "marker-identity-header-0123456789";

const BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The three services; they stop when dropped.
pub struct Entra {
    server: Server,
    state: Arc<Mutex<State>>,
}

struct State {
    requests: Vec<Request>,
    complaints: Vec<String>,
    /// Role to status and body, in place of a token.
    answers: Vec<(String, u16, String)>,
    lifetime_s: u64,
    issued: Vec<String>,
}

impl Entra {
    #[allow(clippy::new_without_default)]
    pub fn start() -> Self {
        let state = State {
            requests: Vec::new(),
            complaints: Vec::new(),
            answers: Vec::new(),
            lifetime_s: 3600,
            issued: Vec::new(),
        };
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        let server = Server::start(move |mut stream, agents| {
            let request = http::read(&mut stream)?;
            agents.check(&request.path, request.header("user-agent"));
            let answer = shared.lock().expect("no thread panics").answer(request);
            answer.send(&mut stream)
        });
        Entra { server, state }
    }

    pub fn origin(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// `IDENTITY_ENDPOINT`
    pub fn app_service(&self) -> String {
        format!("{}/msi/token", self.origin())
    }

    /// `environment`, `workload_identity`, `managed_identity` (a machine's), `app_service`: what every
    /// request to it gets from now on.
    pub fn answers(&self, role: &str, status: u16, body: impl Into<String>) {
        self.state().answers.insert(0, (role.into(), status, body.into()));
    }

    /// Of the tokens to come.
    pub fn set_lifetime(&self, seconds: u64) {
        self.state().lifetime_s = seconds;
    }

    /// Who was asked, in order.
    pub fn roles(&self) -> Vec<String> {
        self.requests().into_iter().map(|request| request.role).collect()
    }

    pub fn requests(&self) -> Vec<Request> {
        self.state().requests.clone()
    }

    pub fn has_issued(&self, token: &str) -> bool {
        self.state().issued.iter().any(|issued| issued == token)
    }

    /// Fails the test if a request was not as it has to be.
    #[track_caller]
    pub fn assert_content(&self) {
        let complaints = self.state().complaints.clone();
        assert!(complaints.is_empty(), "{complaints:#?}");
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics")
    }
}

/// A JWT with these claims, good for so many seconds.
pub fn token(mut claims: Value, number: usize, lifetime_s: u64) -> String {
    claims["exp"] = json!(now_s() + lifetime_s);
    claims["jti"] = json!(format!("marker-{number}"));
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.c2ln", part(&json!({"alg": "none"})), part(&claims))
}

impl State {
    fn answer(&mut self, mut request: Request) -> Answer {
        request.role = role(&request).to_owned();
        let role = request.role.clone();
        self.requests.push(request.clone());
        if let Err(complaint) = check(&request) {
            self.complaints.push(format!("{role}: {complaint}"));
            return Answer::json(400, &json!({"error": "invalid_request"}));
        }
        if let Some((_, status, body)) = self.answers.iter().find(|(of, _, _)| *of == role) {
            let is_json = body.starts_with('{');
            let content_type = if is_json { "application/json" } else { "text/html" };
            return Answer::new(*status, content_type, body.clone());
        }
        let lifetime_s = self.lifetime_s;
        let claims = json!({"appid": APPLICATION, "oid": format!("object-of-{role}")});
        let token = token(claims, self.issued.len(), lifetime_s);
        self.issued.push(token.clone());
        let expires_on = (now_s() + lifetime_s).to_string();
        Answer::json(
            200,
            &match role.as_str() {
                "managed_identity" => {
                    json!({"access_token": token, "expires_in": lifetime_s.to_string(),
                "expires_on": expires_on, "resource": RESOURCE, "token_type": "Bearer"})
                }
                "app_service" => json!({"access_token": token, "expires_on": expires_on,
                "resource": RESOURCE, "token_type": "Bearer", "client_id": APPLICATION}),
                _ => {
                    json!({"access_token": token, "expires_in": lifetime_s, "token_type": "Bearer",
                "ext_expires_in": lifetime_s})
                }
            },
        )
    }
}

fn role(request: &Request) -> &'static str {
    match request.path.as_str() {
        "/metadata/identity/oauth2/token" => "managed_identity",
        "/msi/token" => "app_service",
        path if path.ends_with("/oauth2/v2.0/token") => {
            match request.param("client_assertion").as_deref() {
                Some(ASSERTION) => "workload_identity",
                Some(_) => "certificate",
                None => "environment",
            }
        }
        _ => "unknown",
    }
}

/// What a strict service would say.
fn check(request: &Request) -> Result<(), String> {
    let wants = |holds: bool, what: &str| if holds { Ok(()) } else { Err(what.to_owned()) };
    wants(request.header("user-agent") == Some(KEYFOB), "it says who it is")?;
    wants(request.header("authorization").is_none(), "no credential of anybody else")?;
    let scope = format!("{RESOURCE}/.default");
    let assertion = request.param("client_assertion").unwrap_or_default();
    let mut wanted = match request.role.as_str() {
        "environment" => vec![("client_secret", CLIENT_SECRET)],
        "workload_identity" => {
            vec![("client_assertion", ASSERTION), ("client_assertion_type", BEARER)]
        }
        "certificate" => {
            check_signed(&assertion, &request.path)?;
            vec![("client_assertion", assertion.as_str()), ("client_assertion_type", BEARER)]
        }
        "managed_identity" => vec![("api-version", "2018-02-01"), ("resource", RESOURCE)],
        "app_service" => vec![("api-version", "2019-08-01"), ("resource", RESOURCE)],
        _ => return Err(format!("nothing is at {}", request.path)),
    };
    let is_metadata = request.header("metadata") == Some("true");
    let identity = request.header("x-identity-header");
    let (given, method) = match request.role.as_str() {
        "managed_identity" | "app_service" => {
            let is_machine = request.role == "managed_identity";
            wants(is_metadata == is_machine, "the header Metadata is for the machine's service")?;
            wants(identity == (!is_machine).then_some(HEADER), "X-IDENTITY-HEADER")?;
            (request.query_params()?.0, "GET")
        }
        _ => {
            wants(request.query.is_empty(), "no secret in a query")?;
            let form = "application/x-www-form-urlencoded";
            wants(request.media_type() == form, "a form")?;
            let path = format!("/{TENANT}/oauth2/v2.0/token");
            wants(request.path == path, &format!("{path}, not {}", request.path))?;
            wanted.extend([("grant_type", "client_credentials"), ("scope", scope.as_str())]);
            wanted.push(("client_id", APPLICATION));
            (super::idp::encoding::params(&request.body)?.0, "POST")
        }
    };
    wants(request.method == method, method)?;
    for (name, value) in &given {
        // The identity of a service is the system's own, unless the person names another.
        let is_choice = method == "GET" && name == "client_id" && value == APPLICATION;
        let is_wanted = wanted.iter().any(|(n, v)| n == name && v == value);
        wants(is_wanted || is_choice, &format!("{name}={value}"))?;
    }
    let missing = wanted.iter().find(|(name, _)| !given.iter().any(|(n, _)| n == name));
    wants(missing.is_none(), &format!("{missing:?} is missing"))
}

/// PS256 by the test's key, with the thumbprint of some certificate, for this endpoint, and short-lived.
fn check_signed(assertion: &str, path: &str) -> Result<(), String> {
    let (signed, signature) = assertion.rsplit_once('.').ok_or("no JWT")?;
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|e| e.to_string());
    if !RsaKey::one().has_signed_pss(signed, &decode(signature)?) {
        return Err("the signature is not the certificate's".to_owned());
    }
    let (header, claims) = signed.split_once('.').ok_or("no JWT")?;
    let json =
        |part| serde_json::from_slice::<Value>(&decode(part)?).map_err(|e| format!("no JSON: {e}"));
    let (header, claims) = (json(header)?, json(claims)?);
    let thumbprint = header["x5t#S256"].as_str().unwrap_or_default();
    let audience = claims["aud"].as_str().unwrap_or_default();
    let (from, to) = (claims["nbf"].as_u64().unwrap_or(0), claims["exp"].as_u64().unwrap_or(0));
    let holds = header["alg"] == "PS256"
        && decode(thumbprint)?.len() == 32
        && audience.ends_with(path)
        && claims["iss"] == APPLICATION
        && claims["sub"] == APPLICATION
        && claims["jti"].as_str().is_some_and(|id| id.len() >= 16)
        && from <= now_s()
        && (now_s()..=now_s() + 900).contains(&to);
    if holds { Ok(()) } else { Err(format!("{header} {claims}")) }
}
