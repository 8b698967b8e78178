//! MCP servers behind `serve`, as clients reach them that speak HTTP: all that a client knows is one URL of
//! the gateway (facts: codemie.md section 6.7, with what was wrong there put right).

mod refused;
mod sign_in;
mod streams;

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::browser::{self, Page};
use crate::support::idp::encoding::base64url;
use crate::support::running::Running;
use crate::support::sandbox::Sandbox;

const LIMIT: Duration = Duration::from_secs(20);
const JSON: (&str, &str) = ("Content-Type", "application/json");

/// A gateway with one key.
pub struct Gateway {
    pub base: String,
    pub key: String,
    pub running: Running,
    pub sandbox: Sandbox,
}

impl Gateway {
    /// With these in the section `serve` of config.json.
    #[track_caller]
    pub fn start(settings: &Value) -> Gateway {
        let sandbox = Sandbox::new();
        sandbox.write_config(&json!({"serve": settings}));
        let key = sandbox.cmd(&["serve", "key", "add", "tests"]).run().ok().line().to_string();
        let serve = sandbox.cmd(&["serve", "--listen", "127.0.0.1:0"]).env("KEYFOB_LOG", "trace");
        let running = serve.env("MCP_CLIENT_NAME", "keyfob of tests").spawn();
        let line = running.stderr_line_containing("listening on ", LIMIT);
        let base = line.rsplit(' ').next().expect("an address").to_string();
        Gateway { base, key, running, sandbox }
    }

    /// The URL that a client is given for a server.
    pub fn url(&self, server: &str) -> String {
        format!("{}/mcp_auth?original={server}", self.base)
    }

    /// A URL as the gateway makes them.
    pub fn relay_url(&self, root: &str, origin: &str, path: &str) -> String {
        let part = |origin: &str| base64url(origin.as_bytes());
        format!("{}/mcp_relay/{}/{}{path}", self.base, part(root), part(origin))
    }

    /// A message to an MCP server, with the gateway's key and perhaps a token of the server's.
    #[track_caller]
    pub fn say(&self, url: &str, method: &str, token: Option<&str>) -> Page {
        let bearer = token.map(|token| format!("Bearer {token}"));
        let mut headers = vec![JSON, ("X-Api-Key", self.key.as_str())];
        headers.extend(bearer.iter().map(|bearer| ("Authorization", bearer.as_str())));
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": {}}).to_string();
        send("POST", url, &headers, &body)
    }
}

#[track_caller]
pub fn send(method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> Page {
    let page = browser::request(method, url, headers, body);
    page.unwrap_or_else(|e| panic!("{method} {url}: {e}"))
}

/// The answer is a refusal of the gateway's own.
#[track_caller]
pub fn is_refused(page: &Page, status: u16) {
    assert_eq!(page.status, status, "{page:#?}");
    assert_eq!(page.json()["error"]["code"], "MCP_AUTH_ERROR", "{page:#?}");
}
