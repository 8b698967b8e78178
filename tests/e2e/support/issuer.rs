//! The test issuer as a program of its own, for demos and shell scripts:
//! `issuer [--port N] [--lifetime SECONDS] [--row ROW.json]`.
//!
//! The first line of stdout is `listening on http://127.0.0.1:PORT`. Beside the issuer's own paths
//! it answers `GET /_counters`, `/_complaints`, `/_requests`, and
//! `POST /_device?user_code=C&do=approve|deny|expire`, `/_fault?role=R&kind=K&times=N|always`,
//! `/_clear`, `/_expire`, `/_identity?email=E&sub=S`, `/_overlay` (send `provider list --json`, get
//! the config.json that points every row here). A device code is also approved on its own page.
//! Kinds: body cut delay drop empty error hang html lost patch redirect retry status trickle
//! truncated; further parameters `status`, `ms`, `code`, `to`, `after`, `type`, and the body.

use std::io::Write;
use std::process::ExitCode;

#[allow(dead_code, reason = "it ends by a signal, and all it hears are its callers' names")]
mod agent;
#[path = "idp/mod.rs"]
mod idp;

use idp::{Dialect, Idp};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("issuer: {text}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &[String]) -> Result<(), String> {
    let mut port = 0;
    let mut lifetime_s = 3600;
    let mut dialect = Dialect::oidc();
    for pair in arguments.chunks(2) {
        let [name, value] = pair else { return Err(format!("{} needs a value", pair[0])) };
        let bad = |e: &dyn std::fmt::Display| format!("{name} {value}: {e}");
        match name.as_str() {
            "--lifetime" => lifetime_s = value.parse().map_err(|e| bad(&e))?,
            "--port" => port = value.parse().map_err(|e| bad(&e))?,
            "--row" => {
                let text = std::fs::read_to_string(value).map_err(|e| bad(&e))?;
                let row = serde_json::from_str(&text).map_err(|e| bad(&e))?;
                dialect = Dialect::from_row(&row, None);
            }
            _ => return Err(format!("unknown option {name}")),
        }
    }
    let idp = Idp::start_on(port, dialect);
    idp.set_access_lifetime(lifetime_s);
    let mut stdout = std::io::stdout();
    writeln!(stdout, "listening on {}", idp.origin()).map_err(|e| e.to_string())?;
    stdout.flush().map_err(|e| e.to_string())?;
    // The server's threads do the rest; a signal ends it.
    loop {
        std::thread::park();
    }
}
