//! A browser that is a socket: GET, redirects to loopback, and raw bytes for the rude ones.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::agent::VISITOR;
use super::idp::encoding::params;

const TIME_OUT: Duration = Duration::from_secs(20);
const MOST_REDIRECTS: usize = 10;

#[derive(Clone, Debug)]
pub struct Page {
    pub url: String,
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Page {
    /// The first header of that name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("no JSON: {e}\n{self:#?}"))
    }
}

/// Where the issuer sends the browser back to, not yet followed.
#[derive(Clone, Debug)]
pub struct Redirect {
    pub location: String,
}

impl Redirect {
    /// A parameter of the callback, decoded.
    pub fn param(&self, name: &str) -> Option<String> {
        let query = self.location.split_once('?')?.1;
        params(query).ok()?.get(name).map(str::to_string)
    }

    #[track_caller]
    pub fn code(&self) -> String {
        self.param("code").unwrap_or_else(|| panic!("no code in {}", self.location))
    }

    #[track_caller]
    pub fn state(&self) -> String {
        self.param("state").unwrap_or_else(|| panic!("no state in {}", self.location))
    }

    /// The callback's query alone: `code=…&state=…`.
    pub fn query(&self) -> &str {
        self.location.split_once('?').map_or("", |(_, query)| query)
    }

    /// Goes there, as the browser would.
    #[track_caller]
    pub fn follow(&self) -> Page {
        follow(&self.location)
    }
}

/// Opens the sign-in URL of an issuer that approves at once; the callback is not visited.
#[track_caller]
pub fn approve(url: &str) -> Redirect {
    let page = get(url);
    match page.header("location") {
        Some(location) if page.status == 302 => Redirect { location: location.to_string() },
        _ => panic!("the issuer did not redirect: {page:#?}"),
    }
}

#[track_caller]
pub fn get(url: &str) -> Page {
    request("GET", url, &[], "").unwrap_or_else(|e| panic!("GET {url}: {e}"))
}

/// As `get`, and goes on while the answer redirects to loopback; the last page comes back.
#[track_caller]
pub fn follow(url: &str) -> Page {
    let mut page = get(url);
    for _ in 0..MOST_REDIRECTS {
        match page.header("location") {
            Some(next) if (300..400).contains(&page.status) && is_loopback(next) => {
                page = get(next);
            }
            _ => return page,
        }
    }
    panic!("more than {MOST_REDIRECTS} redirects from {url}")
}

/// The code an issuer's own redirect page shows: opens the sign-in URL and reads that page.
#[track_caller]
pub fn shown_code(url: &str) -> String {
    code_on_page(&follow(url).body)
}

/// The text of `<pre id="code">`.
#[track_caller]
pub fn code_on_page(html: &str) -> String {
    let after = html.split_once("<pre id=\"code\">").map(|(_, rest)| rest);
    let text = after.and_then(|rest| rest.split_once("</pre>")).map(|(text, _)| text);
    let text = text.unwrap_or_else(|| panic!("no code on the page: {html}"));
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
}

/// One request with whatever headers and body, as a visitor unless they say who asks; an error when
/// no whole answer comes.
pub fn request(method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> io::Result<Page> {
    let (authority, target) = split(url);
    let mut text = format!("{method} {target} HTTP/1.1\r\nHost: {authority}\r\n");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("user-agent")) {
        text.push_str(&format!("User-Agent: {VISITOR}\r\n"));
    }
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    text.push_str(&format!("Connection: close\r\n\r\n{body}"));
    let bytes = raw(authority, text.as_bytes())?;
    parse(url, &bytes)
}

/// Sends bytes to `host:port` and reads to the end of the connection.
pub fn raw(authority: &str, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = connect(authority)?;
    stream.write_all(bytes)?;
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        // A peer may answer, then reset because it did not read all that was sent.
        Err(e) if e.kind() == ErrorKind::ConnectionReset && !answer.is_empty() => Ok(answer),
        Err(e) => Err(e),
        Ok(_) => Ok(answer),
    }
}

/// A connection with time-outs, for a test that speaks byte by byte.
pub fn connect(authority: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::from(ErrorKind::AddrNotAvailable);
    let with_port =
        if has_port(authority) { authority.to_string() } else { format!("{authority}:80") };
    // "localhost" may be ::1 first where only 127.0.0.1 listens.
    for address in with_port.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, TIME_OUT) {
            Ok(stream) => {
                stream.set_read_timeout(Some(TIME_OUT))?;
                stream.set_write_timeout(Some(TIME_OUT))?;
                return Ok(stream);
            }
            Err(e) => last = e,
        }
    }
    Err(last)
}

/// `host:port` and the request target of an http URL.
pub fn split(url: &str) -> (&str, String) {
    let rest = url.strip_prefix("http://").unwrap_or_else(|| panic!("no http URL: {url}"));
    let rest = rest.split('#').next().unwrap_or_default();
    let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let slash = if target.starts_with('/') { "" } else { "/" };
    (authority, format!("{slash}{target}"))
}

fn has_port(authority: &str) -> bool {
    authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok())
}

fn is_loopback(url: &str) -> bool {
    ["http://127.0.0.1", "http://localhost", "http://[::1]"].iter().any(|p| url.starts_with(p))
}

fn parse(url: &str, bytes: &[u8]) -> io::Result<Page> {
    let bad = |what: &str| io::Error::new(ErrorKind::InvalidData, what.to_string());
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
    let end = end.ok_or_else(|| io::Error::from(ErrorKind::UnexpectedEof))?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let status = status.ok_or_else(|| bad("no status line"))?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_string(), value.trim().to_string()))
        .collect();
    let mut page = Page { url: url.to_string(), status, headers, body: String::new() };
    let mut body = bytes[end + 4..].to_vec();
    if page.header("transfer-encoding").is_some_and(|v| v.contains("chunked")) {
        body = unchunked(&body).ok_or_else(|| bad("broken chunks"))?;
    } else if let Some(length) = page.header("content-length").and_then(|v| v.parse().ok())
        && body.len() < length
    {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    page.body = String::from_utf8_lossy(&body).into_owned();
    Ok(page)
}

fn unchunked(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = bytes.windows(2).position(|window| window == b"\r\n")?;
        let size = std::str::from_utf8(&bytes[..end]).ok()?.split(';').next()?.trim();
        let size = usize::from_str_radix(size, 16).ok()?;
        bytes = &bytes[end + 2..];
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(bytes.get(..size)?);
        bytes = bytes.get(size + 2..)?;
    }
}
