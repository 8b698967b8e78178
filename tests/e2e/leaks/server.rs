//! An MCP server and its proxy: a header of the person's own, a token, a registered client's secret, a
//! session and a cookie pass through, and none of them may be seen.

use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::{Value, json};
use tiny_http::{Header, Method, Request, Response, Server};

use super::{CLIENT_SECRET, Watch};
use crate::support::agent::{Agents, Verdict};
use crate::support::browser;
use crate::support::command::{Cmd, Output};
use crate::support::idp::{Fault, Times};

const HEADER: &str = "marker-of-the-header-0123456789";
const SESSION: &str = "marker-of-the-session-0123456789";
const COOKIE: &str = "marker-of-the-cookie-0123456789";

/// A server that wants a token, and says it back when it is told to.
struct McpServer {
    server: Arc<Server>,
    thread: Option<JoinHandle<()>>,
    /// Authorization, X-Key, Mcp-Session-Id and Cookie of each POST with a token.
    seen: Arc<Mutex<Vec<[String; 4]>>>,
    _verdict: Verdict,
}

impl McpServer {
    fn start(issuer: &str) -> Self {
        let server = Arc::new(Server::http("127.0.0.1:0").expect("a free port"));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let agents = Agents::default();
        let verdict = agents.verdict();
        let (at_work, notes, issuer) = (Arc::clone(&server), Arc::clone(&seen), issuer.to_owned());
        let origin = format!("http://{}", server.server_addr());
        let thread = std::thread::spawn(move || {
            for request in at_work.incoming_requests() {
                agents.check_request(&request);
                answer(request, &origin, &issuer, &notes);
            }
        });
        McpServer { server, thread: Some(thread), seen, _verdict: verdict }
    }

    fn url(&self) -> String {
        format!("http://{}/mcp", self.server.server_addr())
    }

    fn seen(&self) -> Vec<[String; 4]> {
        self.seen.lock().expect("no panic").clone()
    }
}

impl Drop for McpServer {
    fn drop(&mut self) {
        self.server.unblock();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn answer(mut request: Request, origin: &str, issuer: &str, seen: &Mutex<Vec<[String; 4]>>) {
    let header = |text: &str| text.parse::<Header>().expect("a header");
    let of = |name: &'static str| {
        let found = request.headers().iter().find(|header| header.field.equiv(name));
        found.map_or(String::new(), |header| header.value.to_string())
    };
    let wanted = ["Authorization", "X-Key", "Mcp-Session-Id", "Cookie"].map(of);
    let plain = |status: u16, value: &Value| {
        let kind = header("Content-Type: application/json");
        Response::from_string(value.to_string()).with_status_code(status).with_header(kind)
    };
    if request.url().starts_with("/.well-known/oauth-protected-resource") {
        let resource = format!("{origin}/mcp");
        let metadata = json!({"resource": resource, "authorization_servers": [issuer]});
        let _ = request.respond(plain(200, &metadata));
        return;
    }
    if wanted[0].is_empty() {
        let place = format!("{origin}/.well-known/oauth-protected-resource/mcp");
        let challenge = format!("WWW-Authenticate: Bearer resource_metadata=\"{place}\"");
        let _ = request.respond(plain(401, &json!({})).with_header(header(&challenge)));
        return;
    }
    if *request.method() != Method::Post {
        let _ = request.respond(plain(405, &json!({})));
        return;
    }
    let mut body = String::new();
    request.as_reader().read_to_string(&mut body).expect("UTF-8");
    let message: Value = serde_json::from_str(&body).expect("JSON");
    let said = wanted.join(" ");
    seen.lock().expect("no panic").push(wanted);
    let result = |value: Value| json!({"jsonrpc": "2.0", "id": message["id"], "result": value});
    let response = match message["method"].as_str().unwrap_or_default() {
        "initialize" => plain(200, &result(json!({"protocolVersion": "2025-11-25"})))
            .with_header(header(&format!("Mcp-Session-Id: {SESSION}")))
            .with_header(header(&format!("Set-Cookie: lb={COOKIE}; Path=/"))),
        "say/403" => plain(403, &json!({"error": said})),
        "say/418" => plain(418, &json!({"error": said})),
        "say/500" => plain(500, &json!({"error": said})),
        "say/text" => Response::from_string(said).with_header(header("Content-Type: text/plain")),
        method if method.starts_with("notifications/") => plain(202, &Value::Null),
        _ => plain(200, &result(json!({"tools": []}))),
    };
    let _ = request.respond(response);
}

/// The lines of a client that begins a session and then calls these methods.
fn lines(methods: &[&str]) -> String {
    let mut lines = vec![
        json!({"jsonrpc": "2.0", "id": 1, "method": "initialize",
            "params": {"protocolVersion": "2025-11-25", "capabilities": {}}}),
        json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
    ];
    let calls = methods.iter().enumerate();
    lines.extend(
        calls.map(|(at, method)| json!({"jsonrpc": "2.0", "id": at + 2, "method": method})),
    );
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// What the client got: each line a message of JSON-RPC.
#[track_caller]
fn messages(output: &Output) -> Vec<Value> {
    let parse =
        |line: &str| serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("{line}"));
    let all: Vec<Value> = output.ok().stdout.lines().map(parse).collect();
    assert!(all.iter().all(|message| message["jsonrpc"] == "2.0"), "{all:?}");
    all
}

fn proxy(watch: &Watch, url: &str, methods: &[&str]) -> Cmd {
    let cmd = watch.desk.sandbox.cmd(&["mcp-proxy", url, "--header", "X-Key: ${MARKER}"]);
    cmd.env("MARKER", HEADER).env("MCP_PROXY_DEBUG", "true").stdin(lines(methods))
}

fn logged(watch: &Watch) -> String {
    watch.desk.sandbox.read(&watch.desk.sandbox.home().join("logs/mcp-proxy.log"))
}

/// All that a server and its issuer gave us, wherever it is kept.
fn learn(watch: &Watch) {
    for (what, secret) in [("header", HEADER), ("session", SESSION), ("cookie", COOKIE)] {
        watch.learn(what, secret);
    }
    for folder in ["accounts", "servers"] {
        for file in watch.files_in(folder) {
            if file.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let held = watch.desk.sandbox.read_json(&file);
            let slots = ["/access_token", "/refresh_token", "/registrations/0/client_secret"];
            for secret in slots.iter().filter_map(|slot| held.pointer(slot)?.as_str()) {
                watch.learn("secret of a server", secret);
            }
        }
    }
}

/// With a client that has a secret.
fn signed_in(watch: &Watch, url: &str) {
    let client = json!({"client_id": "demo-client", "client_secret": CLIENT_SECRET,
        "token_endpoint_auth_method": "client_secret_basic"});
    watch.desk.idp.fault("register", Fault::json(201, &client), Times::Once);
    let begun = watch.cmd(&format!("login {url} --print-auth-url"));
    let address = begun.ok().line().to_owned();
    watch.learn_pending(&address);
    let callback = watch.approve(&address).location;
    watch.run(watch.desk.cmd("login --callback-url -").stdin(callback)).ok();
    learn(watch);
    let has_token = watch.secrets.borrow().iter().any(|(_, secret)| secret.starts_with("at_"));
    assert!(has_token, "no token was learned");
    let files = watch.files_in("servers");
    let known = files.iter().map(|file| watch.desk.sandbox.read(file)).collect::<String>();
    assert!(known.contains(CLIENT_SECRET), "{known}");
}

#[test]
fn a_sign_in_to_a_server_and_its_proxy() {
    let watch = Watch::new();
    let server = McpServer::start(&watch.desk.idp.issuer());
    let url = server.url();
    signed_in(&watch, &url);
    for cmd in [
        proxy(&watch, &url, &["tools/list", "ping"]),
        proxy(&watch, &url, &["tools/list", "ping"]).arg("--log-file").arg("own.log"),
    ] {
        let output = watch.run(cmd);
        let answers = messages(&output);
        assert_eq!(answers.len(), 3, "{answers:?}");
        assert!(answers.iter().all(|answer| answer["result"].is_object()), "{answers:?}");
    }
    // It all went where it belongs.
    let last = server.seen().pop().expect("a request");
    assert!(last[0].starts_with("Bearer ") && last[1] == HEADER && last[2] == SESSION, "{last:?}");
    assert!(last[3].contains(COOKIE), "{last:?}");
    for words in ["status", "status --json", "provider list --json", "audit --json", "doctor"] {
        watch.cmd(words);
    }
    for words in ["status", "refresh", "logout"] {
        watch.cmd(&format!("{words} {url}")).ok();
        learn(&watch);
    }
    watch.nothing_leaked();
    watch.desk.idp.assert_content();
}

/// What the server says goes to its client, but not where others look.
#[test]
fn a_server_that_says_secrets_back_to_its_proxy() {
    let watch = Watch::new();
    let server = McpServer::start(&watch.desk.idp.issuer());
    let url = server.url();
    signed_in(&watch, &url);
    let output =
        watch.at_full_volume(proxy(&watch, &url, &["say/403", "say/418", "say/500", "say/text"]));
    let output = output.run();
    let answers = messages(&output);
    assert_eq!(answers.len(), 5, "{answers:?}");
    let codes: Vec<_> =
        answers.iter().filter_map(|answer| answer["error"]["code"].as_i64()).collect();
    assert_eq!(codes.len(), 4, "{answers:?}");
    // An error is keyfob's own answer, and a client may show it to a model.
    for answer in answers.iter().filter(|answer| answer["error"].is_object()) {
        watch.saw("an error of mcp-proxy", &answer.to_string());
    }
    watch.saw("stderr of mcp-proxy", &output.stderr);
    watch.nothing_leaked();
}

/// The address is for the person and the client; a log outlives the sign-in.
#[test]
fn a_sign_in_that_nobody_can_be_asked_for() {
    let watch = Watch::new();
    let server = McpServer::start(&watch.desk.idp.issuer());
    let output = watch.run(proxy(&watch, &server.url(), &["tools/list"]));
    let answers = messages(&output);
    assert_eq!(answers.len(), 2, "{answers:?}");
    let text = answers[0]["error"]["message"].as_str().expect("an error").to_owned();
    let address = text.split_whitespace().find(|word| word.contains("/authorize?"));
    let address = address.unwrap_or_else(|| panic!("no address: {text}"));
    assert_eq!(answers[0]["error"]["data"]["try"], format!("keyfob login {}", server.url()));
    // The second message tells of the same sign-in.
    assert!(answers[1]["error"]["message"].as_str().is_some_and(|text| text.contains(address)));
    watch.learn_pending(address);
    learn(&watch);
    let log = logged(&watch);
    assert!(log.contains("-31001"), "{log}");
    assert!(!log.contains("state="), "a log outlives the sign-in: {log}");
    watch.nothing_leaked();
    // Finished elsewhere, it works.
    let callback = browser::approve(address).location;
    watch.run(watch.desk.cmd("login --callback-url -").stdin(callback)).ok();
    learn(&watch);
    let answers = messages(&watch.run(proxy(&watch, &server.url(), &["tools/list"])));
    assert!(answers.iter().all(|answer| answer["result"].is_object()), "{answers:?}");
    watch.nothing_leaked();
}
