//! The client of `--demo`: sends requests through the balancer and counts what becomes of them.

use std::fmt::{self, Display};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use super::hosts::NAMES;

/// Requests in a burst: a multiple of 1, 2 and 3, so that round robin goes on, for a person's own
/// requests between bursts, with the host that it would have gone on with.
const BURST: usize = 6;

/// Pause between bursts.
const PAUSE: Duration = Duration::from_millis(100);

/// Timeout of each step of a request.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Maximum bytes of a response.
const RESPONSE_LIMIT: u64 = 1024;

/// The client and its counts. A clone shares them.
#[derive(Debug, Clone)]
pub(super) struct Traffic(Arc<State>);

#[derive(Debug)]
struct State {
    address: SocketAddr,
    has_begun: AtomicBool,
    counts: [AtomicU64; NAMES.len()],
    failed: AtomicU64,
}

impl Traffic {
    /// A client of this address, which does nothing yet.
    pub(super) fn to(address: SocketAddr) -> Traffic {
        Traffic(Arc::new(State {
            address,
            has_begun: AtomicBool::new(false),
            counts: Default::default(),
            failed: AtomicU64::new(0),
        }))
    }

    /// Begins to send, unless it has begun already.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn begin(&self) -> io::Result<()> {
        if self.0.has_begun.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let state = Arc::clone(&self.0);
        let thread = thread::Builder::new().name("demo-client".to_owned());
        thread.spawn(move || state.send_until_closed()).map(drop)
    }

    /// Requests so far that host `number` answered.
    pub(super) fn answered_by(&self, number: usize) -> u64 {
        let count = self.0.counts.get(number);
        count.map_or(0, |count| count.load(Ordering::Relaxed))
    }

    pub(super) fn has_begun(&self) -> bool {
        self.0.has_begun.load(Ordering::Relaxed)
    }
}

/// Requests and failures.
impl Display for Traffic {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failed = self.0.failed.load(Ordering::Relaxed);
        let answered: u64 = (0..NAMES.len())
            .map(|number| self.answered_by(number))
            .sum();
        write!(to, "{} requests, {failed} failed", answered + failed)
    }
}

impl State {
    /// Sends until the balancer listens no more, which is the end of the demonstration.
    fn send_until_closed(&self) {
        loop {
            for _ in 0..BURST {
                match exchange(self.address) {
                    Ok(number) => self.counts[number].fetch_add(1, Ordering::Relaxed),
                    Err(_) if is_closed(self.address) => return,
                    Err(_) => self.failed.fetch_add(1, Ordering::Relaxed),
                };
            }
            thread::sleep(PAUSE);
        }
    }
}

fn is_closed(address: SocketAddr) -> bool {
    let error = TcpStream::connect_timeout(&address, TIMEOUT).err();
    error.is_some_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

/// Sends one request; returns the number of the host that answered.
fn exchange(address: SocketAddr) -> io::Result<usize> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    write!(stream, "GET / HTTP/1.1\r\nHost: {address}\r\n\r\n")?;
    let mut response = String::new();
    stream.take(RESPONSE_LIMIT).read_to_string(&mut response)?;
    let body = response.strip_prefix("HTTP/1.1 200 ");
    let body = body.and_then(|rest| rest.split_once("\r\n\r\n"));
    let name = body.map(|(_, body)| body.trim_end());
    NAMES
        .iter()
        .position(|known| name == Some(known))
        .ok_or_else(|| io::Error::from(ErrorKind::InvalidData))
}
