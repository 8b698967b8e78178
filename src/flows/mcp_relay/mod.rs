//! MCP servers behind the gateway, for clients that speak HTTP: `/mcp_auth?original=URL` is the server, and
//! all that a sign-in to it needs goes by `/mcp_relay`. One flow for each server's origin: what one
//! server names is of no use to another.

mod answer;
mod back;
mod learned;
mod request;

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::endpoint;
use crate::flows::mcp_relay::learned::{Flow, Learned};
use crate::net::client::Client;
use crate::net::guard;
use crate::protocol::mcp_relay::names::Place;
use crate::protocol::mcp_relay::route::{self, Route, Way};
use crate::protocol::mcp_relay::{Gateway, SignIn};
use crate::time::Timestamp;

/// The client key that a request was let in with, found good by whoever calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// In a header of its own, or in the query; `Authorization` is the MCP server's.
    Elsewhere,
    InAuthorization,
    None,
}

/// How a request came in, and what is settled for it.
pub struct Visit<'a> {
    pub key: Key,
    /// The gateway as the client names it: `http://HOST:PORT`.
    pub base: &'a str,
    /// Servers in a private network or on this machine, as origins, that may be asked; all others are
    /// refused.
    pub private_origins: &'a [String],
    pub sign_in: SignIn,
}

impl Visit<'_> {
    fn are_allowed(&self, root: &str, origin: &str) -> bool {
        let is_listed = |origin: &str| {
            let mut listed = self.private_origins.iter().filter_map(|one| endpoint::origin(one));
            listed.any(|one| one == origin)
        };
        is_listed(root) && is_listed(origin)
    }
}

pub struct Relay {
    /// By which clients are registered.
    client_name: String,
    /// For the beginning of an answer. Silence after it has no limit: an open stream is silent for hours.
    timeout_s: u64,
    guarded: Client,
    /// For private origins that are allowed.
    open: Client,
    learned: Mutex<Learned>,
}

/// Why a request gets no answer of a server's.
struct Refusal {
    status: u16,
    what: String,
}

impl Refusal {
    fn new(status: u16, what: impl Into<String>) -> Refusal {
        Refusal { status, what: what.into() }
    }
}

/// A request on its way.
struct Errand<'a> {
    route: &'a Route,
    visit: &'a Visit<'a>,
    flow: Flow,
}

impl Relay {
    /// One for a gateway's whole life. Clients register as `client_name`; an answer begins within
    /// `timeout_s`.
    pub fn new(client_name: &str, timeout_s: u64) -> Relay {
        let (guarded, open) = (Client::new_guarded(timeout_s), Client::new(timeout_s));
        let client_name = client_name.to_owned();
        Relay { client_name, timeout_s, guarded, open, learned: Mutex::default() }
    }

    /// Whether a path is answered here.
    pub fn is_for(path: &str) -> bool {
        route::is_for(path)
    }

    /// The flow that a request belongs to, if it may go there.
    fn admit(&self, route: &Route, visit: &Visit) -> Result<Flow, Refusal> {
        let Route { way, root, relay, .. } = route;
        let is_auth = matches!(way, Way::Auth { .. });
        if visit.key == Key::None && is_auth {
            return Err(Refusal::new(401, "a client key of this gateway is wanted"));
        }
        if is_private(visit, root, root) || is_private(visit, root, relay) {
            let what = format!("{relay} is an address of a private network");
            return Err(Refusal::new(403, what));
        }
        if endpoint::check("address", &route.url).is_err() {
            return Err(Refusal::new(403, format!("{relay}: plain http is not relayed")));
        }
        let now = Timestamp::now();
        let mut learned = self.learned();
        if visit.key == Key::None {
            let flow = learned.open(root, relay, now);
            let what = "this address belongs to no sign-in that began here within 30 minutes";
            return flow.ok_or(Refusal::new(403, what));
        }
        let flow = learned.begin(root, now);
        if let Way::Auth { is_encoded } = way {
            flow.is_encoded = *is_encoded;
        }
        learned.learn(root, relay, false);
        Ok(learned.flow(root, now))
    }

    fn client(&self, errand: &Errand) -> &Client {
        let Route { root, relay, .. } = errand.route;
        if errand.visit.are_allowed(root, relay) { &self.open } else { &self.guarded }
    }

    fn learned(&self) -> MutexGuard<'_, Learned> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> Errand<'a> {
    /// The gateway as the client of this sees it.
    fn gateway(&self) -> Gateway<'a> {
        let is_encoded = match self.route.way {
            Way::Auth { is_encoded } | Way::Metadata { is_encoded } => is_encoded,
            Way::Relay => self.flow.is_encoded,
        };
        let Visit { base, sign_in, .. } = *self.visit;
        Gateway { base, root: &self.route.root, is_encoded, sign_in }
    }

    /// What an origin is to the flow as it is now.
    fn place(&self, flow: &Flow, origin: &str) -> Place {
        if is_private(self.visit, &flow.root, origin) {
            Place::Blocked
        } else if flow.knows(origin) {
            Place::Known
        } else {
            Place::Unknown
        }
    }
}

/// Whether an origin is none that this root may lead to. A public server has no business with an
/// address of a private network, allowed to others or not.
fn is_private(visit: &Visit, root: &str, origin: &str) -> bool {
    let bare = origin.split_once("://").map_or("", |(_, rest)| rest);
    let host = match bare.rfind(':').filter(|_| !bare.ends_with(']')) {
        Some(at) => &bare[..at],
        None => bare,
    };
    guard::is_private_literal(host) && !visit.are_allowed(root, origin)
}
