//! Pseudorandom numbers (splitmix64) from a seed. Not for secrets.

/// A pseudorandom number generator: splitmix64 (Steele, Lea and Flood, "Fast splittable
/// pseudorandom number generators", 2014). The same seed gives the same numbers, and every
/// seed is as good. Not for secrets.
#[derive(Debug, Clone)]
pub struct Random {
    state: u64,
}

impl Random {
    /// A generator with this seed.
    pub fn new(seed: u64) -> Self {
        Random { state: seed }
    }

    /// A number from 0 to 2^64 - 1.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to `n` - 1, all equally likely; 0 if `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        if n == 0 {
            return 0;
        }
        // The lowest 2^64 mod n numbers would make the first remainders more likely.
        // Test: a_large_bound_is_not_biased.
        let unfair = n.wrapping_neg() % n;
        loop {
            let number = self.next_u64();
            if number >= unfair {
                return number % n;
            }
        }
    }

    /// An index below `len`, all equally likely; 0 if `len` is 0.
    pub fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_splitmix64() {
        let mut random = Random::new(1_234_567);
        let published = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973];
        assert_eq!([random.next_u64(), random.next_u64()], published);
    }

    #[test]
    fn every_number_below_is_as_likely() {
        let mut random = Random::new(1);
        let mut seen = [0_u32; 7];
        for _ in 0..70_000 {
            seen[random.index(7)] += 1;
        }
        assert!(
            seen.iter().all(|count| (9_600..10_400).contains(count)),
            "{seen:?}"
        );
        assert_eq!(random.below(0), 0);
        assert_eq!(random.below(1), 0);
    }

    /// A bare remainder would fall into the lower half two times in three.
    #[test]
    fn a_large_bound_is_not_biased() {
        let bound = u64::MAX / 3 * 2;
        let mut random = Random::new(2);
        let low = (0..10_000)
            .filter(|_| random.below(bound) < bound / 2)
            .count();
        assert!((4_800..5_200).contains(&low), "{low}");
    }
}
