//! The report: one line a figure, and what stands in it.

use std::{
    fmt::Display,
    fs,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use crate::{client::Bad, common::number};

/// One line of the report, in the shape of bench.sh's own `row`: the value is to stay at or below the target.
pub fn row(name: &str, value: impl Display, unit: &str, target: Option<f64>) {
    let value = value.to_string();
    let is_met = |target: f64| value.parse::<f64>().is_ok_and(|value| value <= target);
    let verdict = target.map_or(String::new(), |target| {
        format!("target {target}: {}", if is_met(target) { "met" } else { "MISSED" })
    });
    println!("  {name:<52} {value:>10} {unit:<6} {verdict}");
}

pub fn three(value: f64) -> String {
    format!("{value:.3}")
}

/// The value below which `share` of all lie; 0.5 is the median.
pub fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = (values.len() as f64 * share) as usize;
    values.get(at.min(values.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

/// A line of /proc/PID/status, in KB or a plain number; 0 where the process has ended.
pub fn of_process(pid: &str, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.map_or(0, number)
}

/// What went wrong, the first of it told in full.
#[derive(Default)]
pub struct Failures {
    pub errors: AtomicUsize,
    pub lost: AtomicUsize,
}

impl Failures {
    pub fn note(&self, bad: &Bad) {
        const TOLD: usize = 20;
        let (what, count) = match bad {
            Bad::Error(what) => (what, &self.errors),
            Bad::Lost(what) => (what, &self.lost),
        };
        if count.fetch_add(1, Relaxed) < TOLD {
            eprintln!("load: {what}");
        }
    }

    pub fn all(&self) -> usize {
        self.errors.load(Relaxed) + self.lost.load(Relaxed)
    }
}
