//! The check of `agent` can fail, at every server; and no server is without it.

use std::any::Any;
use std::fs;
use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::agent::{KEYFOB, VISITOR};
use super::api::ModelApi;
use super::browser;
use super::codemie::Instance;
use super::entra::Entra;
use super::github::Github;
use super::google_token::GoogleToken;
use super::idp::{Dialect, Idp};
use super::many_api::ManyApi;
use super::mcp_resource::McpResource;
use super::mcp_server::{McpServer, Script};
use super::model_api::Api;
use super::tls::Server;
use crate::network::fake_proxy::Proxy;
use crate::run::seats::door;
use crate::serve::upstream::Upstream;

/// Files that take a port and never read a request from it, and why.
const NO_SERVERS: [(&str, &str); 10] = [
    ("azure.rs", "nobody accepts: its queue is kept full"),
    ("codemie/under_way.rs", "takes the port of the callback"),
    ("doctor/settings.rs", "takes the port of the callback"),
    ("login/demo.rs", "looks for a free port"),
    ("login/port.rs", "takes the port of the callback"),
    ("login/signal.rs", "sees whether the port is free again"),
    ("mcp_auth/public.rs", "a trap that nobody may connect to"),
    ("mcp_relay/refused.rs", "a trap that nobody may connect to"),
    ("provider/add.rs", "sees whether a port is free"),
    ("token/faults.rs", "closed before anybody connects"),
];

/// `host:port`, and the server.
type Started = (String, Box<dyn Any>);
type Start = fn() -> Started;

/// A server of each kind.
fn servers() -> Vec<(&'static str, Start)> {
    fn of(url: &str, server: impl Any) -> Started {
        (browser::split(url).0.to_owned(), Box::new(server))
    }
    fn at(pick: fn() -> Server) -> Started {
        let server = pick();
        (server.address(), Box::new(server))
    }
    fn proxy(proxy: Proxy) -> Started {
        (proxy.server.address(), Box::new(proxy))
    }
    vec![
        ("api", || {
            let api = ModelApi::start(&[]);
            of(&api.base(), api)
        }),
        ("codemie", || {
            let instance = Instance::new();
            of(&instance.origin(), instance)
        }),
        ("entra", || {
            let entra = Entra::start();
            of(&entra.origin(), entra)
        }),
        ("github", || {
            let github = Github::start();
            of(&github.url("/"), github)
        }),
        ("google", || {
            let google = GoogleToken::start();
            of(&google.url(), google)
        }),
        ("idp", || {
            let idp = Idp::start(Dialect::oidc());
            of(&idp.url("/"), idp)
        }),
        ("many accounts", || {
            let api = ManyApi::start();
            of(&api.origin(), api)
        }),
        ("model api", || {
            let api = Api::start(door("groq"), |_| true);
            of(&api.origin(), api)
        }),
        ("mcp resource", || {
            let idp = Arc::new(Idp::start(Dialect::oidc()));
            let resource = McpResource::start(&idp);
            of(&resource.url(), resource)
        }),
        ("mcp", || {
            let server = McpServer::serving(Script::default());
            of(&server.url(), server)
        }),
        ("upstream", || {
            let upstream = Upstream::good();
            of(&upstream.origin(), upstream)
        }),
        ("mute", || at(Server::mute)),
        ("resetting", || at(Server::resetting)),
        ("endless", || at(|| Server::endless(b"", b"x", Duration::from_millis(1)))),
        ("proxy", || proxy(Proxy::connect(1, ""))),
        ("proxy that says no", || proxy(Proxy::refusing(502))),
    ]
}

/// One request to a server, and its end: what the test would have failed with.
fn asked(start: Start, agent: &str) -> Result<(), String> {
    let (authority, server) = start();
    let mut stream = browser::connect(&authority).expect("it listens");
    let line = if agent.is_empty() { String::new() } else { format!("User-Agent: {agent}\r\n") };
    let head = format!("GET /asked HTTP/1.1\r\nHost: {authority}\r\n{line}\r\n");
    stream.write_all(head.as_bytes()).expect("it reads");
    // The one that resets may have done so already.
    let _ = stream.shutdown(std::net::Shutdown::Write);
    // The check comes before the answer, and before the end of the connection.
    let _ = stream.read(&mut [0]);
    catch_unwind(AssertUnwindSafe(move || drop(server)))
        .map_err(|panic| panic.downcast_ref::<String>().cloned().unwrap_or_default())
}

#[test]
fn a_request_under_any_other_name_fails_the_test_at_every_server() {
    let longer = format!("{KEYFOB} (linux)");
    let browser_like = format!("Mozilla/5.0 {KEYFOB}");
    for (kind, start) in servers() {
        for wrong in ["", "keyfob", "keyfob/0.0.0", "ureq/3.5.1", "curl/8", &longer, &browser_like]
        {
            let end = asked(start, wrong);
            let said = end.expect_err(&format!("{kind} takes {wrong:?}"));
            assert!(said.contains("/asked"), "{kind}: {said}");
            assert!(said.contains(&format!("with {:?}", (!wrong.is_empty()).then_some(wrong))));
        }
        for right in [KEYFOB, VISITOR] {
            assert_eq!(asked(start, right), Ok(()), "{kind}");
        }
    }
}

/// A test that already fails is not ended together with all others.
#[test]
fn a_panic_under_way_is_left_alone() {
    let end = catch_unwind(|| {
        let idp = Idp::start(Dialect::oidc());
        let _ = browser::request("GET", &idp.url("/x"), &[("User-Agent", "x")], "");
        panic!("the test's own");
    });
    let panic = end.expect_err("it panics");
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"the test's own"));
}

#[test]
fn every_file_that_starts_a_server_checks_who_asks() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e");
    // In two parts, or this file would be one of them.
    let starters = ["TcpListener::", "UnixListener::", "Server::"].map(|kind| {
        ["bind(", "http(", "https(", "new(", "start(", "from_listener("]
            .map(|how| format!("{kind}{how}"))
    });
    let mut starting = Vec::new();
    for file in files(&root) {
        let text = fs::read_to_string(&file).expect("a source is text");
        if starters.iter().flatten().any(|call| text.contains(call)) {
            let name = file.strip_prefix(&root).expect("it was found there");
            starting.push((
                name.display().to_string(),
                text.contains("agents.check") || text.contains("agents.read("),
            ));
        }
    }
    for (name, is_checking) in &starting {
        let is_excused = NO_SERVERS.iter().any(|(known, _)| known == name);
        assert!(
            *is_checking != is_excused,
            "{name} starts a server: support/agent.rs checks who asks"
        );
    }
    for (known, why) in NO_SERVERS {
        assert!(starting.iter().any(|(name, _)| name == known), "{known} no longer: {why}");
    }
    assert!(starting.len() > NO_SERVERS.len() + 8, "{starting:?}");
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let paths = entries.map(|entry| entry.expect("readable").path());
    let (folders, mut found): (Vec<_>, Vec<_>) = paths.partition(|path| path.is_dir());
    found.retain(|path| path.extension().is_some_and(|end| end == "rs"));
    found.extend(folders.iter().flat_map(|folder| files(folder)));
    found
}
