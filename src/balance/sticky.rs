//! Session persistence by client address (`,sticky`): which client went to which host.

use super::host::Placement;
use crate::config;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// The most clients that are remembered. So many take about 35 MB.
pub(crate) const MAX_CLIENTS: usize = 262_144;
/// How long a client is remembered after its last session.
const REMEMBERED_MS: u64 = 30 * 60 * 1000;
/// Clients that may be forgotten when one is added: more than one, so that the table
/// shrinks after a peak.
const MAX_FORGOTTEN_AT_ONCE: usize = 2;

/// The clients of a group, and the placement of each.
///
/// A linked list holds the clients without sessions, by the time their last one ended, so
/// that the oldest is found at once. A B-tree finds a client, as a hash table would stop to
/// rehash while the pool is locked.
#[derive(Debug)]
pub(super) struct Clients {
    by_key: BTreeMap<u128, usize>,
    entries: Vec<Entry>,
    /// Indices of unused entries.
    free: Vec<usize>,
    /// The ends of the list of clients without sessions.
    oldest: Option<usize>,
    newest: Option<usize>,
    capacity: usize,
    /// The bits of an IPv6 address that identify a client.
    prefix: u8,
}

/// A client.
#[derive(Debug)]
struct Entry {
    key: u128,
    placement: Placement,
    /// Its open sessions, on all hosts.
    open: u32,
    /// When the last one ended; only valid while none is open.
    ended_ms: u64,
    older: Option<usize>,
    newer: Option<usize>,
}

impl Clients {
    /// An empty table; `prefix` bits of an IPv6 address identify a client.
    pub(super) fn new(prefix: u8) -> Self {
        Clients::with_capacity(MAX_CLIENTS, prefix)
    }

    /// The bits of an IPv6 address that identify a client.
    pub(super) fn prefix(&self) -> u8 {
        self.prefix
    }

    fn with_capacity(capacity: usize, prefix: u8) -> Self {
        Clients {
            by_key: BTreeMap::new(),
            entries: Vec::new(),
            free: Vec::new(),
            oldest: None,
            newest: None,
            capacity,
            prefix,
        }
    }

    /// The placement that a client had before.
    pub(super) fn placement(&self, client: IpAddr, now_ms: u64) -> Option<Placement> {
        let entry = &self.entries[*self.by_key.get(&key(client, self.prefix))?];
        (!entry.is_over(now_ms)).then_some(entry.placement)
    }

    /// A session of this client starts at `placement`. Returns the previous placement.
    pub(super) fn session_started(
        &mut self,
        client: IpAddr,
        placement: Placement,
        now_ms: u64,
    ) -> Option<Placement> {
        let previous = self.placement(client, now_ms);
        let key = key(client, self.prefix);
        if let Some(&index) = self.by_key.get(&key) {
            if self.entries[index].open == 0 {
                self.unlink(index);
            }
            let entry = &mut self.entries[index];
            entry.placement = placement;
            entry.open += 1;
        } else if self.make_room(now_ms) {
            self.insert(Entry {
                key,
                placement,
                open: 1,
                ended_ms: 0,
                older: None,
                newer: None,
            });
        }
        previous
    }

    /// Gives a client its previous placement back, as its pick was withdrawn.
    pub(super) fn restore_placement(&mut self, client: IpAddr, previous: Placement) {
        if let Some(&index) = self.by_key.get(&key(client, self.prefix)) {
            self.entries[index].placement = previous;
        }
    }

    /// A session of this client has ended.
    pub(super) fn session_ended(&mut self, client: IpAddr, now_ms: u64) {
        let Some(&index) = self.by_key.get(&key(client, self.prefix)) else {
            return;
        };
        let entry = &mut self.entries[index];
        // The entry is younger than the session: the table was full before, or the group
        // was not sticky.
        if entry.open == 0 {
            return;
        }
        entry.open -= 1;
        if entry.open == 0 {
            entry.ended_ms = now_ms;
            self.link_newest(index);
        }
    }

    /// All clients with their placements, and when the last session of each ended.
    pub(super) fn history(&self, now_ms: u64) -> impl Iterator<Item = (u128, Placement, u64)> {
        let entries = self.by_key.values().map(|index| &self.entries[*index]);
        let known = entries.filter(move |entry| !entry.is_over(now_ms));
        known.map(move |entry| match entry.open {
            0 => (entry.key, entry.placement, entry.ended_ms),
            _ => (entry.key, entry.placement, now_ms),
        })
    }

    /// Remembers a client whose last session ended at `ended_ms`: later than that of the one before.
    pub(super) fn restore(&mut self, key: u128, placement: Placement, ended_ms: u64) {
        if !self.by_key.contains_key(&key) && self.make_room(ended_ms) {
            let index = self.insert(Entry {
                key,
                placement,
                open: 0,
                ended_ms,
                older: None,
                newer: None,
            });
            self.link_newest(index);
        }
    }

    /// Forgets clients whose time is over, and the oldest ones if the table is full.
    /// Returns whether there is room for one more.
    fn make_room(&mut self, now_ms: u64) -> bool {
        for _ in 0..MAX_FORGOTTEN_AT_ONCE {
            if let Some(oldest) = self.oldest
                && (self.entries[oldest].is_over(now_ms) || self.by_key.len() >= self.capacity)
            {
                self.forget(oldest);
            }
        }
        self.by_key.len() < self.capacity
    }

    /// Adds a client. Returns the index of its entry.
    fn insert(&mut self, entry: Entry) -> usize {
        let key = entry.key;
        let index = match self.free.pop() {
            Some(index) => {
                self.entries[index] = entry;
                index
            }
            None => {
                self.entries.push(entry);
                self.entries.len() - 1
            }
        };
        self.by_key.insert(key, index);
        index
    }

    /// Forgets a client, which has no sessions.
    fn forget(&mut self, index: usize) {
        self.unlink(index);
        self.by_key.remove(&self.entries[index].key);
        self.free.push(index);
    }

    fn link_newest(&mut self, index: usize) {
        let older = self.newest.replace(index);
        self.entries[index].older = older;
        self.entries[index].newer = None;
        match older {
            Some(older) => self.entries[older].newer = Some(index),
            None => self.oldest = Some(index),
        }
    }

    fn unlink(&mut self, index: usize) {
        let Entry { older, newer, .. } = self.entries[index];
        match older {
            Some(older) => self.entries[older].newer = newer,
            None => self.oldest = newer,
        }
        match newer {
            Some(newer) => self.entries[newer].older = older,
            None => self.newest = older,
        }
    }
}

impl Entry {
    fn is_over(&self, now_ms: u64) -> bool {
        self.open == 0 && now_ms.saturating_sub(self.ended_ms) >= REMEMBERED_MS
    }
}

/// The key of a client: an IPv4 address, mapped into IPv6 or not, or the first `prefix` bits
/// of an IPv6 address.
///
/// An IPv4 address has the key of its mapped form. No IPv6 client has such a key: other
/// addresses differ within the first 96 bits, and bits behind a shorter prefix are 0.
// Test: no_ipv4_client_is_an_ipv6_one.
fn key(client: IpAddr, prefix: u8) -> u128 {
    match client.to_canonical() {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => {
            let rest = u32::from(config::Group::WHOLE_ADDRESS.saturating_sub(prefix));
            address.to_bits() & u128::MAX.checked_shl(rest).unwrap_or(0)
        }
    }
}

#[cfg(test)]
mod tests {
    //! Which clients are remembered, at which placement, and for how long.

    use super::super::HostId;
    use super::super::fixture::{PoolFixture, group};
    use super::*;

    const MINUTE_MS: u64 = 60_000;

    fn client(n: u32) -> IpAddr {
        IpAddr::V4(n.into())
    }

    fn placement(host: u32) -> Placement {
        Placement {
            host: HostId(host),
            number: 1,
        }
    }

    #[test]
    fn a_client_goes_where_it_went_before() {
        let mut fixture = PoolFixture::new("roundr,sticky", "a b c");
        assert_eq!(fixture.pick_from("192.0.2.1"), "a");
        assert_eq!(fixture.pick_from("192.0.2.2"), "b");
        assert_eq!(fixture.pick_from("192.0.2.1"), "a");
        assert_eq!(
            fixture.pick_from("::ffff:192.0.2.2"),
            "b",
            "IPv4 mapped into IPv6 is IPv4"
        );
        assert_eq!(fixture.pick_from("2001:db8:0:1::1"), "c");
        assert_eq!(fixture.pick_from("2001:db8:0:1::2"), "a", "another address");
        assert_eq!(fixture.pick_from("2001:db8:0:1::1"), "c");
    }

    #[test]
    fn a_prefix_makes_a_net_one_client_and_leaves_ipv4_alone() {
        let mut fixture = PoolFixture::new("roundr,sticky", "a b c");
        let with = |fixture: &mut PoolFixture, prefix| {
            let mut group = group("roundr,sticky", "a b c");
            group.sticky_prefix = prefix;
            fixture.pool.configure(&group, 0);
        };
        with(&mut fixture, 64);
        assert_eq!(fixture.pick_from("2001:db8:0:1::1"), "a");
        assert_eq!(
            fixture.pick_from("2001:db8:0:1:ffff::2"),
            "a",
            "the same /64"
        );
        assert_eq!(fixture.pick_from("2001:db8:0:2::1"), "b", "another /64");
        assert_eq!(fixture.pick_from("192.0.2.1"), "c");
        assert_eq!(fixture.pick_from("192.0.2.2"), "a", "another address");
        with(&mut fixture, 64);
        assert_eq!(
            fixture.pick_from("2001:db8:0:2::9"),
            "b",
            "as long as it is the same"
        );
        with(&mut fixture, 48);
        assert_eq!(
            fixture.pick_from("2001:db8:0:2::9"),
            "b",
            "in turn, as nobody is known"
        );
        assert_eq!(fixture.pick_from("2001:db8:0:1::1"), "b", "the same /48");
    }

    #[test]
    fn no_ipv4_client_is_an_ipv6_one() {
        let key = |text: &str, prefix| key(text.parse().unwrap(), prefix);
        for prefix in 1..=128 {
            for other in [
                "::1",
                "::102:304",
                "::fffe:102:304",
                "ff00::",
                "0:0:102:304::",
            ] {
                assert_ne!(
                    key("1.2.3.4", prefix),
                    key(other, prefix),
                    "{other}/{prefix}"
                );
            }
            assert_eq!(key("::ffff:1.2.3.4", prefix), key("1.2.3.4", prefix));
        }
        assert_eq!(key("8000::1", 1), key("ffff::", 1));
        assert_ne!(key("2001:db8::1", 128), key("2001:db8::", 128));
        assert_eq!(key("2001:db8::1", 127), key("2001:db8::", 127));
    }

    #[test]
    fn a_client_moves_when_its_host_may_not_be_picked() {
        for away in ["!a", "drain", "tried", "moved", "removed"] {
            let mut fixture = PoolFixture::new("roundr,sticky", "a b c");
            assert_eq!(fixture.run("+"), "a");
            let tried = [fixture.id("a")];
            match away {
                "drain" => fixture.configure("roundr,sticky", "a@drain b c"),
                "moved" => fixture.configure("roundr,sticky", "a=10.0.0.9:80 b c"),
                "removed" => fixture.configure("roundr,sticky", "b c"),
                "!a" => drop(fixture.run("!a")),
                _ => assert_eq!(fixture.pick(&tried).unwrap().host.name, "b"),
            }
            assert_eq!(fixture.run("+ +"), "b b", "{away}");
            fixture.configure("roundr,sticky", "a b c");
            assert_eq!(fixture.run("?a +"), "b", "{away}: it does not move back");
        }
    }

    #[test]
    fn a_host_that_comes_back_is_another_one() {
        let mut fixture = PoolFixture::new("roundr,sticky", "a b");
        assert_eq!(fixture.run("+"), "a");
        fixture.configure("roundr,sticky", "b");
        fixture.configure("roundr,sticky", "b a");
        assert_eq!(fixture.run("+"), "b");
    }

    #[test]
    fn clients_are_remembered_over_reloads() {
        let mut fixture = PoolFixture::new("roundr,sticky", "a b c");
        assert_eq!(
            [
                fixture.pick_from("192.0.2.1"),
                fixture.pick_from("192.0.2.2")
            ],
            ["a", "b"]
        );
        fixture.configure("leastc,sticky", "c a*2 b x");
        assert_eq!(
            [
                fixture.pick_from("192.0.2.1"),
                fixture.pick_from("192.0.2.2")
            ],
            ["a", "b"]
        );
        fixture.configure("roundr", "c a b");
        fixture.configure("roundr,sticky", "c a b");
        assert_eq!(
            fixture.pick_from("192.0.2.1"),
            "c",
            "not while the group was not sticky"
        );
    }

    #[test]
    fn a_client_is_forgotten_half_an_hour_after_its_last_session() {
        let mut fixture = PoolFixture::new("roundr,sticky", "a b c");
        assert_eq!(fixture.run("+"), "a");
        fixture.now_ms = 300 * MINUTE_MS;
        assert_eq!(fixture.run("+"), "a", "as long as one is open");
        fixture.run("-a -a");
        fixture.now_ms += 30 * MINUTE_MS - 1;
        assert_eq!(fixture.run("."), "a");
        fixture.now_ms += 30 * MINUTE_MS;
        assert_eq!(fixture.run("."), "b");
    }

    #[test]
    fn a_failed_connect_and_an_abandoned_one_end_a_session_too() {
        let mut fixture = PoolFixture::new("roundr,sticky", "a b c");
        let (id, address, client) = (fixture.id("a"), fixture.address("a"), fixture.client);
        fixture.run("+ +");
        fixture.pool.release(id, client, 0);
        fixture
            .pool
            .connect_failed(id, &address, client, super::super::Failure::Refused, 0);
        fixture.run("?a");
        fixture.now_ms = 30 * MINUTE_MS;
        assert_eq!(fixture.run("."), "b");
    }

    #[test]
    fn the_oldest_without_sessions_is_forgotten_first() {
        let mut clients = Clients::with_capacity(3, 64);
        for n in 0..3 {
            clients.session_started(client(n), placement(n), 0);
        }
        // Their last sessions end in the order 2, 1, 0; then 2 has another one.
        for (now_ms, n) in [(1, 2), (2, 1), (3, 0)] {
            clients.session_ended(client(n), now_ms);
        }
        clients.session_started(client(2), placement(2), 4);
        clients.session_ended(client(2), 5);
        for (new, forgotten) in [(10, 1), (11, 0), (12, 2)] {
            assert!(clients.placement(client(forgotten), 6).is_some());
            clients.session_started(client(new), placement(0), 6);
            assert_eq!(clients.placement(client(forgotten), 6), None);
            assert_eq!(clients.by_key.len(), 3);
        }
    }

    #[test]
    fn a_new_client_is_not_remembered_when_all_have_sessions() {
        let mut clients = Clients::with_capacity(2, 64);
        for n in 0..3 {
            clients.session_started(client(n), placement(n), 0);
        }
        assert_eq!(
            [0, 1, 2].map(|n| clients.placement(client(n), 0).is_some()),
            [true, true, false]
        );
        clients.session_ended(client(2), 1);
        clients.session_ended(client(0), 1);
        clients.session_started(client(2), placement(2), 1);
        assert_eq!(
            [0, 1, 2].map(|n| clients.placement(client(n), 1).is_some()),
            [false, true, true]
        );
    }

    #[test]
    fn a_rush_of_clients_does_not_grow_the_table_and_passes() {
        let mut clients = Clients::with_capacity(1000, 64);
        for n in 0..10_000 {
            clients.session_started(client(n), placement(0), u64::from(n));
            clients.session_ended(client(n), u64::from(n));
            assert!(clients.by_key.len() <= 1000 && clients.entries.len() <= 1000);
        }
        // Each later client removes two old ones.
        for n in 0..1000 {
            clients.session_started(client(20_000 + n % 10), placement(0), 60 * MINUTE_MS);
            clients.session_ended(client(20_000 + n % 10), 60 * MINUTE_MS);
        }
        assert_eq!(clients.by_key.len(), 1000 - 2 * 10 + 10);
    }

    /// The list and the map against a plain vector, with everything done at random.
    #[test]
    fn the_table_does_what_a_plain_list_would() {
        let mut random = super::super::Random::new(3);
        let mut clients = Clients::with_capacity(8, 64);
        // Client, host, open sessions, and when the last one ended.
        let mut plain: Vec<(u32, u32, u32, u64)> = Vec::new();
        let mut now_ms = 0;
        for step in 0..20_000 {
            now_ms += random.below(4) * MINUTE_MS + 1;
            let n = u32::try_from(random.below(14)).unwrap();
            let host = u32::try_from(random.below(5)).unwrap();
            let known = plain.iter().position(|entry| entry.0 == n);
            if random.below(2) == 0 {
                clients.session_started(client(n), placement(host), now_ms);
                if let Some(at) = known {
                    plain[at] = (n, host, plain[at].2 + 1, 0);
                } else {
                    forget(&mut plain, now_ms, 8);
                    if plain.len() < 8 {
                        plain.push((n, host, 1, 0));
                    }
                }
            } else {
                clients.session_ended(client(n), now_ms);
                if let Some(entry) = known.map(|at| &mut plain[at])
                    && entry.2 > 0
                {
                    entry.2 -= 1;
                    entry.3 = now_ms;
                }
            }
            for n in 0..14 {
                let entry = plain.iter().find(|entry| entry.0 == n);
                let lives = entry.filter(|entry| entry.2 > 0 || now_ms - entry.3 < REMEMBERED_MS);
                let expected = lives.map(|entry| placement(entry.1));
                assert_eq!(
                    clients.placement(client(n), now_ms),
                    expected,
                    "step {step}, client {n}"
                );
            }
        }
    }

    /// What [`Clients::make_room`] does.
    fn forget(plain: &mut Vec<(u32, u32, u32, u64)>, now_ms: u64, capacity: usize) {
        for _ in 0..MAX_FORGOTTEN_AT_ONCE {
            let idle = plain.iter().enumerate().filter(|(_, entry)| entry.2 == 0);
            let Some((at, entry)) = idle.min_by_key(|(_, entry)| entry.3) else {
                return;
            };
            if plain.len() >= capacity || now_ms - entry.3 >= REMEMBERED_MS {
                plain.remove(at);
            }
        }
    }
}
