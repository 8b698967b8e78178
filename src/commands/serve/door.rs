//! Who comes in, and where to: the host that was meant, the caller's key, the path.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use serde_json::json;

use crate::commands::serve::manage::{Load, Manage};
use crate::commands::serve::mcp;
use crate::endpoint;
use crate::flows::gateway::Gateway;
use crate::flows::gateway::forward::{Refusal, answer_json, refuse};
use crate::flows::gateway::keys;
use crate::flows::gateway::relay::Relay;
use crate::flows::mcp_relay;
use crate::net::serve::{Exchange, Head, Rest, Running};
use crate::protocol::gateway::listing::{self, Style};
use crate::protocol::gateway::route::{self, Nowhere, Route, Shape};
use crate::provider::Dialect;
use crate::store::ClientKey;
use crate::text;

pub struct Door {
    gateway: Arc<Gateway>,
    /// MCP servers, which a private gateway has none of.
    mcp: Option<mcp_relay::Relay>,
    own: SocketAddr,
    is_remote: bool,
    running: OnceLock<Running>,
    manage: Option<Manage>,
    /// Requests under way, without those for management.
    busy: Arc<AtomicUsize>,
}

/// Counts a request while it lives.
struct Busy(Arc<AtomicUsize>);

impl Busy {
    fn new(all: &Arc<AtomicUsize>) -> Busy {
        all.fetch_add(1, Ordering::SeqCst);
        Busy(Arc::clone(all))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Door {
    pub fn new(gateway: Arc<Gateway>, own: SocketAddr, is_remote: bool, is_private: bool) -> Door {
        let manage = (!is_private).then(|| Manage::new(Arc::clone(&gateway)));
        let mcp = (!is_private).then(|| mcp::relay(&gateway.roster().settings));
        let (running, busy) = (OnceLock::new(), Arc::default());
        Door { gateway, mcp, own, is_remote, running, manage, busy }
    }

    /// The server that this is the door of.
    pub fn watches(&self, running: Running) {
        let _ = self.running.set(running);
    }

    /// Answers a request; gives what is still to come of an answer that may take its time.
    pub fn answer(&self, exchange: &mut Exchange) -> Option<Rest> {
        let is_managing = self.manage.is_some() && Manage::is_for(&exchange.head.path);
        let busy = (!is_managing).then(|| Busy::new(&self.busy));
        let relay = self.let_in(exchange)?;
        Some(Box::new(move || {
            let _busy = busy;
            relay.rest();
        }))
    }

    fn let_in(&self, exchange: &mut Exchange) -> Option<Box<Relay>> {
        let speaks_anthropic = exchange.head.header("anthropic-version").is_some();
        let shape = match route::shape_of(&exchange.head.path) {
            Shape::Openai if speaks_anthropic => Shape::Anthropic,
            shape => shape,
        };
        if !self.is_meant(&exchange.head) {
            // A page of somebody else's that made its name lead here would be let in by a browser.
            let what = "this gateway goes by another host name; see hosts in docs/serve.md";
            refuse(exchange, shape, &Refusal::new(403, what));
            return None;
        }
        let path = exchange.head.path.as_str();
        if path == "/healthz" {
            answer_json(exchange, 200, &json!({"status": "ok"}));
            return None;
        }
        if let Some(manage) = self.manage.as_ref().filter(|_| Manage::is_for(path)) {
            let connections = self.running.get().map_or(0, Running::connections);
            let in_flight = self.busy.load(Ordering::SeqCst);
            manage.answer(exchange, Load { connections, in_flight });
            return None;
        }
        if let Some(relay) = self.mcp.as_ref().filter(|_| mcp_relay::Relay::is_for(path)) {
            let roster = self.gateway.roster();
            mcp::answer(relay, exchange, &roster.keys, &roster.settings);
            return None;
        }
        let presented = keys::presented(&exchange.head);
        let mut roster = self.gateway.roster();
        if keys::find(&presented, &roster.keys).is_none() {
            // It may have been made a moment ago.
            self.gateway.look();
            roster = self.gateway.roster();
        }
        let Some(key) = keys::find(&presented, &roster.keys) else {
            let what = match presented.is_empty() {
                true => "a key of this gateway is needed; try: keyfob serve key add NAME",
                false => "this is no key of this gateway; try: keyfob serve key list",
            };
            refuse(exchange, shape, &Refusal::new(401, what));
            return None;
        };
        if exchange.head.header("upgrade").is_some() {
            // Codex tries a web socket first, and takes this for a no at once.
            refuse(exchange, shape, &Refusal::new(426, "web sockets are not spoken here"));
            return None;
        }
        match route::find(&exchange.head.method, path) {
            Ok(route) if route.dialect().is_none() => self.list(exchange, &route, key),
            Ok(route) => return self.gateway.answer(exchange, &route, key),
            Err(Nowhere::Method(wanted)) => {
                let what = format!("{} takes {wanted}", text::harmless(path, 100));
                let allow = Some(wanted);
                refuse(exchange, shape, &Refusal { allow, ..Refusal::new(405, what) });
            }
            Err(Nowhere::Path) => {
                let path = text::harmless(path, 100);
                let what = format!("nothing is at {path}; there are {}", route::ROUTES);
                refuse(exchange, shape, &Refusal::new(404, what));
            }
        }
        None
    }

    /// Whether the request was made to a name that is ours.
    fn is_meant(&self, head: &Head) -> bool {
        let Some(host) = head.header("host") else { return false };
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if !port.contains(']') => (name, port.parse().ok()),
            _ => (host, Some(80)),
        };
        let is_own_name = endpoint::is_loopback(name) || endpoint::ip(name) == Some(self.own.ip());
        let settings = &self.gateway.roster().settings;
        let is_named = settings.hosts.iter().any(|own| own.eq_ignore_ascii_case(name));
        // Where others may come in, an address is as good as another; names would have to be ours.
        let is_address = self.is_remote && endpoint::ip(name).is_some();
        let is_port = port == Some(self.own.port());
        (is_own_name && is_port) || is_named || (is_address && is_port)
    }

    fn list(&self, exchange: &Exchange, route: &Route, key: &ClientKey) {
        let is_google = matches!(route, Route::GoogleModel(_) | Route::GoogleModels);
        let (style, dialect) = match exchange.head.header("anthropic-version") {
            _ if is_google => (Style::Google, Some(Dialect::GeminiGenerateContent)),
            Some(_) => (Style::Anthropic, Some(Dialect::AnthropicMessages)),
            None => (Style::Openai, None),
        };
        let models = self.gateway.models(key, dialect);
        let (Route::GoogleModel(id) | Route::Model(id)) = route else {
            return answer_json(exchange, 200, &listing::all(style, &models));
        };
        match models.iter().find(|model| model.id == *id) {
            Some(model) => answer_json(exchange, 200, &listing::one(style, model)),
            None => {
                let what = format!("no account has a model {}", text::harmless(id, 120));
                refuse(exchange, route.shape(), &Refusal::new(404, what));
            }
        }
    }
}
