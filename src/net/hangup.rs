//! A way to end a request that another thread waits for: its connection is shut, and the wait is over.
//! ureq can shut all connections of an agent at once, but not the one of a request; so the connector
//! remembers how each is shut, and each use says for whom it is. It also sees when a connection that was
//! kept from an earlier request had ended before the next one reached its server.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use crate::net::{heartbeat, slim};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, DefaultConnector, NextTimeout, ShutdownHandle, Transport,
};

thread_local! {
    /// For whom this thread's requests are.
    static CURRENT: RefCell<Option<Hangup>> = const { RefCell::new(None) };
    static WAS_STALE: Cell<bool> = const { Cell::new(false) };
}

/// Whether a request of this thread, since this was asked last, failed as the connection that was kept
/// for it had ended: not a byte of an answer came. Servers close what is idle, and may do so while the
/// next request is on its way; on a new connection it is as good as before.
pub fn was_stale() -> bool {
    WAS_STALE.take()
}

/// Ends the requests that are made within `during`, from any thread.
#[derive(Clone)]
pub struct Hangup(Arc<Inner>);

struct Inner {
    /// Never 0, which is nobody.
    number: u64,
    is_cut: AtomicBool,
    wire: Mutex<Option<Arc<Wire>>>,
}

/// A connection: how it is shut, and who uses it now. It may serve others later.
struct Wire {
    shut: Vec<Weak<dyn ShutdownHandle>>,
    user: Mutex<u64>,
}

impl Default for Hangup {
    fn default() -> Hangup {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Hangup(Arc::new(Inner { number, is_cut: AtomicBool::new(false), wire: Mutex::default() }))
    }
}

impl Hangup {
    /// Runs this with all requests of this thread in reach of `cut`.
    pub fn during<T>(&self, work: impl FnOnce() -> T) -> T {
        let before = CURRENT.replace(Some(self.clone()));
        let outcome = work();
        CURRENT.set(before);
        outcome
    }

    /// Runs this, and cuts it off when the time is over and it is still of use.
    pub fn within<T>(
        &self,
        limit: Duration,
        is_awaited: impl Fn() -> bool + Send,
        work: impl FnOnce() -> T,
    ) -> T {
        thread::scope(|scope| {
            let (done, end) = mpsc::channel::<()>();
            scope.spawn(move || {
                let is_late = end.recv_timeout(limit) == Err(RecvTimeoutError::Timeout);
                if is_late && is_awaited() {
                    self.cut();
                }
            });
            let outcome = work();
            drop(done);
            outcome
        })
    }

    /// Ends what is under way, and all that would follow.
    pub fn cut(&self) {
        self.0.is_cut.store(true, Ordering::SeqCst);
        let Some(wire) = lock(&self.0.wire).take() else { return };
        // The connection may be another's by now; whoever takes it has to wait for this.
        let user = lock(&wire.user);
        if *user == self.0.number {
            wire.shut.iter().filter_map(Weak::upgrade).for_each(|handle| handle.shutdown());
        }
    }

    pub fn is_cut(&self) -> bool {
        self.0.is_cut.load(Ordering::SeqCst)
    }

    /// The one that this thread is in, to be taken along into another; else one that nobody cuts.
    pub fn current() -> Hangup {
        CURRENT.with_borrow(Clone::clone).unwrap_or_default()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// ureq's own connector, or the slim one, whose connections can be shut one by one.
#[derive(Debug, Default)]
pub struct OneByOne {
    usual: DefaultConnector,
    is_slim: bool,
}

impl OneByOne {
    /// Connections to plain HTTP that hold little memory; it knows neither TLS nor proxies.
    pub fn slim() -> OneByOne {
        OneByOne { is_slim: true, ..OneByOne::default() }
    }
}

impl Connector for OneByOne {
    type Out = Watched;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<()>,
    ) -> Result<Option<Watched>, ureq::Error> {
        let seen: Arc<Mutex<Vec<Weak<dyn ShutdownHandle>>>> = Arc::default();
        let (also, register) = (Arc::clone(&seen), Arc::clone(&details.register_shutdown));
        let details = ConnectionDetails {
            uri: details.uri,
            addrs: details.addrs.clone(),
            config: details.config,
            request_level: details.request_level,
            resolver: details.resolver,
            now: details.now,
            timeout: details.timeout,
            current_time: Arc::clone(&details.current_time),
            run_connector: Arc::clone(&details.run_connector),
            register_shutdown: Arc::new(move |handle| {
                lock(&also).push(Weak::clone(&handle));
                register(handle)
            }),
        };
        let inner: Box<dyn Transport> = match self.is_slim {
            true => Box::new(slim::connect(&details)?),
            false => match self.usual.connect(&details, chained)? {
                Some(inner) => inner,
                None => return Ok(None),
            },
        };
        let shut = std::mem::take(&mut *lock(&seen));
        let wire = Arc::new(Wire { shut, user: Mutex::new(0) });
        Ok(Some(Watched { inner, wire, has_served: false, is_again: false }))
    }
}

/// A connection that says at each use for whom it is.
pub struct Watched {
    inner: Box<dyn Transport>,
    wire: Arc<Wire>,
    /// Bytes have come on it.
    has_served: bool,
    /// It is used another time, and nothing has come since.
    is_again: bool,
}

impl Watched {
    fn note_end(&self, is_over: bool) {
        if self.is_again && is_over {
            WAS_STALE.set(true);
        }
    }

    fn take_up(&self) -> Result<(), ureq::Error> {
        CURRENT.with_borrow(|current| {
            let Some(Hangup(inner)) = current else {
                *lock(&self.wire.user) = 0;
                return Ok(());
            };
            let mut user = lock(&self.wire.user);
            if *user != inner.number {
                *user = inner.number;
                drop(user);
                *lock(&inner.wire) = Some(Arc::clone(&self.wire));
            }
            // It may have been cut before there was a connection.
            match inner.is_cut.load(Ordering::SeqCst) {
                true => Err(io::Error::from(io::ErrorKind::ConnectionAborted).into()),
                false => Ok(()),
            }
        })
    }
}

impl Transport for Watched {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.take_up()?;
        self.is_again = self.has_served;
        let outcome = self.inner.transmit_output(amount, timeout);
        self.note_end(matches!(outcome, Err(ureq::Error::Io(_))));
        outcome
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.take_up()?;
        let outcome = heartbeat::await_input(&mut *self.inner, timeout);
        self.note_end(matches!(outcome, Ok(false) | Err(ureq::Error::Io(_))));
        if matches!(outcome, Ok(true)) {
            (self.has_served, self.is_again) = (true, false);
        }
        outcome
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::client::Client;
    use crate::secret::Secret;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::time::Instant;
    use ureq::http::Request;

    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

    /// A server that answers the first request of each connection, and then no more.
    fn server() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        thread::spawn(move || {
            for mut socket in listener.incoming().flatten() {
                thread::spawn(move || {
                    let _ = socket.read(&mut [0; 4096]);
                    let _ = socket.write_all(ANSWER);
                    while socket.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {}
                });
            }
        });
        url
    }

    #[test]
    fn a_wait_is_ended_by_another_thread_and_others_go_on() {
        let (url, client) = (server(), Client::new(20));
        let get = || client.send(Request::get(&url).body(Secret::new("")).unwrap());
        let (first, second) = (Hangup::default(), Hangup::default());
        assert_eq!(first.during(get).unwrap().status, 200);
        thread::scope(|scope| {
            let began = Instant::now();
            let waiting = scope.spawn(|| second.during(get));
            thread::sleep(Duration::from_millis(200));
            // The connection is the second's now.
            first.cut();
            thread::sleep(Duration::from_millis(200));
            assert!(!waiting.is_finished());
            second.cut();
            assert_eq!(waiting.join().unwrap().unwrap_err().exit_code(), 3);
            assert!(began.elapsed() < Duration::from_secs(5));
        });
        assert!(first.is_cut() && second.during(get).is_err());
        assert_eq!(get().unwrap().status, 200);
    }

    #[test]
    fn what_takes_too_long_is_cut_off_unless_nobody_waits() {
        let (url, client) = (server(), Client::new(2));
        let get = || client.send(Request::get(&url).body(Secret::new("")).unwrap());
        for (is_awaited, is_cut) in [(true, true), (false, false)] {
            let hangup = Hangup::default();
            let twice = || hangup.during(|| (get().is_ok(), get().is_ok()));
            let outcome = hangup.within(Duration::from_millis(300), || is_awaited, twice);
            assert_eq!((outcome, hangup.is_cut()), ((true, false), is_cut));
        }
        let hangup = Hangup::default();
        assert!(hangup.within(Duration::from_secs(60), || true, || hangup.during(get)).is_ok());
        assert!(!hangup.is_cut());
    }
}
