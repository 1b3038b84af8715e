//! Requests over lasting sessions: thousands of idle ones, and one that is always busy.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::Outcome;
use super::process::{check_interrupted, pause};

/// Longer than a working balancer delays a client.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Pause between two pings.
const PING_EVERY: Duration = Duration::from_micros(200);

/// A client's side of a session.
pub(crate) struct Client(TcpStream);

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Outcome<Client> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_nodelay(true)?;
        Ok(Client(stream))
    }

    /// Sends a request and reads the whole response.
    pub(crate) fn exchange(&mut self) -> Outcome<()> {
        self.0.write_all(b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n")?;
        let mut answer = Vec::new();
        let mut piece = [0; 1024];
        while !answer.ends_with(b"\r\n\r\nok\n") {
            match self.0.read(&mut piece)? {
                0 => return Err("a session was closed while it should stay".into()),
                length => answer.extend_from_slice(&piece[..length]),
            }
        }
        Ok(())
    }
}

/// Sessions that had one exchange and are idle now.
pub(crate) struct Idle(Vec<Client>);

impl Idle {
    pub(crate) fn open(address: SocketAddr, count: usize) -> Outcome<Idle> {
        let mut clients = Vec::with_capacity(count);
        for _ in 0..count {
            check_interrupted()?;
            let mut client = Client::connect(address)?;
            client.exchange()?;
            clients.push(client);
        }
        Ok(Idle(clients))
    }

    /// # Errors
    /// If a session has ended; every hundredth is checked.
    pub(crate) fn check(&mut self) -> Outcome<()> {
        self.0
            .iter_mut()
            .step_by(100)
            .try_for_each(Client::exchange)
    }
}

/// The number of idle sessions, up to `wanted`, for which balancer, hosts and bench have
/// descriptors.
pub(crate) fn affordable(wanted: usize) -> usize {
    let limit = txlb::os::resources::descriptor_limit().map_or(usize::MAX, |limit| {
        usize::try_from(limit).unwrap_or(usize::MAX)
    });
    let most = limit.saturating_sub(1500) / 2;
    if most < wanted {
        eprintln!("peers: descriptors for {most} sessions only, not {wanted}: see ulimit -n");
    }
    most.min(wanted)
}

/// A session with one exchange after the other, which measures delays.
pub(crate) struct Ping {
    seen: Arc<Seen>,
    thread: Option<JoinHandle<Outcome<()>>>,
}

#[derive(Default)]
struct Seen {
    over: AtomicBool,
    exchanges: AtomicU64,
    longest: Mutex<Duration>,
}

impl Seen {
    fn longest(&self) -> std::sync::MutexGuard<'_, Duration> {
        self.longest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ping {
    pub(crate) fn start(address: SocketAddr) -> Outcome<Ping> {
        let mut client = Client::connect(address)?;
        let seen = Arc::new(Seen::default());
        let theirs = Arc::clone(&seen);
        let thread = thread::spawn(move || {
            while !theirs.over.load(Ordering::Relaxed) {
                let start = Instant::now();
                client.exchange()?;
                let took = start.elapsed();
                {
                    let mut longest = theirs.longest();
                    *longest = took.max(*longest);
                }
                theirs.exchanges.fetch_add(1, Ordering::Release);
                thread::sleep(PING_EVERY);
            }
            Ok(())
        });
        Ok(Ping {
            seen,
            thread: Some(thread),
        })
    }

    /// The longest exchange while `work` runs, and the result of `work`. Includes an exchange that
    /// is under way at its end.
    pub(crate) fn longest_while<T>(
        &self,
        work: impl FnOnce() -> Outcome<T>,
    ) -> Outcome<(Duration, T)> {
        *self.seen.longest() = Duration::ZERO;
        let result = work()?;
        let exchanges = self.seen.exchanges.load(Ordering::Acquire);
        let start = Instant::now();
        while self.seen.exchanges.load(Ordering::Acquire) < exchanges + 2 {
            if start.elapsed() > TIMEOUT {
                return Err("the steady session is steady no more".into());
            }
            pause(PING_EVERY)?;
        }
        Ok((*self.seen.longest(), result))
    }

    /// # Errors
    /// What failed on the way.
    pub(crate) fn stop(mut self) -> Outcome<()> {
        self.seen.over.store(true, Ordering::Relaxed);
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(outcome)) => outcome,
            _ => Err("the steady session has panicked".into()),
        }
    }
}
