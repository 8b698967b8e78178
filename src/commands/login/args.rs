use std::net::IpAddr;

use argh::{ArgsInfo, FromArgs};

use crate::account::AccountRef;
use crate::error::{Error, Result};
use crate::flows::redirect::Asked;
use crate::provider::Provider;

/// Signs in to a provider, on this machine or over SSH, now or in two steps.
#[derive(ArgsInfo, FromArgs)]
#[argh(
    subcommand,
    name = "login",
    help_triggers("-h", "--help"),
    example = "keyfob login claude\nkeyfob login my-idp/work --no-browser\n\
               keyfob login openai --print-auth-url",
    example = "url=$(keyfob login claude --print-auth-url --accept-terms)\n\
               pbpaste | ssh server keyfob login --callback-url -",
    note = "Without a flag a browser is opened, and a pasted address is taken as well.\n\
            Over SSH, in a container or without a display none is opened, and keyfob\n\
            says so. What is pasted may be a whole address, host/path?code=..&state=..,\n\
            code=..&state=.. or code#state."
)]
pub struct Login {
    /// whom to sign in to: PROVIDER, PROVIDER/ACCOUNT, or the URL of an MCP server
    #[argh(positional)]
    pub account: Option<AccountRef>,

    /// print the URL and open nothing; wait for the callback, a paste, or another process
    #[argh(switch)]
    pub no_browser: bool,

    /// print the URL alone on stdout and end; finish later with --callback-url
    #[argh(switch)]
    pub print_auth_url: bool,

    /// finish a login begun anywhere with the address the browser ended on; - reads stdin
    #[argh(option, arg_name = "url")]
    pub callback_url: Option<String>,

    /// finish with a code alone, or code#state; needs PROVIDER; - reads stdin
    #[argh(option, arg_name = "code")]
    pub auth_code: Option<String>,

    /// sign in with a code typed on any other machine
    #[argh(switch)]
    pub device: bool,

    /// finish a device login begun anywhere: ask until it is approved or runs out
    #[argh(switch)]
    pub complete: bool,

    /// store an API key from stdin instead of signing in
    #[argh(switch)]
    pub api_key_stdin: bool,

    /// store a JWT that somebody else issued instead of signing in; - reads stdin
    #[argh(option, arg_name = "token")]
    pub jwt_token: Option<String>,

    /// the address of your own installation: codemie, azure, a GitHub Enterprise host
    #[argh(option, arg_name = "url")]
    pub url: Option<String>,

    /// a Google service account's key file; - reads stdin (vertex)
    #[argh(option, arg_name = "file")]
    pub service_account: Option<String>,

    /// the project to work in (codemie, vertex)
    #[argh(option, arg_name = "name")]
    pub project: Option<String>,

    /// the region to work in, us-central1 by default (vertex)
    #[argh(option, arg_name = "region")]
    pub location: Option<String>,

    /// the deployment to work with (azure)
    #[argh(option, arg_name = "name")]
    pub deployment: Option<String>,

    /// name the login to finish, as `keyfob pending list` shows it
    #[argh(option, arg_name = "id")]
    pub login_id: Option<String>,

    /// also draw the URL as a QR code on stderr
    #[argh(switch)]
    pub qr: bool,

    /// also put the URL on the clipboard of the terminal (OSC 52)
    #[argh(switch)]
    pub copy: bool,

    /// how long to wait for the person, 600 by default; with --complete 0 asks once
    #[argh(option, default = "600", arg_name = "seconds")]
    pub wait: u32,

    /// listen on this port
    #[argh(option, arg_name = "port")]
    pub callback_port: Option<u16>,

    /// listen on this address; the redirect keeps its loopback host
    #[argh(option, arg_name = "address")]
    pub callback_host: Option<String>,

    /// tell the provider who will sign in
    #[argh(option, arg_name = "email")]
    pub login_hint: Option<String>,

    /// passed on to the provider, for example select_account
    #[argh(option, arg_name = "value")]
    pub prompt: Option<String>,

    /// store nothing unless this email or subject signed in
    #[argh(option, arg_name = "identity")]
    pub expect: Option<String>,

    /// let an account name become another identity
    #[argh(switch)]
    pub replace: bool,

    /// ask for these scopes instead of the provider's own
    #[argh(option, arg_name = "scopes")]
    pub scope: Option<String>,

    /// a named set of scopes: full or readonly (google)
    #[argh(option, arg_name = "tier")]
    pub access_tier: Option<String>,

    /// your own OAuth client id, remembered for the provider
    #[argh(option, arg_name = "id")]
    pub client_id: Option<String>,

    /// read your own OAuth client's secret from stdin
    #[argh(switch)]
    pub client_secret_stdin: bool,

    /// your own OAuth client as Google's downloaded JSON; - reads stdin
    #[argh(option, arg_name = "file")]
    pub client_json: Option<String>,

    /// what keyfob calls itself at an MCP server; MCP_CLIENT_NAME does the same
    #[argh(option, arg_name = "name")]
    pub client_name: Option<String>,

    /// register anew at an MCP server, whatever is known from before
    #[argh(switch)]
    pub fresh: bool,

    /// the resource to ask a token for, at an MCP server
    #[argh(option, arg_name = "uri")]
    pub resource: Option<String>,

    /// name no resource, at an MCP server
    #[argh(switch)]
    pub no_resource: bool,

    /// sign in to an MCP server that does not say whether it supports PKCE; remembered
    #[argh(switch)]
    pub pkce_unlisted: bool,

    /// do not ask the provider who signed in
    #[argh(switch)]
    pub no_verify: bool,

    /// agree to the provider's terms note
    #[argh(switch)]
    pub accept_terms: bool,

    /// ask nothing and read nothing from stdin
    #[argh(switch)]
    pub no_input: bool,

    /// print one JSON object
    #[argh(switch)]
    pub json: bool,

    /// longest wait for one network request, 30 by default
    #[argh(option, arg_name = "seconds")]
    pub timeout: Option<u64>,
}

impl Login {
    /// Flags that contradict each other.
    pub fn check(&self) -> Result<()> {
        let ways = [
            ("--print-auth-url", self.print_auth_url),
            ("--callback-url", self.callback_url.is_some()),
            ("--auth-code", self.auth_code.is_some()),
            ("--complete", self.complete),
            ("--api-key-stdin", self.api_key_stdin),
            ("--jwt-token", self.jwt_token.is_some()),
            ("--service-account", self.service_account.is_some()),
        ];
        let given: Vec<_> =
            ways.iter().filter(|(_, given)| *given).map(|(name, _)| *name).collect();
        if let [first, second, ..] = given[..] {
            return Err(Error::usage(format!("{first} and {second} exclude each other")));
        }
        if let Some(host) = &self.callback_host {
            let address = host.trim_matches(['[', ']']);
            if address != "localhost" && address.parse::<IpAddr>().is_err() {
                return Err(Error::usage("--callback-host wants an IP address, or localhost"));
            }
        }
        if self.device && self.api_key_stdin {
            return Err(Error::usage("--device and --api-key-stdin exclude each other"));
        }
        let stdin_users = [
            ("--api-key-stdin", self.api_key_stdin),
            ("--service-account -", self.service_account.as_deref() == Some("-")),
            ("--client-secret-stdin", self.client_secret_stdin),
            ("--client-json -", self.client_json.as_deref() == Some("-")),
        ];
        let readers: Vec<_> = stdin_users.iter().filter(|(_, reads)| *reads).collect();
        if readers.len() > 1 {
            return Err(Error::usage("only one flag can read stdin"));
        }
        Ok(())
    }

    pub fn redirect_asked(&self, headless: bool) -> Asked<'_> {
        Asked { port: self.callback_port, host: self.callback_host.as_deref(), headless }
    }

    /// `--scope`, else the scopes of `--access-tier`, else the row's.
    pub fn scopes_of(&self, row: &Provider) -> Result<Vec<String>> {
        match (&self.scope, &self.access_tier) {
            (Some(_), Some(_)) => Err(Error::usage("--scope and --access-tier exclude each other")),
            (Some(scope), None) => Ok(scope.split_whitespace().map(str::to_owned).collect()),
            (None, Some(tier)) => row.access_tiers.get(tier).cloned().ok_or_else(|| {
                let known: Vec<_> = row.access_tiers.keys().cloned().collect();
                Error::usage(if known.is_empty() {
                    format!("{} has no access tiers", row.id)
                } else {
                    format!("the access tiers of {} are {}", row.id, crate::text::list(&known))
                })
            }),
            (None, None) => Ok(row.scopes.clone()),
        }
    }
}
