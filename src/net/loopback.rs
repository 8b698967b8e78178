//! Waiting for a person: whichever comes first of a callback on the loopback, a pasted line,
//! the login being finished elsewhere, or the end of patience.

use std::io::{self, ErrorKind, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use tiny_http::{Method, Request, Response, Server};

use crate::net::page;

/// Longer request targets are no callback. An instance's session is several cookies of 4 KB each.
const TARGET_LIMIT_BYTES: usize = 64 * 1024;
/// A pasted address may arrive as several lines; they are read as one after this silence.
const PASTE_PAUSE: Duration = Duration::from_millis(200);
const POLL: Duration = Duration::from_millis(200);
/// More lines than any wrapped address has: what goes on longer is no paste.
const PASTE_LIMIT_LINES: usize = 100;
/// Readers wait for their turn, so that a flood on one side is no flood of memory.
const WAITING_EVENTS: usize = 16;

/// The callback port of one login, on every loopback address a browser may try.
pub struct Listener {
    servers: Vec<Arc<Server>>,
    pub port: u16,
}

impl Listener {
    /// Listens for a redirect to `host`: on 127.0.0.1 and ::1 when it is `localhost`, on the
    /// address itself otherwise. Port 0 takes a free one.
    pub fn bind(host: &str, port: u16) -> io::Result<Listener> {
        let (sockets, port) = sockets(host, port)?;
        let servers = sockets.into_iter().map(serve).collect::<io::Result<_>>()?;
        Ok(Listener { servers, port })
    }
}

/// Whether a login could listen there now; the port, which is a free one for 0.
pub fn try_port(host: &str, port: u16) -> io::Result<u16> {
    sockets(host, port).map(|(_, port)| port)
}

fn sockets(host: &str, port: u16) -> io::Result<(Vec<TcpListener>, u16)> {
    let addresses = match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(address) => vec![address],
        Err(_) => vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)],
    };
    let first = TcpListener::bind(SocketAddr::new(addresses[0], port))?;
    let port = first.local_addr()?.port();
    let mut sockets = vec![first];
    for address in &addresses[1..] {
        match TcpListener::bind(SocketAddr::new(*address, port)) {
            Ok(socket) => sockets.push(socket),
            // Another program would get the code of a browser that tries this address first.
            Err(e) if e.kind() == ErrorKind::AddrInUse => return Err(e),
            // A machine without IPv6.
            Err(_) => {}
        }
    }
    Ok((sockets, port))
}

fn serve(socket: TcpListener) -> io::Result<Arc<Server>> {
    #[cfg(unix)]
    {
        // Accepted sockets inherit it (Linux); without it a page takes 40 ms longer.
        let copy = std::os::fd::OwnedFd::from(socket.try_clone()?);
        let _ = std::net::TcpStream::from(copy).set_nodelay(true);
    }
    Server::from_listener(socket, None).map(Arc::new).map_err(io::Error::other)
}

impl Drop for Listener {
    fn drop(&mut self) {
        for server in &self.servers {
            server.unblock();
        }
    }
}

/// The browser that brought the callback, still waiting for its page.
pub struct Browser(Request);

impl Browser {
    pub fn show(self, status: u16, html: &str) {
        answer(self.0, status, html);
    }
}

/// How a callback can arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The query of a request to the redirect path.
    Loopback,
    /// What a person pasted.
    Paste,
}

/// What the caller knows and net does not.
pub struct Rules<'a, T> {
    /// The path of the redirect URI.
    pub path: &'a str,
    /// Whether the text is the awaited callback; Err says why not, in words for the person.
    pub judge: &'a dyn Fn(Source, &str) -> Result<T, String>,
    /// Whether another process has finished or cancelled the login.
    pub is_over: &'a dyn Fn() -> bool,
    /// Told once a second how long the wait still lasts.
    pub tick: &'a dyn Fn(Duration),
    /// Told what the person should know: why a pasted text was not taken, that the port is lost.
    pub tell: &'a dyn Fn(&str),
}

pub enum Heard<T> {
    Callback(T, Browser),
    Pasted(T),
    Over,
    TimedOut,
}

enum Event {
    /// tiny_http gave the port up, as it does when descriptors run out.
    Lost,
    Request(Request),
}

/// Waits until `deadline`. `paste` gives the next pasted line, if there is one; its end ends only the
/// pasting.
pub fn wait<T>(
    listener: Option<&Listener>,
    paste: &dyn Fn() -> Option<String>,
    deadline: Instant,
    rules: &Rules<T>,
) -> Heard<T> {
    let events = listen(listener);
    let mut pasted: Vec<String> = Vec::new();
    let mut last_line = Instant::now();
    let mut last_tick = None;
    loop {
        let now = Instant::now();
        if now >= deadline {
            return Heard::TimedOut;
        }
        let remaining = deadline - now;
        if last_tick != Some(remaining.as_secs()) {
            last_tick = Some(remaining.as_secs());
            (rules.tick)(remaining);
        }
        if (rules.is_over)() {
            return Heard::Over;
        }
        while let Some(line) = paste() {
            last_line = Instant::now();
            pasted.push(line);
            if pasted.len() > PASTE_LIMIT_LINES {
                pasted.clear();
            }
        }
        match events.recv_timeout(POLL.min(remaining)) {
            Ok(Event::Request(request)) => match consider(request, rules) {
                Some((callback, browser)) => return Heard::Callback(callback, browser),
                None => continue,
            },
            Ok(Event::Lost) => {
                (rules.tell)("the callback port was lost; paste the address, or start again");
            }
            Err(RecvTimeoutError::Timeout) => {}
            // No listener: a paste or another process can still finish the login.
            Err(RecvTimeoutError::Disconnected) => thread::sleep(POLL.min(remaining)),
        }
        if !pasted.is_empty()
            && last_line.elapsed() >= PASTE_PAUSE
            && let Some(callback) = consider_paste(&std::mem::take(&mut pasted), rules)
        {
            return Heard::Pasted(callback);
        }
    }
}

fn listen(listener: Option<&Listener>) -> Receiver<Event> {
    let (sender, events) = mpsc::sync_channel(WAITING_EVENTS);
    for server in listener.iter().flat_map(|listener| &listener.servers) {
        let (server, sender) = (Arc::clone(server), sender.clone());
        thread::spawn(move || {
            while let Ok(request) = server.recv() {
                if has_open_body(&request) {
                    refuse_body(request);
                } else if sender.send(Event::Request(request)).is_err() {
                    return;
                }
            }
            // Nobody hears it when the wait is over, which is the usual end.
            let _ = sender.send(Event::Lost);
        });
    }
    events
}

fn consider<T>(request: Request, rules: &Rules<T>) -> Option<(T, Browser)> {
    let target = request.url().to_owned();
    if target.len() > TARGET_LIMIT_BYTES {
        answer(request, 414, &page::failure("That address is too long to be a callback."));
        return None;
    }
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let wanted = if rules.path.is_empty() { "/" } else { rules.path };
    if path != wanted {
        answer(request, 404, &page::failure("Nothing is served here but the end of a sign-in."));
        return None;
    }
    if *request.method() != Method::Get {
        answer(request, 405, &page::failure("A sign-in ends with a GET request."));
        return None;
    }
    if !is_navigation(&request) {
        answer(request, 403, &page::failure("A sign-in ends in a window of the browser."));
        return None;
    }
    match (rules.judge)(Source::Loopback, query) {
        Ok(callback) => Some((callback, Browser(request))),
        Err(why) => {
            let text = format!("{why}. The terminal still waits for the right answer.");
            answer(request, 400, &page::failure(&text));
            None
        }
    }
}

/// A page that tries ports in the background says so (Fetch Metadata): a picture or a frame of a
/// stranger's page must not end a login. What says nothing is no such browser.
fn is_navigation(request: &Request) -> bool {
    let says = |name: &'static str, wanted: &str| {
        let mut headers = request.headers().iter();
        let found = headers.find(|header| header.field.equiv(name));
        found.is_none_or(|header| header.value.as_str() == wanted)
    };
    says("Sec-Fetch-Mode", "navigate") && says("Sec-Fetch-Dest", "document")
}

/// All lines as one text, else the last line alone (earlier ones may be rubbish).
fn consider_paste<T>(lines: &[String], rules: &Rules<T>) -> Option<T> {
    let whole = (rules.judge)(Source::Paste, &lines.concat());
    let last = || (rules.judge)(Source::Paste, lines.last().map_or("", String::as_str));
    match whole.or_else(|_| last()) {
        Ok(callback) => Some(callback),
        Err(why) => {
            (rules.tell)(&format!("not taken: {why}"));
            None
        }
    }
}

/// Whether the body is still on the wire: tiny_http has read only small ones by now.
fn has_open_body(request: &Request) -> bool {
    let has = |name: &'static str| request.headers().iter().any(|header| header.field.equiv(name));
    request.body_length().is_some_and(|length| length > 1024)
        || has("Transfer-Encoding")
        || has("Expect")
        || has("Upgrade")
}

/// Dropping such a request would wait for the body to its announced end, and abort the process when
/// that is huge. Answered this way and leaked, it costs one socket until we exit.
fn refuse_body(request: Request) {
    std::mem::forget(request.upgrade("close", Response::empty(413)));
}

/// Written by hand through the raw writer: tiny_http would keep the connection open, and browsers
/// reuse it for a second login that then hangs.
fn answer(request: Request, status: u16, html: &str) {
    let is_head = *request.method() == Method::Head;
    let reason = Response::empty(status).status_code().default_reason_phrase();
    let head = format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: text/html; charset=utf-8\r\n\
         Content-Length: {}\r\nCache-Control: no-store\r\nReferrer-Policy: no-referrer\r\n\
         Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'\r\n\
         X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n",
        html.len(),
    );
    let mut writer = request.into_writer();
    let body = if is_head { "" } else { html };
    // The browser may have gone; the login goes on all the same.
    let _ = writer.write_all(head.as_bytes());
    let _ = writer.write_all(body.as_bytes());
    let _ = writer.flush();
}
