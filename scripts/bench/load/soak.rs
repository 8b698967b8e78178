//! Figure 4: the soak, its load and its report. Its trouble is in trouble.rs.

use std::{
    env,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    client::{Client, control, paced},
    common::{locked, number},
    report::{Failures, of_process, quantile, row, three},
    trouble::{ACCOUNTS, Random, Soak},
};

/// 50 requests a second, open loop, every other one streamed, over three API keys and two sign-ins with tokens of 20 s, whose
/// refresh tokens are good for one use. Three hands make trouble at random, each at an account of its own that then rests
/// until a cool-down of a few seconds is over, so that two accounts are always well: answers 429 with Retry-After 1, 500, 401
/// until refreshed or replaced, connections dropped before any byte or closed after an answer without a word, slowness,
/// logouts, keys replaced. A fourth rewrites account files, touches config.json and notes attributes. Every request must end
/// in its own good answer. The target of the issue, for ten minutes: none lost.
pub fn soak(seconds: u64, api: &str, gateway: &str, key: &str, pid: &str, keyfob: &str) -> bool {
    const RATE: usize = 50;
    // The end is calm, and shows whether every account came back.
    const CALM: u64 = 15;
    const LAST_LOOK: u64 = 4;
    let failures = Failures::default();
    let soak = Soak {
        api: api.to_owned(),
        keyfob: keyfob.into(),
        home: env::var_os("KEYFOB_HOME").expect("KEYFOB_HOME of the gateway").into(),
        taken: Mutex::default(),
        done: Mutex::default(),
        end: Instant::now() + Duration::from_secs(seconds.saturating_sub(CALM)),
        is_whole: AtomicBool::new(true),
    };
    let (good, took) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let before_kb = of_process(pid, "VmRSS");
    // Each has five seconds for a request before it is late for its next.
    let mut clients: Vec<_> = (0..RATE * 5).map(|_| Client::new(gateway, key)).collect();
    let mut before_end = String::new();
    let began = Instant::now();
    thread::scope(|scope| {
        for hand in 1..=3 {
            let soak = &soak;
            scope.spawn(move || soak.make_trouble(Random::new(hand)));
        }
        scope.spawn(|| soak.rewrite(Random::new(4)));
        scope.spawn(|| {
            thread::sleep(Duration::from_secs(seconds.saturating_sub(LAST_LOOK)));
            before_end = control(api, "/_counters");
        });
        paced(&mut clients, RATE, RATE * seconds as usize, |client, index, due| {
            let tag = index as u64;
            let ended = match tag % 2 {
                0 => client.plain(tag),
                _ => client
                    .events(tag, &format!("events={} every_ms=50", 1 + tag % 20), |_| ())
                    .map(|_| ()),
            };
            match ended {
                Ok(()) if tag % 2 == 0 => {
                    good.fetch_add(1, Relaxed);
                    locked(&took).push(due.elapsed().as_secs_f64() * 1e3);
                }
                Ok(()) => _ = good.fetch_add(1, Relaxed),
                Err(bad) => failures.note(&bad.at(began.elapsed())),
            }
        });
    });
    let counts = Counts(control(api, "/_counters"));
    let before_end = Counts(before_end);
    let asked = (RATE * seconds as usize) as u64;
    let sleepers =
        ACCOUNTS.iter().filter(|name| counts.of(name, "ok") == before_end.of(name, "ok"));
    let sleepers: Vec<&str> = sleepers.copied().collect();
    let attempts = counts.all("asked");
    let failed = ["401", "429", "500", "drop"].map(|kind| format!("{kind}: {}", counts.all(kind)));
    let shares = ACCOUNTS.map(|name| format!("{name}: {}", counts.of(name, "ok")));
    let done: Vec<_> =
        locked(&soak.done).iter().map(|(what, times)| format!("{what}: {times}")).collect();
    let reconnects: usize = clients.iter().map(|client| client.reconnects).sum();
    let mut took = locked(&took);
    row(&format!("{seconds} s at {RATE} requests/s: requests"), asked, "", None);
    row("  answered well", good.load(Relaxed), "", None);
    row("  lost", failures.lost.load(Relaxed), "", Some(0.0));
    row("  answered with an error, or wrongly", failures.errors.load(Relaxed), "", Some(0.0));
    row("  attempts upstream beyond one a request", attempts.saturating_sub(asked), "", None);
    row("  refreshes", counts.all("refresh"), "", None);
    row("  refresh tokens used twice", counts.all("reused"), "", Some(0.0));
    row(
        "  answers the API gave that no client got",
        counts.all("ok").saturating_sub(good.load(Relaxed)),
        "",
        Some(0.0),
    );
    row("  uses of a key gone for two seconds", counts.all("retired"), "", Some(0.0));
    row(
        "  requests with the client's own key or user agent",
        counts.all("leaked") + counts.all("agent"),
        "",
        Some(0.0),
    );
    row("  accounts unused 10 s after the last trouble", sleepers.len(), "", Some(0.0));
    row("  plain answers, median", three(quantile(&mut took, 0.5)), "ms", None);
    row("  the slowest (a slow account takes 2,000)", three(quantile(&mut took, 1.0)), "ms", None);
    row("  idle client connections the gateway closed", reconnects, "", None);
    row("  the gateway's memory, before", before_kb, "KB", None);
    row("  after", of_process(pid, "VmRSS"), "KB", None);
    println!("  upstream {}; {}", failed.join(", "), shares.join(", "));
    println!("  done {}", done.join(", "));
    if !sleepers.is_empty() {
        println!("  unused at the end {}", sleepers.join(", "));
    }
    failures.all() == 0 && soak.is_whole.load(Relaxed)
}

/// The API's counters: lines of account, what happened, how often.
struct Counts(String);

impl Counts {
    fn sum(&self, is_meant: impl Fn(&str, &str) -> bool) -> u64 {
        let lines = self.0.lines().filter_map(|line| {
            let mut words = line.split(' ');
            is_meant(words.next()?, words.next()?).then(|| number(words.next().unwrap_or_default()))
        });
        lines.sum()
    }

    fn of(&self, name: &str, what: &str) -> u64 {
        self.sum(|account, happened| account == name && happened == what)
    }

    fn all(&self, what: &str) -> u64 {
        self.sum(|_, happened| happened == what)
    }
}
