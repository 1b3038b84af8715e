//! Where failed logins came from, and how long each of these networks has to wait.
//!
//! A pure table: the time is an argument, in milliseconds since any moment, and
//! nobody waits in here.

use std::collections::HashMap;
use std::net::IpAddr;

use super::credential::Tag;
use super::queue::{Entrant, Lane, NotQueued, Queue};
use crate::admin::server::client_address::{Level, Net, Source, thin_out};

/// What is forgotten after so long without a failure.
const FORGOTTEN_MS: u64 = 15 * 60 * 1000;

/// Networks that are remembered.
const MOST: usize = 10_000;

/// How many are left when there is no more room: so the table is looked through once in
/// many failures.
const LEFT: usize = MOST / 8 * 7;

/// What failures cost.
#[derive(Clone, Copy)]
pub(super) struct Price {
    /// So many cost nothing: people mistype.
    free: u32,
    /// The longest wait after a further one, in seconds.
    max_wait_s: u64,
}

/// For one address, or a /64 of IPv6.
const OF_A_PLACE: Price = Price {
    free: 3,
    max_wait_s: 60,
};

/// For a user who has logged in from the address before: it may be somebody else there who
/// fails.
pub(super) const OF_A_PROVEN_LOGIN: Price = Price {
    free: 3,
    max_wait_s: 10,
};

/// For a network: in it may be people who have nothing to do with each other. A provider's is
/// never made to wait.
fn price(net: Net) -> Option<Price> {
    let free = match net.level() {
        Level::Place => return Some(OF_A_PLACE),
        Level::Block => 12,
        Level::Site => 30,
        Level::Provider => return None,
    };
    Some(Price {
        free,
        max_wait_s: 10,
    })
}

/// Failed logins, and when the last one was.
#[derive(Clone, Copy, Default)]
pub(super) struct Failures {
    count: u32,
    last_ms: u64,
}

impl Failures {
    pub(super) fn add(&mut self, now_ms: u64) {
        if self.are_forgotten(now_ms) {
            self.count = 0;
        }
        self.count = self.count.saturating_add(1);
        self.last_ms = now_ms;
    }

    /// Whether anything is to be checked now.
    ///
    /// # Errors
    /// The seconds until it is, rounded up.
    pub(super) fn may_try(self, price: Price, now_ms: u64) -> Result<(), u64> {
        let Some(doublings) = self.count.checked_sub(price.free + 1) else {
            return Ok(());
        };
        let wait_s = 1_u64.checked_shl(doublings).unwrap_or(price.max_wait_s);
        let until_ms = self.last_ms + wait_s.min(price.max_wait_s) * 1000;
        match until_ms.saturating_sub(now_ms) {
            0 => Ok(()),
            left_ms => Err(left_ms.div_ceil(1000)),
        }
    }

    fn are_forgotten(self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.last_ms) >= FORGOTTEN_MS
    }
}

#[derive(Default)]
pub(super) struct Sources(HashMap<Net, Failures>);

impl Sources {
    /// Whether anything is to be checked for somebody from there.
    ///
    /// # Errors
    /// The seconds until it is, rounded up.
    pub(super) fn may_try(&self, source: Source, now_ms: u64) -> Result<(), u64> {
        let failures = |net| self.0.get(&net).copied().unwrap_or_default();
        let waits = source
            .nets()
            .filter_map(|net| failures(net).may_try(price(net)?, now_ms).err());
        waits.max().map_or(Ok(()), Err)
    }

    /// A login failed there.
    pub(super) fn failed(&mut self, source: Source, now_ms: u64) {
        if self.0.len() + source.nets().count() > MOST {
            self.make_room(now_ms);
        }
        for net in source.nets() {
            self.0.entry(net).or_default().add(now_ms);
        }
    }

    /// How suspect somebody from there is: how many logins failed in their site lately, and,
    /// which tells little, in their provider's network.
    pub(super) fn suspicion(&self, source: Source, now_ms: u64) -> u32 {
        let count = |net| {
            let failures = self.0.get(&net);
            let lately = failures.filter(|failures| !failures.are_forgotten(now_ms));
            lately.map_or(0, |failures| failures.count)
        };
        let site = count(source.site()).saturating_mul(64);
        site.saturating_add(count(source.site().provider()))
    }

    /// A login succeeded there. What failed elsewhere in its networks is not forgotten.
    pub(super) fn forget(&mut self, source: Source) {
        self.0.remove(&source.place());
    }

    fn make_room(&mut self, now_ms: u64) {
        self.0.retain(|_, failures| !failures.are_forgotten(now_ms));
        if self.0.len() > LEFT {
            thin_out(&mut self.0, LEFT, |net| *net, |failures| failures.last_ms);
        }
    }
}

/// How long a login counts.
const HOLDS_MS: u64 = 7 * 24 * 3600 * 1000;

/// Addresses that are remembered.
const MAX_ADDRESSES: usize = 256;

/// Users who are remembered for one address.
const MOST_USERS: usize = 16;

#[derive(Default)]
pub(super) struct Proven(HashMap<IpAddr, Vec<Login>>);

struct Login {
    name: String,
    last_ms: u64,
    /// Those with this name at this address, since.
    failures: Failures,
}

impl Proven {
    /// Whether anybody has logged in from this very address.
    pub(super) fn knows(&self, source: Source, now_ms: u64) -> bool {
        let logins = self.0.get(&source.address());
        logins.is_some_and(|logins| logins.iter().any(|login| login.holds(now_ms)))
    }

    /// Whether this user's password is to be checked, as far as it is known here; `None` if
    /// they have not logged in from there.
    pub(super) fn may_try(
        &self,
        source: Source,
        name: &str,
        now_ms: u64,
    ) -> Option<Result<(), u64>> {
        let mut logins = self.0.get(&source.address())?.iter();
        let login = logins.find(|login| login.name == name && login.holds(now_ms))?;
        Some(login.failures.may_try(OF_A_PROVEN_LOGIN, now_ms))
    }

    /// This user has logged in.
    pub(super) fn insert(&mut self, source: Source, name: &str, now_ms: u64) {
        let address = source.address();
        if self.0.len() >= MAX_ADDRESSES && !self.0.contains_key(&address) {
            self.make_room(now_ms);
        }
        let logins = self.0.entry(address).or_default();
        logins.retain(|login| login.name != name && login.holds(now_ms));
        if logins.len() >= MOST_USERS {
            logins.remove(0);
        }
        // The newest is the last.
        logins.push(Login {
            name: name.to_owned(),
            last_ms: now_ms,
            failures: Failures::default(),
        });
    }

    /// Somebody with this name, from there, was not who they said they were.
    pub(super) fn failed(&mut self, source: Source, name: &str, now_ms: u64) {
        let logins = self.0.get_mut(&source.address());
        let login = logins.and_then(|logins| logins.iter_mut().find(|it| it.name == name));
        if let Some(login) = login {
            login.failures.add(now_ms);
        }
    }

    /// Forgets users who are none any more.
    pub(super) fn retain(&mut self, is_user: impl Fn(&str) -> bool) {
        self.0.retain(|_, logins| {
            logins.retain(|login| is_user(&login.name));
            !logins.is_empty()
        });
    }

    fn make_room(&mut self, now_ms: u64) {
        self.0.retain(|_, logins| {
            logins.retain(|login| login.holds(now_ms));
            !logins.is_empty()
        });
        let newest = |logins: &Vec<Login>| logins.last().map_or(0, |login| login.last_ms);
        let net = |address: &IpAddr| Source::of(*address).place();
        thin_out(&mut self.0, MAX_ADDRESSES - 1, net, newest);
    }
}

impl Login {
    fn holds(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.last_ms) < HOLDS_MS
    }
}

#[derive(Default)]
pub(super) struct Limiter {
    sources: Sources,
    proven: Proven,
    pub(super) queue: Queue,
}

impl Limiter {
    /// Whether a password of this user is to be checked for somebody there.
    ///
    /// # Errors
    /// The seconds until it is, at least one.
    pub(super) fn may_try(&self, source: Source, name: &str, now_ms: u64) -> Result<(), u64> {
        let proven = self.proven.may_try(source, name, now_ms);
        proven.unwrap_or_else(|| self.may_try_anybody(source, now_ms))
    }

    /// The same for whoever it is.
    ///
    /// # Errors
    /// As above.
    pub(super) fn may_try_anybody(&self, source: Source, now_ms: u64) -> Result<(), u64> {
        self.sources.may_try(source, now_ms)
    }

    /// Has them wait for a check of their password; the answer is their ticket.
    ///
    /// # Errors
    /// They are not to wait.
    pub(super) fn enter(
        &mut self,
        source: Source,
        name: &str,
        tag: Tag,
        now_ms: u64,
    ) -> Result<u64, NotQueued> {
        self.queue.enter(Entrant {
            lane: self.lane(source, name, now_ms),
            suspicion: self.sources.suspicion(source, now_ms),
            tag,
        })
    }

    /// Where they would wait.
    pub(super) fn lane(&self, source: Source, name: &str, now_ms: u64) -> Lane {
        match self.proven.may_try(source, name, now_ms) {
            Some(_) => Lane::Proven(source.address()),
            None => Lane::Stranger(source.site()),
        }
    }

    /// Somebody there was not who they said they were.
    pub(super) fn failed(&mut self, source: Source, name: &str, now_ms: u64) {
        self.sources.failed(source, now_ms);
        self.proven.failed(source, name, now_ms);
    }

    /// This user was.
    pub(super) fn passed(&mut self, source: Source, name: &str, now_ms: u64) {
        self.sources.forget(source);
        self.proven.insert(source, name, now_ms);
    }

    /// Whether anybody has logged in from there lately.
    pub(super) fn knows(&self, source: Source, now_ms: u64) -> bool {
        self.proven.knows(source, now_ms)
    }

    /// Forgets users who are none any more.
    pub(super) fn retain(&mut self, is_user: impl Fn(&str) -> bool) {
        self.proven.retain(is_user);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    fn source(text: &str) -> Source {
        Source::of(text.parse().unwrap())
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
    fn many_failing_addresses_slow_down_their_networks_and_no_others() {
        let v4 = |site: u8, last: u32| {
            Source::of(Ipv4Addr::from([192, 0, site, u8::try_from(last).unwrap()]).into())
        };
        let v6 = |bits: u32| {
            let bits = (0x2001_0db8_u128 << 96) | (u128::from(bits) << 64);
            Source::of(Ipv6Addr::from_bits(bits).into())
        };
        let mut sources = Sources::default();
        for number in 0..30 {
            assert_eq!(sources.may_try(v4(2, number), 0), Ok(()));
            sources.failed(v4(2, number), 0);
        }
        assert_eq!(sources.may_try(v4(2, 99), 0), Ok(()));
        for number in 30..60 {
            sources.failed(v4(2, number), 0);
        }
        assert_eq!(sources.may_try(v4(2, 99), 0), Err(10));
        assert_eq!(sources.may_try(v4(3, 99), 0), Ok(()));
        // A /56, and no other of the same /48.
        for number in 0..13 {
            sources.failed(v6(number), 0);
        }
        assert_eq!(sources.may_try(v6(0xff), 0), Err(1));
        assert_eq!(sources.may_try(v6(0x100), 0), Ok(()));
        // The /48.
        for number in 0..18 {
            sources.failed(v6(0x100 * number), 0);
        }
        assert_eq!(sources.may_try(v6(0xffff), 0), Err(1));
        assert_eq!(sources.may_try(v6(0x1_0000), 0), Ok(()));
        // A success is one address's.
        sources.forget(v4(2, 99));
        assert_eq!(sources.may_try(v4(2, 99), 0), Err(10));
    }

    #[test]
    fn there_is_a_limit_and_many_addresses_push_out_only_their_own() {
        let (mut sources, other) = (Sources::default(), source("198.51.100.1"));
        for _ in 0..9 {
            sources.failed(other, 0);
        }
        for number in 0..30_000 {
            let bits = (0x2001_0db8_u128 << 96) | (number << 64);
            sources.failed(Source::of(Ipv6Addr::from_bits(bits).into()), 1);
            assert!(sources.0.len() <= MOST);
        }
        // The oldest of all, but not one of many.
        assert_eq!(sources.may_try(other, 1), Err(32));
    }

    #[test]
    fn what_is_forgotten_makes_room_before_anybody_who_waits() {
        let mut sources = Sources::default();
        let mut number = 0;
        while sources.0.len() + 4 <= MOST {
            let ip = Ipv4Addr::from_bits(number << 8);
            sources.failed(Source::of(ip.into()), 0);
            number += 1;
        }
        let [first, second] = [source("192.0.2.1"), source("192.0.2.2")];
        sources.failed(first, FORGOTTEN_MS);
        sources.failed(second, FORGOTTEN_MS);
        assert_eq!(sources.0.len(), 4);
    }
}

#[cfg(test)]
mod proven_tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source::of(text.parse().unwrap())
    }

    #[test]
    fn a_login_counts_for_a_week_for_its_user_and_its_address() {
        let (mut proven, here) = (Proven::default(), source("2001:db8::1"));
        proven.insert(here, "ann", 5);
        assert_eq!(proven.may_try(here, "ann", HOLDS_MS), Some(Ok(())));
        assert!(proven.knows(here, HOLDS_MS));
        assert_eq!(proven.may_try(here, "bob", 5), None);
        let beside = source("2001:db8::2");
        assert_eq!(proven.may_try(beside, "ann", 5), None);
        assert!(!proven.knows(beside, 5));
        assert_eq!(proven.may_try(here, "ann", HOLDS_MS + 5), None);
        assert!(!proven.knows(here, HOLDS_MS + 5));
        proven.retain(|name| name != "ann");
        assert!(!proven.knows(here, 5));
    }

    #[test]
    fn failures_with_that_name_there_make_slow_and_no_others() {
        let (mut proven, here) = (Proven::default(), source("192.0.2.1"));
        proven.insert(here, "ann", 0);
        for _ in 0..9 {
            proven.failed(here, "bob", 0);
            proven.failed(source("192.0.2.2"), "ann", 0);
        }
        assert_eq!(proven.may_try(here, "ann", 0), Some(Ok(())));
        for _ in 0..9 {
            proven.failed(here, "ann", 0);
        }
        assert_eq!(proven.may_try(here, "ann", 0), Some(Err(10)));
        proven.insert(here, "ann", 1);
        assert_eq!(proven.may_try(here, "ann", 1), Some(Ok(())));
    }

    #[test]
    fn there_is_a_limit_and_many_addresses_push_out_only_their_own() {
        let (mut proven, other) = (Proven::default(), source("198.51.100.1"));
        proven.insert(other, "ann", 0);
        for number in 0..600_u128 {
            let bits = (0x2001_0db8_u128 << 96) | number;
            let there = Source::of(std::net::Ipv6Addr::from_bits(bits).into());
            proven.insert(there, "bob", 1);
        }
        assert_eq!(proven.0.len(), MAX_ADDRESSES);
        for user in 0..40 {
            proven.insert(other, &format!("user{user}"), 2);
        }
        assert_eq!(proven.0[&other.address()].len(), MOST_USERS);
        assert!(proven.may_try(other, "user39", 2).is_some());
    }
}
