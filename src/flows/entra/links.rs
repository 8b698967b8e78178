//! The links of the chain, in its order: what each goes by, and what it makes of the answer.

use std::env;
use std::fs::File;
use std::io::Read;
use std::time::Duration;

use ring::rand::SystemRandom;

use crate::account::AccountId;
use crate::credential::Minted;
use crate::endpoint;
use crate::error::{Error, Result};
use crate::flows::program;
use crate::net::client::Client;
use crate::net::reply::Reply;
use crate::protocol::certificate;
use crate::protocol::entra::{self, Answer, Application};
use crate::secret::Secret;
use crate::text;
use crate::time::Timestamp;

/// The public cloud.
const AUTHORITY: &str = "https://login.microsoftonline.com";
const MACHINE: &str = "http://169.254.169.254";
/// A federated token is some 2 KiB.
const ASSERTION_LIMIT_BYTES: u64 = 64 * 1024;

/// A link's name, as `entra_link` keeps it, and how it gets a token.
pub type Link = (&'static str, fn(&Asking) -> Result<Outcome>);

pub const CHAIN: [Link; 5] = [
    ("environment", environment),
    ("workload_identity", workload_identity),
    ("managed_identity", managed_identity),
    ("azure_cli", azure_cli),
    ("azd", azd),
];

pub struct Asking<'a> {
    pub id: &'a AccountId,
    pub scope: &'a str,
    pub client: &'a Client,
}

/// What a link had to say; an Err of it ends the chain.
pub enum Outcome {
    Token(Minted),
    /// It is there and has trouble; a later try may help, and so may the next link.
    NotNow(String),
    /// It is not set up here.
    NotHere(String),
}

/// An application with a secret, else with a certificate.
fn environment(asking: &Asking) -> Result<Outcome> {
    if let Some(why) = missing(&["AZURE_TENANT_ID", "AZURE_CLIENT_ID"]) {
        return Ok(Outcome::NotHere(why));
    }
    let Some(secret) = set("AZURE_CLIENT_SECRET").map(Secret::new) else {
        return match set("AZURE_CLIENT_CERTIFICATE_PATH") {
            Some(path) => with_certificate(&path, asking),
            None => Ok(Outcome::NotHere("AZURE_CLIENT_SECRET is not set".to_owned())),
        };
    };
    let (token_url, client_id) = application()?;
    let app = Application { token_url: &token_url, client_id: &client_id };
    let reply = asking.client.send(entra::with_secret(&app, &secret, asking.scope)?)?;
    granted(asking, &token_url, &reply, &secret).map(Outcome::Token)
}

/// An application with a certificate, whose key signs what is said instead of a secret.
fn with_certificate(path: &str, asking: &Asking) -> Result<Outcome> {
    let variable = "AZURE_CLIENT_CERTIFICATE_PATH";
    let unusable = |why: String| {
        let shown = text::harmless(path, 200);
        Error::failed(format!("{shown} named by {variable} {why}"))
            .or_try(format!("unset {variable}"))
    };
    let pem = read_assertion(path).map_err(|why| unusable(format!("cannot be read: {why}")))?;
    let (token_url, client_id) = application()?;
    let app = Application { token_url: &token_url, client_id: &client_id };
    let random = SystemRandom::new();
    let assertion = certificate::assertion(&app, &pem, &random, Timestamp::now());
    let assertion = assertion.map_err(unusable)?;
    let reply = asking.client.send(entra::with_assertion(&app, &assertion, asking.scope)?)?;
    granted(asking, &token_url, &reply, &assertion).map(Outcome::Token)
}

/// An application that trusts the tokens of this cluster; the file changes by itself.
fn workload_identity(asking: &Asking) -> Result<Outcome> {
    let names = ["AZURE_FEDERATED_TOKEN_FILE", "AZURE_TENANT_ID", "AZURE_CLIENT_ID"];
    if let Some(why) = missing(&names) {
        return Ok(Outcome::NotHere(why));
    }
    let path = set(names[0]).unwrap_or_default();
    let assertion = read_assertion(&path).map_err(|why| {
        let shown = text::harmless(&path, 200);
        Error::failed(format!("cannot read {shown} named by {}: {why}", names[0]))
            .or_try(format!("unset {}", names[0]))
    })?;
    let (token_url, client_id) = application()?;
    let app = Application { token_url: &token_url, client_id: &client_id };
    let reply = asking.client.send(entra::with_assertion(&app, &assertion, asking.scope)?)?;
    granted(asking, &token_url, &reply, &assertion).map(Outcome::Token)
}

fn read_assertion(path: &str) -> std::result::Result<Secret, String> {
    let mut text = String::new();
    let read = File::open(path)
        .and_then(|file| file.take(ASSERTION_LIMIT_BYTES).read_to_string(&mut text));
    read.map_err(|e| text::cause(&e))?;
    match text.trim() {
        "" => Err("it is empty".to_owned()),
        token => Ok(Secret::new(token)),
    }
}

/// The identity of the machine or service that this runs on.
fn managed_identity(asking: &Asking) -> Result<Outcome> {
    let client_id = set("AZURE_CLIENT_ID");
    let client_id = client_id.as_deref();
    if let (Some(url), Some(header)) = (set("IDENTITY_ENDPOINT"), set("IDENTITY_HEADER")) {
        let header = Secret::new(header);
        let request = entra::of_app_service(&url, &header, asking.scope, client_id)?;
        return match asking.client.send_link_local(request)? {
            Some(reply) => granted(asking, &url, &reply, &header).map(Outcome::Token),
            None => Ok(nobody_at(&url)),
        };
    }
    let host = set("AZURE_POD_IDENTITY_AUTHORITY_HOST").unwrap_or_else(|| MACHINE.to_owned());
    let request = entra::of_machine(&host, asking.scope, client_id)?;
    let reply = match asking.client.send_link_local(request) {
        Ok(Some(reply)) => reply,
        Ok(None) => return Ok(nobody_at(&host)),
        Err(Error::Temporary { what, .. }) => return Ok(Outcome::NotNow(what)),
        Err(Error::Unreadable { .. }) => return Ok(not_azure(&host)),
        Err(error) => return Err(error),
    };
    // Other clouds have another service at the same address, and some networks a gateway.
    let nothing = Secret::new("");
    match parse(&reply, &nothing) {
        Answer::Granted(minted) => Ok(Outcome::Token(minted)),
        Answer::Refused(error) if matches!(reply.status, 400 | 403) => {
            let why = format!("{} ({})", error.description, error.code);
            Ok(Outcome::NotHere(format!("this machine has no such identity: {why}")))
        }
        Answer::TryLater(_) if matches!(reply.status, 502 | 504) => Ok(not_azure(&host)),
        Answer::Refused(_) if reply.status == 404 => Ok(not_azure(&host)),
        // The service is being updated; learn.microsoft.com/entra/identity/
        // managed-identities-azure-resources/how-to-use-vm-token#error-handling (2026-11-22).
        Answer::Refused(_) if reply.status == 410 => {
            Ok(Outcome::NotNow(format!("{} is being updated", shown(&host))))
        }
        Answer::TryLater(why) => {
            Ok(Outcome::NotNow(format!("{} has trouble ({why})", shown(&host))))
        }
        Answer::Unreadable(_) => Ok(not_azure(&host)),
        Answer::Refused(_) => granted(asking, &host, &reply, &nothing).map(Outcome::Token),
    }
}

fn nobody_at(url: &str) -> Outcome {
    Outcome::NotHere(format!("nobody answers at {}", shown(url)))
}

fn not_azure(url: &str) -> Outcome {
    Outcome::NotHere(format!("{} is no metadata service of Azure", shown(url)))
}

fn shown(url: &str) -> String {
    endpoint::origin(url).unwrap_or_default()
}

/// Whoever signed in with `az login`.
fn azure_cli(asking: &Asking) -> Result<Outcome> {
    let tenant = set("AZURE_TENANT_ID");
    Ok(ask_tool("az", &entra::az_arguments(asking.scope, tenant.as_deref()), asking))
}

/// Whoever signed in with `azd auth login`.
fn azd(asking: &Asking) -> Result<Outcome> {
    let tenant = set("AZURE_TENANT_ID");
    Ok(ask_tool("azd", &entra::azd_arguments(asking.scope, tenant.as_deref()), asking))
}

/// Whatever goes wrong in a tool, the next link may do.
fn ask_tool(name: &str, arguments: &[&str], asking: &Asking) -> Outcome {
    let Some(path) = program::locate(name) else {
        return Outcome::NotHere(format!("{name} is not installed"));
    };
    let limit = Duration::from_secs(asking.client.timeout_s());
    let ended = match program::run(&path, arguments, limit) {
        Ok(ended) => ended,
        Err(why) => return Outcome::NotHere(format!("{}: {why}", path.display())),
    };
    if !ended.is_success {
        return Outcome::NotHere(match entra::complaint(&ended.stderr) {
            complaint if complaint.is_empty() => format!("{name} failed without a word"),
            complaint => format!("{name} says: {complaint}"),
        });
    }
    match entra::parse_output(&ended.stdout, Timestamp::now()) {
        Some(minted) => Outcome::Token(minted),
        None => Outcome::NotHere(format!("{name} printed no token")),
    }
}

/// The application that the variables name, once both are known to be set.
fn application() -> Result<(String, String)> {
    let authority = set("AZURE_AUTHORITY_HOST").unwrap_or_else(|| AUTHORITY.to_owned());
    let tenant = set("AZURE_TENANT_ID").unwrap_or_default();
    Ok((entra::token_url(&authority, &tenant)?, set("AZURE_CLIENT_ID").unwrap_or_default()))
}

/// The token in an answer; all else is an error. `sent` must not come back in its words.
fn granted(asking: &Asking, url: &str, reply: &Reply, sent: &Secret) -> Result<Minted> {
    match parse(reply, sent) {
        Answer::Granted(minted) => Ok(minted),
        Answer::Refused(error) => Err(Error::Refused {
            provider: asking.id.provider.clone(),
            code: error.code,
            description: error.description,
            next: None,
        }),
        Answer::TryLater(why) => Err(Error::Temporary {
            what: format!("{} gives no token just now ({why})", shown(url)),
            retry_after_s: reply.retry_after_s,
            next: None,
        }),
        Answer::Unreadable(what) => Err(Error::unreadable(shown(url), what)),
    }
}

fn parse(reply: &Reply, sent: &Secret) -> Answer {
    let now = Timestamp::now();
    entra::parse(reply.status, &reply.content_type, &reply.body, &[sent], now)
}

/// A variable's value; one that is empty counts as not set.
fn set(name: &str) -> Option<String> {
    let value = env::var(name).ok()?;
    Some(value.trim().to_owned()).filter(|value| !value.is_empty())
}

/// Which of the variables are not set, in words.
fn missing(names: &[&str]) -> Option<String> {
    let missing: Vec<_> = names.iter().filter(|name| set(name).is_none()).collect();
    let missing: Vec<_> = missing.into_iter().map(|name| (*name).to_owned()).collect();
    let verb = if missing.len() == 1 { "is" } else { "are" };
    (!missing.is_empty()).then(|| format!("{} {verb} not set", text::list(&missing)))
}
