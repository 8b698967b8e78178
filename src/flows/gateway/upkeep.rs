//! What the gateway does between requests: it sees when files change, renews tokens before they run out,
//! and asks which models there are.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::account::{Account, AccountId};
use crate::error::Error;
use crate::flows::fresh::{self, Layer, Need};
use crate::flows::gateway::Gateway;
use crate::flows::gateway::member::Member;
use crate::flows::gateway::roster::Roster;
use crate::flows::gateway::settings::Settings;
use crate::flows::models;
use crate::log;
use crate::protocol::gateway::listing::Listed;
use crate::provider::Dialect;
use crate::store::{ClientKey, Store};
use crate::time::Timestamp;

/// How often files are looked at, and tokens.
const LOOK: Duration = Duration::from_millis(300);
const PASS_MS: i64 = 5_000;
/// A token is renewed so long before its end, unless its row says otherwise; but none before the last
/// fifth of its life, or a short one would be renewed all the time.
const LEAD_S: i64 = 300;
const LIFE_PARTS: i64 = 5;
const MOST_AT_ONCE: usize = 16;
/// A renewal under way is not begun again, and one that failed not soon.
const PENDING_MS: i64 = 60_000;
const FAILED_MS: i64 = 300_000;
/// Lists of models change seldom.
const LIST_MS: i64 = 3_600_000;
const LIST_FAILED_MS: i64 = 600_000;
/// Whoever asks for models right after the start waits so long for the first lists.
const LIST_PATIENCE: Duration = Duration::from_secs(3);

pub struct Upkeep {
    fingerprint: u64,
    warn: fn(&str),
    /// What the person has heard of the files as they are.
    told: HashSet<String>,
    last_pass_ms: i64,
    renewals: Turns,
    lists: Turns,
}

/// What is done for one account after another, so many at once.
#[derive(Default)]
struct Turns {
    /// Not before, in milliseconds since 1970.
    not_before: HashMap<AccountId, i64>,
    under_way: usize,
}

impl Turns {
    /// Whether it is this account's turn; then not again before `next_ms`.
    fn begin(&mut self, id: &AccountId, now_ms: i64, next_ms: i64, most: usize) -> bool {
        let not_before = self.not_before.get(id).copied().unwrap_or(0);
        if now_ms < not_before || self.under_way >= most {
            return false;
        }
        self.not_before.insert(id.clone(), next_ms);
        self.under_way += 1;
        true
    }
}

/// A turn that was begun, until this is dropped: also by a thread that could not be had, or panicked.
struct UnderWay {
    gateway: Arc<Gateway>,
    of: fn(&mut Upkeep) -> &mut Turns,
}

impl UnderWay {
    fn not_before(&self, id: &AccountId, time_ms: i64) {
        (self.of)(&mut self.gateway.upkeep()).not_before.insert(id.clone(), time_ms);
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        (self.of)(&mut self.gateway.upkeep()).under_way -= 1;
    }
}

impl Upkeep {
    pub fn new(store: &Store, warn: fn(&str)) -> Upkeep {
        Upkeep {
            fingerprint: store.fingerprint(),
            warn,
            told: HashSet::new(),
            last_pass_ms: 0,
            renewals: Turns::default(),
            lists: Turns::default(),
        }
    }
}

impl Gateway {
    fn upkeep(&self) -> MutexGuard<'_, Upkeep> {
        self.upkeep.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until `is_over`.
    pub fn keep_up(self: &Arc<Self>, is_over: impl Fn() -> bool) {
        while !is_over() {
            self.look();
            let now_ms = Timestamp::now_ms();
            if now_ms - self.upkeep().last_pass_ms >= PASS_MS {
                self.upkeep().last_pass_ms = now_ms;
                self.renew_what_is_due(now_ms);
            }
            self.ask_for_lists(now_ms);
            thread::sleep(LOOK);
        }
    }

    /// Reads everything again if a file has changed.
    pub fn look(&self) {
        let _turn = self.reading();
        let fingerprint = self.store.fingerprint();
        let before = std::mem::replace(&mut self.upkeep().fingerprint, fingerprint);
        if before != fingerprint {
            self.read_again();
        }
    }

    /// Reads settings, keys and accounts again. What cannot be read stays as it was, and is told.
    pub fn reload(&self) {
        let _turn = self.reading();
        self.read_again();
    }

    /// One at a time, or what was read first could be put in the place of what was read last.
    fn reading(&self) -> MutexGuard<'_, ()> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_again(&self) {
        let old = self.roster();
        let faults = RefCell::new(Vec::new());
        let tell = |words: &str| faults.borrow_mut().push(words.to_owned());
        let config = self.store.config();
        let read = config.and_then(|config| Ok((Settings::of(&config, tell)?, config)));
        let (store, settings) = match read {
            Ok((settings, config)) => (self.store.with_config(config), settings),
            Err(error) => {
                tell(&format!("the settings stay as they were: {error}"));
                (old.store.again(), old.settings.clone())
            }
        };
        match Roster::read(store, self.own.get().copied(), self.own_keys.clone(), settings) {
            Ok(roster) => {
                self.notice(&old, &roster);
                *self.roster.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(roster);
            }
            Err(error) => tell(&format!("the accounts stay as they were: {error}")),
        }
        self.tell_once(faults.into_inner());
    }

    /// A fault is told when it is new, and not with every file that changes beside it.
    fn tell_once(&self, faults: Vec<String>) {
        let mut upkeep = self.upkeep();
        faults.iter().filter(|fault| !upkeep.told.contains(*fault)).for_each(|f| (upkeep.warn)(f));
        upkeep.told = faults.into_iter().collect();
    }

    /// A credential that was replaced is no longer the one that was turned away.
    fn notice(&self, old: &Roster, new: &Roster) {
        for member in &new.members {
            let before = old.members.iter().find(|one| one.id == member.id);
            let secret = |member: &Member| member.account().map(|one| one.secret().clone());
            if before.is_none_or(|before| secret(before) != secret(member)) {
                self.ledger.was_replaced(&member.id, Timestamp::now_ms(), &self.store);
                self.upkeep().renewals.not_before.remove(&member.id);
            }
            if before.is_none() {
                self.upkeep().lists.not_before.remove(&member.id);
            }
        }
    }

    fn renew_what_is_due(self: &Arc<Self>, now_ms: i64) {
        let roster = self.roster();
        for member in roster.members.iter().filter(|member| member.is_usable()) {
            let due = member.account().as_ref().and_then(|account| lead_if_due(account, member));
            let Some(lead_s) = due else { continue };
            let next_ms = now_ms + PENDING_MS;
            if !self.upkeep().renewals.begin(&member.id, now_ms, next_ms, MOST_AT_ONCE) {
                continue;
            }
            let under_way =
                UnderWay { gateway: Arc::clone(self), of: |upkeep| &mut upkeep.renewals };
            let (roster, member) = (Arc::clone(&roster), Arc::clone(member));
            in_background(move || {
                let not_before = under_way.gateway.renew(&roster, &member, lead_s);
                under_way.not_before(&member.id, not_before);
            });
        }
    }

    /// Gives the time before which it is not to be tried again.
    fn renew(&self, roster: &Roster, member: &Member, lead_s: i64) -> i64 {
        let Some(account) = member.account() else { return 0 };
        let outcome = fresh::layer(Layer::Api, account, Need::Seconds(lead_s), &self.tools(roster));
        let later = Timestamp::now_ms() + FAILED_MS;
        match outcome {
            Ok(fresh) => {
                let is_renewed = fresh.warning.is_none();
                if let Some(warning) = &fresh.warning {
                    log::warn(&format!("{}: {warning}", member.id));
                }
                member.replace(fresh.account);
                if is_renewed { 0 } else { later }
            }
            Err(error) => {
                log::warn(&format!("{} was not renewed: {error}", member.id));
                later
            }
        }
    }

    fn ask_for_lists(self: &Arc<Self>, now_ms: i64) {
        let roster = self.roster();
        for member in roster.members.iter().filter(|member| can_list(member)) {
            let next_ms = now_ms + LIST_MS;
            if !self.upkeep().lists.begin(&member.id, now_ms, next_ms, MOST_AT_ONCE / 2) {
                continue;
            }
            let under_way = UnderWay { gateway: Arc::clone(self), of: |upkeep| &mut upkeep.lists };
            let (roster, member) = (Arc::clone(&roster), Arc::clone(member));
            in_background(move || {
                if let Err(error) = under_way.gateway.list(&roster, &member) {
                    log::debug(&format!("{}: no list of models: {error}", member.id));
                    under_way.not_before(&member.id, Timestamp::now_ms() + LIST_FAILED_MS);
                }
            });
        }
    }

    fn list(&self, roster: &Roster, member: &Member) -> Result<(), Error> {
        let (Some(account), Some(row)) = (member.account(), &member.row) else { return Ok(()) };
        let tools = self.tools(roster);
        let account = fresh::layer(Layer::Api, account, Need::Usual, &tools)?.account;
        let listed = models::list_and_remember(&account, row, &self.errands, &self.store)?;
        member.set_models(listed.models);
        // The roster may have been made anew meanwhile.
        let now = self.roster();
        if let Some(again) = now.members.iter().find(|one| one.id == member.id)
            && let Some(models) = member.models()
        {
            again.take_models(models);
        }
        Ok(())
    }

    /// Whether somebody is being asked for its models, or is to be asked for the first time.
    fn waits_for_lists(&self) -> bool {
        let roster = self.roster();
        let upkeep = self.upkeep();
        let mut listing = roster.members.iter().filter(|member| can_list(member));
        let is_first = |member: &Member| !upkeep.lists.not_before.contains_key(&member.id);
        upkeep.lists.under_way > 0 || listing.any(|member| is_first(member))
    }

    /// Every model that this key can ask for.
    pub fn models(&self, key: &ClientKey, dialect: Option<Dialect>) -> Vec<Listed> {
        let deadline = std::time::Instant::now() + LIST_PATIENCE;
        while self.waits_for_lists() && std::time::Instant::now() < deadline {
            thread::sleep(Duration::from_millis(20));
        }
        self.roster().listing(key, dialect)
    }
}

fn in_background(work: impl FnOnce() + Send + 'static) {
    if let Err(error) = thread::Builder::new().spawn(work) {
        // The request that needs the token renews it.
        log::debug(&format!("no thread for the background: {error}"));
    }
}

fn can_list(member: &Member) -> bool {
    member.is_usable() && !member.faces.is_empty()
}

/// How long before its end an account's token is renewed, if that time has come.
fn lead_if_due(account: &Account, member: &Member) -> Option<i64> {
    let expires_at = account.expires_at().filter(|_| account.can_refresh())?;
    let lifetime_s = expires_at.since(account.refreshed_at).max(0);
    let of_row = member.row.as_ref().and_then(|row| row.refresh_lead_s).unwrap_or(LEAD_S);
    let lead_s = of_row.min(lifetime_s / LIFE_PARTS);
    // Accounts that signed in together are not all renewed at once.
    let mut hasher = DefaultHasher::new();
    (&account.id.provider, &account.id.account, account.refreshed_at.0).hash(&mut hasher);
    let jitter_s = i64::try_from(hasher.finish() % 1024).unwrap_or(0) * lead_s / 10 / 1024;
    let left_s = expires_at.since(Timestamp::now());
    (left_s <= lead_s - jitter_s).then_some(lead_s)
}
