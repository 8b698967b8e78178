//! Figure 3: streams held.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    DIRECT_KEY, STACK_BYTES,
    client::{Bad, Client, control},
    common::{locked, now_us},
    report::{Failures, of_process, quantile, row, three},
};

/// COUNT event streams, begun within two seconds, each with an event a second until the API is told to end them, which is
/// 5 s after the last stream had its first event. Then the gateway's memory is read, while all run. Every event bears its
/// stream, its number and when it was written, and the last one says how many there were: a stream with a gap, with
/// another's event or without its end counts as broken. Direct, the same shows what this tool itself adds.
/// Target of the issue: 2,000 streams in less than 40 MB (VmRSS); the peak since the start (VmHWM) stands beside it.
pub fn streams(count: usize, api: &str, through: Option<(&str, &str, &str)>) -> bool {
    const WHOLE: usize = 2000;
    const TARGET_KB: f64 = 40_960.0;
    let (origin, key) = through.map_or((api, DIRECT_KEY), |(gateway, key, _)| (gateway, key));
    let (failures, running, events) = (Failures::default(), AtomicUsize::new(0), AtomicU64::new(0));
    let delays = Mutex::new(Vec::new());
    let start = Instant::now();
    let one = |tag: usize| {
        let due = start + Duration::from_secs(2) * tag as u32 / count as u32;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let (mut is_first, mut own) = (true, Vec::new());
        let done = Client::new(origin, key).events(tag as u64, "hold=1 every_ms=1000", |at_us| {
            if std::mem::take(&mut is_first) {
                running.fetch_add(1, Relaxed);
            }
            own.push(now_us().saturating_sub(at_us) as f64 / 1e3);
        });
        events.fetch_add(own.len() as u64, Relaxed);
        locked(&delays).append(&mut own);
        if let Err(bad) = done {
            failures.note(&bad);
        }
    };
    let mut sizes = (0, 0, 0);
    thread::scope(|scope| {
        for tag in 0..count {
            let one = &one;
            let spawned = thread::Builder::new()
                .stack_size(STACK_BYTES)
                .spawn_scoped(scope, move || one(tag));
            if let Err(e) = spawned {
                failures.note(&Bad::Lost(format!("no thread for stream {tag}: {e}")));
            }
        }
        while running.load(Relaxed) + failures.all() < count
            && start.elapsed() < Duration::from_secs(60)
        {
            thread::sleep(Duration::from_millis(10));
        }
        thread::sleep(Duration::from_secs(5));
        let pid = through.map_or("self", |(_, _, pid)| pid);
        sizes = (of_process(pid, "VmRSS"), of_process(pid, "VmHWM"), of_process(pid, "Threads"));
        control(api, "/_release");
    });
    let mut delays = locked(&delays);
    row(
        &format!(
            "{count} streams at once, {}: ran",
            if through.is_some() { "through" } else { "direct" }
        ),
        running.load(Relaxed),
        "",
        None,
    );
    if through.is_some() {
        row(
            "  the gateway's memory, all running for 5 s",
            sizes.0,
            "KB",
            (count == WHOLE).then_some(TARGET_KB),
        );
        row("  its peak since it started", sizes.1, "KB", None);
        row("  its threads", sizes.2, "", None);
    }
    row("  events, each once and in its order", events.load(Relaxed), "", None);
    row("  streams broken, or short of an event", failures.all(), "", Some(0.0));
    row("  an event's way from the API, median", three(quantile(&mut delays, 0.5)), "ms", None);
    row("  p99", three(quantile(&mut delays, 0.99)), "ms", None);
    true
}
