use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use argh::{ArgsInfo, FromArgs};
use serde_json::Value;

use crate::account::AccountRef;
use crate::commands::App;
use crate::error::{Error, Result};
use crate::flows::mcp::errand::Gate;
use crate::flows::mcp::register::Given;
use crate::flows::mcp::{Bridge, Options, Transport, is_own_id};
use crate::protocol::jsonrpc::{self, Kind, Message, Parsed};
use crate::protocol::mcp;
use crate::secret::Secret;
use crate::store::{Log, Store};
use crate::term;
use crate::text;

/// A longer line is no message.
const LINE_LIMIT_BYTES: u64 = 64 * 1024 * 1024;
/// Answers under way when stdin ends get so much time, and then the server to hear of the end.
const LAST_WAIT: Duration = Duration::from_millis(1_500);
const END_WAIT: Duration = Duration::from_secs(1);
const STACK_BYTES: usize = 512 * 1024;
/// How often a signal is looked for.
const LOOK: Duration = Duration::from_millis(50);

/// Connects a program that speaks MCP over stdin and stdout to an MCP server on the
/// network, and signs in to it when the server asks for that.
#[derive(ArgsInfo, FromArgs)]
#[argh(
    subcommand,
    name = "mcp-proxy",
    help_triggers("-h", "--help"),
    example = "claude mcp add my-server -- keyfob mcp-proxy https://mcp.example.com/mcp",
    example = "keyfob login https://mcp.example.com/mcp --no-browser",
    note = "All proxies of one server share one sign-in. Where no browser can be opened\n\
            the client gets an error with the address and the command; the next message\n\
            works once the sign-in is done, by `keyfob login URL` or by\n\
            `keyfob login --callback-url -`.\n\
            Other variables: KEYFOB_PROXY_PORT, MCP_CLIENT_NAME, NO_BROWSER, and\n\
            MCP_PROXY_DEBUG=true (a log in logs/mcp-proxy.log of keyfob's home)."
)]
pub struct McpProxy {
    /// the server's address
    #[argh(positional)]
    url: String,

    /// a header for every request, as 'NAME: VALUE'; ${VARIABLE} is filled in; repeatable
    #[argh(option, arg_name = "header")]
    header: Vec<String>,

    /// your own OAuth client's id; without it one is registered
    #[argh(option, arg_name = "id")]
    client_id: Option<String>,

    /// the variable that holds your own OAuth client's secret
    #[argh(option, arg_name = "name")]
    client_secret_env: Option<String>,

    /// what keyfob calls itself when it registers; MCP_CLIENT_NAME does the same
    #[argh(option, arg_name = "name")]
    client_name: Option<String>,

    /// ask for these scopes instead of those that the server names
    #[argh(option, arg_name = "scopes")]
    scope: Option<String>,

    /// the resource to ask a token for instead of the one that the server names
    #[argh(option, arg_name = "uri")]
    resource: Option<String>,

    /// name no resource, for authorization servers that refuse the parameter
    #[argh(switch)]
    no_resource: bool,

    /// auto, http (Streamable HTTP) or sse (HTTP+SSE)
    #[argh(option, default = "Transport::Auto", arg_name = "way")]
    transport: Transport,

    /// listen on this port for the end of the sign-in
    #[argh(option, arg_name = "port")]
    callback_port: Option<u16>,

    /// how long to wait for the person, 120 by default
    #[argh(option, default = "120", arg_name = "seconds")]
    auth_timeout: u64,

    /// keep the sign-in for this process alone
    #[argh(switch)]
    ephemeral: bool,

    /// write what goes on, without secrets, to this file
    #[argh(option, arg_name = "file")]
    log_file: Option<String>,

    /// longest wait for one request of the sign-in, 30 by default
    #[argh(option, arg_name = "seconds")]
    timeout: Option<u64>,
}

impl argh::FromArgValue for Transport {
    fn from_arg_value(value: &str) -> std::result::Result<Transport, String> {
        match value {
            "auto" => Ok(Transport::Auto),
            "http" => Ok(Transport::Http),
            "sse" => Ok(Transport::Sse),
            _ => Err("the transports are: auto, http, sse".to_owned()),
        }
    }
}

pub fn run(args: &McpProxy) -> Result<()> {
    let options = options(args)?;
    let store = if args.ephemeral { Store::in_memory()? } else { Store::open()? };
    let app = App::for_server(store, args.timeout, &options.url);
    let log = log(args, &app)?;
    let bridge = Bridge::new(&options, app.tools(), log);
    let is_told = told_to_end();
    thread::scope(|scope| {
        scope.spawn(|| bridge.listen());
        scope.spawn(|| {
            while !is_told.load(Ordering::SeqCst) {
                thread::sleep(LOOK);
            }
            bridge.leave(END_WAIT)
        });
        let mut stdin = BufReader::new(std::io::stdin());
        let mut gate: Option<Gate> = None;
        while let Some(line) = next_line(&mut stdin) {
            for message in messages(&line) {
                let (key, errand) = bridge.take_in(message);
                let before = gate.clone();
                gate = errand.gate.clone().or(gate);
                let bridge = &bridge;
                let work = move || bridge.deliver(key, &errand, before.as_ref());
                let builder = thread::Builder::new().stack_size(STACK_BYTES);
                if builder.spawn_scoped(scope, work).is_err() {
                    bridge.lose(key);
                }
            }
        }
        // The client is gone.
        let deadline = Instant::now() + LAST_WAIT;
        while !bridge.is_idle() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(2));
        }
        bridge.leave(END_WAIT)
    })
}

/// Turns true with SIGTERM, so that the server hears of the end. Where no signal can be heard the process
/// ends without a word, as it would have.
fn told_to_end() -> Arc<AtomicBool> {
    let is_told = Arc::new(AtomicBool::new(false));
    #[cfg(unix)]
    let _ = signal_hook::flag::register(signal_hook::consts::SIGTERM, Arc::clone(&is_told));
    is_told
}

/// The next line of the client, without its end; None: no more will come. Of one that is too long only
/// the beginning is kept, which is no message.
fn next_line(stdin: &mut impl BufRead) -> Option<String> {
    let mut bytes = Vec::new();
    let read = stdin.by_ref().take(LINE_LIMIT_BYTES).read_until(b'\n', &mut bytes).ok()?;
    if read as u64 == LINE_LIMIT_BYTES && !bytes.ends_with(b"\n") {
        stdin.skip_until(b'\n').ok()?;
    }
    (read > 0).then(|| String::from_utf8_lossy(&bytes).into_owned())
}

/// The messages of a line; what is none is answered where it can be.
fn messages(line: &str) -> Vec<Message> {
    if line.trim().is_empty() {
        return Vec::new();
    }
    let is_ours = |message: &Message| {
        message.kind == Kind::Request && message.id.as_ref().is_some_and(is_own_id)
    };
    match jsonrpc::parse(line) {
        Parsed::Message(message) if is_ours(&message) => {
            refuse(message.id.as_ref(), "ids that begin so are the proxy's own", line);
            Vec::new()
        }
        Parsed::Message(message) => vec![*message],
        Parsed::Batch(all) => all,
        Parsed::Invalid { id, why } => {
            refuse(id.as_ref(), why, line);
            Vec::new()
        }
        Parsed::NoJson if line.len() as u64 >= LINE_LIMIT_BYTES => {
            refuse(jsonrpc::id_at_start(line).as_ref(), "a line of more than 64 MiB", line);
            Vec::new()
        }
        Parsed::NoJson => {
            refuse(None, "it is no JSON", line);
            Vec::new()
        }
    }
}

/// Tells the person of a line that goes nowhere, and the client if the line had an id.
fn refuse(id: Option<&Value>, why: &str, line: &str) {
    let beginning = text::harmless(line, 80);
    term::warn(&format!("a line of the client was left out: {why}: {beginning}"));
    if let Some(id) = id {
        let data = jsonrpc::data("invalid", None, None, None);
        // The end of stdin follows, if nobody reads.
        let _ = term::print(&jsonrpc::error(id, jsonrpc::INVALID_REQUEST, why, data));
    }
}

fn options(args: &McpProxy) -> Result<Options> {
    let server: AccountRef = args.url.parse().map_err(Error::usage)?;
    let url = server.server.clone().ok_or_else(|| {
        Error::usage("mcp-proxy wants the address of a server").or_try("keyfob mcp-proxy --help")
    })?;
    if args.no_resource && args.resource.is_some() {
        return Err(Error::usage("--resource and --no-resource exclude each other"));
    }
    let secret = args.client_secret_env.as_deref().map(variable).transpose()?;
    if secret.is_some() && args.client_id.is_none() {
        return Err(Error::usage("--client-secret-env goes with --client-id"));
    }
    let variable_of = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let name = args.client_name.clone().or_else(|| variable_of("MCP_CLIENT_NAME"));
    let port = match (args.callback_port, variable_of("KEYFOB_PROXY_PORT")) {
        (Some(port), _) => Some(port),
        (None, Some(port)) => {
            Some(port.parse().map_err(|_| Error::usage("KEYFOB_PROXY_PORT is no port"))?)
        }
        (None, None) => None,
    };
    let headers: Vec<_> = args.header.iter().map(|header| filled(header)).collect::<Result<_>>()?;
    // What cannot be sent is better known now than with each message.
    mcp::get(&url, &mcp::Dress { more: &headers, ..mcp::Dress::default() })?;
    Ok(Options {
        headers,
        given: Given {
            id: args.client_id.clone(),
            secret: secret.map(Secret::new),
            name: name.unwrap_or("keyfob".to_owned()),
            fresh: false,
        },
        scope: args.scope.clone(),
        resource: args.resource.clone(),
        no_resource: args.no_resource,
        transport: args.transport,
        callback_port: port,
        auth_timeout: Duration::from_secs(args.auth_timeout),
        most_at_once: most_at_once(),
        server,
        url,
    })
}

/// Each request under way holds a connection, of which a process may have only so many: the least that
/// a system gives is 256. Some are left for all else.
fn most_at_once() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let mut lines = limits.lines();
    let limit = lines.find_map(|line| line.strip_prefix("Max open files"));
    let soft = limit.and_then(|limit| limit.split_whitespace().next()?.parse().ok());
    soft.unwrap_or(256_usize).saturating_sub(64).max(8)
}

fn variable(name: &str) -> Result<String> {
    std::env::var(name)
        .map_err(|_| Error::usage(format!("{name} is not set")).or_try(format!("export {name}=…")))
}

/// `NAME: VALUE` with its variables filled in.
fn filled(header: &str) -> Result<(String, Secret)> {
    let pair = header.split_once(':').map(|(name, template)| (name.trim(), template));
    let (name, template) = pair.filter(|(name, _)| !name.is_empty()).ok_or_else(|| {
        Error::usage("--header wants 'NAME: VALUE'").or_try("keyfob mcp-proxy --help")
    })?;
    if mcp::is_reserved(name) {
        return Err(Error::usage(format!("keyfob sets the header {name} itself")));
    }
    let mut value = String::new();
    let mut rest = template.trim();
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) =
            after.split_once('}').ok_or_else(|| Error::usage("--header: a ${ without its }"))?;
        value.push_str(before);
        value.push_str(&variable(name)?);
        rest = after;
    }
    value.push_str(rest);
    Ok((name.to_owned(), Secret::new(value)))
}

fn log(args: &McpProxy, app: &App) -> Result<Log> {
    if let Some(path) = &args.log_file {
        return Log::at(Path::new(path));
    }
    let is_on = |value: String| ["1", "true"].contains(&value.to_ascii_lowercase().as_str());
    match std::env::var("MCP_PROXY_DEBUG").is_ok_and(is_on) {
        true => app.store.log("mcp-proxy"),
        false => Ok(Log::none()),
    }
}
