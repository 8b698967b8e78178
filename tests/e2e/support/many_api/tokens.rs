//! The tokens of the accounts that have some: renewed at POST /token, each refresh token once.

use std::collections::HashMap;
use std::io;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::World;
use crate::support::idp::http::Answer;
use crate::support::idp::{Grant, Request};

/// What comes of a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renews {
    /// A new token.
    Well,
    /// This status, and no word of OAuth.
    Fails(u16),
    /// `invalid_grant`.
    Refuses,
}

pub struct Issuer {
    /// Refresh token to account; one that was used is spent.
    refresh: HashMap<String, (String, bool)>,
    scripts: HashMap<String, Renews>,
    issued: usize,
    pub under_way: usize,
    pub most: usize,
    pub reused: usize,
    pub lifetime_s: u64,
    pub takes: Duration,
    /// The accounts whose tokens came here.
    pub asked: Vec<String>,
}

impl Default for Issuer {
    fn default() -> Self {
        Issuer {
            refresh: HashMap::new(),
            scripts: HashMap::new(),
            issued: 0,
            under_way: 0,
            most: 0,
            reused: 0,
            lifetime_s: 3600,
            takes: Duration::ZERO,
            asked: Vec::new(),
        }
    }
}

impl Issuer {
    /// The tokens, and how long the access token lives.
    pub fn grant(&mut self, account: &str) -> (Grant, u64) {
        self.issued += 1;
        let number = self.issued;
        let access_token = format!("at-{account}-{number}");
        let refresh_token = format!("rt-{account}-{number}");
        self.refresh.insert(refresh_token.clone(), (account.to_owned(), false));
        (Grant { access_token, refresh_token }, self.lifetime_s)
    }

    pub fn script(&mut self, account: &str, how: Renews) {
        self.scripts.insert(account.to_owned(), how);
    }

    /// Whose token it is; None: nobody's, or it was used before.
    fn redeem(&mut self, token: &str) -> Option<String> {
        let (account, is_spent) = self.refresh.get_mut(token)?;
        let account = account.clone();
        self.asked.push(account.clone());
        if *is_spent {
            self.reused += 1;
            return None;
        }
        // One that fails may be tried again with the same token.
        *is_spent = !matches!(self.scripts.get(&account), Some(Renews::Fails(_)));
        Some(account)
    }
}

pub fn renew(stream: &mut TcpStream, request: &Request, world: &World) -> io::Result<()> {
    let takes = {
        let mut inner = world.inner();
        let issuer = &mut inner.issuer;
        issuer.under_way += 1;
        issuer.most = issuer.most.max(issuer.under_way);
        issuer.takes
    };
    thread::sleep(takes);
    let answer = answer(request, world);
    world.inner().issuer.under_way -= 1;
    answer.send(stream)
}

fn answer(request: &Request, world: &World) -> Answer {
    let param = |name: &str| request.param(name).unwrap_or_default();
    let refused = |status: u16, code: &str| Answer::json(status, &json!({"error": code}));
    if param("grant_type") != "refresh_token" || param("client_id") != "demo-client" {
        return refused(400, "invalid_request");
    }
    let mut inner = world.inner();
    let Some(account) = inner.issuer.redeem(&param("refresh_token")) else {
        return refused(400, "invalid_grant");
    };
    match inner.issuer.scripts.get(&account).copied().unwrap_or(Renews::Well) {
        Renews::Fails(status) => Answer::json(status, &json!({"message": "something broke"})),
        Renews::Refuses => refused(400, "invalid_grant"),
        Renews::Well => {
            let (grant, lifetime_s) = inner.issuer.grant(&account);
            inner.known.insert(grant.access_token.clone(), (account, true));
            let body = json!({
                "access_token": grant.access_token,
                "refresh_token": grant.refresh_token,
                "token_type": "Bearer",
                "expires_in": lifetime_s,
            });
            Answer::json(200, &body)
        }
    }
}
