//! Names to addresses. ureq asks for them before each request, though its connection may be there already,
//! and starts a thread for it: what was found is good for some requests more.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use crate::endpoint::ip;
use crate::net::guard::{Private, is_public};

/// A server that moves is found again after this.
const LIFETIME: Duration = Duration::from_secs(10);
/// More hosts are not spoken with at a time.
const REMEMBERED: usize = 16;

#[derive(Debug, Default)]
pub struct Names {
    /// An answer is refused as a whole if one address in it is not public. ureq connects to the
    /// addresses that it is given here, and looks up nothing again.
    is_public_only: bool,
    system: DefaultResolver,
    known: Mutex<Vec<Known>>,
}

#[derive(Debug)]
struct Known {
    place: (String, u16),
    since: Instant,
    addresses: Vec<SocketAddr>,
}

impl Names {
    pub fn new(is_public_only: bool) -> Names {
        Names { is_public_only, ..Names::default() }
    }

    fn remembered(&self, place: &(String, u16)) -> Option<Vec<SocketAddr>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|known| known.since.elapsed() < LIFETIME);
        known.iter().find(|known| known.place == *place).map(|known| known.addresses.clone())
    }

    fn remember(&self, place: (String, u16), addresses: Vec<SocketAddr>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() == REMEMBERED {
            known.remove(0);
        }
        known.push(Known { place, since: Instant::now(), addresses });
    }
}

impl Resolver for Names {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        // A proxy has usual ports of its own.
        let usual = match uri.scheme_str() {
            Some("http") => Some(80),
            Some("https") => Some(443),
            _ => None,
        };
        let Some(port) = uri.port_u16().or(usual) else {
            return self.system.resolve(uri, config, timeout);
        };
        let place = (uri.host().unwrap_or_default().to_owned(), port);
        let at_hand = match ip(&place.0) {
            Some(ip) => Some(vec![SocketAddr::new(ip, place.1)]),
            None => self.remembered(&place),
        };
        let addresses = match at_hand {
            Some(addresses) => {
                let mut found = self.empty();
                addresses.into_iter().for_each(|address| found.push(address));
                found
            }
            None => {
                let found = self.system.resolve(uri, config, timeout)?;
                self.remember(place, found.iter().copied().collect());
                found
            }
        };
        if self.is_public_only && addresses.iter().any(|address| !is_public(address.ip())) {
            return Err(ureq::Error::Other(Box::new(Private)));
        }
        Ok(addresses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_remembered_for_its_own_host_and_port() {
        let names = Names::default();
        let address: SocketAddr = "192.0.2.1:443".parse().unwrap();
        let place = |host: &str, port| (host.to_owned(), port);
        assert_eq!(names.remembered(&place("x.example", 443)), None);
        names.remember(place("x.example", 443), vec![address]);
        assert_eq!(names.remembered(&place("x.example", 443)), Some(vec![address]));
        assert_eq!(names.remembered(&place("x.example", 8443)), None);
        for port in 1..=REMEMBERED as u16 {
            names.remember(place("y.example", port), vec![address]);
        }
        assert_eq!(names.remembered(&place("x.example", 443)), None, "the oldest makes room");
    }
}
