//! MCP servers behind the gateway: who may ask, and what is settled for it.

use crate::flows::gateway::keys;
use crate::flows::gateway::settings::Settings;
use crate::flows::mcp_relay::{Key, Relay, Visit};
use crate::net::serve::{Exchange, Head};
use crate::secret::Secret;
use crate::store::ClientKey;

pub fn relay(settings: &Settings) -> Relay {
    let name = std::env::var("MCP_CLIENT_NAME").ok().filter(|name| !name.is_empty());
    Relay::new(name.as_deref().unwrap_or("keyfob"), settings.upstream_timeout.max(1))
}

/// Answers a request that is for the relay. Its host has been found to be ours.
pub fn answer(relay: &Relay, exchange: &mut Exchange, known: &[ClientKey], settings: &Settings) {
    let base = format!("http://{}", exchange.head.header("host").unwrap_or_default());
    let visit = Visit {
        key: key(&exchange.head, known),
        base: &base,
        private_origins: &settings.mcp_private_origins,
        sign_in: settings.mcp_sign_in,
    };
    relay.answer(exchange, &visit);
}

/// A key may be bound to providers: there is none here.
fn key(head: &Head, known: &[ClientKey]) -> Key {
    let is_known = |presented: &[Secret]| keys::find(presented, known).is_some();
    let bearer = head.header_values("authorization").map(keys::bearer).map(Secret::new);
    if is_known(&bearer.collect::<Vec<_>>()) {
        Key::InAuthorization
    } else if is_known(&keys::presented(head)) {
        Key::Elsewhere
    } else {
        Key::None
    }
}
