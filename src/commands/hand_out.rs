//! Which credential a command works with: one given on the spot, else a JWT of the environment, else
//! the stored account, else what `elsewhere` finds.

use std::borrow::Cow;

use serde_json::Value;

use crate::account::{Account, AccountId, AccountRef};
use crate::commands::{App, chosen_by_variable, nobody};
use crate::credential::Credential;
use crate::endpoint;
use crate::error::{Error, Result};
use crate::flows::fresh::{self, Layer, Need};
use crate::flows::{caller, environment, key};
use crate::protocol::attach;
use crate::provider::Provider;
use crate::term;
use crate::time::Timestamp;

/// What a command asks for.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    pub account: &'a AccountRef,
    pub need: Need,
    pub layer: Layer,
    /// A JWT given with a flag.
    pub jwt: Option<&'a str>,
    /// Where to use it; what is stored goes to its own provider only.
    pub base_url: Option<&'a str>,
}

impl<'a> Asked<'a> {
    pub fn of(account: &'a AccountRef) -> Asked<'a> {
        Asked { account, need: Need::Usual, layer: Layer::Api, jwt: None, base_url: None }
    }
}

/// A credential, and where it comes from.
pub struct HandOut {
    pub account: Account,
    /// The variable it stands in.
    pub variable: Option<String>,
    /// Whether it is an account of the store.
    pub is_stored: bool,
}

impl HandOut {
    /// The row as it is for this account.
    pub fn row<'a>(&self, app: &'a App) -> Result<Cow<'a, Provider>> {
        environment::row_for(&self.account, &app.providers)
    }

    /// The error of one who used it: no login would put another in the place of what is not stored.
    pub fn explain(&self, error: Error, asked: &Asked, command: &str) -> Error {
        let Error::SignIn { why, next, .. } = error else { return error };
        let account = &self.account.id;
        if self.is_stored {
            return Error::SignIn { account: account.to_string(), why, next };
        }
        let next = match &self.variable {
            Some(name) => format!("export {name}=… with a new one"),
            None if asked.jwt.is_some() => {
                format!("keyfob {command} {} --jwt-token -", account.provider)
            }
            None => next.replace("/environment", ""),
        };
        Error::SignIn { account: account.provider.clone(), why, next }
    }
}

/// Where a credential is.
pub enum Place {
    /// Not in the store, and good as it is.
    Given(HandOut),
    /// An account of the store, as just read.
    Stored(Account),
}

impl App {
    /// A credential good for what is asked; renewed, if it has to be.
    pub fn hand_out(&self, asked: &Asked) -> Result<HandOut> {
        match self.find(asked)? {
            Place::Given(found) => Ok(found),
            Place::Stored(first_seen) => self.freshened(first_seen, asked),
        }
    }

    /// Does something with the credential. One of the store that is turned away before its time has
    /// been ended by its provider, and is renewed once. `command` is the one that runs.
    pub fn using<T>(
        &self,
        asked: &Asked,
        command: &str,
        mut use_it: impl FnMut(&HandOut) -> Result<T>,
    ) -> Result<T> {
        let found = self.hand_out(asked)?;
        match use_it(&found) {
            Err(Error::SignIn { .. }) if found.is_stored && found.account.can_refresh() => {
                use_it(&self.hand_out(&Asked { need: Need::Renewed, ..*asked })?)
            }
            Err(error) => Err(found.explain(error, asked, command)),
            outcome => outcome,
        }
    }

    /// Looks for the credential, in the order of the search.
    pub fn find(&self, asked: &Asked) -> Result<Place> {
        if let Some(pasted) = asked.jwt {
            let pasted =
                if pasted == "-" { term::prompt::piped("token")? } else { pasted.to_owned() };
            let jwt = key::bearer(&pasted)?;
            // A file that cannot be read is no obstacle to a token that needs none.
            let id = self.account(asked.account).ok().flatten();
            let stored = id.and_then(|id| self.store.read_account(&id).ok().flatten());
            let account = self.on_the_spot(jwt, asked, stored.as_ref())?;
            return Ok(Place::Given(HandOut { account, variable: None, is_stored: false }));
        }
        let id = self.account(asked.account)?;
        if id.is_none() && asked.account.server.is_some() {
            return Err(nobody(asked.account));
        }
        let provider = match &id {
            Some(id) => &id.provider,
            None => &self.providers.get(&asked.account.provider)?.id,
        };
        let is_named = asked.account.account.is_some() || chosen_by_variable(provider).is_some();
        if !is_named && let Some(found) = self.before_the_store(provider, asked)? {
            return Ok(Place::Given(found));
        }
        let Some(id) = id else { return self.elsewhere(asked).map(Place::Given) };
        let first_seen = self.store.read_account(&id)?.ok_or_else(|| fresh::nobody(&id))?;
        let gives_way =
            matches!(first_seen.credential, Credential::Bearer(..) | Credential::Cookie(..));
        if gives_way
            && asked.account.account.is_none()
            && let Some(found) = environment::jwt(self.providers.get(&id.provider)?)?
        {
            let account = self.on_the_spot(found.credential, asked, Some(&first_seen))?;
            let variable = Some(found.name);
            return Ok(Place::Given(HandOut { account, variable, is_stored: false }));
        }
        Ok(Place::Stored(first_seen))
    }

    fn freshened(&self, first_seen: Account, asked: &Asked) -> Result<HandOut> {
        let fresh = fresh::layer(asked.layer, first_seen, asked.need, &self.tools())?;
        if let Some(warning) = &fresh.warning {
            term::warn(warning);
        }
        let found = HandOut { account: fresh.account, variable: None, is_stored: true };
        self.check_base(asked, &found)?;
        self.store.audit("hand_out", &found.account.id, caller::name(), Timestamp::now());
        Ok(found)
    }

    /// An account that exists for this command alone, where `--base-url`, the provider's variable or
    /// the stored account says.
    pub fn on_the_spot(
        &self,
        credential: Credential,
        asked: &Asked,
        stored: Option<&Account>,
    ) -> Result<Account> {
        let row = self.providers.get(&asked.account.provider)?;
        let id = AccountId { provider: row.id.clone(), account: "environment".to_owned() };
        let mut account = Account::new(id, credential, Timestamp::now());
        let mut facts = vec![];
        match (&row.instance, asked.base_url) {
            (Some(instance), given) => {
                let variable = || environment::first_set(&instance.env);
                let address = given.map(str::to_owned).or_else(variable);
                facts.extend(
                    address.map(|a| instance.normalise(&a)).transpose()?.map(|a| ("instance", a)),
                );
            }
            (None, Some(given)) => {
                endpoint::check("--base-url", given)?;
                facts.push(("api_base", given.trim_end_matches('/').to_owned()));
            }
            (None, None) => {}
        }
        if facts.is_empty() {
            let known = ["instance", "api_base", "project"].into_iter();
            facts.extend(known.filter_map(|key| Some((key, stored?.fact(key)?.to_owned()))));
        }
        for (key, value) in facts {
            account.extra.insert(key.to_owned(), Value::from(value));
        }
        Ok(account)
    }

    /// A stored or borrowed secret is sent to its own provider's origin and nowhere else.
    pub fn check_base(&self, asked: &Asked, found: &HandOut) -> Result<()> {
        let Some(given) = asked.base_url else { return Ok(()) };
        let own = attach::api_base(&found.account, &*found.row(self)?);
        if own.as_deref().and_then(endpoint::origin) == endpoint::origin(given) {
            return Ok(());
        }
        let what = "--base-url goes with a token given on the spot: what is stored is sent to its \
                    own provider only";
        Err(Error::usage(what).or_try("keyfob provider add NAME --base-url URL --api-key-stdin"))
    }
}
