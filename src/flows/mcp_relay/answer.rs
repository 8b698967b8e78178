//! One request, from the client to the server and back.

use serde_json::json;

use crate::endpoint;
use crate::error::Error;
use crate::flows::mcp_relay::{Errand, Refusal, Relay, Visit, request};
use crate::net::serve::{Exchange, Head};
use crate::net::stream::Stream;
use crate::net::{guard, heartbeat};
use crate::protocol::mcp_relay::names::Kind;
use crate::protocol::mcp_relay::route::{self, Way, Wrong};
use crate::protocol::mcp_relay::{ask, endpoint_of};
use crate::text;

const BODY_LIMIT_BYTES: u64 = 16 * 1024 * 1024;

impl Relay {
    /// Answers a request whose path is for here.
    pub fn answer(&self, exchange: &mut Exchange, visit: &Visit) {
        let Err(refusal) = self.relay(exchange, visit) else { return };
        if exchange.caller().has_begun() {
            return;
        }
        let message = text::harmless(&refusal.what, 300);
        let body = json!({"error": {"code": "MCP_AUTH_ERROR", "message": message}}).to_string();
        let mut headers = vec![("Content-Type", "application/json")];
        if refusal.status == 405 {
            headers.push(("Allow", "DELETE, GET, POST"));
        }
        exchange.answer(refusal.status, &headers, body.as_bytes());
    }

    fn relay(&self, exchange: &mut Exchange, visit: &Visit) -> Result<(), Refusal> {
        let route =
            route::parse(&exchange.head.path, &exchange.head.query).map_err(
                |wrong| match wrong {
                    Wrong::Malformed(what) => Refusal::new(400, what),
                    Wrong::Nothing => Refusal::new(404, "there is no such document here"),
                },
            )?;
        if !["DELETE", "GET", "POST"].contains(&exchange.head.method.as_str()) {
            return Err(Refusal::new(405, "only GET, POST and DELETE are relayed"));
        }
        let flow = self.admit(&route, visit)?;
        let body = exchange
            .body(BODY_LIMIT_BYTES)
            .map_err(|wrong| Refusal::new(wrong.status, wrong.why))?;
        let errand = Errand { route: &route, visit, flow };
        let is_sign_in =
            errand.flow.kinds(&endpoint_of(&route.url)).any(|k| k == Kind::Authorization);
        if exchange.head.method == "GET" && route.way == Way::Relay && is_sign_in {
            let place = ask::url(&route.url, &errand.gateway());
            send_on(exchange, &place);
            return Ok(());
        }
        let (caller, watcher) = (exchange.caller(), exchange.caller());
        heartbeat::during(
            move || !watcher.is_gone(),
            || {
                let stream = self.open(&errand, &exchange.head, body)?;
                let is_absent = (400..500).contains(&stream.head.status);
                let Some(route) = errand.route.at_root().filter(|_| is_absent) else {
                    return self.bring_back(&errand, stream, &caller);
                };
                // A client would look there itself, but nothing tells whose root it means here.
                let errand = Errand { route: &route, ..errand };
                let stream = self.open(&errand, &exchange.head, Vec::new())?;
                self.bring_back(&errand, stream, &caller)
            },
        )
    }

    fn open(&self, errand: &Errand, head: &Head, body: Vec<u8>) -> Result<Stream, Refusal> {
        let request = request::build(errand, head, body, self)?;
        let client = self.client(errand);
        client.open_patient(request, self.timeout_s, None).map_err(|error| refusal(&error))
    }
}

/// Sends a browser to where a person signs in.
fn send_on(exchange: &Exchange, place: &str) {
    let headers = [
        ("Location", place),
        ("Cache-Control", "no-store"),
        // The address here holds a state, which is for the server and the client.
        ("Referrer-Policy", "no-referrer"),
    ];
    exchange.answer(302, &headers, b"");
}

pub(super) fn refusal(error: &Error) -> Refusal {
    let what = error.to_string();
    let is_forbidden = guard::is_objection(&what) || endpoint::is_objection(&what);
    Refusal::new(if is_forbidden { 403 } else { 502 }, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flows::mcp_relay::Key;
    use crate::net::serve::Server;
    use crate::protocol::mcp_relay::{Gateway, SignIn};
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::{Arc, Mutex, mpsc};
    use std::thread;
    use std::time::Duration;

    /// An MCP server and everything else on one port: `answer` writes what it likes.
    fn server(answer: impl Fn(&str, &mut TcpStream) + Send + Sync + 'static) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let answer = Arc::new(answer);
        thread::spawn(move || {
            for mut socket in listener.incoming().flatten() {
                let answer = Arc::clone(&answer);
                thread::spawn(move || answer(&read_request(&socket), &mut socket));
            }
        });
        origin
    }

    fn read_request(socket: &TcpStream) -> String {
        let mut reader = BufReader::new(socket);
        let mut text = String::new();
        while !text.ends_with("\r\n\r\n") && reader.read_line(&mut text).unwrap() > 0 {}
        let lower = text.to_ascii_lowercase();
        let length = lower.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        reader.read_exact(&mut body).unwrap();
        text + &String::from_utf8(body).unwrap()
    }

    fn json_answer(status: u16, headers: &str, body: &str) -> String {
        let length = body.len();
        let head = format!("HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n{headers}");
        format!("{head}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}")
    }

    /// The gateway's base. The key is `K` in `x-api-key`.
    fn gateway(private_origins: &[&str]) -> String {
        let private_origins: Vec<_> = private_origins.iter().map(|&one| one.to_owned()).collect();
        let relay = Relay::new("keyfob", 10);
        let server = Server::bind(([127, 0, 0, 1], 0).into(), 16).unwrap();
        let base = format!("http://{}", server.address().unwrap());
        let told = base.clone();
        let answer = move |exchange: &mut Exchange| {
            let has_key = exchange.head.header("x-api-key") == Some("K");
            let key = if has_key { Key::Elsewhere } else { Key::None };
            let (private_origins, sign_in) = (&private_origins, SignIn::Through);
            relay.answer(exchange, &Visit { key, base: &told, private_origins, sign_in });
            None
        };
        server.start(answer).unwrap();
        base
    }

    fn send(base: &str, line: &str, headers: &str, body: &str) -> TcpStream {
        let mut socket = TcpStream::connect(base.strip_prefix("http://").unwrap()).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let length = body.len();
        let head = format!("{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}");
        let text = format!("{head}Content-Length: {length}\r\n\r\n{body}");
        socket.write_all(text.as_bytes()).unwrap();
        socket
    }

    fn ask(base: &str, line: &str, headers: &str, body: &str) -> String {
        let mut text = String::new();
        send(base, line, headers, body).read_to_string(&mut text).unwrap();
        text
    }

    #[track_caller]
    fn is_refused(answer: &str, status: u16) {
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{status}: {answer}");
        assert!(answer.contains(r#"{"error":{"code":"MCP_AUTH_ERROR","message":"#), "{answer}");
    }

    const KEY: &str = "X-Api-Key: K\r\n";

    #[test]
    fn what_a_server_names_goes_by_here_and_for_itself_alone() {
        let origin = server(|request, socket| {
            let own = request.split("host: ").nth(1).and_then(|rest| rest.lines().next()).unwrap();
            let body = match request.split(' ').nth(1).unwrap() {
                "/mcp" => {
                    let m = format!(
                        "WWW-Authenticate: Bearer resource_metadata=\"http://{own}/m\"\r\n"
                    );
                    let _ = socket.write_all(json_answer(401, &m, "{}").as_bytes());
                    return;
                }
                "/m" => format!(
                    r#"{{"resource":"http://{own}/mcp","authorization_servers":["http://{own}"]}}"#
                ),
                _ => json!({"said": request}).to_string(),
            };
            let _ = socket.write_all(json_answer(200, "Set-Cookie: a=b\r\n", &body).as_bytes());
        });
        let other = server(|_, _| ());
        let base = gateway(&[&origin, &other]);
        let line = format!("POST /mcp_auth?original={origin}/mcp");
        is_refused(&ask(&base, &line, "", "{}"), 401);
        let answer = ask(&base, &line, KEY, "{}");
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
        let place = answer.split("resource_metadata=\"").nth(1).unwrap().split('"').next().unwrap();
        let path = place.strip_prefix(&base).unwrap();
        let answer = ask(&base, &format!("GET {path}"), "", "");
        let told = format!(r#""resource":"{base}/mcp_auth?original={origin}/mcp""#);
        assert!(
            answer.contains(&told) && !answer.to_lowercase().contains("set-cookie"),
            "{answer}"
        );
        assert!(answer.contains("content-security-policy: sandbox"), "{answer}");

        let headers = "Authorization: Bearer theirs\r\nCookie: c\r\nX-Goog-Api-Key: k\r\n\
            Mcp-Session-Id: 7\r\nAccept-Encoding: gzip\r\nContent-Type: application/json\r\n";
        let path = path.strip_suffix("/m").unwrap();
        let line = format!("POST {path}/register?key=K&x=1");
        let answer = ask(&base, &line, headers, r#"{"client_name":"Other"}"#).to_lowercase();
        for there in ["bearer theirs", "mcp-session-id: 7", "post /register?x=1", r#"\"keyfob\""#] {
            assert!(answer.contains(there), "{there}: {answer}");
        }
        for gone in ["cookie", "api-key", "encoding", "other"] {
            assert!(!answer.contains(gone), "{gone}: {answer}");
        }
        // A second server began no flow, or began one that named nothing.
        let relay = |root: &str, target: &str| {
            let sign_in = SignIn::Direct;
            let gateway = Gateway { base: "", root, is_encoded: false, sign_in };
            format!("GET {}", gateway.relay_url(target).unwrap())
        };
        is_refused(&ask(&base, &relay(&other, &origin), "", ""), 403);
        ask(&base, &format!("GET /mcp_auth?original={other}/mcp"), KEY, "");
        is_refused(&ask(&base, &relay(&other, &format!("{origin}/x")), "", ""), 403);
    }

    #[test]
    fn private_addresses_are_refused_in_every_dress() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let allowed = server(move |_, socket| {
            let place = format!("Location: http://127.0.0.1:{port}/\r\n");
            let _ = socket.write_all(json_answer(307, &place, "").as_bytes());
        });
        let base = gateway(&[&allowed]);
        for host in [
            "127.0.0.1",
            "localhost",
            "localhost.",
            "[::1]",
            "[::ffff:7f00:1]",
            "2130706433",
            "127.1",
            "0x7f000001",
            "0.0.0.0",
            "[::]",
            "10.0.0.1",
            "169.254.169.254",
            "100.64.0.1",
        ] {
            for scheme in ["http", "https"] {
                let line = format!("GET /mcp_auth?original={scheme}://{host}:{port}/mcp");
                is_refused(&ask(&base, &line, KEY, ""), 403);
            }
        }
        is_refused(&ask(&base, "GET /mcp_auth?original=http://mcp.example/", KEY, ""), 403);
        is_refused(&ask(&base, &format!("GET /mcp_auth?original={allowed}"), KEY, ""), 403);
        let nobody = listener.accept().unwrap_err();
        assert_eq!(nobody.kind(), std::io::ErrorKind::WouldBlock);
        for line in ["GET /mcp_auth", "GET /mcp_relay/x/y/z", "GET /mcp_auth?original=x"] {
            is_refused(&ask(&base, line, KEY, ""), 400);
        }
        is_refused(&ask(&base, &format!("PUT /mcp_auth?original={allowed}"), KEY, ""), 405);
    }

    #[test]
    fn events_come_at_once_and_a_client_that_leaves_ends_the_stream() {
        let (sender, left) = mpsc::channel();
        let sender = Mutex::new(sender);
        let origin = server(move |_, socket| {
            let head =
                "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
            socket.write_all(head.as_bytes()).unwrap();
            socket.write_all(b"data: 1\n\n").unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            let is_left = matches!(socket.read(&mut [0; 8]), Ok(0));
            sender.lock().unwrap().send(is_left).unwrap();
        });
        let base = gateway(&[&origin]);
        let mut socket = send(&base, &format!("GET /mcp_auth?original={origin}/mcp"), KEY, "");
        let mut text = String::new();
        while !text.contains("data: 1\n\n") {
            let mut piece = [0; 512];
            let read = socket.read(&mut piece).unwrap();
            assert!(read > 0, "{text}");
            text.push_str(std::str::from_utf8(&piece[..read]).unwrap());
        }
        drop(socket);
        assert!(left.recv_timeout(Duration::from_secs(20)).unwrap());
    }

    #[test]
    fn only_json_of_a_sign_in_is_looked_into_and_no_more_than_1_mib() {
        let origin = server(|request, socket| {
            let body = format!("[\"{}\"]", "x".repeat(1024 * 1024));
            let status = if request.contains("/refused") { 401 } else { 200 };
            let _ = socket.write_all(json_answer(status, "", &body).as_bytes());
        });
        let base = gateway(&[&origin]);
        let answer = ask(&base, &format!("POST /mcp_auth?original={origin}/mcp"), KEY, "{}");
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.len() > 1024 * 1024);
        is_refused(
            &ask(&base, &format!("POST /mcp_auth?original={origin}/refused"), KEY, "{}"),
            502,
        );
        let path = "/.well-known/oauth-protected-resource/mcp_auth";
        is_refused(&ask(&base, &format!("GET {path}?original={origin}/mcp"), "", ""), 502);
        is_refused(&ask(&base, &format!("GET {path}"), "", ""), 404);
    }
}
