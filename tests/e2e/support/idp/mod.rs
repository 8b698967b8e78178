//! A strict OAuth and OpenID Connect issuer on 127.0.0.1.
//!
//! What a real issuer refuses is refused here with the same OAuth error, and what a client did
//! wrong is also kept as a complaint, so that a test can ask for an empty list at its end. It
//! counts, logs and misbehaves on request. Nothing in here knows the product.

// Not every test binary uses every part of the kit.
#![allow(dead_code)]

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

mod api_token;
mod authorize;
mod code_assist;
mod control;
mod device;
mod device_control;
pub mod dialect;
mod discovery;
pub mod encoding;
mod fault;
pub mod http;
mod identity;
mod ledger;
mod overlay;
pub mod redirect;
mod refusal;
mod revoke;
mod routes;
#[cfg(test)]
mod selftest;
#[cfg(test)]
mod selftest_device;
#[cfg(test)]
mod selftest_rows;
#[cfg(test)]
mod selftest_second;
mod server;
mod token;

pub use code_assist::CodeAssist;
#[allow(unused_imports, reason = "the standalone issuer takes them as they are")]
pub use device::{Interval, Shape};
pub use device_control::Device;
pub use dialect::Dialect;
pub use fault::{Fault, Times};
pub use http::Request;

use super::agent::{Agents, Verdict};
use api_token::Bought;
use fault::Faults;
use ledger::{Client, Identity, Ledger, Redirects};

const WAIT_LIMIT: Duration = Duration::from_secs(20);

pub struct Idp {
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
    _verdict: Verdict,
}

/// Tokens handed out without a sign-in, for tests that begin signed in.
#[derive(Clone, Debug)]
pub struct Grant {
    pub access_token: String,
    pub refresh_token: String,
}

struct Shared {
    agents: Agents,
    origin: String,
    dialect: Dialect,
    stopped: AtomicBool,
    world: Mutex<World>,
}

struct World {
    access_lifetime_s: u64,
    callback_iss: Option<String>,
    code_assist: CodeAssist,
    complaints: Vec<String>,
    counters: BTreeMap<String, usize>,
    /// The second tokens.
    bought: Bought,
    device_shape: Shape,
    devices: Vec<Device>,
    faults: Faults,
    identity: Identity,
    ledger: Ledger,
    metadata_patch: Map<String, Value>,
    oauth_metadata: bool,
    onboard_polls: usize,
    openid_metadata: bool,
    polls_seen: usize,
    requests: Vec<Request>,
    /// The answers of the next polls, each with the interval it names.
    slow_downs: VecDeque<Option<u64>>,
}

impl Shared {
    /// A handler that panicked already failed its test; the others go on.
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn issuer(&self) -> String {
        format!("{}{}", self.origin, self.dialect.issuer_path)
    }
}

impl World {
    fn count(&mut self, name: &str) {
        *self.counters.entry(name.into()).or_default() += 1;
    }
}

impl Idp {
    pub fn start(dialect: Dialect) -> Self {
        Self::start_on(0, dialect)
    }

    /// Listens on that port of 127.0.0.1; 0 lets the system choose.
    pub fn start_on(port: u16, dialect: Dialect) -> Self {
        let listener = server::listen(port);
        let address = listener.local_addr().expect("a bound listener has an address");
        let mut ledger = Ledger::default();
        ledger.clients.insert(
            dialect.client_id.clone(),
            Client {
                secret: dialect.client_secret.clone(),
                auth: dialect.client_auth,
                redirects: Redirects::Rule(dialect.redirect.clone()),
            },
        );
        let world = World {
            access_lifetime_s: 3600,
            callback_iss: None,
            code_assist: CodeAssist::Ready,
            complaints: Vec::new(),
            counters: BTreeMap::new(),
            bought: Bought::default(),
            device_shape: Shape::of(dialect.flavour),
            devices: Vec::new(),
            faults: Faults::default(),
            identity: Identity { email: "me@example.com".into(), subject: "user-1".into() },
            ledger,
            metadata_patch: Map::new(),
            oauth_metadata: true,
            onboard_polls: 2,
            openid_metadata: true,
            polls_seen: 0,
            requests: Vec::new(),
            slow_downs: VecDeque::new(),
        };
        let agents = Agents::default();
        let verdict = agents.verdict();
        let shared = Arc::new(Shared {
            agents,
            origin: format!("http://{address}"),
            dialect,
            stopped: AtomicBool::new(false),
            world: Mutex::new(world),
        });
        let acceptor = server::accept(listener, Arc::clone(&shared));
        Idp { shared, acceptor: Some(acceptor), _verdict: verdict }
    }

    /// `http://127.0.0.1:PORT`, also the issuer's name unless the dialect has an issuer path.
    pub fn origin(&self) -> &str {
        &self.shared.origin
    }

    pub fn issuer(&self) -> String {
        self.shared.issuer()
    }

    /// Origin and path: `idp.url("/token")`.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.shared.origin)
    }

    pub fn dialect(&self) -> &Dialect {
        &self.shared.dialect
    }

    /// Requests seen for a role, or for a path when the name starts with `/`. Beside the roles
    /// there are `code_reuse`, `device_reuse` and `refresh_reuse`: grants presented a second time;
    /// and `device_pending`: polls that were answered with "not yet".
    pub fn count(&self, name: &str) -> usize {
        self.shared.world().counters.get(name).copied().unwrap_or(0)
    }

    /// Waits until that many requests were seen: for a test that acts while one is under way.
    #[track_caller]
    pub fn wait_for(&self, name: &str, count: usize) {
        let deadline = Instant::now() + WAIT_LIMIT;
        while self.count(name) < count {
            assert!(Instant::now() < deadline, "no {count} of {name}: {}", self.counters());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub fn counters(&self) -> Value {
        json!(self.shared.world().counters)
    }

    /// What clients did against the protocol, in order; one line each.
    pub fn complaints(&self) -> Vec<String> {
        self.shared.world().complaints.clone()
    }

    /// Fails the test when there is a complaint.
    #[track_caller]
    pub fn assert_content(&self) {
        let complaints = self.complaints();
        assert!(complaints.is_empty(), "the issuer complains:\n  {}", complaints.join("\n  "));
    }

    pub fn requests(&self) -> Vec<Request> {
        self.shared.world().requests.clone()
    }

    /// The requests of one role.
    pub fn requests_to(&self, role: &str) -> Vec<Request> {
        self.requests().into_iter().filter(|request| request.role == role).collect()
    }

    /// Forgets counters, complaints and the log; tokens and faults stay.
    pub fn reset_records(&self) {
        let mut world = self.shared.world();
        world.counters.clear();
        world.complaints.clear();
        world.requests.clear();
    }

    pub fn fault(&self, role: &str, fault: Fault, times: Times) {
        self.shared.world().faults.add(role, fault, times);
    }

    pub fn clear_faults(&self) {
        self.shared.world().faults.clear();
    }

    /// For access tokens handed out from now on.
    pub fn set_access_lifetime(&self, seconds: u64) {
        self.shared.world().access_lifetime_s = seconds;
    }

    pub fn expire_access_tokens(&self) {
        self.shared.world().ledger.expire_access_tokens();
    }

    /// Who signs in from now on.
    pub fn set_identity(&self, email: &str, subject: &str) {
        let identity = Identity { email: email.into(), subject: subject.into() };
        self.shared.world().identity = identity;
    }

    /// From now on the client is unknown: `invalid_client`, as after an expired registration.
    pub fn forget_client(&self, id: &str) {
        let mut world = self.shared.world();
        world.ledger.clients.remove(id);
        world.ledger.forgotten.push(id.into());
    }

    /// What `iss` in the callback says instead of the issuer's name (a mix-up attack).
    pub fn set_callback_iss(&self, iss: Option<&str>) {
        self.shared.world().callback_iss = iss.map(str::to_string);
    }

    /// Which of the two well-known documents are served; both to begin with.
    pub fn serve_metadata(&self, openid: bool, oauth: bool) {
        let mut world = self.shared.world();
        world.openid_metadata = openid;
        world.oauth_metadata = oauth;
    }

    /// Replaces keys of the metadata; `null` removes one. Calls add up.
    pub fn patch_metadata(&self, patch: Value) {
        if let Value::Object(map) = patch {
            self.shared.world().metadata_patch.extend(map);
        }
    }

    /// What `:loadCodeAssist` finds.
    pub fn set_code_assist(&self, state: CodeAssist) {
        self.shared.world().code_assist = state;
    }

    /// How many polls an onboarding takes; 2 to begin with, 0 is done at once.
    pub fn set_onboard_polls(&self, polls: usize) {
        self.shared.world().onboard_polls = polls;
    }

    /// Tokens for the present identity as if it had just signed in with the dialect's client.
    pub fn grant(&self) -> Grant {
        let mut world = self.shared.world();
        let dialect = &self.shared.dialect;
        let identity = world.identity.clone();
        let scope = dialect.scope.as_deref().unwrap_or("openid email offline_access");
        let family = world.ledger.found_family(&dialect.client_id, scope, &identity);
        let access_token = identity::new_access_token(&self.shared, &mut world, family);
        let refresh_token = identity::new_refresh_token(&self.shared, &mut world, family);
        Grant { access_token, refresh_token }
    }

    /// An access token the protected resource would take now.
    pub fn accepts_access(&self, token: &str) -> bool {
        self.shared.world().ledger.live(token).is_some()
    }

    /// The scope of an access token the protected resource would take now.
    pub fn scope_of(&self, token: &str) -> Option<String> {
        self.shared.world().ledger.live(token).map(|family| family.scope.clone())
    }

    /// A refresh token that would be taken now; asking does not spend it.
    pub fn accepts_refresh(&self, token: &str) -> bool {
        self.shared.world().ledger.can_refresh(token)
    }

    /// The config.json that sends every provider of `provider list --json` here: only keys that
    /// hold URLs, their origins swapped, paths and queries kept.
    pub fn overlay(&self, rows: &Value) -> Value {
        overlay::overlay(&self.shared.origin, rows)
    }
}

impl Drop for Idp {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        server::wake(&self.shared.origin);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}
