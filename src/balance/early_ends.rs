//! Early ends: sessions that a host accepts and ends or resets before its first byte. When a host
//! is suspect because of them, when it has failed (`failAfter`), and when it may return.

/// How a host's part in a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HostEnd {
    /// It had said something.
    Served,
    /// It ended or reset the connection before its first byte, and before its client did.
    Early {
        /// Milliseconds since it had accepted.
        after_ms: u64,
        /// Whether its client had said something.
        asked: bool,
    },
    /// It tells nothing about the host: the client ended first, or this process did.
    Unknown,
}

/// Quick early ends in a row that make a host suspect, while others serve.
const SUSPECT_AFTER: u32 = 20;

/// An early end is quick up to this time after the accept.
const QUICK_MS: u64 = 1000;

/// A host that has failed by early ends returns after this time at the earliest. It doubles with
/// each return that was too early, up to [`MAX_WAIT_MS`].
const FIRST_WAIT_MS: u64 = 10_000;
const MAX_WAIT_MS: u64 = 320_000;

/// The early ends of a host.
#[derive(Debug, Default)]
pub(super) struct EarlyEnds {
    /// In a row.
    row: u32,
    /// The last ones of them that were quick.
    quick: u32,
    /// The sessions that the group had served when these began.
    served_before: u64,
    suspect: bool,
    /// How often it has failed by them since it last served, and when it may return.
    failures: u32,
    returns_ms: u64,
    lingering: Lingering,
}

impl EarlyEnds {
    /// Counts an early end, unless it does not tell against the host. Returns whether it does.
    /// `served` is the number of sessions that the group has served.
    pub(super) fn count(&mut self, after_ms: u64, asked: bool, served: u64) -> bool {
        let quick = after_ms <= QUICK_MS;
        // A client that connects in advance, and says nothing, is cut off by many a good host.
        // Test: only_ends_that_tell_against_a_host_count.
        if !quick && !asked {
            return false;
        }
        self.row = self.row.saturating_add(1);
        if !quick {
            self.quick = 0;
            return true;
        }
        if self.quick == 0 {
            self.served_before = served;
        }
        self.quick = self.quick.saturating_add(1);
        true
    }

    /// Ends the row: the host has said a first byte. Returns whether it was suspect.
    pub(super) fn end_row(&mut self) -> bool {
        (self.row, self.quick) = (0, 0);
        (self.failures, self.returns_ms) = (0, 0);
        std::mem::take(&mut self.suspect)
    }

    /// How many early ends there are in a row.
    pub(super) fn row(&self) -> u32 {
        self.row
    }

    /// Whether it is in a row of quick ones, so that what it served before tells nothing.
    pub(super) fn has_quick(&self) -> bool {
        self.quick > 0
    }

    /// At every twentieth quick end: the number of sessions that the group had served before them.
    /// The host is suspect if others serve.
    pub(super) fn served_before(&self) -> Option<u64> {
        let asks = !self.suspect && self.quick > 0 && self.quick.is_multiple_of(SUSPECT_AFTER);
        asks.then_some(self.served_before)
    }

    pub(super) fn suspect(&mut self) {
        self.suspect = true;
    }

    pub(super) fn is_suspect(&self) -> bool {
        self.suspect
    }

    /// The host has failed because of them: it returns later each time.
    pub(super) fn fail(&mut self, now_ms: u64) {
        let wait_ms = FIRST_WAIT_MS.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        self.returns_ms = now_ms.saturating_add(wait_ms.min(MAX_WAIT_MS));
        self.suspect = false;
    }

    /// Whether a host that has failed because of them may not return yet.
    pub(super) fn holds_back(&self, now_ms: u64) -> bool {
        now_ms < self.returns_ms
    }

    /// An ended session goes on counting for a second if the host ends so many quickly, even
    /// before it is known whether others serve. Returns whether it does.
    // Test: a_host_that_fails_quickly_attracts_nobody_before_others_have_said_a_byte.
    pub(super) fn linger(&mut self, now_ms: u64) -> bool {
        let lingers = self.suspect || self.quick >= SUSPECT_AFTER;
        if lingers {
            self.lingering.add(now_ms);
        }
        lingers
    }

    /// Forgets ended sessions whose second is over. Returns whether there were any.
    pub(super) fn pass(&mut self, now_ms: u64) -> bool {
        self.lingering.advance_to(now_ms)
    }

    /// Ended sessions that still count.
    pub(super) fn lingering(&self) -> u32 {
        self.lingering.count
    }
}

/// Ended sessions that still count, by the tenth of a second in which they ended.
#[derive(Debug, Default)]
struct Lingering {
    count: u32,
    /// The present tenth, counted from the start of the clock.
    tenth: u64,
    /// A second, and the present tenth.
    ended: [u32; TENTHS],
}

const TENTHS: usize = 11;
const TENTH_MS: u64 = 100;

impl Lingering {
    fn add(&mut self, now_ms: u64) {
        self.advance_to(now_ms);
        let slot = self.slot(self.tenth);
        self.ended[slot] += 1;
        self.count += 1;
    }

    fn advance_to(&mut self, now_ms: u64) -> bool {
        let (before, now) = (self.count, now_ms / TENTH_MS);
        let passed = now.saturating_sub(self.tenth).min(TENTHS as u64);
        for tenth in now + 1 - passed..=now {
            let slot = self.slot(tenth);
            self.count -= std::mem::take(&mut self.ended[slot]);
        }
        self.tenth = self.tenth.max(now);
        self.count != before
    }

    fn slot(&self, tenth: u64) -> usize {
        usize::try_from(tenth % TENTHS as u64).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ends_that_tell_against_a_host_count() {
        for (after_ms, asked, row, quick) in [
            (0, false, 1, true),
            (1000, false, 1, true),
            (1001, false, 0, false),
            (1001, true, 1, false),
        ] {
            let mut ends = EarlyEnds::default();
            assert_eq!(ends.count(after_ms, asked, 0), row > 0, "{after_ms}");
            assert_eq!((ends.row(), ends.has_quick()), (row, quick), "{after_ms}");
        }
    }

    #[test]
    fn a_late_early_end_starts_the_row_of_quick_ones_again() {
        let mut ends = EarlyEnds::default();
        assert!((0..19).all(|_| ends.count(1, true, 0)));
        ends.count(1001, true, 0);
        assert!((0..19).all(|_| ends.count(1, true, 7)));
        assert_eq!(ends.served_before(), None);
        ends.count(1, true, 8);
        assert_eq!(ends.served_before(), Some(7));
        ends.suspect();
        assert_eq!(ends.served_before(), None, "it is already");
        assert!(ends.end_row() && !ends.is_suspect());
    }

    #[test]
    fn an_ended_session_lingers_for_a_second_of_any_clock() {
        for start_ms in [0, 1, 99, 12_345_678] {
            let mut lingering = Lingering::default();
            (0..3).for_each(|_| lingering.add(start_ms));
            lingering.add(start_ms + 500);
            lingering.advance_to(start_ms + 999);
            assert_eq!(lingering.count, 4, "{start_ms}");
            lingering.advance_to(start_ms + 1100);
            assert_eq!(lingering.count, 1, "{start_ms}");
            assert!(lingering.advance_to(start_ms + 50_000));
            assert_eq!(lingering.count, 0, "{start_ms}");
            assert!(!lingering.advance_to(start_ms + 50_001));
        }
    }

    #[test]
    fn each_return_that_was_too_early_doubles_the_wait() {
        let mut ends = EarlyEnds::default();
        for wait_ms in [10_000, 20_000, 40_000, 80_000, 160_000, 320_000, 320_000] {
            ends.fail(5);
            assert!(ends.holds_back(4 + wait_ms) && !ends.holds_back(5 + wait_ms));
        }
        ends.end_row();
        ends.fail(5);
        assert!(!ends.holds_back(10_005), "it has served meanwhile");
    }
}
