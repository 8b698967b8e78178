//! An API that lists its models, and keeps what it was asked.

use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::{Value, json};
use tiny_http::{Response, Server};

use super::agent::{Agents, Verdict};

pub struct ModelApi {
    server: Arc<Server>,
    thread: Option<JoinHandle<()>>,
    asked: Arc<Mutex<Vec<Asked>>>,
    _verdict: Verdict,
}

#[derive(Clone, Debug)]
pub struct Asked {
    /// `GET /v1/models`
    pub what: String,
    pub authorization: String,
}

impl ModelApi {
    /// Answers every request with these models.
    pub fn start(ids: &[String]) -> Self {
        let models: Vec<Value> = ids.iter().map(|id| json!({"id": id})).collect();
        Self::answering(200, &json!({"object": "list", "data": models}))
    }

    pub fn answering(status: u16, body: &Value) -> Self {
        let server = Arc::new(Server::http("127.0.0.1:0").expect("a free port"));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let agents = Agents::default();
        let verdict = agents.verdict();
        let (at_work, notes, body) = (Arc::clone(&server), Arc::clone(&asked), body.to_string());
        let thread = std::thread::spawn(move || {
            for request in at_work.incoming_requests() {
                agents.check_request(&request);
                let header = |name: &str| {
                    let mut headers = request.headers().iter();
                    let found = headers.find(|header| header.field.as_str() == name);
                    found.map_or(String::new(), |header| header.value.to_string())
                };
                let what = format!("{} {}", request.method(), request.url());
                let authorization = header("authorization");
                notes.lock().expect("no panic").push(Asked { what, authorization });
                let kind = "Content-Type: application/json".parse::<tiny_http::Header>();
                let answer = Response::from_string(body.clone()).with_status_code(status);
                let _ = request.respond(answer.with_header(kind.expect("a header")));
            }
        });
        ModelApi { server, thread: Some(thread), asked, _verdict: verdict }
    }

    /// `http://127.0.0.1:PORT/v1`
    pub fn base(&self) -> String {
        format!("http://{}/v1", self.server.server_addr())
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no panic").clone()
    }
}

impl Drop for ModelApi {
    fn drop(&mut self) {
        self.server.unblock();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
