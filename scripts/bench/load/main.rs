//! A fake model API on loopback, and the clients that load `keyfob serve` in front of it. Nothing but the standard library.
//!
//!   load api [USER_AGENT]                  the API; prints `listening on URL`. Accounts' requests must name that user agent
//!   load latency API GATEWAY KEY           added latency at 200 requests a second
//!   load first API GATEWAY KEY             how much later a stream's first event begins
//!   load streams COUNT API [GATEWAY KEY PID]   event streams held at once, direct or through
//!   load soak SECONDS API GATEWAY KEY PID KEYFOB   load while accounts fail, refresh and are replaced; 1 if a request was lost
//!
//! How each figure is taken stands above its function. `API` and `GATEWAY` are origins, `KEY` is a client key of the
//! gateway, `PID` its process. KEYFOB_HOME of the soak is the gateway's.
mod api;
mod client;
mod common;
mod first;
mod http;
mod latency;
mod report;
mod soak;
mod streams;
mod trouble;

use std::{env, fs, process::ExitCode};

use crate::{
    api::api, common::number, first::first, latency::latency, soak::soak, streams::streams,
};

const MODEL: &str = "bench-model";
/// What talks to the API directly; every other key belongs to an account of the gateway.
const DIRECT_KEY: &str = "sk-direct-1";
/// Thousands of threads, each with little to remember.
const STACK_BYTES: usize = 64 << 10;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    // Timers fire up to 50 us late by default, which would count as latency. Threads inherit it.
    let _ = fs::write("/proc/self/timerslack_ns", "1");
    let good = match words[..] {
        ["api"] => api(None),
        ["api", agent] => api(Some(agent.to_owned())),
        ["latency", api, gateway, key] => latency(api, gateway, key),
        ["first", api, gateway, key] => first(api, gateway, key),
        ["streams", count, api] => streams(number(count) as usize, api, None),
        ["streams", count, api, gateway, key, pid] => {
            streams(number(count) as usize, api, Some((gateway, key, pid)))
        }
        ["soak", seconds, api, gateway, key, pid, keyfob] => {
            soak(number(seconds), api, gateway, key, pid, keyfob)
        }
        _ => {
            eprintln!("usage: see the top of load/main.rs");
            false
        }
    };
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
