use argh::{ArgsInfo, FromArgs};
use serde_json::{Value, json};

use crate::commands::{App, Object};
use crate::error::{Error, Result};
use crate::store::Event;
use crate::term;
use crate::text;
use crate::time::Timestamp;

/// Shows what happened to the credentials: logins, refreshes, who got one, logouts.
#[derive(ArgsInfo, FromArgs)]
#[argh(
    subcommand,
    name = "audit",
    help_triggers("-h", "--help"),
    example = "keyfob audit --since 2h\nkeyfob audit --since 2026-11-22T00:00:00Z --json",
    note = "The trail is audit.jsonl, one line an event, without secrets. Past 8 MB it is\n\
            put aside as audit.jsonl.1."
)]
pub struct Audit {
    /// only what happened since: a time, or 30m, 2h, 7d ago
    #[argh(option, arg_name = "when")]
    since: Option<String>,

    /// print one JSON object
    #[argh(switch)]
    json: bool,
}

pub fn run(args: &Audit) -> Result<()> {
    let app = App::new(None)?;
    let since = args.since.as_deref().map(|text| since(text, Timestamp::now())).transpose()?;
    let (mut events, unreadable) = app.store.audit_trail()?;
    events.retain(|event| since.is_none_or(|since| event.at >= since));
    if unreadable > 0 {
        let lines = if unreadable == 1 { "line" } else { "lines" };
        term::warn(&format!("{unreadable} {lines} of the trail cannot be read"));
    }
    if args.json {
        let events: Vec<Value> = events.iter().map(|event| json!(event)).collect();
        return term::print(&Object::new().with("events", events).to_string());
    }
    if events.is_empty() {
        term::say("nothing happened");
        return Ok(());
    }
    term::print(&events.iter().map(line).collect::<Vec<_>>().join("\n"))
}

fn line(event: &Event) -> String {
    let by = match (&event.by, event.pid) {
        (Some(by), Some(pid)) => format!("  by {} ({pid})", text::harmless(by, 80)),
        _ => String::new(),
    };
    let account = format!("{}/{}", event.provider, event.account);
    let account = text::harmless(&account, 200);
    format!("{}  {:9} {account}{by}", event.at, text::harmless(&event.event, 20))
}

/// RFC 3339, or how long ago.
fn since(text: &str, now: Timestamp) -> Result<Timestamp> {
    let ago = || {
        let unit = text.chars().last()?;
        let seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            'w' => 604_800,
            _ => return None,
        };
        let count: i64 = text.strip_suffix(unit)?.parse().ok()?;
        (count >= 0).then(|| now.plus(-count.saturating_mul(seconds)))
    };
    Timestamp::parse(text).or_else(ago).ok_or_else(|| {
        Error::usage("--since wants a time such as 2026-11-22T00:00:00Z, or 30m, 2h, 7d")
            .or_try("keyfob audit --since 2h")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_spans_are_read() {
        let now = Timestamp(1_000_000);
        for (text, seconds) in [("90s", 90), ("30m", 1_800), ("2h", 7_200), ("1d", 86_400)] {
            assert_eq!(since(text, now).unwrap(), now.plus(-seconds), "{text}");
        }
        assert_eq!(since("1970-01-01T00:00:07Z", now).unwrap(), Timestamp(7));
        for bad in ["", "h", "-2h", "2 hours", "yesterday"] {
            assert!(since(bad, now).is_err(), "{bad}");
        }
    }
}
