//! One model API on 127.0.0.1 that many accounts use, each known by its key or token, each with a
//! behaviour of its own. It counts what each was asked, and renews the tokens of those that have
//! some. It speaks Chat Completions, Messages, Responses, Gemini and Code Assist, as far as a test of
//! accounts needs it.

mod answer;
mod asked;
mod tokens;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::idp::Grant;
use super::idp::http;
use super::tls::Server;

pub use answer::{Does, Says};
pub use asked::Asked;
pub use tokens::Renews;

use tokens::Issuer;

/// A test that is stuck ends; what is held goes on.
const HOLD_LIMIT: Duration = Duration::from_secs(20);

type Script = Box<dyn FnMut(&Asked) -> Does + Send>;

pub struct ManyApi {
    server: Server,
    world: Arc<World>,
}

#[derive(Default)]
struct World {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Default)]
struct Inner {
    /// Credential to account, and whether it is taken now.
    known: HashMap<String, (String, bool)>,
    scripts: HashMap<String, Script>,
    asked: Vec<Asked>,
    /// The models of GET /v1/models; none: there is no such list.
    models: Vec<String>,
    /// The accounts that get no list.
    unlisted: Vec<String>,
    issuer: Issuer,
    is_released: bool,
    /// Prompts that wait for a release.
    held: usize,
}

impl World {
    /// A thread that panicked has failed its test already.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(|broken| broken.into_inner())
    }
}

impl ManyApi {
    pub fn start() -> Self {
        let world = Arc::new(World::default());
        let shared = Arc::clone(&world);
        let server = Server::start(move |mut stream, agents| {
            let request = http::read(&mut stream)?;
            let what = format!("{} {}", request.method, request.path);
            agents.check(&what, request.header("user-agent"));
            answer::exchange(&mut stream, &request, &shared)
        });
        ManyApi { server, world }
    }

    /// `http://127.0.0.1:PORT`
    pub fn origin(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// From now on this key or token is the account's.
    pub fn knows(&self, credential: &str, account: &str) {
        let known = (account.to_owned(), true);
        self.world.inner().known.insert(credential.to_owned(), known);
    }

    /// The account does this with every prompt from now on.
    pub fn does(&self, account: &str, does: Does) {
        self.plays(account, move |_| does.clone());
    }

    /// The account does these one after the other, then answers.
    pub fn does_first(&self, account: &str, first: impl IntoIterator<Item = Does>) {
        let mut queue: VecDeque<Does> = first.into_iter().collect();
        self.plays(account, move |_| queue.pop_front().unwrap_or(Does::Answer));
    }

    pub fn plays(&self, account: &str, script: impl FnMut(&Asked) -> Does + Send + 'static) {
        self.world.inner().scripts.insert(account.to_owned(), Box::new(script));
    }

    /// What the account has now is taken no longer; what it gets next is.
    pub fn expire(&self, account: &str) {
        for (owner, is_good) in self.world.inner().known.values_mut() {
            *is_good &= owner != account;
        }
    }

    /// The models that it lists from now on.
    pub fn lists(&self, ids: &[&str]) {
        self.world.inner().models = ids.iter().map(|id| (*id).to_owned()).collect();
    }

    /// There is no list for this account.
    pub fn lists_nothing_for(&self, account: &str) {
        self.world.inner().unlisted.push(account.to_owned());
    }

    /// Tokens as if the account had just signed in.
    pub fn grant(&self, account: &str) -> Grant {
        let mut inner = self.world.inner();
        let (grant, _) = inner.issuer.grant(account);
        inner.known.insert(grant.access_token.clone(), (account.to_owned(), true));
        grant
    }

    /// How the account's tokens are renewed from now on.
    pub fn renews(&self, account: &str, how: Renews) {
        self.world.inner().issuer.script(account, how);
    }

    /// Each renewal takes so long.
    pub fn renews_slowly(&self, time: Duration) {
        self.world.inner().issuer.takes = time;
    }

    /// Seconds that tokens live which are issued from now on.
    pub fn access_lifetime(&self, seconds: u64) {
        self.world.inner().issuer.lifetime_s = seconds;
    }

    /// How often the account's token was renewed, or tried to be.
    pub fn renewals(&self, account: &str) -> usize {
        self.world.inner().issuer.asked.iter().filter(|one| *one == account).count()
    }

    /// Waits until so many renewals are under way.
    #[track_caller]
    pub fn is_renewing(&self, count: usize) {
        let deadline = Instant::now() + HOLD_LIMIT;
        while self.world.inner().issuer.under_way < count {
            assert!(Instant::now() < deadline, "no {count} renewals at once");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// How many renewals were under way at a time.
    pub fn most_renewals_at_once(&self) -> usize {
        self.world.inner().issuer.most
    }

    /// Refresh tokens that came a second time.
    pub fn reused(&self) -> usize {
        self.world.inner().issuer.reused
    }

    /// The prompts so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.world.inner().asked.clone()
    }

    /// The prompts that an account got.
    pub fn asked_of(&self, account: &str) -> Vec<Asked> {
        self.asked().into_iter().filter(|asked| asked.account == account).collect()
    }

    pub fn count(&self, account: &str) -> usize {
        self.asked_of(account).len()
    }

    /// Which accounts were asked, in their order.
    pub fn order(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.account).collect()
    }

    pub fn forget(&self) {
        self.world.inner().asked.clear();
    }

    /// Waits until so many prompts are held.
    #[track_caller]
    pub fn holds(&self, count: usize) {
        let deadline = Instant::now() + HOLD_LIMIT;
        let mut inner = self.world.inner();
        while inner.held < count {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{} of {count} prompts are held", inner.held);
            let waited = self.world.changed.wait_timeout(inner, left);
            inner = waited.unwrap_or_else(|broken| broken.into_inner()).0;
        }
    }

    /// Lets go what is held, and holds nothing from now on.
    pub fn release(&self) {
        self.world.inner().is_released = true;
        self.world.changed.notify_all();
    }
}

impl Drop for ManyApi {
    fn drop(&mut self) {
        self.release();
    }
}
