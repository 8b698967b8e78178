//! Connections that hold little memory while they wait. ureq's own keep a buffer each way for as long as
//! they live, filled once; of thousands of streams nearly all wait nearly always. Plain HTTP alone: that is
//! loopback, and what TLS keeps would outweigh it.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Weak};
use std::time::Duration;

use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, NextTimeout, ShutdownHandle, Transport,
};

/// What is held while nothing has come.
const WAITING_BYTES: usize = 1024;
/// What is read at once while much comes.
const BUSY_BYTES: usize = 16 * 1024;
/// A head, or the line before a chunk, that does not fit into this is none.
const MOST_BYTES: usize = 64 * 1024;
const OUTPUT_BYTES: usize = 32 * 1024;
/// For pieces of a request's body on their way.
const SCRATCH_BYTES: usize = 16 * 1024;

/// A connection to the first address that takes it.
pub fn connect(details: &ConnectionDetails) -> Result<Slim, ureq::Error> {
    let limit = details.timeout.not_zero().map_or(Duration::from_secs(10), |limit| *limit);
    let mut last = ureq::Error::ConnectionFailed;
    for address in &details.addrs {
        match TcpStream::connect_timeout(address, limit.min(Duration::from_secs(60))) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                let stream = Arc::new(stream);
                let handle: Weak<dyn ShutdownHandle> = {
                    let weak: Weak<TcpStream> = Arc::downgrade(&stream);
                    weak
                };
                (details.register_shutdown)(handle)?;
                return Ok(Slim { stream, room: Room::default() });
            }
            Err(error) if error.kind() == ErrorKind::TimedOut => {
                last = ureq::Error::Timeout(details.timeout.reason);
            }
            Err(error) => last = error.into(),
        }
    }
    Err(last)
}

pub struct Slim {
    stream: Arc<TcpStream>,
    room: Room,
}

/// Memory that comes and goes with what is in it.
#[derive(Default)]
struct Room {
    input: Vec<u8>,
    consumed: usize,
    filled: usize,
    output: Vec<u8>,
    /// The last read filled all there was.
    is_busy: bool,
    has_progressed: bool,
}

impl Room {
    /// So much free behind what is in use.
    fn make_free(&mut self, bytes: usize) {
        if self.consumed > 0 {
            self.input.copy_within(self.consumed..self.filled, 0);
            self.filled -= self.consumed;
            self.consumed = 0;
        }
        let wanted = self.filled + bytes;
        // What is empty is made anew, so that what was large does not stay so.
        if self.filled == 0 && self.input.len() != wanted {
            self.input = vec![0; wanted];
        } else if self.input.len() < wanted {
            self.input.resize(wanted, 0);
        }
    }

    /// Room for what comes next.
    fn make_ready(&mut self) {
        let used = self.filled - self.consumed;
        let bytes = if self.is_busy || used > 0 { BUSY_BYTES } else { WAITING_BYTES };
        self.make_free(bytes.min(MOST_BYTES.saturating_sub(used)));
    }
}

impl Buffers for Room {
    fn output(&mut self) -> &mut [u8] {
        self.output.resize(OUTPUT_BYTES, 0);
        &mut self.output
    }

    fn input(&self) -> &[u8] {
        &self.input[self.consumed..self.filled]
    }

    fn input_append_buf(&mut self) -> &mut [u8] {
        &mut self.input[self.filled..]
    }

    fn input_appended(&mut self, amount: usize) {
        self.filled += amount;
    }

    fn input_consume(&mut self, amount: usize) {
        self.has_progressed = amount > 0;
        self.consumed = (self.consumed + amount).min(self.filled);
    }

    fn tmp_and_output(&mut self) -> (&mut [u8], &mut [u8]) {
        self.make_free(SCRATCH_BYTES);
        self.output.resize(OUTPUT_BYTES, 0);
        (&mut self.input[self.filled..], &mut self.output)
    }

    fn can_use_input(&self) -> bool {
        self.consumed < self.filled && self.has_progressed
    }
}

impl Transport for Slim {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.room
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        let timeout = timeout.for_write();
        self.stream.set_write_timeout(timeout.not_zero().map(|limit| *limit))?;
        let outcome = (&*self.stream).write_all(&self.room.output[..amount]);
        self.room.output = Vec::new();
        outcome.map_err(|error| explained(error, timeout))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        let timeout = timeout.for_read();
        if timeout.after.is_zero() {
            return Err(ureq::Error::Timeout(timeout.reason));
        }
        self.stream.set_read_timeout(timeout.not_zero().map(|limit| *limit))?;
        self.room.make_ready();
        let free = self.room.input_append_buf();
        let room = free.len();
        let read = loop {
            match (&*self.stream).read(free) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                outcome => break outcome.map_err(|error| explained(error, timeout))?,
            }
        };
        self.room.is_busy = read == room;
        self.room.input_appended(read);
        Ok(read > 0)
    }

    /// Whoever has something to say before it is asked has nothing to say to us.
    fn is_open(&mut self) -> bool {
        let look = || -> io::Result<usize> {
            self.stream.set_nonblocking(true)?;
            let seen = self.stream.peek(&mut [0]);
            self.stream.set_nonblocking(false)?;
            seen
        };
        look().is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }
}

fn explained(error: io::Error, timeout: NextTimeout) -> ureq::Error {
    match error.kind() {
        ErrorKind::TimedOut | ErrorKind::WouldBlock => ureq::Error::Timeout(timeout.reason),
        _ => error.into(),
    }
}

impl fmt::Debug for Slim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slim").finish_non_exhaustive()
    }
}
