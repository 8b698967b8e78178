//! One prompt and the accounts that may answer it: whose turn it is, what came of it, who is next. It
//! ends with the first byte that goes to the caller, or when nobody is left.

use std::thread;
use std::time::Duration;

use crate::account::AccountId;
use crate::error::Error;
use crate::flows::gateway::attempt::{Attempt, Failure, Last, Outcome};
use crate::flows::gateway::forward::{Prompt, Refusal, pass_back, status_of};
use crate::flows::gateway::ledger::{Place, Wait};
use crate::flows::gateway::relay::Relay;
use crate::flows::gateway::roster::{Roster, Target};
use crate::flows::gateway::settings::Routing;
use crate::flows::gateway::states::States;
use crate::flows::gateway::{Gateway, places};
use crate::net::serve::Caller;
use crate::protocol::gateway::limits::Verdict;
use crate::time::Timestamp;

/// The caller went away: nginx's number for it, which no caller sees.
const GONE: u16 = 499;

pub struct Hunt<'a> {
    gateway: &'a Gateway,
    roster: &'a Roster,
    prompt: &'a Prompt,
    caller: Caller,
    targets: Vec<Target>,
    tried: Vec<Place>,
    /// Why each account did not answer.
    failures: Vec<(AccountId, String)>,
    /// The last answer that was none and no cool-down.
    last: Option<Last>,
    waited_ms: u64,
    /// Whether one of them was over its limit.
    is_limited: bool,
}

/// The status of an answer, and the rest of it.
pub type Won = (u16, Option<Box<Relay>>);

impl<'a> Hunt<'a> {
    pub fn new(
        gateway: &'a Gateway,
        roster: &'a Roster,
        prompt: &'a Prompt,
        caller: Caller,
        targets: Vec<Target>,
    ) -> Hunt<'a> {
        let (tried, failures) = Default::default();
        let (last, waited_ms, is_limited) = (None, 0, false);
        Hunt {
            gateway,
            roster,
            prompt,
            caller,
            targets,
            tried,
            failures,
            last,
            waited_ms,
            is_limited,
        }
    }

    /// The status that the caller got from a provider, and what is still to come; Err: what it is to be
    /// told instead.
    pub fn run(mut self) -> std::result::Result<Won, Refusal> {
        let mut stay = None;
        loop {
            let Some((target, place)) = self.choose(stay.take()) else {
                if self.wait_for_one() {
                    continue;
                }
                return self.give_up();
            };
            self.tried.push(place.clone());
            let is_new = self.bind(&place.id);
            let outcome = self.attempt().ask(&target, &place);
            let now_ms = Timestamp::now_ms();
            let is_error = !matches!(outcome, Outcome::Answered(..) | Outcome::Gone);
            self.gateway.ledger.count_account(&place.id, is_error, now_ms);
            match outcome {
                Outcome::Answered(status, rest) => {
                    if status < 400 {
                        self.gateway.ledger.recovered(&place, now_ms);
                    } else if let Some(name) = self.prompt.conversation.as_ref().filter(|_| is_new)
                    {
                        // What it goes on from may be with another account.
                        self.gateway.ledger.leaves(name, &place.id);
                    }
                    return Ok((status, rest));
                }
                Outcome::Gone => return Ok((GONE, None)),
                Outcome::Failed(verdict, failure) => {
                    if matches!(verdict, Verdict::CoolDown { is_whole_account: false, .. }) {
                        // Another of its projects or previews may do.
                        stay = Some(place.id.clone());
                    }
                    self.note(&place, &verdict, failure, now_ms);
                }
            }
        }
    }

    // ---- whose turn it is

    /// Before the answer is there: other prompts of the conversation may come meanwhile. Says whether
    /// it was with another account, or with none.
    fn bind(&self, id: &AccountId) -> bool {
        let name = self.prompt.conversation.as_ref();
        name.is_some_and(|name| self.gateway.ledger.belongs(name, id, Timestamp::now_ms()))
    }

    fn choose(&self, stay: Option<AccountId>) -> Option<(Target, Place)> {
        let now_ms = Timestamp::now_ms();
        let mut ready: Vec<(&Target, Place)> = Vec::new();
        for target in &self.targets {
            let free = |place: &Place| {
                !self.tried.contains(place)
                    && self.gateway.ledger.cools_until(place, now_ms).is_none()
            };
            if self.is_over_limit(&target.member.id) || !target.member.is_usable() {
                continue;
            }
            if let Some(place) = self.places(target).into_iter().find(free) {
                ready.push((target, place));
            }
        }
        let found = |id: &AccountId| {
            let mut fitting = ready.iter().filter(|(target, _)| target.member.id == *id);
            fitting.next().map(|(target, place)| ((*target).clone(), place.clone()))
        };
        if let Some(found) = stay.as_ref().and_then(&found) {
            return Some(found);
        }
        let first_rank = ready.iter().map(|(target, _)| target.rank).min()?;
        ready.retain(|(target, _)| target.rank == first_rank);
        let found = |id: &AccountId| {
            let mut fitting = ready.iter().filter(|(target, _)| target.member.id == *id);
            fitting.next().map(|(target, place)| ((*target).clone(), place.clone()))
        };
        let bound = self.prompt.conversation.as_ref();
        let bound = bound.map(|name| self.gateway.ledger.accounts_of(name, now_ms));
        if let Some(found) = bound.iter().flatten().find_map(&found) {
            return Some(found);
        }
        let highest = ready.iter().map(|(target, _)| target.member.priority()).max()?;
        let ids: Vec<&AccountId> = ready
            .iter()
            .filter(|(target, _)| target.member.priority() == highest)
            .map(|(target, _)| &target.member.id)
            .collect();
        let is_first = self.roster.settings.routing == Routing::FillFirst;
        found(self.gateway.ledger.next(&ids, is_first)?)
    }

    fn places(&self, target: &Target) -> Vec<Place> {
        places::of(target, self.prompt.dialect, &self.roster.settings)
    }

    fn attempt(&self) -> Attempt<'_> {
        let Hunt { gateway, roster, prompt, .. } = *self;
        Attempt { gateway, roster, prompt, caller: &self.caller }
    }

    fn is_over_limit(&self, id: &AccountId) -> bool {
        let limit = self.roster.settings.max_retry_credentials;
        let mut asked: Vec<&AccountId> = self.tried.iter().map(|place| &place.id).collect();
        asked.sort();
        asked.dedup();
        limit > 0 && asked.len() >= limit && !asked.contains(&id)
    }

    // ---- what is learned

    fn note(&mut self, place: &Place, verdict: &Verdict, failure: Failure, now_ms: i64) {
        let Failure { last, why } = failure;
        let whole = || Place { id: place.id.clone(), model: None, project: None };
        let (place_of, wait) = match verdict {
            Verdict::CoolDown { wait_ms, is_whole_account } => {
                self.is_limited = true;
                let place = if *is_whole_account { whole() } else { place.clone() };
                (place, wait_ms.map_or(Wait::Doubling, Wait::Named))
            }
            Verdict::SignIn if matches!(last, Last::Answer(_)) => (whole(), Wait::TurnedAway),
            Verdict::Elsewhere | Verdict::Pass | Verdict::SignIn => {
                self.failures.push((place.id.clone(), why));
                self.last = Some(last);
                return;
            }
        };
        let cap_s = self.roster.settings.max_cooldown;
        let reason = crate::text::harmless(&why, 80);
        let store = &self.gateway.store;
        self.gateway.ledger.cool_down(&place_of, wait, cap_s, &reason, now_ms, store);
        self.failures.push((place.id.clone(), why));
        if matches!(verdict, Verdict::SignIn) {
            self.last = Some(last);
        }
    }

    // ---- nobody is left

    /// When the first of the accounts may be asked again.
    fn shortest_wait_ms(&self, now_ms: i64) -> Option<u64> {
        let places = self.targets.iter().filter(|t| t.member.is_usable());
        let places = places.flat_map(|target| self.places(target));
        let waits = places.filter_map(|place| self.gateway.ledger.cools_until(&place, now_ms));
        waits.map(|until| u64::try_from(until - now_ms).unwrap_or(0)).min()
    }

    /// Waits for the end of a cool-down, where the settings allow so long a wait.
    fn wait_for_one(&mut self) -> bool {
        let limit_ms = self.roster.settings.max_retry_interval.saturating_mul(1_000);
        let now_ms = Timestamp::now_ms();
        let Some(wait_ms) = self.shortest_wait_ms(now_ms).filter(|_| self.last.is_none()) else {
            return false;
        };
        if self.waited_ms.saturating_add(wait_ms) > limit_ms {
            return false;
        }
        self.waited_ms += wait_ms.max(1);
        let until_ms = now_ms + i64::try_from(wait_ms).unwrap_or(0) + 5;
        while Timestamp::now_ms() < until_ms {
            thread::sleep(Duration::from_millis(50).min(Duration::from_millis(wait_ms + 1)));
            if self.caller.is_gone() {
                return false;
            }
        }
        self.tried.clear();
        true
    }

    fn give_up(self) -> std::result::Result<Won, Refusal> {
        let now_ms = Timestamp::now_ms();
        let places = |target: &Target| self.places(target);
        let states = States {
            targets: &self.targets,
            failures: &self.failures,
            ledger: &self.gateway.ledger,
            places: &places,
            now_ms,
        };
        let is_all_turned_away = states.is_all_turned_away();
        let states = states.told();
        let model = crate::text::harmless(&self.prompt.model, 120);
        match self.last {
            // A redirect would take the caller's key along, and a page is no answer.
            Some(Last::Answer(ref answer)) if answer.status < 400 => {
                let what = format!("no account could answer for {model}: {states}");
                return Err(Refusal::new(502, what));
            }
            // Its own words are the best there are.
            Some(Last::Answer(ref answer)) if answer.status != 401 && answer.status < 600 => {
                if answer.body.is_empty() {
                    return Err(Refusal::new(answer.status, states));
                }
                let is_sent = pass_back(&self.caller, answer).is_ok();
                return Ok((if is_sent { answer.status } else { GONE }, None));
            }
            Some(Last::Error(ref error)) if !matches!(error, Error::SignIn { .. }) => {
                let what = format!("no account could answer for {model}: {states}");
                return Err(Refusal::new(status_of(error), what));
            }
            _ => {}
        }
        // A wait may be shorter than the time that the other accounts took.
        let wait_ms = self.shortest_wait_ms(now_ms).or(self.is_limited.then_some(1));
        if let Some(wait_ms) = wait_ms.filter(|_| !is_all_turned_away) {
            let what = format!("every account for {model} is cooling down: {states}");
            let retry_after_s = Some(wait_ms.div_ceil(1_000).max(1));
            return Err(Refusal { retry_after_s, ..Refusal::new(429, what) });
        }
        Err(Refusal::new(503, format!("no account can answer for {model}: {states}")))
    }
}
