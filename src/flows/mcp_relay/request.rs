//! A client's request as the server gets it.

use ureq::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use ureq::http::{Method, Request};

use crate::flows::mcp_relay::{Errand, Key, Refusal, Relay};
use crate::net::serve::Head;
use crate::protocol::mcp_relay::names::Kind;
use crate::protocol::mcp_relay::route::Way;
use crate::protocol::mcp_relay::{ask, endpoint_of};
use crate::protocol::request;
use crate::secret::Secret;

/// With `mcp-…` and `authorization` all that travels on. What is not here is the client's own affair:
/// keys of this gateway, cookies, which page it came from, compression that we could not look into.
const TRAVELLING: [&str; 4] = ["accept", "accept-language", "content-type", "last-event-id"];

pub(super) fn build(
    errand: &Errand,
    head: &Head,
    body: Vec<u8>,
    relay: &Relay,
) -> Result<Request<Secret>, Refusal> {
    let bad = |what: &str| Refusal::new(400, what);
    let body = String::from_utf8(body).map_err(|_| bad("the body is no UTF-8"))?;
    let gateway = errand.gateway();
    let (url, body) = match errand.route.way {
        Way::Auth { .. } | Way::Metadata { .. } => (errand.route.url.clone(), body),
        Way::Relay => {
            let body = changed(errand, head, body, relay);
            (ask::url(&errand.route.url, &gateway), body)
        }
    };
    let method = match head.method.as_str() {
        "DELETE" => Method::DELETE,
        "POST" => Method::POST,
        _ => Method::GET,
    };
    // A GET with a body is nothing that anybody here says.
    let body = if method == Method::GET { String::new() } else { body };
    let mut request = request::bare(method, &url, None, None, Secret::new(body))
        .map_err(|error| bad(&error.to_string()))?;
    let headers = request.headers_mut();
    for (name, value) in head.headers() {
        let travels = TRAVELLING.contains(&name.as_str()) || name.starts_with("mcp-");
        let name = HeaderName::from_bytes(name.as_bytes()).ok().filter(|_| travels);
        if let (Some(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
            headers.insert(name, value);
        }
    }
    let carries_theirs = errand.visit.key != Key::InAuthorization;
    if carries_theirs && errand.flow.may_have_tokens(&errand.route.relay) {
        let token = head.header("authorization").and_then(|value| request::sensitive(value).ok());
        token.map(|token| headers.insert(AUTHORIZATION, token));
    }
    Ok(request)
}

/// The body with the resource's real name and the client's name for registration.
fn changed(errand: &Errand, head: &Head, body: String, relay: &Relay) -> String {
    let gateway = errand.gateway();
    let said = head.header(CONTENT_TYPE.as_str()).unwrap_or_default();
    let media_type = said.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match media_type.as_str() {
        "application/json" | "text/json" => {
            let endpoint = endpoint_of(&errand.route.url);
            let is_registration = endpoint.ends_with("/register")
                || errand.flow.kinds(&endpoint).any(|kind| kind == Kind::Registration);
            let name = is_registration.then_some(relay.client_name.as_str());
            ask::json(&body, &gateway, name.filter(|_| head.method == "POST")).unwrap_or(body)
        }
        "application/x-www-form-urlencoded" => ask::pairs(&body, &gateway),
        _ => body,
    }
}
