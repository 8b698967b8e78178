//! The way to each server that issued an account: proxy, name, both address families, certificate,
//! and what time it is there. One HEAD without credentials for each origin, all at once.

use std::collections::BTreeMap;
use std::thread;

use crate::account::Account;
use crate::credential::Credential;
use crate::endpoint;
use crate::error::Error;
use crate::flows::discover;
use crate::flows::doctor::{Facts, Finding, SET_CLOCK};
use crate::net::client::Client;
use crate::net::failure;
use crate::net::probe::{self, Hop, Reach};
use crate::protocol::{attach, request};
use crate::provider::Provider;
use crate::time::{Timestamp, duration_in_words};

/// Tokens are told apart by seconds; servers allow each other a minute or so.
const SKEW_WARNING_S: u64 = 60;
const SKEW_ERROR_S: u64 = 300;

/// Whether the proxy that a request to some server would take can be understood.
pub fn proxy_variables() -> Finding {
    // A host that no exception names; it is not contacted.
    match probe::first_hop("https://keyfob.invalid") {
        Ok(Hop { proxied_by: Some(variable), host, port }) => {
            Finding::ok("proxy", format!("{variable} names the proxy {host}:{port}"))
        }
        Ok(Hop { proxied_by: None, .. }) => Finding::ok("proxy", "no proxy is used"),
        Err(error) => {
            let fix = error.next().unwrap_or("unset HTTPS_PROXY").to_owned();
            let what = "no https server can be asked";
            Finding::error("proxy_malformed", what, error.to_string(), fix)
        }
    }
}

/// How far one server could be reached.
#[derive(Debug)]
struct Visit {
    /// Host, and port where that is unusual.
    place: String,
    is_loopback: bool,
    /// The proxy on the way: its variable, host and port.
    proxy: Option<String>,
    outcome: Outcome,
    ipv6: Option<Reach>,
}

#[derive(Debug)]
enum Outcome {
    /// The local clock less the server's.
    Answered(Option<i64>),
    /// Nothing answers at the address, or there is no way to it.
    Cut(Reach),
    Nameless(String),
    Unanswered(Error),
}

/// `is_trusting`: certificates can be checked.
pub fn check(facts: &Facts, is_trusting: bool) -> Vec<Finding> {
    let mut origins = origins(facts);
    // What stands in the way of these has a finding of its own.
    origins.retain(|origin, _| is_trusting || !origin.starts_with("https:"));
    origins.retain(|origin, _| probe::first_hop(origin).is_ok());
    let visits: Vec<Visit> = thread::scope(|scope| {
        let (client, limit) = (facts.client, facts.limit);
        let visit = |origin| scope.spawn(move || visit(origin, client, limit));
        let visits: Vec<_> = origins.keys().map(|origin| visit(origin.as_str())).collect();
        visits.into_iter().filter_map(|visit| visit.join().ok()).collect()
    });
    let mut findings = judge(&visits);
    let is_answered = |origin: &str| {
        let place = place_of(origin);
        let mut visits = visits.iter();
        visits.any(|visit| visit.place == place && matches!(visit.outcome, Outcome::Answered(_)))
    };
    for (origin, row) in origins.iter().filter_map(|(origin, row)| Some((origin, row.as_ref()?))) {
        if is_answered(origin) {
            findings.extend(discovery(row, facts.client));
        }
    }
    findings
}

/// The servers of every account, and the row that has to be asked for its endpoints there.
fn origins(facts: &Facts) -> BTreeMap<String, Option<Provider>> {
    let mut origins = BTreeMap::new();
    for account in facts.readable() {
        let Some(Ok(row)) = facts.row_of(account) else { continue };
        let Some(url) = server(account, &row) else { continue };
        let is_allowed = endpoint::check("the address", &url).is_ok();
        let Some(origin) = endpoint::origin(&url).filter(|_| is_allowed) else { continue };
        let must_be_asked = row.token_url.is_none() && row.issuer.is_some();
        let slot: &mut Option<Provider> = origins.entry(origin).or_default();
        if must_be_asked && account.credential.oauth().is_some() {
            *slot = Some(row);
        }
    }
    origins
}

/// Where the account's next token comes from, else where its credential is used.
fn server(account: &Account, row: &Provider) -> Option<String> {
    match account.credential {
        Credential::Oauth(_) => row.token_url.clone().or_else(|| row.issuer.clone()),
        Credential::Cookie(..) => row.userinfo_url.clone(),
        Credential::ApiKey(_)
        | Credential::Bearer(..)
        | Credential::Entra(_)
        | Credential::ServiceAccount(..)
        | Credential::Tool(..) => attach::api_base(account, row),
    }
}

fn visit(origin: &str, client: &Client, limit: std::time::Duration) -> Visit {
    let place = place_of(origin);
    let is_loopback = endpoint::is_on_this_machine(origin);
    let mut visit =
        Visit { place, is_loopback, proxy: None, outcome: Outcome::Answered(None), ipv6: None };
    if !is_loopback {
        let hop = match probe::first_hop(origin) {
            Ok(hop) => hop,
            Err(error) => return Visit { outcome: Outcome::Unanswered(error), ..visit },
        };
        visit.proxy = hop.proxied_by.map(|name| format!("{}:{} of {name}", hop.host, hop.port));
        let addresses = match probe::resolve(&hop, limit) {
            Ok(addresses) => addresses,
            Err(why) => return Visit { outcome: Outcome::Nameless(why), ..visit },
        };
        let (v4, v6) = probe::connect(&addresses, limit);
        if v4 != Reach::Connected && v6 != Reach::Connected {
            let reach = if v4 == Reach::NoAddress { v6 } else { v4 };
            return Visit { outcome: Outcome::Cut(reach), ..visit };
        }
        visit.ipv6 = Some(v6);
    }
    visit.outcome =
        match request::head(&format!("{origin}/")).and_then(|asking| client.send(asking)) {
            Ok(reply) => Outcome::Answered(reply.date.map(|date| Timestamp::now().since(date))),
            Err(error) => Outcome::Unanswered(error),
        };
    visit
}

fn place_of(origin: &str) -> String {
    origin.split_once("://").map_or(origin, |(_, place)| place).to_owned()
}

/// From the visits to findings.
fn judge(visits: &[Visit]) -> Vec<Finding> {
    let mut findings = Vec::new();
    if is_offline(visits) {
        let remote = visits.iter().filter(|visit| !visit.is_loopback);
        let places: Vec<_> = remote.clone().map(|visit| visit.place.clone()).collect();
        let why = remote.map(|visit| match &visit.outcome {
            Outcome::Nameless(why) => why.clone(),
            Outcome::Cut(reach) => in_words(reach),
            Outcome::Answered(_) | Outcome::Unanswered(_) => String::new(),
        });
        let what = format!("this machine is offline: no way to {}", crate::text::list(&places));
        let fix = "connect to the network, then keyfob doctor";
        findings.push(Finding::warning("offline", what, why.take(1).collect::<String>(), fix));
    }
    let has_said_so = !findings.is_empty();
    for visit in visits.iter().filter(|visit| visit.is_loopback || !has_said_so) {
        findings.push(way(visit));
    }
    findings.extend(families(visits));
    findings.extend(clock(visits));
    findings
}

/// No server answers, and those elsewhere do not even refuse.
fn is_offline(visits: &[Visit]) -> bool {
    let is_silent = |visit: &Visit| match &visit.outcome {
        Outcome::Answered(_) => false,
        Outcome::Cut(reach) => visit.proxy.is_none() && *reach != Reach::Refused,
        Outcome::Nameless(_) => visit.proxy.is_none(),
        Outcome::Unanswered(_) => visit.is_loopback,
    };
    visits.iter().any(|visit| !visit.is_loopback) && visits.iter().all(is_silent)
}

fn way(visit: &Visit) -> Finding {
    let place = &visit.place;
    let again = "keyfob doctor  # again, later";
    if let (Some(proxy), Outcome::Cut(_) | Outcome::Nameless(_)) = (&visit.proxy, &visit.outcome) {
        let cause = match &visit.outcome {
            Outcome::Nameless(why) => why.clone(),
            Outcome::Cut(reach) => in_words(reach),
            Outcome::Answered(_) | Outcome::Unanswered(_) => String::new(),
        };
        let variable = proxy.rsplit(' ').next().unwrap_or_default();
        let what = format!("the proxy {proxy} cannot be reached");
        return Finding::error("proxy_unreachable", what, cause, format!("unset {variable}"));
    }
    match &visit.outcome {
        Outcome::Answered(_) => {
            let through = visit.proxy.as_ref().map(|proxy| format!(" through the proxy {proxy}"));
            Finding::ok("host", format!("{place} answers{}", through.unwrap_or_default()))
        }
        Outcome::Nameless(why) => {
            let host = place.split(':').next().unwrap_or_default();
            let fix = format!("getent hosts {host}  # and mend the resolver, or the name");
            Finding::error("dns_failed", format!("{place} cannot be found"), why, fix)
        }
        Outcome::Cut(reach) => {
            let what = format!("{place} cannot be reached");
            Finding::error("host_unreachable", what, in_words(reach), again)
        }
        Outcome::Unanswered(error) => {
            let fix = error.next().unwrap_or(again);
            let (code, what) = match failure::is_about_trust(error) {
                true => ("host_untrusted", format!("{place} cannot be trusted")),
                false => ("host_unreachable", format!("{place} does not answer")),
            };
            Finding::error(code, what, error.to_string(), fix)
        }
    }
}

/// A machine without IPv6 is as good as any other. One whose IPv6 leads nowhere waits for it at each
/// request.
fn families(visits: &[Visit]) -> Option<Finding> {
    let reached = |wanted: fn(&Reach) -> bool| {
        visits.iter().find(|visit| visit.ipv6.as_ref().is_some_and(wanted))
    };
    if let Some(visit) = reached(|reach| *reach == Reach::Lost) {
        let what = format!("{} is reached over IPv4 only, and late", visit.place);
        let cause = "this machine has an IPv6 address, and what it sends there is lost";
        let fix = "mend IPv6 on this network, or switch it off";
        return Some(Finding::warning("no_ipv6", what, cause, fix));
    }
    if reached(|reach| *reach == Reach::Connected).is_some() {
        return Some(Finding::ok("ipv6", "IPv6 works"));
    }
    let cut = reached(|reach| matches!(reach, Reach::NoRoute(_)))?;
    Some(Finding::ok("ipv6", format!("no IPv6 here; {} is reached over IPv4", cut.place)))
}

/// One server that differs from the others is wrong itself.
fn clock(visits: &[Visit]) -> Option<Finding> {
    let skew = |visit: &Visit| match visit.outcome {
        Outcome::Answered(skew_s) => skew_s.map(|skew_s| (skew_s, visit.place.clone())),
        Outcome::Cut(_) | Outcome::Nameless(_) | Outcome::Unanswered(_) => None,
    };
    let skews: Vec<_> = visits.iter().filter_map(skew).collect();
    let (least_s, place) = skews.iter().min_by_key(|(skew_s, _)| skew_s.unsigned_abs())?;
    let (most_s, other) = skews.iter().max_by_key(|(skew_s, _)| skew_s.unsigned_abs())?;
    let apart = |skew_s: i64| {
        let side = if skew_s < 0 { "behind" } else { "ahead of" };
        format!("{} {side}", duration_in_words(skew_s.saturating_abs()))
    };
    match least_s.unsigned_abs() {
        _ if most_s.unsigned_abs() <= SKEW_WARNING_S => {
            Some(Finding::ok("clock", format!("this machine's clock agrees with {place}")))
        }
        0..=SKEW_WARNING_S => {
            let what = format!("this machine's clock is {} that of {other}", apart(*most_s));
            let cause = format!("it agrees with {place}, so the other one is wrong");
            Some(Finding::warning("clock_skew", what, cause, "keyfob doctor  # again, later"))
        }
        least => {
            let what = format!("this machine's clock is {} that of {place}", apart(*least_s));
            let cause = "tokens seem to live longer or shorter than they do";
            Some(match least > SKEW_ERROR_S {
                true => Finding::error("clock_skew", what, cause, SET_CLOCK),
                false => Finding::warning("clock_skew", what, cause, SET_CLOCK),
            })
        }
    }
}

/// A row that names an issuer alone gets its endpoints from there at each login and refresh.
fn discovery(row: &Provider, client: &Client) -> Option<Finding> {
    let error = discover::complete(row, client).err()?;
    let what = format!("the endpoints of {} cannot be had from its issuer", row.id);
    let fix = format!("keyfob provider show {}", row.id);
    Some(Finding::error("discovery_failed", what, error.to_string(), fix))
}

fn in_words(reach: &Reach) -> String {
    match reach {
        Reach::Connected => "connected".to_owned(),
        Reach::Lost => "no answer in time".to_owned(),
        Reach::NoAddress => "the name has no address".to_owned(),
        Reach::NoRoute(why) => why.clone(),
        Reach::Refused => "connection refused".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flows::doctor::Severity;

    fn visit(place: &str, outcome: Outcome) -> Visit {
        let is_loopback = place.starts_with("127");
        Visit { place: place.to_owned(), is_loopback, proxy: None, outcome, ipv6: None }
    }

    fn codes(visits: &[Visit]) -> Vec<(&'static str, Severity)> {
        judge(visits).iter().map(|finding| (finding.code, finding.severity)).collect()
    }

    #[test]
    fn the_clock_is_wrong_when_all_servers_say_so() {
        for (skews, severity) in [
            (&[0][..], Severity::Ok),
            (&[60, -60], Severity::Ok),
            (&[61], Severity::Warning),
            (&[-300, 400], Severity::Warning),
            (&[301], Severity::Error),
            (&[-301, -302], Severity::Error),
            (&[i64::MIN], Severity::Error),
            (&[0, 4000], Severity::Warning),
        ] {
            let answered = |skew_s: &i64| visit("a.example", Outcome::Answered(Some(*skew_s)));
            let visits: Vec<_> = skews.iter().map(answered).collect();
            assert_eq!(clock(&visits).map(|finding| finding.severity), Some(severity), "{skews:?}");
        }
        assert_eq!(clock(&[visit("a.example", Outcome::Answered(None))]), None);
    }

    #[test]
    fn a_machine_without_network_is_one_finding() {
        let nameless = || Outcome::Nameless("no such name".to_owned());
        let lost = || Outcome::Cut(Reach::Lost);
        let offline = [visit("a.example", nameless()), visit("b.example", lost())];
        assert_eq!(codes(&offline), [("offline", Severity::Warning)]);
        let local = visit("127.0.0.1:1", Outcome::Unanswered(Error::temporary("refused")));
        let [one, two] = offline;
        let both = [("offline", Severity::Warning), ("host_unreachable", Severity::Error)];
        assert_eq!(codes(&[one, local]), both);
        let codes = codes(&[two, visit("c.example", Outcome::Answered(None))]);
        assert_eq!(codes, [("host_unreachable", Severity::Error), ("host", Severity::Ok)]);
    }

    #[test]
    fn ipv6_is_never_an_error() {
        for (reach, finding) in [
            (Reach::Connected, Some(("ipv6", Severity::Ok))),
            (Reach::Lost, Some(("no_ipv6", Severity::Warning))),
            (Reach::NoAddress, None),
            (Reach::NoRoute("network is unreachable".to_owned()), Some(("ipv6", Severity::Ok))),
            (Reach::Refused, None),
        ] {
            let visit = Visit { ipv6: Some(reach), ..visit("a.example", Outcome::Answered(None)) };
            let found = families(&[visit]).map(|finding| (finding.code, finding.severity));
            assert_eq!(found, finding);
        }
    }
}
