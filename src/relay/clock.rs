//! The time, as everything that runs sees it: milliseconds since the start.
//!
//! Pure rooms get these as arguments; only who runs them has a clock.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::calendar::since_1970_ms;

/// A monotonic clock.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// Starts now.
    pub fn start() -> Clock {
        Clock {
            start: Instant::now(),
        }
    }

    /// Milliseconds since the start.
    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Milliseconds since 1970 of a moment of this clock, as the wall clock has
    /// it now: it may have been wrong when the program started.
    pub fn wall_ms(&self, moment_ms: u64) -> u64 {
        let age = Duration::from_millis(self.now_ms().saturating_sub(moment_ms));
        let moment = SystemTime::now().checked_sub(age).unwrap_or(UNIX_EPOCH);
        since_1970_ms(moment)
    }
}
