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

/// What a person may settle about this.
pub struct Settings {
    /// Servers in a private network or on this machine, as origins, that may be asked; all others are
    /// refused.
    pub private_origins: Vec<String>,
    /// By which clients are registered.
    pub client_name: String,
    /// For the beginning of an answer. Silence after it has no limit: an open stream is silent for hours.
    pub timeout_s: u64,
    pub sign_in: SignIn,
}

pub struct Relay {
    settings: Settings,
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
    key: Key,
    base: &'a str,
    flow: Flow,
}

impl Relay {
    pub fn new(mut settings: Settings) -> Relay {
        let origins = settings.private_origins.iter();
        settings.private_origins = origins.filter_map(|url| endpoint::origin(url)).collect();
        let timeout_s = settings.timeout_s;
        let (guarded, open) = (Client::new_guarded(timeout_s), Client::new(timeout_s));
        Relay { settings, guarded, open, learned: Mutex::default() }
    }

    /// Whether a path is answered here.
    pub fn is_for(path: &str) -> bool {
        route::is_for(path)
    }

    /// The flow that a request belongs to, if it may go there.
    fn admit(&self, route: &Route, key: Key) -> Result<Flow, Refusal> {
        let Route { way, root, relay, .. } = route;
        let is_auth = matches!(way, Way::Auth { .. });
        if key == Key::None && is_auth {
            return Err(Refusal::new(401, "a client key of this gateway is wanted"));
        }
        if self.is_private(root, root) || self.is_private(root, relay) {
            let what = format!("{relay} is an address of a private network");
            return Err(Refusal::new(403, what));
        }
        if endpoint::check("address", &route.url).is_err() {
            return Err(Refusal::new(403, format!("{relay}: plain http is not relayed")));
        }
        let now = Timestamp::now();
        let mut learned = self.learned();
        if key == Key::None {
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

    /// What an origin is to a flow.
    fn place(&self, flow: &Flow, origin: &str) -> Place {
        if self.is_private(&flow.root, origin) {
            Place::Blocked
        } else if flow.knows(origin) {
            Place::Known
        } else {
            Place::Unknown
        }
    }

    /// Whether an origin is none that this root may lead to. A public server has no business with an
    /// address of a private network, allowed to others or not.
    fn is_private(&self, root: &str, origin: &str) -> bool {
        let bare = origin.split_once("://").map_or("", |(_, rest)| rest);
        let host = match bare.rfind(':').filter(|_| !bare.ends_with(']')) {
            Some(at) => &bare[..at],
            None => bare,
        };
        guard::is_private_literal(host) && !self.are_allowed(root, origin)
    }

    fn are_allowed(&self, root: &str, origin: &str) -> bool {
        let allowed = &self.settings.private_origins;
        allowed.iter().any(|one| one == root) && allowed.iter().any(|one| one == origin)
    }

    fn client(&self, route: &Route) -> &Client {
        if self.are_allowed(&route.root, &route.relay) { &self.open } else { &self.guarded }
    }

    fn gateway<'a>(&self, errand: &Errand<'a>) -> Gateway<'a> {
        let is_encoded = match errand.route.way {
            Way::Auth { is_encoded } | Way::Metadata { is_encoded } => is_encoded,
            Way::Relay => errand.flow.is_encoded,
        };
        let sign_in = self.settings.sign_in;
        Gateway { base: errand.base, root: &errand.route.root, is_encoded, sign_in }
    }

    fn learned(&self) -> MutexGuard<'_, Learned> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
