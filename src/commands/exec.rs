use std::ffi::OsString;
use std::io::ErrorKind;
use std::process::Command;

use argh::{ArgsInfo, FromArgs};

use crate::account::AccountRef;
use crate::commands::App;
use crate::commands::serve::private;
use crate::error::{Error, Result};
use crate::flows::environment::Variable;
use crate::text;

/// What a program needs to find its files, its terminal and its words; nothing that is a secret.
const KEPT: [&str; 17] = [
    "COLORTERM",
    "HOME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "LOGNAME",
    "NO_COLOR",
    "PATH",
    "PWD",
    "SHELL",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TERM",
    "TMPDIR",
    "TZ",
    "USER",
    "XDG_RUNTIME_DIR",
];

/// Runs a command with the variables that the providers' own tools read.
#[derive(ArgsInfo, FromArgs)]
#[argh(
    subcommand,
    name = "exec",
    help_triggers("-h", "--help"),
    example = "keyfob exec openai -- codex exec \"say hello\"\n\
               keyfob exec claude/work my-idp -- ./job.sh\n\
               keyfob exec --gateway claude -- claude",
    note = "What stands after -- is run as it is, in place of keyfob; its exit status is\n\
            passed on. 127: there is no such command. 126: it cannot be run.\n\
            A variable is a snapshot: a long job asks keyfob token again. With --gateway\n\
            the token stays here, and fresh, and the command never sees it."
)]
pub struct Exec {
    /// whose variables: PROVIDER or PROVIDER/ACCOUNT, one or more
    #[argh(positional)]
    accounts: Vec<AccountRef>,

    /// start a gateway for the command alone: it gets base URLs and a stand-in key, and no token
    #[argh(switch)]
    gateway: bool,

    /// give the command nothing of this environment but PATH, HOME, TERM and their like
    #[argh(switch)]
    clean_env: bool,

    /// with --clean-env: keep this variable too
    #[argh(option, arg_name = "name")]
    keep: Vec<String>,

    /// longest wait for one network request, 30 by default
    #[argh(option, arg_name = "seconds")]
    timeout: Option<u64>,

    /// errors as one JSON object on the last line of stderr
    #[argh(switch)]
    #[expect(dead_code, reason = "the error report looks for the flag itself")]
    json: bool,
}

/// `tail` is what stood after `--`, untouched.
pub fn run(args: &Exec, tail: &[OsString]) -> Result<()> {
    let Some((program, arguments)) = tail.split_first() else {
        return Err(Error::usage("which command?").or_try("keyfob exec PROVIDER -- COMMAND"));
    };
    if args.accounts.is_empty() {
        return Err(Error::usage("whose variables?").or_try("keyfob exec PROVIDER -- COMMAND"));
    }
    let app = App::new(args.timeout)?;
    let mut command = Command::new(program);
    command.args(arguments);
    if args.clean_env {
        let is_kept =
            |name: &str| KEPT.contains(&name) || args.keep.iter().any(|kept| kept == name);
        command.env_clear();
        // Names that are no text are nobody's to keep.
        let kept = std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_kept));
        command.envs(kept);
    }
    if args.gateway {
        return Err(private::run(
            &args.accounts,
            command,
            args.clean_env,
            program,
            args.timeout,
            &app,
        ));
    }
    for account in &args.accounts {
        for Variable { name, value } in app.variables(account)? {
            command.env(name, value.expose());
        }
    }
    Err(cannot_start(&replace(command), &program.to_string_lossy()))
}

/// The command in place of this process, so that signals and the status are its own. Comes back
/// only when it could not be started.
#[cfg(unix)]
fn replace(mut command: Command) -> std::io::Error {
    use std::os::unix::process::CommandExt;
    command.exec()
}

#[cfg(not(unix))]
fn replace(mut command: Command) -> std::io::Error {
    match command.status() {
        Ok(status) => std::process::exit(status.code().unwrap_or(1)),
        Err(error) => error,
    }
}

/// Of a command that is not to be had, or not to be run.
pub fn cannot_start(error: &std::io::Error, program: &str) -> Error {
    let status = if error.kind() == ErrorKind::NotFound { 127 } else { 126 };
    let what = format!("cannot run {}: {}", text::harmless(program, 200), text::cause(error));
    Error::Child { what, status }
}
