//! The one way out: short requests whose answers may be secrets.

use std::env;
use std::io::Read;
use std::sync::{OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use ureq::Agent;
use ureq::http::{HeaderValue, Method, Request, Response, Uri, header};
use ureq::tls::TlsConfig;

use crate::endpoint::{check, check_link_local};
use crate::error::Result;
use crate::net::failure::{self, Attempt};
use crate::net::hangup::{Hangup, OneByOne};
use crate::net::names::Names;
use crate::net::reply::{BODY_LIMIT_BYTES, Reply, head, not_too_long};
use crate::net::{ca, guard, proxy};
use crate::secret::Secret;
use crate::text::harmless;

const USER_AGENT: &str = concat!("keyfob/", env!("CARGO_PKG_VERSION"));
const CONNECT_TIMEOUT_S: u64 = 10;
/// Who is on the same link answers within milliseconds, or is not there.
const LINK_LOCAL_CONNECT_TIMEOUT: Duration = Duration::from_millis(800);
/// An MCP client may have many requests under way, and the next ones should find a connection.
const IDLE_CONNECTIONS: usize = 32;
/// Making one opens nothing and reads nothing: each agent is built at its first use.
/// http is only ever loopback, so it needs neither certificates nor a proxy.
pub struct Client {
    timeout_s: u64,
    /// Only public addresses are connected to.
    is_guarded: bool,
    /// Connections on this machine hold little memory.
    is_slim: bool,
    plain: OnceLock<Agent>,
    direct: OnceLock<Agent>,
    proxied: OnceLock<Agent>,
}

impl Client {
    /// `timeout_s` bounds one request from the look-up of the name to the last byte.
    pub fn new(timeout_s: u64) -> Client {
        let (plain, direct, proxied) = Default::default();
        Client { timeout_s, is_guarded: false, is_slim: false, plain, direct, proxied }
    }

    /// One for addresses that a public server gave us: a request that would connect to an address of
    /// this machine or of a private network is Failed before a byte is sent. A proxy looks names up
    /// by itself, so only addresses are judged on that way.
    pub fn new_guarded(timeout_s: u64) -> Client {
        Client { is_guarded: true, ..Client::new(timeout_s) }
    }

    /// One for thousands of streams at once.
    pub fn new_for_relay(timeout_s: u64) -> Client {
        Client { is_slim: true, ..Client::new(timeout_s) }
    }

    /// The client for what an MCP server named, a public one's guarded; None: this one.
    pub fn guarded_for(&self, server: Option<&str>) -> Option<Client> {
        let is_public = !self.is_guarded && server.is_some_and(guard::is_public_url);
        is_public.then(|| Client::new_guarded(self.timeout_s))
    }

    /// Another one like it.
    pub fn again(&self) -> Client {
        let Client { is_guarded, is_slim, .. } = *self;
        Client { is_guarded, is_slim, ..Client::new(self.timeout_s) }
    }

    /// In seconds, for those who wait for something else than a server.
    pub fn timeout_s(&self) -> u64 {
        self.timeout_s
    }

    /// One request with a small answer. Redirects are not followed and an error status is
    /// no error. No answer, or half of one, is Temporary; a server that cannot be trusted
    /// is Failed; a good answer above 1 MiB is Unreadable.
    pub fn send(&self, request: Request<Secret>) -> Result<Reply> {
        check("address", &request.uri().to_string())?;
        let uri = request.uri().clone();
        let method = request.method().clone();
        let host = uri.authority().map_or_else(String::new, ToString::to_string);
        let (agent, proxied_by) = self.agent(&uri)?;
        let outcome = match proxied_by {
            Some(_) => {
                bounded(agent, self.timeout_s, |agent| run(agent, request, None).and_then(reply))
            }
            None => run(agent, request, None).and_then(reply),
        };
        log_outcome(&method, &uri, outcome.as_ref().ok().map(|reply| reply.status));
        match outcome {
            Ok(reply) => not_too_long(reply, host),
            Err(error) => {
                let timeout_s = self.timeout_s;
                Err(Attempt { host: &host, proxied_by, timeout_s }.explain(error))
            }
        }
    }

    /// One request to where a machine of a cloud asks for its own identity: plain http goes to
    /// loopback and link-local addresses, and nothing goes through a proxy. None: nobody is at the
    /// address, which is known after 0.8 s. All else as `send`.
    pub fn send_link_local(&self, request: Request<Secret>) -> Result<Option<Reply>> {
        check_link_local("address", &request.uri().to_string())?;
        let uri = request.uri().clone();
        let method = request.method().clone();
        let host = uri.authority().map_or_else(String::new, ToString::to_string);
        let is_https = uri.scheme_str() == Some("https");
        let agent = self.new_agent(is_https, None, LINK_LOCAL_CONNECT_TIMEOUT)?;
        let outcome = run(&agent, request, None).and_then(reply);
        log_outcome(&method, &uri, outcome.as_ref().ok().map(|reply| reply.status));
        match outcome {
            Ok(reply) => not_too_long(reply, host).map(Some),
            Err(error) if failure::is_nobody_there(&error) => Ok(None),
            Err(error) => {
                let timeout_s = self.timeout_s;
                Err(Attempt { host: &host, proxied_by: None, timeout_s }.explain(error))
            }
        }
    }

    /// The agent for this address, and the variable that names its proxy.
    pub(super) fn agent(&self, uri: &Uri) -> Result<(&Agent, Option<&'static str>)> {
        let choice = proxy::choose(uri, |name| {
            env::var_os(name).map(|value| value.to_string_lossy().into_owned())
        })?;
        let proxied_by = choice.as_ref().map(|choice| choice.variable);
        let host = uri.host().unwrap_or_default();
        if self.is_guarded && choice.is_some() && guard::is_private_literal(host) {
            let host = uri.authority().map_or(host, |authority| authority.as_str());
            return Err(Attempt { host, proxied_by, timeout_s: self.timeout_s }.private());
        }
        let proxy = choice.map(|choice| choice.proxy);
        let is_https = uri.scheme_str() == Some("https");
        let slot = match (&proxy, is_https) {
            (Some(_), _) => &self.proxied,
            (None, true) => &self.direct,
            (None, false) => &self.plain,
        };
        if let Some(agent) = slot.get() {
            return Ok((agent, proxied_by));
        }
        let connect_timeout = Duration::from_secs(self.timeout_s.min(CONNECT_TIMEOUT_S));
        let agent = self.new_agent(is_https, proxy, connect_timeout)?;
        Ok((slot.get_or_init(|| agent), proxied_by))
    }

    fn new_agent(
        &self,
        is_https: bool,
        proxy: Option<ureq::Proxy>,
        connect_timeout: Duration,
    ) -> Result<Agent> {
        let mut tls = TlsConfig::builder();
        if is_https {
            tls = tls.root_certs(ca::roots(|name| env::var_os(name))?);
        }
        // ureq sets no timeout, reads the proxy variables and makes an error of an error status.
        let is_slim = self.is_slim && !is_https && proxy.is_none();
        let is_judged_here = self.is_guarded && proxy.is_none();
        let config = Agent::config_builder()
            .accept("application/json")
            .http_status_as_error(false)
            // 128 KiB each unless told otherwise, which a thousand calls at once would feel. A head that
            // fills the buffer would wait for its end for ever, so its limit is lower.
            .input_buffer_size(64 * 1024)
            .output_buffer_size(32 * 1024)
            .max_response_header_size(48 * 1024)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_idle_connections(IDLE_CONNECTIONS)
            .max_idle_connections_per_host(IDLE_CONNECTIONS)
            .proxy(proxy)
            .timeout_connect(Some(connect_timeout))
            .timeout_global(Some(Duration::from_secs(self.timeout_s)))
            .tls_config(tls.build())
            // A proxy hears it too.
            .user_agent(USER_AGENT)
            .build();
        let connector = if is_slim { OneByOne::slim() } else { OneByOne::default() };
        Ok(Agent::with_parts(config, connector, Names::new(is_judged_here)))
    }
}

pub(super) fn log_outcome(method: &Method, uri: &Uri, status: Option<u16>) {
    let host = uri.authority().map_or("", |authority| authority.as_str());
    let answer = status.map_or("no answer".to_owned(), |status| status.to_string());
    crate::log::debug(&format!("{method} {host}{} -> {answer}", harmless(uri.path(), 200)));
}

/// ureq gives each read of a proxy's answer to CONNECT the whole time-out anew, so a proxy that
/// trickles would hold us for ever. The thread left behind ends with the process.
pub(super) fn bounded<T: Send + 'static>(
    agent: &Agent,
    timeout_s: u64,
    exchange: impl FnOnce(&Agent) -> std::result::Result<T, ureq::Error> + Send + 'static,
) -> std::result::Result<T, ureq::Error> {
    let agent = agent.clone();
    let (sender, answer) = mpsc::channel();
    let hangup = Hangup::current();
    thread::spawn(move || sender.send(hangup.during(|| exchange(&agent))));
    let limit = Duration::from_secs(timeout_s);
    answer.recv_timeout(limit).unwrap_or(Err(ureq::Error::Timeout(ureq::Timeout::Global)))
}

/// How long an answer may take, in place of a limit for the whole.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    /// Until its beginning is there.
    pub head: Duration,
    /// Without a byte, before and after; None: for ever.
    pub silence: Option<Duration>,
}

/// A request without a body must say so, or ureq refuses it for GET.
pub(super) fn run(
    agent: &Agent,
    request: Request<Secret>,
    patience: Option<Patience>,
) -> std::result::Result<Response<ureq::Body>, ureq::Error> {
    let (mut parts, body) = request.into_parts();
    // A row's or a person's own headers do not make keyfob another (CLI.md section 9).
    parts.headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    for value in parts.headers.values_mut() {
        value.set_sensitive(true);
    }
    let carries_body = matches!(parts.method, Method::POST | Method::PUT | Method::PATCH);
    if carries_body || !body.is_empty() {
        exchange(agent, Request::from_parts(parts, body.expose()), patience)
    } else {
        exchange(agent, Request::from_parts(parts, ()), patience)
    }
}

fn exchange(
    agent: &Agent,
    request: Request<impl ureq::AsSendBody>,
    patience: Option<Patience>,
) -> std::result::Result<Response<ureq::Body>, ureq::Error> {
    let Some(Patience { head, silence }) = patience else { return agent.run(request) };
    let config = agent.configure_request(request).timeout_global(None);
    let config = config.timeout_resolve(Some(head)).timeout_send_body(Some(head));
    let config = config.timeout_recv_response(Some(head)).timeout_per_read(silence);
    agent.run(config.build())
}

/// Reads to the end or just past the limit; ureq's own limit counts wire bytes.
fn reply(response: Response<ureq::Body>) -> std::result::Result<Reply, ureq::Error> {
    let (parts, body) = response.into_parts();
    let mut bytes = Vec::new();
    body.into_reader().take(BODY_LIMIT_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(head(parts).with_body(&bytes))
}
