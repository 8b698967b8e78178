//! Which redirect URIs a client may use.

use super::encoding::decode;

/// A page of the issuer that shows the code to the person.
#[derive(Clone, Debug)]
pub struct Hosted {
    pub path: String,
    /// Shows `code#state` rather than the code alone.
    pub shows_state: bool,
}

/// The loopback redirect of a client, and its hosted page if it has one.
#[derive(Clone, Debug)]
pub struct RedirectRule {
    pub hosts: Vec<String>,
    /// `None` takes any path.
    pub path: Option<String>,
    /// Empty takes any port (RFC 8252 section 7.3).
    pub ports: Vec<u16>,
    pub hosted: Option<Hosted>,
}

impl RedirectRule {
    pub fn any_loopback() -> Self {
        let hosts = ["127.0.0.1", "localhost", "[::1]"].map(String::from).to_vec();
        RedirectRule { hosts, path: None, ports: Vec::new(), hosted: None }
    }

    /// An error says what is wrong with the URI. `origin` is the issuer's own.
    pub fn check(&self, uri: &str, origin: &str) -> Result<(), String> {
        if self.hosted.as_ref().is_some_and(|page| uri == format!("{origin}{}", page.path)) {
            return Ok(());
        }
        let Some((host, port, path)) = loopback_parts(uri) else {
            return Err(format!("redirect_uri {uri:?} is not a loopback http URL"));
        };
        if !self.hosts.iter().any(|known| known == host) {
            return Err(format!("redirect_uri host {host:?} is not registered"));
        }
        if !self.ports.is_empty() && !self.ports.contains(&port) {
            return Err(format!("redirect_uri port {port} is not registered"));
        }
        match &self.path {
            Some(known) if known.trim_end_matches('/') != path.trim_end_matches('/') => {
                Err(format!("redirect_uri path {path:?} is not registered"))
            }
            _ => Ok(()),
        }
    }
}

/// A registered URI matches itself, and a loopback one also with another port.
pub fn matches_registered(uri: &str, registered: &str) -> bool {
    uri == registered
        || matches!((loopback_parts(uri), loopback_parts(registered)),
            (Some((host, _, path)), Some((known_host, _, known_path)))
                if host == known_host && path == known_path)
}

/// Host, port (80 when absent) and path of `http://127.0.0.1|localhost|[::1]...` without query,
/// fragment or user name; `None` for anything else.
pub fn loopback_parts(uri: &str) -> Option<(&str, u16, &str)> {
    let rest = uri.strip_prefix("http://")?;
    if uri.contains(['?', '#', '@', ' ']) || decode(uri).is_err() {
        return None;
    }
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok().filter(|p| *p > 0)?),
        _ => (authority, 80),
    };
    ["127.0.0.1", "localhost", "[::1]"].contains(&host).then_some((host, port, path))
}
