//! What lies between this machine and a server, looked at step by step: the proxy, the name, the
//! addresses of both families. No request is made here, and no byte is sent.

use std::env;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use ureq::http::Uri;

use crate::error::{self, Error};
use crate::net::{ca, proxy};
use crate::text;

/// What has to be resolved and connected to for a server.
#[derive(Debug, PartialEq, Eq)]
pub struct Hop {
    /// A name or an address, without brackets.
    pub host: String,
    pub port: u16,
    /// The variable that names the proxy, if the hop is one.
    pub proxied_by: Option<&'static str>,
}

/// The first hop to an origin, by the proxy variables. Err: the one that counts is malformed.
pub fn first_hop(origin: &str) -> error::Result<Hop> {
    let uri: Uri = origin.parse().map_err(|_| Error::failed("that is no address"))?;
    let found = proxy::choose(&uri, |name| {
        env::var_os(name).map(|value| value.to_string_lossy().into_owned())
    })?;
    let default_port = if uri.scheme_str() == Some("https") { 443 } else { 80 };
    let (host, port, proxied_by) = match &found {
        Some(choice) => (choice.proxy.host(), choice.proxy.port(), Some(choice.variable)),
        None => (uri.host().unwrap_or_default(), uri.port_u16().unwrap_or(default_port), None),
    };
    Ok(Hop { host: host.trim_matches(['[', ']']).to_owned(), port, proxied_by })
}

/// The addresses behind a name. The thread left behind by a resolver that hangs ends with the
/// process. Err says in words why there is none.
pub fn resolve(hop: &Hop, limit: Duration) -> Result<Vec<SocketAddr>, String> {
    let (sender, answer) = mpsc::channel();
    let place = (hop.host.clone(), hop.port);
    thread::spawn(move || sender.send(place.to_socket_addrs().map(Iterator::collect)));
    match answer.recv_timeout(limit) {
        Ok(Ok(addresses)) => Ok(addresses),
        Ok(Err(error)) => {
            let cause = text::cause(&error);
            // The standard library's words; what follows them are the resolver's own.
            Err(cause.rsplit(": ").next().unwrap_or_default().to_owned())
        }
        Err(_) => Err(format!("the resolver gave no answer within {} s", limit.as_secs())),
    }
}

/// How a connection to one family of addresses ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    Connected,
    /// The name has no such address.
    NoAddress,
    /// Somebody is there and says no.
    Refused,
    /// This machine has no way there, and knows it at once.
    NoRoute(String),
    /// Nobody answered in time: what goes there gets lost.
    Lost,
}

/// IPv4, then IPv6: the first address of each, side by side.
pub fn connect(addresses: &[SocketAddr], limit: Duration) -> (Reach, Reach) {
    let reach = |is_v6: bool| {
        let address = addresses.iter().find(|address| address.is_ipv6() == is_v6);
        let Some(address) = address else { return Reach::NoAddress };
        match TcpStream::connect_timeout(address, limit) {
            Ok(_) => Reach::Connected,
            Err(error) => match error.kind() {
                ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset => Reach::Refused,
                ErrorKind::TimedOut | ErrorKind::WouldBlock => Reach::Lost,
                _ => Reach::NoRoute(text::cause(&error)),
            },
        }
    };
    thread::scope(|scope| {
        let v6 = scope.spawn(|| reach(true));
        let v4 = reach(false);
        (v4, v6.join().unwrap_or(Reach::Lost))
    })
}

/// How many certificates the user's own variables add.
pub fn own_certificates() -> Result<usize, ca::Fault> {
    ca::named(|name| env::var_os(name))
}
