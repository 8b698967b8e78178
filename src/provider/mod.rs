//! A provider is a row of data. Built-in, user-made and discovered providers are the
//! same type, and nothing downstream can tell them apart.

mod api;
mod instance;
mod keys;
mod parts;
mod table;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::secret::Secret;

pub use api::{Api, Dialect};
pub use instance::name_of;
pub use parts::{
    ApiToken, Body, ClientAuth, Closed, CodeAssist, IdentityPaths, Instance, Quirk, Redirect,
    Shows, Terms, Tool, Way,
};
pub use table::{Origin, Providers, is_built_in, merge};

/// One provider. Field names are the keys of `providers.json`, of `providers.NAME` in
/// config.json and of `provider list --json`. URLs are absolute; times are dates.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Provider {
    pub id: String,
    #[serde(default)]
    pub title: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    #[serde(default)]
    pub ways: Vec<Way>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// A secret that a vendor publishes in its own open client, in parts to be joined, so
    /// that scanners for leaked keys stay quiet. A user's own secret never stands in a row.
    #[serde(default, skip_serializing)]
    pub client_secret: Vec<String>,
    /// The vendor has no client for everyone: each user brings a client id and secret.
    #[serde(default, skip_serializing_if = "is_false")]
    pub own_client: bool,
    #[serde(default)]
    pub client_auth: ClientAuth,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorize_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_url: Option<String>,
    /// Where a device login asks, opens and ends, for servers that do not say (`openai_device`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_poll_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_page_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_redirect_uri: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoke_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub userinfo_url: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub userinfo_headers: BTreeMap<String, String>,
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Named sets of scopes for `--access-tier`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub access_tiers: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    pub redirect: Redirect,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub authorize_params: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub token_params: BTreeMap<String, String>,
    #[serde(default)]
    pub token_body: Body,
    #[serde(default)]
    pub revoke_body: Body,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quirks: Vec<Quirk>,
    /// Error codes of a refresh that mean "sign in again", beside `invalid_grant`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refusals: Vec<String>,
    /// A gateway renews its tokens so long before they expire.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_lead_s: Option<i64>,
    /// Any 401 to a refresh means "sign in again".
    #[serde(default, skip_serializing_if = "is_false")]
    pub refresh_401_is_final: bool,
    /// The issuer promises `iss` in each callback (RFC 9207), so a missing one is an attack.
    #[serde(default, skip_serializing_if = "is_false")]
    pub iss_in_callback: bool,
    #[serde(default)]
    pub identity: IdentityPaths,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code_assist: Option<CodeAssist>,
    /// The API takes a second token, which the first one buys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_token: Option<ApiToken>,
    /// Customers run it at addresses of their own (`login --url`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<Instance>,
    /// The MCP server from which all the rest was found out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Its authorization server takes PKCE with S256, though its metadata does not say so.
    #[serde(default, skip_serializing_if = "is_false")]
    pub pkce_unlisted: bool,
    /// An installed tool whose sign-in can be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<Tool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api: Option<Api>,
    /// Where the API lists its models, a path below its base.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub models: Option<String>,
    /// A free call that only a good credential gets through, a path below the API's base; without it
    /// the identity or the list of models is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<String>,
    /// The model to use when nobody names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Where a person gets a key, or reads how.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub docs: Option<String>,
    /// A server on this machine may want no key.
    #[serde(default, skip_serializing_if = "is_false")]
    pub key_optional: bool,
    /// Variables from which the provider's own tools read a key, first one set wins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// The row at whose API such keys are used, where this row's API takes sign-ins only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys_at: Option<String>,
    /// The variable that holds a JWT somebody else issued; it goes before what is stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwt_env: Option<String>,
    /// Hosts that take the token as a git password, and the user name they want with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub git_hosts: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub git_username: Option<String>,
    /// Variables for the provider's own tools: a plain value, or `=token`, `=base` (the first token
    /// where there are two), `=api_key`, `=entra` and `=jwt` (the token if it is of that kind),
    /// `=api_base` or `=NAME`, a fact of the account's `extra`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub exports: BTreeMap<String, String>,
    pub terms: Option<Terms>,
    /// The owner has ended this way in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed: Option<Closed>,
    /// Where a person ends the sign-in by hand when no revocation endpoint is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoke_page: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checked: Option<String>,
}

/// What is asked of an issuer when nobody says otherwise: who it is, and a refresh token.
pub fn oidc_scopes() -> Vec<String> {
    ["openid", "email", "offline_access"].map(str::to_owned).to_vec()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

/// Tries the keys one by one: serde's own text would quote the value, which may be a secret.
fn wrong_row(id: &str, row: &Value) -> Error {
    let alone = |key: &str| {
        let mut one = json!({"id": id});
        one[key] = row[key].clone();
        serde_json::from_value::<Provider>(one).is_err()
    };
    let keys = row.as_object().into_iter().flat_map(Map::keys);
    let culprit = keys.into_iter().find(|key| alone(key));
    let which = culprit.map_or(format!("providers.{id}"), |key| format!("providers.{id}.{key}"));
    let what = format!("config.json: {which} is not of the type it has to be");
    Error::failed(what).or_try(format!("keyfob provider remove {id}"))
}

impl Provider {
    /// A row with nothing but its name, to be filled by flags or by discovery.
    pub fn named(id: &str) -> Result<Provider> {
        let row = json!({});
        Provider::from_value(id, &row).ok_or_else(|| wrong_row(id, &row))
    }

    /// A row out of JSON; None when a key is not of the type it has to be.
    fn from_value(id: &str, row: &Value) -> Option<Provider> {
        let mut row = row.clone();
        row.as_object_mut()?.insert("id".to_owned(), Value::from(id));
        let mut row: Provider = serde_json::from_value(row).ok()?;
        if row.ways.is_empty() {
            row.ways = row.ways_by_endpoint();
        }
        if row.scopes.is_empty() && row.issuer.is_some() && row.server.is_none() {
            row.scopes = oidc_scopes();
        }
        Some(row)
    }

    /// The ways in that the row's endpoints allow; an issuer may have any.
    pub fn ways_by_endpoint(&self) -> Vec<Way> {
        let browser = self.issuer.is_some() || self.authorize_url.is_some();
        let browser = browser.then_some(Way::Browser);
        browser.into_iter().chain(self.device_url.is_some().then_some(Way::Device)).collect()
    }

    pub fn published_secret(&self) -> Option<Secret> {
        (!self.client_secret.is_empty()).then(|| Secret::new(self.client_secret.concat()))
    }

    pub fn has_quirk(&self, quirk: Quirk) -> bool {
        self.quirks.contains(&quirk)
    }

    /// The endpoint, or an error that names the missing key.
    pub fn need<'a>(&'a self, url: &'a Option<String>, key: &str) -> Result<&'a str> {
        url.as_deref().ok_or_else(|| {
            Error::failed(format!("provider {} has no {key}", self.id))
                .or_try(format!("keyfob provider show {}", self.id))
        })
    }
}
