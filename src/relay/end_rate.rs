//! How many sessions may be ended now, so that no second has more than a rate allows. Pure.

use std::collections::VecDeque;

const SECOND_MS: u64 = 1000;

/// How often the controller ends some sessions. Each time has an even part of a second's.
pub(crate) const INTERVAL_MS: u64 = 250;

/// Counts what was ended within the last second.
#[derive(Debug, Clone)]
pub(crate) struct EndRate {
    /// Sessions a second.
    pub(crate) rate: u32,
    /// When how many were ended, at most four within a second.
    recent: VecDeque<(u64, usize)>,
}

impl EndRate {
    pub(crate) fn new(rate: u32) -> EndRate {
        EndRate {
            rate,
            recent: VecDeque::new(),
        }
    }

    /// How many sessions may be ended at `now_ms`.
    pub(crate) fn allowed(&mut self, now_ms: u64) -> usize {
        while let Some((at_ms, _)) = self.recent.front()
            && at_ms + SECOND_MS <= now_ms
        {
            self.recent.pop_front();
        }
        let rate = self.rate as usize;
        let part = rate.div_ceil(usize::try_from(SECOND_MS / INTERVAL_MS).unwrap_or(1));
        let last_ms = self.recent.back().map(|(at_ms, _)| *at_ms);
        let ended: usize = self.recent.iter().map(|(_, count)| count).sum();
        match last_ms.is_none_or(|at_ms| now_ms >= at_ms + INTERVAL_MS) {
            true => part.min(rate.saturating_sub(ended)),
            false => 0,
        }
    }

    /// `count` sessions were ended at `now_ms`.
    pub(crate) fn count(&mut self, count: usize, now_ms: u64) {
        if count > 0 {
            self.recent.push_back((now_ms, count));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::Random;

    #[test]
    fn no_second_has_more_than_the_rate_and_all_have_it_in_the_end() {
        for seed in 0..200 {
            let mut random = Random::new(seed);
            let rate = [1, 3, 10, 100][random.index(4)];
            let mut limit = EndRate::new(rate);
            let (mut now_ms, mut ends) = (1000, Vec::new());
            for _ in 0..2000 {
                now_ms += random.below(60);
                let allowed = limit.allowed(now_ms);
                limit.count(allowed, now_ms);
                ends.extend(vec![now_ms; allowed]);
            }
            for pair in ends.windows(rate as usize + 1) {
                assert!(
                    pair[rate as usize] - pair[0] >= SECOND_MS,
                    "{rate} a second"
                );
            }
            let seconds = usize::try_from(now_ms / SECOND_MS).unwrap();
            assert!(
                ends.len() >= seconds * rate as usize / 2,
                "stalls at {rate}"
            );
        }
    }
}
