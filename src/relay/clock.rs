//! The time, as everything that runs sees it: milliseconds since the start.
//!
//! Pure rooms get these as arguments; only who runs them has a clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use crate::calendar::since_1970_ms;

/// How far the wall clock may seem to be from where it was before it counts as set.
const SET_MS: u64 = 100;

/// How long the two clocks may take to be read, for their difference to be exact.
const READ_MS: u64 = 1;

/// How often they are read, for that.
const READS: usize = 8;

/// A monotonic clock, and when it was started by the wall clock. Clones are the same clock.
#[derive(Debug, Clone)]
pub struct Clock {
    start: Instant,
    /// Milliseconds from 1970 to the start. It is kept, since each measurement differs by
    /// a millisecond: what has happened has one time, however often it is looked at.
    started_wall_ms: Arc<AtomicU64>,
}

impl Clock {
    /// Starts now.
    pub fn start() -> Clock {
        Clock {
            start: Instant::now(),
            started_wall_ms: Arc::new(AtomicU64::new(since_1970_ms(SystemTime::now()))),
        }
    }

    /// Milliseconds since the start.
    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Milliseconds since 1970 of a moment of this clock. The same for the same moment,
    /// until the wall clock is set: it may have been wrong when the program started.
    pub fn wall_ms(&self, moment_ms: u64) -> u64 {
        let kept_ms = self.started_wall_ms.load(Ordering::Relaxed);
        let started_ms = started(kept_ms, || {
            let before_ms = self.now_ms();
            let wall_ms = since_1970_ms(SystemTime::now());
            (before_ms, wall_ms, self.now_ms())
        });
        if started_ms != kept_ms {
            self.started_wall_ms.store(started_ms, Ordering::Relaxed);
        }
        started_ms.saturating_add(moment_ms)
    }
}

/// When the clock was started by the wall clock: as was known before, unless that clock has
/// been set since. `look` reads the clock, the wall clock, and the clock again; a thread
/// that is held up in between learns nothing.
fn started(kept_ms: u64, mut look: impl FnMut() -> (u64, u64, u64)) -> u64 {
    for _ in 0..READS {
        let (before_ms, wall_ms, after_ms) = look();
        let started_ms = wall_ms.saturating_sub(before_ms);
        if started_ms.abs_diff(kept_ms) < SET_MS {
            return kept_ms;
        }
        if after_ms.saturating_sub(before_ms) <= READ_MS {
            return started_ms;
        }
    }
    kept_ms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_has_the_same_time_whenever_the_two_clocks_are_read() {
        for swing_ms in [0, 1, 2, 99] {
            assert_eq!(started(5_000, || (40, 5_040 + swing_ms, 41)), 5_000);
            assert_eq!(started(5_000, || (40, 5_040 - swing_ms, 41)), 5_000);
        }
    }

    #[test]
    fn a_wall_clock_that_is_set_moves_all_moments_once() {
        assert_eq!(started(5_000, || (40, 1_000_040, 40)), 1_000_000);
        assert_eq!(started(1_000_000, || (50, 5_050, 51)), 5_000);
        assert_eq!(started(1_000_000, || (50, 20, 50)), 0);
    }

    #[test]
    fn a_thread_that_is_held_up_between_two_looks_does_not_take_the_clock_for_set() {
        assert_eq!(started(5_000, || (40, 9_040, 4_040)), 5_000);
        let mut looks = vec![(4_041, 9_041, 4_041), (40, 9_040, 4_040)];
        assert_eq!(started(5_000, || looks.pop().unwrap()), 5_000);
        let clock = Clock::start();
        let moments: Vec<_> = (0..1000).map(|_| clock.wall_ms(7)).collect();
        assert!(moments.iter().all(|moment| *moment == moments[0]));
    }
}
