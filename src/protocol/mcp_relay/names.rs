//! URLs in the JSON of a sign-in: which are worth remembering, and which become ours.

use serde_json::Value;

use crate::protocol::mcp_relay::{BLOCKED, Gateway, SignIn, web_origin};

/// What an origin is to a sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a private network, and not allowed.
    Blocked,
    /// Part of this sign-in.
    Known,
    Unknown,
}

/// A URL by which a document leads on.
#[derive(Debug, PartialEq)]
pub struct Lead {
    pub kind: Kind,
    pub url: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Authorization,
    Other,
    Registration,
}

/// More than any server has.
const MOST_LEADS: usize = 64;

/// Compared or shown, never asked: what a server or the client is called, where browsers return to,
/// and scopes, of which some look like URLs.
const NAMES: [&str; 18] = [
    "aud",
    "audience",
    "client_id",
    "client_uri",
    "iss",
    "issuer",
    "logo_uri",
    "policy_uri",
    "post_logout_redirect_uris",
    "redirect_uri",
    "redirect_uris",
    "request_uris",
    "scope",
    "scopes",
    "scopes_supported",
    "software_id",
    "sub",
    "tos_uri",
];

/// Opened by a browser, which has cookies there.
const FOR_BROWSERS: [&str; 11] = [
    "check_session_iframe",
    "end_session_endpoint",
    "error_uri",
    "op_policy_uri",
    "op_tos_uri",
    "resource_documentation",
    "resource_policy_uri",
    "resource_tos_uri",
    "service_documentation",
    "verification_uri",
    "verification_uri_complete",
];

/// The URLs in a document that a client would go on to.
pub fn leads(document: &Value) -> Vec<Lead> {
    let mut found = Vec::new();
    collect("", document, &mut found);
    found
}

fn collect(name: &str, value: &Value, found: &mut Vec<Lead>) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, value)| collect(name, value, found))
        }
        Value::Array(items) => items.iter().for_each(|item| collect(name, item, found)),
        Value::String(url) => {
            let leads_on = name.ends_with("_endpoint")
                || ["authorization_servers", "jwks_uri", "registration_client_uri"].contains(&name);
            let is_for_browsers = FOR_BROWSERS.contains(&name);
            if leads_on && !is_for_browsers && web_origin(url).is_some() && found.len() < MOST_LEADS
            {
                let kind = match name {
                    "authorization_endpoint" => Kind::Authorization,
                    "registration_endpoint" => Kind::Registration,
                    _ => Kind::Other,
                };
                found.push(Lead { kind, url: url.clone() });
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Makes the URLs of a document ours; whether there was one. `place` is asked of each origin.
pub fn rewrite(document: &mut Value, gateway: &Gateway, place: &dyn Fn(&str) -> Place) -> bool {
    let announces = &document["authorization_response_iss_parameter_supported"];
    let is_through = gateway.sign_in == SignIn::Through;
    let keeps_issuer = !is_through || announces == &Value::Bool(true);
    let rules = Rules { gateway, place, keeps_issuer, keeps_authorization: !is_through };
    rules.walk("", document)
}

struct Rules<'a> {
    gateway: &'a Gateway<'a>,
    place: &'a dyn Fn(&str) -> Place,
    keeps_issuer: bool,
    keeps_authorization: bool,
}

impl Rules<'_> {
    fn walk(&self, name: &str, value: &mut Value) -> bool {
        match value {
            // `any` would stop at the first.
            Value::Object(members) => {
                members
                    .iter_mut()
                    .map(|(name, value)| self.walk(name, value))
                    .filter(|&is_new| is_new)
                    .count()
                    > 0
            }
            Value::Array(items) => {
                items.iter_mut().map(|item| self.walk(name, item)).filter(|&is_new| is_new).count()
                    > 0
            }
            Value::String(text) => match self.ours(name, text) {
                Some(ours) => {
                    *text = ours;
                    true
                }
                None => false,
            },
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        }
    }

    fn ours(&self, name: &str, url: &str) -> Option<String> {
        let is_name = NAMES.contains(&name) && (name != "issuer" || self.keeps_issuer);
        let origin = web_origin(url).filter(|_| !is_name)?;
        let is_for_browsers = FOR_BROWSERS.contains(&name)
            || (name == "authorization_endpoint" && self.keeps_authorization);
        match (self.place)(&origin) {
            Place::Blocked => Some(BLOCKED.to_owned()),
            _ if name == "resource" => {
                (origin == self.gateway.root).then(|| self.gateway.resource_url(url))
            }
            Place::Known if !is_for_browsers => self.gateway.relay_url(url),
            Place::Known | Place::Unknown => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn gateway(sign_in: SignIn) -> Gateway<'static> {
        let base = "http://127.0.0.1:8317";
        Gateway { base, root: "https://mcp.example", is_encoded: false, sign_in }
    }

    fn place(origin: &str) -> Place {
        match origin {
            "https://as.example" | "https://mcp.example" => Place::Known,
            "http://10.0.0.1" | "http://localhost:1" => Place::Blocked,
            _ => Place::Unknown,
        }
    }

    fn rewritten(document: &Value, sign_in: SignIn) -> Value {
        let mut document = document.clone();
        rewrite(&mut document, &gateway(sign_in), &place);
        document
    }

    fn ours(url: &str) -> String {
        gateway(SignIn::Through).relay_url(url).unwrap()
    }

    #[test]
    fn what_is_asked_becomes_ours_and_what_is_compared_stays() {
        let document = json!({
            "aud": "https://as.example", "audience": ["https://as.example"],
            "redirect_uri": "http://localhost:1/cb", "redirect_uris": ["http://localhost:1/cb"],
            "issuer": "https://as.example/t", "iss": "https://as.example/t",
            "client_id": "https://as.example/me.json",
            "scope": "https://as.example/read", "scopes_supported": ["https://as.example/read"],
            "authorization_endpoint": "https://as.example/authorize?p=1",
            "end_session_endpoint": "https://as.example/out",
            "verification_uri": "https://as.example/device",
            "token_endpoint": "https://as.example/token",
            "mtls_endpoint_aliases": {"token_endpoint": "https://as.example/mtls"},
            "authorization_servers": ["https://as.example", "https://else.example"],
            "jwks_uri": "http://10.0.0.1/jwks", "service_documentation": "http://localhost:1/",
            "other": "https://as.example/x", "text": "see https://as.example/x", "number": 1.5,
            "resource": "https://mcp.example/mcp",
        });
        let mut wanted = document.clone();
        wanted["token_endpoint"] = json!(ours("https://as.example/token"));
        wanted["mtls_endpoint_aliases"]["token_endpoint"] = json!(ours("https://as.example/mtls"));
        wanted["authorization_servers"][0] = json!(ours("https://as.example"));
        wanted["jwks_uri"] = json!(BLOCKED);
        wanted["service_documentation"] = json!(BLOCKED);
        wanted["other"] = json!(ours("https://as.example/x"));
        let resource = "http://127.0.0.1:8317/mcp_auth?original=https://mcp.example/mcp";
        wanted["resource"] = json!(resource);
        assert_eq!(rewritten(&document, SignIn::Direct), wanted);

        wanted["issuer"] = json!(ours("https://as.example/t"));
        wanted["authorization_endpoint"] = json!(ours("https://as.example/authorize?p=1"));
        assert_eq!(rewritten(&document, SignIn::Through), wanted);
    }

    #[test]
    fn an_issuer_that_announces_itself_keeps_its_name() {
        let document = json!({"issuer": "https://as.example",
            "authorization_response_iss_parameter_supported": true});
        assert_eq!(rewritten(&document, SignIn::Through), document);
    }

    #[test]
    fn another_servers_resource_is_not_made_ours() {
        for resource in ["https://as.example/mcp", "https://else.example/mcp", "urn:x", ""] {
            let mut document = json!({"resource": resource});
            assert!(!rewrite(&mut document, &gateway(SignIn::Through), &place), "{resource}");
        }
        let document = json!({"resource": "http://10.0.0.1/mcp"});
        assert_eq!(rewritten(&document, SignIn::Direct), json!({"resource": BLOCKED}));
    }

    #[test]
    fn documents_lead_on() {
        let lead = |kind, url: &str| Lead { kind, url: url.to_owned() };
        let document = json!({
            "authorization_endpoint": "https://a.example/1", "token_endpoint": "https://b.example/2",
            "registration_endpoint": "https://c.example/3", "end_session_endpoint": "https://d/4",
            "jwks_uri": "https://e.example/5", "issuer": "https://f.example",
            "x": {"y_endpoint": "https://g.example/6", "z_endpoint": "ftp://h/"},
            "authorization_servers": ["https://i.example", 7], "logo_uri": "https://j.example/",
        });
        let wanted = [
            lead(Kind::Authorization, "https://a.example/1"),
            lead(Kind::Other, "https://i.example"),
            lead(Kind::Other, "https://e.example/5"),
            lead(Kind::Registration, "https://c.example/3"),
            lead(Kind::Other, "https://b.example/2"),
            lead(Kind::Other, "https://g.example/6"),
        ];
        assert_eq!(leads(&document), wanted);
        let many: Vec<_> = (0..99).map(|n| format!("https://x{n}.example")).collect();
        assert_eq!(leads(&json!({"authorization_servers": many})).len(), MOST_LEADS);
    }
}
