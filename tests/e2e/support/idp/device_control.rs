//! The person's side of a device login, and what a test may know of it.

use std::time::Instant;

use super::device::{Decision, Shape};
use super::ledger::Identity;
use super::{Idp, Shared};

/// One login with a code typed elsewhere.
#[derive(Clone, Debug)]
pub struct Device {
    pub device_code: String,
    pub user_code: String,
    pub client_id: String,
    pub scope: String,
    pub challenge: Option<String>,
    pub decision: Decision,
    pub expires: Instant,
    /// Who approves: the person of the moment when it was approved.
    pub identity: Identity,
    pub interval_s: u64,
    /// The poll under way came too early.
    pub is_hasty: bool,
    pub is_spent: bool,
    /// What its tokens came from, so that a second use can take them back.
    pub family: Option<usize>,
}

impl Idp {
    #[track_caller]
    pub fn approve_device(&self, user_code: &str) {
        self.decide(user_code, Decision::Approved);
    }

    #[track_caller]
    pub fn deny_device(&self, user_code: &str) {
        self.decide(user_code, Decision::Denied);
    }

    #[track_caller]
    pub fn expire_device(&self, user_code: &str) {
        self.decide(user_code, Decision::Expired);
    }

    #[track_caller]
    fn decide(&self, user_code: &str, decision: Decision) {
        assert!(decide(&self.shared, user_code, decision), "no user code {user_code:?}");
    }

    /// The next polls, whosever they are, are told to slow down: by 5 s, or to the interval named.
    pub fn slow_down_next(&self, polls: usize, new_interval_s: Option<u64>) {
        self.shared.world().slow_downs.extend((0..polls).map(|_| new_interval_s));
    }

    /// How the device endpoints answer from now on.
    pub fn shape_device(&self, change: impl FnOnce(&mut Shape)) {
        change(&mut self.shared.world().device_shape);
    }

    /// All device logins so far, oldest first.
    pub fn devices(&self) -> Vec<Device> {
        self.shared.world().devices.clone()
    }
}

/// False when nobody has this code.
pub fn decide(shared: &Shared, user_code: &str, decision: Decision) -> bool {
    let mut world = shared.world();
    let identity = world.identity.clone();
    let device = world.devices.iter_mut().find(|device| device.user_code == user_code);
    device.is_some_and(|device| {
        device.decision = decision;
        device.identity = identity;
        true
    })
}
