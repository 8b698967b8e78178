//! `exec --gateway`: a gateway for one command alone. The command knows where it is and a stand-in key;
//! both are good for nothing once it ends.

use std::ffi::{OsStr, OsString};
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::account::AccountRef;
use crate::commands::exec::cannot_start;
use crate::commands::serve::{listen, timeout_s};
use crate::commands::{App, chosen_by_variable};
use crate::error::{Error, Result};
use crate::flows::environment;
use crate::flows::fresh::{self, Need};
use crate::flows::gateway::{Gateway, keys};
use crate::provider::{Dialect, Provider};
use crate::secret::Secret;
use crate::store::ClientKey;
use crate::term;
use crate::text;

/// How often a signal is looked for.
const LOOK: Duration = Duration::from_millis(50);

/// What the clients of a dialect read.
struct Variables {
    dialect: Dialect,
    /// Where the API is, with what belongs behind the gateway's own address.
    bases: &'static [(&'static str, &'static str)],
    keys: &'static [&'static str],
}

const OPENAI: &[(&str, &str)] = &[("OPENAI_BASE_URL", "/v1"), ("OPENAI_API_BASE", "/v1")];

const VARIABLES: [Variables; 4] = [
    Variables {
        dialect: Dialect::AnthropicMessages,
        bases: &[("ANTHROPIC_BASE_URL", "")],
        keys: &["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"],
    },
    Variables {
        dialect: Dialect::GeminiGenerateContent,
        bases: &[("GOOGLE_GEMINI_BASE_URL", "")],
        keys: &["GEMINI_API_KEY", "GOOGLE_API_KEY"],
    },
    Variables { dialect: Dialect::OpenaiChat, bases: OPENAI, keys: &["OPENAI_API_KEY"] },
    Variables {
        dialect: Dialect::OpenaiResponses,
        bases: OPENAI,
        keys: &["CODEX_API_KEY", "OPENAI_API_KEY"],
    },
];

/// Runs the command and ends with its status. Comes back only when it could not be started. `is_clean`:
/// it gets nothing of this environment but what it was given.
pub fn run(
    accounts: &[AccountRef],
    command: Command,
    is_clean: bool,
    program: &OsStr,
    timeout: Option<u64>,
    app: &App,
) -> Error {
    match start(accounts, command, is_clean, program, timeout, app) {
        Ok(status) => std::process::exit(exit_code(status)),
        Err(error) => error,
    }
}

fn start(
    accounts: &[AccountRef],
    mut command: Command,
    is_clean: bool,
    program: &OsStr,
    timeout: Option<u64>,
    app: &App,
) -> Result<ExitStatus> {
    let (mut rows, mut names) = (Vec::new(), Vec::new());
    for typed in accounts {
        let (row, name) = ready(typed, app)?;
        rows.push(row.clone());
        names.push(name);
    }
    let (kept, key) = keys::make("exec", names)?;
    let gateway =
        Gateway::private(app.store.again(), timeout_s(timeout), term::warn, kept.clone())?;
    let gateway = Arc::new(gateway);
    let dialects = dialects(&gateway, &kept)?;
    let running = listen(&gateway, ([127, 0, 0, 1], 0).into(), false, true)?;
    let base = format!("http://{}", running.address());
    dress(&mut command, is_clean, &rows, &dialects, &base, &key);
    let signals = Signals::hear()?;
    let upkeep = Arc::clone(&gateway);
    thread::spawn(move || upkeep.keep_up(|| false));
    let mut child =
        command.spawn().map_err(|error| cannot_start(&error, &program.to_string_lossy()))?;
    signals.pass_on(&child);
    wait(&mut child, program)
}

fn wait(child: &mut Child, program: &OsStr) -> Result<ExitStatus> {
    child.wait().map_err(|error| {
        let program = text::harmless(&program.to_string_lossy(), 200);
        Error::failed(format!("cannot wait for {program}: {}", text::cause(&error)))
    })
}

/// Whose accounts are meant, as a key is bound to them: one of them at least can be used now, or the
/// command would only hear of the sign-in that is missing.
fn ready<'a>(typed: &AccountRef, app: &'a App) -> Result<(&'a Provider, String)> {
    let default = app.signed_in_account(typed)?;
    let row = app.providers.get(&default.provider)?;
    let is_one = typed.account.is_some() || chosen_by_variable(&row.id).is_some();
    let mut ids = vec![default.clone()];
    if !is_one {
        let others = app.store.accounts(&row.id)?;
        ids.extend(others.into_iter().filter(|id| *id != default));
    }
    let mut first_error = None;
    for id in &ids {
        match fresh::credential(id, Need::Usual, &app.tools()) {
            Ok(_) => {
                let name = if is_one { default.to_string() } else { row.id.clone() };
                return Ok((row, name));
            }
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    Err(first_error.unwrap_or_else(|| fresh::nobody(&default)))
}

/// What the accounts of this key speak.
fn dialects(gateway: &Gateway, key: &ClientKey) -> Result<Vec<Dialect>> {
    let roster = gateway.roster();
    let named = roster.members.iter().filter(|member| key.is_good_for(&member.id));
    let spoken = |dialect: &Dialect| named.clone().any(|member| member.face(*dialect).is_some());
    let all = VARIABLES.map(|variables| variables.dialect);
    let dialects: Vec<_> = all.into_iter().filter(spoken).collect();
    if dialects.is_empty() {
        let what = format!("{} has no API that a gateway could serve", text::list(&key.providers));
        return Err(Error::usage(what).or_try("keyfob provider list"));
    }
    Ok(dialects)
}

/// The variables of the command. Those of the providers themselves may hold a token, and go.
fn dress(
    command: &mut Command,
    is_clean: bool,
    rows: &[Provider],
    dialects: &[Dialect],
    base: &str,
    key: &Secret,
) {
    for name in rows.iter().flat_map(environment::names) {
        command.env_remove(name);
    }
    for variables in VARIABLES.iter().filter(|variables| dialects.contains(&variables.dialect)) {
        for (name, path) in variables.bases {
            command.env(name, format!("{base}{path}"));
        }
        for name in variables.keys {
            command.env(name, key.expose());
        }
    }
    // A gateway on loopback is reached without a proxy.
    for name in ["NO_PROXY", "no_proxy"] {
        let kept = command.get_envs().find(|(known, _)| *known == name);
        let kept = kept.and_then(|(_, value)| value.map(OsStr::to_os_string));
        let inherited = || std::env::var_os(name).filter(|_| !is_clean);
        let known = kept.or_else(inherited).unwrap_or_default();
        let mut value = OsString::from("127.0.0.1");
        if !known.is_empty() {
            value.push(",");
            value.push(known);
        }
        command.env(name, value);
    }
}

/// 128 and the signal, as a shell has it.
fn exit_code(status: ExitStatus) -> i32 {
    #[cfg(unix)]
    {
        use std::os::unix::process::ExitStatusExt;
        if let Some(signal) = status.signal() {
            return 128 + signal;
        }
    }
    status.code().unwrap_or(1)
}

/// The set of signals that this process was started to ignore, where the system tells.
#[cfg(unix)]
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let set = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).unwrap_or(0)
}

/// Signals that would end this process before the command, and the gateway under its feet.
struct Signals(Vec<(&'static str, Arc<AtomicBool>)>);

impl Signals {
    /// From now on they are noted and do nothing else.
    #[cfg(unix)]
    fn hear() -> Result<Signals> {
        use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
        let mut heard = Vec::new();
        let ignored = ignored();
        let all = [("HUP", SIGHUP), ("INT", SIGINT), ("QUIT", SIGQUIT), ("TERM", SIGTERM)];
        // Whoever ignores one here (`nohup`, a shell's `&`) means the command, which inherits that.
        for (name, number) in all.into_iter().filter(|(_, n)| ignored >> (n - 1) & 1 == 0) {
            let flag = Arc::new(AtomicBool::new(false));
            signal_hook::flag::register(number, Arc::clone(&flag)).map_err(|error| {
                Error::failed(format!("no signal can be heard: {}", text::cause(&error)))
            })?;
            // A terminal sends these to the command as well.
            if name == "HUP" || name == "TERM" {
                heard.push((name, flag));
            }
        }
        Ok(Signals(heard))
    }

    #[cfg(not(unix))]
    fn hear() -> Result<Signals> {
        Ok(Signals(Vec::new()))
    }

    /// What is sent to this process is meant for the command.
    fn pass_on(self, child: &Child) {
        let pid = child.id().to_string();
        thread::spawn(move || {
            loop {
                thread::sleep(LOOK);
                for (name, flag) in &self.0 {
                    if flag.swap(false, Ordering::SeqCst) {
                        // The standard library can only kill; where this program is missing, the
                        // command goes on until it is told otherwise.
                        let _ = Command::new("kill").args(["-s", name, &pid]).status();
                    }
                }
            }
        });
    }
}
