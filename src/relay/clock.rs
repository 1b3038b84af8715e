//! The time, as everything that runs sees it: milliseconds since the start.
//!
//! Pure rooms get these as arguments; only who runs them has a clock.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A monotonic clock that remembers what the wall clock said when it started.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
    wall_start: SystemTime,
}

impl Clock {
    /// Starts now.
    pub fn start() -> Clock {
        Clock {
            start: Instant::now(),
            wall_start: SystemTime::now(),
        }
    }

    /// Milliseconds since the start.
    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Milliseconds since 1970 of a moment of this clock. A wall clock that was
    /// set in the meantime does not make moments change places.
    pub fn wall_ms(&self, moment_ms: u64) -> u64 {
        let moment = self.wall_start + Duration::from_millis(moment_ms);
        let since_1970 = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
    }
}
