//! How many sessions a host got in each of the last sixty minutes.
//!
//! Whoever counts says what time it is, so nobody has to look at a clock once a
//! minute: minutes that went by unseen were without a session.

/// How many minutes are remembered, the one that is under way included.
pub const MINUTES: usize = 60;

const MINUTE_MS: u64 = 60_000;

/// The sessions of the last minutes, in a ring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecentSessions {
    /// The minute that is under way, counted from the clock's start.
    minute: u64,
    /// By the minute, modulo their number. On the heap: picks never look at it.
    sessions: Box<[u32; MINUTES]>,
}

impl Default for RecentSessions {
    fn default() -> RecentSessions {
        RecentSessions {
            minute: 0,
            sessions: Box::new([0; MINUTES]),
        }
    }
}

impl RecentSessions {
    /// A session more.
    pub(super) fn count(&mut self, now_ms: u64) {
        self.go_on(now_ms / MINUTE_MS);
        let sessions = &mut self.sessions[place(self.minute)];
        *sessions = sessions.saturating_add(1);
    }

    /// The sessions of each minute, the oldest first; the last one is under way.
    pub fn by_minute(&self, now_ms: u64) -> [u32; MINUTES] {
        let mut now = self.clone();
        now.go_on(now_ms / MINUTE_MS);
        let first = now.minute + 1;
        std::array::from_fn(|index| now.sessions[place(first + index as u64)])
    }

    /// It is this minute now. A clock that is read on several threads may seem to go
    /// back a little: that is the same minute.
    fn go_on(&mut self, minute: u64) {
        let missed = minute.saturating_sub(self.minute).min(MINUTES as u64);
        for back in 0..missed {
            self.sessions[place(minute - back)] = 0;
        }
        self.minute = self.minute.max(minute);
    }
}

fn place(minute: u64) -> usize {
    // Less than sixty.
    usize::try_from(minute % MINUTES as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(at_s: &[u64]) -> RecentSessions {
        let mut recent = RecentSessions::default();
        for at_s in at_s {
            recent.count(at_s * 1000);
        }
        recent
    }

    #[test]
    fn each_session_counts_in_its_minute() {
        let recent = counted(&[0, 59, 60, 179, 178]);
        let minutes = recent.by_minute(179_000);
        assert_eq!(minutes[MINUTES - 3..], [2, 1, 2]);
        assert_eq!(minutes[..MINUTES - 3], [0; MINUTES - 3]);
    }

    #[test]
    fn minutes_go_by_without_anybody_counting() {
        let recent = counted(&[0, 60]);
        assert_eq!(recent.by_minute(180_000)[MINUTES - 4..], [1, 1, 0, 0]);
        let last = recent.by_minute(60_000 * MINUTES as u64);
        assert_eq!((last[0], last[1]), (1, 0));
        assert_eq!(recent.by_minute(u64::MAX), [0; MINUTES]);
    }

    #[test]
    fn what_is_older_than_an_hour_is_forgotten() {
        let recent = counted(&[0, 3600, 3600, 7300]);
        let minutes = recent.by_minute(7_300_000);
        assert_eq!(minutes.iter().sum::<u32>(), 1);
        assert_eq!(minutes[MINUTES - 1], 1);
    }

    #[test]
    fn a_clock_that_seems_to_go_back_costs_nothing() {
        let recent = counted(&[60, 59, 61]);
        assert_eq!(recent.by_minute(60_000)[MINUTES - 1], 3);
    }
}
