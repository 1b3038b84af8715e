//! Slow start: the share of a host that comes back grows from a tenth to all of it.

/// The slow start of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlowStart {
    /// When it came back, in milliseconds of the pool's clock.
    since_ms: u64,
    /// How long it takes, in milliseconds.
    length_ms: u64,
}

/// The share at the start.
const FIRST_PERCENT: u64 = 10;

impl SlowStart {
    pub(super) fn new(since_ms: u64, length_ms: u64) -> SlowStart {
        SlowStart {
            since_ms,
            length_ms,
        }
    }

    pub(super) fn since_ms(self) -> u64 {
        self.since_ms
    }

    /// The percentage of its whole share that it has at `now_ms`.
    pub fn percent(self, now_ms: u64) -> u32 {
        let passed_ms = now_ms.saturating_sub(self.since_ms).min(self.length_ms);
        let grown = (100 - FIRST_PERCENT).saturating_mul(passed_ms);
        let percent = FIRST_PERCENT + grown.checked_div(self.length_ms).unwrap_or(90);
        u32::try_from(percent).unwrap_or(100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_grows_evenly_from_a_tenth_to_all() {
        let start = SlowStart::new(5_000, 30_000);
        let table = [(0, 10), (5_000, 10), (8_000, 19), (20_000, 55)];
        for (now_ms, percent) in table {
            assert_eq!(start.percent(now_ms), percent, "{now_ms}");
        }
        assert_eq!(start.percent(34_999), 99);
        assert_eq!(start.percent(35_000), 100);
        assert_eq!(start.percent(u64::MAX), 100);
    }
}
