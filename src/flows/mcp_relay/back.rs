//! A server's answer as the client gets it: looked into where it says how to sign in, else piece by piece.

use crate::endpoint;
use crate::flows::mcp_relay::answer::refusal;
use crate::flows::mcp_relay::learned::Flow;
use crate::flows::mcp_relay::{Errand, Refusal, Relay};
use crate::net::reply::Reply;
use crate::net::serve::Caller;
use crate::net::stream::Stream;
use crate::protocol::json_text;
use crate::protocol::mcp_relay::names::{self, Kind, Place};
use crate::protocol::mcp_relay::route::Way;
use crate::protocol::mcp_relay::{BLOCKED, endpoint_of, headers, web_origin};
use crate::protocol::passed_back::is_passed_back;
use crate::time::Timestamp;

const JSON_LIMIT_BYTES: u64 = 1024 * 1024;
const PIECE_BYTES: usize = 16 * 1024;

/// Of a body that was changed.
const OF_THE_BODY: [&str; 5] = ["content-digest", "content-md5", "digest", "etag", "last-modified"];

impl Relay {
    pub(super) fn bring_back(
        &self,
        errand: &Errand,
        stream: Stream,
        caller: &Caller,
    ) -> Result<(), Refusal> {
        let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let sent: Vec<_> = stream.head.headers().map(own).collect();
        self.learn_headers(errand, &sent)?;
        if !is_looked_into(errand, &stream.head) {
            let mut headers = self.headers(errand, &sent, false);
            headers.extend(hint(errand, stream.head.status, &sent));
            pass(stream, &headers, caller);
            return Ok(());
        }
        let coding = stream.head.header("content-encoding").unwrap_or("identity");
        if !coding.eq_ignore_ascii_case("identity") {
            return Err(Refusal::new(502, "the server compressed what nobody asked it to"));
        }
        let status = stream.head.status;
        let body = stream.long_text(JSON_LIMIT_BYTES).map_err(|error| refusal(&error))?;
        let body = self.document(errand, body);
        let mut headers = self.headers(errand, &sent, true);
        headers.extend(hint(errand, status, &sent));
        // A client that is gone wants no answer.
        let _ = caller.begin(status, &headers, Some(body.len() as u64)).and_then(|()| {
            caller.piece(body.as_bytes())?;
            caller.end()
        });
        Ok(())
    }

    /// A JSON document, its URLs learned and made ours.
    fn document(&self, errand: &Errand, body: String) -> String {
        let Some(mut document) = json_text::value(&body) else { return body };
        for lead in names::leads(&document) {
            if self.learn(errand, &lead.url, false) {
                self.learned().name(&errand.route.root, lead.kind, endpoint_of(&lead.url));
            }
        }
        let flow = self.flow(errand);
        let place = |origin: &str| errand.place(&flow, origin);
        match names::rewrite(&mut document, &errand.gateway(), &place) {
            true => document.to_string(),
            false => body,
        }
    }

    fn learn_headers(&self, errand: &Errand, sent: &[(String, String)]) -> Result<(), Refusal> {
        for (name, value) in sent {
            match name.as_str() {
                "www-authenticate" => {
                    headers::challenge(value, |url| {
                        if self.learn(errand, url, false) {
                            let endpoint = endpoint_of(url);
                            self.learned().name(&errand.route.root, Kind::Other, endpoint);
                        }
                        None
                    });
                }
                "location" => {
                    let place = headers::location(&errand.route.url, value);
                    let Some(place) = place else { continue };
                    let Some(origin) = web_origin(&place) else { continue };
                    if errand.place(&errand.flow, &origin) == Place::Blocked {
                        let what = format!("{} redirects to {origin}", errand.route.relay);
                        return Err(Refusal::new(403, format!("{what}, a private network")));
                    }
                    self.learn(errand, &place, true);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether the URL may be asked in this flow from now on.
    fn learn(&self, errand: &Errand, url: &str, is_by_redirect: bool) -> bool {
        let Some(origin) = web_origin(url) else { return false };
        let is_fit = endpoint::check("address", url).is_ok()
            && errand.place(&errand.flow, &origin) != Place::Blocked;
        if is_fit {
            self.learned().learn(&errand.route.root, &origin, is_by_redirect);
        }
        is_fit
    }

    fn flow(&self, errand: &Errand) -> Flow {
        self.learned().flow(&errand.route.root, Timestamp::now())
    }

    fn headers(
        &self,
        errand: &Errand,
        sent: &[(String, String)],
        is_changed: bool,
    ) -> Vec<(String, String)> {
        let (flow, gateway) = (self.flow(errand), errand.gateway());
        let ours = |url: &str| {
            let origin = web_origin(url)?;
            match errand.place(&flow, &origin) {
                Place::Blocked => Some(BLOCKED.to_owned()),
                Place::Known => gateway.relay_url(url),
                Place::Unknown => None,
            }
        };
        let connection = sent.iter().filter(|(name, _)| name == "connection");
        let connection = connection.map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(",");
        // What is opened in a browser is not of this gateway, whose pages hold more.
        let mut out = vec![
            ("content-security-policy".to_owned(), "sandbox; default-src 'none'".to_owned()),
            ("x-content-type-options".to_owned(), "nosniff".to_owned()),
        ];
        for (name, value) in sent {
            let value = match name.as_str() {
                "www-authenticate" => headers::challenge(value, ours),
                "location" => {
                    let Some(place) = headers::location(&errand.route.url, value) else { continue };
                    ours(&place).unwrap_or(place)
                }
                "x-content-type-options" => continue,
                name if !is_passed_back(name, &connection) => continue,
                name if is_changed && OF_THE_BODY.contains(&name) => continue,
                _ => value.to_owned(),
            };
            out.push((name.clone(), value));
        }
        out
    }
}

/// A challenge for a server that leaves it to its clients to look for metadata at the place of its path:
/// some leave out the query, and so what is behind it here.
fn hint(errand: &Errand, status: u16, sent: &[(String, String)]) -> Option<(String, String)> {
    let is_named = sent.iter().any(|(name, value)| {
        name == "www-authenticate" && value.to_ascii_lowercase().contains("resource_metadata")
    });
    let is_auth = matches!(errand.route.way, Way::Auth { .. });
    (status == 401 && is_auth && !is_named).then(|| {
        let place = errand.gateway().metadata_url(&errand.route.url);
        ("www-authenticate".to_owned(), format!("Bearer resource_metadata=\"{place}\""))
    })
}

/// Says how to sign in, or is part of it: JSON of moderate size.
fn is_looked_into(errand: &Errand, head: &Reply) -> bool {
    let is_json = ["application/json", "text/json"].contains(&head.content_type.as_str());
    let endpoint = endpoint_of(&errand.route.url);
    let is_of_sign_in = || match errand.route.way {
        Way::Auth { .. } => false,
        Way::Metadata { .. } => true,
        Way::Relay => {
            let ends = ["/register", "/token", "/authorize"];
            errand.flow.kinds(&endpoint).next().is_some()
                || endpoint.contains("/.well-known/")
                || ends.iter().any(|end| endpoint.ends_with(end))
        }
    };
    is_json && (head.status == 401 || is_of_sign_in())
}

/// Brings an answer as it comes; without its end the client knows that something is missing.
fn pass(mut stream: Stream, headers: &[(String, String)], caller: &Caller) {
    let status = stream.head.status;
    let length = match status {
        204 | 304 => Some(0),
        _ => stream.head.header("content-length").and_then(|length| length.parse().ok()),
    };
    let mut is_there = caller.begin(status, headers, length).is_ok();
    let mut piece = vec![0; PIECE_BYTES];
    while is_there {
        match stream.read(&mut piece) {
            Ok(0) => {
                let _ = caller.end();
                return;
            }
            Ok(read) => is_there = caller.piece(&piece[..read]).is_ok(),
            Err(_) => return,
        }
    }
}
