//! What has gone through a host: numbers that only grow.
//!
//! Sessions are not counted here but by the tracker, under its lock; these are
//! added to without one, by every worker, for every read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Upper bounds, in milliseconds, of the connect times' histogram; what took
/// longer is in one more bucket.
pub const HISTOGRAM_MS: [u64; 11] = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500];

/// The buckets of the histogram.
const BUCKETS: usize = HISTOGRAM_MS.len() + 1;

/// A host's counters: a shard for each worker, which alone writes to it.
///
/// One writer needs no locked instruction: adding is a load and a store. The
/// price is that a second writer to a shard would lose counts, and that a sum
/// may be some additions old. A clone counts into the same numbers.
#[derive(Debug, Clone)]
pub struct Counters {
    shards: Arc<[Shard]>,
}

/// One worker's share, on cache lines of its own (two, as Intel fetches pairs).
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    bytes_to_host: AtomicU64,
    bytes_to_client: AtomicU64,
    connect_ms: AtomicU64,
    connects: [AtomicU64; BUCKETS],
}

/// The sums over all workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Totals {
    /// Bytes sent to the host.
    pub bytes_to_host: u64,
    /// Bytes sent to its clients.
    pub bytes_to_client: u64,
    /// Connects that succeeded.
    pub connects: u64,
    /// How long these took together, in milliseconds.
    pub connect_ms: u64,
    /// How many of them took no longer than [`HISTOGRAM_MS`] and longer than
    /// the bound before it.
    pub histogram: [u64; BUCKETS],
}

impl Totals {
    /// How long a connect took on average, in microseconds: each is measured in whole
    /// milliseconds. `None` if there was none.
    pub fn mean_connect_us(&self) -> Option<u64> {
        let sum_us = self.connect_ms.saturating_mul(1000);
        sum_us.checked_div(self.connects)
    }
}

impl Counters {
    /// Zeros for `shards` workers.
    pub fn new(shards: usize) -> Self {
        Counters {
            shards: (0..shards).map(|_| Shard::default()).collect(),
        }
    }

    /// So many bytes went to the host, and so many to a client. Only worker
    /// `shard` may call this with its number.
    pub fn add_bytes(&self, shard: usize, to_host: u64, to_client: u64) {
        let shard = &self.shards[shard];
        add(&shard.bytes_to_host, to_host);
        add(&shard.bytes_to_client, to_client);
    }

    /// A connect succeeded after `took_ms`; as [`Counters::add_bytes`].
    pub fn add_connect(&self, shard: usize, took_ms: u64) {
        let shard = &self.shards[shard];
        add(&shard.connect_ms, took_ms);
        add(
            &shard.connects[HISTOGRAM_MS.partition_point(|&bound| bound < took_ms)],
            1,
        );
    }

    /// What all workers have counted.
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

/// Adds to a counter that nobody else writes to.
fn add(counter: &AtomicU64, n: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(n), Relaxed);
}

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
        self.advance_to(now_ms / MINUTE_MS);
        let sessions = &mut self.sessions[slot_of(self.minute)];
        *sessions = sessions.saturating_add(1);
    }

    /// The sessions of each minute, the oldest first; the last one is under way.
    pub fn by_minute(&self, now_ms: u64) -> [u32; MINUTES] {
        let mut now = self.clone();
        now.advance_to(now_ms / MINUTE_MS);
        let first = now.minute + 1;
        std::array::from_fn(|index| now.sessions[slot_of(first + index as u64)])
    }

    /// It is this minute now. A clock that is read on several threads may seem to go
    /// back a little: that is the same minute.
    fn advance_to(&mut self, minute: u64) {
        let missed = minute.saturating_sub(self.minute).min(MINUTES as u64);
        for back in 0..missed {
            self.sessions[slot_of(minute - back)] = 0;
        }
        self.minute = self.minute.max(minute);
    }
}

fn slot_of(minute: u64) -> usize {
    // Less than sixty.
    usize::try_from(minute % MINUTES as u64).unwrap_or(0)
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
