//! Where somebody comes from, as far as one is to be told from another.
//!
//! Only the address; who it is, is `auth`'s business.

use std::net::IpAddr;

/// One IPv4 address, mapped into IPv6 or not, or one IPv6 /64: who has one address of
/// it has all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Source(IpAddr);

impl Source {
    /// Where `ip` belongs to.
    pub(super) fn of(ip: IpAddr) -> Source {
        match ip.to_canonical() {
            IpAddr::V6(v6) => {
                let network = v6.to_bits() >> 64 << 64;
                Source(IpAddr::V6(network.into()))
            }
            v4 => Source(v4),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_and_its_network_are_one_source() {
        let same = |one: &str, two: &str| {
            let [one, two] = [one, two].map(|ip| Source::of(ip.parse().unwrap()));
            one == two
        };
        assert!(same("10.0.0.1", "::ffff:10.0.0.1"));
        assert!(same("2001:db8::1", "2001:db8::ffff:1"));
        assert!(!same("2001:db8:0:1::1", "2001:db8:0:2::1"));
        assert!(!same("10.0.0.1", "10.0.0.2"));
    }
}
