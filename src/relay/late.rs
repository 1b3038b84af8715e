//! Looks at the sockets before the timers after a late turn.
//!
//! A process that was stopped, or a machine that was, finds every timer due, while the bytes
//! that would have moved it wait in a socket. So does a worker that gets more events than it
//! takes at once. Pure: it counts, and who polls is the worker's business.

use super::timer_wheel::TICK_MS;

/// A timer that is this late was held up: what came meanwhile may not be known yet.
const LATE_MS: u64 = 4 * TICK_MS;

/// Whether timers wait for another look at the sockets.
#[derive(Debug, Default)]
pub(crate) struct Late {
    /// More looks there may be, if there are.
    looks: Option<usize>,
}

/// What is known of a turn that has begun.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wakeup {
    /// The wait was interrupted: it has told of no events.
    pub(crate) interrupted: bool,
    /// There may be more events than were taken.
    pub(crate) full: bool,
    /// When the first timer was due, if there is one.
    pub(crate) due_ms: Option<u64>,
    pub(crate) now_ms: u64,
}

impl Late {
    /// Whether timers may expire in this turn; if not, the next one begins at once. Only
    /// `most_looks` in a row are needed to see every socket, however many are busy.
    pub(crate) fn may_expire(&mut self, wakeup: Wakeup, most_looks: usize) -> bool {
        let Wakeup {
            interrupted,
            full,
            due_ms,
            now_ms,
        } = wakeup;
        let Some(due_ms) = due_ms.filter(|due_ms| *due_ms <= now_ms) else {
            self.looks = None;
            return true;
        };
        let left = match self.looks {
            // All looks but the first are late, and none is stale for that.
            Some(left) if interrupted || full => left.checked_sub(1),
            Some(_) => None,
            None if interrupted || full || now_ms > due_ms + LATE_MS => Some(most_looks),
            None => None,
        };
        self.looks = left;
        left.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ON_TIME: Wakeup = Wakeup {
        interrupted: false,
        full: false,
        due_ms: Some(1000),
        now_ms: 1000,
    };

    #[test]
    fn a_turn_that_is_on_time_or_has_nothing_due_is_not_held_up() {
        let mut late = Late::default();
        assert!(late.may_expire(ON_TIME, 1));
        for (interrupted, full) in [(true, false), (false, true)] {
            for due_ms in [None, Some(1001)] {
                let wakeup = Wakeup {
                    interrupted,
                    full,
                    due_ms,
                    ..ON_TIME
                };
                assert!(late.may_expire(wakeup, 1));
            }
        }
    }

    #[test]
    fn after_a_pause_sockets_are_looked_at_until_there_is_no_more_to_see() {
        let (stopped, full) = (
            Wakeup {
                now_ms: 9000,
                interrupted: true,
                ..ON_TIME
            },
            Wakeup {
                now_ms: 9000,
                full: true,
                ..ON_TIME
            },
        );
        let seen = Wakeup {
            full: false,
            ..full
        };
        for first in [stopped, full, seen] {
            let mut late = Late::default();
            assert!(!late.may_expire(first, 3));
            assert!(!late.may_expire(full, 3));
            assert!(late.may_expire(seen, 3));
        }
    }

    #[test]
    fn sockets_that_are_always_busy_do_not_hold_timers_up_for_ever() {
        let mut late = Late::default();
        let full = Wakeup {
            full: true,
            ..ON_TIME
        };
        let looks = (0..).take_while(|_| !late.may_expire(full, 3)).count();
        assert_eq!(looks, 4);
    }
}
