//! What sign-ins under way have shown: which origins belong to which MCP server. Only what a server named
//! in a flow that began with a client key is here, and only while the flow is in use.

use crate::protocol::mcp_relay::names::Kind;
use crate::time::Timestamp;

/// Since the last use.
const LIFETIME_S: i64 = 30 * 60;
const MOST_ROOTS: usize = 10;
/// All together, each counted once.
const MOST_ORIGINS: usize = 50;
/// One server that names very many must not leave the others none.
const MOST_OF_A_ROOT: usize = 16;
const MOST_ENDPOINTS: usize = 48;

#[derive(Default)]
pub struct Learned {
    /// The one used last stands last.
    flows: Vec<Flow>,
}

/// The sign-in to one MCP server's origin.
#[derive(Clone)]
pub struct Flow {
    pub root: String,
    /// How the client writes `original`.
    pub is_encoded: bool,
    relays: Vec<Known>,
    endpoints: Vec<(Kind, String)>,
    used_at: Timestamp,
}

#[derive(Clone)]
struct Known {
    origin: String,
    /// No document names it: a redirect led there, which may be anybody's (an open redirect), and a client
    /// that follows sees one origin all the way. So no token is to go there.
    is_by_redirect: bool,
}

impl Flow {
    pub fn new(root: &str, now: Timestamp) -> Flow {
        let own = Known { origin: root.to_owned(), is_by_redirect: false };
        let (relays, endpoints) = (vec![own], Vec::new());
        Flow { root: root.to_owned(), is_encoded: false, relays, endpoints, used_at: now }
    }

    pub fn knows(&self, origin: &str) -> bool {
        self.relays.iter().any(|known| known.origin == origin)
    }

    pub fn may_have_tokens(&self, origin: &str) -> bool {
        self.relays.iter().any(|known| known.origin == origin && !known.is_by_redirect)
    }

    /// What a document said this URL without its query is.
    pub fn kinds<'a>(&'a self, endpoint: &'a str) -> impl Iterator<Item = Kind> + 'a {
        let endpoints = self.endpoints.iter();
        endpoints.filter(move |(_, known)| known == endpoint).map(|(kind, _)| *kind)
    }
}

impl Learned {
    /// A flow is begun, or goes on: with a client key.
    pub fn begin(&mut self, root: &str, now: Timestamp) -> &mut Flow {
        self.forget(now);
        let at = self.flows.iter().position(|flow| flow.root == root);
        let mut flow = match at {
            Some(at) => self.flows.remove(at),
            None => {
                // An eleventh server is no mistake: the one that was idle longest begins anew.
                while self.flows.len() >= MOST_ROOTS || self.is_full(root) && !self.flows.is_empty()
                {
                    self.flows.remove(0);
                }
                Flow::new(root, now)
            }
        };
        flow.used_at = now;
        self.flows.push(flow);
        let last = self.flows.len() - 1;
        &mut self.flows[last]
    }

    /// The flow of this root, if it showed this origin; that is a use.
    pub fn open(&mut self, root: &str, origin: &str, now: Timestamp) -> Option<Flow> {
        self.forget(now);
        let at = self.flows.iter().position(|flow| flow.root == root && flow.knows(origin))?;
        let mut flow = self.flows.remove(at);
        flow.used_at = now;
        self.flows.push(flow.clone());
        Some(flow)
    }

    /// Another origin of a flow, while there is room.
    pub fn learn(&mut self, root: &str, origin: &str, is_by_redirect: bool) {
        let is_full = self.is_full(origin);
        let Some(flow) = self.flows.iter_mut().find(|flow| flow.root == root) else { return };
        let is_full = is_full || flow.relays.len() >= MOST_OF_A_ROOT;
        match flow.relays.iter_mut().find(|known| known.origin == origin) {
            Some(known) => known.is_by_redirect &= is_by_redirect,
            None if is_full => {}
            None => flow.relays.push(Known { origin: origin.to_owned(), is_by_redirect }),
        }
    }

    /// A URL, without its query, that a document of a flow named.
    pub fn name(&mut self, root: &str, kind: Kind, endpoint: String) {
        let Some(flow) = self.flows.iter_mut().find(|flow| flow.root == root) else { return };
        let entry = (kind, endpoint);
        if flow.endpoints.len() < MOST_ENDPOINTS && !flow.endpoints.contains(&entry) {
            flow.endpoints.push(entry);
        }
    }

    /// The flow as it is now.
    pub fn flow(&self, root: &str, now: Timestamp) -> Flow {
        let found = self.flows.iter().find(|flow| flow.root == root);
        found.cloned().unwrap_or_else(|| Flow::new(root, now))
    }

    fn forget(&mut self, now: Timestamp) {
        self.flows.retain(|flow| now.since(flow.used_at) < LIFETIME_S);
    }

    /// Whether this origin would be one too many.
    fn is_full(&self, origin: &str) -> bool {
        let relays = self.flows.iter().flat_map(|flow| &flow.relays);
        let mut origins: Vec<_> = relays.map(|known| known.origin.as_str()).collect();
        origins.sort_unstable();
        origins.dedup();
        origins.len() >= MOST_ORIGINS && !origins.contains(&origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn root(number: usize) -> String {
        format!("https://r{number}.example")
    }

    #[test]
    fn an_origin_belongs_to_the_flow_that_showed_it() {
        let mut learned = Learned::default();
        learned.begin(&root(1), NOW);
        learned.begin(&root(2), NOW);
        learned.learn(&root(1), "https://as.example", false);
        learned.learn(&root(3), "https://as.example", false);
        assert!(learned.open(&root(1), "https://as.example", NOW).is_some());
        assert!(learned.open(&root(1), &root(1), NOW).is_some());
        for (root, origin) in [(root(2), "https://as.example"), (root(3), "https://as.example")] {
            assert!(learned.open(&root, origin, NOW).is_none(), "{root}");
        }
        assert!(learned.open(&root(1), &root(2), NOW).is_none());
    }

    #[test]
    fn a_flow_lives_while_it_is_used() {
        let mut learned = Learned::default();
        learned.begin(&root(1), NOW);
        learned.begin(&root(2), NOW);
        let later = |s| NOW.plus(s);
        assert!(learned.open(&root(1), &root(1), later(LIFETIME_S - 1)).is_some());
        assert!(learned.open(&root(2), &root(2), later(LIFETIME_S)).is_none());
        assert!(learned.open(&root(1), &root(1), later(2 * LIFETIME_S - 2)).is_some());
        assert!(learned.open(&root(1), &root(1), later(3 * LIFETIME_S)).is_none());
    }

    #[test]
    fn there_is_room_for_so_many() {
        let mut learned = Learned::default();
        for number in 0..MOST_ROOTS {
            learned.begin(&root(number), NOW);
            for other in 0..99 {
                learned.learn(&root(number), &format!("https://x{number}-{other}.example"), false);
            }
        }
        let relays =
            |learned: &Learned| -> usize { learned.flows.iter().map(|f| f.relays.len()).sum() };
        assert!(relays(&learned) <= MOST_ORIGINS, "{}", relays(&learned));
        assert!(learned.flows.iter().all(|flow| flow.relays.len() <= MOST_OF_A_ROOT));
        learned.begin(&root(0), NOW);
        learned.begin(&root(99), NOW);
        assert!(learned.flows.len() <= MOST_ROOTS && relays(&learned) <= MOST_ORIGINS);
        assert!(learned.open(&root(0), &root(0), NOW).is_some(), "used just now");
        assert!(learned.open(&root(1), &root(1), NOW).is_none(), "idle longest");
    }

    #[test]
    fn what_a_redirect_led_to_gets_no_token_until_a_document_names_it() {
        let mut learned = Learned::default();
        learned.begin(&root(1), NOW);
        for (is_by_redirect, may) in [(true, false), (true, false), (false, true), (true, true)] {
            learned.learn(&root(1), "https://x.example", is_by_redirect);
            let flow = learned.flow(&root(1), NOW);
            assert_eq!(
                (flow.knows("https://x.example"), flow.may_have_tokens("https://x.example")),
                (true, may)
            );
        }
    }

    #[test]
    fn an_endpoint_may_be_several_things() {
        let mut learned = Learned::default();
        learned.begin(&root(1), NOW);
        for kind in [Kind::Other, Kind::Registration, Kind::Registration] {
            learned.name(&root(1), kind, "https://as.example/x".to_owned());
        }
        let flow = learned.flow(&root(1), NOW);
        let kinds: Vec<_> = flow.kinds("https://as.example/x").collect();
        assert_eq!(kinds, [Kind::Other, Kind::Registration]);
    }
}
