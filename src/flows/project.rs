//! Google Code Assist: after a sign-in, the project it works in is looked up, or signed up for.

use std::borrow::Cow;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use ureq::http::Request;

use crate::account::Account;
use crate::error::{Error, Result};
use crate::net::client::Client;
use crate::net::reply::Reply;
use crate::protocol::code_assist::{self, Loaded, Operation};
use crate::provider::{CodeAssist, Provider};
use crate::secret::Secret;

/// The sign-up is asked for this often, and given up after this long.
const POLL: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(60);

/// The project id of the account. Errors are for the person to read: the sign-in itself is good.
pub fn look_up(account: &Account, row: &CodeAssist, client: &Client) -> Result<String> {
    let named = named_project()?;
    let token = account.credential.secret();
    let mut last = Error::failed("the row names no Code Assist address");
    for base in &row.urls {
        let load = code_assist::load(row, base, token, named.as_deref())?;
        let reply = match answer(client, load) {
            Ok(reply) => reply,
            Err(error) => {
                last = error;
                continue;
            }
        };
        return match code_assist::parse_load(&reply.body, named.as_deref(), token) {
            Some(Loaded::Project(project)) => Ok(project),
            Some(Loaded::Onboard(tier)) if row.onboard => {
                onboard(row, base, token, &tier, named.as_deref(), client)
            }
            Some(Loaded::Onboard(_)) => Err(Error::failed("the account has no project yet")),
            Some(Loaded::NeedsProject(why)) => Err(needs_project(&why)),
            Some(Loaded::Ineligible(why)) => {
                Err(Error::failed(format!("Code Assist turns this account away: {why}")))
            }
            None => Err(Error::failed("Code Assist sent no JSON")),
        };
    }
    Err(last)
}

/// The account with the project that Code Assist works in; a login that could not find it is no obstacle.
pub fn filled_in<'a>(
    account: &'a Account,
    row: &Provider,
    client: &Client,
) -> Result<Cow<'a, Account>> {
    let code_assist = row.code_assist.as_ref().filter(|_| account.fact("project_id").is_none());
    let Some(code_assist) = code_assist else { return Ok(Cow::Borrowed(account)) };
    let project = look_up(account, code_assist, client)?;
    let mut account = account.clone();
    account.extra.insert("project_id".to_owned(), Value::from(project));
    Ok(Cow::Owned(account))
}

/// `GOOGLE_CLOUD_PROJECT`, else `GOOGLE_CLOUD_PROJECT_ID`. The service wants the id, not the number.
fn named_project() -> Result<Option<String>> {
    for name in ["GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_PROJECT_ID"] {
        let Some(value) = std::env::var(name).ok().filter(|value| !value.is_empty()) else {
            continue;
        };
        if value.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Error::failed(format!("{name} is a project number; set the project id")));
        }
        return Ok(Some(value));
    }
    Ok(None)
}

fn onboard(
    row: &CodeAssist,
    base: &str,
    token: &Secret,
    tier: &str,
    named: Option<&str>,
    client: &Client,
) -> Result<String> {
    let deadline = Instant::now() + PATIENCE;
    let mut request = code_assist::onboard(row, base, token, tier, named)?;
    loop {
        let reply = answer(client, request)?;
        match code_assist::parse_operation(&reply.body) {
            Some(Operation::Done(project)) => {
                let project = project.or_else(|| named.map(str::to_owned));
                return project.ok_or_else(|| needs_project("the sign-up named no project"));
            }
            Some(Operation::Running(name)) if Instant::now() + POLL < deadline => {
                thread::sleep(POLL);
                request = code_assist::operation(base, token, &name)?;
            }
            Some(Operation::Running(_)) => {
                return Err(Error::temporary("the sign-up for Code Assist takes long"));
            }
            None => return Err(Error::failed("Code Assist sent no JSON")),
        }
    }
}

fn answer(client: &Client, request: Request<Secret>) -> Result<Reply> {
    let reply = client.send(request)?;
    match reply.status {
        200..300 => Ok(reply),
        429 | 500.. => Err(Error::temporary(format!("Code Assist answered {}", reply.status))),
        status => Err(Error::failed(format!("Code Assist answered {status}"))),
    }
}

fn needs_project(why: &str) -> Error {
    let reason = if why.is_empty() { String::new() } else { format!(" ({why})") };
    let cure = "set GOOGLE_CLOUD_PROJECT and sign in again";
    Error::failed(format!("this account needs a Google Cloud project{reason}: {cure}"))
}
