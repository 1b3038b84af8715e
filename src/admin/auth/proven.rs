//! Who has logged in from which address: they keep a way in while others fail there, or in
//! the network around it.
//!
//! A pure table: the time is an argument, in milliseconds since any moment. Only a right
//! password or key gets into it, so strangers push nobody out.

use std::collections::HashMap;
use std::net::IpAddr;

use super::sources::{Failures, OF_A_PROVEN_LOGIN};
use crate::admin::source::{Source, thin_out};

/// How long a login counts.
const HOLDS_MS: u64 = 7 * 24 * 3600 * 1000;

/// Addresses that are remembered.
const MOST: usize = 256;

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
        if self.0.len() >= MOST && !self.0.contains_key(&address) {
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
        thin_out(&mut self.0, MOST - 1, net, newest);
    }
}

impl Login {
    fn holds(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.last_ms) < HOLDS_MS
    }
}

#[cfg(test)]
mod tests {
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
        assert_eq!(proven.0.len(), MOST);
        for user in 0..40 {
            proven.insert(other, &format!("user{user}"), 2);
        }
        assert_eq!(proven.0[&other.address()].len(), MOST_USERS);
        assert!(proven.may_try(other, "user39", 2).is_some());
    }
}
