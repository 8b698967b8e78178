//! One HTTP/1.1 request in, one answer out, then the connection is closed.
//!
//! Written on std because the faults need the bare socket: an answer cut short, one that trickles,
//! a connection dropped after the request was read.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::encoding::{self, Params};

const HEAD_LIMIT_BYTES: usize = 256 * 1024;
const BODY_LIMIT_BYTES: usize = 8 * 1024 * 1024;

/// A request as it arrived. `role` is what the path (and the grant type) makes of it.
#[derive(Clone, Debug)]
pub struct Request {
    pub role: String,
    pub method: String,
    pub path: String,
    pub query: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
    pub at: Instant,
}

impl Request {
    /// The first header of that name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// The body as a form or as JSON, by its content type; lenient, for assertions.
    pub fn param(&self, name: &str) -> Option<String> {
        if let Ok(Value::Object(map)) = serde_json::from_str(&self.body) {
            return map.get(name).map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_string));
        }
        encoding::params(&self.body).ok()?.get(name).map(str::to_string)
    }

    /// A query parameter, decoded.
    pub fn query_param(&self, name: &str) -> Option<String> {
        self.query_params().ok()?.get(name).map(str::to_string)
    }

    pub fn query_params(&self) -> Result<Params, String> {
        encoding::params(&self.query)
    }

    pub fn bearer(&self) -> Option<&str> {
        self.header("authorization")?.strip_prefix("Bearer ")
    }

    /// The media type without its parameters, lower case.
    pub fn media_type(&self) -> String {
        let value = self.header("content-type").unwrap_or_default();
        value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }
}

pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![
            ("Content-Type".into(), content_type.into()),
            ("Cache-Control".into(), "no-store".into()),
        ];
        Answer { status, headers, body: body.into() }
    }

    pub fn json(status: u16, value: &Value) -> Self {
        Answer::new(status, "application/json", value.to_string())
    }

    pub fn html(status: u16, text: &str) -> Self {
        Answer::new(status, "text/html; charset=utf-8", format!("<!doctype html>\n{text}\n"))
    }

    pub fn redirect(status: u16, location: &str) -> Self {
        Answer::html(status, "moved").with("Location", location)
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The bytes of the head, announcing the whole body however much of it is sent.
    pub fn head(&self) -> String {
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("Date: {}\r\n", encoding::http_date()));
        head.push_str(&format!("Content-Length: {}\r\nConnection: close\r\n\r\n", self.body.len()));
        head
    }

    pub fn send(&self, stream: &mut TcpStream) -> io::Result<()> {
        let mut bytes = self.head().into_bytes();
        bytes.extend_from_slice(&self.body);
        stream.write_all(&bytes)?;
        stream.flush()
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        302 => "Found",
        307 => "Temporary Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Status",
    }
}

/// Reads one whole request; an error when the peer is silent for ten seconds or sends nonsense.
pub fn read(stream: &mut TcpStream) -> io::Result<Request> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.set_write_timeout(Some(Duration::from_secs(30)))?;
    let mut buffer = Vec::new();
    let head_end = loop {
        if let Some(at) = find(&buffer, b"\r\n\r\n") {
            break at;
        }
        if buffer.len() > HEAD_LIMIT_BYTES {
            return Err(bad("head too long"));
        }
        more(stream, &mut buffer)?;
    };
    let head = String::from_utf8_lossy(&buffer[..head_end]).into_owned();
    let mut rest = buffer.split_off(head_end + 4);
    let mut lines = head.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return Err(bad("no request line"));
    };
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_string(), value.trim().to_string()))
        .collect();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut request = Request {
        role: String::new(),
        method: method.to_string(),
        path: path.to_string(),
        query: query.to_string(),
        headers,
        body: String::new(),
        at: Instant::now(),
    };
    let chunked = request.header("transfer-encoding").is_some_and(|v| v.contains("chunked"));
    let body = if chunked {
        chunks(stream, rest)?
    } else {
        let length = request.header("content-length").unwrap_or("0").parse().unwrap_or(0);
        fill(stream, &mut rest, length)?;
        rest.truncate(length);
        rest
    };
    request.body = String::from_utf8_lossy(&body).into_owned();
    Ok(request)
}

fn chunks(stream: &mut TcpStream, mut buffer: Vec<u8>) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line_end = loop {
            if let Some(at) = find(&buffer, b"\r\n") {
                break at;
            }
            more(stream, &mut buffer)?;
        };
        let size = String::from_utf8_lossy(&buffer[..line_end]).into_owned();
        let size = usize::from_str_radix(size.split(';').next().unwrap_or_default().trim(), 16)
            .map_err(|_| bad("chunk size"))?;
        let mut rest = buffer.split_off(line_end + 2);
        fill(stream, &mut rest, size + 2)?;
        body.extend_from_slice(&rest[..size]);
        buffer = rest.split_off(size + 2);
        if size == 0 {
            return Ok(body);
        }
    }
}

fn fill(stream: &mut TcpStream, buffer: &mut Vec<u8>, length: usize) -> io::Result<()> {
    if length > BODY_LIMIT_BYTES {
        return Err(bad("body too long"));
    }
    while buffer.len() < length {
        more(stream, buffer)?;
    }
    Ok(())
}

fn more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<()> {
    let mut piece = [0; 8192];
    match stream.read(&mut piece)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        n => {
            buffer.extend_from_slice(&piece[..n]);
            Ok(())
        }
    }
}

fn find(buffer: &[u8], needle: &[u8]) -> Option<usize> {
    buffer.windows(needle.len()).position(|window| window == needle)
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
