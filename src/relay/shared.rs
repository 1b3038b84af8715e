//! What the workers have in common besides what they serve: a clock, limits,
//! counts.
//!
//! Each of them is written without a lock; what it is good for is the worker's
//! business.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::client_lookup::ClientLookup;
use super::clock::Clock;
use super::handoff::Handoffs;
use super::recent_events::RecentEvents;
use super::worker_stats::WorkerStats;

/// How often the same trouble is logged.
const COMPLAIN_EVERY_MS: u64 = 1000;

/// What the workers have in common besides what they serve.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) clock: Clock,
    /// Sessions there are descriptors for.
    pub(crate) capacity: AtomicUsize,
    /// Sessions open now.
    pub(crate) open: AtomicUsize,
    /// Nobody complains of a shortage before then: it is everybody's.
    pub(crate) complain_after_ms: AtomicU64,
    /// Pipes that each worker may have.
    pub(crate) pipes: usize,
    pub(crate) lobbies: Handoffs,
    /// What happened last.
    pub(crate) journal: RecentEvents,
    /// One for each worker.
    pub(crate) meters: Vec<WorkerStats>,
    /// Whose the connections to the hosts are.
    pub(crate) origins: ClientLookup,
}

/// Whether a service may have one more session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// It may.
    Free,
    /// As many are open as there are descriptors for.
    Full,
    /// Nine tenths are open, and it has its share of the rest: that is the others'.
    Reserved,
}

/// Whether one of `services` may have one more session, where `open` of `capacity` are
/// open. Its `own` sessions are asked for only once nine tenths are.
///
/// No service takes the last tenth from the others: each of them can have as many sessions
/// as an even part of that, whatever one of them does.
pub(crate) fn room(
    open: usize,
    capacity: usize,
    services: usize,
    own: impl FnOnce() -> u64,
) -> Room {
    let reserve = capacity / 10;
    match open {
        open if open >= capacity => Room::Full,
        open if services < 2 || open < capacity - reserve => Room::Free,
        _ if own() < (reserve / (services - 1)).max(1) as u64 => Room::Free,
        _ => Room::Reserved,
    }
}

impl Shared {
    /// Whether a worker may complain now; then the others may not for a while.
    pub(crate) fn may_complain(&self, now_ms: u64) -> bool {
        let after_ms = self.complain_after_ms.load(Ordering::Relaxed);
        let next_ms = now_ms + COMPLAIN_EVERY_MS;
        now_ms >= after_ms
            && self
                .complain_after_ms
                .compare_exchange(after_ms, next_ms, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Has one service after the other take all that it can get; how much each got.
    fn greedy(capacity: usize, services: usize) -> Vec<u64> {
        let mut own = vec![0; services];
        for service in 0..services {
            while room(
                usize::try_from(own.iter().sum::<u64>()).unwrap(),
                capacity,
                services,
                || own[service],
            ) == Room::Free
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
    fn a_service_that_has_less_than_its_share_is_let_in_whoever_has_the_rest() {
        assert_eq!(room(999, 1000, 2, || 99), Room::Free);
        assert_eq!(room(999, 1000, 2, || 100), Room::Reserved);
        assert_eq!(room(1000, 1000, 2, || 0), Room::Full);
        assert_eq!(room(899, 1000, 2, || panic!("there is room")), Room::Free);
    }
}
