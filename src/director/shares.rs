//! What the descriptors of this process are for: a share for each use, so that sessions
//! never take what keeps everything else going.
//!
//! Only the sums; the limit itself is the system's.

use crate::os::descriptors;

/// Kept for everything that has no share of its own: logs, files, the control socket.
const RESERVED: u64 = 64;

/// Probes under way at the same time, and the share that they may have at most.
const MAX_PROBES: u64 = 1024;
const PROBES_SHARE: u64 = 16;

/// Pipes that a worker may have, two descriptors each, and the share that those of all
/// workers may have. Who finds none copies.
const MAX_PIPES: u64 = 64;
const PIPES_SHARE: u64 = 32;

/// Kept for clients of the doors for people, those that wait included, and the share that they
/// may have at most.
const MAX_DOORS: u64 = 320;
const DOORS_SHARE: u64 = 16;

/// How many probes may be under way.
pub(super) fn probes() -> usize {
    let limit = descriptors::limit().map_or(MAX_PROBES, |limit| limit / PROBES_SHARE);
    usize::try_from(limit.clamp(1, MAX_PROBES)).unwrap_or(1)
}

/// How many pipes each of the `workers` may have.
pub(super) fn pipes(workers: usize) -> usize {
    let limit = descriptors::limit().unwrap_or(u64::MAX) / PIPES_SHARE;
    let each = limit / (2 * workers.max(1) as u64);
    usize::try_from(each.min(MAX_PIPES)).unwrap_or(0)
}

/// How many sessions there are descriptors for, two each, where the workers need so
/// many for themselves.
pub(super) fn sessions(workers_own: usize) -> usize {
    let Some(limit) = descriptors::limit() else {
        return usize::MAX;
    };
    let doors = MAX_DOORS.min(limit / DOORS_SHARE);
    let kept = RESERVED + doors + probes() as u64 + workers_own as u64;
    let left = limit.saturating_sub(kept).max(2);
    usize::try_from(left / 2).unwrap_or(usize::MAX)
}
