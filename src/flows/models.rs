//! The models a credential may use, asked of its API.

use crate::account::Account;
use crate::credential::Credential;
use crate::endpoint;
use crate::error::{Error, Result};
use crate::flows::api;
use crate::net::client::Client;
use crate::protocol::models::{self, Model};
use crate::protocol::session;
use crate::provider::Provider;
use crate::store::{Remembered, Store};
use crate::time::Timestamp;

/// Asks the API. `SignIn`: it turns the credential away.
pub fn list(
    account: &Account,
    row: &Provider,
    client: &Client,
    store: &Store,
) -> Result<Vec<Model>> {
    let url = models::url(account, row)?;
    api::check_host(account, &url)?;
    let reply = client.send(models::request(&url, account, row)?)?;
    api::keep_rotated(account, &reply, store);
    let host = endpoint::origin(&url).unwrap_or_default();
    if let Some(error) = reply.not_now(&host) {
        return Err(error);
    }
    let is_session = matches!(account.credential, Credential::Cookie(..) | Credential::Bearer(..));
    let is_out = session::is_signed_out(reply.status, &reply.content_type, &reply.body);
    let is_refused = matches!(reply.status, 401 | 403) || api::is_unknown_key(&reply);
    if is_refused || (is_session && is_out) {
        return Err(api::turned_away(account, &host, reply.status, ""));
    }
    if !(200..300).contains(&reply.status) {
        let what = format!("no list of models (status {})", reply.status);
        return Err(
            Error::unreadable(host, what).or_try(format!("keyfob provider show {}", row.id))
        );
    }
    models::parse(&reply.body).ok_or_else(|| {
        Error::unreadable(host, "no list of models")
            .or_try(format!("keyfob provider show {}", row.id))
    })
}

/// A list, and when it was asked for if that was not just now.
pub struct Listed {
    pub models: Vec<Model>,
    pub remembered: Option<(Timestamp, Error)>,
}

/// The same of an account of the store, which remembers the list. The memory stands in when the API
/// cannot be reached and never else: whoever is turned away hears of it, and it is gone.
pub fn list_and_remember(
    account: &Account,
    row: &Provider,
    client: &Client,
    store: &Store,
) -> Result<Listed> {
    match list(account, row, client, store) {
        Ok(models) => {
            let pairs = models.iter().map(|model| (model.id.clone(), model.label.clone()));
            let url = models::url(account, row)?;
            let list = Remembered::new(Timestamp::now(), url, pairs.collect());
            store.remember_models(&account.id, &list);
            Ok(Listed { models, remembered: None })
        }
        Err(error @ Error::Temporary { .. }) => match remembered(account, row, store) {
            Some((models, at)) => Ok(Listed { models, remembered: Some((at, error)) }),
            None => Err(error),
        },
        Err(error) => {
            if matches!(error, Error::SignIn { .. }) {
                store.forget_models(&account.id);
            }
            Err(error)
        }
    }
}

fn remembered(account: &Account, row: &Provider, store: &Store) -> Option<(Vec<Model>, Timestamp)> {
    let url = models::url(account, row).ok()?;
    let list = store.remembered_models(&account.id).filter(|list| list.url == url)?;
    let models = list.models.into_iter().map(|(id, label)| Model { id, label });
    Some((models.collect(), list.asked_at))
}

/// Models that answer no prompts are often listed beside those that do.
const NO_CHAT: [&str; 9] =
    ["audio", "babbage", "davinci", "embed", "image", "moderation", "rerank", "tts", "whisper"];

/// The first that takes prompts by its name. What is remembered is enough: the prompt itself shows
/// whether the credential still works.
pub fn first(
    account: &Account,
    row: &Provider,
    client: &Client,
    store: &Store,
) -> Result<Option<String>> {
    let models = match remembered(account, row, store) {
        Some((models, _)) => models,
        None => list(account, row, client, store)?,
    };
    let takes_prompts = |model: &&Model| !NO_CHAT.iter().any(|word| model.id.contains(word));
    let chosen = models.iter().find(takes_prompts).or(models.first());
    Ok(chosen.map(|model| model.id.clone()))
}
