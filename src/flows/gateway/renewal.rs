//! A token that requests need renewed: one of them does it, those that come meanwhile hear what became
//! of it, and an issuer that cannot do it just now is not asked again with every request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::account::{Account, AccountId};
use crate::error::{Error, Result};
use crate::flows::fresh::{self, Fresh, Layer, Need, Tools};
use crate::time::Timestamp;

/// The first wait after a failure, doubled each time up to the last.
const FIRST_WAIT_MS: i64 = 1_000;
const LAST_WAIT_MS: i64 = 5 * 60 * 1_000;

#[derive(Default)]
pub struct Renewals(Mutex<HashMap<AccountId, Arc<Mutex<Failures>>>>);

/// How often in a row it failed, and what came of it last.
#[derive(Default)]
struct Failures {
    count: u32,
    not_before_ms: i64,
    why: String,
}

impl Renewals {
    /// The account with a credential that is good for the need, as `fresh::layer` has it. Err is
    /// temporary while an earlier failure is waited out and the token is of no use without.
    pub fn fresh(&self, account: Account, need: Need, tools: &Tools) -> Result<Fresh> {
        if fresh::suffices(&account, need, Timestamp::now()) {
            return fresh::layer(Layer::Api, account, need, tools);
        }
        let failures = self.of(&account.id);
        let mut failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
        if Timestamp::now_ms() < failures.not_before_ms {
            let is_good = matches!(need, Need::Usual) && account.is_alive(Timestamp::now());
            return match is_good {
                true => Ok(Fresh { account, warning: None }),
                false => Err(Error::temporary(failures.why.clone())),
            };
        }
        let outcome = fresh::layer(Layer::Api, account, need, tools);
        let why = match &outcome {
            Ok(fresh) => fresh.warning.clone(),
            // That is for good, and noted in its file.
            Err(Error::SignIn { .. }) => None,
            Err(error) => Some(error.to_string()),
        };
        match why {
            Some(why) => failures.note(why, Timestamp::now_ms()),
            None => *failures = Failures::default(),
        }
        outcome
    }

    fn of(&self, id: &AccountId) -> Arc<Mutex<Failures>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(id.clone()).or_default())
    }
}

impl Failures {
    fn note(&mut self, why: String, now_ms: i64) {
        let wait_ms = (FIRST_WAIT_MS << self.count.min(20)).min(LAST_WAIT_MS);
        *self = Failures { count: self.count + 1, not_before_ms: now_ms + wait_ms, why };
    }
}
