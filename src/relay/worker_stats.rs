//! What one worker counts: sessions by how they ended, and trouble by kind.
//!
//! A worker writes its own only; who reads adds them up.

use std::sync::atomic::{AtomicU64, Ordering};

use super::end::EndReason;

/// Trouble of this machine, not of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) enum ResourceError {
    /// As many sessions are open as the descriptors allow.
    Full,
    /// The system had no descriptor, or no memory for a socket.
    NoDescriptors,
    /// No local port was left for a connection to a host.
    NoPorts,
    /// Accepting failed in a way nobody has heard of.
    Accept,
}

/// One worker's counters.
#[derive(Debug, Default)]
#[repr(align(128))] // Two cache lines: neighbours are fetched in pairs.
pub(crate) struct WorkerStats {
    ended: [AtomicU64; EndReason::ALL.len()],
    trouble: [AtomicU64; 4],
    turns: AtomicU64,
}

impl WorkerStats {
    pub(crate) fn count_end(&self, reason: EndReason) {
        add_one(&self.ended[reason.index()]);
    }

    pub(crate) fn count_trouble(&self, trouble: ResourceError) {
        add_one(&self.trouble[trouble as usize]);
    }

    pub(crate) fn count_turn(&self) {
        add_one(&self.turns);
    }

    /// Sessions that ended for this reason.
    pub(crate) fn ended(&self, reason: EndReason) -> u64 {
        self.ended[reason.index()].load(Ordering::Relaxed)
    }

    /// Times this trouble was met.
    pub(crate) fn trouble(&self, trouble: ResourceError) -> u64 {
        self.trouble[trouble as usize].load(Ordering::Relaxed)
    }

    /// Times the loop went round.
    pub(crate) fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }
}

/// A single writer needs no locked instruction.
fn add_one(counter: &AtomicU64) {
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}
