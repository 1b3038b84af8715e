//! The monotonic clock of a balancer, in milliseconds since its start, and its wall-clock time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use crate::calendar::since_1970_ms;

/// By how much the wall clock must differ from before to count as set.
const SET_MS: u64 = 100;

/// How late another process may go on with a clock.
const MAX_LATE_MS: u64 = 60_000;

/// How long reading both clocks may take for their difference to be exact.
const MAX_READ_MS: u64 = 1;

/// How often they are read for an exact difference.
const MAX_READS: usize = 8;

/// A monotonic clock that also knows the wall-clock time of its start. Clones are the same clock.
#[derive(Debug, Clone)]
pub struct Clock {
    start: Instant,
    /// Milliseconds from 1970 to the start. Kept, since each measurement differs by a millisecond:
    /// an event must have the same time however often it is shown.
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

    /// Goes on with the clock of another process, which started at `started_wall_ms` and had come to
    /// `now_ms`.
    pub(crate) fn continued(now_ms: u64, started_wall_ms: u64) -> Clock {
        // Time has passed since; unless the wall clock was set back, that tells how much.
        let passed_ms = since_1970_ms(SystemTime::now()).saturating_sub(started_wall_ms);
        let age_ms = match passed_ms.checked_sub(now_ms) {
            Some(late_ms) if late_ms < MAX_LATE_MS => passed_ms,
            _ => now_ms,
        };
        match Instant::now().checked_sub(Duration::from_millis(age_ms)) {
            Some(start) => Clock {
                start,
                started_wall_ms: Arc::new(AtomicU64::new(started_wall_ms)),
            },
            // This system's clock began later than that.
            None => Clock::start(),
        }
    }

    /// Milliseconds since the start.
    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Converts a time of this clock to milliseconds since 1970. The same time always gives the
    /// same result, until the wall clock is set.
    pub fn wall_ms(&self, moment_ms: u64) -> u64 {
        let before_ms = self.started_wall_ms.load(Ordering::Relaxed);
        let started_ms = measure_start(before_ms, || {
            let from_ms = self.now_ms();
            let wall_ms = since_1970_ms(SystemTime::now());
            (from_ms, wall_ms, self.now_ms())
        });
        if started_ms != before_ms {
            self.started_wall_ms.store(started_ms, Ordering::Relaxed);
        }
        started_ms.saturating_add(moment_ms)
    }
}

/// The wall-clock time of the start: `before_ms`, unless the wall clock has been set since. `read`
/// returns this clock, the wall clock and this clock again; if the thread was suspended between
/// them, the reading is ignored.
fn measure_start(before_ms: u64, mut read: impl FnMut() -> (u64, u64, u64)) -> u64 {
    for _ in 0..MAX_READS {
        let (from_ms, wall_ms, to_ms) = read();
        let started_ms = wall_ms.saturating_sub(from_ms);
        if started_ms.abs_diff(before_ms) < SET_MS {
            return before_ms;
        }
        if to_ms.saturating_sub(from_ms) <= MAX_READ_MS {
            return started_ms;
        }
    }
    before_ms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_has_the_same_time_whenever_the_two_clocks_are_read() {
        for swing_ms in [0, 1, 2, 99] {
            assert_eq!(measure_start(5_000, || (40, 5_040 + swing_ms, 41)), 5_000);
            assert_eq!(measure_start(5_000, || (40, 5_040 - swing_ms, 41)), 5_000);
        }
    }

    #[test]
    fn another_process_goes_on_with_the_same_times() {
        let wall_ms = since_1970_ms(SystemTime::now());
        let clock = Clock::continued(1000, wall_ms - 1500);
        assert!((1500..11_500).contains(&clock.now_ms()));
        assert_eq!(clock.wall_ms(7), wall_ms - 1493);
        // A wall clock that was set: what passed in between is not known.
        for started_ms in [wall_ms + 5000, 0] {
            assert!((1000..11_000).contains(&Clock::continued(1000, started_ms).now_ms()));
        }
    }

    #[test]
    fn a_wall_clock_that_is_set_moves_all_moments_once() {
        assert_eq!(measure_start(5_000, || (40, 1_000_040, 40)), 1_000_000);
        assert_eq!(measure_start(1_000_000, || (50, 5_050, 51)), 5_000);
        assert_eq!(measure_start(1_000_000, || (50, 20, 50)), 0);
    }

    #[test]
    fn a_thread_that_is_held_up_between_two_looks_does_not_take_the_clock_for_set() {
        assert_eq!(measure_start(5_000, || (40, 9_040, 4_040)), 5_000);
        let mut looks = vec![(4_041, 9_041, 4_041), (40, 9_040, 4_040)];
        assert_eq!(measure_start(5_000, || looks.pop().unwrap()), 5_000);
        let clock = Clock::start();
        let moments: Vec<_> = (0..1000).map(|_| clock.wall_ms(7)).collect();
        assert!(moments.iter().all(|moment| *moment == moments[0]));
    }
}
