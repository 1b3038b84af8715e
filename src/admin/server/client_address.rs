//! The key by which clients are counted: their address, and the networks around it.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A network: an address whose bits behind the prefix are 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::admin) struct Network {
    ip: IpAddr,
    prefix: u8,
}

impl Network {
    fn of(ip: IpAddr, prefix: u8) -> Network {
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
        Network { ip: masked, prefix }
    }

    /// What one customer may own as a whole: a /24 of IPv4, a /48 of IPv6.
    pub(in crate::admin) fn site(self) -> Network {
        Network::of(self.ip, if self.ip.is_ipv4() { 24 } else { 48 })
    }

    /// What a provider has: a /16 of IPv4, a /32 of IPv6.
    pub(in crate::admin) fn provider(self) -> Network {
        Network::of(self.ip, if self.ip.is_ipv4() { 16 } else { 32 })
    }

    /// Which kind of network it is.
    pub(in crate::admin) fn kind(self) -> NetworkKind {
        match (self.ip.is_ipv4(), self.prefix) {
            (true, 32) | (false, 64) => NetworkKind::Subnet,
            (false, 56) => NetworkKind::Block,
            (true, 24) | (false, 48) => NetworkKind::Site,
            _ => NetworkKind::Provider,
        }
    }
}

/// Kinds of networks, by size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::admin) enum NetworkKind {
    /// See [`ClientAddress::subnet`].
    Subnet,
    /// A /56 of IPv6, between the two.
    Block,
    /// See [`Network::site`].
    Site,
    /// See [`Network::provider`].
    Provider,
}

/// The address of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::admin) struct ClientAddress(IpAddr);

impl ClientAddress {
    /// Of an address; IPv4 in IPv6 (`::ffff:192.0.2.1`) counts as IPv4.
    pub(in crate::admin) fn of(ip: IpAddr) -> ClientAddress {
        ClientAddress(ip.to_canonical())
    }

    /// The address itself, IPv4 where it was mapped to IPv6.
    pub(in crate::admin) fn ip(self) -> IpAddr {
        self.0
    }

    /// The smallest network that is distinguished from others: an IPv4 address, or a /64 of
    /// IPv6. One household or server gets a /64 and is free to choose addresses in it.
    pub(in crate::admin) fn subnet(self) -> Network {
        Network::of(self.0, if self.0.is_ipv4() { 32 } else { 64 })
    }

    /// The site around it: see [`Network::site`].
    pub(in crate::admin) fn site(self) -> Network {
        self.subnet().site()
    }

    /// All networks around it, the smallest first.
    pub(in crate::admin) fn networks(self) -> impl Iterator<Item = Network> {
        let prefixes: &[u8] = match self.0 {
            IpAddr::V4(_) => &[32, 24, 16],
            IpAddr::V6(_) => &[64, 56, 48, 32],
        };
        prefixes
            .iter()
            .map(move |prefix| Network::of(self.0, *prefix))
    }
}

/// Removes entries until at most `max` are left. The network with the most entries loses its own,
/// oldest first, until it has no more than others. So many addresses of one network push out only
/// each other.
pub(in crate::admin) fn evict_from_busiest<K: Copy + Eq + Hash, V>(
    table: &mut HashMap<K, V>,
    max: usize,
    network: impl Fn(&K) -> Network,
    last_ms: impl Fn(&V) -> u64,
) {
    // The newest first.
    let mut all: Vec<(K, Network, u64)> = table
        .iter()
        .map(|(key, value)| (*key, network(key), last_ms(value)))
        .collect();
    all.sort_by_key(|(_, _, last_ms)| std::cmp::Reverse(*last_ms));
    for wider in [Network::site, Network::provider] {
        let mut counts = HashMap::<Network, usize>::new();
        for (_, network, _) in &all {
            *counts.entry(wider(*network)).or_default() += 1;
        }
        let each = fair_share(counts.values().copied(), max);
        if each > 0 {
            let mut counts = HashMap::<Network, usize>::new();
            all.retain(|(_, network, _)| {
                let count = counts.entry(wider(*network)).or_default();
                *count += 1;
                *count <= each
            });
            break;
        }
    }
    all.truncate(max);
    let keys: std::collections::HashSet<K> = all.into_iter().map(|(key, _, _)| key).collect();
    table.retain(|key, _| keys.contains(key));
}

/// The largest share to which each of `counts` may be cut so that their sum is `max` at most.
fn fair_share(counts: impl Iterator<Item = usize>, max: usize) -> usize {
    let mut counts: Vec<usize> = counts.collect();
    counts.sort_unstable();
    let mut left = max;
    for (at, count) in counts.iter().enumerate() {
        let share = left / (counts.len() - at);
        if *count > share {
            return share;
        }
        left -= count;
    }
    max
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> ClientAddress {
        ClientAddress::of(text.parse().unwrap())
    }

    #[test]
    fn an_address_and_its_network_are_one_subnet() {
        let same = |one: &str, two: &str| address(one).subnet() == address(two).subnet();
        assert!(same("10.0.0.1", "::ffff:10.0.0.1"));
        assert!(same("2001:db8::1", "2001:db8::ffff:1"));
        assert!(!same("2001:db8:0:1::1", "2001:db8:0:2::1"));
        assert!(!same("10.0.0.1", "10.0.0.2"));
        assert!(!same("::", "0.0.0.0"));
    }

    #[test]
    fn a_site_is_a_24_of_ipv4_or_a_48_of_ipv6() {
        let same = |one: &str, two: &str| address(one).site() == address(two).site();
        assert!(same("10.0.0.1", "::ffff:10.0.0.255"));
        assert!(!same("10.0.0.1", "10.0.1.1"));
        assert!(same("2001:db8:1:2::", "2001:db8:1:ffff::"));
        assert!(!same("2001:db8:1::", "2001:db8:2::"));
    }

    #[test]
    fn nets_are_from_the_smallest_to_the_largest() {
        let networks = |text: &str| {
            let networks = address(text).networks();
            networks
                .map(|network| format!("{}/{}", network.ip, network.prefix))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            networks("192.0.2.77"),
            ["192.0.2.77/32", "192.0.2.0/24", "192.0.0.0/16"]
        );
        let expected = [
            "2001:db8:1:2345::/64",
            "2001:db8:1:2300::/56",
            "2001:db8:1::/48",
            "2001:db8::/32",
        ];
        assert_eq!(networks("2001:db8:1:2345::9"), expected);
    }

    #[test]
    fn a_share_is_what_all_can_be_cut_down_to() {
        let share = |counts: &[usize], max| fair_share(counts.iter().copied(), max);
        assert_eq!(share(&[1, 2, 100], 13), 10);
        assert_eq!(share(&[5, 5], 9), 4);
        assert_eq!(share(&[1, 1, 1], 2), 0);
        assert_eq!(share(&[1, 2], 9), 9);
        assert_eq!(share(&[], 9), 9);
    }

    #[test]
    fn the_busiest_network_loses_its_own_oldest_first() {
        let mut table: HashMap<Network, u64> = HashMap::new();
        // The oldest is alone in its network.
        table.insert(address("198.51.100.1").subnet(), 0);
        for last in 1..=20 {
            let ip = IpAddr::from([192, 0, 2, last]);
            table.insert(ClientAddress::of(ip).subnet(), u64::from(last));
        }
        evict_from_busiest(&mut table, 11, |network| *network, |last_ms| *last_ms);
        let mut left: Vec<u64> = table.into_values().collect();
        left.sort_unstable();
        assert_eq!(left, [0, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]);
    }

    #[test]
    fn where_there_are_too_many_sites_the_busiest_provider_loses() {
        let mut table: HashMap<Network, u64> = HashMap::new();
        table.insert(address("198.51.100.1").subnet(), 0);
        for site in 1..=20 {
            let ip = IpAddr::from([10, 0, site, 1]);
            table.insert(ClientAddress::of(ip).subnet(), u64::from(site));
        }
        evict_from_busiest(&mut table, 5, |network| *network, |last_ms| *last_ms);
        assert_eq!(table.len(), 5);
        assert!(table.contains_key(&address("198.51.100.1").subnet()));
        assert!(table.contains_key(&address("10.0.20.1").subnet()));
    }
}
