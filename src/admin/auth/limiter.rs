//! Rate limit of logins: failures by network, known logins by address, and the queue of checks.
//!
//! Pure: time is an argument, in milliseconds since an arbitrary start.

use std::collections::HashMap;
use std::net::IpAddr;

use super::credential::CredentialTag;
use super::queue::{CheckRequest, NotQueued, Queue, QueueKey};
use crate::admin::server::client_address::{
    ClientAddress, Network, NetworkKind, evict_from_busiest,
};

/// Failures are forgotten after this time without another.
const FAILURES_EXPIRE_MS: u64 = 15 * 60 * 1000;

/// Networks that are remembered.
const MAX_NETWORKS: usize = 10_000;

/// Networks that are left after eviction. With one eighth free, the table is searched once in
/// many failures.
const NETWORKS_AFTER_EVICTION: usize = MAX_NETWORKS / 8 * 7;

/// How failures make an address or network wait.
#[derive(Clone, Copy)]
pub(super) struct WaitPolicy {
    /// Failures without a wait: people mistype.
    free: u32,
    /// Longest wait after a further failure, in seconds.
    max_wait_s: u64,
}

/// For one subnet.
const SUBNET_POLICY: WaitPolicy = WaitPolicy {
    free: 3,
    max_wait_s: 60,
};

/// For a user who has logged in from the address before: others there may be failing.
pub(super) const KNOWN_LOGIN_POLICY: WaitPolicy = WaitPolicy {
    free: 3,
    max_wait_s: 10,
};

/// For a network. Unrelated people may be in it, so it waits less; a provider's never waits.
fn policy(network: Network) -> Option<WaitPolicy> {
    let free = match network.kind() {
        NetworkKind::Subnet => return Some(SUBNET_POLICY),
        NetworkKind::Block => 12,
        NetworkKind::Site => 30,
        NetworkKind::Provider => return None,
    };
    Some(WaitPolicy {
        free,
        max_wait_s: 10,
    })
}

/// Failed logins, and the time of the last one.
#[derive(Clone, Copy, Default)]
pub(super) struct Failures {
    count: u32,
    last_ms: u64,
}

impl Failures {
    pub(super) fn add(&mut self, now_ms: u64) {
        if self.are_expired(now_ms) {
            self.count = 0;
        }
        self.count = self.count.saturating_add(1);
        self.last_ms = now_ms;
    }

    /// Whether a check is allowed now.
    ///
    /// # Errors
    /// The seconds to wait, rounded up.
    pub(super) fn may_try(self, policy: WaitPolicy, now_ms: u64) -> Result<(), u64> {
        let Some(doublings) = self.count.checked_sub(policy.free + 1) else {
            return Ok(());
        };
        let wait_s = 1_u64.checked_shl(doublings).unwrap_or(policy.max_wait_s);
        let until_ms = self.last_ms + wait_s.min(policy.max_wait_s) * 1000;
        match until_ms.saturating_sub(now_ms) {
            0 => Ok(()),
            left_ms => Err(left_ms.div_ceil(1000)),
        }
    }

    fn are_expired(self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.last_ms) >= FAILURES_EXPIRE_MS
    }
}

#[derive(Default)]
pub(super) struct FailureTable(HashMap<Network, Failures>);

impl FailureTable {
    /// Whether a check is allowed for this address.
    ///
    /// # Errors
    /// The seconds to wait, rounded up.
    pub(super) fn may_try(&self, address: ClientAddress, now_ms: u64) -> Result<(), u64> {
        let failures = |network| self.0.get(&network).copied().unwrap_or_default();
        let waits = address
            .networks()
            .filter_map(|network| failures(network).may_try(policy(network)?, now_ms).err());
        waits.max().map_or(Ok(()), Err)
    }

    /// Counts a failed login.
    pub(super) fn record_failure(&mut self, address: ClientAddress, now_ms: u64) {
        if self.0.len() + address.networks().count() > MAX_NETWORKS {
            self.evict(now_ms);
        }
        for network in address.networks() {
            self.0.entry(network).or_default().add(now_ms);
        }
    }

    /// How suspect the address is: recent failures in its site and, with little weight, at its
    /// provider.
    pub(super) fn suspicion(&self, address: ClientAddress, now_ms: u64) -> u32 {
        let count = |network| {
            let failures = self.0.get(&network);
            let lately = failures.filter(|failures| !failures.are_expired(now_ms));
            lately.map_or(0, |failures| failures.count)
        };
        let site = count(address.site()).saturating_mul(64);
        site.saturating_add(count(address.site().provider()))
    }

    /// Forgets failures of the subnet after a success, but not those of larger networks.
    pub(super) fn forget(&mut self, address: ClientAddress) {
        self.0.remove(&address.subnet());
    }

    fn evict(&mut self, now_ms: u64) {
        self.0.retain(|_, failures| !failures.are_expired(now_ms));
        if self.0.len() > NETWORKS_AFTER_EVICTION {
            evict_from_busiest(
                &mut self.0,
                NETWORKS_AFTER_EVICTION,
                |network| *network,
                |failures| failures.last_ms,
            );
        }
    }
}

/// How long a login makes its address known.
const LOGIN_EXPIRES_MS: u64 = 7 * 24 * 3600 * 1000;

/// Addresses that are remembered. Only a right password or key adds one, so attackers evict
/// nobody.
const MAX_ADDRESSES: usize = 256;

/// Users that are remembered for each address.
const MAX_USERS: usize = 16;

#[derive(Default)]
pub(super) struct KnownLogins(HashMap<IpAddr, Vec<KnownLogin>>);

struct KnownLogin {
    name: String,
    last_ms: u64,
    /// Failures with this name at this address since the login.
    failures: Failures,
}

impl KnownLogins {
    /// Whether a user has logged in from this very address.
    pub(super) fn is_known(&self, address: ClientAddress, now_ms: u64) -> bool {
        let logins = self.0.get(&address.ip());
        logins.is_some_and(|logins| logins.iter().any(|login| login.holds(now_ms)))
    }

    /// Whether a check is allowed for this user; `None` if the user has not logged in from there.
    pub(super) fn may_try(
        &self,
        address: ClientAddress,
        name: &str,
        now_ms: u64,
    ) -> Option<Result<(), u64>> {
        let mut logins = self.0.get(&address.ip())?.iter();
        let login = logins.find(|login| login.name == name && login.holds(now_ms))?;
        Some(login.failures.may_try(KNOWN_LOGIN_POLICY, now_ms))
    }

    /// Records a login.
    pub(super) fn insert(&mut self, address: ClientAddress, name: &str, now_ms: u64) {
        let ip = address.ip();
        if self.0.len() >= MAX_ADDRESSES && !self.0.contains_key(&ip) {
            self.evict(now_ms);
        }
        let logins = self.0.entry(ip).or_default();
        logins.retain(|login| login.name != name && login.holds(now_ms));
        if logins.len() >= MAX_USERS {
            logins.remove(0);
        }
        // The newest is the last.
        logins.push(KnownLogin {
            name: name.to_owned(),
            last_ms: now_ms,
            failures: Failures::default(),
        });
    }

    /// Counts a failed login with this name.
    pub(super) fn record_failure(&mut self, address: ClientAddress, name: &str, now_ms: u64) {
        let logins = self.0.get_mut(&address.ip());
        let login = logins.and_then(|logins| logins.iter_mut().find(|it| it.name == name));
        if let Some(login) = login {
            login.failures.add(now_ms);
        }
    }

    /// Forgets users that are gone.
    pub(super) fn retain(&mut self, is_user: impl Fn(&str) -> bool) {
        self.0.retain(|_, logins| {
            logins.retain(|login| is_user(&login.name));
            !logins.is_empty()
        });
    }

    fn evict(&mut self, now_ms: u64) {
        self.0.retain(|_, logins| {
            logins.retain(|login| login.holds(now_ms));
            !logins.is_empty()
        });
        let newest = |logins: &Vec<KnownLogin>| logins.last().map_or(0, |login| login.last_ms);
        let network = |ip: &IpAddr| ClientAddress::of(*ip).subnet();
        evict_from_busiest(&mut self.0, MAX_ADDRESSES - 1, network, newest);
    }
}

impl KnownLogin {
    fn holds(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.last_ms) < LOGIN_EXPIRES_MS
    }
}

#[derive(Default)]
pub(super) struct Limiter {
    failures: FailureTable,
    known_logins: KnownLogins,
    pub(super) queue: Queue,
}

impl Limiter {
    /// Whether a check is allowed for this user at this address.
    ///
    /// # Errors
    /// The seconds to wait, at least 1.
    pub(super) fn may_try(
        &self,
        address: ClientAddress,
        name: &str,
        now_ms: u64,
    ) -> Result<(), u64> {
        let known_logins = self.known_logins.may_try(address, name, now_ms);
        known_logins.unwrap_or_else(|| self.may_try_from(address, now_ms))
    }

    /// Whether a check is allowed at this address for any user.
    ///
    /// # Errors
    /// As above.
    pub(super) fn may_try_from(&self, address: ClientAddress, now_ms: u64) -> Result<(), u64> {
        self.failures.may_try(address, now_ms)
    }

    /// Queues a check. Returns its ticket.
    ///
    /// # Errors
    /// It is not queued.
    pub(super) fn push(
        &mut self,
        address: ClientAddress,
        name: &str,
        tag: CredentialTag,
        now_ms: u64,
    ) -> Result<u64, NotQueued> {
        self.queue.push(CheckRequest {
            queue_key: self.queue_key(address, name, now_ms),
            suspicion: self.failures.suspicion(address, now_ms),
            tag,
        })
    }

    /// The key under which it would be queued.
    pub(super) fn queue_key(&self, address: ClientAddress, name: &str, now_ms: u64) -> QueueKey {
        match self.known_logins.may_try(address, name, now_ms) {
            Some(_) => QueueKey::KnownLogin(address.ip()),
            None => QueueKey::Unknown(address.site()),
        }
    }

    /// Counts a failed login.
    pub(super) fn record_failure(&mut self, address: ClientAddress, name: &str, now_ms: u64) {
        self.failures.record_failure(address, now_ms);
        self.known_logins.record_failure(address, name, now_ms);
    }

    /// Records a login.
    pub(super) fn record_success(&mut self, address: ClientAddress, name: &str, now_ms: u64) {
        self.failures.forget(address);
        self.known_logins.insert(address, name, now_ms);
    }

    /// Whether a user has logged in from this address lately.
    pub(super) fn is_known(&self, address: ClientAddress, now_ms: u64) -> bool {
        self.known_logins.is_known(address, now_ms)
    }

    /// Forgets users that are gone.
    pub(super) fn retain(&mut self, is_user: impl Fn(&str) -> bool) {
        self.known_logins.retain(is_user);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    fn address(text: &str) -> ClientAddress {
        ClientAddress::of(text.parse().unwrap())
    }

    #[test]
    fn three_failures_are_free_and_each_further_one_doubles_the_wait() {
        let (mut failures, here) = (FailureTable::default(), address("192.0.2.1"));
        let mut now_ms = 5;
        for expected_s in [0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60] {
            assert_eq!(failures.may_try(here, now_ms), Ok(()));
            failures.record_failure(here, now_ms);
            if expected_s > 0 {
                assert_eq!(failures.may_try(here, now_ms), Err(expected_s));
                // A fraction of a second counts as one.
                now_ms += expected_s * 1000 - 1;
                assert_eq!(failures.may_try(here, now_ms), Err(1));
                now_ms += 1;
            }
        }
        // The count does not overflow.
        failures.0.values_mut().for_each(|it| it.count = u32::MAX);
        failures.record_failure(here, now_ms);
        assert_eq!(failures.may_try(here, now_ms), Err(60));
    }

    #[test]
    fn failures_are_forgotten_after_a_quarter_of_an_hour_or_a_success() {
        let (mut failures, here) = (FailureTable::default(), address("192.0.2.1"));
        let fail = |failures: &mut FailureTable, now_ms| {
            failures.record_failure(here, now_ms);
            failures.may_try(here, now_ms)
        };
        for _ in 0..4 {
            failures.record_failure(here, 0);
        }
        assert_eq!(fail(&mut failures, FAILURES_EXPIRE_MS - 1), Err(2));
        assert_eq!(fail(&mut failures, 2 * FAILURES_EXPIRE_MS - 1), Ok(()));
        for _ in 0..3 {
            failures.record_failure(here, 2 * FAILURES_EXPIRE_MS);
        }
        assert!(failures.may_try(here, 2 * FAILURES_EXPIRE_MS).is_err());
        failures.forget(here);
        assert_eq!(failures.may_try(here, 2 * FAILURES_EXPIRE_MS), Ok(()));
        assert_eq!(fail(&mut failures, 2 * FAILURES_EXPIRE_MS), Ok(()));
    }

    #[test]
    fn a_client_address_is_an_ipv4_address_or_a_64_of_ipv6() {
        for (one, other, same) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("::ffff:192.0.2.1", "192.0.2.1", true),
            ("::ffff:192.0.2.1", "::ffff:192.0.2.2", false),
            ("2001:db8::1", "2001:db8::ffff:0:0:1", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
            ("::1", "0.0.0.0", false),
        ] {
            let mut failures = FailureTable::default();
            for _ in 0..4 {
                failures.record_failure(address(one), 0);
            }
            let waits = failures.may_try(address(other), 0).is_err();
            assert_eq!(waits, same, "{one} {other}");
        }
        assert_eq!(address("::ffff:192.0.2.1").ip().to_string(), "192.0.2.1");
    }

    #[test]
    fn many_failing_addresses_slow_down_their_networks_and_no_others() {
        let v4 = |site: u8, last: u32| {
            ClientAddress::of(Ipv4Addr::from([192, 0, site, u8::try_from(last).unwrap()]).into())
        };
        let v6 = |bits: u32| {
            let bits = (0x2001_0db8_u128 << 96) | (u128::from(bits) << 64);
            ClientAddress::of(Ipv6Addr::from_bits(bits).into())
        };
        let mut failures = FailureTable::default();
        for number in 0..30 {
            assert_eq!(failures.may_try(v4(2, number), 0), Ok(()));
            failures.record_failure(v4(2, number), 0);
        }
        assert_eq!(failures.may_try(v4(2, 99), 0), Ok(()));
        for number in 30..60 {
            failures.record_failure(v4(2, number), 0);
        }
        assert_eq!(failures.may_try(v4(2, 99), 0), Err(10));
        assert_eq!(failures.may_try(v4(3, 99), 0), Ok(()));
        // A /56, and no other of the same /48.
        for number in 0..13 {
            failures.record_failure(v6(number), 0);
        }
        assert_eq!(failures.may_try(v6(0xff), 0), Err(1));
        assert_eq!(failures.may_try(v6(0x100), 0), Ok(()));
        // The /48.
        for number in 0..18 {
            failures.record_failure(v6(0x100 * number), 0);
        }
        assert_eq!(failures.may_try(v6(0xffff), 0), Err(1));
        assert_eq!(failures.may_try(v6(0x1_0000), 0), Ok(()));
        // A success counts for one address.
        failures.forget(v4(2, 99));
        assert_eq!(failures.may_try(v4(2, 99), 0), Err(10));
    }

    #[test]
    fn there_is_a_limit_and_many_addresses_push_out_only_their_own() {
        let (mut failures, other) = (FailureTable::default(), address("198.51.100.1"));
        for _ in 0..9 {
            failures.record_failure(other, 0);
        }
        for number in 0..30_000 {
            let bits = (0x2001_0db8_u128 << 96) | (number << 64);
            failures.record_failure(ClientAddress::of(Ipv6Addr::from_bits(bits).into()), 1);
            assert!(failures.0.len() <= MAX_NETWORKS);
        }
        // The oldest of all, but not one of many.
        assert_eq!(failures.may_try(other, 1), Err(32));
    }

    #[test]
    fn forgotten_entries_are_evicted_before_waiting_ones() {
        let mut failures = FailureTable::default();
        let mut number = 0;
        while failures.0.len() + 4 <= MAX_NETWORKS {
            let ip = Ipv4Addr::from_bits(number << 8);
            failures.record_failure(ClientAddress::of(ip.into()), 0);
            number += 1;
        }
        let [first, second] = [address("192.0.2.1"), address("192.0.2.2")];
        failures.record_failure(first, FAILURES_EXPIRE_MS);
        failures.record_failure(second, FAILURES_EXPIRE_MS);
        assert_eq!(failures.0.len(), 4);
    }

    #[test]
    fn a_login_counts_for_a_week_for_its_user_and_its_address() {
        let (mut known_logins, here) = (KnownLogins::default(), address("2001:db8::1"));
        known_logins.insert(here, "ann", 5);
        assert_eq!(
            known_logins.may_try(here, "ann", LOGIN_EXPIRES_MS),
            Some(Ok(()))
        );
        assert!(known_logins.is_known(here, LOGIN_EXPIRES_MS));
        assert_eq!(known_logins.may_try(here, "bob", 5), None);
        let beside = address("2001:db8::2");
        assert_eq!(known_logins.may_try(beside, "ann", 5), None);
        assert!(!known_logins.is_known(beside, 5));
        assert_eq!(
            known_logins.may_try(here, "ann", LOGIN_EXPIRES_MS + 5),
            None
        );
        assert!(!known_logins.is_known(here, LOGIN_EXPIRES_MS + 5));
        known_logins.retain(|name| name != "ann");
        assert!(!known_logins.is_known(here, 5));
    }

    #[test]
    fn failures_with_that_name_there_make_slow_and_no_others() {
        let (mut known_logins, here) = (KnownLogins::default(), address("192.0.2.1"));
        known_logins.insert(here, "ann", 0);
        for _ in 0..9 {
            known_logins.record_failure(here, "bob", 0);
            known_logins.record_failure(address("192.0.2.2"), "ann", 0);
        }
        assert_eq!(known_logins.may_try(here, "ann", 0), Some(Ok(())));
        for _ in 0..9 {
            known_logins.record_failure(here, "ann", 0);
        }
        assert_eq!(known_logins.may_try(here, "ann", 0), Some(Err(10)));
        known_logins.insert(here, "ann", 1);
        assert_eq!(known_logins.may_try(here, "ann", 1), Some(Ok(())));
    }

    #[test]
    fn successes_have_a_limit_and_many_addresses_push_out_only_their_own() {
        let (mut known_logins, other) = (KnownLogins::default(), address("198.51.100.1"));
        known_logins.insert(other, "ann", 0);
        for number in 0..600_u128 {
            let bits = (0x2001_0db8_u128 << 96) | number;
            let there = ClientAddress::of(Ipv6Addr::from_bits(bits).into());
            known_logins.insert(there, "bob", 1);
        }
        assert_eq!(known_logins.0.len(), MAX_ADDRESSES);
        for user in 0..40 {
            known_logins.insert(other, &format!("user{user}"), 2);
        }
        assert_eq!(known_logins.0[&other.ip()].len(), MAX_USERS);
        assert!(known_logins.may_try(other, "user39", 2).is_some());
    }
}
