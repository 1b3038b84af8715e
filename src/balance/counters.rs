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
}
