//! Where failed logins came from, and how long each of these places has to wait.
//!
//! A pure table: the time is an argument, in milliseconds since any moment, and
//! nobody waits in here.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::admin::source::Source;

/// Failures that cost nothing: people mistype.
const FREE: u32 = 3;

/// The longest wait after a failure, in seconds.
const MAX_WAIT_S: u64 = 60;

/// What is forgotten after so long without a failure.
const FORGOTTEN_MS: u64 = 15 * 60 * 1000;

/// Places that are remembered; the one whose last failure is the oldest makes room.
const MOST: usize = 10_000;

#[derive(Default)]
pub(super) struct Sources(HashMap<IpAddr, Failures>);

#[derive(Clone, Copy)]
struct Failures {
    count: u32,
    last_ms: u64,
}

impl Failures {
    /// How long nothing is checked after the last one.
    fn wait_ms(self) -> u64 {
        let Some(doublings) = self.count.checked_sub(FREE + 1) else {
            return 0;
        };
        let wait_s = 1_u64.checked_shl(doublings).unwrap_or(MAX_WAIT_S);
        wait_s.min(MAX_WAIT_S) * 1000
    }

    fn are_forgotten(self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.last_ms) >= FORGOTTEN_MS
    }
}

impl Sources {
    /// Whether anything is to be checked for somebody from there.
    ///
    /// # Errors
    /// The seconds until it is, rounded up.
    pub(super) fn may_try(&self, source: Source, now_ms: u64) -> Result<(), u64> {
        let Some(failures) = self.0.get(&source.place()) else {
            return Ok(());
        };
        let until_ms = failures.last_ms + failures.wait_ms();
        match until_ms.saturating_sub(now_ms) {
            0 => Ok(()),
            left_ms => Err(left_ms.div_ceil(1000)),
        }
    }

    pub(super) fn failed(&mut self, source: Source, now_ms: u64) {
        let place = source.place();
        if self.0.len() >= MOST && !self.0.contains_key(&place) {
            self.make_room(now_ms);
        }
        let none = Failures {
            count: 0,
            last_ms: now_ms,
        };
        let failures = self.0.entry(place).or_insert(none);
        if failures.are_forgotten(now_ms) {
            *failures = none;
        }
        failures.count = failures.count.saturating_add(1);
        failures.last_ms = now_ms;
    }

    pub(super) fn forget(&mut self, source: Source) {
        self.0.remove(&source.place());
    }

    /// Looks at all of them, which a check of a password takes longer than.
    fn make_room(&mut self, now_ms: u64) {
        self.0.retain(|_, failures| !failures.are_forgotten(now_ms));
        if self.0.len() < MOST {
            return;
        }
        let oldest = self.0.iter().min_by_key(|(_, failures)| failures.last_ms);
        if let Some(place) = oldest.map(|(place, _)| *place) {
            self.0.remove(&place);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn source(text: &str) -> Source {
        Source::of(text.parse().unwrap())
    }

    /// Where each of many comes from.
    fn numbered(number: usize) -> Source {
        let bits = u32::try_from(number).unwrap();
        Source::of(Ipv4Addr::from_bits(bits).into())
    }

    #[test]
    fn three_failures_are_free_and_each_further_one_doubles_the_wait() {
        let (mut sources, here) = (Sources::default(), source("192.0.2.1"));
        let mut now_ms = 5;
        for expected_s in [0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60] {
            assert_eq!(sources.may_try(here, now_ms), Ok(()));
            sources.failed(here, now_ms);
            if expected_s > 0 {
                assert_eq!(sources.may_try(here, now_ms), Err(expected_s));
                // What is left of a second is one.
                now_ms += expected_s * 1000 - 1;
                assert_eq!(sources.may_try(here, now_ms), Err(1));
                now_ms += 1;
            }
        }
        // Nor does the number of them ever become too much.
        sources.0.values_mut().for_each(|it| it.count = u32::MAX);
        sources.failed(here, now_ms);
        assert_eq!(sources.may_try(here, now_ms), Err(60));
    }

    #[test]
    fn failures_are_forgotten_after_a_quarter_of_an_hour_or_a_success() {
        let (mut sources, here) = (Sources::default(), source("192.0.2.1"));
        let fail = |sources: &mut Sources, now_ms| {
            sources.failed(here, now_ms);
            sources.may_try(here, now_ms)
        };
        for _ in 0..4 {
            sources.failed(here, 0);
        }
        assert_eq!(fail(&mut sources, FORGOTTEN_MS - 1), Err(2));
        assert_eq!(fail(&mut sources, 2 * FORGOTTEN_MS - 1), Ok(()));
        for _ in 0..3 {
            sources.failed(here, 2 * FORGOTTEN_MS);
        }
        assert!(sources.may_try(here, 2 * FORGOTTEN_MS).is_err());
        sources.forget(here);
        assert_eq!(sources.may_try(here, 2 * FORGOTTEN_MS), Ok(()));
        assert_eq!(fail(&mut sources, 2 * FORGOTTEN_MS), Ok(()));
    }

    #[test]
    fn a_place_is_an_address_of_ipv4_or_a_64_of_ipv6() {
        for (one, other, same) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("::ffff:192.0.2.1", "192.0.2.1", true),
            ("::ffff:192.0.2.1", "::ffff:192.0.2.2", false),
            ("2001:db8::1", "2001:db8::ffff:0:0:1", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
            ("::1", "0.0.0.0", false),
        ] {
            let mut sources = Sources::default();
            for _ in 0..4 {
                sources.failed(source(one), 0);
            }
            let waits = sources.may_try(source(other), 0).is_err();
            assert_eq!(waits, same, "{one} {other}");
        }
        assert_eq!(
            source("::ffff:192.0.2.1").address().to_string(),
            "192.0.2.1"
        );
    }

    #[test]
    fn there_is_a_limit_and_the_oldest_makes_room() {
        let mut sources = Sources::default();
        for number in 0..MOST {
            for _ in 0..4 {
                sources.failed(numbered(number), number as u64);
            }
        }
        let now_ms = MOST as u64;
        // It has been there the longest, but not in silence.
        sources.failed(numbered(0), now_ms);
        sources.failed(numbered(MOST), now_ms);
        assert_eq!(sources.0.len(), MOST);
        let is_known = |number| sources.0.contains_key(&numbered(number).place());
        assert!(is_known(0) && !is_known(1) && is_known(2) && is_known(MOST));
    }

    #[test]
    fn what_is_forgotten_makes_room_before_anybody_who_waits() {
        let mut sources = Sources::default();
        for number in 0..MOST {
            sources.failed(numbered(number), 0);
        }
        sources.failed(numbered(MOST), FORGOTTEN_MS);
        assert_eq!(sources.0.len(), 1);
    }
}
