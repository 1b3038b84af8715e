//! Statistics of a host: lock-free counters of bytes and connect times, sessions by minute, and
//! their rate. Open sessions are counted by the pool, under its lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Upper bounds of the histogram of connect times, in milliseconds. Longer ones are in one
/// more bucket.
pub const HISTOGRAM_MS: [u64; 11] = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500];

/// The number of buckets in the histogram.
const BUCKETS: usize = HISTOGRAM_MS.len() + 1;

/// The counters of a host: one shard for each worker, which is its only writer.
///
/// With one writer, adding is a load and a store, without a locked instruction. A second
/// writer to a shard would lose counts. A clone shares the same numbers.
#[derive(Debug, Clone)]
pub struct Counters {
    shards: Arc<[Shard]>,
}

/// The counters of one worker, on cache lines of its own. Two lines, as Intel fetches pairs.
// Test: a_shard_fills_its_cache_lines_and_no_more.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    bytes_to_host: AtomicU64,
    bytes_to_client: AtomicU64,
    connect_ms: AtomicU64,
    connects: [AtomicU64; BUCKETS],
}

/// The counters of a host, summed over all workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Totals {
    /// Bytes sent to the host.
    pub bytes_to_host: u64,
    /// Bytes sent to its clients.
    pub bytes_to_client: u64,
    /// Connects that succeeded.
    pub connects: u64,
    /// The sum of their durations, in milliseconds.
    pub connect_ms: u64,
    /// The number of connects in each bucket: up to the bound of [`HISTOGRAM_MS`], and
    /// longer than the bound before it. The last bucket has no bound.
    pub histogram: [u64; BUCKETS],
}

impl Totals {
    /// The mean duration of a connect, in microseconds; each is measured in whole
    /// milliseconds. `None` without a connect.
    pub fn mean_connect_us(&self) -> Option<u64> {
        let sum_us = self.connect_ms.saturating_mul(1000);
        sum_us.checked_div(self.connects)
    }
}

impl Counters {
    /// Counters at 0, for `shards` workers.
    pub fn new(shards: usize) -> Self {
        Counters {
            shards: (0..shards).map(|_| Shard::default()).collect(),
        }
    }

    /// Adds bytes that were sent to the host and to a client. `shard` is the number of the
    /// calling worker.
    pub fn add_bytes(&self, shard: usize, to_host: u64, to_client: u64) {
        let shard = &self.shards[shard];
        add(&shard.bytes_to_host, to_host);
        add(&shard.bytes_to_client, to_client);
    }

    /// Adds a connect that succeeded after `took_ms`; `shard` as in [`Counters::add_bytes`].
    pub fn add_connect(&self, shard: usize, took_ms: u64) {
        let shard = &self.shards[shard];
        add(&shard.connect_ms, took_ms);
        add(
            &shard.connects[HISTOGRAM_MS.partition_point(|&bound| bound < took_ms)],
            1,
        );
    }

    /// Adds what an earlier process has counted, before a worker has begun to.
    pub(super) fn add_history(&self, totals: &Totals) {
        let Some(shard) = self.shards.first() else {
            return;
        };
        add(&shard.bytes_to_host, totals.bytes_to_host);
        add(&shard.bytes_to_client, totals.bytes_to_client);
        add(&shard.connect_ms, totals.connect_ms);
        for (bucket, connects) in shard.connects.iter().zip(totals.histogram) {
            add(bucket, connects);
        }
    }

    /// The sums over all workers. They may miss additions of this moment.
    pub fn sum(&self) -> Totals {
        let mut sum = Totals::default();
        for shard in &*self.shards {
            sum.bytes_to_host += shard.bytes_to_host.load(Relaxed);
            sum.bytes_to_client += shard.bytes_to_client.load(Relaxed);
            sum.connect_ms += shard.connect_ms.load(Relaxed);
            for (all, connects) in sum.histogram.iter_mut().zip(&shard.connects) {
                *all += connects.load(Relaxed);
            }
        }
        sum.connects = sum.histogram.iter().sum();
        sum
    }
}

/// Adds to a counter that has no other writer.
// Relaxed: the numbers are independent, and nothing else is published through them.
fn add(counter: &AtomicU64, n: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(n), Relaxed);
}

/// The number of minutes that are kept, the current one included.
pub const MINUTES: usize = 60;

const MINUTE_MS: u64 = 60_000;

/// Whole seconds over which the rate is taken.
const RATE_SECONDS: usize = 5;

/// Sessions of a host: by minute for the last hour, and their rate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecentSessions {
    /// On the heap, as picks do not read it.
    counts: Box<RecentCounts>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct RecentCounts {
    minutes: Ring<MINUTES>,
    /// The minute in which counting began, counted from the start of the clock.
    began: u64,
    /// The current second, and those that the rate is taken of.
    seconds: Ring<{ RATE_SECONDS + 1 }>,
    /// The most sessions of a second.
    peak: u32,
}

impl RecentSessions {
    /// No sessions yet.
    pub fn new(now_ms: u64) -> RecentSessions {
        RecentSessions {
            counts: Box::new(RecentCounts {
                minutes: Ring::new(now_ms / MINUTE_MS),
                began: now_ms / MINUTE_MS,
                seconds: Ring::new(now_ms / 1000),
                peak: 0,
            }),
        }
    }

    /// Counts a session.
    pub(super) fn count(&mut self, now_ms: u64) {
        let counts = &mut *self.counts;
        counts.minutes.count(now_ms / MINUTE_MS);
        let second = counts.seconds.count(now_ms / 1000);
        counts.peak = counts.peak.max(second);
    }

    /// The sessions of each minute, the oldest first. The last minute is the current one.
    pub fn by_minute(&self, now_ms: u64) -> [u32; MINUTES] {
        let mut minutes = self.counts.minutes.clone();
        minutes.advance_to(now_ms / MINUTE_MS);
        minutes.oldest_first()
    }

    /// The sessions of each minute before `now_ms`, as [`RecentSessions::by_minute`] has them.
    pub(super) fn from_minutes(by_minute: &[u32], now_ms: u64) -> RecentSessions {
        let mut recent = RecentSessions::new(now_ms);
        let RecentCounts { minutes, began, .. } = &mut *recent.counts;
        for (back, sessions) in (0..MINUTES as u64).zip(by_minute.iter().rev()) {
            // At the beginning of the clock there is nothing to put it.
            if let Some(minute) = minutes.now.checked_sub(back)
                && *sessions > 0
            {
                *began = minute;
                minutes.counts[slot_of::<MINUTES>(minute)] = *sessions;
            }
        }
        recent
    }

    /// How many of [`RecentSessions::by_minute`] there were since it began to count.
    pub fn known_minutes(&self, now_ms: u64) -> usize {
        let passed = (now_ms / MINUTE_MS).saturating_sub(self.counts.began);
        usize::try_from(passed).map_or(MINUTES, |passed| MINUTES.min(passed + 1))
    }

    /// Sessions in ten seconds, at the rate of the last five whole seconds.
    pub fn per_ten_seconds(&self, now_ms: u64) -> u32 {
        let mut seconds = self.counts.seconds.clone();
        seconds.advance_to(now_ms / 1000);
        let whole = &seconds.oldest_first()[..RATE_SECONDS];
        let sum = whole.iter().fold(0_u32, |sum, it| sum.saturating_add(*it));
        sum.saturating_mul(2)
    }

    /// The most sessions of a second so far.
    pub fn peak_per_second(&self) -> u32 {
        self.counts.peak
    }
}

/// Counts in the last `N` units of time, in a ring.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Ring<const N: usize> {
    /// The current unit, counted from the start of the clock.
    now: u64,
    /// By unit, modulo their number.
    counts: [u32; N],
}

impl<const N: usize> Ring<N> {
    fn new(now: u64) -> Self {
        Ring {
            now,
            counts: [0; N],
        }
    }

    /// Counts one. Returns the count of its unit.
    fn count(&mut self, now: u64) -> u32 {
        self.advance_to(now);
        let count = &mut self.counts[slot_of::<N>(self.now)];
        *count = count.saturating_add(1);
        *count
    }

    /// Clears the units since the last count. No timer does this: a unit without a count had
    /// none. A clock that is read on several threads may seem to go back a little: that counts
    /// as the same unit.
    fn advance_to(&mut self, now: u64) {
        let missed = now.saturating_sub(self.now).min(N as u64);
        for back in 0..missed {
            self.counts[slot_of::<N>(now - back)] = 0;
        }
        self.now = self.now.max(now);
    }

    fn oldest_first(&self) -> [u32; N] {
        let first = self.now + 1;
        std::array::from_fn(|index| self.counts[slot_of::<N>(first + index as u64)])
    }
}

fn slot_of<const N: usize>(unit: u64) -> usize {
    // Less than N, so it fits.
    usize::try_from(unit % N as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_fills_its_cache_lines_and_no_more() {
        assert_eq!((size_of::<Shard>(), align_of::<Shard>()), (128, 128));
    }

    #[test]
    fn the_sum_is_over_all_shards() {
        let counters = Counters::new(3);
        for shard in 0..3 {
            counters.add_bytes(shard, 10, 100);
        }
        counters.add_bytes(1, 0, 7);
        let sum = counters.sum();
        assert_eq!((sum.bytes_to_host, sum.bytes_to_client), (30, 307));
    }

    #[test]
    fn a_connect_time_falls_into_the_bucket_it_does_not_exceed() {
        let counters = Counters::new(1);
        for took_ms in [0, 1, 2, 3, 2500, 2501] {
            counters.add_connect(0, took_ms);
        }
        let sum = counters.sum();
        assert_eq!(sum.histogram, [2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!((sum.connects, sum.connect_ms), (6, 5007));
        assert_eq!(sum.mean_connect_us(), Some(834_500));
        assert_eq!(Totals::default().mean_connect_us(), None);
    }

    fn counted(at_s: &[u64]) -> RecentSessions {
        let mut recent = RecentSessions::new(0);
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
    fn minutes_pass_without_a_count() {
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

    #[test]
    fn the_rate_is_that_of_the_last_whole_seconds() {
        let recent = counted(&[10, 10, 10, 11, 15, 15]);
        assert_eq!(recent.per_ten_seconds(15_999), 8);
        assert_eq!(recent.per_ten_seconds(16_000), 6);
        assert_eq!(recent.per_ten_seconds(21_000), 0);
        assert_eq!(recent.per_ten_seconds(u64::MAX), 0);
        assert_eq!(recent.peak_per_second(), 3);
    }

    #[test]
    fn minutes_before_the_first_are_not_known() {
        let recent = RecentSessions::new(119_000);
        for (now_ms, minutes) in [(0, 1), (119_000, 1), (120_000, 2), (u64::MAX, MINUTES)] {
            assert_eq!(recent.known_minutes(now_ms), minutes, "{now_ms}");
        }
    }
}
