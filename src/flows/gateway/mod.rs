//! The gateway: an account chosen, its credential put on, the answer relayed; another account where one
//! cannot. `forward` takes a request in, and `hunt` finds it an answer, one `attempt` after the other; `roster` is
//! whom there is to ask, `ledger` what is remembered of them, `upkeep` what happens between requests.

mod attempt;
pub mod forward;
mod hunt;
pub mod keys;
pub mod ledger;
pub mod member;
mod places;
pub mod relay;
mod renewal;
pub mod roster;
pub mod settings;
mod states;
pub mod upkeep;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use crate::error::Result;
use crate::flows::fresh::Tools;
use crate::net::client::Client;
use crate::store::{ClientKey, Store};
use crate::time::Timestamp;

use ledger::Ledger;
use renewal::Renewals;
use roster::Roster;
use settings::Settings;
use upkeep::Upkeep;

pub struct Gateway {
    pub store: Store,
    /// For prompts.
    relay: Client,
    /// For renewals and lists of models.
    pub errands: Client,
    roster: RwLock<Arc<Roster>>,
    pub ledger: Ledger,
    renewals: Renewals,
    upkeep: Mutex<Upkeep>,
    /// Where it listens.
    own: OnceLock<SocketAddr>,
    pub started_at: Timestamp,
    /// The only keys that are let in, in place of those that are kept.
    own_keys: Option<Vec<ClientKey>>,
}

impl Gateway {
    /// Reads settings, keys and accounts; `warn` hears of settings that mean nothing.
    pub fn new(store: Store, timeout_s: u64, warn: fn(&str)) -> Result<Gateway> {
        Gateway::with(store, timeout_s, warn, None)
    }

    /// One for whoever has this key. Of cool-downs it knows what the others left, and leaves nothing.
    pub fn private(
        store: Store,
        timeout_s: u64,
        warn: fn(&str),
        key: ClientKey,
    ) -> Result<Gateway> {
        Gateway::with(store, timeout_s, warn, Some(vec![key]))
    }

    fn with(
        store: Store,
        timeout_s: u64,
        warn: fn(&str),
        own_keys: Option<Vec<ClientKey>>,
    ) -> Result<Gateway> {
        let config = store.config()?;
        let settings = Settings::of(&config, warn)?;
        let ledger = Ledger::new(own_keys.is_none());
        ledger.restore(settings.max_cooldown, Timestamp::now_ms(), &store);
        let roster = Roster::read(store.with_config(config), None, own_keys.clone(), settings)?;
        Ok(Gateway {
            relay: Client::new_for_relay(timeout_s),
            errands: Client::new(timeout_s),
            roster: RwLock::new(Arc::new(roster)),
            ledger,
            renewals: Renewals::default(),
            upkeep: Mutex::new(Upkeep::new(&store, warn)),
            own: OnceLock::new(),
            started_at: Timestamp::now(),
            own_keys,
            store,
        })
    }

    /// From now on requests come to this address, so that none is sent to it.
    pub fn listens_at(&self, own: SocketAddr) {
        let _ = self.own.set(own);
        self.reload();
    }

    pub fn roster(&self) -> Arc<Roster> {
        Arc::clone(&self.roster.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn tools<'a>(&'a self, roster: &'a Roster) -> Tools<'a> {
        Tools {
            client: &self.errands,
            providers: &roster.providers,
            store: &roster.store,
            // Whoever holds the lock may be waiting for an answer as long as we would.
            lock_limit: Duration::from_secs(self.errands.timeout_s() + 10),
        }
    }
}
