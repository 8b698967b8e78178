//! GitHub's endpoint that trades a GitHub token for a Copilot token, and at any other path a list of
//! models. It keeps what it was sent.

use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};
use tiny_http::{Response, Server};

use super::agent::{Agents, Verdict};
use super::idp::encoding::now_s;

pub struct Github {
    server: Arc<Server>,
    asked: Arc<Mutex<Vec<String>>>,
    _verdict: Verdict,
}

impl Github {
    /// A token that contains `refused` gets a 404, `dead` a 401, `busy` a 503.
    pub fn start() -> Self {
        let server = Arc::new(Server::http("127.0.0.1:0").expect("a free port"));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let agents = Agents::default();
        let verdict = agents.verdict();
        let (door, book) = (Arc::clone(&server), Arc::clone(&asked));
        thread::spawn(move || {
            for request in door.incoming_requests() {
                agents.check_request(&request);
                let header = request.headers().iter().find(|h| h.field.equiv("Authorization"));
                let token = header.map(|h| h.value.to_string()).unwrap_or_default();
                let (status, body) = answer(&token);
                book.lock().unwrap().push(token);
                let response = Response::from_string(body.to_string()).with_status_code(status);
                let _ = request.respond(response);
            }
        });
        Github { server, asked, _verdict: verdict }
    }

    /// The overlay of the row that sends the trade here.
    pub fn overlay(&self) -> Value {
        let url = self.url("/copilot_internal/v2/token");
        json!({"providers": {"copilot": {"api_token": {"url": url}}}})
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.server_addr())
    }

    /// The Authorization headers so far.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn answer(token: &str) -> (u16, Value) {
    let has = |word: &str| token.contains(word);
    if has("refused") {
        return (404, json!({"message": "Not Found"}));
    }
    if has("dead") {
        return (401, json!({"message": "Bad credentials"}));
    }
    if has("busy") {
        return (503, json!({"message": "later"}));
    }
    let bought = format!("tid=bought-with-{}", token.trim_start_matches("token "));
    let endpoints = json!({"api": "https://api.individual.githubcopilot.com"});
    let body = json!({"token": bought, "expires_at": now_s() + 1500, "refresh_in": 1200,
        "endpoints": endpoints, "data": [{"id": "model-1"}]});
    (200, body)
}

impl Drop for Github {
    fn drop(&mut self) {
        self.server.unblock();
    }
}
