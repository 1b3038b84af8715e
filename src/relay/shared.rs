//! What the workers have in common besides what they serve: a clock, limits,
//! counts.
//!
//! Each of them is written without a lock; what it is good for is the worker's
//! business.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::clock::Clock;
use super::journal::Journal;
use super::lobby::Lobbies;
use super::meters::Meters;
use super::origins::Origins;

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
    pub(crate) lobbies: Lobbies,
    /// What happened last.
    pub(crate) journal: Journal,
    /// One for each worker.
    pub(crate) meters: Vec<Meters>,
    /// Whose the connections to the hosts are.
    pub(crate) origins: Origins,
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
