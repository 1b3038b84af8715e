//! Connects to hosts to see whether they answer, many at once, on one thread.
//!
//! Its own little event loop, away from the workers'. Which hosts are probed,
//! when, and what follows is the director's business.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token, Waker};

use super::connect::connect;
use super::failure::{Blame, Progress, blame, progress};
use crate::balance::Failure;

/// How long a host may take to accept a probe.
const TRY_TIMEOUT_MS: u64 = 5_000;

const BELL: Token = Token(usize::MAX);

/// Probes under way; `K` is what the caller knows a host by.
pub(crate) struct Prober<K> {
    poll: Poll,
    events: Events,
    bell: Bell,
    limit: usize,
    waiting: VecDeque<Probe<K>>,
    under_way: HashMap<usize, Try<K>>,
    next_token: usize,
}

/// Ends a prober's `wait`, from whatever thread.
#[derive(Debug, Clone)]
pub(crate) struct Bell(Arc<Waker>);

impl Bell {
    /// Ends the `wait` that is under way, or the next one.
    pub(crate) fn ring(&self) -> io::Result<()> {
        self.0.wake()
    }
}

/// A host that is to be connected to.
#[derive(Debug)]
struct Probe<K> {
    key: K,
    address: SocketAddr,
    /// Connects that must still succeed, one after the other.
    tries: u32,
}

#[derive(Debug)]
struct Try<K> {
    probe: Probe<K>,
    socket: TcpStream,
    until_ms: u64,
}

/// What became of a probe.
#[derive(Debug)]
pub(crate) struct Verdict<K> {
    pub(crate) key: K,
    pub(crate) address: SocketAddr,
    /// `None` if this machine could not even try.
    pub(crate) result: Option<Result<(), Failure>>,
}

impl<K> Prober<K> {
    /// A prober with at most `limit` connections at a time.
    ///
    /// # Errors
    /// The system's, if it has no event queue for it.
    pub(crate) fn new(limit: usize) -> io::Result<Prober<K>> {
        let poll = Poll::new()?;
        let bell = Bell(Arc::new(Waker::new(poll.registry(), BELL)?));
        Ok(Prober {
            poll,
            events: Events::with_capacity(256),
            bell,
            limit: limit.max(1),
            waiting: VecDeque::new(),
            under_way: HashMap::new(),
            next_token: 0,
        })
    }

    /// What ends a `wait` from another thread.
    pub(crate) fn bell(&self) -> Bell {
        self.bell.clone()
    }

    /// Probes a host: `tries` connects that must all succeed; the first that
    /// does not ends it.
    pub(crate) fn begin(&mut self, key: K, address: SocketAddr, tries: u32) {
        self.waiting.push_back(Probe {
            key,
            address,
            tries,
        });
    }

    /// Whether nothing is under way.
    #[cfg(test)]
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.under_way.is_empty()
    }

    /// Waits for `timeout`, news of a probe, or the bell; `now_ms` is asked
    /// for the time. Returns what has become of the probes that are over.
    pub(crate) fn wait(
        &mut self,
        timeout: Duration,
        now_ms: impl Fn() -> u64,
    ) -> io::Result<Vec<Verdict<K>>> {
        let mut verdicts = Vec::new();
        self.start_waiting(now_ms(), &mut verdicts);
        let patience = if verdicts.is_empty() {
            self.patience(timeout, now_ms())
        } else {
            Duration::ZERO
        };
        match self.poll.poll(&mut self.events, Some(patience)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        let now_ms = now_ms();
        let tokens: Vec<usize> = self.events.iter().map(|event| event.token().0).collect();
        for token in tokens {
            self.look_at(token, now_ms, &mut verdicts);
        }
        let late: Vec<usize> = self
            .under_way
            .iter()
            .filter(|(_, attempt)| attempt.until_ms <= now_ms)
            .map(|(&token, _)| token)
            .collect();
        for token in late {
            self.look_at(token, now_ms, &mut verdicts);
        }
        Ok(verdicts)
    }

    fn patience(&self, timeout: Duration, now_ms: u64) -> Duration {
        let first_ms = self
            .under_way
            .values()
            .map(|attempt| attempt.until_ms)
            .min();
        first_ms.map_or(timeout, |first_ms| {
            timeout.min(Duration::from_millis(first_ms.saturating_sub(now_ms)))
        })
    }

    fn start_waiting(&mut self, now_ms: u64, verdicts: &mut Vec<Verdict<K>>) {
        while self.under_way.len() < self.limit
            && let Some(probe) = self.waiting.pop_front()
        {
            self.start(probe, now_ms, verdicts);
        }
    }

    fn start(&mut self, probe: Probe<K>, now_ms: u64, verdicts: &mut Vec<Verdict<K>>) {
        let token = self.next_token;
        self.next_token = (token + 1) % BELL.0;
        let socket = connect(probe.address).and_then(|mut socket| {
            self.poll
                .registry()
                .register(&mut socket, Token(token), Interest::WRITABLE)?;
            Ok(socket)
        });
        match socket {
            Ok(socket) => {
                let until_ms = now_ms + TRY_TIMEOUT_MS;
                self.under_way.insert(
                    token,
                    Try {
                        probe,
                        socket,
                        until_ms,
                    },
                );
            }
            Err(error) => verdicts.push(probe.failed(blame(&error))),
        }
    }

    fn look_at(&mut self, token: usize, now_ms: u64, verdicts: &mut Vec<Verdict<K>>) {
        let Some(attempt) = self.under_way.remove(&token) else {
            return;
        };
        match progress(&attempt.socket) {
            Progress::Pending if attempt.until_ms > now_ms => {
                self.under_way.insert(token, attempt);
            }
            Progress::Pending => {
                verdicts.push(attempt.probe.failed(Blame::Host(Failure::TimedOut)));
            }
            // Accepted is accepted, even if it broke off at once.
            Progress::Connected | Progress::Failed(Blame::TurnedAway)
                if attempt.probe.tries > 1 =>
            {
                let probe = Probe {
                    tries: attempt.probe.tries - 1,
                    ..attempt.probe
                };
                drop(attempt.socket);
                self.start(probe, now_ms, verdicts);
            }
            Progress::Connected => verdicts.push(attempt.probe.over(Some(Ok(())))),
            Progress::Failed(blame) => verdicts.push(attempt.probe.failed(blame)),
        }
    }
}

impl<K> Probe<K> {
    fn failed(self, blame: Blame) -> Verdict<K> {
        match blame {
            Blame::Host(failure) => self.over(Some(Err(failure))),
            Blame::TurnedAway => self.over(Some(Ok(()))),
            Blame::Local(_) => self.over(None),
        }
    }

    fn over(self, result: Option<Result<(), Failure>>) -> Verdict<K> {
        Verdict {
            key: self.key,
            address: self.address,
            result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::Clock;
    use std::net::TcpListener;

    /// Runs until all probes are over; the clock of the fault is the test's.
    fn verdicts(
        prober: &mut Prober<&'static str>,
        clock: impl Fn() -> u64,
    ) -> Vec<Verdict<&'static str>> {
        let mut all = Vec::new();
        while !prober.is_idle() {
            all.extend(prober.wait(Duration::from_secs(10), &clock).unwrap());
        }
        all
    }

    fn real_clock() -> impl Fn() -> u64 {
        let clock = Clock::start();
        move || clock.now_ms()
    }

    #[test]
    fn a_host_that_answers_is_connected_to_so_many_times() {
        let host = TcpListener::bind("127.0.0.1:0").unwrap();
        host.set_nonblocking(true).unwrap();
        let mut prober = Prober::new(8).unwrap();
        prober.begin("alive", host.local_addr().unwrap(), 4);
        let verdicts = verdicts(&mut prober, real_clock());
        assert!(matches!(
            verdicts[..],
            [Verdict {
                key: "alive",
                result: Some(Ok(())),
                ..
            }]
        ));
        assert_eq!(std::iter::from_fn(|| host.accept().ok()).count(), 4);
    }

    #[test]
    fn a_host_that_refuses_fails_at_the_first_try() {
        let closed = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let mut prober = Prober::new(8).unwrap();
        prober.begin("dead", closed, 4);
        let verdicts = verdicts(&mut prober, real_clock());
        assert!(matches!(
            verdicts[..],
            [Verdict {
                result: Some(Err(Failure::Refused)),
                ..
            }]
        ));
    }

    #[test]
    fn a_host_that_is_silent_fails_after_its_time_and_holds_nobody_up() {
        let (silent, _full) = silent_host();
        let host = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut prober = Prober::new(8).unwrap();
        prober.begin("silent", silent.local_addr().unwrap(), 1);
        prober.begin("alive", host.local_addr().unwrap(), 1);
        let first = loop {
            let verdicts = prober.wait(Duration::from_secs(10), || 0).unwrap();
            if !verdicts.is_empty() {
                break verdicts;
            }
        };
        assert!(matches!(first[..], [Verdict { key: "alive", .. }]));
        let late = prober
            .wait(Duration::from_secs(10), || TRY_TIMEOUT_MS)
            .unwrap();
        assert!(matches!(
            late[..],
            [Verdict {
                key: "silent",
                result: Some(Err(Failure::TimedOut)),
                ..
            }]
        ));
    }

    #[test]
    fn more_probes_than_allowed_take_turns() {
        let host = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut prober = Prober::new(2).unwrap();
        for _ in 0..9 {
            prober.begin("alive", host.local_addr().unwrap(), 2);
        }
        assert_eq!(verdicts(&mut prober, real_clock()).len(), 9);
    }

    /// A listener whose queue is full: the system drops what comes, and a
    /// connect just stays in progress.
    fn silent_host() -> (TcpListener, Vec<TcpStream>) {
        use rustix::net::{AddressFamily, SocketType, bind, listen, socket};
        let descriptor = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&descriptor, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        listen(&descriptor, 0).unwrap();
        let listener = TcpListener::from(descriptor);
        let address = listener.local_addr().unwrap();
        let full = (0..4)
            .map(|_| TcpStream::connect(address).unwrap())
            .collect();
        (listener, full)
    }
}
