//! Client addresses, and the networks that they are counted by.
//!
//! Only the address; who it is, is `auth`'s business.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A network: an address whose bits behind the prefix are 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::admin) struct Net {
    ip: IpAddr,
    prefix: u8,
}

impl Net {
    fn of(ip: IpAddr, prefix: u8) -> Net {
        let masked = match ip {
            IpAddr::V4(ip) => {
                let host_bits = u32::BITS - u32::from(prefix);
                let mask = u32::MAX.checked_shl(host_bits).unwrap_or(0);
                Ipv4Addr::from_bits(ip.to_bits() & mask).into()
            }
            IpAddr::V6(ip) => {
                let host_bits = u128::BITS - u32::from(prefix);
                let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
                Ipv6Addr::from_bits(ip.to_bits() & mask).into()
            }
        };
        Net { ip: masked, prefix }
    }

    /// The network that whoever has this one may well have all of: a /24 of IPv4, a /48 of
    /// IPv6.
    pub(in crate::admin) fn site(self) -> Net {
        Net::of(self.ip, if self.ip.is_ipv4() { 24 } else { 48 })
    }

    /// What a provider has: a /16 of IPv4, a /32 of IPv6.
    pub(in crate::admin) fn provider(self) -> Net {
        Net::of(self.ip, if self.ip.is_ipv4() { 16 } else { 32 })
    }

    /// What kind of network it is.
    pub(in crate::admin) fn level(self) -> Level {
        match (self.ip.is_ipv4(), self.prefix) {
            (true, 32) | (false, 64) => Level::Place,
            (false, 56) => Level::Block,
            (true, 24) | (false, 48) => Level::Site,
            _ => Level::Provider,
        }
    }
}

/// The kinds of networks that are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::admin) enum Level {
    /// See [`Source::place`].
    Place,
    /// A /56 of IPv6, between the two.
    Block,
    /// See [`Net::site`].
    Site,
    /// See [`Net::provider`].
    Provider,
}

/// Where a client comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::admin) struct Source(IpAddr);

impl Source {
    /// A client at this address.
    pub(in crate::admin) fn of(address: IpAddr) -> Source {
        Source(address.to_canonical())
    }

    /// The address itself; one of IPv4 that was mapped to IPv6 as IPv4.
    pub(in crate::admin) fn address(self) -> IpAddr {
        self.0
    }

    /// The smallest network that is told from others: an address of IPv4, a /64 of IPv6.
    /// The latter is what one household or one server gets, and is free to choose from.
    pub(in crate::admin) fn place(self) -> Net {
        Net::of(self.0, if self.0.is_ipv4() { 32 } else { 64 })
    }

    /// The largest one: see [`Net::site`].
    pub(in crate::admin) fn site(self) -> Net {
        self.place().site()
    }

    /// All of them, from the smallest to the largest.
    pub(in crate::admin) fn nets(self) -> impl Iterator<Item = Net> {
        let prefixes: &[u8] = match self.0 {
            IpAddr::V4(_) => &[32, 24, 16],
            IpAddr::V6(_) => &[64, 56, 48, 32],
        };
        prefixes.iter().map(move |prefix| Net::of(self.0, *prefix))
    }
}

/// Removes entries until `most` are left at most. The network with the most entries loses
/// its own, the oldest first, until it has no more than others: many addresses push out
/// only each other.
pub(in crate::admin) fn thin_out<K: Copy + Eq + Hash, V>(
    table: &mut HashMap<K, V>,
    most: usize,
    net: impl Fn(&K) -> Net,
    last_ms: impl Fn(&V) -> u64,
) {
    // The newest first.
    let mut all: Vec<(K, Net, u64)> = table
        .iter()
        .map(|(key, value)| (*key, net(key), last_ms(value)))
        .collect();
    all.sort_by_key(|(_, _, last_ms)| std::cmp::Reverse(*last_ms));
    for wider in [Net::site, Net::provider] {
        let mut counts = HashMap::<Net, usize>::new();
        for (_, net, _) in &all {
            *counts.entry(wider(*net)).or_default() += 1;
        }
        let each = fair_share(counts.values().copied(), most);
        if each > 0 {
            let mut kept = HashMap::<Net, usize>::new();
            all.retain(|(_, net, _)| {
                let kept = kept.entry(wider(*net)).or_default();
                *kept += 1;
                *kept <= each
            });
            break;
        }
    }
    all.truncate(most);
    let kept: std::collections::HashSet<K> = all.into_iter().map(|(key, _, _)| key).collect();
    table.retain(|key, _| kept.contains(key));
}

/// The largest number that each of these may be cut down to so that they sum up to `most`.
fn fair_share(counts: impl Iterator<Item = usize>, most: usize) -> usize {
    let mut counts: Vec<usize> = counts.collect();
    counts.sort_unstable();
    let mut left = most;
    for (at, count) in counts.iter().enumerate() {
        let share = left / (counts.len() - at);
        if *count > share {
            return share;
        }
        left -= count;
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source::of(text.parse().unwrap())
    }

    #[test]
    fn an_address_and_its_network_are_one_place() {
        let same = |one: &str, two: &str| source(one).place() == source(two).place();
        assert!(same("10.0.0.1", "::ffff:10.0.0.1"));
        assert!(same("2001:db8::1", "2001:db8::ffff:1"));
        assert!(!same("2001:db8:0:1::1", "2001:db8:0:2::1"));
        assert!(!same("10.0.0.1", "10.0.0.2"));
        assert!(!same("::", "0.0.0.0"));
    }

    #[test]
    fn a_site_is_a_24_of_ipv4_or_a_48_of_ipv6() {
        let same = |one: &str, two: &str| source(one).site() == source(two).site();
        assert!(same("10.0.0.1", "::ffff:10.0.0.255"));
        assert!(!same("10.0.0.1", "10.0.1.1"));
        assert!(same("2001:db8:1:2::", "2001:db8:1:ffff::"));
        assert!(!same("2001:db8:1::", "2001:db8:2::"));
    }

    #[test]
    fn nets_are_from_the_smallest_to_the_largest() {
        let nets = |text: &str| {
            let nets = source(text).nets();
            nets.map(|net| format!("{}/{}", net.ip, net.prefix))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            nets("192.0.2.77"),
            ["192.0.2.77/32", "192.0.2.0/24", "192.0.0.0/16"]
        );
        let expected = [
            "2001:db8:1:2345::/64",
            "2001:db8:1:2300::/56",
            "2001:db8:1::/48",
            "2001:db8::/32",
        ];
        assert_eq!(nets("2001:db8:1:2345::9"), expected);
    }

    #[test]
    fn a_share_is_what_all_can_be_cut_down_to() {
        let share = |counts: &[usize], most| fair_share(counts.iter().copied(), most);
        assert_eq!(share(&[1, 2, 100], 13), 10);
        assert_eq!(share(&[5, 5], 9), 4);
        assert_eq!(share(&[1, 1, 1], 2), 0);
        assert_eq!(share(&[1, 2], 9), 9);
        assert_eq!(share(&[], 9), 9);
    }

    #[test]
    fn the_busiest_network_loses_its_own_oldest_first() {
        let mut table: HashMap<Net, u64> = HashMap::new();
        // The oldest is alone in its network.
        table.insert(source("198.51.100.1").place(), 0);
        for last in 1..=20 {
            let ip = IpAddr::from([192, 0, 2, last]);
            table.insert(Source::of(ip).place(), u64::from(last));
        }
        thin_out(&mut table, 11, |net| *net, |last_ms| *last_ms);
        let mut left: Vec<u64> = table.into_values().collect();
        left.sort_unstable();
        assert_eq!(left, [0, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]);
    }

    #[test]
    fn where_there_are_too_many_sites_the_busiest_provider_loses() {
        let mut table: HashMap<Net, u64> = HashMap::new();
        table.insert(source("198.51.100.1").place(), 0);
        for site in 1..=20 {
            let ip = IpAddr::from([10, 0, site, 1]);
            table.insert(Source::of(ip).place(), u64::from(site));
        }
        thin_out(&mut table, 5, |net| *net, |last_ms| *last_ms);
        assert_eq!(table.len(), 5);
        assert!(table.contains_key(&source("198.51.100.1").place()));
        assert!(table.contains_key(&source("10.0.20.1").place()));
    }
}
