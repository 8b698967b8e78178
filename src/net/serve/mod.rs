//! A server that lives long: the standard library and httparse, one thread a connection, a limit to
//! everything that a stranger can make large or slow. What is said on it is the caller's business.

mod exchange;
mod head;
mod wire;

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

pub use exchange::{Caller, Exchange};
pub use head::Head;

use wire::Wire;

const STACK_BYTES: usize = 256 * 1024;
/// What has nothing left to do but to pass on is not deep, and thousands of these are alive at once. A
/// little more than the other, as the C library keeps stacks of the same size for the next thread: with
/// all the pages that were touched.
const REST_STACK_BYTES: usize = STACK_BYTES + 16 * 1024;
/// A process without descriptors left gets some back when a connection ends.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
/// However little the system gives, so many are taken.
const FEWEST_CONNECTIONS: usize = 16;

/// Bound and not yet answering.
pub struct Server {
    listener: TcpListener,
    shared: Arc<Shared>,
}

/// What the connections of one server share.
struct Shared {
    /// Less than was wished for where the system gives fewer descriptors.
    most_connections: AtomicUsize,
    connections: AtomicUsize,
    in_flight: AtomicUsize,
    is_closing: AtomicBool,
}

/// A running server, to be looked at and stopped.
#[derive(Clone)]
pub struct Running {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Server {
    pub fn bind(address: SocketAddr, most_connections: usize) -> io::Result<Server> {
        let listener = TcpListener::bind(address)?;
        let shared = Shared {
            most_connections: AtomicUsize::new(most_connections),
            connections: AtomicUsize::new(0),
            in_flight: AtomicUsize::new(0),
            is_closing: AtomicBool::new(false),
        };
        Ok(Server { listener, shared: Arc::new(shared) })
    }

    /// Where it listens; port 0 has become a real one.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers on threads of its own from now on. Each request is given to `answer`, which may run
    /// many times at once. What it gives back is the rest of an answer that will take its time: it
    /// runs where little memory is held meanwhile.
    pub fn start(
        self,
        answer: impl Fn(&mut Exchange) -> Option<Rest> + Send + Sync + 'static,
    ) -> io::Result<Running> {
        let running = Running { address: self.address()?, shared: Arc::clone(&self.shared) };
        let answer: Arc<Answer> = Arc::new(answer);
        thread::Builder::new().spawn(move || self.accept(&answer))?;
        Ok(running)
    }

    fn accept(self, answer: &Arc<Answer>) {
        loop {
            let accepted = self.listener.accept();
            if self.shared.is_closing.load(Ordering::SeqCst) {
                return;
            }
            match accepted {
                Ok((socket, peer)) => self.shared.take(socket, peer, answer),
                // Out of descriptors, or a client that went away before it was here.
                Err(error) => {
                    if is_out_of_descriptors(&error) {
                        self.shared.learn_limit();
                    }
                    thread::sleep(ACCEPT_PAUSE);
                }
            }
        }
    }
}

/// The rest of an answer.
pub type Rest = Box<dyn FnOnce() + Send>;

type Answer = dyn Fn(&mut Exchange) -> Option<Rest> + Send + Sync;

/// Counts one of something while it lives.
struct Counted(Arc<Shared>, fn(&Shared) -> &AtomicUsize);

impl Counted {
    fn new(shared: &Arc<Shared>, what: fn(&Shared) -> &AtomicUsize) -> Counted {
        what(shared).fetch_add(1, Ordering::SeqCst);
        Counted(Arc::clone(shared), what)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1(&self.0).fetch_sub(1, Ordering::SeqCst);
    }
}

impl Shared {
    fn take(self: &Arc<Shared>, socket: TcpStream, peer: SocketAddr, answer: &Arc<Answer>) {
        let counted = Counted::new(self, |shared| &shared.connections);
        if self.connections.load(Ordering::SeqCst) > self.most_connections() {
            wire::turn_away(&socket);
            return;
        }
        if let Ok(wire) = Wire::new(socket) {
            self.go_on(wire, peer.ip(), answer, counted);
        }
    }

    /// A thread for the connection. One that cannot be had ends it; the client hears that it was closed.
    fn go_on(self: &Arc<Shared>, wire: Wire, peer: IpAddr, answer: &Arc<Answer>, counted: Counted) {
        let (shared, answer) = (Arc::clone(self), Arc::clone(answer));
        // One that panics ends its connection and no other.
        let work = move || shared.converse(wire, peer, &answer, counted);
        let _ = thread::Builder::new().stack_size(STACK_BYTES).spawn(work);
    }

    /// One connection: a request, its answer, and so on while both sides want to.
    fn converse(
        self: &Arc<Shared>,
        mut wire: Wire,
        peer: IpAddr,
        answer: &Arc<Answer>,
        counted: Counted,
    ) {
        loop {
            let head = match wire.read_head(|| self.is_full() || self.is_closing()) {
                Ok(Some(head)) => head,
                Ok(None) => return,
                Err(wrong) => return wire.refuse(&wrong),
            };
            let in_flight = Counted::new(self, |shared| &shared.in_flight);
            let mut exchange = Exchange::new(wire, head, peer, self.is_full() || self.is_closing());
            if let Some(rest) = answer(&mut exchange) {
                return self.hand_over(rest, exchange, answer, (counted, in_flight));
            }
            match exchange.finish() {
                Some(again) => wire = again,
                None => return,
            }
        }
    }

    /// The stack of this thread has been deep, and would stay in memory; another one goes on.
    fn hand_over(
        self: &Arc<Shared>,
        rest: Rest,
        mut exchange: Exchange,
        answer: &Arc<Answer>,
        (counted, in_flight): (Counted, Counted),
    ) {
        let (shared, answer, peer) = (Arc::clone(self), Arc::clone(answer), exchange.peer);
        exchange.head.forget();
        let exchange = Box::new(exchange);
        let work = move || {
            rest();
            drop(in_flight);
            if let Some(wire) = exchange.finish() {
                shared.go_on(wire, peer, &answer, counted);
            }
        };
        let _ = thread::Builder::new().stack_size(REST_STACK_BYTES).spawn(work);
    }

    fn most_connections(&self) -> usize {
        self.most_connections.load(Ordering::SeqCst)
    }

    /// Half of what may be is a reason not to keep connections for later.
    fn is_full(&self) -> bool {
        self.connections.load(Ordering::SeqCst) > self.most_connections() / 2 + 1
    }

    /// As many as there are now were too many: whoever comes next would wait for one to end, and an
    /// answer needs descriptors of its own.
    fn learn_limit(&self) {
        let learnt = (self.connections.load(Ordering::SeqCst) / 4 * 3).max(FEWEST_CONNECTIONS);
        self.most_connections.fetch_min(learnt, Ordering::SeqCst);
    }

    fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::SeqCst)
    }
}

/// As the process has it: one that the whole system is out of ends without us.
fn is_out_of_descriptors(error: &io::Error) -> bool {
    #[cfg(unix)]
    return error.raw_os_error() == Some(libc::EMFILE);
    #[cfg(not(unix))]
    return false;
}

impl Running {
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    pub fn in_flight(&self) -> usize {
        self.shared.in_flight.load(Ordering::SeqCst)
    }

    /// Takes no more connections, and gives the answers under way so much time to end.
    pub fn stop(&self, limit: Duration) {
        self.shared.is_closing.store(true, Ordering::SeqCst);
        // The accepting thread hears of it with its next connection.
        let _ = TcpStream::connect_timeout(&self.reachable(), Duration::from_millis(200));
        let deadline = Instant::now() + limit;
        while self.in_flight() > 0 && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// An address without a host is reached on this machine.
    fn reachable(&self) -> SocketAddr {
        let mut address = self.address;
        match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => {
                address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
            }
            IpAddr::V6(ip) if ip.is_unspecified() => {
                address.set_ip(std::net::Ipv6Addr::LOCALHOST.into());
            }
            IpAddr::V4(_) | IpAddr::V6(_) => {}
        }
        address
    }
}
