//! Probes: connects to hosts to see whether they accept, or to check them, many at once, in an event
//! loop of its own.
//!
//! `control/recovery` decides which hosts are probed, and when. What a check says and expects is in
//! `relay/check`.

mod attempt;
mod fair_queue;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use mio::{Events, Interest, Poll, Token, Waker};

use self::attempt::{Attempt, AttemptProgress};
use self::fair_queue::FairQueue;
use super::check::{Dialogue, Verdict};
use super::failure::{ConnectError, Shortage, classify_connect_error};
use super::session::TimeoutsMs;
use super::source::sources;
use super::stream::StreamSocket;
use super::tcp_transport::connect;
use super::timer_wheel::Stall;
use crate::balance::SourceTurn;
use crate::config::ProxyVersion;
use crate::os::address::Address;

/// How long a probe may take where there is no connect timeout. Linux gives up after about two
/// minutes.
const LONGEST_ATTEMPT_MS: u64 = 180_000;

/// After this time a probe makes room for a group that has no healthy host and no running probe. It
/// is long enough for a second SYN, after 1 s. It starts again later, with all its time.
const PREEMPT_AFTER_MS: u64 = 1_100;

/// How many missing source addresses are remembered.
const MOST_MISSING_SOURCES: usize = 1024;

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
    /// When the time of each attempt is over, and its token.
    deadlines: BTreeSet<(u64, usize)>,
    /// How many probes run, by priority.
    running: [usize; 3],
    /// How many of them have made room once.
    restarted: usize,
    next_token: usize,
    /// The last reading of the clock.
    seen_ms: u64,
    buffer: Box<[u8]>,
    /// Source addresses that this machine did not have.
    missing_sources: HashSet<IpAddr>,
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

/// A host to connect to.
#[derive(Debug)]
pub(crate) struct Probe<K> {
    pub(crate) key: K,
    /// A number that identifies its group.
    pub(crate) group: usize,
    pub(crate) priority: ProbePriority,
    pub(crate) address: Address,
    /// How the connection is made, if anything is configured.
    pub(crate) source: Option<SourceTurn>,
    /// How long it may take, from its start.
    pub(crate) timeout_ms: u64,
    /// The PROXY protocol header that the host gets first, if its group's hosts get one.
    pub(crate) send_proxy: Option<ProxyVersion>,
    /// What is said once the host has accepted; nothing for a health check or a heartbeat.
    pub(crate) dialogue: Option<Dialogue>,
    /// Whether it has made room for another probe before. It does so once: a slow host is judged by
    /// all the time it has, as by a session.
    /// Test: who_has_made_room_once_gets_all_its_time.
    pub(crate) is_restarted: bool,
}

/// The result of a probe.
#[derive(Debug)]
pub(crate) struct ProbeResult<K> {
    pub(crate) key: K,
    pub(crate) address: Address,
    /// `None` if this machine could not connect.
    pub(crate) verdict: Option<Verdict>,
    /// How long it took, in milliseconds.
    pub(crate) took_ms: u64,
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
            deadlines: BTreeSet::new(),
            running: [0; 3],
            restarted: 0,
            next_token: 0,
            seen_ms: 0,
            buffer: vec![0; 4096].into(),
            missing_sources: HashSet::new(),
        })
    }

    /// What ends a `wait` from another thread.
    pub(crate) fn waker(&self) -> ProbeWaker {
        self.waker.clone()
    }

    /// Queues a probe. Its time begins when it starts.
    pub(crate) fn begin(&mut self, probe: Probe<K>) {
        self.waiting[probe.priority as usize].push(probe);
    }

    /// Whether no probe waits or runs.
    #[cfg(test)]
    pub(crate) fn is_idle(&self) -> bool {
        let waiting = self.waiting.iter().any(|queue| !queue.is_empty());
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
        self.correct_times(now_ms(), 0);
        self.start_waiting(self.seen_ms, &mut results);
        let poll_timeout = if results.is_empty() {
            self.poll_timeout(timeout)
        } else {
            Duration::ZERO
        };
        match self.poll.poll(&mut self.events, Some(poll_timeout)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        let slept_ms = u64::try_from(poll_timeout.as_millis()).unwrap_or(u64::MAX);
        self.correct_times(now_ms(), slept_ms);
        let tokens: Vec<usize> = self.events.iter().map(|event| event.token().0).collect();
        for token in tokens {
            self.advance(token, &mut results);
        }
        while let Some((until_ms, token)) = self.deadlines.first().copied()
            && until_ms <= self.seen_ms
        {
            self.advance(token, &mut results);
        }
        Ok(results)
    }

    /// Reads the clock. If this process was stopped since the last reading, apart from `expected_ms`,
    /// attempts get that time back: their hosts may have answered in vain.
    // Test: a_process_that_was_stopped_gives_its_hosts_their_time.
    fn correct_times(&mut self, now_ms: u64, expected_ms: u64) {
        let expected_ms = self.seen_ms.saturating_add(expected_ms);
        self.seen_ms = now_ms;
        let Some(stall) = Stall::between(expected_ms, now_ms) else {
            return;
        };
        for attempt in self.attempts.values_mut() {
            attempt.since_ms += stall.length_ms();
        }
        let deadlines = self.attempts.iter();
        self.deadlines = deadlines
            .map(|(token, it)| (it.until_ms(), *token))
            .collect();
    }

    fn poll_timeout(&self, timeout: Duration) -> Duration {
        self.deadlines.first().map_or(timeout, |(first_ms, _)| {
            timeout.min(Duration::from_millis(first_ms.saturating_sub(self.seen_ms)))
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
        if self.waiting[priority as usize].is_empty() {
            return;
        }
        // Those that have made room before may fill half of the places.
        let may_evict = |attempt: &Attempt<K>| {
            now_ms.saturating_sub(attempt.since_ms) >= PREEMPT_AFTER_MS
                && attempt.probe.priority != ProbePriority::Urgent
                && (!attempt.probe.is_restarted || self.restarted > self.limit / 2)
        };
        let mut old: Vec<(u64, usize)> = self
            .attempts
            .iter()
            .filter(|(_, attempt)| may_evict(attempt))
            .map(|(token, attempt)| (attempt.since_ms, *token))
            .collect();
        old.sort_unstable_by(|a, b| b.cmp(a));
        let groups = self.attempts.values().map(|attempt| attempt.probe.group);
        let mut served: HashSet<usize> = groups.collect();
        while !old.is_empty() && self.waiting[priority as usize].move_idle_first(&served) {
            let Some(token) = old.pop().map(|(_, token)| token) else {
                return;
            };
            if let Some(attempt) = self.take(token) {
                self.begin(attempt.probe.restarted());
            }
            if let Some(probe) = self.waiting[priority as usize].pop() {
                served.insert(probe.group);
                self.start(probe, now_ms, results);
            }
        }
    }

    fn put(&mut self, token: usize, attempt: Attempt<K>) {
        self.running[attempt.probe.priority as usize] += 1;
        self.restarted += usize::from(attempt.probe.is_restarted);
        self.deadlines.insert((attempt.until_ms(), token));
        self.attempts.insert(token, attempt);
    }

    fn take(&mut self, token: usize) -> Option<Attempt<K>> {
        let attempt = self.attempts.remove(&token)?;
        self.running[attempt.probe.priority as usize] -= 1;
        self.restarted -= usize::from(attempt.probe.is_restarted);
        self.deadlines.remove(&(attempt.until_ms(), token));
        Some(attempt)
    }

    fn start(&mut self, probe: Probe<K>, now_ms: u64, results: &mut Vec<ProbeResult<K>>) {
        let token = self.next_token;
        self.next_token = (token + 1) % WAKER.0;
        let interest = match probe.dialogue {
            Some(_) => Interest::WRITABLE | Interest::READABLE,
            None => Interest::WRITABLE,
        };
        let socket = self.connect(&probe).and_then(|mut socket| {
            let registry = self.poll.registry();
            let registered = registry.register(&mut socket, Token(token), interest);
            registered.map_err(|error| classify_connect_error(&error))?;
            Ok(socket)
        });
        match socket {
            Ok(socket) => self.put(token, Attempt::new(probe, socket, now_ms)),
            Err(error) => results.push(probe.failed(error)),
        }
    }

    /// Connects from the first source address that has a free port.
    fn connect(&mut self, probe: &Probe<K>) -> Result<StreamSocket, ConnectError> {
        let mut none_left = ConnectError::Local(Shortage::Ports);
        for options in sources(probe.source.as_ref(), None, &probe.address) {
            match connect(options, &probe.address) {
                Err(ConnectError::Local(shortage)) if shortage.is_of_address() => {
                    self.log_missing_source(shortage);
                    none_left = ConnectError::Local(shortage);
                }
                result => {
                    if let (Ok(_), Some(from)) = (&result, options.source) {
                        self.missing_sources.remove(&from.address.ip());
                    }
                    return result;
                }
            }
        }
        Err(none_left)
    }

    /// Logs, once, that this machine does not have a source address. Sessions tell, too, but there
    /// may be none.
    fn log_missing_source(&mut self, shortage: Shortage) {
        let Shortage::Source(ip) = shortage else {
            return;
        };
        if self.missing_sources.len() < MOST_MISSING_SOURCES && self.missing_sources.insert(ip) {
            log::error!("cannot check hosts from {ip}: {shortage}");
        }
    }

    fn advance(&mut self, token: usize, results: &mut Vec<ProbeResult<K>>) {
        let Some(attempt) = self.attempts.get_mut(&token) else {
            return;
        };
        let progress = attempt.advance(&mut self.buffer, self.seen_ms);
        if let AttemptProgress::Pending = progress {
            return;
        }
        let Some(Attempt {
            probe, since_ms, ..
        }) = self.take(token)
        else {
            return;
        };
        let result = match progress {
            AttemptProgress::Done(verdict) => probe.into_result(Some(verdict)),
            AttemptProgress::Failed(error) => probe.failed(error),
            AttemptProgress::Pending => return,
        };
        results.push(ProbeResult {
            took_ms: self.seen_ms.saturating_sub(since_ms),
            ..result
        });
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
    /// The same again, from the start.
    fn restarted(self) -> Self {
        Probe {
            dialogue: self.dialogue.map(Dialogue::restarted),
            is_restarted: true,
            ..self
        }
    }

    fn failed(self, error: ConnectError) -> ProbeResult<K> {
        let verdict = match (error, &self.dialogue) {
            (ConnectError::Host(failure), None) => Some(Verdict::Failed(failure)),
            (ConnectError::Host(failure), Some(dialogue)) => Some(dialogue.not_connected(failure)),
            // A host that resets at once has accepted.
            (ConnectError::ResetByHost, None) => Some(Verdict::Passed),
            (ConnectError::ResetByHost, Some(dialogue)) => Some(dialogue.reset_at_once()),
            (ConnectError::Local(_), _) => None,
        };
        self.into_result(verdict)
    }

    fn into_result(self, verdict: Option<Verdict>) -> ProbeResult<K> {
        ProbeResult {
            key: self.key,
            address: self.address,
            verdict,
            took_ms: 0,
        }
    }
}
