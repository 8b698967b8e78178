//! A CONNECT proxy and a SOCKS5 proxy. They pass bytes on to one port of loopback whatever host was
//! asked for, so that no test needs a name to resolve, and they note what they were asked.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::support::agent::Agents;
use crate::support::tls::Server;

/// A proxy, and what it was asked.
pub struct Proxy {
    pub server: Server,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// One request to a proxy.
#[derive(Clone, Debug)]
pub struct Asked {
    /// `host:port` as the client wrote it.
    pub target: String,
    /// The head of a CONNECT; empty for SOCKS5.
    pub head: String,
    pub is_passed: bool,
}

impl Proxy {
    /// Wants `USER:PASSWORD` as Basic credentials if there are any, else answers 407.
    pub fn connect(to: u16, credentials: &str) -> Self {
        let wanted = match credentials {
            "" => String::new(),
            _ => format!("Proxy-Authorization: Basic {}", BASE64_STANDARD.encode(credentials)),
        };
        Self::start(move |stream, note, agents| {
            let head = read_head(stream)?;
            agents.check_head(&head);
            let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
            let is_passed = head.starts_with("CONNECT ")
                && (wanted.is_empty() || head.lines().any(|line| line == wanted));
            note(Asked { target, head, is_passed });
            if is_passed {
                stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
                return Ok(Some(to));
            }
            let answer = "HTTP/1.1 407 Proxy Authentication Required\r\n\
                          Proxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n";
            stream.write_all(answer.as_bytes())?;
            Ok(None)
        })
    }

    /// Answers every CONNECT with this status.
    pub fn refusing(status: u16) -> Self {
        Self::start(move |stream, note, agents| {
            let head = read_head(stream)?;
            agents.check_head(&head);
            let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
            note(Asked { target, head, is_passed: false });
            let answer = format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes())?;
            Ok(None)
        })
    }

    /// SOCKS5 with user name and password (RFC 1928, RFC 1929), both required, and with names:
    /// an address instead of a name is refused, as the client was to leave the name to the proxy.
    pub fn socks5(to: u16, user: &str, password: &str) -> Self {
        let wanted = [user.as_bytes().to_vec(), password.as_bytes().to_vec()];
        Self::start(move |stream, note, _| {
            let methods = read_counted(stream, &[5])?;
            if !methods.contains(&2) {
                stream.write_all(&[5, 0xff])?;
                return Ok(None);
            }
            stream.write_all(&[5, 2])?;
            let given = [read_counted(stream, &[1])?, read_counted(stream, &[])?];
            let is_passed = given == wanted;
            stream.write_all(&[1, u8::from(!is_passed)])?;
            if !is_passed {
                note(Asked { target: String::new(), head: String::new(), is_passed });
                return Ok(None);
            }
            let host = read_counted(stream, &[5, 1, 0, 3])?;
            let mut port = [0; 2];
            stream.read_exact(&mut port)?;
            let port = u16::from_be_bytes(port);
            let target = format!("{}:{port}", String::from_utf8_lossy(&host));
            note(Asked { target, head: String::new(), is_passed });
            stream.write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 0])?;
            Ok(Some(to))
        })
    }

    /// `negotiate` says which port the client is connected to, if any.
    fn start(
        negotiate: impl Fn(&mut TcpStream, &dyn Fn(Asked), &Agents) -> io::Result<Option<u16>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let server = Server::start(move |mut client, agents| {
            let note = |asked| log.lock().expect("no thread panics").push(asked);
            let Some(to) = negotiate(&mut client, &note, agents)? else {
                // Closing with bytes unread would reset the connection and lose the answer.
                client.shutdown(Shutdown::Write)?;
                return io::copy(&mut client, &mut io::sink()).map(drop);
            };
            let mut target = TcpStream::connect(("127.0.0.1", to))?;
            let (mut from, mut back) = (target.try_clone()?, client.try_clone()?);
            thread::spawn(move || {
                let _ = io::copy(&mut from, &mut back);
                back.shutdown(Shutdown::Write)
            });
            let _ = io::copy(&mut client, &mut target);
            target.shutdown(Shutdown::Write)
        });
        Proxy { server, asked }
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no thread panics").clone()
    }

    /// How many connections were passed on; panics if one was to another target.
    #[track_caller]
    pub fn passed(&self, target: &str) -> usize {
        let passed: Vec<_> = self.asked().into_iter().filter(|asked| asked.is_passed).collect();
        assert!(passed.iter().all(|asked| asked.target == target), "not {target}: {passed:#?}");
        passed.len()
    }
}

fn read_head(stream: &mut TcpStream) -> io::Result<String> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// These bytes, then a length in one byte, then as many bytes.
fn read_counted(stream: &mut TcpStream, wanted: &[u8]) -> io::Result<Vec<u8>> {
    let mut start = vec![0; wanted.len() + 1];
    stream.read_exact(&mut start)?;
    if !start.starts_with(wanted) {
        return Err(io::Error::other(format!("{start:?} instead of {wanted:?}")));
    }
    let mut bytes = vec![0; usize::from(start[wanted.len()])];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}
