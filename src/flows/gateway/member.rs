//! One account as the gateway sees it: what it speaks, which models it has, what it is called by.

use std::net::SocketAddr;
use std::sync::{Arc, RwLock};

use crate::account::{Account, AccountId};
use crate::credential::Credential;
use crate::endpoint;
use crate::flows::environment;
use crate::flows::gateway::settings::{Settings, is_like};
use crate::protocol::attach;
use crate::protocol::models::Model;
use crate::provider::{Api, Dialect, Provider, Providers};
use crate::store::{Found, Store};

/// An account of the store.
pub struct Member {
    pub id: AccountId,
    /// None: its file cannot be used, for the reason in `trouble`.
    account: RwLock<Option<Account>>,
    pub trouble: Option<String>,
    pub row: Option<Provider>,
    pub faces: Vec<Face>,
    models: RwLock<Option<Arc<Vec<Model>>>>,
}

/// One way to speak to an account.
pub struct Face {
    pub dialect: Dialect,
    pub base: String,
    /// The row as it is for this account and this dialect.
    pub row: Provider,
}

impl Member {
    pub fn account(&self) -> Option<Account> {
        self.account.read().ok()?.clone()
    }

    pub fn replace(&self, account: Account) {
        if let Ok(mut slot) = self.account.write() {
            *slot = Some(account);
        }
    }

    fn attribute(&self, name: &str) -> Option<String> {
        let account = self.account.read().ok()?;
        let value = account.as_ref()?.attributes.get(name)?;
        Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    }

    /// Higher goes first.
    pub fn priority(&self) -> i64 {
        self.attribute("priority").and_then(|value| value.trim().parse().ok()).unwrap_or(0)
    }

    pub fn prefix(&self) -> Option<String> {
        self.attribute("prefix").filter(|prefix| !prefix.is_empty() && !prefix.contains('/'))
    }

    pub fn is_disabled(&self) -> bool {
        self.attribute("disabled").is_some_and(|value| !["false", "0", "no"].contains(&&*value))
    }

    /// Further projects to go to, after the account's own.
    pub fn projects(&self) -> Vec<String> {
        listed(self.attribute("projects"))
    }

    pub fn is_refused(&self) -> bool {
        let account = self.account.read().ok();
        account.is_some_and(|account| account.as_ref().is_some_and(|one| one.refused.is_some()))
    }

    /// Whether it may be asked at all.
    pub fn is_usable(&self) -> bool {
        self.trouble.is_none() && !self.is_disabled() && !self.is_refused()
    }

    pub(super) fn is_excluded(&self, model: &str, settings: &Settings) -> bool {
        let own = listed(self.attribute("excluded_models"));
        own.iter().any(|pattern| is_like(pattern, model)) || settings.is_excluded(&self.id, model)
    }

    /// The face that a route's dialect needs.
    pub fn face(&self, dialect: Dialect) -> Option<&Face> {
        let stands_in = |face: &&Face| {
            dialect == Dialect::GeminiGenerateContent && face.dialect == Dialect::CodeAssist
        };
        let mut faces = self.faces.iter();
        let exact = faces.find(|face| face.dialect == dialect);
        exact.or_else(|| self.faces.iter().find(stands_in))
    }

    pub fn models(&self) -> Option<Arc<Vec<Model>>> {
        self.models.read().ok()?.clone()
    }

    pub fn set_models(&self, models: Vec<Model>) {
        self.take_models(Arc::new(models));
    }

    pub fn take_models(&self, models: Arc<Vec<Model>>) {
        if let Ok(mut slot) = self.models.write() {
            *slot = Some(models);
        }
    }

    /// The models it is known to have without being asked: its own; its row's, while nobody has asked.
    pub(super) fn named_models(&self) -> Vec<String> {
        let account = self.account();
        let fact = |key: &str| account.as_ref()?.fact(key).map(str::to_owned);
        let is_asked = self.models().is_some();
        let of_row = || self.row.as_ref().filter(|_| !is_asked)?.model.clone();
        fact("model").or_else(|| fact("deployment")).or_else(of_row).into_iter().collect()
    }

    /// Whether it has the model; None: nobody knows.
    pub(super) fn has(&self, model: &str) -> Option<bool> {
        if self.named_models().iter().any(|name| name == model) {
            return Some(true);
        }
        let models = self.models()?;
        Some(models.iter().any(|known| known.id.eq_ignore_ascii_case(model)))
    }
}

fn listed(value: Option<String>) -> Vec<String> {
    let value = value.unwrap_or_default();
    let parts = value.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts.map(str::to_owned).collect()
}

impl Member {
    pub(super) fn read(
        id: &AccountId,
        store: &Store,
        providers: &Providers,
        own: Option<SocketAddr>,
    ) -> Member {
        let mut member = Member {
            id: id.clone(),
            account: RwLock::new(None),
            trouble: None,
            row: None,
            faces: Vec::new(),
            models: RwLock::new(None),
        };
        let account = match store.find_account(id) {
            Ok(Found::Account(account)) => *account,
            Ok(Found::Damaged(why)) => return Member { trouble: Some(why), ..member },
            Ok(Found::Missing) => {
                return Member { trouble: Some("it went away".to_owned()), ..member };
            }
            Err(error) => return Member { trouble: Some(error.to_string()), ..member },
        };
        match environment::row_for(&account, providers) {
            Ok(row) => member.row = Some(row.into_owned()),
            Err(error) => member.trouble = Some(error.to_string()),
        }
        if let Some(row) = &member.row {
            member.faces = faces(&account, row, own);
            let remembered = store.remembered_models(id);
            if let Some(list) = remembered {
                let models = list.models.into_iter().map(|(id, label)| Model { id, label });
                member.models = RwLock::new(Some(Arc::new(models.collect())));
            }
        }
        member.account = RwLock::new(Some(account));
        member
    }
}

fn faces(account: &Account, row: &Provider, own: Option<SocketAddr>) -> Vec<Face> {
    let Some(api) = &row.api else { return Vec::new() };
    let Some(base) = attach::api_base(account, row) else { return Vec::new() };
    let is_key = matches!(account.credential, Credential::ApiKey(_));
    let first = api.dialect.map(|dialect| (dialect, base.clone(), api.clone()));
    let also = api.also.iter().filter(|_| is_key).map(|also| {
        let there = api.speaking(also, &base);
        (also.dialect, there.base.clone(), there)
    });
    let all = first.into_iter().chain(also);
    let faces = all.filter(|(_, base, _)| {
        endpoint::check("the API", base).is_ok() && !own.is_some_and(|own| leads_to(base, own))
    });
    faces.map(|(dialect, base, api)| face(dialect, base, api, row)).collect()
}

fn face(dialect: Dialect, base: String, api: Api, row: &Provider) -> Face {
    let mut row = row.clone();
    row.api = Some(api);
    Face { dialect, base, row }
}

/// A shell that is set up for the gateway has a variable that would send the gateway to itself.
fn leads_to(base: &str, own: SocketAddr) -> bool {
    let Some(origin) = endpoint::origin(base) else { return false };
    let port = origin.rsplit(':').next().and_then(|port| port.parse::<u16>().ok());
    endpoint::is_on_this_machine(&origin) && port == Some(own.port())
}
