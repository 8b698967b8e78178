//! A client of MCP whose server is `keyfob mcp-proxy`.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::command::{Cmd, Output};
use crate::support::mcp_server::{McpServer, SESSION};
use crate::support::running::Running;
use crate::support::sandbox::Sandbox;

pub const LATEST: &str = "2025-11-25";
const LIMIT: Duration = Duration::from_secs(20);

pub struct Proxy {
    pub running: Running,
    pub sandbox: Sandbox,
}

impl Proxy {
    pub fn start(server: &McpServer) -> Proxy {
        Proxy::with(&server.url(), |cmd| cmd)
    }

    pub fn with(url: &str, dress: impl FnOnce(Cmd) -> Cmd) -> Proxy {
        let sandbox = Sandbox::new();
        let running = dress(sandbox.cmd(&["mcp-proxy", url])).spawn();
        Proxy { running, sandbox }
    }

    /// One whose handshake is through, with the server's own stream tried.
    pub fn in_session(server: &McpServer) -> Proxy {
        let mut proxy = Proxy::start(server);
        proxy.shake_hands(server);
        server.wait_for("GET", 1);
        proxy
    }

    #[track_caller]
    pub fn shake_hands(&mut self, server: &McpServer) {
        self.initialize();
        let answer = self.answer(&json!("init"));
        assert!(answer["result"]["protocolVersion"].is_string(), "{answer}");
        self.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        server.wait_for("notifications/initialized", 1);
    }

    pub fn initialize(&mut self) {
        let info = json!({"name": "test", "version": "1"});
        let params = json!({"protocolVersion": LATEST, "capabilities": {}, "clientInfo": info});
        self.ask("init", "initialize", params);
    }

    pub fn send(&mut self, message: &Value) {
        self.line(&message.to_string());
    }

    pub fn line(&mut self, line: &str) {
        self.running.write_stdin(format!("{line}\n"));
    }

    pub fn ask(&mut self, id: impl Into<Value>, method: &str, params: Value) {
        let id = id.into();
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
    }

    /// `tools/call` of a tool of this name.
    pub fn call(&mut self, id: impl Into<Value>, tool: &str) {
        self.ask(id, "tools/call", json!({"name": tool}));
    }

    pub fn notify(&mut self, method: &str, params: Value) {
        self.send(&json!({"jsonrpc": "2.0", "method": method, "params": params}));
    }

    /// All that was said so far, in order.
    pub fn lines(&self) -> Vec<String> {
        let stdout = self.running.stdout();
        let whole = stdout.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(str::to_owned).collect()
    }

    pub fn said(&self) -> Vec<Value> {
        let lines = self.lines();
        lines.iter().map(|line| serde_json::from_str(line).expect("JSON on stdout")).collect()
    }

    /// The first line that is wanted, as it came.
    #[track_caller]
    pub fn line_where(&self, what: &str, is_wanted: impl Fn(&Value) -> bool) -> String {
        let deadline = Instant::now() + LIMIT;
        loop {
            let found = self.lines().into_iter().find(|line| {
                serde_json::from_str(line).is_ok_and(|value: Value| is_wanted(&value))
            });
            if let Some(line) = found {
                return line;
            }
            let (stdout, stderr) = (self.running.stdout(), self.running.stderr());
            assert!(Instant::now() < deadline, "no {what}\n{stdout}\n{stderr}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// The answer to this request.
    #[track_caller]
    pub fn answer(&self, id: &Value) -> Value {
        serde_json::from_str(&self.answer_line(id)).expect("JSON on stdout")
    }

    #[track_caller]
    pub fn answer_line(&self, id: &Value) -> String {
        self.line_where(&format!("answer to {id}"), |value| {
            value["id"] == *id && value.get("method").is_none()
        })
    }

    /// The error of the proxy itself that answers this request.
    #[track_caller]
    pub fn error(&self, id: impl Into<Value>, code: i64) -> Value {
        let answer = self.answer(&id.into());
        let error = answer["error"].clone();
        assert_eq!(error["code"], code, "{answer}");
        assert_eq!(error["data"]["source"], "keyfob", "{answer}");
        assert!(error["message"].as_str().is_some_and(|text| text.starts_with("keyfob: ")));
        error
    }

    #[track_caller]
    pub fn message(&self, method: &str) -> Value {
        let line = self.line_where(method, |value| value["method"] == method);
        serde_json::from_str(&line).expect("JSON on stdout")
    }

    /// The client leaves, and so does the proxy: within 3 s, with nothing on stdout but messages, one
    /// answer to a request, and no secret on stderr.
    #[track_caller]
    pub fn finish(mut self) -> Output {
        self.running.close_stdin();
        let output = self.running.wait(Duration::from_secs(3));
        output.ok().stderr_lacks(SESSION);
        check_stdout(&output);
        output
    }
}

#[track_caller]
pub fn check_stdout(output: &Output) {
    let mut answered = Vec::new();
    for line in output.stdout.lines() {
        let value: Value = serde_json::from_str(line).unwrap_or_default();
        output.check(value["jsonrpc"] == "2.0", &format!("a message instead of {line:?}"));
        if value.get("method").is_none() {
            output.check(!answered.contains(&value["id"]), &format!("one answer: {line}"));
            answered.push(value["id"].clone());
        }
    }
}

/// So long nothing more may come.
pub fn quiet() {
    std::thread::sleep(Duration::from_millis(300));
}
