//! One prompt through an account, and what it means when there is no answer.

use crate::account::Account;
use crate::credential::Credential;
use crate::endpoint;
use crate::error::{Error, Result};
use crate::flows::{api, models, project, random};
use crate::net::client::Client;
use crate::net::reply::Reply;
use crate::protocol::chat::fault::{self, Cure, Fault};
use crate::protocol::chat::{self, Answer, Ask, Reader, Tool};
use crate::protocol::session;
use crate::provider::{Dialect, Provider};
use crate::store::Store;
use crate::text;

/// What a command asks of a model.
#[derive(Clone, Copy)]
pub struct Wish<'a> {
    pub model: Option<&'a str>,
    pub prompt: &'a str,
    pub system: Option<&'a str>,
    pub tool: Option<&'a Tool>,
    pub is_streamed: bool,
    pub wants_usage: bool,
}

/// An account at its API.
pub struct Seat<'a> {
    pub account: &'a Account,
    pub row: &'a Provider,
    pub client: &'a Client,
    pub store: &'a Store,
}

/// Told of each piece of text as it comes; false when nobody listens any more.
pub type OnText<'a> = &'a mut dyn FnMut(&str) -> Result<bool>;

impl Seat<'_> {
    /// The model to ask: the one named, else the account's, the row's, or the first of the list.
    pub fn model(&self, named: Option<&str>) -> Result<String> {
        let of_account = || self.account.fact("model").or(self.account.fact("deployment"));
        if let Some(model) = named.or_else(of_account).or(self.row.model.as_deref()) {
            return Ok(model.to_owned());
        }
        match models::first(self.account, self.row, self.client, self.store) {
            Ok(Some(model)) => Ok(model),
            Err(error @ (Error::SignIn { .. } | Error::Temporary { .. })) => Err(error),
            Ok(None) | Err(_) => {
                let what = format!("which model of {}? it has no default", self.row.id);
                let next = format!("keyfob config set providers.{}.model MODEL", self.row.id);
                Err(Error::usage(what).or_try(next))
            }
        }
    }

    /// Sends one prompt. `SignIn`: the API turns the credential away, and no text has come.
    pub fn ask(&self, wish: &Wish, on_text: OnText) -> Result<Answer> {
        let (api, dialect) = chat::api(self.row)?;
        let model = &self.model(wish.model)?;
        let account = match dialect {
            Dialect::CodeAssist => &*project::filled_in(self.account, self.row, self.client)?,
            _ => self.account,
        };
        let ask = Ask {
            model,
            prompt: wish.prompt,
            system: wish.system,
            tool: wish.tool,
            is_streamed: wish.is_streamed || api.stream_only,
            wants_usage: wish.wants_usage,
            id: &text::hex(&random::bytes::<16>()?),
        };
        let request = chat::request(&ask, account, self.row)?;
        let url = request.uri().to_string();
        api::check_host(account, &url)?;
        let host = &endpoint::origin(&url).unwrap_or_default();
        let place = Place { seat: self, host, model };
        let opened = self.client.open(request).map_err(|error| match error.next() {
            None => error.or_try("keyfob doctor"),
            Some(_) => error,
        });
        let mut stream = opened?;
        let mut reader = Reader::new(api, dialect);
        let is_good = (200..300).contains(&stream.head.status);
        if is_good && stream.head.content_type == "text/event-stream" {
            api::keep_rotated(account, &stream.head, self.store);
            while let Some(piece) = stream.next().map_err(|error| place.broken_off(error))? {
                let fed = reader.feed(&piece);
                let text = reader.news();
                if !text.is_empty() && !on_text(text)? {
                    return Ok(Answer::default());
                }
                fed.map_err(|fault| place.explain(None, fault))?;
            }
        } else {
            let reply = stream.whole()?;
            api::keep_rotated(account, &reply, self.store);
            if !is_good || reply.content_type == "text/html" {
                return Err(place.refused(&reply));
            }
            let text = reader.whole(&reply.body).map_err(|fault| place.explain(None, fault))?;
            on_text(text)?;
        }
        reader.finish().map_err(|fault| place.explain(None, fault))
    }
}

/// Where an answer was to come from.
struct Place<'a> {
    seat: &'a Seat<'a>,
    host: &'a str,
    model: &'a str,
}

impl Place<'_> {
    /// The error of an answer that is none, by its status or by being a page.
    fn refused(&self, reply: &Reply) -> Error {
        let Seat { account, row, .. } = *self.seat;
        let (host, status) = (self.host, reply.status);
        let is_session =
            matches!(account.credential, Credential::Cookie(..) | Credential::Bearer(..));
        let is_out = session::is_signed_out(status, &reply.content_type, &reply.body);
        if is_session && is_out {
            return api::turned_away(account, host, status, "");
        }
        let is_page = reply.content_type == "text/html";
        if (200..400).contains(&status) || (is_page && matches!(status, 400 | 403 | 404)) {
            let what = match is_page {
                true => "a web page in place of an answer",
                false => "no answer",
            };
            return Error::unreadable(host, format!("{what} (status {status})"))
                .or_try(format!("keyfob provider show {}", row.id));
        }
        let body = if is_page { "" } else { reply.body.expose() };
        match self.explain(Some(status), fault::of_body(body)) {
            Error::Temporary { what, next, .. } => {
                Error::Temporary { what, retry_after_s: reply.retry_after_s, next }
            }
            error => error,
        }
    }

    /// The connection failed after the answer had begun.
    fn broken_off(&self, error: Error) -> Error {
        match error {
            Error::Temporary { what, .. } => {
                let what = format!("the answer of {} ended in the middle: {what}", self.host);
                let next = Some(format!("keyfob auth-test {}", self.seat.row.id));
                Error::Temporary { what, retry_after_s: None, next }
            }
            error => error,
        }
    }

    fn explain(&self, status: Option<u16>, fault: Fault) -> Error {
        let Seat { account, row, .. } = *self.seat;
        let host = self.host;
        let again = Some(format!("keyfob auth-test {}", row.id));
        let (code, words) = match fault {
            Fault::Cut => {
                let what = format!("{host} ended its answer in the middle");
                return Error::Temporary { what, retry_after_s: None, next: again };
            }
            Fault::Unreadable(what) => {
                return Error::unreadable(host, what)
                    .or_try(format!("keyfob provider show {}", row.id));
            }
            Fault::Told { code, words } => {
                (api::scrubbed(account, &code), api::scrubbed(account, &words))
            }
        };
        let said = match (words.as_str(), code.as_str()) {
            ("", "") => String::new(),
            ("", code) => format!(": {code}"),
            (words, "") => format!(": {words}"),
            (words, code) => format!(": {words} ({code})"),
        };
        let number = status.map_or(String::new(), |status| format!(" (status {status})"));
        match fault::cure(status, &code, &words) {
            Cure::SignIn => {
                let said = said.strip_prefix(": ").unwrap_or_default();
                api::turned_away(account, host, status.unwrap_or(200), said)
            }
            Cure::Quota => {
                let what = format!(
                    "{host} has no quota left for {}{number}{said}; signing in again will not help",
                    account.id
                );
                let next = Some(format!("keyfob status {}", row.id));
                match status {
                    None | Some(429) => Error::Temporary { what, retry_after_s: None, next },
                    Some(_) => Error::Failed { what, next },
                }
            }
            Cure::Wait => {
                let what = format!("{host} cannot answer now{number}{said}");
                Error::Temporary { what, retry_after_s: None, next: again }
            }
            Cure::Model => {
                let what =
                    format!("{host} has no model {} for this account{number}{said}", self.model);
                Error::Failed { what, next: Some(format!("keyfob models {}", row.id)) }
            }
            Cure::Place => {
                let what =
                    format!("{host} has nothing at the address of its prompts{number}{said}");
                Error::Failed { what, next: Some(format!("keyfob provider show {}", row.id)) }
            }
            Cure::None => {
                let what = format!("{host} refused the prompt{number}{said}");
                Error::Failed { what, next: Some(format!("keyfob auth-test {}", row.id)) }
            }
        }
    }
}
