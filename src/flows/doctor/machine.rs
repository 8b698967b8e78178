//! The machine around it: a browser, a terminal, the ports of callbacks, the certificates.

use crate::flows::doctor::{Facts, Finding};
use crate::net::loopback;
use crate::net::probe;
use crate::provider::Provider;
use crate::term::opener;
use crate::text;

pub fn check(facts: &Facts) -> Vec<Finding> {
    let mut findings = vec![browser(), terminal()];
    findings.extend(ports(facts));
    findings
}

/// Over SSH, in a container or without a display nobody expects a browser to open.
fn browser() -> Finding {
    let why = match opener::find() {
        Ok(opener) => {
            let what = format!("{} opens the browser", opener.program().display());
            return Finding::ok("opener", what);
        }
        Err(why) => why,
    };
    let what = "no browser can be opened; login prints the address instead";
    match why.as_str() {
        opener::NONE_OF_BROWSER => Finding::warning("opener_missing", what, why, "unset BROWSER"),
        opener::NONE_INSTALLED => {
            let fix = "install xdg-utils, or export BROWSER=PROGRAM";
            Finding::warning("opener_missing", what, why, fix)
        }
        _ => {
            Finding::ok("opener", format!("no browser is opened: {why}; login prints the address"))
        }
    }
}

/// A hidden prompt needs `stty`.
fn terminal() -> Finding {
    if cfg!(windows) || opener::locate("stty").is_some() {
        return Finding::ok("terminal", "keys can be typed without being shown");
    }
    Finding::warning(
        "stty_missing",
        "no key can be typed without being shown",
        "stty is not in PATH",
        "keyfob login PROVIDER --api-key-stdin",
    )
}

/// The fixed ports of the providers in use, and whether loopback can be listened on at all.
fn ports(facts: &Facts) -> Vec<Finding> {
    let free = match loopback::try_port("127.0.0.1", 0) {
        Ok(port) => port,
        Err(error) => {
            return vec![Finding::warning(
                "loopback_unavailable",
                "no callback can arrive by itself; paste its address",
                format!("cannot listen on 127.0.0.1: {}", text::cause(&error)),
                "keyfob login PROVIDER --no-browser",
            )];
        }
    };
    let mut findings = Vec::new();
    for row in rows_in_use(facts) {
        let try_port = |port: &u16| (*port, loopback::try_port(&row.redirect.host, *port));
        let tried: Vec<_> = row.redirect.ports.iter().map(try_port).collect();
        let other = tried.iter().find_map(|(_, tried)| tried.as_ref().ok().copied());
        for (port, tried) in tried {
            let Err(error) = tried else { continue };
            let what = match other {
                Some(other) => format!("a login to {} will listen on port {other}", row.id),
                None => format!("a login to {} cannot listen for its callback", row.id),
            };
            let cause = format!("port {port}: {}", text::cause(&error));
            let instead = other.unwrap_or(free);
            let fix = format!("keyfob login {} --callback-port {instead}", row.id);
            findings.push(Finding::warning("port_busy", what, cause, fix));
        }
    }
    if findings.is_empty() {
        findings.push(Finding::ok("ports", "callbacks can arrive on loopback"));
    }
    findings
}

/// The rows of every account and of every login under way, each once.
fn rows_in_use<'a>(facts: &'a Facts) -> Vec<&'a Provider> {
    let Some(providers) = &facts.providers else { return Vec::new() };
    let pending = facts.store.pending(facts.now).unwrap_or_default();
    let pending = pending.into_iter().map(|login| login.account.provider);
    let accounts = facts.accounts.iter().map(|(id, _)| id.provider.clone());
    let mut ids: Vec<_> = accounts.chain(pending).collect();
    ids.sort();
    ids.dedup();
    ids.iter().filter_map(|id| providers.find(id).ok().flatten()).collect()
}

/// The user's own certificates.
pub fn roots() -> Finding {
    let fault = match probe::own_certificates() {
        Ok(0) => return Finding::ok("ca", "servers are checked against the bundled roots"),
        Ok(count) => {
            let what =
                format!("servers are checked against the bundled roots and {count} of yours");
            return Finding::ok("ca", what);
        }
        Err(fault) => fault,
    };
    let variable = fault.variable;
    let code = if fault.is_unreadable { "ca_file_unreadable" } else { "ca_file_empty" };
    let cause = format!("{variable} names {}: {}", fault.path.display(), fault.how);
    Finding::error(code, "no https server can be asked", cause, format!("unset {variable}"))
}
