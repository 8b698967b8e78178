//! What is the matter with the accounts that could not answer, for whoever asked.

use crate::account::AccountId;
use crate::flows::api;
use crate::flows::gateway::ledger::{Ledger, Place};
use crate::flows::gateway::roster::Target;
use crate::store::CoolDown;
use crate::time::duration_in_words;

pub struct States<'a> {
    pub targets: &'a [Target],
    /// Why each did not answer, the latest last.
    pub failures: &'a [(AccountId, String)],
    pub ledger: &'a Ledger,
    /// Where each could have been asked.
    pub places: &'a dyn Fn(&Target) -> Vec<Place>,
    pub now_ms: i64,
}

impl States<'_> {
    /// Whether waiting will not help, as no credential is accepted.
    pub fn is_all_turned_away(&self) -> bool {
        self.targets.iter().all(|target| {
            let cooling = self.ledger.cooling(&target.member.id, self.now_ms);
            !target.member.is_usable() || cooling.iter().any(|one| one.is_turned_away)
        })
    }

    /// Each account and what is the matter with it.
    pub fn told(&self) -> String {
        let mut told: Vec<String> = Vec::new();
        let mut seen: Vec<&AccountId> = Vec::new();
        for target in self.targets {
            let id = &target.member.id;
            if seen.contains(&id) {
                continue;
            }
            seen.push(id);
            told.push(format!("{id}: {}", self.of(target)));
        }
        told.join("; ")
    }

    fn of(&self, target: &Target) -> String {
        let id = &target.member.id;
        if target.member.is_refused() {
            return format!("sign-in needed; try: {}", id.login_command());
        }
        let places = (self.places)(target);
        let is_meant = |one: &CoolDown| {
            one.model.is_none() || places.iter().any(|place| place.model == one.model)
        };
        let cooling = self.ledger.cooling(id, self.now_ms);
        match cooling.into_iter().find(is_meant) {
            Some(one) if one.is_turned_away => {
                let account = target.member.account();
                let next = account.map_or(id.login_command(), |account| api::login_again(&account));
                format!("turned away ({}); try: {next}", one.reason)
            }
            Some(one) => {
                let seconds = (one.until_ms - self.now_ms + 999) / 1_000;
                format!("cooling down {} ({})", duration_in_words(seconds), one.reason)
            }
            None => {
                let failure = self.failures.iter().rev().find(|(failed, _)| failed == id);
                failure.map_or("not asked".to_owned(), |(_, why)| why.clone())
            }
        }
    }
}
