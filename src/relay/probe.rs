//! Probes: connects to hosts to see whether they accept, many at once, in an event loop of its own.
//!
//! `control/recovery` decides which hosts are probed, and when.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token, Waker};

use super::failure::{ConnectError, ConnectProgress, classify_connect_error, connect_progress};
use super::session::TimeoutsMs;
use super::tcp_transport::connect;
use crate::balance::Failure;

/// How long a probe may take where there is no connect timeout. Linux gives up after about two
/// minutes.
const LONGEST_ATTEMPT_MS: u64 = 180_000;

/// After this time a probe makes room for a group that has no healthy host and no running probe. It
/// is long enough for a second SYN, after 1 s.
const PREEMPT_AFTER_MS: u64 = 1_100;

const WAKER: Token = Token(usize::MAX);

/// Runs probes. `K` identifies a host for the caller.
pub(crate) struct Prober<K> {
    poll: Poll,
    events: Events,
    waker: ProbeWaker,
    limit: usize,
    /// By priority.
    waiting: [FairQueue<K>; 3],
    attempts: HashMap<usize, Attempt<K>>,
    /// How many probes run, by priority.
    running: [usize; 3],
    next_token: usize,
}

/// Ends a prober's `wait` from any thread.
#[derive(Debug, Clone)]
pub(crate) struct ProbeWaker(Arc<Waker>);

impl ProbeWaker {
    /// Ends the present `wait`, or the next one.
    ///
    /// # Errors
    /// The system's, if it cannot wake the event loop.
    pub(crate) fn wake(&self) -> io::Result<()> {
        self.0.wake()
    }
}

/// How much depends on a probe, the most first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ProbePriority {
    /// The group has no healthy host, and this host refused the last connect.
    Urgent,
    /// The group has no healthy host, and this host did not answer the last connect.
    UrgentButSilent,
    /// Anything else.
    Routine,
}

impl ProbePriority {
    const ALL: [ProbePriority; 3] = [
        ProbePriority::Urgent,
        ProbePriority::UrgentButSilent,
        ProbePriority::Routine,
    ];
}

/// Waiting probes, of one group after the other: one with many silent hosts delays no other.
#[derive(Debug)]
struct FairQueue<K> {
    /// The groups that have waiting probes, the next one first.
    groups: VecDeque<usize>,
    probes: HashMap<usize, VecDeque<Probe<K>>>,
}

impl<K> FairQueue<K> {
    fn push(&mut self, probe: Probe<K>) {
        let probes_of_group = self.probes.entry(probe.group).or_default();
        if probes_of_group.is_empty() {
            self.groups.push_back(probe.group);
        }
        probes_of_group.push_back(probe);
    }

    fn pop(&mut self) -> Option<Probe<K>> {
        let group = self.groups.pop_front()?;
        let probes_of_group = self.probes.get_mut(&group)?;
        let probe = probes_of_group.pop_front();
        if probes_of_group.is_empty() {
            self.probes.remove(&group);
        } else {
            self.groups.push_back(group);
        }
        probe
    }

    /// Makes a group without running probes the next one. Returns whether there is such a group.
    fn move_idle_first(&mut self, running: &HashSet<usize>) -> bool {
        let index = self.groups.iter().position(|it| !running.contains(it));
        if let Some(group) = index.and_then(|index| self.groups.remove(index)) {
            self.groups.push_front(group);
        }
        index.is_some()
    }
}

impl<K> Default for FairQueue<K> {
    fn default() -> Self {
        FairQueue {
            groups: VecDeque::new(),
            probes: HashMap::new(),
        }
    }
}

/// A host to connect to.
#[derive(Debug)]
pub(crate) struct Probe<K> {
    pub(crate) key: K,
    /// A number that identifies its group.
    pub(crate) group: usize,
    pub(crate) priority: ProbePriority,
    pub(crate) address: SocketAddr,
    /// How many connects must still succeed, one after the other.
    pub(crate) tries: u32,
    /// How long each connect may take.
    pub(crate) timeout_ms: u64,
}

#[derive(Debug)]
struct Attempt<K> {
    probe: Probe<K>,
    socket: TcpStream,
    since_ms: u64,
}

impl<K> Attempt<K> {
    fn until_ms(&self) -> u64 {
        self.since_ms.saturating_add(self.probe.timeout_ms)
    }
}

/// The result of a probe.
#[derive(Debug)]
pub(crate) struct ProbeResult<K> {
    pub(crate) key: K,
    pub(crate) address: SocketAddr,
    /// `None` if this machine could not connect, or if the probe made room for another.
    pub(crate) result: Option<Result<(), Failure>>,
}

impl<K> Prober<K> {
    /// A prober that runs at most `limit` probes at a time.
    ///
    /// # Errors
    /// The system's, if it cannot make an event queue.
    pub(crate) fn new(limit: usize) -> io::Result<Prober<K>> {
        let poll = Poll::new()?;
        let waker = ProbeWaker(Arc::new(Waker::new(poll.registry(), WAKER)?));
        Ok(Prober {
            poll,
            events: Events::with_capacity(256),
            waker,
            limit: limit.max(1),
            waiting: Default::default(),
            attempts: HashMap::new(),
            running: [0; 3],
            next_token: 0,
        })
    }

    /// What ends a `wait` from another thread.
    pub(crate) fn waker(&self) -> ProbeWaker {
        self.waker.clone()
    }

    /// Queues a probe. The first connect that fails ends it.
    pub(crate) fn begin(&mut self, probe: Probe<K>) {
        self.waiting[probe.priority as usize].push(probe);
    }

    /// Whether no probe waits or runs.
    #[cfg(test)]
    pub(crate) fn is_idle(&self) -> bool {
        let waiting = self.waiting.iter().any(|queue| !queue.groups.is_empty());
        !waiting && self.attempts.is_empty()
    }

    /// Runs probes until `timeout` has passed, an event came or the waker was used. Returns the
    /// results so far. `now_ms` is the clock.
    ///
    /// # Errors
    /// The system's, if the event queue fails.
    pub(crate) fn wait(
        &mut self,
        timeout: Duration,
        now_ms: impl Fn() -> u64,
    ) -> io::Result<Vec<ProbeResult<K>>> {
        let mut results = Vec::new();
        self.start_waiting(now_ms(), &mut results);
        let poll_timeout = if results.is_empty() {
            self.poll_timeout(timeout, now_ms())
        } else {
            Duration::ZERO
        };
        match self.poll.poll(&mut self.events, Some(poll_timeout)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        let now_ms = now_ms();
        let tokens: Vec<usize> = self.events.iter().map(|event| event.token().0).collect();
        for token in tokens {
            self.check_attempt(token, now_ms, &mut results);
        }
        let late: Vec<usize> = self
            .attempts
            .iter()
            .filter(|(_, attempt)| attempt.until_ms() <= now_ms)
            .map(|(&token, _)| token)
            .collect();
        for token in late {
            self.check_attempt(token, now_ms, &mut results);
        }
        Ok(results)
    }

    fn poll_timeout(&self, timeout: Duration, now_ms: u64) -> Duration {
        let first_ms = self.attempts.values().map(Attempt::until_ms).min();
        first_ms.map_or(timeout, |first_ms| {
            timeout.min(Duration::from_millis(first_ms.saturating_sub(now_ms)))
        })
    }

    fn start_waiting(&mut self, now_ms: u64, results: &mut Vec<ProbeResult<K>>) {
        for priority in ProbePriority::ALL {
            while self.has_room(priority)
                && let Some(probe) = self.waiting[priority as usize].pop()
            {
                self.start(probe, now_ms, results);
            }
        }
        for priority in [ProbePriority::Urgent, ProbePriority::UrgentButSilent] {
            self.preempt(priority, now_ms, results);
        }
    }

    /// Whether one more probe may start. An eighth of the limit is for `Urgent` probes alone, and
    /// each other priority gets three quarters at most.
    fn has_room(&self, priority: ProbePriority) -> bool {
        let all = self.attempts.len();
        if priority == ProbePriority::Urgent {
            return all < self.limit;
        }
        let others = all - self.running[ProbePriority::Urgent as usize];
        let urgent_share = self.limit.div_ceil(8).min(self.limit - 1);
        let other_share = self.limit - self.limit / 4;
        all < self.limit
            && others < self.limit - urgent_share
            && self.running[priority as usize] < other_share
    }

    /// Ends probes that have run for long, so that groups without healthy hosts and running probes
    /// get one.
    fn preempt(&mut self, priority: ProbePriority, now_ms: u64, results: &mut Vec<ProbeResult<K>>) {
        if self.waiting[priority as usize].groups.is_empty() {
            return;
        }
        let long =
            |attempt: &Attempt<K>| now_ms.saturating_sub(attempt.since_ms) >= PREEMPT_AFTER_MS;
        let mut old: Vec<(u64, usize)> = self
            .attempts
            .iter()
            .filter(|(_, attempt)| long(attempt) && attempt.probe.priority != ProbePriority::Urgent)
            .map(|(token, attempt)| (attempt.since_ms, *token))
            .collect();
        old.sort_unstable_by(|a, b| b.cmp(a));
        let groups = self.attempts.values().map(|attempt| attempt.probe.group);
        let mut served: HashSet<usize> = groups.collect();
        while !old.is_empty() && self.waiting[priority as usize].move_idle_first(&served) {
            let Some(token) = old.pop().map(|(_, token)| token) else {
                return;
            };
            let evicted = self
                .take(token)
                .map(|attempt| attempt.probe.into_result(None));
            results.extend(evicted);
            if let Some(probe) = self.waiting[priority as usize].pop() {
                served.insert(probe.group);
                self.start(probe, now_ms, results);
            }
        }
    }

    fn put(&mut self, token: usize, attempt: Attempt<K>) {
        self.running[attempt.probe.priority as usize] += 1;
        self.attempts.insert(token, attempt);
    }

    fn take(&mut self, token: usize) -> Option<Attempt<K>> {
        let attempt = self.attempts.remove(&token)?;
        self.running[attempt.probe.priority as usize] -= 1;
        Some(attempt)
    }

    fn start(&mut self, probe: Probe<K>, now_ms: u64, results: &mut Vec<ProbeResult<K>>) {
        let token = self.next_token;
        self.next_token = (token + 1) % WAKER.0;
        let socket = connect(probe.address).and_then(|mut socket| {
            self.poll
                .registry()
                .register(&mut socket, Token(token), Interest::WRITABLE)?;
            Ok(socket)
        });
        match socket {
            Ok(socket) => {
                let attempt = Attempt {
                    probe,
                    socket,
                    since_ms: now_ms,
                };
                self.put(token, attempt);
            }
            Err(error) => results.push(probe.failed(classify_connect_error(&error))),
        }
    }

    fn check_attempt(&mut self, token: usize, now_ms: u64, results: &mut Vec<ProbeResult<K>>) {
        let Some(attempt) = self.take(token) else {
            return;
        };
        match connect_progress(&attempt.socket) {
            ConnectProgress::Pending if attempt.until_ms() > now_ms => {
                self.put(token, attempt);
            }
            ConnectProgress::Pending => {
                results.push(attempt.probe.failed(ConnectError::Host(Failure::TimedOut)));
            }
            // A host that resets at once has accepted.
            ConnectProgress::Connected | ConnectProgress::Failed(ConnectError::ResetByHost)
                if attempt.probe.tries > 1 =>
            {
                let probe = Probe {
                    tries: attempt.probe.tries - 1,
                    ..attempt.probe
                };
                drop(attempt.socket);
                self.start(probe, now_ms, results);
            }
            ConnectProgress::Connected => results.push(attempt.probe.into_result(Some(Ok(())))),
            ConnectProgress::Failed(error) => results.push(attempt.probe.failed(error)),
        }
    }
}

/// How long a connect of a probe may take: as long as that of a session.
pub(crate) fn probe_timeout_ms(timeouts: TimeoutsMs) -> u64 {
    match timeouts.connect {
        0 => LONGEST_ATTEMPT_MS,
        timeout_ms => timeout_ms,
    }
}

impl<K> Probe<K> {
    fn failed(self, error: ConnectError) -> ProbeResult<K> {
        match error {
            ConnectError::Host(failure) => self.into_result(Some(Err(failure))),
            ConnectError::ResetByHost => self.into_result(Some(Ok(()))),
            ConnectError::Local(_) => self.into_result(None),
        }
    }

    fn into_result(self, result: Option<Result<(), Failure>>) -> ProbeResult<K> {
        ProbeResult {
            key: self.key,
            address: self.address,
            result,
        }
    }
}

#[cfg(test)]
mod tests {
    //! Hosts that answer, refuse and say nothing, and who of them goes first.

    use super::*;
    use crate::relay::Clock;
    use std::net::TcpListener;

    /// Runs until all probes have ended, on the clock of the test.
    fn results(
        prober: &mut Prober<&'static str>,
        clock: impl Fn() -> u64,
    ) -> Vec<ProbeResult<&'static str>> {
        let mut all = Vec::new();
        while !prober.is_idle() {
            all.extend(prober.wait(Duration::from_secs(10), &clock).unwrap());
        }
        all
    }

    const LONG: Duration = Duration::from_secs(10);

    fn probe(key: &'static str, address: SocketAddr, tries: u32) -> Probe<&'static str> {
        Probe {
            key,
            group: 0,
            priority: ProbePriority::Routine,
            address,
            tries,
            timeout_ms: 5_000,
        }
    }

    /// Silent hosts of many groups use up the limit. The results up to the answer of another host.
    fn beside_silent_hosts(
        silent_are: ProbePriority,
        urgent: ProbePriority,
        (now_ms, poll_timeout): (u64, Duration),
    ) -> Vec<&'static str> {
        let (silent, _full) = silent_host();
        let host = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut prober = Prober::new(4).unwrap();
        for group in 0..40 {
            prober.begin(Probe {
                group: group / 4,
                priority: silent_are,
                ..probe("silent", silent.local_addr().unwrap(), 1)
            });
        }
        assert!(prober.wait(Duration::ZERO, || 0).unwrap().is_empty());
        prober.begin(Probe {
            group: 99,
            priority: urgent,
            ..probe("alive", host.local_addr().unwrap(), 4)
        });
        let mut answered = Vec::new();
        while !answered.contains(&"alive") && answered.len() < 40 {
            let results = prober.wait(poll_timeout, || now_ms).unwrap();
            // A wait may end without results.
            if poll_timeout.is_zero() {
                assert!(results.is_empty());
                break;
            }
            answered.extend(results.iter().map(|result| result.key));
            assert!(prober.attempts.len() <= 4);
            let running: usize = prober.running.iter().sum();
            assert_eq!(running, prober.attempts.len());
        }
        answered
    }

    #[test]
    fn a_group_without_hosts_is_probed_at_once_even_if_others_are_silent() {
        for others in [ProbePriority::UrgentButSilent, ProbePriority::Routine] {
            let answered = beside_silent_hosts(others, ProbePriority::Urgent, (0, LONG));
            assert_eq!(answered, ["alive"], "{others:?}");
        }
    }

    #[test]
    fn who_is_silent_gives_way_to_a_group_that_has_no_place() {
        let late = beside_silent_hosts(
            ProbePriority::Routine,
            ProbePriority::UrgentButSilent,
            (PREEMPT_AFTER_MS, LONG),
        );
        assert_eq!(late, ["silent", "alive"]);
        let soon = beside_silent_hosts(
            ProbePriority::UrgentButSilent,
            ProbePriority::UrgentButSilent,
            (PREEMPT_AFTER_MS - 1, Duration::ZERO),
        );
        assert!(soon.is_empty());
    }

    #[test]
    fn groups_take_turns() {
        let mut queue = FairQueue::default();
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        for (key, group) in [
            ("a1", 1),
            ("a2", 1),
            ("a3", 1),
            ("b1", 2),
            ("c1", 3),
            ("b2", 2),
        ] {
            queue.push(Probe {
                group,
                ..probe(key, address, 1)
            });
        }
        let order: Vec<_> = std::iter::from_fn(|| queue.pop())
            .map(|it| it.key)
            .collect();
        assert_eq!(order, ["a1", "b1", "c1", "a2", "b2", "a3"]);
        assert!(queue.probes.is_empty());
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
        prober.begin(probe("alive", host.local_addr().unwrap(), 4));
        let results = results(&mut prober, real_clock());
        assert!(matches!(
            results[..],
            [ProbeResult {
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
        prober.begin(probe("dead", closed, 4));
        let results = results(&mut prober, real_clock());
        assert!(matches!(
            results[..],
            [ProbeResult {
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
        prober.begin(probe("silent", silent.local_addr().unwrap(), 1));
        prober.begin(probe("alive", host.local_addr().unwrap(), 1));
        let first = loop {
            let results = prober.wait(Duration::from_secs(10), || 0).unwrap();
            if !results.is_empty() {
                break results;
            }
        };
        assert!(matches!(first[..], [ProbeResult { key: "alive", .. }]));
        let late = prober.wait(Duration::from_secs(10), || 5_000).unwrap();
        assert!(matches!(
            late[..],
            [ProbeResult {
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
            prober.begin(probe("alive", host.local_addr().unwrap(), 2));
        }
        assert_eq!(results(&mut prober, real_clock()).len(), 9);
    }

    /// A listener with a full accept backlog: connects to it stay in progress.
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
