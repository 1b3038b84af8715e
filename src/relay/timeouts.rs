//! A service's timeouts, and when they are over.
//!
//! Pure: time is an argument. What happens then is `session`'s business.

use std::time::Duration;

use crate::config::Timeouts;

/// The connect timeouts one client may cost in all.
const TOTAL_CONNECT_TIMEOUTS: u64 = 3;

/// A service's timeouts in milliseconds; 0 is never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct TimeoutsMs {
    /// For one host to accept.
    pub(crate) connect: u64,
    /// For a byte in either direction.
    pub(crate) idle: u64,
    /// The same, once one direction has ended.
    pub(crate) half_closed: u64,
}

impl TimeoutsMs {
    /// When a host that was asked at `since_ms` has had its time to accept.
    pub(crate) fn connect_ends_ms(&self, since_ms: u64) -> Option<u64> {
        after(since_ms, self.connect)
    }

    /// When a client that came at `started_ms` has waited for a host long enough.
    pub(crate) fn patience_ends_ms(&self, started_ms: u64) -> Option<u64> {
        after(
            started_ms,
            self.connect.saturating_mul(TOTAL_CONNECT_TIMEOUTS),
        )
    }

    /// When a session has been silent for too long, whose last byte was seen at
    /// `active_ms`.
    pub(crate) fn silence_ends_ms(&self, active_ms: u64, half_closed: bool) -> Option<u64> {
        let half_closed = if half_closed { self.half_closed } else { 0 };
        earliest(after(active_ms, self.idle), after(active_ms, half_closed))
    }
}

impl From<Timeouts> for TimeoutsMs {
    fn from(timeouts: Timeouts) -> TimeoutsMs {
        TimeoutsMs {
            connect: milliseconds(timeouts.connect),
            idle: milliseconds(timeouts.idle),
            half_closed: milliseconds(timeouts.half_closed),
        }
    }
}

/// At least one where there is a timeout at all: 0 means never here.
fn milliseconds(timeout: Option<Duration>) -> u64 {
    timeout.map_or(0, |timeout| {
        u64::try_from(timeout.as_millis())
            .unwrap_or(u64::MAX)
            .max(1)
    })
}

/// The moment `timeout_ms` after `start_ms`; 0 is never.
fn after(start_ms: u64, timeout_ms: u64) -> Option<u64> {
    (timeout_ms > 0).then(|| start_ms.saturating_add(timeout_ms))
}

/// The earlier of two moments that may never come.
pub(crate) fn earliest(one_ms: Option<u64>, other_ms: Option<u64>) -> Option<u64> {
    match (one_ms, other_ms) {
        (Some(one_ms), Some(other_ms)) => Some(one_ms.min(other_ms)),
        (one_ms, other_ms) => one_ms.or(other_ms),
    }
}

/// Whether a moment, if it ever comes, has come.
pub(crate) fn is_past(moment_ms: Option<u64>, now_ms: u64) -> bool {
    moment_ms.is_some_and(|moment_ms| now_ms >= moment_ms)
}
