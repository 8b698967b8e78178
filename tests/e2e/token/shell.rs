//! The product started in ways the kit's command does not know: through a shell, and as another
//! user.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::command::Output;
use crate::support::running::Running;
use crate::support::sandbox::Sandbox;

const BINARY: &str = env!("CARGO_BIN_EXE_keyfob");
const LIMIT: Duration = Duration::from_secs(60);

/// Whom tests become where root's powers would hide what they look for.
pub const NOBODY: u32 = 65534;

pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
}

/// Runs a shell script in which `"$@"` is the product with these arguments.
#[track_caller]
pub fn shell(home: &Sandbox, script: &str, arguments: &[&str]) -> Output {
    start(home, script, arguments).wait(LIMIT)
}

/// Runs the product without root's powers, and lets that user have the sandbox first.
#[track_caller]
pub fn as_somebody(home: &Sandbox, arguments: &[&str]) -> Output {
    if !is_root() {
        return shell(home, "exec \"$@\"", arguments);
    }
    give_away(&sandbox_root(home));
    as_nobody(home, arguments)
}

/// As root only: the product as `NOBODY`. The binary is opened first, as it may lie in a folder
/// that this user cannot enter.
#[track_caller]
pub fn as_nobody(home: &Sandbox, arguments: &[&str]) -> Output {
    let become_nobody = format!("setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups");
    let script = format!(
        "exec 9<\"$1\"; shift; exec {become_nobody} --inh-caps=-all /proc/self/fd/9 \"$@\""
    );
    shell(home, &script, arguments)
}

/// Makes `NOBODY` the owner of a folder and all that is in it.
pub fn give_away(folder: &Path) {
    chown(folder, Some(NOBODY), Some(NOBODY))
        .unwrap_or_else(|e| panic!("chown {}: {e}", folder.display()));
    if folder.is_symlink() || !folder.is_dir() {
        return;
    }
    for entry in fs::read_dir(folder).expect("a folder of ours").flatten() {
        give_away(&entry.path());
    }
}

pub fn sandbox_root(home: &Sandbox) -> std::path::PathBuf {
    home.work().parent().expect("the sandbox holds its work folder").to_path_buf()
}

#[track_caller]
fn start(home: &Sandbox, script: &str, arguments: &[&str]) -> Running {
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh", BINARY]).args(arguments);
    command.env_clear().current_dir(home.work());
    command.env("HOME", home.user_home()).env("KEYFOB_HOME", home.home()).env("LANG", "C.UTF-8");
    command.env("PATH", std::env::var("PATH").unwrap_or_default());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
    let shown = format!("keyfob {} ({script})", arguments.join(" "));
    let mut running = Running::new(shown, home.home(), child);
    running.close_stdin();
    running
}
