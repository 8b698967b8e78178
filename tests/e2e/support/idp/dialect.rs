//! What one issuer expects: a plain strict OIDC issuer, or whatever a provider row says.

use serde_json::Value;

use super::redirect::{Hosted, RedirectRule};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum BodyKind {
    Form,
    Json,
}

/// How a client proves itself at the token endpoint.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ClientAuth {
    Basic,
    None,
    Post,
    /// Both, though RFC 6749 section 2.3 forbids it.
    PostAndBasic,
}

/// The shape of token and userinfo answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Flavour {
    Claude,
    /// Tokens without an end; a no comes with 200.
    GitHub,
    Google,
    IFlow,
    Oidc,
    OpenAi,
    Qwen,
}

/// Signing in with a code typed on another machine.
#[derive(Clone, Debug)]
pub struct DeviceRule {
    pub path: String,
    /// Where the person types the code.
    pub page_path: String,
    /// PKCE, which RFC 8628 does not have.
    pub pkce: bool,
    /// OpenAI's own exchange rather than the RFC's.
    pub openai: Option<OpenAiDevice>,
}

#[derive(Clone, Debug)]
pub struct OpenAiDevice {
    pub poll_path: String,
    /// What the code that comes of it is bound to.
    pub redirect_path: String,
}

/// The second token, which the first one buys.
#[derive(Clone, Debug)]
pub struct ApiTokenRule {
    pub path: String,
    /// The word before the first token in the Authorization header.
    pub scheme: String,
    /// The parameter that takes the first token in place of that header.
    pub query: Option<String>,
    /// Must be in the request as they are.
    pub headers: Vec<(String, String)>,
}

/// Every field may be changed before `Idp::start`. Paths start with `/` and have no query.
#[derive(Clone, Debug)]
pub struct Dialect {
    pub flavour: Flavour,
    pub client_id: String,
    pub client_secret: Option<String>,
    pub client_auth: ClientAuth,
    pub authorize_path: String,
    pub token_path: String,
    pub revoke_path: Option<String>,
    pub userinfo_path: Option<String>,
    /// The query the userinfo URL was registered with; must arrive as it is.
    pub userinfo_query: String,
    pub userinfo_headers: Vec<(String, String)>,
    /// The parameter that takes the token in place of a header.
    pub userinfo_token_param: Option<String>,
    pub api_token: Option<ApiTokenRule>,
    pub register_path: Option<String>,
    /// What follows the origin in the issuer's name; empty for most.
    pub issuer_path: String,
    pub device: Option<DeviceRule>,
    pub code_assist_path: Option<String>,
    pub ide_type: String,
    /// The scope asked for must be exactly this, none at all if it is empty; `None` takes any.
    pub scope: Option<String>,
    /// The redirect URI has to come as `redirect` too.
    pub redirect_param: bool,
    pub redirect: RedirectRule,
    pub authorize_params: Vec<(String, String)>,
    /// Must be in every token request.
    pub token_params: Vec<(String, String)>,
    pub token_body: BodyKind,
    pub revoke_body: BodyKind,
    pub state_in_token_request: bool,
    /// Refresh tokens are single use, and an answer to a refresh carries the next one.
    pub rotates: bool,
    /// Hand out refresh tokens at all.
    pub refresh_tokens: bool,
    /// Send `iss` in the callback (RFC 9207).
    pub iss_in_callback: bool,
}

impl Dialect {
    /// A public client `demo-client`, any loopback redirect, form bodies, rotating refresh tokens.
    pub fn oidc() -> Self {
        Dialect {
            flavour: Flavour::Oidc,
            client_id: "demo-client".into(),
            client_secret: None,
            client_auth: ClientAuth::None,
            authorize_path: "/authorize".into(),
            token_path: "/token".into(),
            revoke_path: Some("/revoke".into()),
            userinfo_path: Some("/userinfo".into()),
            userinfo_query: String::new(),
            userinfo_headers: Vec::new(),
            userinfo_token_param: None,
            api_token: None,
            register_path: Some("/register".into()),
            issuer_path: String::new(),
            device: Some(DeviceRule::rfc("/device")),
            code_assist_path: None,
            ide_type: String::new(),
            scope: None,
            redirect_param: false,
            redirect: RedirectRule::any_loopback(),
            authorize_params: Vec::new(),
            token_params: Vec::new(),
            token_body: BodyKind::Form,
            revoke_body: BodyKind::Form,
            state_in_token_request: false,
            rotates: true,
            refresh_tokens: true,
            iss_in_callback: false,
        }
    }

    /// Reads a row of `provider list --json`. That output has no secrets, so the secret comes
    /// separately, or else from the built-in rows. A row without a client id (the person brings
    /// their own) gets `own-client` and, unless one is given, `own-secret`.
    pub fn from_row(row: &Value, client_secret: Option<&str>) -> Self {
        let client_auth = match row["client_auth"].as_str() {
            Some("basic") => ClientAuth::Basic,
            Some("post") => ClientAuth::Post,
            Some("post_and_basic") => ClientAuth::PostAndBasic,
            _ => ClientAuth::None,
        };
        let client_secret = match client_auth {
            ClientAuth::Basic | ClientAuth::Post | ClientAuth::PostAndBasic => Some(
                client_secret
                    .map(str::to_string)
                    .or_else(|| joined(&row["client_secret"]))
                    .or_else(|| built_in_secret(row["id"].as_str()?))
                    .unwrap_or_else(|| "own-secret".into()),
            ),
            ClientAuth::None => None,
        };
        let userinfo = row["userinfo_url"].as_str().map(path_and_query);
        let flavour = flavour(row);
        Dialect {
            flavour,
            client_id: row["client_id"].as_str().unwrap_or("own-client").into(),
            client_secret,
            client_auth,
            authorize_path: path(row, "authorize_url").unwrap_or_else(|| "/authorize".into()),
            token_path: path(row, "token_url").unwrap_or_else(|| "/token".into()),
            revoke_path: path(row, "revoke_url"),
            userinfo_path: userinfo.as_ref().map(|(path, _)| path.clone()),
            userinfo_query: userinfo.map(|(_, query)| query).unwrap_or_default(),
            userinfo_headers: pairs(&row["userinfo_headers"]),
            userinfo_token_param: has_quirk(row, "token_in_query").then(|| "accessToken".into()),
            api_token: api_token_rule(&row["api_token"]),
            register_path: path(row, "register_url"),
            issuer_path: path(row, "issuer").unwrap_or_default().trim_end_matches('/').into(),
            device: device_rule(row),
            code_assist_path: row["code_assist"]["urls"][0].as_str().map(|u| path_and_query(u).0),
            ide_type: row["code_assist"]["ide_type"].as_str().unwrap_or_default().into(),
            scope: row["scopes"]
                .as_array()
                .map(|list| list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")),
            redirect_param: has_quirk(row, "redirect_param"),
            redirect: redirect_rule(&row["redirect"]),
            authorize_params: pairs(&row["authorize_params"]),
            token_params: pairs(&row["token_params"]),
            token_body: body_kind(&row["token_body"]),
            revoke_body: body_kind(&row["revoke_body"]),
            state_in_token_request: has_quirk(row, "state_in_token_request"),
            rotates: flavour != Flavour::Google,
            refresh_tokens: flavour != Flavour::GitHub,
            iss_in_callback: row["iss_in_callback"] == true,
        }
    }
}

impl DeviceRule {
    pub fn rfc(path: &str) -> Self {
        let (path, page_path) = (path.into(), "/activate".into());
        DeviceRule { path, page_path, pkce: false, openai: None }
    }
}

/// The secret a built-in row carries, its parts joined.
pub fn built_in_secret(id: &str) -> Option<String> {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/providers.json"));
    let rows: Value = serde_json::from_str(&text.ok()?).ok()?;
    joined(&rows.as_array()?.iter().find(|row| row["id"] == id)?["client_secret"])
}

/// Splits a URL after its origin; the path is "" where the URL has none.
pub fn path_and_query(url: &str) -> (String, String) {
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    let start = after_scheme.find(['/', '?']).unwrap_or(after_scheme.len());
    let (path, query) =
        after_scheme[start..].split_once('?').unwrap_or((&after_scheme[start..], ""));
    (path.to_string(), query.to_string())
}

fn joined(secret: &Value) -> Option<String> {
    match secret {
        Value::Array(parts) => Some(parts.iter().filter_map(Value::as_str).collect()),
        Value::String(text) => Some(text.clone()),
        _ => None,
    }
}

/// The row says it by where it looks for the person's identity, or by whose hosts it names.
fn flavour(row: &Value) -> Flavour {
    let identity = row["identity"].to_string();
    let token_url = row["token_url"].as_str().unwrap_or_default();
    if identity.contains("/answer/account") {
        Flavour::Claude
    } else if identity.contains("api.openai.com") {
        Flavour::OpenAi
    } else if identity.contains("/userinfo/login") {
        Flavour::GitHub
    } else if identity.contains("/userinfo/data/") {
        Flavour::IFlow
    } else if identity.contains("/answer/resource_url") {
        Flavour::Qwen
    } else if row["code_assist"].is_object()
        || token_url.contains("googleapis.com")
        || identity.contains("emailAddress")
    {
        Flavour::Google
    } else {
        Flavour::Oidc
    }
}

fn path(row: &Value, key: &str) -> Option<String> {
    row[key].as_str().map(|url| path_and_query(url).0)
}

fn has_quirk(row: &Value, name: &str) -> bool {
    row["quirks"].as_array().is_some_and(|quirks| quirks.iter().any(|quirk| quirk == name))
}

fn device_rule(row: &Value) -> Option<DeviceRule> {
    let mut rule = DeviceRule::rfc(&path(row, "device_url")?);
    rule.pkce = has_quirk(row, "pkce_in_device");
    if let Some(page_path) = path(row, "device_page_url") {
        rule.page_path = page_path;
    }
    if has_quirk(row, "openai_device") {
        rule.openai = Some(OpenAiDevice {
            poll_path: path(row, "device_poll_url").expect("the quirk needs device_poll_url"),
            redirect_path: path(row, "device_redirect_uri").expect("and device_redirect_uri"),
        });
    }
    Some(rule)
}

fn api_token_rule(row: &Value) -> Option<ApiTokenRule> {
    Some(ApiTokenRule {
        path: path(row, "url")?,
        scheme: row["scheme"].as_str().unwrap_or("Bearer").into(),
        query: row["query"].as_str().map(str::to_string),
        headers: pairs(&row["headers"]),
    })
}

fn pairs(object: &Value) -> Vec<(String, String)> {
    let Some(map) = object.as_object() else { return Vec::new() };
    map.iter().map(|(k, v)| (k.clone(), v.as_str().unwrap_or_default().to_string())).collect()
}

fn body_kind(value: &Value) -> BodyKind {
    if value == "json" { BodyKind::Json } else { BodyKind::Form }
}

fn redirect_rule(redirect: &Value) -> RedirectRule {
    if !redirect.is_object() {
        return RedirectRule::any_loopback();
    }
    let ports = redirect["ports"].as_array().cloned().unwrap_or_default();
    RedirectRule {
        hosts: vec![redirect["host"].as_str().unwrap_or("127.0.0.1").into()],
        path: redirect["path"].as_str().map(str::to_string),
        ports: ports.iter().filter_map(Value::as_u64).map(|port| port as u16).collect(),
        hosted: redirect["hosted"]["url"].as_str().map(|url| Hosted {
            path: path_and_query(url).0,
            shows_state: redirect["hosted"]["shows"] == "code_and_state",
        }),
    }
}
