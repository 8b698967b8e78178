//! `keyfob serve`: from its flags to a server that answers until it is told to stop.

mod door;
mod key;
mod manage;
mod mcp;
pub mod private;

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use argh::{ArgsInfo, FromArgs};

use crate::commands::TIMEOUT_S;
use crate::error::{Error, Result};
use crate::flows::gateway::{Gateway, keys};
use crate::net::serve::{Running, Server};
use crate::store::Store;
use crate::term;
use crate::text;

use door::Door;

const USUAL_ADDRESS: &str = "127.0.0.1:8317";
/// Answers under way get so long when the gateway is told to stop.
const LAST_ANSWERS: Duration = Duration::from_secs(30);

/// Answers model APIs on a local address over the stored accounts: tools hold a key of the
/// gateway, and no token ever.
#[derive(ArgsInfo, FromArgs)]
#[argh(
    subcommand,
    name = "serve",
    help_triggers("-h", "--help"),
    example = "keyfob serve\n\
               keyfob serve key add laptop --provider claude",
    example = "ANTHROPIC_BASE_URL=http://127.0.0.1:8317 ANTHROPIC_AUTH_TOKEN=kf-… claude",
    note = "It speaks Anthropic's Messages, OpenAI's Responses, Chat Completions and\n\
            Embeddings, and Google's generateContent, each to the accounts whose\n\
            provider does. Accounts take turns; one that hits its quota cools down.\n\
            Settings stand in the section serve of config.json: docs/serve.md.\n\
            SIGTERM ends it once the answers under way are complete."
)]
pub struct Serve {
    /// the address to listen on, 127.0.0.1:8317 by default; port 0 takes any free one
    #[argh(option, arg_name = "address")]
    listen: Option<String>,

    /// listen on an address that other machines can reach
    #[argh(switch)]
    allow_remote: bool,

    /// longest wait for one request of a renewal, 30 by default
    #[argh(option, arg_name = "seconds")]
    timeout: Option<u64>,

    #[argh(subcommand)]
    command: Option<ServeCommand>,
}

#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand)]
enum ServeCommand {
    Key(key::KeyArgs),
}

pub fn run(args: &Serve) -> Result<()> {
    if let Some(ServeCommand::Key(args)) = &args.command {
        return key::run(args);
    }
    let gateway = Arc::new(Gateway::new(Store::open()?, timeout_s(args.timeout), term::warn)?);
    let settings = gateway.roster().settings.clone();
    let listen = args.listen.as_deref().or(settings.listen.as_deref()).unwrap_or(USUAL_ADDRESS);
    let address = address(listen, args.allow_remote)?;
    let (is_told, is_interrupted) = told_to_stop()?;
    let running = start(&gateway, address, args.allow_remote)?;
    first_key(&gateway)?;
    if gateway.roster().members.is_empty() {
        term::say("nobody is signed in yet; try: keyfob login PROVIDER");
    }
    gateway.keep_up(|| is_told.load(Ordering::SeqCst));
    let under_way = running.in_flight();
    if under_way > 0 {
        term::say(&format!("stopping once {under_way} answers are complete"));
    }
    running.stop(LAST_ANSWERS);
    if is_interrupted.load(Ordering::SeqCst) {
        std::process::exit(130);
    }
    Ok(())
}

fn timeout_s(given: Option<u64>) -> u64 {
    given.unwrap_or(TIMEOUT_S).clamp(1, 3_600)
}

/// Listens, and says where.
fn start(gateway: &Arc<Gateway>, address: SocketAddr, is_remote: bool) -> Result<Running> {
    let running = listen(gateway, address, is_remote, false)?;
    term::say(&format!("listening on http://{}", running.address()));
    Ok(running)
}

/// Answers at an address from now on. A private one answers prompts and nothing else.
fn listen(
    gateway: &Arc<Gateway>,
    address: SocketAddr,
    is_remote: bool,
    is_private: bool,
) -> Result<Running> {
    let failed = |error: std::io::Error| {
        let what = format!("cannot listen on {address}: {}", text::cause(&error));
        Error::failed(what).or_try("keyfob serve --listen 127.0.0.1:0")
    };
    let most = gateway.roster().settings.max_connections.max(1);
    let server = Server::bind(address, most).map_err(failed)?;
    let own = server.address().map_err(failed)?;
    gateway.listens_at(own);
    let door = Arc::new(Door::new(Arc::clone(gateway), own, is_remote, is_private));
    let answering = Arc::clone(&door);
    let running = server.start(move |exchange| answering.answer(exchange)).map_err(failed)?;
    door.watches(running.clone());
    Ok(running)
}

fn address(typed: &str, is_remote: bool) -> Result<SocketAddr> {
    let with_host =
        if typed.starts_with(':') { format!("127.0.0.1{typed}") } else { typed.to_owned() };
    let mut found = with_host.to_socket_addrs().ok();
    let address = found.as_mut().and_then(Iterator::next).ok_or_else(|| {
        Error::usage("--listen wants an address and a port").or_try("keyfob serve --help")
    })?;
    if address.ip().is_loopback() || is_remote {
        return Ok(address);
    }
    let what = format!("other machines can reach {address}");
    Err(Error::usage(what).or_try(format!("keyfob serve --listen {typed} --allow-remote")))
}

/// A gateway without keys could not be used: the first start makes one.
fn first_key(gateway: &Gateway) -> Result<()> {
    if !gateway.store.client_keys()?.is_empty() {
        return Ok(());
    }
    let key = keys::add("default", Vec::new(), &gateway.store)?;
    // Whoever reads it may use it at once.
    gateway.reload();
    term::say(&format!("a client key was made, shown this once: {}", key.expose()));
    Ok(())
}

/// Turns true with the first signal to stop; a second Ctrl-C ends the process at once.
#[cfg(unix)]
fn told_to_stop() -> Result<(Arc<AtomicBool>, Arc<AtomicBool>)> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    use signal_hook::flag;
    let (is_told, is_interrupted): (Arc<AtomicBool>, Arc<AtomicBool>) = Default::default();
    let register = || {
        flag::register_conditional_shutdown(SIGINT, 130, Arc::clone(&is_interrupted))?;
        flag::register(SIGINT, Arc::clone(&is_interrupted))?;
        flag::register(SIGINT, Arc::clone(&is_told))?;
        flag::register(SIGTERM, Arc::clone(&is_told))
    };
    register()
        .map_err(|e| Error::failed(format!("no signal can be heard: {}", text::cause(&e))))?;
    Ok((is_told, is_interrupted))
}

#[cfg(not(unix))]
fn told_to_stop() -> Result<(Arc<AtomicBool>, Arc<AtomicBool>)> {
    Ok(Default::default())
}
