//! Using an API with an account: to whom a session may be shown, and what a refusal means.

use crate::account::Account;
use crate::credential::Credential;
use crate::endpoint;
use crate::error::{Error, Result};
use crate::flows::session;
use crate::net::reply::Reply;
use crate::protocol::chat::fault::{self, Cure, Fault};
use crate::store::Store;
use crate::text;

/// A browser session is shown to the host it came from and to no other.
pub fn check_host(account: &Account, url: &str) -> Result<()> {
    let is_cookie = matches!(account.credential, Credential::Cookie(..));
    if is_cookie && endpoint::origin(url) != account.issued_by {
        let what = format!("{}: the session belongs to another host than {url}", account.id);
        return Err(Error::failed(what).or_try(account.id.login_command()));
    }
    Ok(())
}

/// Keeps what the answer made of a session; the answer is good whether or not that succeeds.
pub fn keep_rotated(account: &Account, reply: &Reply, store: &Store) {
    if let Err(error) = session::keep_rotated(account, reply, store) {
        crate::log::warn(&format!("the session was renewed and not kept: {error}"));
    }
}

/// What the API said, without the secret that it was sent: some repeat the request in their answers.
pub fn scrubbed(account: &Account, said: &str) -> String {
    let secret = account.secret().expose();
    let mut secrets = vec![secret];
    if matches!(account.credential, Credential::Cookie(..)) {
        let pairs = secret.split(';').filter_map(|pair| pair.split_once('='));
        secrets.extend(pairs.map(|(_, value)| value.trim()));
    }
    text::scrub(said, &secrets)
}

/// Whether the answer says that nobody knows the key: Google says so with 400.
pub fn is_unknown_key(reply: &Reply) -> bool {
    let Fault::Told { code, words } = fault::of_body(reply.body.expose()) else { return false };
    reply.status == 400 && fault::cure(Some(400), &code, &words) == Cure::SignIn
}

/// The API does not take the credential; `words` are its own, or empty.
pub fn turned_away(account: &Account, host: &str, status: u16, words: &str) -> Error {
    let what = match account.credential {
        Credential::ApiKey(_) => "key",
        Credential::Cookie(..) => "session",
        _ => "token",
    };
    let words = if words.is_empty() { String::new() } else { format!(": {words}") };
    let why = format!("{host} does not accept the {what} (status {status}){words}");
    Error::SignIn { account: account.id.to_string(), why, next: login_again(account) }
}

/// The command that gives the account another credential of its kind.
pub fn login_again(account: &Account) -> String {
    let flag = match account.credential {
        Credential::ApiKey(_) => " --api-key-stdin",
        Credential::Bearer(..) => " --jwt-token -",
        _ => "",
    };
    format!("{}{flag}", account.id.login_command())
}
