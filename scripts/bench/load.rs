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
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    env,
    fmt::Display,
    fs,
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::{fd::AsRawFd, unix::fs::PermissionsExt},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
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
        ["streams", count, api, gateway, key, pid] => streams(number(count) as usize, api, Some((gateway, key, pid))),
        ["soak", seconds, api, gateway, key, pid, keyfob] => soak(number(seconds), api, gateway, key, pid, keyfob),
        _ => {
            eprintln!("usage: see the top of load.rs");
            false
        }
    };
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

// ---- the report

/// One line of the report, in the shape of bench.sh's own `row`: the value is to stay at or below the target.
fn row(name: &str, value: impl Display, unit: &str, target: Option<f64>) {
    let value = value.to_string();
    let is_met = |target: f64| value.parse::<f64>().is_ok_and(|value| value <= target);
    let verdict =
        target.map_or(String::new(), |target| format!("target {target}: {}", if is_met(target) { "met" } else { "MISSED" }));
    println!("  {name:<52} {value:>10} {unit:<6} {verdict}");
}

fn three(value: f64) -> String {
    format!("{value:.3}")
}

/// The value below which `share` of all lie; 0.5 is the median.
fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = (values.len() as f64 * share) as usize;
    values.get(at.min(values.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

/// A line of /proc/PID/status, in KB or a plain number; 0 where the process has ended.
fn of_process(pid: &str, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.map_or(0, number)
}

/// The digits a text begins with; 0 without any.
fn number(text: &str) -> u64 {
    let text = text.trim_start();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().unwrap_or(0)
}

/// What stands behind `name` in a text that holds `name=VALUE`.
fn value_of<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("{name}="))?;
    rest.split([' ', '&', '"', '\\']).next()
}

/// What went wrong, the first of it told in full.
#[derive(Default)]
struct Failures {
    errors: AtomicUsize,
    lost: AtomicUsize,
}

impl Failures {
    fn note(&self, bad: &Bad) {
        const TOLD: usize = 20;
        let (what, count) = match bad {
            Bad::Error(what) => (what, &self.errors),
            Bad::Lost(what) => (what, &self.lost),
        };
        if count.fetch_add(1, Relaxed) < TOLD {
            eprintln!("load: {what}");
        }
    }

    fn all(&self) -> usize {
        self.errors.load(Relaxed) + self.lost.load(Relaxed)
    }
}

// ---- figure 1: added latency

/// Open loop: request i is due at i / 200 s whatever became of the others, over 20 kept connections, and its latency counts
/// from when it was due until its answer of 1 KB was read whole. 20 s direct and 20 s through, in turns of 2 s; a first second
/// of each, which connects, does not count. Added: the difference of the two medians, and of the two 99th percentiles.
/// Targets of the issue: 0.5 ms and 5 ms, on two cores.
fn latency(api: &str, gateway: &str, key: &str) -> bool {
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

/// Runs `each` for `count` requests, `rate` a second, each when it is due. A client that is still busy then is late, and its
/// latency shows that.
fn paced(clients: &mut [Client], rate: usize, count: usize, each: impl Fn(&mut Client, usize, Instant) + Sync) {
    let (start, step, each) = (Instant::now() + Duration::from_millis(50), clients.len(), &each);
    thread::scope(|scope| {
        for (first, client) in clients.iter_mut().enumerate() {
            scope.spawn(move || {
                for index in (first..count).step_by(step) {
                    let due = start + Duration::from_secs_f64(index as f64 / rate as f64);
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                    each(client, index, due);
                }
            });
        }
    });
}

// ---- figure 2: the first streamed byte

/// From before a request is written until its answer's first event was read, which the API writes at once, head and event in
/// two writes; one stream after another, direct and through in turns, 300 of each after 20 that do not count.
/// Target of the issue: the medians differ by less than 1 ms.
fn first(api: &str, gateway: &str, key: &str) -> bool {
    const COUNT: u64 = 300;
    const WARM: u64 = 20;
    let failures = Failures::default();
    let mut sides = [(Client::new(api, DIRECT_KEY), Vec::new()), (Client::new(gateway, key), Vec::new())];
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

// ---- figure 3: streams held

/// COUNT event streams, begun within two seconds, each with an event a second until the API is told to end them, which is
/// 5 s after the last stream had its first event. Then the gateway's memory is read, while all run. Every event bears its
/// stream, its number and when it was written, and the last one says how many there were: a stream with a gap, with
/// another's event or without its end counts as broken. Direct, the same shows what this tool itself adds.
/// Target of the issue: 2,000 streams in less than 40 MB (VmRSS); the peak since the start (VmHWM) stands beside it.
fn streams(count: usize, api: &str, through: Option<(&str, &str, &str)>) -> bool {
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
            let spawned = thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, move || one(tag));
            if let Err(e) = spawned {
                failures.note(&Bad::Lost(format!("no thread for stream {tag}: {e}")));
            }
        }
        while running.load(Relaxed) + failures.all() < count && start.elapsed() < Duration::from_secs(60) {
            thread::sleep(Duration::from_millis(10));
        }
        thread::sleep(Duration::from_secs(5));
        let pid = through.map_or("self", |(_, _, pid)| pid);
        sizes = (of_process(pid, "VmRSS"), of_process(pid, "VmHWM"), of_process(pid, "Threads"));
        control(api, "/_release");
    });
    let mut delays = locked(&delays);
    row(
        &format!("{count} streams at once, {}: ran", if through.is_some() { "through" } else { "direct" }),
        running.load(Relaxed),
        "",
        None,
    );
    if through.is_some() {
        row("  the gateway's memory, all running for 5 s", sizes.0, "KB", (count == WHOLE).then_some(TARGET_KB));
        row("  its peak since it started", sizes.1, "KB", None);
        row("  its threads", sizes.2, "", None);
    }
    row("  events, each once and in its order", events.load(Relaxed), "", None);
    row("  streams broken, or short of an event", failures.all(), "", Some(0.0));
    row("  an event's way from the API, median", three(quantile(&mut delays, 0.5)), "ms", None);
    row("  p99", three(quantile(&mut delays, 0.99)), "ms", None);
    true
}

// ---- figure 4: the soak

/// 50 requests a second, open loop, every other one streamed, over three API keys and two sign-ins with tokens of 20 s, whose
/// refresh tokens are good for one use. Three hands make trouble at random, each at an account of its own that then rests
/// until a cool-down of a few seconds is over, so that two accounts are always well: answers 429 with Retry-After 1, 500, 401
/// until refreshed or replaced, connections dropped before any byte or closed after an answer without a word, slowness,
/// logouts, keys replaced. A fourth rewrites account files, touches config.json and notes attributes. Every request must end
/// in its own good answer. The target of the issue, for ten minutes: none lost.
fn soak(seconds: u64, api: &str, gateway: &str, key: &str, pid: &str, keyfob: &str) -> bool {
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
                _ => client.events(tag, &format!("events={} every_ms=50", 1 + tag % 20), |_| ()).map(|_| ()),
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
    let sleepers = ACCOUNTS.iter().filter(|name| counts.of(name, "ok") == before_end.of(name, "ok"));
    let sleepers: Vec<&str> = sleepers.copied().collect();
    let attempts = counts.all("asked");
    let failed = ["401", "429", "500", "drop"].map(|kind| format!("{kind}: {}", counts.all(kind)));
    let shares = ACCOUNTS.map(|name| format!("{name}: {}", counts.of(name, "ok")));
    let done: Vec<_> = locked(&soak.done).iter().map(|(what, times)| format!("{what}: {times}")).collect();
    let reconnects: usize = clients.iter().map(|client| client.reconnects).sum();
    let mut took = locked(&took);
    row(&format!("{seconds} s at {RATE} requests/s: requests"), asked, "", None);
    row("  answered well", good.load(Relaxed), "", None);
    row("  lost", failures.lost.load(Relaxed), "", Some(0.0));
    row("  answered with an error, or wrongly", failures.errors.load(Relaxed), "", Some(0.0));
    row("  attempts upstream beyond one a request", attempts.saturating_sub(asked), "", None);
    row("  refreshes", counts.all("refresh"), "", None);
    row("  refresh tokens used twice", counts.all("reused"), "", Some(0.0));
    row("  answers the API gave that no client got", counts.all("ok").saturating_sub(good.load(Relaxed)), "", Some(0.0));
    row("  uses of a key gone for two seconds", counts.all("retired"), "", Some(0.0));
    row("  requests with the client's own key or user agent", counts.all("leaked") + counts.all("agent"), "", Some(0.0));
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

/// The gateway sees a changed file within a second; so long after it, an old key counts.
const GRACE: Duration = Duration::from_secs(2);
const KEYS: [&str; 3] = ["key1", "key2", "key3"];
const ACCOUNTS: [&str; 5] = ["key1", "key2", "key3", "oauth1", "oauth2"];

struct Soak {
    api: String,
    keyfob: PathBuf,
    home: PathBuf,
    taken: Mutex<HashSet<&'static str>>,
    /// What was done, and how often.
    done: Mutex<BTreeMap<String, u64>>,
    end: Instant,
    /// False once a command of keyfob failed.
    is_whole: AtomicBool,
}

impl Soak {
    /// One hand: a random trouble at an account that nobody else troubles.
    fn make_trouble(&self, mut random: Random) {
        // Longer than the cool-downs that 3 s of failures lead to (1 s, 2 s, 4 s: over 7 s after the first).
        const COOL: Duration = Duration::from_secs(5);
        const REST: Duration = Duration::from_secs(1);
        while Instant::now() < self.end {
            let Some(name) = self.take(&ACCOUNTS, &mut random) else { continue };
            let is_key = KEYS.contains(&name);
            let kinds = ["429", "500", "401", "drop", "close", "slow", "logout", "replace"];
            let kind = kinds[random.below(if is_key { 8 } else { 6 }) as usize];
            let moment = Duration::from_millis(300 + random.below(2700));
            let version = number(&control(&self.api, &format!("/_version?key={name}")));
            match kind {
                // A sign-in heals itself by one refresh.
                "401" if !is_key => {
                    control(&self.api, &format!("/_fault?key={name}&kind=revoke&n=1"));
                    thread::sleep(moment);
                }
                "logout" => {
                    self.run(&["logout", &format!("fake/{name}")], "");
                    thread::sleep(GRACE);
                    self.retire(name, version);
                    thread::sleep(moment);
                    self.log_in(name, version + 1);
                }
                "replace" => self.replace(name, version),
                kind => {
                    control(&self.api, &format!("/_fault?key={name}&kind={kind}&n=1000000"));
                    thread::sleep(moment);
                    control(&self.api, &format!("/_fault?key={name}&kind={kind}&n=0"));
                    if kind == "401" {
                        self.replace(name, version);
                    }
                }
            }
            self.count(kind);
            thread::sleep(if matches!(kind, "429" | "500" | "drop") { COOL } else { REST });
            locked(&self.taken).remove(name);
        }
    }

    /// What must change nothing at all.
    fn rewrite(&self, mut random: Random) {
        let config = self.home.join("config.json");
        while Instant::now() < self.end {
            thread::sleep(Duration::from_millis(200 + random.below(800)));
            match random.below(3) {
                0 => {
                    let file = fs::File::options().append(true).open(&config);
                    let touched = file.and_then(|file| file.set_modified(SystemTime::now()));
                    self.must("touch config.json", touched.is_ok());
                }
                // keyfob takes the account's lock for that: a sign-in may be refreshed at the same time.
                1 => {
                    if let Some(name) = self.take(&ACCOUNTS, &mut random) {
                        let note = format!("note={}", random.below(1000));
                        self.run(&["account", "set", &format!("fake/{name}"), &note], "");
                        locked(&self.taken).remove(name);
                    }
                }
                _ => {
                    if let Some(name) = self.take(&KEYS, &mut random) {
                        self.must("rewrite", self.rewrite_file(name).is_ok());
                        locked(&self.taken).remove(name);
                    }
                }
            }
        }
    }

    fn rewrite_file(&self, name: &str) -> io::Result<()> {
        let (path, beside) = (self.home.join(format!("accounts/fake/{name}.json")), self.home.join("rewrite"));
        fs::write(&beside, fs::read(&path)?)?;
        fs::set_permissions(&beside, fs::Permissions::from_mode(0o600))?;
        fs::rename(&beside, &path)
    }

    fn take(&self, names: &[&'static str], random: &mut Random) -> Option<&'static str> {
        let mut taken = locked(&self.taken);
        let free: Vec<_> = names.iter().copied().filter(|name| !taken.contains(name)).collect();
        let name = *free.get(random.below(free.len().max(1) as u64) as usize)?;
        taken.insert(name);
        Some(name)
    }

    fn replace(&self, name: &str, version: u64) {
        self.log_in(name, version + 1);
        thread::sleep(GRACE);
        self.retire(name, version);
    }

    fn log_in(&self, name: &str, version: u64) {
        self.run(&["login", &format!("fake/{name}"), "--api-key-stdin"], &format!("sk-{name}-{version}"));
    }

    /// From now on the key of that version, and those before it, are unknown to the API.
    fn retire(&self, name: &str, version: u64) {
        control(&self.api, &format!("/_retire?key={name}&through={version}"));
    }

    fn run(&self, arguments: &[&str], input: &str) {
        let ran = run(&self.keyfob, arguments, input);
        if let Err(what) = &ran {
            eprintln!("load: keyfob {}: {what}", arguments.join(" "));
        }
        self.must(&format!("keyfob {}", arguments[0]), ran.is_ok());
    }

    fn must(&self, what: &str, is_done: bool) {
        self.count(if is_done { what } else { "FAILED" });
        self.is_whole.fetch_and(is_done, Relaxed);
    }

    fn count(&self, what: &str) {
        *locked(&self.done).entry(what.to_owned()).or_default() += 1;
    }
}

fn run(keyfob: &Path, arguments: &[&str], input: &str) -> Result<(), String> {
    let child =
        Command::new(keyfob).args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let mut child = child.map_err(|e| e.to_string())?;
    let written = child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().map_err(|e| e.to_string())?;
    match output.status.success() && matches!(written, Some(Ok(()))) {
        true => Ok(()),
        false => Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim_end())),
    }
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

/// xorshift64*, seeded by the clock.
struct Random(u64);

impl Random {
    fn new(salt: u64) -> Random {
        Random(now_us().wrapping_mul(2 * salt + 1) | 1)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % end
    }
}

// ---- a client

enum Bad {
    /// An answer, but not a good one.
    Error(String),
    /// No answer, or not the whole of it.
    Lost(String),
}

impl Bad {
    fn at(self, since: Duration) -> Bad {
        let tell = |what: String| format!("at {:.3} s: {what}", since.as_secs_f64());
        match self {
            Bad::Error(what) => Bad::Error(tell(what)),
            Bad::Lost(what) => Bad::Lost(tell(what)),
        }
    }
}

/// One kept connection, opened when it is needed.
struct Client {
    address: String,
    key: String,
    wire: Option<Wire>,
    /// How often the other side had closed it while it was idle.
    reconnects: usize,
}

impl Client {
    fn new(origin: &str, key: &str) -> Client {
        let address = origin.trim_start_matches("http://").trim_end_matches('/').to_owned();
        Client { address, key: key.to_owned(), wire: None, reconnects: 0 }
    }

    /// One answer that is not streamed, and whose it says it is.
    fn plain(&mut self, tag: u64) -> Result<(), Bad> {
        self.exchange(tag, "events=1", false, |wire, head| {
            let mut body = Body::of(head);
            let mut text = Vec::new();
            while let Some(piece) = wire.piece(&mut body)? {
                text.extend(piece);
            }
            Ok(check_plain(&String::from_utf8_lossy(&text), tag))
        })
    }

    /// One stream: `on_event` gets the time at which each event was written, in us, as soon as it is here.
    fn events(&mut self, tag: u64, prompt: &str, mut on_event: impl FnMut(u64)) -> Result<u64, Bad> {
        self.exchange(tag, prompt, true, |wire, head| {
            let (mut body, mut text, mut events) = (Body::of(head), String::new(), Events { tag, ..Events::default() });
            while let Some(piece) = wire.piece(&mut body)? {
                text.push_str(&String::from_utf8_lossy(&piece));
                while let Some((event, rest)) = text.split_once("\n\n") {
                    if let Err(what) = events.take(event, &mut on_event) {
                        return Ok(Err(what));
                    }
                    text = rest.to_owned();
                }
            }
            Ok(events.finish(&text))
        })
    }

    fn exchange<T>(
        &mut self,
        tag: u64,
        prompt: &str,
        is_stream: bool,
        read: impl FnOnce(&mut Wire, &Head) -> io::Result<Result<T, String>>,
    ) -> Result<T, Bad> {
        // A failed connection is not used again; a good one comes back below.
        let kept = self.wire.take();
        let was_kept = kept.is_some();
        let kept = kept.filter(Wire::is_open);
        let is_kept = kept.is_some();
        self.reconnects += usize::from(was_kept && !is_kept);
        let how = if is_kept { "on a kept connection" } else { "on a new connection" };
        let what = |what: String| format!("request {tag} ({}, {how}): {what}", if is_stream { "streamed" } else { "plain" });
        let lost = |e: io::Error| Bad::Lost(what(e.to_string()));
        let mut wire = match kept {
            Some(wire) => wire,
            None => Wire::connect(&self.address).map_err(|e| Bad::Lost(what(format!("no connection: {e}"))))?,
        };
        let (address, key) = (&self.address, &self.key);
        let content = format!("tag={tag} {prompt} Say something of about a kilobyte.");
        let body =
            format!(r#"{{"model":"{MODEL}","stream":{is_stream},"messages":[{{"role":"user","content":"{content}"}}]}}"#);
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {key}\r\nUser-Agent: load/1\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        wire.stream.write_all((head + &body).as_bytes()).map_err(lost)?;
        let head = wire.head().and_then(|head| head.ok_or_else(|| ended("before any byte"))).map_err(lost)?;
        if head.status() != 200 {
            let mut body = Body::of(&head);
            let mut text = Vec::new();
            while let Ok(Some(piece)) = wire.piece(&mut body) {
                text.extend(piece);
            }
            return Err(Bad::Error(what(format!("{} {:?} {}", head.start, head.fields, String::from_utf8_lossy(&text)))));
        }
        let read = read(&mut wire, &head).map_err(lost)?.map_err(|wrong| Bad::Error(what(wrong)))?;
        if !head.says_close() {
            self.wire = Some(wire);
        }
        Ok(read)
    }
}

fn check_plain(text: &str, tag: u64) -> Result<(), String> {
    let is_own = value_of(text, "tag").is_some_and(|own| own == tag.to_string()) && text.ends_with('}');
    if is_own { Ok(()) } else { Err(format!("another's answer, or none: {text}")) }
}

/// What a stream must be: events of its own tag, numbered from 0, an end that counts them, `[DONE]`.
#[derive(Default)]
struct Events {
    tag: u64,
    seen: u64,
    has_end: bool,
    is_done: bool,
}

impl Events {
    fn take(&mut self, event: &str, on_event: &mut impl FnMut(u64)) -> Result<(), String> {
        let data: Vec<_> = event.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
        let data = data.join("\n");
        let is_own = value_of(&data, "tag").is_some_and(|own| own == self.tag.to_string());
        let own = |name| value_of(&data, name).filter(|_| is_own && !self.is_done).map(number);
        match (own("event"), own("end")) {
            // A comment, which keeps a silent connection open.
            _ if data.is_empty() => {}
            _ if data == "[DONE]" && self.has_end && !self.is_done => self.is_done = true,
            (Some(at), None) if at == self.seen && !self.has_end => {
                self.seen += 1;
                on_event(own("at").unwrap_or_default());
            }
            (None, Some(count)) if count == self.seen && !self.has_end => self.has_end = true,
            _ => return Err(format!("after {} events: {data}", self.seen)),
        }
        Ok(())
    }

    fn finish(self, rest: &str) -> Result<u64, String> {
        if self.is_done && rest.is_empty() {
            Ok(self.seen)
        } else {
            Err(format!("ends after {} events: {rest:?}", self.seen))
        }
    }
}

/// A GET of the API's own control paths.
fn control(origin: &str, target: &str) -> String {
    let ask = || {
        let address = origin.trim_start_matches("http://");
        let mut wire = Wire::connect(address)?;
        write!(wire.stream, "GET {target} HTTP/1.1\r\nHost: {address}\r\n\r\n")?;
        let head = wire.head()?.ok_or_else(|| ended("before any byte"))?;
        let (mut body, mut text) = (Body::of(&head), Vec::new());
        while let Some(piece) = wire.piece(&mut body)? {
            text.extend(piece);
        }
        io::Result::Ok(String::from_utf8_lossy(&text).into_owned())
    };
    ask().unwrap_or_else(|e| panic!("the API's {target}: {e}"))
}

// ---- HTTP, of either side

struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
    from: usize,
}

struct Head {
    start: String,
    fields: Vec<(String, String)>,
}

enum Body {
    Chunked {
        left: usize,
        is_first: bool,
    },
    Length(usize),
    /// Until the other side closes.
    Open,
}

impl Wire {
    fn new(stream: TcpStream) -> io::Result<Wire> {
        stream.set_nodelay(true)?;
        Ok(Wire { stream, buffer: Vec::new(), from: 0 })
    }

    fn connect(address: &str) -> io::Result<Wire> {
        let stream = TcpStream::connect(address)?;
        // What takes longer counts as lost.
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        Wire::new(stream)
    }

    /// Whether a kept connection may be used: the other side has not closed it, nor said anything unasked.
    fn is_open(&self) -> bool {
        let is_quiet = self.stream.set_nonblocking(true).is_ok()
            && self.stream.peek(&mut [0]).is_err_and(|e| e.kind() == ErrorKind::WouldBlock);
        is_quiet && self.buffer.len() == self.from && self.stream.set_nonblocking(false).is_ok()
    }

    /// Reads more; 0 is the end.
    fn fill(&mut self) -> io::Result<usize> {
        let mut piece = [0; 4096];
        if self.from == self.buffer.len() {
            self.buffer.clear();
            self.from = 0;
        }
        let length = self.stream.read(&mut piece)?;
        self.buffer.extend(&piece[..length]);
        Ok(length)
    }

    fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(length) = self.buffer[self.from..].iter().position(|byte| *byte == b'\n') {
                let line = String::from_utf8_lossy(&self.buffer[self.from..self.from + length]).trim_end().to_owned();
                self.from += length + 1;
                return Ok(line);
            }
            if self.fill()? == 0 {
                return Err(ended("within a line"));
            }
        }
    }

    /// None: the other side closed between two messages.
    fn head(&mut self) -> io::Result<Option<Head>> {
        if self.from == self.buffer.len() && self.fill()? == 0 {
            return Ok(None);
        }
        let (start, mut fields) = (self.line()?, Vec::new());
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else { return Ok(Some(Head { start, fields })) };
            fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    /// The next bytes of a body as they arrive; None at its end.
    fn piece(&mut self, body: &mut Body) -> io::Result<Option<Vec<u8>>> {
        if let Body::Chunked { left: left @ 0, is_first } = body {
            if !std::mem::take(is_first) && !self.line()?.is_empty() {
                return Err(ended("within a chunk that is longer than it says"));
            }
            let size = self.line()?;
            *left = usize::from_str_radix(size.split(';').next().unwrap_or_default(), 16)
                .map_err(|_| ended("within a chunk size"))?;
            if *left == 0 {
                while !self.line()?.is_empty() {}
                *body = Body::Length(0);
            }
        }
        if matches!(body, Body::Length(0)) {
            return Ok(None);
        }
        if self.from == self.buffer.len() && self.fill()? == 0 {
            return if matches!(body, Body::Open) { Ok(None) } else { Err(ended("within the body")) };
        }
        let here = self.buffer.len() - self.from;
        let length = match body {
            Body::Chunked { left, .. } | Body::Length(left) => here.min(*left),
            Body::Open => here,
        };
        if let Body::Chunked { left, .. } | Body::Length(left) = body {
            *left -= length;
        }
        self.from += length;
        Ok(Some(self.buffer[self.from - length..self.from].to_vec()))
    }
}

impl Head {
    fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    fn status(&self) -> u64 {
        number(self.start.split(' ').nth(1).unwrap_or_default())
    }

    fn says_close(&self) -> bool {
        self.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

impl Body {
    fn of(head: &Head) -> Body {
        if head.field("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
            return Body::Chunked { left: 0, is_first: true };
        }
        match head.field("content-length") {
            Some(length) => Body::Length(number(length) as usize),
            None if head.start.starts_with("HTTP/") => Body::Open,
            None => Body::Length(0),
        }
    }
}

fn ended(place: &str) -> io::Error {
    io::Error::new(ErrorKind::UnexpectedEof, format!("the connection ended {place}"))
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no thread panics while it holds it")
}

fn now_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

// ---- the fake API

/// Keys are `sk-NAME-VERSION`, access tokens `at-NAME-VERSION`: NAME is what faults and counters go by. A prompt says what
/// its answer shall be: `tag=T` comes back in it, `events=N every_ms=M` or `hold=1` is for streams.
struct Api {
    agent: Option<String>,
    accounts: Mutex<HashMap<String, Account>>,
    counts: Mutex<BTreeMap<(String, &'static str), u64>>,
    releases: AtomicU64,
}

#[derive(Default)]
struct Account {
    fault: Option<(Fault, u64)>,
    /// Versions of the key up to this one are unknown.
    retired: u64,
    /// The version of the newest token, and when it was issued; the refresh token has the same.
    token: u64,
    issued: Option<Instant>,
    is_revoked: bool,
}

#[derive(Clone, Copy)]
enum Fault {
    Close,
    Drop,
    Slow,
    Status(u16, &'static str),
}

const TOKEN_LIFE: Duration = Duration::from_secs(20);
const UNKNOWN: Fault = Fault::Status(401, "401");

fn api(agent: Option<String>) -> bool {
    let api = Api { agent, accounts: Mutex::default(), counts: Mutex::default(), releases: AtomicU64::new(0) };
    let api: &'static Api = Box::leak(Box::new(api));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port on loopback");
    // The standard library asks for 128, and a SYN too many waits for a second: the gateway would be charged with it.
    // SAFETY: the descriptor is open, and a second listen() only sets the length.
    unsafe { listen(listener.as_raw_fd(), 4096) };
    println!("listening on http://{}", listener.local_addr().expect("a bound socket"));
    for stream in listener.incoming() {
        let serve = move || stream.and_then(|stream| api.serve(Wire::new(stream)?));
        if let Err(e) = thread::Builder::new().stack_size(STACK_BYTES).spawn(serve) {
            eprintln!("load: no thread for a connection: {e}");
        }
    }
    true
}

unsafe extern "C" {
    fn listen(descriptor: i32, backlog: i32) -> i32;
}

impl Api {
    fn serve(&self, mut wire: Wire) -> io::Result<()> {
        while let Some(head) = wire.head()? {
            let (mut body, mut bytes) = (Body::of(&head), Vec::new());
            while let Some(piece) = wire.piece(&mut body)? {
                bytes.extend(piece);
            }
            let text = String::from_utf8_lossy(&bytes);
            let target = head.start.split(' ').nth(1).unwrap_or_default();
            match target.split('?').next().unwrap_or_default() {
                "/v1/chat/completions" => {
                    if !self.chat(&mut wire, &head, &text)? {
                        return wire.stream.shutdown(Shutdown::Both);
                    }
                }
                "/v1/models" => self.models(&mut wire, &head)?,
                "/token" => self.refresh(&mut wire, &text)?,
                "/_counters" => answer(&mut wire, 200, "", &self.counters())?,
                "/_fault" | "/_release" | "/_retire" | "/_version" => {
                    let said = self.control(target);
                    answer(&mut wire, 200, "", &said)?;
                }
                _ => answer(&mut wire, 404, "", r#"{"error":{"message":"no such path"}}"#)?,
            }
        }
        Ok(())
    }

    /// False: the connection ends here, without a word.
    fn chat(&self, wire: &mut Wire, head: &Head, text: &str) -> io::Result<bool> {
        let (name, verdict) = self.judge(head);
        self.count(&name, "asked");
        let is_direct = head.field("authorization").is_some_and(|value| value.ends_with(DIRECT_KEY));
        if !is_direct && head.fields.iter().any(|(_, value)| value.contains("kf-")) {
            self.count(&name, "leaked");
        }
        if let Some(agent) = self.agent.as_deref().filter(|agent| !is_direct && head.field("user-agent") != Some(agent)) {
            self.count(&name, "agent");
            answer(wire, 400, "", &format!(r#"{{"error":{{"message":"the user agent is not {agent}"}}}}"#))?;
            return Ok(true);
        }
        match verdict {
            Some(Fault::Status(status, outcome)) => {
                self.count(&name, outcome);
                let field = if status == 429 { "Retry-After: 1\r\n" } else { "" };
                answer(
                    wire,
                    status,
                    field,
                    &format!(r#"{{"error":{{"message":"fault {outcome}","code":"fault_{outcome}"}}}}"#),
                )?;
                return Ok(true);
            }
            Some(Fault::Drop) => {
                self.count(&name, "drop");
                return Ok(false);
            }
            Some(Fault::Slow) => thread::sleep(Duration::from_secs(2)),
            Some(Fault::Close) | None => {}
        }
        let tag = value_of(text, "tag").unwrap_or_default();
        if text.contains(r#""stream":true"#) {
            self.stream(wire, tag, text).inspect_err(|_| self.count(&name, "hung_up"))?;
        } else {
            answer(wire, 200, "", &completion(tag))?;
        }
        self.count(&name, "ok");
        Ok(!matches!(verdict, Some(Fault::Close)))
    }

    fn stream(&self, wire: &mut Wire, tag: &str, text: &str) -> io::Result<()> {
        let every = Duration::from_millis(value_of(text, "every_ms").map_or(0, number));
        let (count, releases) = (value_of(text, "events").map_or(1, number), self.releases.load(Relaxed));
        let is_held = value_of(text, "hold").is_some();
        let is_over = |sent| if is_held { self.releases.load(Relaxed) > releases } else { sent >= count };
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
        wire.stream.write_all(head.as_bytes())?;
        let mut sent = 0;
        while !is_over(sent) {
            if sent > 0 {
                thread::sleep(every);
            }
            event(wire, &delta(&format!("tag={tag} event={sent} at={} ", now_us()), "null"))?;
            sent += 1;
        }
        event(wire, &delta(&format!("tag={tag} end={sent} "), "\"stop\""))?;
        event(wire, "[DONE]")?;
        wire.stream.write_all(b"0\r\n\r\n")
    }

    /// Whose request it is, and what is wrong with it, if anything is.
    fn judge(&self, head: &Head) -> (String, Option<Fault>) {
        let key = head.field("authorization").and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
        let mut parts = key.split('-');
        let (kind, name) = (parts.next().unwrap_or_default(), parts.next().unwrap_or("nobody").to_owned());
        let version = number(parts.next().unwrap_or_default());
        let mut accounts = locked(&self.accounts);
        let account = accounts.entry(name.clone()).or_default();
        let is_live = account.issued.is_some_and(|issued| issued.elapsed() < TOKEN_LIFE) && !account.is_revoked;
        let is_known = match kind {
            "at" => is_live && version == account.token,
            "sk" if version <= account.retired => {
                self.count(&name, "retired");
                false
            }
            "sk" => version > 0,
            _ => false,
        };
        if !is_known {
            return (name, Some(UNKNOWN));
        }
        let fault = account.fault.take();
        account.fault = fault.and_then(|(fault, left)| (left > 1).then_some((fault, left - 1)));
        (name, fault.map(|(fault, _)| fault))
    }

    fn models(&self, wire: &mut Wire, head: &Head) -> io::Result<()> {
        let is_known = head.field("authorization").is_some_and(|value| value.starts_with("Bearer "));
        let list = format!(r#"{{"object":"list","data":[{{"id":"{MODEL}","object":"model","owned_by":"bench"}}]}}"#);
        answer(wire, if is_known { 200 } else { 401 }, "", &list)
    }

    /// A refresh token is good for one use.
    fn refresh(&self, wire: &mut Wire, text: &str) -> io::Result<()> {
        let token = text.split('&').find_map(|pair| pair.strip_prefix("refresh_token=rt-"));
        let (name, version) = token.and_then(|token| token.split_once('-')).unwrap_or(("nobody", ""));
        let mut accounts = locked(&self.accounts);
        let account = accounts.entry(name.to_owned()).or_default();
        if version != account.token.to_string() {
            drop(accounts);
            self.count(name, "reused");
            return answer(wire, 400, "", r#"{"error":"invalid_grant"}"#);
        }
        account.token += 1;
        account.issued = Some(Instant::now());
        account.is_revoked = false;
        let (next, life_s) = (account.token, TOKEN_LIFE.as_secs());
        drop(accounts);
        self.count(name, "refresh");
        let grant = format!(
            r#"{{"access_token":"at-{name}-{next}","token_type":"Bearer","expires_in":{life_s},"refresh_token":"rt-{name}-{next}"}}"#
        );
        answer(wire, 200, "", &grant)
    }

    /// /_fault?key=K&kind=KIND&n=N: the next N requests of the account; 0 ends it. /_retire?key=K&through=VERSION.
    /// /_version?key=K: the last key in use, if each that is replaced is retired. /_release: ends the streams that are held.
    fn control(&self, target: &str) -> String {
        let of = |name| value_of(target, name).unwrap_or_default();
        let mut accounts = locked(&self.accounts);
        let account = accounts.entry(of("key").to_owned()).or_default();
        let fault = match of("kind") {
            "401" => Some(UNKNOWN),
            "429" => Some(Fault::Status(429, "429")),
            "500" => Some(Fault::Status(500, "500")),
            "close" => Some(Fault::Close),
            "drop" => Some(Fault::Drop),
            "slow" => Some(Fault::Slow),
            _ => None,
        };
        match target.split('?').next().unwrap_or_default() {
            "/_fault" if of("kind") == "revoke" => account.is_revoked = true,
            "/_fault" => account.fault = fault.map(|fault| (fault, number(of("n")))).filter(|(_, left)| *left > 0),
            "/_retire" => account.retired = number(of("through")),
            "/_version" => return (account.retired + 1).to_string(),
            _ => _ = self.releases.fetch_add(1, Relaxed),
        }
        "ok".to_owned()
    }

    fn counters(&self) -> String {
        locked(&self.counts).iter().map(|((name, what), count)| format!("{name} {what} {count}\n")).collect()
    }

    fn count(&self, name: &str, what: &'static str) {
        *locked(&self.counts).entry((name.to_owned(), what)).or_default() += 1;
    }
}

fn answer(wire: &mut Wire, status: u16, fields: &str, body: &str) -> io::Result<()> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{fields}\r\n");
    wire.stream.write_all((head + body).as_bytes())
}

/// About 1 KB.
fn completion(tag: &str) -> String {
    let text = "The quick brown fox jumps over the lazy dog. ".repeat(17);
    format!(
        r#"{{"id":"chatcmpl-{tag}","object":"chat.completion","created":1,"model":"{MODEL}","choices":[{{"index":0,"message":{{"role":"assistant","content":"tag={tag} {text}"}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":9,"completion_tokens":170,"total_tokens":179}}}}"#
    )
}

fn delta(content: &str, reason: &str) -> String {
    format!(
        r#"{{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"{MODEL}","choices":[{{"index":0,"delta":{{"content":"{content}"}},"finish_reason":{reason}}}]}}"#
    )
}

/// One event in one chunk, in one write.
fn event(wire: &mut Wire, data: &str) -> io::Result<()> {
    let event = format!("data: {data}\n\n");
    wire.stream.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes())
}
