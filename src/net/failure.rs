//! What went wrong on the way to a server, in plain words. ureq's own texts may hold a URL
//! with its query, so only texts known to be free of it are passed on.

use std::io::{self, ErrorKind};

use ureq::Timeout;

use crate::error::Error;
use crate::net::guard::Private;
use crate::text::harmless;

/// What a sentence needs to know about the request that failed.
pub struct Attempt<'a> {
    pub host: &'a str,
    /// The variable that named the proxy, if one was used.
    pub proxied_by: Option<&'static str>,
    pub timeout_s: u64,
}

impl Attempt<'_> {
    /// Temporary if another try may help, else Failed; Unreadable if it was no HTTP.
    pub fn explain(&self, error: ureq::Error) -> Error {
        match error {
            ureq::Error::ConnectProxyFailed(reason) if reason.contains("407") => self.failed(
                "the proxy wants another user name or password",
                self.proxied_by.map(|name| format!("export {name}=http://USER:PASSWORD@HOST:PORT")),
            ),
            // Its text ends in the status twice, as 503/503.
            ureq::Error::ConnectProxyFailed(reason) => {
                self.unreachable(reason.split('/').next().unwrap_or_default())
            }
            ureq::Error::ConnectionFailed => self.unreachable("no connection"),
            ureq::Error::HostNotFound => self.unreachable("its name cannot be resolved"),
            ureq::Error::Io(error) => self.explain_io(&error),
            ureq::Error::LargeResponseHeader(..) | ureq::Error::Protocol(_) => {
                Error::unreadable(self.place(), "no valid HTTP")
            }
            ureq::Error::Other(error) if error.is::<Private>() => self.private(),
            ureq::Error::Rustls(error) => self.explain_tls(&error.to_string()),
            ureq::Error::Timeout(Timeout::Connect | Timeout::Resolve) => {
                self.unreachable("no connection in time")
            }
            ureq::Error::Timeout(_) => self.out_of_time(),
            ureq::Error::Tls(reason) => self.explain_tls(reason),
            _ => self.failed("the request cannot be sent", None),
        }
    }

    fn explain_io(&self, error: &io::Error) -> Error {
        let text = error.to_string();
        match error.kind() {
            ErrorKind::ConnectionRefused => self.unreachable("connection refused"),
            ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset => {
                self.unreachable(RESET)
            }
            ErrorKind::UnexpectedEof => self.unreachable(CLOSED),
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
                self.unreachable("there is no route to it")
            }
            ErrorKind::TimedOut | ErrorKind::WouldBlock => self.out_of_time(),
            // rustls puts its errors into an io::Error of this kind.
            ErrorKind::InvalidData
                if self.proxied_by.is_none() || text.starts_with(CERTIFICATE_FAULT) =>
            {
                self.explain_tls(&text)
            }
            // getaddrinfo has no kind of its own in the standard library.
            _ if text.starts_with("failed to lookup address information") => {
                self.unreachable("its name cannot be resolved")
            }
            _ => self.unreachable(&harmless(&text, 200)),
        }
    }

    fn explain_tls(&self, text: &str) -> Error {
        let Some(fault) = text.strip_prefix(CERTIFICATE_FAULT) else {
            return self.unreachable(&format!("TLS handshake: {}", harmless(text, 200)));
        };
        let host = self.host;
        let (cause, next) = if fault == "UnknownIssuer" {
            ("its certificate comes from an issuer unknown here", Some(SET_CA_FILE))
        } else if fault.contains("expired") {
            ("its certificate has expired, or this machine's clock is wrong", None)
        } else if fault.contains("not valid yet") {
            ("its certificate is not valid yet, or this machine's clock is wrong", None)
        } else {
            (fault, None)
        };
        Error::Failed {
            what: format!("{UNTRUSTED}{host}: {}", harmless(cause, 300)),
            next: next.map(str::to_owned),
        }
    }

    fn unreachable(&self, cause: &str) -> Error {
        Error::temporary(format!("cannot reach {}: {cause}", self.place()))
    }

    fn failed(&self, cause: &str, next: Option<String>) -> Error {
        Error::Failed { what: format!("cannot reach {}: {cause}", self.place()), next }
    }

    /// A guarded client will not go there.
    pub fn private(&self) -> Error {
        Error::failed(format!("{} {Private}", self.host))
    }

    fn out_of_time(&self) -> Error {
        let (place, timeout_s) = (self.place(), self.timeout_s);
        Error::temporary(format!("{place} {LATE} {timeout_s} s"))
    }

    fn place(&self) -> String {
        match self.proxied_by {
            Some(variable) => format!("{} through the proxy of {variable}", self.host),
            None => self.host.to_owned(),
        }
    }
}

/// Whether the address itself is dead: no connection came about, and none would through a retry.
pub fn is_nobody_there(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::ConnectionFailed
        | ureq::Error::HostNotFound
        | ureq::Error::Timeout(Timeout::Connect | Timeout::Resolve) => true,
        ureq::Error::Io(error) => matches!(
            error.kind(),
            ErrorKind::AddrNotAvailable
                | ErrorKind::ConnectionRefused
                | ErrorKind::HostUnreachable
                | ErrorKind::InvalidInput
                | ErrorKind::NetworkDown
                | ErrorKind::NetworkUnreachable
                | ErrorKind::PermissionDenied
        ),
        _ => false,
    }
}

/// Whether a failed request met a certificate that cannot be trusted.
pub fn is_about_trust(error: &Error) -> bool {
    matches!(error, Error::Failed { what, .. } if what.starts_with(UNTRUSTED))
}

/// Whether a failed request got no answer, or not all of it, in time.
pub fn is_out_of_time(error: &Error) -> bool {
    matches!(error, Error::Temporary { what, .. } if what.contains(LATE))
}

/// Whether the connection of a failed request ended under it: the request may have arrived.
pub fn is_cut_off(error: &Error) -> bool {
    matches!(error, Error::Temporary { what, .. } if what.ends_with(RESET) || what.ends_with(CLOSED))
}

const CLOSED: &str = "the connection was closed before the answer was complete";
const LATE: &str = "did not answer in full within";
const RESET: &str = "the connection was reset";
const UNTRUSTED: &str = "cannot trust ";

const SET_CA_FILE: &str = "set KEYFOB_CA_FILE to your organisation's CA file";

/// How rustls begins on every fault of a certificate (0.23, Display of its Error).
const CERTIFICATE_FAULT: &str = "invalid peer certificate: ";
