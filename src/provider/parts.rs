//! What a row is made of: the ways in, its named departures, and the groups of keys that belong
//! together.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// How one can get in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    ApiKey,
    /// A JWT that somebody else issued.
    Bearer,
    Browser,
    /// A browser session of an instance behind a proxy that signs people in.
    Cookie,
    Device,
    /// Microsoft Entra ID, by whatever identity the machine or its person has.
    Entra,
    /// A Google service account's key file.
    ServiceAccount,
    /// The sign-in of another installed tool.
    Tool,
}

impl Way {
    /// As `provider list` writes it.
    pub fn name(self) -> &'static str {
        match self {
            Way::ApiKey => "api_key",
            Way::Bearer => "bearer",
            Way::Browser => "browser",
            Way::Cookie => "cookie",
            Way::Device => "device",
            Way::Entra => "entra",
            Way::ServiceAccount => "service_account",
            Way::Tool => "tool",
        }
    }
}

/// Client authentication at the token endpoint, RFC 6749 section 2.3.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// The secret in an Authorization header.
    Basic,
    /// A public client: only `client_id` in the body.
    #[default]
    None,
    /// `client_id` and `client_secret` in the body.
    Post,
    /// Both at once, which the RFC forbids and iFlow wants.
    PostAndBasic,
}

/// How a token or revocation request is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    #[default]
    Form,
    Json,
}

/// A named departure from the RFCs, each handled in one place of `protocol`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Quirk {
    /// OpenAI's own device sign-in: JSON both ways, and a code to exchange at the end.
    OpenaiDevice,
    /// The device flow wants PKCE too.
    PkceInDevice,
    /// The API's base stands in the second token itself, as `proxy-ep=` (Copilot).
    ProxyInApiToken,
    /// The authorization endpoint reads the redirect URI from `redirect` (iFlow).
    RedirectParam,
    /// The token endpoint wants `state` beside `code`.
    StateInTokenRequest,
    /// The userinfo endpoint takes the token as the query's `accessToken` (iFlow).
    TokenInQuery,
}

/// The registered redirect: a loopback host and path, with fixed ports or (empty) any port.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Redirect {
    #[serde(default = "loopback_host")]
    pub host: String,
    #[serde(default = "callback_path")]
    pub path: String,
    #[serde(default)]
    pub ports: Vec<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hosted: Option<HostedPage>,
}

/// A page of the provider that shows the code, for people whose browser is elsewhere.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct HostedPage {
    pub url: String,
    pub shows: Shows,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Shows {
    Code,
    /// `code#state`
    CodeAndState,
}

/// JSON pointers (RFC 6901) into `{"id_token": claims, "access_token": claims,
/// "answer": token answer, "userinfo": object}`; the first that finds a string wins.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct IdentityPaths {
    #[serde(default = "email_paths")]
    pub email: Vec<String>,
    #[serde(default = "subject_paths")]
    pub subject: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub organization: Vec<String>,
    /// Further facts, kept in the account's `extra` under these names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extra: BTreeMap<String, Vec<String>>,
}

/// Google Code Assist: which project a sign-in works in is asked for after it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct CodeAssist {
    /// Bases tried in order, each ending in the API version.
    pub urls: Vec<String>,
    pub ide_type: String,
    /// Whether an account without a project is signed up for one.
    pub onboard: bool,
}

/// A second token, kept in the account's `extra` and handed out in place of the first one.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ApiToken {
    /// Asked with GET and the first token.
    pub url: String,
    /// The word before the first token in the Authorization header.
    #[serde(default = "bearer_word")]
    pub scheme: String,
    /// The query parameter that takes the first token in place of a header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// JSON pointers into the answer: the token, and where the provider gives them its expiry
    /// (Unix seconds), the seconds until it should be renewed, and the API's base.
    pub token: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_in: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_base: Option<String>,
}

/// The address of one customer's own installation.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Instance {
    /// There is no address for everyone: one has to be named.
    #[serde(default)]
    pub required: bool,
    /// The address at which this row is; never in a table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Variables that name it, first one set wins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// Paths that belong to the product and not to the address; people paste them along.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub strip: Vec<String>,
    /// What the row becomes there: keys of the row, with `{instance}` for the address and `{host}`
    /// for its host and port.
    #[serde(default)]
    pub row: Map<String, Value>,
}

/// Another installed tool, whose sign-in is read in place and never written.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Tool {
    pub program: String,
    /// The arguments that show who is signed in, and those that sign in.
    pub status: Vec<String>,
    pub login: Vec<String>,
    /// Where it keeps its token, first one that is there; `~` and `$XDG_CONFIG_HOME` are filled in.
    pub files: Vec<String>,
    /// The JSON pointer to the token there.
    pub token: String,
}

/// What its owner has ended.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Closed {
    /// A date.
    pub since: String,
    pub note: String,
}

/// The provider's published rule on sign-ins from other tools (CLI.md section 9).
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Terms {
    pub note: String,
    pub url: String,
    pub checked: String,
    #[serde(default)]
    pub permitted: Vec<String>,
}

impl Default for Redirect {
    fn default() -> Redirect {
        Redirect { host: loopback_host(), path: callback_path(), ports: Vec::new(), hosted: None }
    }
}

impl Default for IdentityPaths {
    fn default() -> IdentityPaths {
        IdentityPaths {
            email: email_paths(),
            subject: subject_paths(),
            organization: Vec::new(),
            extra: BTreeMap::new(),
        }
    }
}

fn bearer_word() -> String {
    "Bearer".to_owned()
}

fn loopback_host() -> String {
    "127.0.0.1".to_owned()
}

fn callback_path() -> String {
    "/callback".to_owned()
}

fn email_paths() -> Vec<String> {
    vec!["/id_token/email".to_owned(), "/userinfo/email".to_owned()]
}

fn subject_paths() -> Vec<String> {
    vec!["/id_token/sub".to_owned(), "/userinfo/sub".to_owned()]
}
