//! A CodeMie instance on 127.0.0.1: ingress and oauth2-proxy in front of the API, as
//! codemie-ai/codemie deploys it (rest_api/routers/auth.py). It rotates, expires and breaks on
//! request, and remembers which credential came with each request.

// Not every test binary uses every part of the kit.
#![allow(dead_code)]

mod person;
mod routes;

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};

use super::agent::Agents;
use super::tls::Server;
pub use person::Person;

/// The path that every deployment has in front of its API.
pub const API: &str = "/code-assistant-api";

pub type Jar = BTreeMap<String, String>;

pub struct Instance {
    server: Server,
    world: Arc<Mutex<World>>,
}

/// How the ingress turns a request without a good credential away.
#[derive(Clone, Debug)]
pub enum Away {
    /// 200 with the sign-in page of the identity provider.
    Page,
    /// 302 to this address.
    To(String),
    /// A bare status with a JSON error.
    Status(u16),
}

/// What `GET …/config.js` answers.
#[derive(Clone, Debug)]
pub enum Config {
    Missing,
    /// The text of the script.
    Script(String),
}

/// A request as it arrived, and what it carried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub query: String,
    pub cookie: Option<String>,
    pub bearer: Option<String>,
    pub user_agent: String,
}

pub struct World {
    /// The sessions that the proxy knows, newest last.
    pub sessions: Vec<Jar>,
    /// Into how many cookies a session is cut.
    pub pieces: usize,
    /// Length of each cookie's value.
    pub piece_bytes: usize,
    /// Cookies the login route forwards beside the proxy's own.
    pub forwarded: Jar,
    /// The end of each cookie as `Set-Cookie` attributes, given with a rotation at each answer.
    pub rotate: Option<String>,
    pub away: Away,
    /// Every API request fails with this status.
    pub broken: Option<u16>,
    pub config: Config,
    /// `provider: "local"`: signs in by itself and hands out no cookies.
    pub is_local: bool,
    pub user: Value,
    pub models: Value,
    /// The bearer tokens that the API takes.
    pub tokens: Vec<String>,
    pub seen: Vec<Seen>,
}

impl Instance {
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        let world = World {
            sessions: Vec::new(),
            pieces: 1,
            piece_bytes: 24,
            forwarded: Jar::new(),
            rotate: None,
            away: Away::Page,
            broken: None,
            config: Config::Missing,
            is_local: false,
            user: user(&["alpha"], &[]),
            models: json!([
                {"base_name": "gpt-4o", "deployment_name": "gpt-4o-2024", "label": "GPT-4o",
                 "enabled": true, "default": true},
                {"base_name": "claude-sonnet-4-6", "label": "Claude Sonnet", "enabled": true},
            ]),
            tokens: Vec::new(),
            seen: Vec::new(),
        };
        let world = Arc::new(Mutex::new(world));
        let shared = Arc::clone(&world);
        let server = Server::start(move |stream, agents| serve(stream, &shared, agents));
        Instance { server, world }
    }

    /// `http://127.0.0.1:PORT`
    pub fn origin(&self) -> String {
        format!("http://{}", self.name())
    }

    /// `127.0.0.1:PORT`, which is also what keyfob calls an account here.
    pub fn name(&self) -> String {
        self.server.address()
    }

    pub fn port(&self) -> u16 {
        self.server.port
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(|broken| broken.into_inner())
    }

    /// Connections so far, whatever came of them.
    pub fn connections(&self) -> usize {
        self.server.count()
    }

    /// The requests so far whose path ends so.
    pub fn seen(&self, path_end: &str) -> Vec<Seen> {
        let mut seen = self.world().seen.clone();
        seen.retain(|request| request.path.ends_with(path_end));
        seen
    }

    /// What keyfob asked so far: the browser's own requests are left out.
    pub fn asked(&self) -> Vec<Seen> {
        let mut seen = self.world().seen.clone();
        seen.retain(|request| request.user_agent.starts_with("keyfob/"));
        seen
    }

    pub fn forget_requests(&self) {
        self.world().seen.clear();
    }

    /// From now on no session is good, and whoever shows one is turned away like this.
    pub fn end_sessions(&self, away: Away) {
        let mut world = self.world();
        world.sessions.clear();
        world.away = away;
    }

    /// The newest session as a Cookie header has it.
    pub fn newest_session(&self) -> String {
        let world = self.world();
        header(world.sessions.last().expect("somebody signed in"))
    }
}

/// The answer of `GET /v1/user`, with the fields that the server sends.
pub fn user(projects: &[&str], administered: &[&str]) -> Value {
    json!({
        "user_id": "user-1", "name": "Me Myself", "username": "me@example.com",
        "email": "me@example.com", "user_type": "regular", "is_admin": false,
        "is_maintainer": false, "project_limit": 3, "picture": "", "knowledge_bases": [],
        "projects": [{"name": "alpha", "display_name": "Alpha", "is_project_admin": false}],
        "applications": projects, "applications_admin": administered,
    })
}

/// The cookies as one header, in the order of their names.
pub fn header(jar: &Jar) -> String {
    let pairs: Vec<_> = jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("; ")
}

pub fn jar(header: &str) -> Jar {
    let pairs = header.split(';').filter_map(|pair| pair.trim().split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

impl World {
    /// Cookies that were never used before.
    fn new_jar(&self) -> Jar {
        /// Two instances never have a session in common.
        static NEXT: AtomicUsize = AtomicUsize::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = |at: usize| match self.pieces {
            1 => "_oauth2_proxy".to_owned(),
            _ => format!("_oauth2_proxy_{at}"),
        };
        let value = |at: usize| {
            let start = format!("session-{number}-{at}-");
            // As oauth2-proxy writes them: base64url, a time, a signature.
            let filler = "c2Vzc2lvbg|17".chars().cycle();
            start.chars().chain(filler).take(self.piece_bytes.max(start.len())).collect()
        };
        (0..self.pieces).map(|at| (name(at), value(at))).collect()
    }

    fn position(&self, shown: &Jar) -> Option<usize> {
        let is_ours = |name: &String| name.starts_with("_oauth2_proxy");
        let mut sessions = self.sessions.iter();
        sessions.position(|jar| {
            jar.iter().all(|(name, value)| shown.get(name) == Some(value))
                && shown.keys().filter(|name| is_ours(name)).all(|name| jar.contains_key(name))
        })
    }
}

/// An answer in the making.
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Answer {
    fn new(status: u16, content_type: &str, body: impl Into<String>) -> Self {
        let headers = vec![("Content-Type".to_owned(), content_type.to_owned())];
        Answer { status, headers, body: body.into() }
    }

    fn json(status: u16, value: &Value) -> Self {
        Answer::new(status, "application/json", value.to_string())
    }

    fn html(body: &str) -> Self {
        Answer::new(200, "text/html; charset=utf-8", body)
    }

    fn redirect(to: &str) -> Self {
        Answer::new(302, "text/html", "moved").with("Location", to)
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

fn serve(mut stream: TcpStream, world: &Mutex<World>, agents: &Agents) -> io::Result<()> {
    let head = read_head(&mut stream)?;
    agents.check_head(&head);
    let mut lines = head.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let headers: Vec<_> = lines.filter_map(|line| line.split_once(": ")).collect();
    let find = |name: &str| {
        let found = headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| (*value).to_owned())
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let bearer = find("authorization").map(|v| v.trim_start_matches("Bearer ").to_owned());
    let seen = Seen {
        method: method.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        cookie: find("cookie"),
        bearer,
        user_agent: find("user-agent").unwrap_or_default(),
    };
    let answer = {
        let mut world = world.lock().unwrap_or_else(|broken| broken.into_inner());
        world.seen.push(seen.clone());
        routes::answer(&mut world, &seen)
    };
    let mut text = format!("HTTP/1.1 {} X\r\n", answer.status);
    for (name, value) in &answer.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    let length = answer.body.len();
    text.push_str(&format!("Content-Length: {length}\r\nConnection: close\r\n\r\n"));
    stream.write_all(format!("{text}{}", answer.body).as_bytes())
}

/// Up to the empty line; none of the requests made here has a body.
fn read_head(stream: &mut TcpStream) -> io::Result<String> {
    let mut bytes = Vec::new();
    let mut piece = [0; 8192];
    while !bytes.ends_with(b"\r\n\r\n") {
        let count = stream.read(&mut piece)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&piece[..count]);
    }
    Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
}
