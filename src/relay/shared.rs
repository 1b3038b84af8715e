//! State that all workers share: clock, limits, counters, hand-off queues. None of it has a lock.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::client_lookup::ClientLookup;
use super::clock::Clock;
use super::events::RecentEvents;
use super::failure::{EndReason, ResourceError};
use super::handoff::Handoffs;
use super::tcp_transport::TcpTransport;
use super::transport::Transport;

/// How often the same shortage is logged.
const SHORTAGE_LOG_INTERVAL_MS: u64 = 1000;

/// State that all workers share.
#[derive(Debug)]
pub(crate) struct Shared<T: Transport = TcpTransport> {
    pub(crate) clock: Clock,
    /// How many sessions the file descriptors allow.
    pub(crate) capacity: AtomicUsize,
    /// No worker logs a shortage before this time: all workers have the same one.
    pub(crate) log_shortage_after_ms: AtomicU64,
    /// Before this time no client without a PROXY protocol header is logged.
    log_header_after_ms: AtomicU64,
    /// Pipes that each worker may have.
    pub(crate) pipes: usize,
    pub(crate) handoffs: Handoffs<T>,
    pub(crate) recent_events: RecentEvents,
    /// One for each worker.
    pub(crate) stats: Vec<WorkerStats>,
    pub(crate) client_lookup: ClientLookup,
}

/// Whether a service may have one more session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Capacity {
    /// It may.
    Free,
    /// The file descriptors allow no more sessions.
    Full,
    /// Nine tenths are open, and the service has its share of the rest.
    Reserved,
}

/// Whether one of `services` may have one more session while `open` of `capacity` are open.
/// `own` returns its sessions and is called only once nine tenths are open.
///
/// Otherwise one client could take all sessions of all services. Each service can always have an
/// even part of the last tenth.
// Tests: the_last_tenth_is_shared_by_those_that_come_later,
// one_service_leaves_the_last_sessions_to_the_other.
pub(crate) fn check_capacity(
    open: usize,
    capacity: usize,
    services: usize,
    own: impl FnOnce() -> u64,
) -> Capacity {
    let reserve = capacity / 10;
    match open {
        open if open >= capacity => Capacity::Full,
        open if services < 2 || open < capacity - reserve => Capacity::Free,
        _ if own() < (reserve / (services - 1)).max(1) as u64 => Capacity::Free,
        _ => Capacity::Reserved,
    }
}

impl<T: Transport> Shared<T> {
    /// For so many workers with so many pipes each. There is no capacity for sessions yet.
    pub(crate) fn new(clock: Clock, workers: usize, pipes: usize) -> Shared<T> {
        Shared {
            capacity: AtomicUsize::new(0),
            log_shortage_after_ms: AtomicU64::new(0),
            log_header_after_ms: AtomicU64::new(0),
            pipes,
            handoffs: Handoffs::new(workers),
            recent_events: RecentEvents::new(clock.clone()),
            stats: (0..workers).map(|_| WorkerStats::default()).collect(),
            client_lookup: ClientLookup::new(workers),
            clock,
        }
    }

    /// Sets how many sessions the file descriptors allow.
    pub(crate) fn set_capacity(&self, sessions: usize) {
        self.capacity.store(sessions, Ordering::Relaxed);
    }

    /// Whether the calling worker may log a shortage now. Then no worker may for a second.
    pub(crate) fn may_log_shortage(&self, now_ms: u64) -> bool {
        may_log(&self.log_shortage_after_ms, now_ms)
    }

    /// The same for a client without a PROXY protocol header.
    pub(crate) fn may_log_header(&self, now_ms: u64) -> bool {
        may_log(&self.log_header_after_ms, now_ms)
    }
}

fn may_log(after: &AtomicU64, now_ms: u64) -> bool {
    let after_ms = after.load(Ordering::Relaxed);
    let next_ms = now_ms + SHORTAGE_LOG_INTERVAL_MS;
    // Relaxed: the value orders nothing else, and one of several workers wins.
    now_ms >= after_ms
        && after
            .compare_exchange(after_ms, next_ms, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
}

/// One worker's counters. Only that worker writes them; readers add up those of all workers.
#[derive(Debug, Default)]
#[repr(align(128))] // Two cache lines: processors fetch neighbours in pairs.
pub(crate) struct WorkerStats {
    ended: [AtomicU64; EndReason::ALL.len()],
    errors: [AtomicU64; 4],
    iterations: AtomicU64,
}

impl WorkerStats {
    pub(crate) fn count_end(&self, reason: EndReason) {
        add_one(&self.ended[reason.index()]);
    }

    pub(crate) fn count_error(&self, error: ResourceError) {
        add_one(&self.errors[error as usize]);
    }

    pub(crate) fn count_iteration(&self) {
        add_one(&self.iterations);
    }

    /// Adds what an earlier process has counted, before the worker begins to.
    pub(crate) fn add_ended(&self, reason: EndReason, sessions: u64) {
        self.ended[reason.index()].fetch_add(sessions, Ordering::Relaxed);
    }

    /// Sessions that ended for this reason.
    pub(crate) fn ended(&self, reason: EndReason) -> u64 {
        self.ended[reason.index()].load(Ordering::Relaxed)
    }

    /// How often this error happened.
    pub(crate) fn errors(&self, error: ResourceError) -> u64 {
        self.errors[error as usize].load(Ordering::Relaxed)
    }

    /// Iterations of the event loop.
    pub(crate) fn iterations(&self) -> u64 {
        self.iterations.load(Ordering::Relaxed)
    }
}

/// A single writer needs no locked instruction.
fn add_one(counter: &AtomicU64) {
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Has one service after the other take all that it can get; how much each got.
    fn greedy(capacity: usize, services: usize) -> Vec<u64> {
        let mut own = vec![0; services];
        for service in 0..services {
            while check_capacity(
                usize::try_from(own.iter().sum::<u64>()).unwrap(),
                capacity,
                services,
                || own[service],
            ) == Capacity::Free
            {
                own[service] += 1;
            }
        }
        own
    }

    #[test]
    fn the_last_tenth_is_shared_by_those_that_come_later() {
        assert_eq!(greedy(1000, 1), [1000]);
        assert_eq!(greedy(1000, 2), [900, 100]);
        assert_eq!(greedy(1000, 5), [900, 25, 25, 25, 25]);
        // Too few for all: first come, first served.
        assert_eq!(greedy(20, 4), [18, 1, 1, 0]);
        assert_eq!(greedy(9, 2), [9, 0]);
        assert_eq!(greedy(0, 2), [0, 0]);
    }

    #[test]
    fn a_service_below_its_share_is_accepted_whichever_has_the_rest() {
        assert_eq!(check_capacity(999, 1000, 2, || 99), Capacity::Free);
        assert_eq!(check_capacity(999, 1000, 2, || 100), Capacity::Reserved);
        assert_eq!(check_capacity(1000, 1000, 2, || 0), Capacity::Full);
        assert_eq!(
            check_capacity(899, 1000, 2, || panic!("there is room")),
            Capacity::Free
        );
    }
}
