//! Where somebody comes from, as far as one is to be told from another.
//!
//! Only the address; who it is, is `auth`'s business.

use std::net::{IpAddr, Ipv6Addr};

/// Where somebody comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source(IpAddr);

impl Source {
    /// Somebody at this address.
    pub(super) fn of(address: IpAddr) -> Source {
        Source(address.to_canonical())
    }

    /// The address itself; one of IPv4 that was mapped to IPv6 as IPv4.
    pub(super) fn address(self) -> IpAddr {
        self.0
    }

    /// What stands for all that are at one place. A whole /64 of IPv6 is one: that is
    /// what one household or one server gets, and is free to choose from.
    pub(super) fn place(self) -> IpAddr {
        match self.0 {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => {
                let prefix = address.to_bits() >> 64 << 64;
                Ipv6Addr::from_bits(prefix).into()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_and_its_network_are_one_place() {
        let same = |one: &str, two: &str| {
            let [one, two] = [one, two].map(|ip| Source::of(ip.parse().unwrap()).place());
            one == two
        };
        assert!(same("10.0.0.1", "::ffff:10.0.0.1"));
        assert!(same("2001:db8::1", "2001:db8::ffff:1"));
        assert!(!same("2001:db8:0:1::1", "2001:db8:0:2::1"));
        assert!(!same("10.0.0.1", "10.0.0.2"));
    }
}
