//! From argv to a command and to its exit code. Each file here is Args (doc comments are the help),
//! the JSON shape, and `run`.

mod account;
mod argv;
mod audit;
mod auth_test;
mod child;
mod completions;
mod config;
mod doctor;
mod elsewhere;
mod env;
mod exec;
mod git_credential;
mod hand_out;
mod login;
mod logout;
mod mcp_proxy;
mod models;
mod pending;
mod provider;
mod refresh;
mod run;
mod serve;
mod setup;
mod source;
mod status;
mod token;
mod transfer;
mod use_account;
mod version;

use std::ffi::OsString;
use std::fmt;
use std::panic::{self, PanicHookInfo};
use std::process::ExitCode;
use std::time::Duration;

use argh::{ArgsInfo, FromArgs};
use serde_json::json;

use crate::account::{AccountId, AccountRef};
use crate::error::{Error, Result};
use crate::flows::fresh::Tools;
use crate::net::client::Client;
use crate::provider::Providers;
use crate::store::Store;
use crate::term;

/// One request may take this long, unless `--timeout` says otherwise.
const TIMEOUT_S: u64 = 30;

/// Signs you in to AI providers and OAuth issuers, keeps one private file per
/// account, and hands fresh tokens to scripts.
#[derive(ArgsInfo, FromArgs)]
#[argh(
    help_triggers("-h", "--help"),
    example = "keyfob login claude\nkeyfob login claude --no-browser\nkeyfob token claude",
    example = "url=$(keyfob login claude --print-auth-url --accept-terms)\n\
               pbpaste | ssh server keyfob login --callback-url -",
    note = "State lives in $KEYFOB_HOME, else $XDG_CONFIG_HOME/keyfob.\n\
            Other variables: BROWSER, NO_BROWSER, HTTPS_PROXY, NO_PROXY, KEYFOB_CA_FILE,\n\
            SSL_CERT_FILE, KEYFOB_LOG=debug, KEYFOB_ACCOUNT_PROVIDER=ACCOUNT.",
    error_code(0, "done"),
    error_code(1, "failed"),
    error_code(2, "usage, or a question would have been needed"),
    error_code(3, "temporary: network, time-out, 5xx, 429"),
    error_code(4, "sign-in needed"),
    error_code(5, "a file of keyfob is unreadable, damaged, locked or cannot be written"),
    error_code(6, "the pending login is unknown, expired, used, or still waiting"),
    error_code(130, "interrupted")
)]
struct Top {
    /// print the version
    #[argh(switch, short = 'V')]
    version: bool,

    #[argh(subcommand)]
    command: Option<Command>,
}

#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand)]
enum Command {
    Account(account::AccountArgs),
    Audit(audit::Audit),
    AuthTest(auth_test::AuthTest),
    Completions(completions::Completions),
    Doctor(doctor::Doctor),
    Env(env::Env),
    Config(config::ConfigArgs),
    Exec(exec::Exec),
    Export(transfer::Export),
    Import(transfer::Import),
    GitCredential(git_credential::GitCredential),
    Login(login::Login),
    Logout(logout::Logout),
    McpProxy(mcp_proxy::McpProxy),
    Models(models::Models),
    Pending(pending::Pending),
    Provider(provider::ProviderArgs),
    Refresh(refresh::Refresh),
    Run(run::Run),
    Serve(serve::Serve),
    Setup(setup::Setup),
    Source(source::Source),
    Status(status::Status),
    Token(token::Token),
    Use(use_account::Use),
    Version(version::Version),
}

/// What the commands share. Nothing is read or opened before it is needed.
pub struct App {
    pub client: Client,
    pub providers: Providers,
    pub store: Store,
    timeout_s: u64,
}

impl App {
    fn new(timeout_s: Option<u64>) -> Result<App> {
        Ok(App::with(Store::open()?, timeout_s))
    }

    fn with(store: Store, timeout_s: Option<u64>) -> App {
        let timeout_s = timeout_s.unwrap_or(TIMEOUT_S).clamp(1, 3_600);
        let rows_of = store.again();
        App {
            client: Client::new(timeout_s),
            providers: Providers::new(move || Ok(rows_of.rows(&rows_of.config()?)), term::warn),
            store,
            timeout_s,
        }
    }

    /// For an MCP server: one out in the world cannot send us to an address of a private network.
    pub fn for_server(store: Store, timeout_s: Option<u64>, url: &str) -> App {
        let mut app = App::with(store, timeout_s);
        if let Some(guarded) = app.client.guarded_for(Some(url)) {
            app.client = guarded;
        }
        app
    }

    pub fn tools(&self) -> Tools<'_> {
        Tools {
            client: &self.client,
            providers: &self.providers,
            store: &self.store,
            // Whoever holds the lock may be waiting for an answer as long as we would.
            lock_limit: Duration::from_secs(self.timeout_s + 10),
        }
    }

    /// Which account was meant: the name given, else `KEYFOB_ACCOUNT_<PROVIDER>`, else the default.
    /// None: nobody is signed in to the provider. Neither the table of providers nor the settings
    /// are read when the provider's folder holds one account.
    pub fn account(&self, typed: &AccountRef) -> Result<Option<AccountId>> {
        let mut provider = typed.provider.clone();
        let mut accounts = self.store.accounts(&provider)?;
        if accounts.is_empty() && typed.server.is_none() {
            provider.clone_from(&self.providers.get(&typed.provider)?.id);
            accounts = self.store.accounts(&provider)?;
        }
        if let Some(account) = typed.account.clone().or_else(|| chosen_by_variable(&provider)) {
            return Ok(Some(AccountId { provider, account }));
        }
        match accounts.as_slice() {
            [] => Ok(None),
            [only] => Ok(Some(only.clone())),
            several => self.store.default_of(several).map(Some),
        }
    }

    /// Like `account`; nobody signed in is an error that says how to.
    pub fn signed_in_account(&self, typed: &AccountRef) -> Result<AccountId> {
        self.account(typed)?.ok_or_else(|| self.nobody_of_our_own(typed))
    }
}

/// `KEYFOB_ACCOUNT_MY_IDP` for `my-idp`.
pub fn chosen_by_variable(provider: &str) -> Option<String> {
    let name = format!("KEYFOB_ACCOUNT_{}", crate::text::variable_name(provider));
    std::env::var(name).ok().filter(|account| !account.is_empty())
}

pub fn nobody(typed: &AccountRef) -> Error {
    Error::SignIn {
        account: typed.to_string(),
        why: "nobody is signed in".to_owned(),
        next: typed.login_command(),
    }
}

/// Runs the command line; prints the error, if any, and gives the exit code.
pub fn main() -> ExitCode {
    panic::set_hook(Box::new(tell_panic));
    let wants_json = std::env::args_os().take_while(|arg| arg != "--").any(|arg| arg == "--json");
    let outcome =
        panic::catch_unwind(|| argv::arguments().and_then(|(args, tail)| run(&args, &tail)));
    match outcome
        .unwrap_or_else(|_| Err(Error::failed("this is a bug of keyfob, please report it")))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error, wants_json);
            ExitCode::from(error.exit_code())
        }
    }
}

/// One line, never a backtrace. A panic of tiny_http's threads (a client that resets its connection
/// before it is accepted) ends that connection and is of no interest to the person.
fn tell_panic(panic: &PanicHookInfo) {
    if std::thread::current().name() == Some("main") {
        let place = panic.location().map_or(String::new(), |place| format!(" at {place}"));
        term::say(&format!("keyfob: internal error{place}"));
    }
}

fn report(error: &Error, wants_json: bool) {
    term::say(&format!("keyfob: {error}"));
    if let Some(next) = error.next() {
        term::say(&format!("  try: {next}"));
    }
    if wants_json {
        term::say(&json_error(error).to_string());
    }
}

/// CLI.md section 10, the failure object.
fn json_error(error: &Error) -> Object {
    let (code, exit) = (error.code(), error.exit_code());
    let message = error.to_string();
    let error = json!({"code": code, "exit": exit, "message": message, "try": error.next()});
    Object::new().with("error", error)
}

fn run(args: &[String], tail: &[OsString]) -> Result<()> {
    let words: Vec<_> = args.iter().map(String::as_str).collect();
    let top = match Top::from_args(&["keyfob"], &words) {
        Ok(top) => top,
        Err(early) if early.status.is_ok() => {
            return term::print(&argv::wrapped(early.output.trim_end()));
        }
        Err(early) => return Err(argv::wrong_call(&early.output, &words)),
    };
    if top.version {
        return version::run(&version::Version { json: false });
    }
    match top.command {
        Some(Command::Account(args)) => account::run(args),
        Some(Command::Audit(args)) => audit::run(&args),
        Some(Command::AuthTest(args)) => auth_test::run(&args),
        Some(Command::Completions(args)) => completions::run(&args),
        Some(Command::Doctor(args)) => doctor::run(&args),
        Some(Command::Env(args)) => env::run(&args),
        Some(Command::GitCredential(args)) => git_credential::run(&args),
        Some(Command::Config(args)) => config::run(&args),
        Some(Command::Exec(args)) => exec::run(&args, tail),
        Some(Command::Export(args)) => transfer::export(&args),
        Some(Command::Import(args)) => transfer::import(&args),
        Some(Command::Login(args)) => login::run(&args),
        Some(Command::Logout(args)) => logout::run(&args),
        Some(Command::McpProxy(args)) => mcp_proxy::run(&args),
        Some(Command::Models(args)) => models::run(&args),
        Some(Command::Pending(args)) => pending::run(args),
        Some(Command::Provider(args)) => provider::run(args),
        Some(Command::Refresh(args)) => refresh::run(&args),
        Some(Command::Run(args)) => run::run(&args),
        Some(Command::Serve(args)) => serve::run(&args),
        Some(Command::Setup(args)) => setup::run(&args),
        Some(Command::Source(args)) => source::run(args),
        Some(Command::Status(args)) => status::run(&args),
        Some(Command::Token(args)) => token::run(&args),
        Some(Command::Use(args)) => use_account::run(&args),
        Some(Command::Version(args)) => version::run(&args),
        None => Err(Error::usage("which command?").or_try("keyfob --help")),
    }
}

/// The one JSON object a command prints: `"version": 1` first, then its fields in the order given.
pub struct Object(Vec<(&'static str, serde_json::Value)>);

impl Object {
    pub fn new() -> Object {
        Object(vec![("version", json!(1))])
    }

    pub fn with(mut self, key: &'static str, value: impl Into<serde_json::Value>) -> Object {
        self.0.push((key, value.into()));
        self
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = self.0.iter().map(|(key, value)| format!("\"{key}\":{value}"));
        write!(f, "{{{}}}", fields.collect::<Vec<_>>().join(","))
    }
}
