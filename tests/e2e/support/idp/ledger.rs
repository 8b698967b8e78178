//! Who may do what: clients, codes, and the tokens that came from one sign-in (a family).

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::dialect::ClientAuth;
use super::redirect::RedirectRule;

#[derive(Clone, Debug)]
pub struct Client {
    pub secret: Option<String>,
    pub auth: ClientAuth,
    pub redirects: Redirects,
}

#[derive(Clone, Debug)]
pub enum Redirects {
    /// What a registration named.
    Listed(Vec<String>),
    Rule(RedirectRule),
}

#[derive(Clone, Debug)]
pub struct Identity {
    pub email: String,
    pub subject: String,
}

#[derive(Clone, Debug)]
pub struct Code {
    pub client_id: String,
    pub redirect_uri: String,
    pub challenge: String,
    pub state: String,
    pub scope: String,
    pub nonce: Option<String>,
    pub identity: Identity,
    pub issued: Instant,
    pub spent: bool,
    /// What the first use gave, so that a second use can take it back.
    pub family: Option<usize>,
}

#[derive(Clone, Debug)]
pub struct Family {
    pub client_id: String,
    pub scope: String,
    pub identity: Identity,
    pub revoked: bool,
}

/// Why a refresh token is not taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RefreshRefusal {
    OtherClient,
    Reused,
    Revoked,
    Unknown,
}

struct Refresh {
    family: usize,
    spent: bool,
}

struct Access {
    family: usize,
    expires: Instant,
    revoked: bool,
}

#[derive(Default)]
pub struct Ledger {
    pub clients: HashMap<String, Client>,
    /// Clients a test removed: still no client, but asking is not the caller's fault.
    pub forgotten: Vec<String>,
    pub codes: HashMap<String, Code>,
    /// State by challenge of every login seen: neither may be used for two logins.
    pub logins: Vec<(String, String)>,
    families: Vec<Family>,
    refresh: HashMap<String, Refresh>,
    access: HashMap<String, Access>,
}

impl Ledger {
    pub fn family(&self, id: usize) -> &Family {
        &self.families[id]
    }

    pub fn found_family(&mut self, client_id: &str, scope: &str, identity: &Identity) -> usize {
        self.families.push(Family {
            client_id: client_id.into(),
            scope: scope.into(),
            identity: identity.clone(),
            revoked: false,
        });
        self.families.len() - 1
    }

    pub fn add_access(&mut self, token: &str, family: usize, lifetime_s: u64) {
        let expires = Instant::now() + Duration::from_secs(lifetime_s);
        self.access.insert(token.into(), Access { family, expires, revoked: false });
    }

    pub fn add_refresh(&mut self, token: &str, family: usize) {
        self.refresh.insert(token.into(), Refresh { family, spent: false });
    }

    /// Takes a refresh token in. A rotating one is spent by it; a spent one takes its family along.
    pub fn redeem(
        &mut self,
        token: &str,
        client_id: &str,
        rotates: bool,
    ) -> Result<usize, RefreshRefusal> {
        let entry = self.refresh.get_mut(token).ok_or(RefreshRefusal::Unknown)?;
        let family = &mut self.families[entry.family];
        if family.client_id != client_id {
            return Err(RefreshRefusal::OtherClient);
        }
        if entry.spent {
            family.revoked = true;
            return Err(RefreshRefusal::Reused);
        }
        if family.revoked {
            return Err(RefreshRefusal::Revoked);
        }
        entry.spent = rotates;
        Ok(entry.family)
    }

    pub fn revoke_family(&mut self, family: usize) {
        self.families[family].revoked = true;
    }

    /// Takes a token back; a refresh token takes its family along, an access token only when
    /// `whole_family` says so. False when nobody knows the token.
    pub fn revoke(&mut self, token: &str, whole_family: bool) -> bool {
        let mut doomed = self.refresh.get(token).map(|entry| entry.family);
        if let Some(entry) = self.access.get_mut(token) {
            entry.revoked = true;
            if !whole_family {
                return true;
            }
            doomed = Some(entry.family);
        }
        if let Some(family) = doomed {
            self.families[family].revoked = true;
        }
        doomed.is_some()
    }

    /// The sign-in a live access token belongs to.
    pub fn live(&self, token: &str) -> Option<&Family> {
        let entry = self.access.get(token)?;
        let family = &self.families[entry.family];
        let alive = !entry.revoked && !family.revoked && Instant::now() < entry.expires;
        alive.then_some(family)
    }

    pub fn expire_access_tokens(&mut self) {
        let now = Instant::now();
        self.access.values_mut().for_each(|entry| entry.expires = now);
    }

    /// A refresh token that would be taken now.
    pub fn can_refresh(&self, token: &str) -> bool {
        self.refresh.get(token).is_some_and(|e| !e.spent && !self.families[e.family].revoked)
    }
}
