//! The management key, and those who guess at it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use crate::flows::gateway::keys;
use crate::secret::Secret;

const MOST_WRONG: u32 = 5;
const LOCKED_OUT_MS: i64 = 5 * 60 * 1_000;
const MOST_ADDRESSES: usize = 1_024;

#[derive(Default)]
pub struct Guard(Mutex<HashMap<IpAddr, Tries>>);

#[derive(Default)]
struct Tries {
    wrong: u32,
    /// The last wrong one: a page that asks five things at once with an old key guesses once.
    last: String,
    until_ms: i64,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Judged {
    LockedOut {
        seconds: u64,
    },
    /// Which is no guess.
    Missing,
    Right,
    Wrong,
}

impl Guard {
    pub fn judge(
        &self,
        peer: IpAddr,
        presented: Option<&str>,
        key: &Secret,
        now_ms: i64,
    ) -> Judged {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tries) = all.get(&peer).filter(|tries| tries.until_ms > now_ms) {
            let left_ms = u64::try_from(tries.until_ms - now_ms).unwrap_or(0);
            return Judged::LockedOut { seconds: left_ms.div_ceil(1_000) };
        }
        let Some(presented) = presented else { return Judged::Missing };
        // Both as hashes, so that the time says nothing of the length either.
        let hash = keys::hash(presented);
        if keys::is_same(&hash, &keys::hash(key.expose())) {
            all.remove(&peer);
            return Judged::Right;
        }
        if all.len() >= MOST_ADDRESSES {
            all.retain(|_, tries| tries.until_ms > now_ms);
        }
        let tries = all.entry(peer).or_default();
        if tries.last != hash {
            tries.wrong += 1;
            tries.last = hash;
        }
        if tries.wrong >= MOST_WRONG {
            *tries = Tries { until_ms: now_ms + LOCKED_OUT_MS, ..Tries::default() };
        }
        Judged::Wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_wrong_keys_in_a_row_lock_the_address_out_for_a_while() {
        let guard = Guard::default();
        let key = Secret::new("right");
        let (here, there) = ([127, 0, 0, 1].into(), [127, 0, 0, 2].into());
        let judge = |peer, presented: &str, at| guard.judge(peer, Some(presented), &key, at);
        for round in ["a", "b", "c", "d", "right", "a", "b", "b", "b", "c", "d"] {
            let wanted = if round == "right" { Judged::Right } else { Judged::Wrong };
            assert_eq!(judge(here, round, 0), wanted, "{round}");
        }
        assert_eq!(guard.judge(here, None, &key, 0), Judged::Missing);
        assert_eq!(judge(here, "e", 0), Judged::Wrong);
        assert_eq!(judge(here, "right", 1_000), Judged::LockedOut { seconds: 299 });
        assert_eq!(judge(there, "right", 1_000), Judged::Right);
        assert_eq!(judge(here, "right", LOCKED_OUT_MS), Judged::Right);
    }
}
