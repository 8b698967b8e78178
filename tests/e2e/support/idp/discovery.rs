//! Metadata (OpenID Connect Discovery, RFC 8414) and dynamic registration (RFC 7591).

use serde_json::{Value, json};

use super::Shared;
use super::device::GRANT_TYPE;
use super::dialect::ClientAuth;
use super::encoding::{now_s, random_text};
use super::http::{Answer, Request};
use super::ledger::{Client, Redirects};
use super::redirect::loopback_parts;
use super::refusal::{Refusal, require};

pub fn metadata(shared: &Shared, request: &Request) -> Result<Answer, Refusal> {
    require(request.method == "GET", || format!("method is {}", request.method))?;
    let issuer_path = &shared.dialect.issuer_path;
    let world = shared.world();
    // OpenID appends to the issuer's path, RFC 8414 puts its own part before it.
    let is_openid = request.path == format!("{issuer_path}/.well-known/openid-configuration");
    let is_oauth = request.path == format!("/.well-known/oauth-authorization-server{issuer_path}");
    if !(is_openid && world.openid_metadata || is_oauth && world.oauth_metadata) {
        return Err(Refusal::denied(404, "not_found", "no metadata here"));
    }
    let mut body = document(shared);
    for (key, value) in &world.metadata_patch {
        match (&mut body, value) {
            (Value::Object(map), Value::Null) => {
                map.remove(key);
            }
            (body, value) => body[key.as_str()] = value.clone(),
        }
    }
    Ok(Answer::json(200, &body))
}

fn document(shared: &Shared) -> Value {
    let dialect = &shared.dialect;
    let url = |path: &str| json!(format!("{}{path}", shared.origin));
    let mut body = json!({
        "issuer": shared.issuer(),
        "authorization_endpoint": url(&dialect.authorize_path),
        "token_endpoint": url(&dialect.token_path),
        "jwks_uri": url("/jwks"),
        "response_types_supported": ["code"],
        "grant_types_supported": ["authorization_code", "refresh_token", GRANT_TYPE],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": ["openid", "email", "profile", "offline_access"],
        "token_endpoint_auth_methods_supported":
            ["none", "client_secret_post", "client_secret_basic"],
        "authorization_response_iss_parameter_supported": dialect.iss_in_callback,
    });
    let device_path = dialect.device.as_ref().filter(|rule| rule.openai.is_none());
    let optional = [
        ("device_authorization_endpoint", &device_path.map(|rule| rule.path.clone())),
        ("revocation_endpoint", &dialect.revoke_path),
        ("userinfo_endpoint", &dialect.userinfo_path),
        ("registration_endpoint", &dialect.register_path),
    ];
    for (key, path) in optional {
        if let Some(path) = path {
            body[key] = url(path);
        }
    }
    body
}

pub fn register(shared: &Shared, request: &Request) -> Result<Answer, Refusal> {
    let bad = |text: String| Refusal::violation("invalid_client_metadata", text);
    require(request.method == "POST", || format!("method is {}", request.method))?;
    let found = request.media_type();
    require(found == "application/json", || format!("content type is {found:?}"))?;
    let asked: Value = serde_json::from_str(&request.body).map_err(|e| bad(e.to_string()))?;
    let uris: Vec<String> = asked["redirect_uris"]
        .as_array()
        .map(|list| list.iter().filter_map(Value::as_str).map(str::to_string).collect())
        .unwrap_or_default();
    if uris.is_empty() || !uris.iter().all(|u| loopback_parts(u).is_some() || is_https(u)) {
        let text = format!("redirect_uris are {}", asked["redirect_uris"]);
        return Err(Refusal::violation("invalid_redirect_uri", text));
    }
    checked_list(&asked["grant_types"], &["authorization_code", "refresh_token", GRANT_TYPE])?;
    checked_list(&asked["response_types"], &["code"])?;
    // RFC 7591 section 2: who names no method gets client_secret_basic.
    let method = asked["token_endpoint_auth_method"].as_str().unwrap_or("client_secret_basic");
    let auth = match method {
        "client_secret_basic" => ClientAuth::Basic,
        "client_secret_post" => ClientAuth::Post,
        "none" => ClientAuth::None,
        other => return Err(bad(format!("token_endpoint_auth_method is {other:?}"))),
    };
    let secret = (auth != ClientAuth::None).then(|| format!("secret+/{}", random_text()));
    let id = format!("client-{}", random_text());
    let mut body = asked.clone();
    body["client_id"] = json!(id);
    body["client_id_issued_at"] = json!(now_s());
    body["token_endpoint_auth_method"] = json!(method);
    if let Some(secret) = &secret {
        body["client_secret"] = json!(secret);
        body["client_secret_expires_at"] = json!(0);
    }
    let client = Client { secret, auth, redirects: Redirects::Listed(uris) };
    shared.world().ledger.clients.insert(id, client);
    Ok(Answer::json(201, &body))
}

fn is_https(uri: &str) -> bool {
    uri.starts_with("https://")
}

fn checked_list(asked: &Value, known: &[&str]) -> Result<(), Refusal> {
    let listed = asked.as_array().cloned().unwrap_or_default();
    let stray = listed.iter().find(|value| !known.iter().any(|known| *value == known));
    match stray {
        Some(stray) => {
            Err(Refusal::violation("invalid_client_metadata", format!("{stray} is not offered")))
        }
        None => Ok(()),
    }
}
