//! The head of a request, read strictly: what two programs could understand in two ways is refused
//! (RFC 9112, sections 2.2, 3.2, 5.1, 6.1 and 6.3), so that nothing can be smuggled.

use httparse::Status;

/// No client needs more.
pub const HEAD_LIMIT_BYTES: usize = 32 * 1024;
const MOST_HEADERS: usize = 96;

/// Why a request is refused before anybody looks at what it wants.
#[derive(Debug, PartialEq, Eq)]
pub struct Wrong {
    pub status: u16,
    pub why: &'static str,
}

impl Wrong {
    pub const fn new(status: u16, why: &'static str) -> Wrong {
        Wrong { status, why }
    }
}

/// How long the body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    Chunked,
    Known(u64),
}

/// A request without its body. It holds the caller's key, so it has no Debug.
pub struct Head {
    pub method: String,
    /// Begins with a slash, as it was sent.
    pub path: String,
    /// What stands behind the question mark, as it was sent.
    pub query: String,
    /// Names in lower case.
    headers: Vec<(String, String)>,
    pub length: Length,
    pub is_http11: bool,
    pub expects_continue: bool,
    pub wants_close: bool,
}

impl Head {
    /// The first header of this name, which is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.header_values(name).next()
    }

    pub fn header_values(&self, name: &str) -> impl Iterator<Item = &str> {
        let named = self.headers.iter().filter(move |(known, _)| known == name);
        named.map(|(_, value)| value.as_str())
    }

    pub fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    /// Lets go of what nobody will ask for any more.
    pub fn forget(&mut self) {
        (self.headers, self.query) = Default::default();
    }
}

/// The head at the beginning of `bytes` and its length; None: it is not whole yet.
pub fn parse(bytes: &[u8]) -> Result<Option<(Head, usize)>, Wrong> {
    let mut slots = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut request = httparse::Request::new(&mut slots);
    let parsed = request.parse(bytes).map_err(|error| match error {
        httparse::Error::TooManyHeaders => Wrong::new(431, "too many headers"),
        httparse::Error::Version => Wrong::new(505, "only HTTP/1.0 and HTTP/1.1 are spoken here"),
        _ => Wrong::new(400, "this is no request"),
    })?;
    let Status::Complete(length) = parsed else {
        return match bytes.len() > HEAD_LIMIT_BYTES {
            true => Err(Wrong::new(431, "the head is too long")),
            false => Ok(None),
        };
    };
    if length > HEAD_LIMIT_BYTES {
        return Err(Wrong::new(431, "the head is too long"));
    }
    if has_bare_line_end(&bytes[..length]) {
        return Err(Wrong::new(400, "a line ends in half a line end"));
    }
    let mut headers = Vec::with_capacity(request.headers.len());
    for header in request.headers.iter() {
        let value = std::str::from_utf8(header.value).ok().filter(|value| value.is_ascii());
        let value = value.ok_or(Wrong::new(400, "a header holds bytes that are no ASCII"))?;
        headers.push((header.name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let target = request.path.unwrap_or_default();
    if !target.starts_with('/') || target.contains('#') || !target.is_ascii() {
        return Err(Wrong::new(400, "the target has to be a path"));
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let is_http11 = request.version == Some(1);
    let mut head = Head {
        method: request.method.unwrap_or_default().to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers,
        length: Length::Known(0),
        is_http11,
        expects_continue: false,
        wants_close: false,
    };
    head.length = body_length(&head)?;
    judge(&mut head)?;
    Ok(Some((head, length)))
}

/// httparse takes a line feed alone for the end of a line; others do not.
fn has_bare_line_end(head: &[u8]) -> bool {
    let mut before = 0;
    head.iter().any(|&byte| {
        let is_bare = (byte == b'\n') != (before == b'\r');
        before = byte;
        is_bare
    })
}

fn body_length(head: &Head) -> Result<Length, Wrong> {
    let mut lengths = head.header_values("content-length");
    let mut codings = head.header_values("transfer-encoding");
    match (lengths.next(), codings.next()) {
        (None, None) => Ok(Length::Known(0)),
        (Some(length), None) => {
            let is_number = length.bytes().all(|byte| byte.is_ascii_digit()) && length.len() < 19;
            let number = length.parse().ok().filter(|_| is_number && lengths.next().is_none());
            number.map(Length::Known).ok_or(Wrong::new(400, "the length is no single number"))
        }
        (None, Some(coding)) if coding.eq_ignore_ascii_case("chunked") && head.is_http11 => {
            match codings.next() {
                None => Ok(Length::Chunked),
                Some(_) => Err(Wrong::new(400, "several transfer codings")),
            }
        }
        (None, Some(_)) => Err(Wrong::new(501, "the only transfer coding here is chunked")),
        (Some(_), Some(_)) => Err(Wrong::new(400, "both a length and a transfer coding")),
    }
}

fn judge(head: &mut Head) -> Result<(), Wrong> {
    let hosts = head.header_values("host").count();
    if hosts > 1 || (hosts == 0 && head.is_http11) {
        return Err(Wrong::new(400, "one Host is wanted"));
    }
    let connection = head.header_values("connection").collect::<Vec<_>>().join(",");
    let says = |word: &str| connection.split(',').any(|one| one.trim().eq_ignore_ascii_case(word));
    let wants_close = says("close") || (!head.is_http11 && !says("keep-alive"));
    let expectation = head.header("expect").map(|value| value.eq_ignore_ascii_case("100-continue"));
    if expectation == Some(false) {
        return Err(Wrong::new(417, "the only expectation here is 100-continue"));
    }
    head.wants_close = wants_close;
    head.expects_continue = expectation.is_some() && head.is_http11;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<(Head, usize)>, Wrong> {
        parse(text.as_bytes())
    }

    #[track_caller]
    fn status(text: &str) -> u16 {
        match read(text) {
            Err(wrong) => wrong.status,
            Ok(found) => panic!("{text:?}: {}", found.is_some()),
        }
    }

    #[test]
    fn a_request_is_taken_apart() {
        let text = "POST /v1/x?a=b HTTP/1.1\r\nHost: h\r\nX-A:  1 \r\nContent-Length: 3\r\n\r\nabc";
        let (head, length) = read(text).unwrap().unwrap();
        assert_eq!((head.method.as_str(), head.path.as_str()), ("POST", "/v1/x"));
        assert_eq!((head.query.as_str(), head.header("x-a")), ("a=b", Some("1")));
        assert_eq!((head.length, &text[length..]), (Length::Known(3), "abc"));
        assert!(!head.wants_close && read(&text[..40]).unwrap().is_none());
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        for (lines, wanted) in [
            ("Host: h\r\nContent-Length: 3\r\nContent-Length: 3", 400),
            ("Host: h\r\nContent-Length: 3, 3", 400),
            ("Host: h\r\nContent-Length: +3", 400),
            ("Host: h\r\nContent-Length: 3x", 400),
            ("Host: h\r\nContent-Length: ", 400),
            ("Host: h\r\nContent-Length: 99999999999999999999", 400),
            ("Host: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked", 400),
            ("Host: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked", 400),
            ("Host: h\r\nTransfer-Encoding: gzip, chunked", 501),
            ("Host: h\r\nTransfer-Encoding: xchunked", 501),
            ("Host: h\r\nTransfer-Encoding : chunked", 400),
            ("Host: h\r\nX: 1\nContent-Length: 5", 400),
            ("Host: h\r\nX: 1\r\n Content-Length: 5", 400),
            ("Host: h\r\nX: \u{e9}", 400),
            ("Host: h\r\nHost: h", 400),
            ("X: 1", 400),
            ("Host: h\r\nExpect: wonders", 417),
        ] {
            assert_eq!(status(&format!("POST / HTTP/1.1\r\n{lines}\r\n\r\n")), wanted, "{lines:?}");
        }
        for line in ["GET http://h/ HTTP/1.1", "GET h:80 HTTP/1.1", "OPTIONS * HTTP/1.1"] {
            assert_eq!(status(&format!("{line}\r\nHost: h\r\n\r\n")), 400, "{line}");
        }
        assert_eq!(status("GET / HTTP/2.0\r\nHost: h\r\n\r\n"), 505);
        assert_eq!(status("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 501);
    }

    #[test]
    fn a_head_has_limits() {
        let many = "X: 1\r\n".repeat(200);
        assert_eq!(status(&format!("GET / HTTP/1.1\r\nHost: h\r\n{many}\r\n")), 431);
        let long = "x".repeat(HEAD_LIMIT_BYTES);
        assert_eq!(status(&format!("GET / HTTP/1.1\r\nHost: h\r\nX: {long}")), 431);
        assert_eq!(status(&format!("GET /{long} HTTP/1.1\r\nHost: h\r\n\r\n")), 431);
    }

    #[test]
    fn who_closes_is_known() {
        let closes = |text: &str| read(text).unwrap().unwrap().0.wants_close;
        assert!(closes("GET / HTTP/1.1\r\nHost: h\r\nConnection: x, Close\r\n\r\n"));
        assert!(closes("GET / HTTP/1.0\r\n\r\n"));
        assert!(!closes("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
    }
}
