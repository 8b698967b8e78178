//! Answers that come bit by bit.

use std::io::Read;
use std::time::Duration;

use ureq::http::Request;

use crate::endpoint::check;
use crate::error::{Error, Result};
use crate::net::client::{self, Client, Patience};
use crate::net::failure::Attempt;
use crate::net::reply::{self, BODY_LIMIT_BYTES, Reply};
use crate::secret::Secret;

/// The most that one read gives.
const PIECE_BYTES: usize = 16 * 1024;

/// An answer whose body arrives bit by bit.
pub struct Stream {
    /// All but the body, whatever the status.
    pub head: Reply,
    host: String,
    proxied_by: Option<&'static str>,
    timeout_s: u64,
    body: ureq::BodyReader<'static>,
}

impl Client {
    /// One request whose answer may take its time: the time-out bounds the wait for its beginning,
    /// and then each silence. All else as `send`.
    pub fn open(&self, request: Request<Secret>) -> Result<Stream> {
        self.open_patient(request, self.timeout_s(), Some(self.timeout_s()))
    }

    /// The same with limits of its own: for the answer's beginning, and for each silence, the one
    /// before it included; None: silence has no limit. A connection has what it has with `send`.
    pub fn open_patient(
        &self,
        request: Request<Secret>,
        head_s: u64,
        silence_s: Option<u64>,
    ) -> Result<Stream> {
        check("address", &request.uri().to_string())?;
        let uri = request.uri().clone();
        let method = request.method().clone();
        let host = uri.authority().map_or_else(String::new, ToString::to_string);
        let (agent, proxied_by) = self.agent(&uri)?;
        let silence = silence_s.map(Duration::from_secs);
        let patience = Some(Patience { head: Duration::from_secs(head_s), silence });
        let outcome = match proxied_by {
            Some(_) => {
                client::bounded(agent, head_s, move |agent| client::run(agent, request, patience))
            }
            None => client::run(agent, request, patience),
        };
        client::log_outcome(&method, &uri, outcome.as_ref().ok().map(|r| r.status().as_u16()));
        match outcome {
            Ok(response) => {
                let (parts, body) = response.into_parts();
                let (head, body) = (reply::head(parts), body.into_reader());
                let timeout_s = silence_s.unwrap_or(head_s);
                Ok(Stream { head, host, proxied_by, timeout_s, body })
            }
            Err(error) => {
                let timeout_s = silence_s.map_or(head_s, |silence_s| silence_s.min(head_s));
                Err(Attempt { host: &host, proxied_by, timeout_s }.explain(error))
            }
        }
    }
}

impl Stream {
    /// The next bytes, as soon as there are any; None at the end.
    pub fn next(&mut self) -> Result<Option<Vec<u8>>> {
        let mut piece = vec![0; PIECE_BYTES];
        let read = self.read(&mut piece)?;
        piece.truncate(read);
        Ok((read > 0).then_some(piece))
    }

    /// The same into memory of the caller's; 0 at the end.
    pub fn read(&mut self, piece: &mut [u8]) -> Result<usize> {
        self.body.read(piece).map_err(|error| {
            let Stream { host, proxied_by, timeout_s, .. } = self;
            let attempt = Attempt { host, proxied_by: *proxied_by, timeout_s: *timeout_s };
            attempt.explain(error.into())
        })
    }

    /// Lets go of the head, for whoever holds a stream for long.
    pub fn forget_head(&mut self) {
        self.head = reply::none();
    }

    /// The rest, as `send` gives it: a good answer above 1 MiB is Unreadable.
    pub fn whole(mut self) -> Result<Reply> {
        let bytes = self.read_to(BODY_LIMIT_BYTES + 1)?;
        reply::not_too_long(self.head.with_body(&bytes), self.host)
    }

    /// The rest of an answer that may be long; one above the limit is Unreadable.
    pub fn long_text(mut self, limit_bytes: u64) -> Result<String> {
        let bytes = self.read_to(limit_bytes + 1)?;
        if bytes.len() as u64 > limit_bytes {
            return Err(Error::unreadable(self.host, format!("more than {limit_bytes} bytes")));
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn read_to(&mut self, limit_bytes: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < limit_bytes
            && let Some(piece) = self.next()?
        {
            bytes.extend(piece);
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::thread;

    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Id: 7\r\n\r\na";

    /// A request to a server that does this with its one connection.
    fn request(
        serve: impl FnOnce(&mut TcpStream) + Send + 'static,
    ) -> (Request<Secret>, thread::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let server = thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let _ = socket.read(&mut [0; 4096]).unwrap();
            serve(&mut socket);
        });
        (Request::get(url).body(Secret::new("")).unwrap(), server)
    }

    /// Until the client hangs up.
    fn stay(socket: &mut TcpStream) {
        while socket.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {}
    }

    #[test]
    fn silence_ends_a_stream_only_where_it_has_a_limit() {
        let (patient, server) = request(|socket| {
            socket.write_all(HEAD).unwrap();
            thread::sleep(Duration::from_millis(1500));
            socket.write_all(b"b").unwrap();
        });
        let mut stream = Client::new(1).open_patient(patient, 1, None).ok().unwrap();
        assert_eq!(stream.head.header("x-id"), Some("7"));
        assert_eq!(stream.next().unwrap().as_deref(), Some(&b"a"[..]));
        assert_eq!(stream.next().unwrap().as_deref(), Some(&b"b"[..]), "longer than the time-out");
        assert_eq!(stream.next().unwrap(), None);
        server.join().unwrap();

        let (hasty, server) = request(|socket| {
            socket.write_all(HEAD).unwrap();
            stay(socket);
        });
        let mut stream = Client::new(60).open_patient(hasty, 60, Some(1)).ok().unwrap();
        assert!(stream.next().unwrap().is_some());
        let error = stream.next().unwrap_err();
        assert!(error.to_string().ends_with("within 1 s"), "{error}");
        assert_eq!(error.exit_code(), 3);
        drop(stream);
        server.join().unwrap();
    }

    #[test]
    fn the_beginning_has_a_limit_of_its_own() {
        let (request, server) = request(stay);
        let error = Client::new(60).open_patient(request, 1, None).err().unwrap();
        assert!(error.to_string().ends_with("within 1 s"), "{error}");
        assert_eq!(error.exit_code(), 3);
        server.join().unwrap();
    }
}
