//! Connections: a thread each, so that one that hangs blocks nobody.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::{Value, json};

use super::Shared;
use super::fault::Fault;
use super::http::{self, Answer, Request};
use super::{authorize, control, device, routes};

pub fn listen(port: u16) -> TcpListener {
    TcpListener::bind(("127.0.0.1", port))
        .unwrap_or_else(|e| panic!("cannot listen on 127.0.0.1:{port}: {e}"))
}

pub fn accept(listener: TcpListener, shared: Arc<Shared>) -> JoinHandle<()> {
    thread::spawn(move || {
        for stream in listener.incoming() {
            if shared.stopped.load(Ordering::SeqCst) {
                return;
            }
            match stream {
                Ok(stream) => {
                    let shared = Arc::clone(&shared);
                    // A machine out of threads drops this connection, not the server.
                    let _ = thread::Builder::new().spawn(move || serve(stream, &shared));
                }
                // Out of descriptors: wait for some to come back.
                Err(_) => thread::sleep(Duration::from_millis(10)),
            }
        }
    })
}

/// Ends the wait for the next connection.
pub fn wake(origin: &str) {
    let _ = TcpStream::connect(origin.trim_start_matches("http://"));
}

fn serve(mut stream: TcpStream, shared: &Shared) {
    let _ = stream.set_nodelay(true);
    let Ok(mut request) = http::read(&mut stream) else { return };
    if request.path.starts_with("/_") {
        let _ = control::answer(shared, &request).send(&mut stream);
        return;
    }
    request.role = routes::role(shared, &request).to_string();
    let agent = request.header("user-agent");
    // Scripts take a token to the protected resource themselves.
    let is_script = request.role == "api" && agent.is_some_and(|name| name.starts_with("curl/"));
    if !is_script {
        shared.agents.check(&format!("{} {}", request.method, request.path), agent);
    }
    let fault = {
        let mut world = shared.world();
        world.count(&request.role);
        world.count(&request.path);
        world.requests.push(request.clone());
        world.faults.take(&request.role)
    };
    if request.role == "device_poll" {
        device::pace(shared, &request);
    }
    // A client that went away is no failure of the server.
    let _ = match fault {
        Some(fault) => misbehave(fault, &mut stream, shared, &request),
        None => routes::handle(shared, &request).send(&mut stream),
    };
    let _ = stream.shutdown(Shutdown::Both);
}

fn misbehave(
    fault: Fault,
    stream: &mut TcpStream,
    shared: &Shared,
    request: &Request,
) -> std::io::Result<()> {
    let work = || routes::handle(shared, request);
    let answer = match fault {
        Fault::Body { status, content_type, body } => Answer::new(status, &content_type, body),
        Fault::CutShort => {
            let answer = work();
            stream.write_all(answer.head().as_bytes())?;
            return stream.write_all(&answer.body[..answer.body.len() / 2]);
        }
        Fault::Delay(ms) => {
            thread::sleep(Duration::from_millis(ms));
            work()
        }
        Fault::Drop => return Ok(()),
        Fault::DropAfterWork => {
            work();
            return Ok(());
        }
        Fault::Empty => Answer::new(200, "application/json", ""),
        Fault::Hang => return wait_for_goodbye(stream, shared),
        Fault::Html(status) => Answer::html(status, "<html><h1>Please wait…</h1></html>"),
        Fault::OauthError { code, status } if request.role == "authorize" => {
            authorize::error_redirect(shared, request, &code).unwrap_or(oauth_error(&code, status))
        }
        Fault::OauthError { code, status } => oauth_error(&code, status),
        Fault::Patch(patch) => patched(work(), &patch),
        Fault::Redirect(location) => Answer::redirect(307, &location),
        Fault::RetryAfter(status, after) => {
            let body = json!({"error": {"type": "rate_limit_error", "message": "slow down"}});
            Answer::json(status, &body).with("Retry-After", &after)
        }
        Fault::Status(status) => {
            let body = json!({"message": "something broke", "request_id": "req_1"});
            Answer::json(status, &body)
        }
        Fault::Trickle(pause_ms) => {
            let answer = work();
            stream.write_all(answer.head().as_bytes())?;
            for byte in &answer.body {
                thread::sleep(Duration::from_millis(pause_ms));
                stream.write_all(&[*byte])?;
            }
            return Ok(());
        }
        Fault::Truncated => Answer::new(200, "application/json", "{\"access_token\":\"half"),
    };
    answer.send(stream)
}

fn oauth_error(code: &str, status: u16) -> Answer {
    let description = format!("the issuer says {code}");
    Answer::json(status, &json!({"error": code, "error_description": description}))
}

fn patched(mut answer: Answer, patch: &Value) -> Answer {
    let Ok(Value::Object(mut body)) = serde_json::from_slice(&answer.body) else { return answer };
    for (key, value) in patch.as_object().into_iter().flatten() {
        if value.is_null() {
            body.remove(key);
        } else {
            body.insert(key.clone(), value.clone());
        }
    }
    answer.body = Value::Object(body).to_string().into_bytes();
    answer
}

fn wait_for_goodbye(stream: &mut TcpStream, shared: &Shared) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_millis(100)))?;
    let mut byte = [0];
    while !shared.stopped.load(Ordering::SeqCst) {
        match stream.read(&mut byte) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(e) if is_time_out(&e) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

fn is_time_out(e: &std::io::Error) -> bool {
    matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
}
