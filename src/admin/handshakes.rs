//! How many connections and handshakes a network may have: they cost a processor much, and a
//! client next to nothing.
//!
//! A pure table: the time is an argument, in milliseconds since any moment.

use std::collections::HashMap;

use super::source::{Net, Source, thin_out};

/// What a connection costs, in shares of a handshake.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cost {
    /// One in the clear.
    #[cfg(any(feature = "web", test))]
    Plain = 1,
    /// One with a handshake of TLS or SSH.
    Handshake = 10,
}

/// One address, or a /64 of IPv6: 20 handshakes a second, and 60 at once after a quiet time.
const OF_A_PLACE: Rate = Rate {
    share_us: 5000,
    burst_us: 3_000_000,
};

/// A /24 of IPv4, or a /48 of IPv6: 80 a second, and 240 at once.
const OF_A_SITE: Rate = Rate {
    share_us: 1250,
    burst_us: 3_000_000,
};

/// Networks that are remembered.
const MOST: usize = 4096;

struct Rate {
    share_us: u64,
    burst_us: u64,
}

/// When each network will have nothing to wait for, if nobody else comes from there, in
/// microseconds.
#[derive(Default)]
pub(super) struct Handshakes(HashMap<Net, u64>);

impl Handshakes {
    /// Whether somebody from there may have one now. Who is known does not wait for others of
    /// their network.
    pub(super) fn may_begin(&self, source: Source, is_known: bool, now_ms: u64) -> bool {
        let may = |net, rate: Rate| {
            let paid_us = self.0.get(&net).copied().unwrap_or(0);
            paid_us <= now_ms * 1000 + rate.burst_us
        };
        may(source.place(), OF_A_PLACE) && (is_known || may(source.site(), OF_A_SITE))
    }

    /// They have one.
    pub(super) fn begin(&mut self, source: Source, cost: Cost, now_ms: u64) {
        let now_us = now_ms * 1000;
        if self.0.len() + 2 > MOST {
            self.0.retain(|_, paid_us| *paid_us > now_us);
        }
        if self.0.len() + 2 > MOST {
            thin_out(&mut self.0, MOST / 2, |net| *net, |paid_us| *paid_us);
        }
        for (net, rate) in [(source.place(), OF_A_PLACE), (source.site(), OF_A_SITE)] {
            let paid_us = self.0.entry(net).or_default();
            *paid_us = (*paid_us).max(now_us) + rate.share_us * cost as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of many tries in a minute may be.
    fn in_a_minute(sources: impl Fn(u64) -> Source) -> usize {
        let mut handshakes = Handshakes::default();
        let try_at = |now_ms| {
            let source = sources(now_ms);
            let may = handshakes.may_begin(source, false, now_ms);
            if may {
                handshakes.begin(source, Cost::Handshake, now_ms);
            }
            may
        };
        (1..60_000).map(try_at).filter(|may| *may).count()
    }

    #[test]
    fn a_place_has_twenty_a_second_and_its_network_eighty() {
        let one = in_a_minute(|_| Source::of([10, 0, 0, 1].into()));
        assert!((1200..1300).contains(&one), "{one}");
        let last = |ms: u64| u8::try_from(ms % 250).unwrap();
        let many = in_a_minute(|ms| Source::of([10, 0, 0, last(ms)].into()));
        assert!((4900..5200).contains(&many), "{many}");
        let sites = in_a_minute(|ms| Source::of([10, 0, last(ms), last(ms)].into()));
        assert!(sites > 59_000, "{sites}");
    }

    #[test]
    fn who_is_known_waits_for_their_own_alone() {
        let mut handshakes = Handshakes::default();
        for last in 1..=250 {
            handshakes.begin(Source::of([10, 0, 0, last].into()), Cost::Handshake, 1);
        }
        let one = Source::of([10, 0, 0, 251].into());
        assert!(!handshakes.may_begin(one, false, 1) && handshakes.may_begin(one, true, 1));
        for _ in 0..62 {
            handshakes.begin(one, Cost::Handshake, 1);
        }
        assert!(!handshakes.may_begin(one, true, 1));
    }

    #[test]
    fn there_is_a_limit_and_a_flood_frees_nobody_else() {
        let mut handshakes = Handshakes::default();
        let one = Source::of([192, 0, 2, 1].into());
        while handshakes.may_begin(one, false, 1) {
            handshakes.begin(one, Cost::Handshake, 1);
        }
        for number in 0..20_000_u128 {
            let bits = (0x2001_0db8_u128 << 96) | (number << 64);
            let source = Source::of(std::net::Ipv6Addr::from_bits(bits).into());
            handshakes.begin(source, Cost::Plain, 1);
            assert!(handshakes.0.len() <= MOST);
        }
        assert!(!handshakes.may_begin(one, false, 1));
    }
}
