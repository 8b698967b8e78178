//! The one way out: short requests whose answers may be secrets.

use std::env;
use std::io::Read;
use std::sync::{OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use ureq::Agent;
use ureq::http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, header, response};
use ureq::tls::TlsConfig;
use ureq::unversioned::resolver::DefaultResolver;

use crate::endpoint::{check, check_link_local};
use crate::error::{Error, Result};
use crate::net::failure::{self, Attempt};
use crate::net::hangup::{Hangup, OneByOne};
use crate::net::{ca, guard, proxy};
use crate::secret::Secret;
use crate::text::harmless;
use crate::time::Timestamp;

const USER_AGENT: &str = concat!("keyfob/", env!("CARGO_PKG_VERSION"));
const CONNECT_TIMEOUT_S: u64 = 10;
/// Who is on the same link answers within milliseconds, or is not there.
const LINK_LOCAL_CONNECT_TIMEOUT: Duration = Duration::from_millis(800);
/// An MCP client may have many requests under way, and the next ones should find a connection.
const IDLE_CONNECTIONS: usize = 32;
pub(super) const BODY_LIMIT_BYTES: u64 = 1024 * 1024;

/// What a server answered, whatever its status. `content_type` is lower case and without
/// parameters, `body` lossy UTF-8; `too_long` says that the body
/// of an error answer was cut at 1 MiB.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub content_type: String,
    pub retry_after_s: Option<u64>,
    /// The server's clock as it answered: `Date`, plus the `Age` that a cache between adds
    /// (RFC 9111, 5.1).
    pub date: Option<Timestamp>,
    /// The `Set-Cookie` headers.
    pub set_cookies: Vec<Secret>,
    pub body: Secret,
    pub too_long: bool,
    /// Each marked as sensitive, so that Debug shows the names alone.
    headers: HeaderMap,
}

impl Reply {
    /// The first header of this name that is plain ASCII.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.header_values(name).into_iter().next()
    }

    /// All headers of this name that are plain ASCII, in their order.
    pub fn header_values(&self, name: &str) -> Vec<&str> {
        self.headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect()
    }

    /// The error of an answer that says "not now", whatever else is in it: 429 and 5xx.
    pub fn not_now(&self, host: &str) -> Option<Error> {
        let is_trouble = self.status == 429 || self.status >= 500;
        is_trouble.then(|| Error::Temporary {
            what: format!("{host} answered {} just now", self.status),
            retry_after_s: self.retry_after_s,
            next: None,
        })
    }
}

/// Making one opens nothing and reads nothing: each agent is built at its first use.
/// http is only ever loopback, so it needs neither certificates nor a proxy.
pub struct Client {
    timeout_s: u64,
    /// Only public addresses are connected to.
    is_guarded: bool,
    plain: OnceLock<Agent>,
    direct: OnceLock<Agent>,
    proxied: OnceLock<Agent>,
}

impl Client {
    /// `timeout_s` bounds one request from the look-up of the name to the last byte.
    pub fn new(timeout_s: u64) -> Client {
        let (plain, direct, proxied) = Default::default();
        Client { timeout_s, is_guarded: false, plain, direct, proxied }
    }

    /// One for addresses that a public server gave us: a request that would connect to an address of
    /// this machine or of a private network is Failed before a byte is sent. A proxy looks names up
    /// by itself, so only addresses are judged on that way.
    pub fn new_guarded(timeout_s: u64) -> Client {
        Client { is_guarded: true, ..Client::new(timeout_s) }
    }

    /// The client for what an MCP server named, a public one's guarded; None: this one.
    pub fn guarded_for(&self, server: Option<&str>) -> Option<Client> {
        let is_public = !self.is_guarded && server.is_some_and(guard::is_public_url);
        is_public.then(|| Client::new_guarded(self.timeout_s))
    }

    /// Another one like it.
    pub fn again(&self) -> Client {
        Client { is_guarded: self.is_guarded, ..Client::new(self.timeout_s) }
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
        if is_judged_here {
            let (connector, resolver) = (OneByOne::default(), guard::PublicOnly::default());
            return Ok(Agent::with_parts(config, connector, resolver));
        }
        Ok(Agent::with_parts(config, OneByOne::default(), DefaultResolver::default()))
    }
}

pub(super) fn log_outcome(method: &Method, uri: &Uri, status: Option<u16>) {
    let host = uri.authority().map_or("", |authority| authority.as_str());
    let answer = status.map_or("no answer".to_owned(), |status| status.to_string());
    crate::log::debug(&format!("{method} {host}{} -> {answer}", harmless(uri.path(), 200)));
}

pub(super) fn not_too_long(reply: Reply, host: String) -> Result<Reply> {
    if reply.too_long && reply.status < 400 {
        return Err(Error::unreadable(host, "more than 1 MiB"));
    }
    Ok(reply)
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

impl Reply {
    /// The whole of it, of which at most 1 MiB and one byte were read.
    pub(super) fn with_body(self, bytes: &[u8]) -> Reply {
        let too_long = bytes.len() as u64 > BODY_LIMIT_BYTES;
        Reply { body: Secret::new(String::from_utf8_lossy(bytes)), too_long, ..self }
    }
}

/// All but the body.
pub(super) fn head(mut parts: response::Parts) -> Reply {
    for value in parts.headers.values_mut() {
        value.set_sensitive(true);
    }
    let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let media_type = text(header::CONTENT_TYPE).and_then(|value| value.split(';').next());
    let cookies = parts.headers.get_all(header::SET_COOKIE).iter();
    let cookies = cookies.filter_map(|value| value.to_str().ok());
    Reply {
        status: parts.status.as_u16(),
        content_type: media_type.unwrap_or_default().trim().to_ascii_lowercase(),
        retry_after_s: retry_after_s(&parts.headers),
        date: date(&parts.headers),
        set_cookies: cookies.map(Secret::new).collect(),
        body: Secret::new(""),
        too_long: false,
        headers: parts.headers,
    }
}

/// Seconds, or an HTTP date measured from the answer's own Date, as the server's clock
/// need not be ours (RFC 9110, 10.2.3). None if it makes no sense.
fn retry_after_s(headers: &HeaderMap) -> Option<u64> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let wait = text(header::RETRY_AFTER)?;
    if !wait.is_empty() && wait.bytes().all(|b| b.is_ascii_digit()) {
        return wait.parse().ok();
    }
    let date = Timestamp::parse_http(text(header::DATE)?)?;
    let distance_s = Timestamp::parse_http(wait)?.since(date);
    Some(u64::try_from(distance_s).unwrap_or(0))
}

fn date(headers: &HeaderMap) -> Option<Timestamp> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let age_s = text(header::AGE).and_then(|age| age.parse::<u32>().ok()).unwrap_or(0);
    Timestamp::parse_http(text(header::DATE)?).map(|date| date.plus(i64::from(age_s)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        for (wait, date, seconds) in [
            ("120", None, Some(120)),
            (" 0 ", None, Some(0)),
            ("-1", None, None),
            ("+5", None, None),
            ("1.5", None, None),
            ("", None, None),
            ("soon", Some(date), None),
            ("99999999999999999999999", None, None),
            ("Sun, 06 Nov 1994 08:51:37 GMT", Some(date), Some(120)),
            ("Mon, 07 Nov 1994 08:49:37 GMT", Some(date), Some(86_400)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(date), Some(0)),
            ("Sun, 06 Nov 1994 08:51:37 GMT", None, None),
            ("Sun, 06 Nov 1994 08:51:37 GMT", Some("now"), None),
            ("Sun, 06 Nov 1994 08:51:37 CET", Some(date), None),
            ("Sun, 06 Xyz 1994 08:51:37 GMT", Some(date), None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, wait.parse().unwrap());
            if let Some(date) = date {
                headers.insert(header::DATE, date.parse().unwrap());
            }
            assert_eq!(retry_after_s(&headers), seconds, "{wait}");
        }
        assert_eq!(retry_after_s(&HeaderMap::new()), None);
    }

    #[test]
    fn headers_are_at_hand_and_not_in_debug() {
        let response = Response::builder()
            .header("WWW-Authenticate", "Bearer hunter2")
            .header("www-authenticate", "Basic hunter2")
            .header("Mcp-Session-Id", "hunter2")
            .header("X", [0xe4].as_slice());
        let reply = head(response.body(()).unwrap().into_parts().0);
        let challenges = reply.header_values("WWW-AUTHENTICATE");
        assert_eq!(challenges, ["Bearer hunter2", "Basic hunter2"]);
        assert_eq!(reply.header("mcp-session-id"), Some("hunter2"));
        assert_eq!((reply.header("x"), reply.header("no such: header")), (None, None));
        let shown = format!("{reply:?}");
        assert!(shown.contains("mcp-session-id") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn a_date_out_of_a_cache_has_an_age() {
        let mut headers = HeaderMap::new();
        assert_eq!(date(&headers), None);
        headers.insert(header::DATE, "Sun, 06 Nov 1994 08:49:37 GMT".parse().unwrap());
        assert_eq!(date(&headers), Some(Timestamp(784_111_777)));
        for (age, seconds) in [("60", 60), ("-1", 0), ("soon", 0)] {
            headers.insert(header::AGE, age.parse().unwrap());
            assert_eq!(date(&headers), Some(Timestamp(784_111_777 + seconds)), "{age}");
        }
    }
}
