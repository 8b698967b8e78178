//! Which accounts the gateway leaves alone for a while.

use serde_json::{Value, json};

use crate::account::AccountId;
use crate::store::CoolDown;
use crate::text;
use crate::time::{Timestamp, duration_in_words};

/// Those of an account that are not over.
pub fn of(id: &AccountId, all: &[CoolDown]) -> Vec<CoolDown> {
    let now_ms = Timestamp::now_ms();
    let is_of = |one: &&CoolDown| one.provider == id.provider && one.account == id.account;
    all.iter().filter(is_of).filter(|one| one.until_ms > now_ms).cloned().collect()
}

pub fn json(cooling: &[CoolDown]) -> Value {
    let one = |one: &CoolDown| {
        let until = Timestamp((one.until_ms + 999) / 1_000);
        json!({"model": one.model, "project": one.project, "until": until, "reason": one.reason})
    };
    cooling.iter().map(one).collect()
}

/// `serve: m cools down 12 s (status 429)`
pub fn words(cooling: &[CoolDown]) -> Option<String> {
    let now_ms = Timestamp::now_ms();
    let words = |one: &CoolDown| {
        let seconds = (one.until_ms - now_ms + 999) / 1_000;
        let what = one.model.as_deref().unwrap_or("every model");
        let (what, reason) = (text::harmless(what, 80), text::harmless(&one.reason, 80));
        format!("{what} cools down {} ({reason})", duration_in_words(seconds.max(1)))
    };
    let all: Vec<_> = cooling.iter().map(words).collect();
    (!all.is_empty()).then(|| format!("serve: {}", all.join(", ")))
}
