//! What the gateway remembers of accounts between requests: who cools down until when, whose turn it is,
//! which conversation belongs to whom, and how often each was asked. One lock, held for moments.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::account::AccountId;
use crate::store::{CoolDown, Store};

/// The first wait where a provider names none, doubled each time up to the last.
const FIRST_WAIT_MS: i64 = 1_000;
const LAST_WAIT_MS: i64 = 30 * 60 * 1_000;
/// A credential that is turned away is not tried again at once.
const TURNED_AWAY_MS: i64 = 60_000;
/// A conversation that is quiet for so long has no cache left to keep.
const CONVERSATION_MS: i64 = 60 * 60 * 1_000;
const MOST_CONVERSATIONS: usize = 8_192;
const MOST_COOL_DOWNS: usize = 4_096;

pub struct Ledger {
    inner: Mutex<Inner>,
    /// Whether cool-downs are left to the next process.
    is_kept: bool,
}

#[derive(Default)]
struct Inner {
    cooling: HashMap<Place, Cooling>,
    /// When each account was chosen last, in steps.
    turns: HashMap<AccountId, u64>,
    step: u64,
    /// Of each provider one account, the latest first, and when it was asked last.
    conversations: HashMap<String, Vec<(AccountId, i64)>>,
    accounts: HashMap<AccountId, Count>,
    keys: HashMap<String, Count>,
    routes: HashMap<&'static str, Count>,
}

/// What cools down: an account, or a model of it, or that in one of its projects.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    pub id: AccountId,
    pub model: Option<String>,
    pub project: Option<String>,
}

#[derive(Clone, Debug)]
struct Cooling {
    until_ms: i64,
    level: u32,
    is_turned_away: bool,
    reason: String,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Count {
    pub requests: u64,
    pub errors: u64,
    pub last_ms: Option<i64>,
}

/// How long an account is to be left alone.
#[derive(Clone, Copy, Debug)]
pub enum Wait {
    /// As the provider says.
    Named(u64),
    /// Longer each time.
    Doubling,
    /// The same, from a minute on: it was turned away.
    TurnedAway,
}

impl Ledger {
    pub fn new(is_kept: bool) -> Ledger {
        Ledger { inner: Mutex::default(), is_kept }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes up what an earlier process left. `cap_s`: no wait is longer, whoever wrote it down.
    pub fn restore(&self, cap_s: u64, now_ms: i64, store: &Store) {
        let mut inner = self.inner();
        let last_ms = now_ms.saturating_add(milliseconds(cap_s));
        for old in store.cool_downs().into_iter().filter(|old| old.until_ms > now_ms) {
            let id = AccountId { provider: old.provider, account: old.account };
            let place = Place { id, model: old.model, project: old.project };
            let reason = crate::text::harmless(&old.reason, 80);
            let cooling = Cooling {
                until_ms: old.until_ms.min(last_ms),
                level: old.level,
                is_turned_away: old.is_turned_away,
                reason,
            };
            inner.cooling.insert(place, cooling);
        }
    }

    /// Until when this may not be asked; None: it may.
    pub fn cools_until(&self, place: &Place, now_ms: i64) -> Option<i64> {
        let inner = self.inner();
        let of = |place: &Place| inner.cooling.get(place).map(|found| found.until_ms);
        let account = Place { id: place.id.clone(), model: None, project: None };
        let until = [of(place), of(&account)].into_iter().flatten().max();
        until.filter(|until| *until > now_ms)
    }

    /// Notes a cool-down, and keeps it for the next process. One that is under way is not made longer
    /// by a doubling, as requests that were on their way learn nothing new.
    pub fn cool_down(
        &self,
        place: &Place,
        wait: Wait,
        cap_s: u64,
        reason: &str,
        now_ms: i64,
        store: &Store,
    ) {
        let mut inner = self.inner();
        let known = inner.cooling.get(place).cloned();
        let is_open = known.as_ref().is_some_and(|known| known.until_ms > now_ms);
        let level = known.as_ref().map_or(0, |known| known.level);
        let doubled = |first: i64| (first << level.min(20)).min(LAST_WAIT_MS);
        let (wait_ms, level) = match wait {
            Wait::Named(ms) => (i64::try_from(ms).unwrap_or(i64::MAX), 0),
            Wait::Doubling | Wait::TurnedAway if is_open => return,
            Wait::Doubling => (doubled(FIRST_WAIT_MS), level.saturating_add(1)),
            Wait::TurnedAway => (doubled(TURNED_AWAY_MS), level.saturating_add(1)),
        };
        let until_ms = now_ms.saturating_add(wait_ms.min(milliseconds(cap_s)));
        let until_ms = known.filter(|_| is_open).map_or(until_ms, |k| k.until_ms.max(until_ms));
        let reason = reason.to_owned();
        let is_turned_away = matches!(wait, Wait::TurnedAway);
        let cooling = Cooling { until_ms, level, is_turned_away, reason };
        inner.cooling.insert(place.clone(), cooling);
        inner.forget_old(now_ms);
        inner.keep(store, now_ms, self.is_kept);
    }

    /// A good answer: what was counted of failures is forgotten. It says nothing about a cool-down that
    /// is under way, as it was asked for before that began.
    pub fn recovered(&self, place: &Place, now_ms: i64) {
        let mut inner = self.inner();
        let account = Place { id: place.id.clone(), model: None, project: None };
        for place in [place, &account] {
            if inner.cooling.get(place).is_some_and(|found| found.until_ms <= now_ms) {
                inner.cooling.remove(place);
            }
        }
    }

    /// Forgets what an account was cooling for: somebody signed in again, or a person says so.
    pub fn reset(&self, id: &AccountId, now_ms: i64, store: &Store) {
        let mut inner = self.inner();
        let before = inner.cooling.len();
        inner.cooling.retain(|place, _| place.id != *id);
        if inner.cooling.len() != before {
            inner.keep(store, now_ms, self.is_kept);
        }
    }

    /// The account has another credential now than the one that was turned away. What its provider said
    /// of quota still holds.
    pub fn was_replaced(&self, id: &AccountId, now_ms: i64, store: &Store) {
        let mut inner = self.inner();
        let before = inner.cooling.len();
        inner.cooling.retain(|place, cooling| place.id != *id || !cooling.is_turned_away);
        if inner.cooling.len() != before {
            inner.keep(store, now_ms, self.is_kept);
        }
    }

    /// The cool-downs of an account that are not over.
    pub fn cooling(&self, id: &AccountId, now_ms: i64) -> Vec<CoolDown> {
        let inner = self.inner();
        let of_id = inner.cooling.iter().filter(|(place, _)| place.id == *id);
        let mut found: Vec<_> = of_id
            .filter(|(_, cooling)| cooling.until_ms > now_ms)
            .map(|(place, cooling)| on_disk(place, cooling))
            .collect();
        found.sort_by(|a, b| (&a.model, a.until_ms).cmp(&(&b.model, b.until_ms)));
        found
    }

    /// Of these the one whose turn it is, and takes it for this turn. `is_first`: always the first.
    pub fn next<'a>(&self, ids: &[&'a AccountId], is_first: bool) -> Option<&'a AccountId> {
        let mut inner = self.inner();
        let oldest = |id: &&&AccountId| inner.turns.get(**id).copied().unwrap_or(0);
        let chosen = if is_first { ids.first() } else { ids.iter().min_by_key(oldest) };
        let chosen = *chosen?;
        inner.took(chosen);
        Some(chosen)
    }

    /// The accounts of a conversation, the latest first.
    pub fn accounts_of(&self, conversation: &str, now_ms: i64) -> Vec<AccountId> {
        let inner = self.inner();
        let own = inner.conversations.get(conversation).map_or(&[][..], Vec::as_slice);
        let live = own.iter().filter(|(_, last_ms)| now_ms - last_ms < CONVERSATION_MS);
        live.map(|(id, _)| id.clone()).collect()
    }

    /// Says whether it had none at this provider, or another one.
    pub fn belongs(&self, conversation: &str, id: &AccountId, now_ms: i64) -> bool {
        let mut inner = self.inner();
        let all = &mut inner.conversations;
        if all.len() >= MOST_CONVERSATIONS && !all.contains_key(conversation) {
            all.retain(|_, own| {
                own.first().is_some_and(|(_, last_ms)| now_ms - last_ms < CONVERSATION_MS / 4)
            });
            if all.len() >= MOST_CONVERSATIONS {
                all.clear();
            }
        }
        let own = all.entry(conversation.to_owned()).or_default();
        let before = own.iter().position(|(one, _)| one.provider == id.provider);
        let before = before.map(|at| own.remove(at));
        own.insert(0, (id.clone(), now_ms));
        before.is_none_or(|(one, _)| one != *id)
    }

    pub fn leaves(&self, conversation: &str, id: &AccountId) {
        if let Some(own) = self.inner().conversations.get_mut(conversation) {
            own.retain(|(one, _)| one != id);
        }
    }

    // ---- counts

    pub fn count_account(&self, id: &AccountId, is_error: bool, now_ms: i64) {
        self.inner().accounts.entry(id.clone()).or_default().add(is_error, now_ms);
    }

    pub fn count_request(&self, route: &'static str, key: &str, is_error: bool, now_ms: i64) {
        let mut inner = self.inner();
        inner.routes.entry(route).or_default().add(is_error, now_ms);
        inner.keys.entry(key.to_owned()).or_default().add(is_error, now_ms);
    }

    pub fn of_account(&self, id: &AccountId) -> Count {
        self.inner().accounts.get(id).copied().unwrap_or_default()
    }

    pub fn of_key(&self, name: &str) -> Count {
        self.inner().keys.get(name).copied().unwrap_or_default()
    }

    pub fn routes(&self) -> Vec<(&'static str, Count)> {
        let mut routes: Vec<_> = self.inner().routes.iter().map(|(n, c)| (*n, *c)).collect();
        routes.sort_by_key(|(name, _)| *name);
        routes
    }
}

impl Inner {
    fn took(&mut self, id: &AccountId) {
        self.step += 1;
        let step = self.step;
        self.turns.insert(id.clone(), step);
    }

    /// The count of what is long over is of no use.
    fn forget_old(&mut self, now_ms: i64) {
        if self.cooling.len() > MOST_COOL_DOWNS {
            self.cooling.retain(|_, cooling| cooling.until_ms > now_ms);
        }
    }

    fn keep(&self, store: &Store, now_ms: i64, is_kept: bool) {
        if !is_kept {
            return;
        }
        let open = self.cooling.iter().filter(|(_, cooling)| cooling.until_ms > now_ms);
        let all = open.map(|(place, cooling)| on_disk(place, cooling)).collect();
        if let Err(error) = store.keep_cool_downs(all) {
            // Until it ends this process knows it all the same.
            crate::log::warn(&format!("cool-downs are not kept: {error}"));
        }
    }
}

fn milliseconds(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000)
}

fn on_disk(place: &Place, cooling: &Cooling) -> CoolDown {
    CoolDown {
        provider: place.id.provider.clone(),
        account: place.id.account.clone(),
        model: place.model.clone(),
        project: place.project.clone(),
        until_ms: cooling.until_ms,
        level: cooling.level,
        is_turned_away: cooling.is_turned_away,
        reason: cooling.reason.clone(),
    }
}

impl Count {
    fn add(&mut self, is_error: bool, now_ms: i64) {
        self.requests += 1;
        self.errors += u64::from(is_error);
        self.last_ms = Some(now_ms);
    }
}
