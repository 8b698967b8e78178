use std::time::Duration;

use argh::{ArgsInfo, FromArgs};
use serde_json::{Value, json};

use crate::commands::{App, Object};
use crate::error::{Error, Result};
use crate::flows::doctor::{self, Finding, Severity};
use crate::term;
use crate::text::{self, harmless};

/// Looks for what is wrong on this machine, and says how to mend it.
#[derive(ArgsInfo, FromArgs)]
#[argh(
    subcommand,
    name = "doctor",
    help_triggers("-h", "--help"),
    example = "keyfob doctor\nkeyfob doctor --offline --json",
    note = "Looks at files, settings and variables, at opener and ports, at each account,\n\
            and at the way to the servers of these accounts: proxy, name, IPv4 and\n\
            IPv6, certificate, clock. It sends no credential, renews nothing, and\n\
            contacts nobody when there are no accounts.\n\
            Exit 1 if anything is broken; warnings alone are 0."
)]
pub struct Doctor {
    /// contact nobody
    #[argh(switch)]
    offline: bool,

    /// print one JSON object
    #[argh(switch)]
    json: bool,

    /// longest wait for one step on the network, 5 by default
    #[argh(option, arg_name = "seconds")]
    timeout: Option<u64>,
}

const TIMEOUT_S: u64 = 5;

pub fn run(args: &Doctor) -> Result<()> {
    let timeout_s = args.timeout.unwrap_or(TIMEOUT_S);
    let app = App::new(Some(timeout_s))?;
    let limit = Duration::from_secs(app.timeout_s);
    let findings = doctor::examine(&app.store, &app.client, limit, args.offline);
    if args.json {
        let rows: Vec<_> = findings.iter().map(row).collect();
        term::print(&Object::new().with("findings", rows).to_string())?;
    } else {
        term::print(&findings.iter().map(lines).collect::<Vec<_>>().join("\n"))?;
    }
    let errors: Vec<_> = findings.iter().filter(|f| f.severity == Severity::Error).collect();
    let Some(first) = errors.first() else { return Ok(()) };
    let mut codes: Vec<_> = errors.iter().map(|finding| finding.code.to_owned()).collect();
    codes.dedup();
    let problems = if errors.len() == 1 { "problem" } else { "problems" };
    let what = format!("{} {problems} found: {}", errors.len(), text::list(&codes));
    Err(Error::failed(what).or_try(shown(first.fix.as_deref().unwrap_or("keyfob doctor"))))
}

/// CLI.md section 10.
fn row(finding: &Finding) -> Value {
    json!({
        "code": finding.code,
        "severity": name(finding.severity),
        "what": shown(&finding.what),
        "cause": finding.cause.as_deref().map(shown),
        "fix": finding.fix.as_deref().map(shown),
    })
}

fn name(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Ok => "ok",
        Severity::Warning => "warning",
    }
}

/// One line for what is well, three for what is not.
fn lines(finding: &Finding) -> String {
    let mut text = format!("{:8}{}", name(finding.severity), shown(&finding.what));
    if finding.severity != Severity::Ok {
        text.push_str(&format!(" ({})", finding.code));
    }
    for (label, part) in [("cause", &finding.cause), ("fix", &finding.fix)] {
        if let Some(part) = part {
            text.push_str(&format!("\n        {label}: {}", shown(part)));
        }
    }
    text
}

/// Names of files and texts of rows come from outside. What is harmless stays as it is, commands
/// with several spaces too.
fn shown(text: &str) -> String {
    if text.contains(|c: char| c.is_control()) || !text.is_ascii() {
        return harmless(text, 2_000);
    }
    text.to_owned()
}
