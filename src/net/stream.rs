//! Answers that come bit by bit.

use std::io::Read;
use std::time::Duration;

use ureq::http::Request;

use crate::endpoint::check;
use crate::error::Result;
use crate::net::client::{self, BODY_LIMIT_BYTES, Client, Reply};
use crate::net::failure::Attempt;
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
        check("address", &request.uri().to_string())?;
        let uri = request.uri().clone();
        let method = request.method().clone();
        let host = uri.authority().map_or_else(String::new, ToString::to_string);
        let (agent, proxied_by) = self.agent(&uri)?;
        let timeout_s = self.timeout_s();
        let limit = Some(Duration::from_secs(timeout_s));
        let outcome = match proxied_by {
            Some(_) => {
                client::bounded(agent, timeout_s, move |agent| client::run(agent, request, limit))
            }
            None => client::run(agent, request, limit),
        };
        client::log_outcome(&method, &uri, outcome.as_ref().ok().map(|r| r.status().as_u16()));
        match outcome {
            Ok(response) => {
                let (parts, body) = response.into_parts();
                let (head, body) = (client::head(&parts), body.into_reader());
                Ok(Stream { head, host, proxied_by, timeout_s, body })
            }
            Err(error) => Err(Attempt { host: &host, proxied_by, timeout_s }.explain(error)),
        }
    }
}

impl Stream {
    /// The next bytes, as soon as there are any; None at the end.
    pub fn next(&mut self) -> Result<Option<Vec<u8>>> {
        let mut piece = vec![0; PIECE_BYTES];
        match self.body.read(&mut piece) {
            Ok(0) => Ok(None),
            Ok(read) => {
                piece.truncate(read);
                Ok(Some(piece))
            }
            Err(error) => {
                let Stream { host, proxied_by, timeout_s, .. } = self;
                let attempt = Attempt { host, proxied_by: *proxied_by, timeout_s: *timeout_s };
                Err(attempt.explain(error.into()))
            }
        }
    }

    /// The rest, as `send` gives it: a good answer above 1 MiB is Unreadable.
    pub fn whole(mut self) -> Result<Reply> {
        let mut bytes = Vec::new();
        while bytes.len() as u64 <= BODY_LIMIT_BYTES
            && let Some(piece) = self.next()?
        {
            bytes.extend(piece);
        }
        client::not_too_long(self.head.with_body(&bytes), self.host)
    }
}
