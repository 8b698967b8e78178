//! Figure 1: added latency.

use std::sync::Mutex;

use crate::{
    DIRECT_KEY,
    client::{Client, paced},
    common::locked,
    report::{Failures, quantile, row, three},
};

/// Open loop: request i is due at i / 200 s whatever became of the others, over 20 kept connections, and its latency counts
/// from when it was due until its answer of 1 KB was read whole. 20 s direct and 20 s through, in turns of 2 s; a first second
/// of each, which connects, does not count. Added: the difference of the two medians, and of the two 99th percentiles.
/// Targets of the issue: 0.5 ms and 5 ms, on two cores.
pub fn latency(api: &str, gateway: &str, key: &str) -> bool {
    const RATE: usize = 200;
    const TURNS: usize = 10;
    let failures = Failures::default();
    let clients = |origin, key| (0..20).map(|_| Client::new(origin, key)).collect();
    let mut sides: [(Vec<Client>, Vec<f64>); 2] =
        [(clients(api, DIRECT_KEY), Vec::new()), (clients(gateway, key), Vec::new())];
    for turn in 0..=TURNS {
        for (clients, took) in &mut sides {
            let all = Mutex::new(Vec::new());
            let count = if turn == 0 { RATE } else { 2 * RATE };
            paced(clients, RATE, count, |client, index, due| match client.plain(index as u64) {
                Ok(()) => locked(&all).push(due.elapsed().as_secs_f64() * 1e3),
                Err(bad) => failures.note(&bad),
            });
            if turn > 0 {
                took.append(&mut locked(&all));
            }
        }
    }
    let [(_, direct), (_, through)] = &mut sides;
    for (name, share, target) in [("median", 0.5, 0.5), ("p99", 0.99, 5.0)] {
        let (direct, through) = (quantile(direct, share), quantile(through, share));
        row(&format!("{RATE} requests/s, {name}: direct"), three(direct), "ms", None);
        row("  through", three(through), "ms", None);
        row("  added", three(through - direct), "ms", Some(target));
    }
    row("  requests lost or in error", failures.all(), "", Some(0.0));
    true
}
