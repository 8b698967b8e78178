//! An MCP server that takes the tokens of an issuer, and keeps what it was asked.
//!
//! Small on purpose: JSON answers only, `initialize`, and an echo of every other method. What it
//! publishes of itself, and how it turns people away, is up to the test.

use std::collections::BTreeMap;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};

use serde_json::{Value, json};

use super::agent::{Agents, Verdict};
use super::idp::Idp;
use super::idp::http::{self, Answer, Request};

pub const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

pub struct McpResource {
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
    _verdict: Verdict,
}

struct Shared {
    agents: Agents,
    origin: String,
    idp: Arc<Idp>,
    stopped: AtomicBool,
    world: Mutex<World>,
}

struct World {
    /// `WWW-Authenticate` of a 401, one header each; `{origin}` is filled in.
    challenges: Vec<String>,
    /// Answers to GET by path.
    documents: BTreeMap<String, (u16, String)>,
    /// Turns every token away.
    refuses_all: bool,
    /// What a token must have for a method, else 403 `insufficient_scope`.
    wanted_scopes: BTreeMap<String, String>,
    requests: Vec<Request>,
}

impl Shared {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl McpResource {
    /// `/mcp` names its metadata in its challenge; the metadata lies at the place of RFC 9728 and names
    /// the issuer.
    pub fn start(idp: &Arc<Idp>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let origin = format!("http://{}", listener.local_addr().expect("it is bound"));
        let metadata = json!({"resource": format!("{origin}/mcp"),
            "authorization_servers": [idp.issuer()], "scopes_supported": ["tools", "files"]});
        let place = format!("{WELL_KNOWN}/mcp");
        let challenge = format!("Bearer resource_metadata=\"{{origin}}{place}\"");
        let world = World {
            challenges: vec![challenge],
            documents: BTreeMap::from([(place, (200, metadata.to_string()))]),
            refuses_all: false,
            wanted_scopes: BTreeMap::new(),
            requests: Vec::new(),
        };
        let agents = Agents::default();
        let verdict = agents.verdict();
        let shared = Arc::new(Shared {
            agents,
            origin,
            idp: Arc::clone(idp),
            stopped: AtomicBool::new(false),
            world: Mutex::new(world),
        });
        let at_work = Arc::clone(&shared);
        let acceptor = thread::spawn(move || accept(&listener, &at_work));
        McpResource { shared, acceptor: Some(acceptor), _verdict: verdict }
    }

    pub fn url(&self) -> String {
        format!("{}/mcp", self.shared.origin)
    }

    pub fn origin(&self) -> &str {
        &self.shared.origin
    }

    pub fn port(&self) -> u16 {
        let port = self.shared.origin.rsplit(':').next();
        port.and_then(|port| port.parse().ok()).expect("an origin has a port")
    }

    /// `WWW-Authenticate` of a 401 from now on; `{origin}` is filled in.
    pub fn challenge(&self, challenges: &[&str]) {
        self.shared.world().challenges = challenges.iter().map(|text| text.to_string()).collect();
    }

    /// What GET finds at a path.
    pub fn publish(&self, path: &str, document: &Value) {
        let document = (200, document.to_string());
        self.shared.world().documents.insert(path.to_string(), document);
    }

    /// GET of a path is sent on.
    pub fn redirect(&self, path: &str, to: &str) {
        self.shared.world().documents.insert(path.to_string(), (302, to.to_string()));
    }

    /// Nothing is published any more.
    pub fn publish_nothing(&self) {
        self.shared.world().documents.clear();
    }

    /// Metadata with these keys changed; `null` removes one.
    pub fn patch(&self, changes: &Value) {
        let mut world = self.shared.world();
        let (_, text) = &world.documents[&format!("{WELL_KNOWN}/mcp")];
        let mut document: Value = serde_json::from_str(text).expect("it was JSON");
        for (key, value) in changes.as_object().into_iter().flatten() {
            document[key] = value.clone();
        }
        document.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
        world.documents.insert(format!("{WELL_KNOWN}/mcp"), (200, document.to_string()));
    }

    pub fn refuse_all(&self) {
        self.shared.world().refuses_all = true;
    }

    /// The method is only for tokens with this scope.
    pub fn want_scope(&self, method: &str, scope: &str) {
        self.shared.world().wanted_scopes.insert(method.to_string(), scope.to_string());
    }

    pub fn requests(&self) -> Vec<Request> {
        self.shared.world().requests.clone()
    }

    /// Paths of all GETs of metadata, in order.
    pub fn documents_asked(&self) -> Vec<String> {
        let asked = self.requests().into_iter();
        asked.filter(|one| one.path.starts_with("/.well-known/")).map(|one| one.path).collect()
    }

    /// The tokens that came, in order, without those before it repeated.
    pub fn tokens(&self) -> Vec<String> {
        let requests = self.requests();
        let mut tokens: Vec<_> =
            requests.iter().filter_map(|request| request.bearer()).map(str::to_string).collect();
        tokens.dedup();
        tokens
    }
}

impl Drop for McpResource {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.shared.origin.trim_start_matches("http://"));
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for mut stream in listener.incoming().flatten() {
        if shared.stopped.load(Ordering::SeqCst) {
            return;
        }
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            let _ = stream.set_nodelay(true);
            let Ok(request) = http::read(&mut stream) else { return };
            let agent = request.header("user-agent");
            shared.agents.check(&format!("{} {}", request.method, request.path), agent);
            let answer = answer(&shared, &request);
            shared.world().requests.push(request);
            let _ = answer.send(&mut stream);
            let _ = stream.shutdown(Shutdown::Both);
        });
    }
}

fn answer(shared: &Shared, request: &Request) -> Answer {
    let world = shared.world();
    if request.method == "GET" {
        return match world.documents.get(&request.path) {
            Some((302, to)) => Answer::redirect(302, to),
            Some((status, body)) => Answer::new(*status, "application/json", body.clone()),
            None if request.path.starts_with("/.well-known/") => Answer::html(404, "nothing here"),
            None => Answer::new(405, "text/plain", ""),
        };
    }
    let message: Value = serde_json::from_str(&request.body).unwrap_or_default();
    let method = message["method"].as_str().unwrap_or_default();
    let token = request.bearer().unwrap_or_default();
    let scope = shared.idp.scope_of(token).filter(|_| !world.refuses_all);
    let Some(scope) = scope else {
        let mut answer = Answer::new(401, "text/plain", "sign in first");
        for challenge in &world.challenges {
            let challenge = challenge.replace("{origin}", &shared.origin);
            answer = answer.with("WWW-Authenticate", &challenge);
        }
        return answer;
    };
    if let Some(wanted) = world.wanted_scopes.get(method)
        && !scope.split(' ').any(|has| has == wanted)
    {
        let challenge = format!("Bearer error=\"insufficient_scope\", scope=\"{wanted}\"");
        return Answer::new(403, "text/plain", "").with("WWW-Authenticate", &challenge);
    }
    let Some(id) = message.get("id") else { return Answer::new(202, "text/plain", "") };
    let result = match method {
        "initialize" => json!({"protocolVersion": message["params"]["protocolVersion"],
            "capabilities": {}, "serverInfo": {"name": "resource", "version": "1"}}),
        _ => json!({"echo": method}),
    };
    Answer::json(200, &json!({"jsonrpc": "2.0", "id": id, "result": result}))
}
