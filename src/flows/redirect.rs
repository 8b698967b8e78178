//! Where the provider sends the browser at the end: a loopback port of ours, or its own page.

use crate::net::loopback::Listener;
use crate::provider::{Provider, Redirect, Shows};
use crate::text;

/// For a machine that cannot even listen on loopback: a port that nothing common uses.
const ANY_PORT: u16 = 28_917;

/// What the person asked for with flags.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked<'a> {
    pub port: Option<u16>,
    /// Where to listen, when that is not the loopback host of the redirect.
    pub host: Option<&'a str>,
    /// The browser is on another machine.
    pub headless: bool,
}

pub struct Chosen {
    pub uri: String,
    pub listener: Option<Listener>,
    /// What the provider's own page shows, if that is where the browser ends.
    pub page: Option<Shows>,
    /// Said aloud: a busy port, an address others can reach.
    pub notes: Vec<String>,
}

/// For a login that waits: the provider's page for a browser elsewhere, if there is one and no port
/// was asked for; else the first of the row's ports that is free; else paste alone.
pub fn listen(row: &Provider, asked: Asked) -> Chosen {
    let redirect = &row.redirect;
    if let Some(page) = hosted(redirect, asked) {
        return page;
    }
    let mut notes = Vec::new();
    let host = asked.host.unwrap_or(&redirect.host);
    if asked.host.is_some_and(|host| !crate::endpoint::is_loopback(host)) {
        notes.push(format!("listening on {host}: everyone who reaches it can send callbacks"));
    }
    let any = [0];
    let one = asked.port.filter(|port| *port != 0).map(|port| [port]);
    let ports = match &one {
        Some(port) => &port[..],
        None if redirect.ports.is_empty() => &any[..],
        None => &redirect.ports[..],
    };
    for &port in ports {
        match Listener::bind(host, port) {
            Ok(listener) => {
                let uri = uri(redirect, listener.port);
                return Chosen { uri, listener: Some(listener), page: None, notes };
            }
            Err(e) => notes.push(format!("cannot listen on port {port}: {}", text::cause(&e))),
        }
    }
    notes.push("no port is free for the callback: finish by pasting the address".to_owned());
    // Somewhere a browser can go, though nobody listens there.
    let port = ports.iter().copied().find(|port| *port != 0).or_else(|| free_port(redirect));
    Chosen { uri: uri(redirect, port.unwrap_or(ANY_PORT)), listener: None, page: None, notes }
}

fn free_port(redirect: &Redirect) -> Option<u16> {
    Listener::bind(&redirect.host, 0).ok().map(|listener| listener.port)
}

/// For a login that another command will finish: nobody listens.
pub fn promise(row: &Provider, asked: Asked) -> Chosen {
    let redirect = &row.redirect;
    if let Some(page) = hosted(redirect, asked) {
        return page;
    }
    let asked_port = asked.port.filter(|port| *port != 0);
    let port = asked_port.or(redirect.ports.first().copied()).or_else(|| free_port(redirect));
    let uri = uri(redirect, port.unwrap_or(ANY_PORT));
    Chosen { uri, listener: None, page: None, notes: Vec::new() }
}

fn hosted(redirect: &Redirect, asked: Asked) -> Option<Chosen> {
    let wants_port = asked.port.is_some() || asked.host.is_some();
    let page = redirect.hosted.as_ref().filter(|_| asked.headless && !wants_port)?;
    Some(Chosen {
        uri: page.url.clone(),
        listener: None,
        page: Some(page.shows),
        notes: Vec::new(),
    })
}

/// The redirect URI keeps the registered loopback host, wherever keyfob listens (RFC 8252
/// section 7.3).
pub fn uri(redirect: &Redirect, port: u16) -> String {
    format!("http://{}:{port}{}", redirect.host, redirect.path)
}
