//! Figure 2: the first streamed byte.

use std::time::Instant;

use crate::{
    DIRECT_KEY,
    client::Client,
    report::{Failures, quantile, row, three},
};

/// From before a request is written until its answer's first event was read, which the API writes at once, head and event in
/// two writes; one stream after another, direct and through in turns, 300 of each after 20 that do not count.
/// Target of the issue: the medians differ by less than 1 ms.
pub fn first(api: &str, gateway: &str, key: &str) -> bool {
    const COUNT: u64 = 300;
    const WARM: u64 = 20;
    let failures = Failures::default();
    let mut sides =
        [(Client::new(api, DIRECT_KEY), Vec::new()), (Client::new(gateway, key), Vec::new())];
    for tag in 0..WARM + COUNT {
        for (client, took) in &mut sides {
            let (began, mut at) = (Instant::now(), None);
            match client.events(tag, "events=3 every_ms=2", |_| at = at.or(Some(began.elapsed()))) {
                Ok(_) if tag < WARM => {}
                Ok(_) => took.extend(at.map(|at| at.as_secs_f64() * 1e3)),
                Err(bad) => failures.note(&bad),
            }
        }
    }
    let [direct, through] = sides.map(|(_, mut took)| quantile(&mut took, 0.5));
    row("first event's first byte, median of 300: direct", three(direct), "ms", None);
    row("  through", three(through), "ms", None);
    row("  later by", three(through - direct), "ms", Some(1.0));
    row("  streams lost or in error", failures.all(), "", Some(0.0));
    true
}
