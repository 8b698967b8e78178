//! Requests of MCP's Streamable HTTP and of the older HTTP+SSE (facts: mcp.md section 2).

use ureq::http::header::{ACCEPT, COOKIE, HeaderName, HeaderValue};
use ureq::http::{Method, Request};

use crate::endpoint;
use crate::error::{Error, Result};
use crate::protocol::request::{self, sensitive};
use crate::secret::Secret;

/// The newest revision with a handshake, for documents that are asked for outside of a session.
pub const LATEST_LEGACY: &str = "2025-11-25";

const BOTH: &str = "application/json, text/event-stream";
const EVENTS: &str = "text/event-stream";

/// Names that the proxy fills in itself: nobody else's value may take their place.
const RESERVED: [&str; 12] = [
    "accept",
    "connection",
    "content-length",
    "content-type",
    "host",
    "last-event-id",
    "mcp-method",
    "mcp-name",
    "mcp-protocol-version",
    "mcp-session-id",
    "transfer-encoding",
    "user-agent",
];

/// What a request carries beside its body.
#[derive(Default)]
pub struct Dress<'a> {
    pub token: Option<&'a Secret>,
    pub session: Option<&'a Secret>,
    pub version: Option<&'a str>,
    pub cookies: Option<&'a Secret>,
    pub last_event_id: Option<&'a str>,
    /// Headers of the person, and those that the message itself asks for.
    pub more: &'a [(String, Secret)],
}

/// Whether a person may set this header.
pub fn is_reserved(name: &str) -> bool {
    RESERVED.iter().any(|reserved| name.eq_ignore_ascii_case(reserved))
}

/// A POST of one message.
pub fn post(url: &str, body: &str, dress: &Dress) -> Result<Request<Secret>> {
    dressed(Method::POST, url, Some("application/json"), Secret::new(body), BOTH, dress)
}

/// A GET of the stream that the server opens of itself, or of one to be resumed.
pub fn get(url: &str, dress: &Dress) -> Result<Request<Secret>> {
    dressed(Method::GET, url, None, Secret::new(""), EVENTS, dress)
}

/// The end of a session.
pub fn delete(url: &str, dress: &Dress) -> Result<Request<Secret>> {
    dressed(Method::DELETE, url, None, Secret::new(""), BOTH, dress)
}

fn dressed(
    method: Method,
    url: &str,
    content_type: Option<&'static str>,
    body: Secret,
    accept: &'static str,
    dress: &Dress,
) -> Result<Request<Secret>> {
    endpoint::check("the MCP server", url)?;
    let mut request = request::bare(method, url, dress.token, content_type, body)?;
    let headers = request.headers_mut();
    headers.insert(ACCEPT, HeaderValue::from_static(accept));
    for (name, value) in dress.more {
        let wrong =
            || Error::usage(format!("the header {name} has a name or value that cannot be sent"));
        let name = HeaderName::try_from(name.as_str()).map_err(|_| wrong())?;
        headers.insert(name, sensitive(value.expose()).map_err(|_| wrong())?);
    }
    let others = [
        ("mcp-session-id", dress.session.map(Secret::expose)),
        ("mcp-protocol-version", dress.version),
        (COOKIE.as_str(), dress.cookies.map(Secret::expose)),
        ("last-event-id", dress.last_event_id),
    ];
    for (name, value) in others {
        if let (Ok(name), Some(value)) = (HeaderName::try_from(name), value) {
            headers.insert(name, sensitive(value)?);
        }
    }
    Ok(request)
}
