//! What a command works with when the store has no account: variables, and the sign-ins of other
//! tools, in the order of the search.

use crate::account::{Account, AccountRef};
use crate::commands::hand_out::{Asked, HandOut};
use crate::commands::{App, nobody};
use crate::credential::Credential;
use crate::error::{Error, Result};
use crate::flows::fresh::Layer;
use crate::flows::source::{Place, State, What};
use crate::flows::{api_token, caller, environment, source};
use crate::provider::{Provider, Way};
use crate::source::{FIRST_VARIABLES, Source, table};
use crate::term;
use crate::time::Timestamp;

impl App {
    /// Providers ready through a variable: the one wanted, or every one.
    pub fn ready_by_variable(
        &self,
        wanted: Option<&str>,
    ) -> Result<Vec<(String, environment::Found)>> {
        let mut ready = Vec::new();
        for (row, _) in self.providers.readable()? {
            if wanted.is_some_and(|wanted| wanted != row.id) {
                continue;
            }
            let found = environment::credential(row).unwrap_or_else(|error| {
                term::warn(&error.to_string());
                None
            });
            let Some(found) = found else { continue };
            if wanted.is_none() && self.has_key_row(row, &found.name)? {
                continue;
            }
            ready.push((row.id.clone(), found));
        }
        Ok(ready)
    }

    /// Whether a sign-in row's variable belongs to another row, one that takes keys.
    fn has_key_row(&self, row: &Provider, variable: &str) -> Result<bool> {
        let takes_keys = |row: &Provider| row.ways.contains(&Way::ApiKey);
        let mut others = self.providers.readable()?.iter().map(|(other, _)| other);
        Ok(!takes_keys(row)
            && others
                .any(|other| takes_keys(other) && other.env.iter().any(|name| name == variable)))
    }

    /// First usable wins. What was found and cannot be used is told, never passed over in silence.
    pub fn elsewhere(&self, asked: &Asked) -> Result<HandOut> {
        let row = self.providers.get(&asked.account.provider)?;
        if let Some(found) = environment::jwt(row)? {
            return self.of_variable(found, asked);
        }
        // A key in a variable is what such a row wants; to a row that signs in it is the last resort.
        let takes_keys = row.ways.contains(&Way::ApiKey);
        if takes_keys && let Some(found) = environment::key(row)? {
            return self.of_variable(found, asked);
        }
        let sources: Vec<_> = table()?.into_iter().filter(|s| s.may_hold(&row.id)).collect();
        let mut passed_over = Vec::new();
        let mut found = self.of_sources(&sources, row, asked, &mut passed_over)?;
        if found.is_none() && !takes_keys {
            let key = environment::key(row)?;
            found = key.map(|key| self.of_variable(key, asked)).transpose()?;
        }
        let Some(found) = found else {
            return Err(match passed_over.into_iter().next() {
                Some(error) => error,
                None => self.nobody_but(&sources, row, asked),
            });
        };
        for error in passed_over {
            term::warn(&format!("passed over: {error}"));
        }
        Ok(found)
    }

    fn of_variable(&self, found: environment::Found, asked: &Asked) -> Result<HandOut> {
        let account = self.on_the_spot(found.credential, asked, None)?;
        Ok(HandOut { account, variable: Some(found.name), is_stored: false })
    }

    fn of_sources(
        &self,
        sources: &[Source],
        row: &Provider,
        asked: &Asked,
        passed_over: &mut Vec<Error>,
    ) -> Result<Option<HandOut>> {
        if sources.is_empty() {
            return Ok(None);
        }
        let places = source::places(sources, &self.store)?;
        for source in sources {
            // Those that go first were looked at before the store.
            let variable = std::iter::once_with(|| match source.variables_first {
                true => Ok(None),
                false => source::of_variables(source, row)
                    .map(|found| found.map(|(name, account)| (Some(name), account))),
            });
            let is_ours =
                |place: &&Place| place.source.id == source.id && place.state == State::Trusted;
            let files = places.iter().filter(is_ours).map(|place| {
                place.account(row, asked.need).map(|found| found.map(|account| (None, account)))
            });
            let candidates = variable.chain(files);
            for candidate in candidates {
                let usable = candidate.and_then(|found| {
                    found.map(|found| self.finished(found, row, asked)).transpose()
                });
                match usable {
                    Ok(Some(found)) => {
                        let (id, now) = (&found.account.id, Timestamp::now());
                        self.store.audit("hand_out", id, caller::name(), now);
                        return Ok(Some(found));
                    }
                    Ok(None) => {}
                    Err(error @ Error::Temporary { .. }) => return Err(error),
                    Err(error) => passed_over.push(error),
                }
            }
        }
        Ok(None)
    }

    /// Variables that go before the store, as the vendor's own tool has it. What the provider does
    /// not take is told and passed over: such variables are often there for other programs.
    pub fn before_the_store(&self, id: &str, asked: &Asked) -> Result<Option<HandOut>> {
        // The table is not read for those, nearly all, who have none of them.
        if !FIRST_VARIABLES.iter().any(|name| std::env::var_os(name).is_some()) {
            return Ok(None);
        }
        for source in table()?.iter().filter(|s| s.variables_first && s.may_hold(id)) {
            let row = self.providers.get(id)?;
            let found = source::of_variables(source, row).and_then(|found| {
                let found = found.map(|(name, account)| (Some(name), account));
                found.map(|found| self.finished(found, row, asked)).transpose()
            });
            match found {
                Ok(Some(found)) => return Ok(Some(found)),
                Ok(None) => {}
                Err(error @ Error::Temporary { .. }) => return Err(error),
                Err(error) => term::warn(&format!("passed over: {error}")),
            }
        }
        Ok(None)
    }

    /// With the second token, where the API wants one; and with the facts of the environment.
    fn finished(
        &self,
        (variable, account): (Option<String>, Account),
        row: &Provider,
        asked: &Asked,
    ) -> Result<HandOut> {
        let mut found = HandOut { account, variable, is_stored: false };
        let bare = Asked { base_url: None, ..*asked };
        let facts = self.on_the_spot(found.account.credential.clone(), &bare, None)?.extra;
        for (key, value) in facts {
            found.account.extra.entry(key).or_insert(value);
        }
        let row = match found.account.instance() {
            Some(address) => &row.at_instance(address)?,
            None => row,
        };
        let is_token = matches!(found.account.credential, Credential::Tool(..));
        if asked.layer == Layer::Base {
            found.account = found.account.without_api_token();
        } else if let Some(bought) = &row.api_token
            && is_token
            && found.account.api_token.is_none()
        {
            let sign_in = format!("keyfob login {}", row.id);
            let bought = api_token::buy(&found.account, bought, row, &self.client);
            found.account = bought.map_err(|error| match error {
                Error::Temporary { .. } => error,
                error => error.or_try(sign_in),
            })?;
        }
        self.check_base(asked, &found)?;
        Ok(found)
    }

    /// For a command that changes an account: what is borrowed is not ours to change.
    pub fn nobody_of_our_own(&self, typed: &AccountRef) -> Error {
        let error = nobody(typed);
        let row = self.providers.get(&typed.provider).ok();
        let (Some(row), Ok(sources)) = (row, table()) else { return error };
        let places = source::places(&sources, &self.store).unwrap_or_default();
        let is_used =
            |place: &&Place| place.state == State::Trusted && place.source.may_hold(&row.id);
        let Some(place) = places.iter().find(is_used) else { return error };
        let (tool, path) = (&place.source.title, place.name());
        let why = format!("keyfob has no account of its own, and {path} is {tool}'s to change");
        let next = place.source.run.clone().unwrap_or(typed.login_command());
        Error::SignIn { account: typed.to_string(), why, next }
    }

    /// Nobody is signed in; but a tool may be, which has not been asked about yet.
    fn nobody_but(&self, sources: &[Source], row: &Provider, asked: &Asked) -> Error {
        let error = nobody(asked.account);
        let places = source::places(sources, &self.store).unwrap_or_default();
        if let Some(place) = places.iter().find(|place| is_offered(place, &row.id)) {
            let Source { id, title, .. } = place.source;
            let why = format!("nobody is signed in; {title} has a file here, not trusted yet");
            let next = format!("keyfob source trust {id}");
            return Error::SignIn { account: row.id.clone(), why, next };
        }
        for place in &places {
            if let State::Refused(why) = &place.state {
                let why = format!("nobody is signed in; {} is not used: {why}", place.name());
                let Error::SignIn { account, next, .. } = error else { return error };
                return Error::SignIn { account, why, next };
            }
        }
        error
    }
}

/// Whether a person would want to hear of it: a file not yet decided on that may hold the provider's
/// credential. A program is used only by those who ask for it.
pub fn is_offered(place: &Place, provider: &str) -> bool {
    place.state == State::Ask && place.what == What::File && place.source.may_hold(provider)
}
