//! A private CA, the issuer behind TLS with a certificate of that CA, and listeners that misbehave
//! below HTTP. All on 127.0.0.1.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::crypto::ring;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, ServerConnection};

use super::agent::{Agents, Verdict};

/// A peer that hangs is given up after this, so that no thread outlives the tests for long.
const SILENCE_LIMIT: Duration = Duration::from_secs(20);

/// A listener with a thread for each connection; it stops listening when dropped.
pub struct Server {
    pub port: u16,
    seen: Arc<AtomicUsize>,
    stopped: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
    _verdict: Verdict,
}

impl Server {
    /// An error of `serve` ends its connection and nothing else: most come from a peer that left.
    /// It tells the agents of each request of HTTP.
    pub fn start(
        serve: impl Fn(TcpStream, &Agents) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port of loopback is free");
        let port = listener.local_addr().expect("a bound listener has an address").port();
        let (seen, stopped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (counter, is_over, serve) = (Arc::clone(&seen), Arc::clone(&stopped), Arc::new(serve));
        let agents = Agents::default();
        let verdict = agents.verdict();
        let acceptor = thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if is_over.load(Ordering::SeqCst) {
                    return;
                }
                counter.fetch_add(1, Ordering::SeqCst);
                let _ = stream.set_nodelay(true);
                let _ = stream.set_read_timeout(Some(SILENCE_LIMIT));
                let (serve, agents) = (Arc::clone(&serve), agents.clone());
                thread::spawn(move || serve(stream, &agents));
            }
        });
        Server { port, seen, stopped, acceptor: Some(acceptor), _verdict: verdict }
    }

    /// Takes what comes and never answers.
    pub fn mute() -> Self {
        Server::start(|mut stream, agents| {
            agents.read(&mut stream)?;
            io::copy(&mut stream, &mut io::sink()).map(drop)
        })
    }

    /// Resets every connection as soon as something was sent: closing a socket with unread bytes
    /// in it does that.
    pub fn resetting() -> Self {
        Server::start(|stream, agents| agents.peek(&stream))
    }

    /// Reads the request, then sends `start` and `piece` for ever, with a pause before each piece.
    pub fn endless(start: &'static [u8], piece: &'static [u8], pause: Duration) -> Self {
        Server::start(move |mut stream, agents| {
            agents.read(&mut stream)?;
            stream.write_all(start)?;
            loop {
                thread::sleep(pause);
                stream.write_all(piece)?;
            }
        })
    }

    /// TLS in front of a plain port, whose server is the one that sees the requests.
    pub fn tls(certificate: Arc<ServerConfig>, to: u16) -> Self {
        Server::start(move |stream, _| forward_tls(stream, Arc::clone(&certificate), to))
    }

    /// Connections so far.
    pub fn count(&self) -> usize {
        self.seen.load(Ordering::SeqCst)
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

/// A port on which nobody listens, and nobody will: it is the near end of a connection.
pub struct DeadPort {
    pub port: u16,
    _ends: (TcpListener, TcpStream),
}

impl DeadPort {
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port of loopback is free");
        let far = listener.local_addr().expect("a bound listener has an address");
        let near = TcpStream::connect(far).expect("the listener has room");
        let port = near.local_addr().expect("a connected socket has an address").port();
        DeadPort { port, _ends: (listener, near) }
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

/// A certificate authority that no list of roots knows.
pub struct Ca(CertifiedIssuer<'static, KeyPair>);

impl Ca {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("ring makes keys");
        Ca(CertifiedIssuer::self_signed(params, key).expect("the parameters are whole"))
    }

    pub fn pem(&self) -> String {
        let lines = BASE64_STANDARD.encode(self.0.der());
        let lines: Vec<_> = lines.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
        let text = lines.join("\n");
        format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
    }

    /// Writes the certificate as PEM; gives the path back.
    pub fn write(&self, path: &Path) -> String {
        std::fs::write(path, self.pem()).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        path.display().to_string()
    }

    /// A certificate for a name or address, good between the first days of two years.
    pub fn certify(&self, host: &str, years: (i32, i32)) -> Arc<ServerConfig> {
        let mut params = CertificateParams::new([host.to_owned()]).expect("a name or an address");
        params.not_before = date_time_ymd(years.0, 1, 1);
        params.not_after = date_time_ymd(years.1, 1, 1);
        let key = KeyPair::generate().expect("ring makes keys");
        let leaf = params.signed_by(&key, &self.0).expect("the parameters are whole");
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring speaks both versions of TLS")
            .with_no_client_auth()
            .with_single_cert(
                vec![leaf.der().clone()],
                PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            );
        Arc::new(config.expect("the key fits its certificate"))
    }
}

/// Two threads share the TLS state; neither holds it while it waits for bytes.
fn forward_tls(mut outside: TcpStream, config: Arc<ServerConfig>, to: u16) -> io::Result<()> {
    let connection = ServerConnection::new(config).map_err(io::Error::other)?;
    let connection = Arc::new(Mutex::new(connection));
    let mut inside = TcpStream::connect(("127.0.0.1", to))?;
    let (answers, shared) = ((inside.try_clone()?, outside.try_clone()?), Arc::clone(&connection));
    thread::spawn(move || encrypt(answers.0, answers.1, &shared));
    let mut bytes = [0; 16 * 1024];
    loop {
        let count = outside.read(&mut bytes)?;
        let mut plain = Vec::new();
        {
            let mut connection = connection.lock().expect("no thread panics");
            let mut cipher = &bytes[..count];
            while !cipher.is_empty() {
                connection.read_tls(&mut cipher)?;
                let state = connection.process_new_packets();
                while connection.wants_write() {
                    connection.write_tls(&mut outside)?;
                }
                let available = state.map_err(io::Error::other)?.plaintext_bytes_to_read();
                let before = plain.len();
                plain.resize(before + available, 0);
                connection.reader().read_exact(&mut plain[before..])?;
            }
        }
        inside.write_all(&plain)?;
        if count == 0 {
            return inside.shutdown(Shutdown::Write);
        }
    }
}

fn encrypt(
    mut inside: TcpStream,
    mut outside: TcpStream,
    connection: &Mutex<ServerConnection>,
) -> io::Result<()> {
    let mut bytes = [0; 16 * 1024];
    loop {
        let count = inside.read(&mut bytes)?;
        let mut connection = connection.lock().expect("no thread panics");
        if count == 0 {
            connection.send_close_notify();
        }
        connection.writer().write_all(&bytes[..count])?;
        while connection.wants_write() {
            connection.write_tls(&mut outside)?;
        }
        if count == 0 {
            return outside.shutdown(Shutdown::Write);
        }
    }
}
