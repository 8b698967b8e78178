//! What the soak does to the gateway's accounts and files while the load runs: the hands of figure 4.

use std::{
    collections::{BTreeMap, HashSet},
    fs,
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use crate::{
    client::control,
    common::{locked, now_us, number},
};

/// The gateway sees a changed file within a second; so long after it, an old key counts.
const GRACE: Duration = Duration::from_secs(2);
const KEYS: [&str; 3] = ["key1", "key2", "key3"];
pub const ACCOUNTS: [&str; 5] = ["key1", "key2", "key3", "oauth1", "oauth2"];

pub struct Soak {
    pub api: String,
    pub keyfob: PathBuf,
    pub home: PathBuf,
    pub taken: Mutex<HashSet<&'static str>>,
    /// What was done, and how often.
    pub done: Mutex<BTreeMap<String, u64>>,
    pub end: Instant,
    /// False once a command of keyfob failed.
    pub is_whole: AtomicBool,
}

impl Soak {
    /// One hand: a random trouble at an account that nobody else troubles.
    pub fn make_trouble(&self, mut random: Random) {
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
    pub fn rewrite(&self, mut random: Random) {
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
        let (path, beside) =
            (self.home.join(format!("accounts/fake/{name}.json")), self.home.join("rewrite"));
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
        self.run(
            &["login", &format!("fake/{name}"), "--api-key-stdin"],
            &format!("sk-{name}-{version}"),
        );
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
    let child = Command::new(keyfob)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.map_err(|e| e.to_string())?;
    let written = child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().map_err(|e| e.to_string())?;
    match output.status.success() && matches!(written, Some(Ok(()))) {
        true => Ok(()),
        false => Err(format!(
            "{}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim_end()
        )),
    }
}

/// xorshift64*, seeded by the clock.
pub struct Random(u64);

impl Random {
    pub fn new(salt: u64) -> Random {
        Random(now_us().wrapping_mul(2 * salt + 1) | 1)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % end
    }
}
